"""Planted attributions: their share on the evidence is what it is said to be, and metrics see them as planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from bench.measurements.material.planted_maps import PLANTS, STEPS, displacement, planted
from bench.measurements.planted import measured
from segcam.datasets import DatasetOptions
from segcam.datasets.scenes_cues import open_cues
from segcam.metrics import METRICS
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

SIZE = 32


@pytest.fixture(scope="module")
def scenery() -> Scenery:
    """Two scenes with the coat as their foreground."""
    split = open_cues("texture", DatasetOptions(size=SIZE, counts=(1, 1, 2))).splits["test"]
    batch = Batch.of([split[0], split[1]])
    assert batch.evidence is not None
    return Scenery(batch.luminance(), batch.evidence, ~batch.evidence, batch.ids)


def test_a_region_is_moved_off_itself() -> None:
    evidence = np.zeros((12, 20), bool)
    evidence[1:4, 2:7] = True
    moved = np.roll(evidence, displacement(evidence), (0, 1))
    assert moved.sum() == evidence.sum()
    assert not (moved & evidence).any()
    assert displacement(evidence) == (6, 10), "of many such shifts the longest"


def test_fields_have_the_energy_that_is_said(scenery: Scenery) -> None:
    evidence = scenery.foreground.numpy()
    fields, shares = planted(evidence, scenery.ids)
    assert list(fields) == list(PLANTS)
    for field, share in zip(fields.values(), shares, strict=True):
        assert field.shape == (2, STEPS, SIZE, SIZE)
        assert (field >= 0).all()
        np.testing.assert_allclose(field.sum((2, 3)), 1)
        np.testing.assert_allclose((field * evidence[:, None]).sum((2, 3)), share)
    of = dict(zip(fields, shares, strict=True))
    np.testing.assert_allclose(shares[:, :, 0], 1)
    np.testing.assert_allclose(of["inverse"][0], np.linspace(1, 0, STEPS), atol=1e-12)
    for name in ("noise", "distractor", "inverse", "blurred"):
        assert (np.diff(of[name], axis=1) < 0).all(), name
    assert of["noise"][0, -1] == pytest.approx(evidence[0].mean(), abs=0.05), "noise falls on it as it falls anywhere"
    assert of["shifted"][:, -1].max() < 0.05


def test_noise_is_the_images_own(scenery: Scenery) -> None:
    evidence = scenery.foreground.numpy()
    both, _ = planted(evidence, scenery.ids)
    alone, _ = planted(evidence[1:], scenery.ids[1:])
    np.testing.assert_array_equal(both["noise"][1], alone["noise"][0])
    assert (planted(evidence, scenery.ids, seed=1)[0]["noise"] != both["noise"]).any()


def test_energy_inside_is_the_planted_share(scenery: Scenery) -> None:
    """On the pixels exactly; on a coarse grid, whose cells are larger than the coat's parts, less of it."""
    metrics = [METRICS.get("energy_inside"), METRICS.get("background_ratio")]
    table = pd.DataFrame(measured(scenery, (7, 9), [(SIZE, SIZE), (4, 4)], metrics))
    assert len(table) == 2 * 2 * len(PLANTS) * STEPS
    assert not table.duplicated(["scene", "plant", "step", "cell"]).any()
    assert set(table["scene"]) == {7, 9}
    fine, coarse = (table[table["cell"] == cell] for cell in (1, 8))
    np.testing.assert_allclose(fine["energy_inside"], fine["share"], atol=1e-5)
    whole = coarse[coarse["step"] == 0]
    assert (whole["energy_inside"] < 0.95).all()
    wanted = planted(scenery.foreground.numpy(), scenery.ids)[1]
    by_hand = fine[(fine["scene"] == 9) & (fine["plant"] == "blurred")].sort_values("step")["share"]
    np.testing.assert_allclose(by_hand, wanted[list(PLANTS).index("blurred"), 1], atol=1e-6)


def test_maps_are_brought_to_the_grid_as_area_means(scenery: Scenery) -> None:
    """The average of four pixels a cell, which keeps the order of energies where the mask is whole cells."""
    foreground = torch.zeros(1, 8, 8, dtype=torch.bool)
    foreground[:, 2:4, 4:6] = True
    one = Scenery(torch.rand(1, 8, 8), foreground, ~foreground, ("a",))
    table = pd.DataFrame(measured(one, (0,), [(4, 4)], [METRICS.get("pointing_game")]))
    assert table.loc[table["step"] == 0, "pointing_game"].eq(1).all(), "the highest cell is the evidence itself"
    assert table[(table["plant"] == "distractor") & (table["step"] == STEPS - 1)]["pointing_game"].eq(0).all()
