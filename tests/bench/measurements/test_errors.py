"""Hits, false alarms and misses of a run: each row is what the library says of it."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from analyses import Results
from analyses.questions import when_wrong
from analyses.reading.error_maps import PIXELS, PLACE, SETS
from bench.measurements.errors import Errors, methods_of
from bench.measurements.material.selection import spread
from bench.planning.profile import Profile
from segcam import InputError, Probe
from segcam.checks import mistakes
from segcam.models import architecture
from segcam.models.weights.checkpoints import load
from segcam.samples import Batch, Images
from tests.bench.harness import IMAGES, LEVELS, bench, finish, run, tables

LEAST = 4
KINDS = ("hit", "false_positive", "false_negative")


@pytest.fixture(scope="module")
def scored(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, with its errors looked at."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("errors") / "out"))
    finish("score", tiny, folder, f"errors.images={IMAGES}", f"errors.least={LEAST}", "errors.shard=4")
    return folder


def test_rows_are_what_the_library_says(scored: Path, images: Images) -> None:
    level = LEVELS[-1]
    model = load(scored / "checkpoints" / f"unet-s0-l{level}.safetensors")[0]
    probe = Probe(model, architecture("unet").layers(model, "conv"), output="logits")
    batch = Batch.of([images[i] for i in range(IMAGES)])
    names = ["energy_gain", "background_ratio", "edge_alignment", "spread"]
    expected = mistakes(probe, batch, metrics=names, least=LEAST)
    assert len({row["kind"] for row in expected}) > 1
    frame = tables(scored, "errors/*.parquet").astype({"image": str, "target": str, "layer": str, "method": str})
    assert set(frame["level"]) == {level}
    assert set(frame["method"]) == {"grad_cam", "random", "sobel", "mask_oracle"}
    found = frame[frame["method"] == "grad_cam"].set_index(["target", "image", "layer"])
    assert len(found) == len(expected)
    for one in expected:
        row = found.loc[(f"{one['kind']}:logit", one["image"], one["layer"])]
        assert row["target_pixels"] == one["pixels"] >= LEAST
        for name in (*names, "own_gain", "like_hits", "like_rejections"):
            assert row[name] == pytest.approx(one[name], abs=2e-4, nan_ok=True), name
    assert frame["present"].all()


def test_the_control_of_the_explained_pixels_has_all_its_energy_there(scored: Path) -> None:
    frame = tables(scored, "errors/*.parquet")
    of_oracle = frame[(frame["method"] == "mask_oracle") & (frame["layer"] == "Encoder 1_1")]
    assert of_oracle["own_gain"].min() > 0.99
    alarms = of_oracle[of_oracle["target"] == "false_positive:logit"]
    assert (alarms["energy_gain"] < 0).all()  # beside the object


def test_maps_of_the_worst_images_are_kept(scored: Path, images: Images) -> None:
    (checkpoint,) = (c for c in Results(scored).checkpoints if c.level == LEVELS[-1])
    kept = Results(scored).error_maps("unet", 0, checkpoint.level)
    assert kept
    for gallery in kept:
        for i, name in enumerate(gallery.ids):
            sets, counts = gallery.arrays[SETS][i], gallery.arrays[PIXELS][i]
            assert [(sets == n).sum() for n in (1, 2, 3)] == counts.tolist()
            mask = next(images[k].mask for k in range(IMAGES) if images[k].id == name)
            predicted = gallery.arrays["predicted"][i]
            assert ((sets == 1) == ((predicted == 1) & (mask == 1))).all()
            assert ((sets == 2) == ((predicted == 1) & (mask == 0))).all()
            assert ((sets == 3) == ((predicted != 1) & (mask == 1))).all()
            assert (counts >= LEAST).all()
    names = [name for name in kept[0].arrays if "|" in name]
    assert {name.split("|")[0] for name in names} == {f"{kind}:logit" for kind in KINDS}
    assert {name.split("|")[1] for name in names} == {"grad_cam"}
    assert all(np.isfinite(kept[0].arrays[name]).all() for name in names)
    assert next(item.name for item in when_wrong.analyse(Results(scored))) == "when_wrong"


def test_an_archive_without_photographs_has_none_of_them(scored: Path, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(scored, tmp_path / "out"))
    settings = (f"errors.images={IMAGES}", f"errors.least={LEAST}", "errors.shard=4")
    finish("all", tiny, folder, *settings, "figures.photographs=false")
    assert bench("publish", "--out", folder, "--archive", tmp_path / "run.zip").code == 0
    with zipfile.ZipFile(tmp_path / "run.zip") as file:
        names = [name for name in file.namelist() if name.startswith(f"{PLACE}/")]
        assert names
        for name in names:
            with np.load(io.BytesIO(file.read(name))) as kept:
                assert "images" not in kept.files
                assert {"ids", "masks", SETS, PIXELS} <= set(kept.files)


def test_nothing_is_looked_at_unless_asked(finished: Path) -> None:
    assert not (finished / "scores" / "errors").exists()
    assert spread(10, 4) == [1, 3, 6, 8]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('errors.methods=["score_cam"]', "errors.methods names score_cam, which takes passes of its own"),
        ('errors.methods=["nonsense"]', "nonsense"),
        ('errors.metrics=["nonsense"]', "nonsense"),
        ("errors.least=0", "errors.least"),
        ('errors.score="rival"', "errors.score"),
    ],
)
def test_bad_settings_are_refused(copied: Path, tiny: Path, setting: str, said: str) -> None:
    before = sorted(path for path in copied.rglob("*.parquet"))
    assert said in run("score", tiny, copied, "errors.images=2", setting).refusal
    assert sorted(path for path in copied.rglob("*.parquet")) == before


def test_a_profile_without_gradient_methods_has_none(tiny: Path) -> None:
    profile = Profile.model_construct(score=type("S", (), {"methods": ("uniform", "random")})())
    assert methods_of(Errors(), profile) == []
    with pytest.raises(InputError, match="refine_cam"):
        methods_of(Errors(methods=("refine_cam",)), profile)
