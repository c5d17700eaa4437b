"""Quantities of maps, as they are and referred to another map's."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.paper.claims.registration import Quantity
from analyses.paper.claims.values import LEAST, NotMeasuredError, Numbers

OWN, OTHER = np.array([[[0.6, 0.5, -0.3]]]), np.array([[[0.2, LEAST / 2, 0.5]]])
NUMBERS = Numbers(
    ["first"], ["own", "even"], [0], ["a", "b", "c"], {"m": np.stack([OWN, OTHER])}, np.ones((2, 1, 1, 3), bool), ()
)


@pytest.mark.parametrize(
    ("relative", "wanted"),
    [("", [0.6, 0.5, -0.3]), ("difference", [0.4, 0.5 - LEAST / 2, -0.8]), ("ratio", [3.0, np.nan, -0.6])],
)
def test_a_quantity_is_referred_to_another_map(relative: str, wanted: list[float]) -> None:
    """A ratio to next to nothing says nothing."""
    quantity = Quantity(metric="m", relative=relative, to="even" if relative else "")  # type: ignore[arg-type]
    values, present = NUMBERS.quantity(quantity, "own")
    np.testing.assert_allclose(values[0, 0], wanted)
    assert present.shape == (1, 1, 3)


def test_what_was_not_measured_is_named() -> None:
    with pytest.raises(NotMeasuredError, match="metric n"):
        NUMBERS.quantity(Quantity(metric="n"), "own")
    with pytest.raises(NotMeasuredError, match="maps of noise"):
        NUMBERS.quantity(Quantity(metric="m"), "noise")
