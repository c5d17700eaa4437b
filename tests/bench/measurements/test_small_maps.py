"""Small maps of all test images: whose they are, and that they are the maps that were scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from analyses import Results
from analyses.reading.small_maps import SmallMap
from tests.bench.harness import IMAGES, LEVELS, TARGETS, bench, finish, run


@pytest.fixture(scope="module")
def small(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The finished run, with small maps of all test images."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("small") / "out"))
    finish("score", tiny, folder, f"small_maps.images={IMAGES}", "small_maps.shard=4")
    return Results(folder)


def test_they_are_the_maps_that_are_kept_of_some_images(small: Results) -> None:
    for level in LEVELS:
        parts = small.small_maps("unet", 0, level)
        assert [len(part.ids) for part in parts] == [4, IMAGES - 4]
        whole = small.gallery("unet", 0, level)
        (image,) = whole.ids
        part = next(part for part in parts if image in part.ids)
        at = part.ids.index(image)
        np.testing.assert_array_equal(part.predicted[at], whole.arrays["predicted"][0])
        assert {tuple(name.split("|")[:2]) for name in part.maps} == {(TARGETS[0], "grad_cam")}
        for name, of_images in part.maps.items():
            kept = SmallMap.of(whole.arrays[name][0])
            assert of_images[at].reason == kept.reason
            np.testing.assert_allclose(of_images[at].root.astype(int), kept.root, atol=5)


def test_those_of_all_images_are_on_the_page(small: Results) -> None:
    assert bench("run", "report", "--out", small.folder).code == 0
    pictured = list((small.folder / "report" / "data" / "images").glob("*.js"))
    assert len(pictured) == IMAGES - 1  # one is kept whole


def test_methods_without_gradients_have_none(small: Results, tiny: Path) -> None:
    outcome = run("score", tiny, small.folder, "small_maps.images=2", 'small_maps.methods=["sobel"]')
    assert outcome.code == 2
    assert "small_maps.methods names sobel, which is no gradient method" in " ".join(outcome.err.split())
