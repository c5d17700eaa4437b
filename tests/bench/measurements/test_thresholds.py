"""Overlaps of a run's maps at thresholds: what the library says of the images to choose on, and of the others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analyses import Results
from analyses.questions import map_threshold
from analyses.reading.thresholds import column, thresholds
from bench.measurements import thresholds as measurement
from bench.planning.measurement import Checkpoint
from bench.planning.profile import read
from segcam import Probe, Target, grad_cam
from segcam.datasets import DATASETS, DatasetOptions
from segcam.metrics import measure
from segcam.models import architecture
from segcam.models.weights.checkpoints import load
from segcam.samples import Batch
from segcam.scoring import Scenery, overlap_curve
from tests.bench.harness import IMAGES, LEVELS, TARGETS, finish, run, tables

SHARES = (0.2, 0.5, 0.8)


@pytest.fixture(scope="module")
def scored(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, with its maps cut."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("thresholds") / "out"))
    settings = ("thresholds.images=5", f"thresholds.thresholds={list(SHARES)}", "thresholds.shard=4")
    finish("score", tiny, folder, *settings)
    return folder


def test_rows_are_what_the_library_says(scored: Path) -> None:
    frame = tables(scored, "thresholds/*.parquet").astype({"image": str, "layer": str, "method": str, "split": str})
    level = LEVELS[-1]
    assert set(frame["level"]) == {level}
    assert set(frame["target"].astype(str)) == {TARGETS[0]}
    assert list(thresholds(frame.columns).values()) == list(SHARES)
    assert set(frame["method"]) == {"grad_cam", "uniform", "random", "sobel", "mask_oracle"}
    assert not frame.duplicated(["split", "image", "layer", "method"]).any()
    model = load(scored / "checkpoints" / f"unet-s0-l{level}.safetensors")[0]
    probe = Probe(model, architecture("unet").layers(model, "conv"), output="logits")
    splits = DATASETS.get("scenes").open(DatasetOptions(size=32, counts=(60, 12, IMAGES))).splits
    for split, images in (("choose", splits["val"]), ("test", splits["test"])):
        known = {images[i].id: images[i] for i in range(len(images))}
        there = list(dict.fromkeys(frame.loc[frame["split"] == split, "image"]))
        assert set(there) <= set(known)
        assert len(there) == 5
        batch = Batch.of([known[name] for name in there])
        capture, scenery = probe(batch.inputs(), Target(1)), Scenery.of(batch)
        for layer in probe.layers:
            maps = capture.maps(grad_cam, layer)[:, None].relu()
            reference = scenery.on((maps.shape[2], maps.shape[3]))
            expected = overlap_curve(maps, reference, SHARES).iou[:, 0].numpy()
            otsu = measure(maps, reference, ["iou"])["iou"][:, 0].numpy()
            rows = frame[(frame["split"] == split) & (frame["method"] == "grad_cam") & (frame["layer"] == layer.label)]
            rows = rows.set_index("image").loc[there]
            np.testing.assert_allclose(rows[[column(share) for share in SHARES]], expected, atol=2e-2)
            np.testing.assert_allclose(rows["otsu"], otsu, atol=2e-2)


def test_the_analysis_takes_it(scored: Path) -> None:
    table, *_ = map_threshold.analyse(Results(scored))
    oracle = table.frame[(table.frame["method"] == "mask_oracle") & (table.frame["layer"] == "Encoder 1_1")]
    assert oracle["cut_iou"].item() == pytest.approx(1, abs=1e-6)
    assert (table.frame["optimum_iou"] >= table.frame["cut_iou"] - 1e-9).all()


def test_without_validation_images_every_second_test_image_is_chosen_on(tiny: Path) -> None:
    profile = read(str(tiny))
    profile = profile.model_copy()
    given: Any = SimpleNamespace(**{name: getattr(profile, name) for name in ("score", "models", "networks")})
    given.section = lambda _: measurement.Thresholds(images=7)
    opened = SimpleNamespace(info=SimpleNamespace(masked=True), splits={"test": range(9)})
    data: Any = SimpleNamespace(opened=opened, test=range(9), tested=lambda most: sorted(range(9))[:most])
    checkpoint: Any = Checkpoint(SimpleNamespace(), 30, highest=True, place=0)
    cells = {cell.name: cell.rows for cell in measurement.plan(given, data, checkpoint)}
    assert cells == {"choose-000": (1, 3, 5), "test-000": (0, 2, 4, 6)}
    unmasked = replace_info(data, masked=False)
    assert measurement.plan(given, unmasked, checkpoint) == []
    assert measurement.plan(given, data, replace(checkpoint, highest=False)) == []


def replace_info(data: Any, *, masked: bool) -> Any:
    opened = SimpleNamespace(info=SimpleNamespace(masked=masked), splits=data.opened.splits)
    return SimpleNamespace(**{**vars(data), "opened": opened})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('thresholds.methods=["score_cam"]', "thresholds.methods names score_cam, which takes passes of its own"),
        ("thresholds.thresholds=[0.0,0.5]", "thresholds.thresholds"),
        ("thresholds.thresholds=[0.5]", "thresholds.thresholds"),
        ("thresholds.thresholds=[0.5,0.5]", "thresholds.thresholds"),
        ('thresholds.targets=["nonsense"]', "nonsense"),
    ],
)
def test_bad_settings_are_refused(copied: Path, tiny: Path, setting: str, said: str) -> None:
    assert said in run("score", tiny, copied, "thresholds.images=2", setting).refusal
    assert not (copied / "scores" / "thresholds").exists()
