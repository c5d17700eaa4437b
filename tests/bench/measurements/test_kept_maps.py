"""Kept maps: what a file of them holds, and free photographs beside the data's images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import analyses
from analyses import Results
from segcam.datasets import DATASETS
from segcam.samples import IGNORE
from tests.bench.conftest import FEW
from tests.bench.harness import LEVELS, TARGETS, bench, contents, finish, rewritten, tables

CREDIT = "Chelsea, a cat: photograph by Stéfan van der Walt, CC0"


@pytest.fixture(scope="module")
def beside(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished run, scored again as if its scenes were photographs that the free one fits."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("beside") / "out"))
    DATASETS.names()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "names", lambda: list(FEW))
        patch.setitem(DATASETS._items, "scenes", replace(DATASETS.get("scenes"), free=("chelsea",)))
        outcome = finish("all", tiny, folder, more=["--yes"])
        assert CREDIT in " ".join(outcome.err.split())
        yield folder


def test_the_prediction_is_kept(finished: Path) -> None:
    results = Results(finished)
    (image,) = results.gallery_ids
    for level in LEVELS:
        kept = results.gallery("unet", 0, level)
        assert kept.arrays["predicted"].dtype == np.uint8
        assert kept.arrays["predicted"].shape == kept.masks.shape
        frame = results.predictions()
        counts = frame[(frame["image"] == image) & (frame["level"] == level)]
        mask, predicted = kept.masks[0], kept.arrays["predicted"][0]
        for truth, other in ((0, 0), (0, 1), (1, 0), (1, 1)):
            assert counts[f"n_{truth}_{other}"].item() == np.sum((mask == truth) & (predicted == other))


def test_a_free_photograph_is_in_pictures_alone(beside: Path, finished: Path) -> None:
    results = Results(beside)
    assert results.gallery_ids == ("chelsea", *Results(finished).gallery_ids)
    assert results.free == {"chelsea": CREDIT}
    kept, before = results.gallery("unet", 0, LEVELS[-1]), Results(finished).gallery("unet", 0, LEVELS[-1])
    at = kept.index("chelsea")
    assert kept.photographs["chelsea"].shape == (32, 32, 3)
    assert (kept.masks[at] == IGNORE).all()
    assert set(np.unique(kept.arrays["predicted"][at])) <= {0, 1}
    assert np.isfinite(kept.arrays[f"{TARGETS[0]}|grad_cam|Encoder 1_1"][at]).all()
    assert np.isnan(kept.arrays[f"{TARGETS[0]}|mask_oracle|Encoder 1_1"][at]).all()  # there is no mask to know
    for name, values in before.arrays.items():
        np.testing.assert_array_equal(kept.arrays[name][: len(before.ids)], values)  # the data's own are as they were
    drawn, whole = contents(beside, "tables"), contents(finished, "tables")
    assert drawn
    assert drawn == {name: whole[name] for name in drawn}
    assert "chelsea" not in set(tables(beside, "*.parquet")["image"])
    assert {path.name for path in (beside / "figures").glob("*chelsea.png")} == {"figure1_layers-unet-01-chelsea.png"}
    assert (beside / "figures" / "figure1-unet.png").is_file()


def test_maps_that_were_negative_before_relu_are_named(
    copied: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all six test images: those of the one that is kept by default are none."""
    monkeypatch.setitem(DATASETS._items, "scenes", replace(DATASETS.get("scenes"), free=()))  # as without `beside`
    finish("score", tiny, copied, "figures.images=6", more=["--yes"])
    results = Results(copied)
    assert len(results.gallery_ids) == 6
    scores = results.scores({"image": results.gallery_ids, "method": ["grad_cam"]})
    names = scores[["image", "target", "method", "layer"]].astype(str).agg("|".join, axis=1)
    for level in LEVELS:
        of_level = names[scores["level"] == level]
        negative = set(of_level[scores["sign_balance"] == 0])
        assert {name for name in results.gallery("unet", 0, level).negative if "|grad_cam|" in name} == negative
    assert (scores["sign_balance"] == 0).any()


def test_it_is_shown_where_no_other_photograph_may_be(beside: Path, tmp_path: Path) -> None:
    hidden = Path(shutil.copytree(beside, tmp_path / "hidden"))
    rewritten(hidden, lambda values: values["profile"]["figures"].update(photographs=False))
    assert Results(hidden).gallery("unet", 0, LEVELS[-1]).photographs.keys() == {"chelsea"}
    assert bench("publish", "--out", hidden, "--archive", tmp_path / "run.zip").code == 0
    assert bench("run", "report", "--out", tmp_path / "run.zip").code == 0
    with np.load(Results(tmp_path / "run").gallery_path("unet", 0, LEVELS[-1])) as stored:
        shown = dict(zip(stored["ids"], stored["images"], strict=True))
    assert shown.pop("chelsea").any()
    assert not any(image.any() for image in shown.values())
