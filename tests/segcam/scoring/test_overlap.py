"""Maps cut at thresholds, against a slow twin, and the threshold that is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam import InputError
from segcam.metrics import METRICS, measure
from segcam.scoring import Scenery, best_threshold, overlap_curve
from segcam.scoring.grids import Placement
from segcam.scoring.overlap import THRESHOLDS
from tests.reference.metrics import Scene
from tests.reference.metrics import overlap_curve as slow
from tests.sceneries import BOTH, NEITHER, NO_BACKGROUND, NO_FOREGROUND, maps, scene, scenery

SIZE = (14, 21)


@pytest.mark.parametrize("grid", [(4, 6), (14, 21), (1, 1), (20, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_the_slow_twin_says(seed: int, grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    scenes = [scene(rng, SIZE, sides) for sides in (BOTH, BOTH, NO_FOREGROUND, NO_BACKGROUND, NEITHER)]
    given = maps(rng, len(scenes), 3, grid)
    given[0, 1], given[1, 2, 0, 0] = 0, torch.nan
    found = overlap_curve(given, scenery(scenes).on(grid))
    assert found.iou.shape == (len(scenes), 3, len(THRESHOLDS))
    for i, one in enumerate(scenes):
        for m in range(3):
            expected = np.array(slow(given[i, m].numpy(), one, list(THRESHOLDS)))
            if given[i, m].isnan().any():
                expected[:] = np.nan
            np.testing.assert_allclose(found.iou[i, m], expected[:, 0], atol=1e-9)
            np.testing.assert_allclose(found.dice[i, m], expected[:, 1], atol=1e-9)


def test_scale_and_dtype_do_not_matter_and_the_lowest_share_is_nearly_all() -> None:
    rng = np.random.default_rng(5)
    reference = scenery([scene(rng, SIZE), scene(rng, SIZE)]).on((5, 7))
    given = maps(rng, 2, 2, (5, 7))
    one = overlap_curve(given, reference)
    torch.testing.assert_close(one.iou, overlap_curve(1e30 * given, reference).iou)
    torch.testing.assert_close(one.iou, overlap_curve(given.numpy(), reference).iou)
    everything = overlap_curve(given + 1, reference, [1e-9]).iou
    torch.testing.assert_close(everything, reference.area[:, None, None].expand(2, 2, 1))


def test_otsu_lies_on_the_curve() -> None:
    """Some threshold gives what Otsu's gives: all cuts of a map with few values are among these."""
    rng = np.random.default_rng(2)
    reference = scenery([scene(rng, SIZE), scene(rng, SIZE)]).on(SIZE)
    given = torch.from_numpy(rng.integers(0, 5, (2, 3, *SIZE)) / 4.0)
    otsu = METRICS.get("iou").compute(given, reference)
    curve = overlap_curve(given, reference, [0.2, 0.45, 0.7, 0.95]).iou
    assert ((curve - otsu[..., None]).abs().amin(2) < 1e-12).all()


def test_padding_is_not_there() -> None:
    rng = np.random.default_rng(3)
    small = [scene(rng, (8, 12)), scene(rng, (8, 12))]
    valid = torch.zeros(2, *SIZE, dtype=torch.bool)
    valid[:, 2:10, 4:16] = True

    def padded(values: np.ndarray) -> torch.Tensor:
        out = np.zeros(SIZE, values.dtype)
        out[2:10, 4:16] = values
        return torch.from_numpy(out)

    parts = [torch.stack([padded(getattr(s, n)) for s in small]) for n in ("luminance", "foreground", "background")]
    whole = Scenery(*parts, ("0", "1"), valid=valid)
    given = maps(rng, 2, 2, SIZE)
    given[..., 0, 0] = 99.0  # beside the picture
    inside = given[..., 2:10, 4:16]
    one = overlap_curve(given, whole.on(SIZE))
    torch.testing.assert_close(one.iou, overlap_curve(inside, scenery(small).on((8, 12))).iou)
    torch.testing.assert_close(one.dice, overlap_curve(inside, scenery(small).on((8, 12))).dice)


def test_a_grid_lies_where_its_placement_says() -> None:
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    of_image = scenery([Scene(np.random.default_rng(0).random((16, 16)), mask, ~mask)])
    given = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    given[..., 1:3, 1:3] = 1
    stretched = overlap_curve(given, of_image.on((4, 4)), [0.5]).iou
    moved = overlap_curve(given, of_image.on((4, 4), Placement((5.5, 1.5), (4.0, 4.0))), [0.5]).iou
    assert float(stretched) == pytest.approx(1, abs=0.3)
    assert float(moved) < 0.8 * float(stretched)


@pytest.mark.parametrize("thresholds", [[], [0.0], [0.5, 1.5], [-0.1], [float("nan")]])
def test_thresholds_that_are_none_are_refused(thresholds: list[float]) -> None:
    reference = scenery([scene(np.random.default_rng(0), SIZE)]).on((3, 3))
    with pytest.raises(InputError, match="shares of a map's maximum"):
        overlap_curve(torch.ones(1, 1, 3, 3), reference, thresholds)


def test_maps_of_another_grid_are_refused() -> None:
    reference = scenery([scene(np.random.default_rng(0), SIZE)]).on((3, 3))
    with pytest.raises(InputError, match="4 x 4 grid"):
        overlap_curve(torch.ones(1, 1, 4, 4), reference)


def test_the_best_threshold_is_that_of_the_highest_mean_of_what_is_defined() -> None:
    values = torch.tensor([[0.2, 0.6, 0.1], [0.2, 0.2, 0.9], [torch.nan] * 3])
    assert best_threshold(values, [0.3, 0.5, 0.7]) == 0.7
    assert best_threshold(values[:1], [0.3, 0.5, 0.7]) == 0.5
    assert best_threshold(torch.tensor([0.4, 0.4]), [0.9, 0.2]) == 0.2
    assert np.isnan(best_threshold(values[2:], [0.3, 0.5, 0.7]))
    assert best_threshold(torch.tensor([[torch.nan, 0.3, 0.2]]), [0.3, 0.5, 0.7]) == 0.5
    assert best_threshold(values.numpy(), [0.3, 0.5, 0.7]) == 0.7
    with pytest.raises(InputError, match="a value a threshold"):
        best_threshold(values, [0.3])


def test_what_is_tried_reaches_from_nearly_nothing_to_nearly_all() -> None:
    assert THRESHOLDS[:4] == (0.01, 0.02, 0.05, 0.1)
    assert THRESHOLDS[-1] == 0.95
    assert np.diff(THRESHOLDS[2:]) == pytest.approx(0.05)


def test_many_maps_are_cut_as_each_alone_is() -> None:
    """More pixels than are ranked at once."""
    rng = np.random.default_rng(6)
    reference = scenery([scene(rng, (256, 256))]).on((8, 8))
    given = maps(rng, 1, 17, (8, 8))
    together = overlap_curve(given, reference, [0.3, 0.6]).iou
    alone = [overlap_curve(given[:, [m]], reference, [0.3, 0.6]).iou for m in range(17)]
    torch.testing.assert_close(together, torch.cat(alone, 1))


def test_shared_steps_change_nothing() -> None:
    rng = np.random.default_rng(8)
    reference = scenery([scene(rng, SIZE), scene(rng, SIZE)]).on((5, 7))
    given = maps(rng, 2, 2, (5, 7))
    shared = reference.sharing(given)
    torch.testing.assert_close(overlap_curve(given, shared).iou, overlap_curve(given, reference).iou)
    torch.testing.assert_close(measure(given, reference, ["iou"])["iou"], METRICS.get("iou").compute(given, shared))
