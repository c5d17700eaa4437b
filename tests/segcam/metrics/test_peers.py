"""Where scikit-image's algorithm is the reference: ours, which runs in batches, agrees with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu
from skimage.segmentation import find_boundaries

from segcam.metrics import METRICS
from segcam.metrics.boundary import outline_band
from segcam.scoring.ranking import STEPS
from tests.reference.metrics import upsample
from tests.sceneries import maps, scene, scenery

SEEDS = range(6)
GRIDS = [(24, 30), (6, 5), (11, 8)]
SIZE = (24, 30)


def _steps(values: np.ndarray) -> np.ndarray:
    """Return values in whole steps, below which ours tells none apart, so that rounding parts no ties."""
    return np.round(values / values.max() * STEPS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_band_of_one_pixel_is_scikit_images_thick_boundary(seed: int) -> None:
    mask = np.random.default_rng(seed).random((3, *SIZE)) > 0.7
    ours = outline_band(torch.from_numpy(mask), 1).numpy()
    theirs = np.stack([find_boundaries(m, connectivity=2, mode="thick") for m in mask])
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_iou_is_that_above_scikit_images_otsu_threshold(seed: int, grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    world = scene(rng, SIZE)
    small = maps(rng, 1, 3, grid)
    ours = METRICS.get("iou").compute(small, scenery([world]).on(grid))[0]
    for k in range(3):
        large = _steps(upsample(small[0, k].numpy(), *SIZE))
        above = large > threshold_otsu(large, nbins=256)
        known = world.foreground | world.background
        theirs = (above & world.foreground).sum() / ((above & known) | world.foreground).sum()
        assert ours[k].item() == pytest.approx(theirs, abs=1 / known.sum())  # a pixel at the bin's very edge
