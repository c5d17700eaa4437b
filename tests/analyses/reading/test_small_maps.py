"""Maps in few cells and steps: what is drawn of them, and what a file gives back."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.reading import small_maps
from analyses.reading.small_maps import BLANK, STEPS, SmallMap
from segcam.draw.display import Display


def test_a_large_map_is_averaged_over_areas_and_even_in_its_roots():
    values = np.random.default_rng(0).random((96, 128)).astype(np.float32)
    small = SmallMap.of(values, cells=64)
    slow = np.array([[values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(64)] for y in range(48)])
    assert small.root.shape == (48, 64)
    assert (small.root % (255 // STEPS) == 0).all()
    np.testing.assert_allclose(small.root / 255, np.sqrt(slow / slow.max()), atol=0.5 / STEPS + 1e-6)
    assert small.upper == Display.of(values).upper  # of the whole map, as figures have it
    assert small.peak == pytest.approx(slow.max())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((3, 3)), BLANK),
        (-np.ones((3, 3)), "blank: negative everywhere"),
        (np.full((3, 3), np.nan), "undefined"),
        (np.array([[np.inf, 1.0]]), "undefined"),
        (np.eye(3), ""),
    ],
)
def test_a_map_says_why_there_is_nothing_to_draw(values, reason):
    small = SmallMap.of(values)
    assert small.reason == reason
    assert small.root.any() == (not reason)


@pytest.mark.parametrize("photographs", [True, False])
def test_a_file_gives_back_what_it_was_made_of(tmp_path, photographs):
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 255, (96, 200, 3), np.uint8) for _ in range(2)]
    maps = {"t|m|a|b": [SmallMap.of(rng.random((4, 6))), SmallMap.of(np.full((4, 6), np.nan))]}
    masks = rng.integers(0, 2, (2, 96, 200), np.uint8)
    arrays = {"ids": np.array(["one", "two"]), "masks": masks, "predicted": 1 - masks}
    np.savez(tmp_path / "kept.npz", **arrays, **small_maps.arrays_of(maps, shown))
    kept = small_maps.read(tmp_path / "kept.npz", photographs=photographs)
    assert kept.ids == ("one", "two")
    np.testing.assert_array_equal(kept.masks + kept.predicted, 1)
    for one, other in zip(kept.maps["t|m|a|b"], maps["t|m|a|b"], strict=True):
        assert one.reason == other.reason
        assert one.upper == pytest.approx(other.upper, nan_ok=True)
        if not other.reason:
            np.testing.assert_array_equal(one.root, other.root)
    assert (kept.photographs is not None) == photographs
    assert {one[8:12] for one in kept.photographs or ()} <= {b"WEBP"}
