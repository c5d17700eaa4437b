"""What tests at other sizes say of two networks, worked out by hand from their confusion counts."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.paper.claims.registration import registered
from analyses.paper.claims.sizes import SizeTests
from analyses.statistics.bootstrap import mean_iou
from analyses.statistics.jackknife import miou_table

CLAIM = next(claim for claim in registered().claims if claim.id == "C8")
FACTORS = np.array([0.75, 1.0, 1.25, 1.5])
HITS = ((6, 9, 7, 5), (2, 8, 6, 4))
"""Pixels right of ten in each class, by network and size: the first is ahead by least where the training's size is."""


def counts() -> np.ndarray:
    """(networks, sizes, seeds, images, truth, predicted): images and seeds differ a little."""
    right = np.array(HITS, dtype=float)[:, :, None, None] + np.array([0.0, 0.5])[:, None] + np.array([0.0, 0.2, 0.4])
    return np.stack([np.stack([right, 10 - right], -1), np.stack([10 - right, right], -1)], -2)


def compared(compare: str) -> SizeTests:
    part = next(part for part in CLAIM.parts if part.compare == compare)
    return SizeTests(part, counts(), FACTORS, "", "")


def iou() -> np.ndarray:
    """(networks, sizes): mean IoU of the images' sums, mean over seeds."""
    return mean_iou(counts().sum(axis=3)).mean(axis=-1)


def test_a_change_is_of_other_sizes_against_the_trainings() -> None:
    found = compared("change").estimate(0, 200)
    ahead = iou()[0] - iou()[1]
    assert found.value == pytest.approx(ahead[[0, 2, 3]].mean() - ahead[1])
    assert (found.bounds.lower, found.bounds.upper) == (-2, 2)
    each = miou_table(counts())
    apart = each[0] - each[1]
    np.testing.assert_allclose(found.table, apart[[0, 2, 3]].mean(axis=0) - apart[1])
    assert np.abs(found.resampled - found.value).max() < 0.2
    assert found.resampled.std() > 0


def test_the_least_lead_varies_as_that_of_its_size() -> None:
    found = compared("least").estimate(0, 200)
    ahead = iou()[0] - iou()[1]
    assert int(np.argmin(ahead)) not in (int(np.argmin(iou()[0] + iou()[1])), 0)
    assert found.value == pytest.approx(ahead.min())
    assert (found.bounds.lower, found.bounds.upper) == (-1, 1)
    each = miou_table(counts())
    np.testing.assert_allclose(found.table, (each[0] - each[1])[int(np.argmin(ahead))])
    assert found.resampled.mean() == pytest.approx(found.value, abs=0.05)
