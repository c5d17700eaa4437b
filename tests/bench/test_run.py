"""Runs through the command line: what goes wrong is one message, and what is finished is not done again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import bench.measuring
import bench.run
import bench.training.run
import bench.training.trainer
from analyses.reading.files import FILMS, LOG
from analyses.reading.manifest import BEST
from bench.cli import stages
from bench.output.store import LOCKS, Store
from bench.planning import profile as profiles
from bench.planning.data import lines, open_data
from segcam.models import create
from segcam.models.weights.checkpoints import load, pack, unpack
from tests.bench.harness import LEVELS, assert_same_results, contents, dead_process, finish, manifest, run, status
from tests.bench.harness import bench as command

CHECKPOINT = "checkpoints/unet-s0-l30.safetensors"
SCORED = ("scores", "scores/predictions", "scores/agreement", "scores/gallery")

pytestmark = pytest.mark.usefixtures("few_analyses")


def scored(folder: Path) -> dict[str, bytes]:
    """What a run measured on the test images: all in the folder of the scores but the training log."""
    return {name: data for name, data in contents(folder, "scores").items() if name != LOG}


def unscored(folder: Path) -> Path:
    """Forget the scores of a copied run."""
    for name in scored(folder):
        (folder / name).unlink()
    for record in [*folder.glob("cells/scores-*"), *folder.glob("cells/kept_maps-*")]:
        record.unlink()
    return folder


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished training must not begin again."""
    monkeypatch.setattr(bench.training.run, "Trainer", None)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epohcs=3", "did you mean 'epochs'?"),
        ("score.metrics=['edge']", "unknown metric 'edge': known are"),
        ("score.methods=['gradcam']", "unknown method 'gradcam': known are"),
        ("score.targets=['worst']", "unknown pixel set 'worst': known are"),
        ("score.targets=['predicted:logits']", "unknown score 'logits': known are"),
        ("models.unet.widht=3", "unknown parameter of model 'unet' 'widht': known are channels, norm, width"),
        ("models.unet.width=0", "must be at least 1"),
        ("models.unet.width=wide", "must be of type int"),
        ("models.unot.width=3", "unknown model 'unot'"),
        ("data.dataset=scene", "unknown dataset 'scene': known are"),
        ("data.dataset=oxford_pet", "--data-root"),
        ("score.class_id=7", "scenes has 2 classes: 0 = background, 1 = pet"),
    ],
)
@pytest.mark.parametrize("stage", ["all", "train", "score"])
def test_wrong_input(tiny: Path, tmp_path: Path, stage: str, setting: str, words: str) -> None:
    assert words in run(stage, tiny, tmp_path / "out", setting).refusal
    assert not (tmp_path / "out").exists(), "nothing is begun"


def test_data_that_are_not_there(tiny: Path, tmp_path: Path) -> None:
    root = "/nowhere/at/all"
    assert root in run("all", tiny, tmp_path / "out", "data.dataset=oxford_pet", f"data.root={root}").refusal


@pytest.mark.parametrize("stage", ["all", "train", "score", "report"])
def test_unknown_profile(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = command("run", stage, "-p", "smok").refusal
    assert "unknown profile 'smok'" in message
    assert "did you mean 'smoke'?" in message
    assert "or give the path of a .toml file" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(tiny: Path, tmp_path: Path) -> None:
    outcome = command("run", "all", "-p", tiny, "--out", tmp_path / "out", "--device", "cuda")
    assert "torch finds no GPU here" in outcome.refusal


@pytest.mark.parametrize("place", ["closed", "closed/below", "file", "file/below"])
def test_folders_that_cannot_be_written_to(tiny: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "file").write_text("mine")
    try:
        outcome = run("all", tiny, tmp_path / place)
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert f"cannot write to {tmp_path / place}" in outcome.refusal
    assert "choose another folder with --out" in outcome.error
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("arguments", [("run", "report"), ("status",)])
def test_no_run_in_the_folder(tiny: Path, tmp_path: Path, arguments: tuple[str, ...], exists: bool) -> None:
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()
    assert f"{folder} holds no run" in command(*arguments, "-p", tiny, "--out", folder).refusal
    assert folder.exists() == exists
    assert contents(tmp_path) == {}


def test_scoring_before_training(tiny: Path, tmp_path: Path) -> None:
    message = run("score", tiny, tmp_path / "out").refusal
    assert "nothing is trained for unet-s0" in message
    assert "run train (or all) first" in message
    assert contents(tmp_path).keys() <= {"out/manifest.json"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.learning_rate=0.5", "train.unet.learning_rate (0.02 there, 0.5 now)"),
        ("models.unet.width=3", "models.unet.width (2 there, 3 now)"),
        ("train.levels=[30, 60]", "train.unet.levels ([30, 40] there, [30, 60] now)"),
        ("data.border=pet", "data.border (ignore there, pet now)"),
        ("data.test=5", "data.test (6 there, 5 now)"),
        ("models.unet.norm=none", "models.unet.norm (absent there, none now)"),
        ("score.class_id=0", "score.class_id (1 there, 0 now)"),
    ],
)
@pytest.mark.parametrize("stage", ["train", "score"])
def test_another_run_in_the_folder(finished: Path, tiny: Path, stage: str, setting: str, words: str) -> None:
    before = contents(finished)
    message = run(stage, tiny, finished, setting).refusal
    assert f"{finished} holds another run: " in message
    assert words in message
    assert contents(finished) == before


@pytest.mark.parametrize("arguments", [("run", "train"), ("run", "report"), ("status",)])
def test_a_damaged_manifest_is_named(tmp_path: Path, tiny: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "manifest.json").write_text("{")
    message = command(*arguments, "-p", tiny, "--out", tmp_path).refusal
    assert f"{tmp_path / 'manifest.json'}: cannot be read" in message
    assert "remove it and run the same command again" in message


@pytest.mark.parametrize("how", ["head", "level", "damaged"])
def test_a_checkpoint_that_was_changed(copied: Path, tiny: Path, how: str) -> None:
    unscored(copied)
    file = copied / CHECKPOINT
    tensors, header = unpack(file)
    head = {name: tensor + 1 if name.startswith("head") else tensor for name, tensor in tensors.items()}
    other = (copied / CHECKPOINT.replace("l30", "l40")).read_bytes()
    file.write_bytes({"head": pack(head, header), "level": other, "damaged": file.read_bytes()[:1000]}[how])
    message = run("score", tiny, copied).refusal
    assert f"{file} is not the checkpoint that the training wrote: put the right file back" in message
    assert scored(copied) == {}


def test_a_checkpoint_that_was_deleted_is_trained_again(copied: Path, finished: Path, tiny: Path) -> None:
    (copied / CHECKPOINT).unlink()
    assert "nothing is trained for unet-s0" in run("score", tiny, copied).refusal
    finish("train", tiny, copied)
    assert_same_results(finished, copied)


def test_somebody_elses_folder(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "photographs.csv").write_text("mine")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "piano.parquet").write_text("mine")
    before = contents(tmp_path)
    assert "holds files but no run (photographs.csv, scores)" in run("all", tiny, tmp_path).refusal
    assert contents(tmp_path) == before


def test_a_level_that_is_not_reached(tiny: Path, tmp_path: Path) -> None:
    """Told with the best value seen; the tables have it as not reached, and beside it the best, which is called so."""
    settings = (tiny, tmp_path / "out", "train.levels=[30, 99]", "train.epochs=2")
    outcome = run("all", *settings)
    assert outcome.code == 1
    assert "levels not reached: unet, seed 0: 99 % (best " in outcome.err
    assert "error:" not in outcome.err
    reached, missed, best = manifest(tmp_path / "out")["checkpoints"]
    assert (reached["level"], reached["reached"]) == (30, True)
    assert (best["level"], best["reached"], best["miou"]) == (BEST, True, best["best_miou"])
    scores = pd.concat(map(pd.read_parquet, (tmp_path / "out" / "scores").glob("*.parquet")))
    assert set(scores["level"]) == {30, BEST}
    assert "the best checkpoint is kept and scored beside them, as 'best'" in outcome.err
    assert (missed["level"], missed["reached"], missed["file"]) == (99, False, None)
    assert missed["nearest_miou"] == missed["best_miou"] < 0.9
    assert "not reached (nearest " in outcome.err
    assert (tmp_path / "out" / "tables" / "levels.csv").is_file()
    assert not any("l99" in name for name in contents(tmp_path / "out"))
    again = run("train", *settings)
    assert again.code == 1
    assert "levels not reached: unet, seed 0: 99 %" in again.err


def test_no_level_reached_at_all(tiny: Path, tmp_path: Path) -> None:
    outcome = run("all", tiny, tmp_path, "train.levels=[99]", "train.steps=3")
    assert outcome.code == 1
    assert "levels not reached: unet, seed 0: 99 %" in outcome.err
    assert "error:" not in outcome.err
    assert [(c["level"], c["reached"]) for c in manifest(tmp_path)["checkpoints"]] == [(99, False), (BEST, True)]
    assert manifest(tmp_path)["planned"]["score"] > 0
    assert (tmp_path / "tables" / "levels.csv").is_file()
    assert command("status", "--out", tmp_path).code == 0


def test_a_training_that_diverges(tiny: Path, tmp_path: Path) -> None:
    outcome = run("all", tiny, tmp_path, "train.learning_rate=1e30")
    assert outcome.code == 1
    assert "training diverged by step" in outcome.error
    assert not (tmp_path / "checkpoints").exists()


def test_a_finished_run_is_not_done_again(
    copied: Path, finished: Path, tiny: Path, no_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.measuring.Measuring, "do", None)
    names = [*contents(copied, "cells", "checkpoints"), *scored(copied)]
    times = {p: p.stat().st_mtime_ns for p in map(copied.joinpath, names)}
    for stage in ("train", "score"):
        finish(stage, tiny, copied)
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert_same_results(finished, copied)
    assert manifest(finished) == manifest(copied)


@pytest.mark.parametrize("lost", [*SCORED, "cells"])
def test_what_was_lost_is_done_again(copied: Path, finished: Path, tiny: Path, no_training: None, lost: str) -> None:
    next(p for p in sorted((copied / lost).iterdir()) if p.is_file() and "train" not in p.name).unlink()
    measuring = bench.measuring.Measuring
    with mock.patch.object(measuring, "do", autospec=True, side_effect=measuring.do) as done:
        finish("score", tiny, copied)
    assert done.call_count == 1
    assert_same_results(finished, copied)
    assert contents(copied).keys() == contents(finished).keys()


@pytest.mark.parametrize(
    "setting",
    [
        "score.metrics=['spread', 'blank']",
        "score.targets=['predicted:logit']",
        "score.shard=6",
        "score.points=['relu']",
    ],
)
def test_scores_follow_the_settings_there_and_back(copied: Path, finished: Path, tiny: Path, setting: str) -> None:
    """Files of one name hold other rows under other settings: neither setting may take them for its own."""
    message = run("score", tiny, copied, setting).refusal
    assert "finished cells of other settings" in message
    assert f"{setting.partition('=')[0]} (" in message
    assert contents(copied).items() >= contents(finished).items(), "nothing is dropped without --yes"
    finish("score", tiny, copied, setting, more=["--yes"])
    between = scored(copied)
    assert between != scored(finished)
    progress = status(tiny, copied)
    assert progress["scored"] == progress["to_score"]
    finish("score", tiny, copied, more=["--yes"])
    assert scored(copied) == scored(finished)
    finish("score", tiny, copied, setting, more=["--yes"])
    assert scored(copied) == between


def test_seeds_can_be_added_later(copied: Path, finished: Path, tiny: Path) -> None:
    finish("train", tiny, copied, "train.seeds=[0, 1]")
    before, after = contents(finished, "checkpoints"), contents(copied, "checkpoints")
    assert before.items() < after.items()
    assert after.keys() - before.keys() == {f"checkpoints/unet-s1-l{level}.safetensors" for level in (*LEVELS, BEST)}
    assert after["checkpoints/unet-s1-l30.safetensors"] != after[CHECKPOINT]
    assert sorted(pd.read_parquet(copied / LOG)["seed"].unique()) == [0, 1]
    progress = status(tiny, copied)
    assert [progress[key] for key in ("trained", "to_train", "scored", "to_score")] == [2, 2, 6, 12]


def test_a_full_disk(copied: Path, finished: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unscored(copied)
    synced, left = os.fsync, [12]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("bench.output.store.os.fsync", fsync)
        outcome = command("run", "score", "-p", tiny, "--out", copied)
    assert outcome.code == 1
    assert "No space left on device" in outcome.error
    assert "run the same command again: finished parts are kept" in outcome.error
    assert not list(copied.rglob(".*.tmp"))
    assert 0 < len(list(copied.glob("scores/*.parquet"))) < 4
    assert command("run", "score", "-p", tiny, "--out", copied).code == 0
    assert_same_results(finished, copied)


class Killed(BaseException):
    """The end of a process, as a write sees it."""


def test_dying_at_any_write_changes_nothing(
    finished: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt dies at one of its writes, before the file gets its name or just after, and leaves its rest."""
    folder, allowed, ends = tmp_path / "out", [0], set()
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        # Frames and looks stay from attempt to attempt, so that no two write as often.
        if {FILMS, "looks"}.intersection(Path(target).parts):
            return replace(self, target)
        allowed[0] -= 1
        if allowed[0] == 0:
            before = attempts % 2 == 0
            name = Path(target).relative_to(folder)
            ends.add((name.parent.as_posix() if name.parent.name else name.name, before))
            if not before:
                replace(self, target)
            raise Killed
        return replace(self, target)

    def attempt(stage: str, writes: int) -> bool:
        allowed[0] = writes
        profile = profiles.read(str(tiny))
        data = open_data(profile, root=None, download=False)
        work = bench.run.Run(profile, data, Store(folder), torch.device("cpu"), Console(quiet=True), bool)
        try:
            work.prepare()
            getattr(work, stage)()
        except Killed:
            return False
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        for stage, places in {
            "train": {"manifest.json", "cells"},
            "score": {"manifest.json", "cells", "scores", "scores/predictions", "scores/agreement"},
        }.items():
            attempts = 0
            ends.clear()
            while not attempt(stage, 1 + attempts // 2):
                attempts += 1
                assert attempts < 80
            assert ends >= {(place, before) for place in places for before in (True, False)}
    assert contents(folder, "scores", "checkpoints", FILMS) == contents(finished, "scores", "checkpoints", FILMS)
    assert {p.name for p in folder.glob("cells/*")} == {p.name for p in finished.glob("cells/*")}
    assert not [path for path in folder.rglob(".*") if path.name not in LOCKS]


def test_leftovers_of_killed_runs_are_removed(copied: Path, tiny: Path, no_training: None) -> None:
    dead = dead_process()
    (copied / "scores" / f".unet-s0-l30-000.parquet.{dead}-ab12.tmp").write_bytes(b"half")
    record = next(copied.glob("cells/train-*.json"))
    record.with_suffix(".safetensors").write_bytes(b"state of a training whose record was just written")
    finish("train", tiny, copied)
    assert not list(copied.rglob(".*.tmp"))
    assert not list(copied.glob("cells/*.safetensors"))


def test_checkpoints_say_what_they_are(finished: Path, tiny: Path) -> None:
    entries = manifest(finished)["checkpoints"]
    assert [entry["level"] for entry in entries] == list(LEVELS)
    for entry in entries:
        file = finished / entry["file"]
        assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        model, header = load(file)
        fixed = {
            "architecture": "unet",
            "parameters": {"width": 2, "norm": "batch"},
            "classes": ["background", "pet"],
            "size": 32,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "dataset": "scenes",
            "border": "ignore",
            "averaged": False,
            "seed": 0,
            "reached": True,
            "training_data": "60 drawn scenes",
        }
        assert header | fixed == header
        assert all(entry[key] == header[key] for key in entry.keys() & header.keys())
        assert header["images_seen"] == 5 * header["step"] > 0
        assert header["miou"] == pytest.approx((header["iou"]["background"] + header["iou"]["pet"]) / 2)
        assert abs(header["miou"] - header["level"] / 100) <= header["tolerance"] == 0.08
        assert header["nearest_miou"] == header["miou"] <= header["best_miou"]
        assert 0 < header["baseline_miou"] < 0.5
        assert 0 <= header["predicted_share"] <= 1
        assert "seconds" not in header, "the same training is the same file"
        assert not model.training


def test_the_manifest_says_what_the_run_was(finished: Path, tiny: Path) -> None:
    values = manifest(finished)
    assert values["profile"] == profiles.read(str(tiny)).portable()
    assert values["planned"] == {"train": 1, "score": 6}
    assert len(values["cells"]) == 7
    assert all(record["seconds"] > 0 for record in values["cells"].values())
    assert values["scored_images"] == 6
    assert values["dataset"]["splits"] == {"train": 60, "val": 12, "test": 6}
    assert values["border"] == "ignore"
    assert [layer["depth"] for layer in values["layers"]["unet"]] == list(range(18))
    parameters = create("unet", 2, {"width": 2}).parameters()
    assert values["models"]["unet"]["parameters"] == sum(p.numel() for p in parameters)
    assert {"python", "torch", "segcam", "timm", "transformers"} <= set(values["versions"])
    assert list(values["targets"]) == ["best_pixel:logit", "predicted:logit"]
    assert values["targets"]["predicted:logit"]["class"] == 1
    assert len(values["gallery"]["ids"]) == 1


def test_no_file_holds_a_place_of_this_machine(finished: Path) -> None:
    places = [str(finished.parent.parent).encode(), str(Path(bench.run.__file__).parents[1]).encode()]
    for name, data in contents(finished).items():
        assert name.endswith((".png", ".npz")) or not any(place in data for place in places), name


def test_the_training_log(finished: Path) -> None:
    log = pd.read_parquet(finished / LOG)
    record = json.loads(next(finished.glob("cells/train-*.json")).read_text())
    steps = {answer: of_start["step"].tolist() for answer, of_start in log.groupby("initial_answer", observed=True)}
    assert list(log["initial_answer"].unique()) == ["foreground", "random"], "30 % has a start of its own"
    assert all(of_start == sorted(set(of_start)) for of_start in steps.values())
    history = [(evaluation["initial_answer"], evaluation["step"]) for evaluation in record["history"]]
    assert list(zip(log["initial_answer"], log["step"], strict=True)) == history
    assert steps["random"][-1] == record["steps"]
    assert (log["images_seen"] == 5 * log["step"]).all()
    assert log["loss"].isna().tolist() == (log["step"] == 0).tolist()
    assert log["miou"].to_numpy() == pytest.approx(((log["iou_background"] + log["iou_pet"]) / 2).to_numpy())
    for entry in manifest(finished)["checkpoints"]:
        miou = log[log["initial_answer"] == entry["initial_answer"]].set_index("step")["miou"]
        assert miou[entry["step"]] == entry["miou"]
        distance = (miou - entry["level"] / 100).abs()
        assert distance[entry["step"]] == pytest.approx(distance.min(), abs=1e-12)


def test_the_device_is_told(tiny: Path, tmp_path: Path) -> None:
    outcome = command("run", "score", "-p", tiny, "--out", tmp_path / "out", "--device", "cpu")
    assert "tiny: scenes at 32 px, on cpu, into" in outcome.err
    assert outcome.out == ""


def test_the_default_folder_follows_the_profiles_name(
    tiny: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the profile's file is called something else, or has a dot in its name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "runs" / "v1.2")
    file = tmp_path / "other.toml"
    file.write_text('name = "v1.2"\n' + tiny.read_text())
    assert command("status", "-p", file).code == command("run", "train", "-p", file).code == 0
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["v1.2"]


@pytest.mark.parametrize("arguments", [("run", "report"), ("status",), ("publish", "--archive", "a.zip")])
def test_a_profile_beside_its_folder(
    finished: Path,
    copied: Path,
    tiny: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is that of the folder's run, or is refused; the default, said aloud, is a profile like any other."""
    monkeypatch.chdir(tmp_path)
    before = contents(finished)
    words = f"{finished} holds a run of profile 'tiny', not of 'quick': leave out --profile or --out"
    assert words in command(*arguments, "--out", finished, "-p", "quick").refusal
    assert "unknown profile 'quik'" in command(*arguments, "--out", finished, "-p", "quik").refusal
    (tmp_path / "none").mkdir()
    assert "holds no run" in command(*arguments, "--out", tmp_path / "none", "-p", "quick").refusal
    assert contents(finished) == before
    assert command(*arguments, "--out", copied, "-p", tiny).code == 0


def test_the_default_profile_said_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a profile like any other: the stage's own does not take its place without a word."""
    assert "run timing does not use --profile" in command("run", "timing", "-p", "quick", "--out", tmp_path).refusal
    run_with: list[str | None] = []
    monkeypatch.setattr(stages, "known_evidence", lambda profile, *_: run_with.append(profile))
    for given in ((), ("-p", "quick")):
        assert command("run", "evidence", "--out", tmp_path, *given).code == 0
    assert run_with == [None, "quick"]


def test_status(finished: Path, copied: Path, tiny: Path) -> None:
    outcome = command("status", "-p", tiny, "--out", finished)
    assert outcome.code == 0
    assert "1 of 1 trainings, 6 of 6 scoring cells" in outcome.out
    assert "30 %" in outcome.out
    files = {kind: len(list((finished / kind).iterdir())) for kind in ("tables", "figures")}
    done = {"profile": "tiny", "trained": 1, "to_train": 1, "scored": 6, "to_score": 6, "training_now": {}} | files
    assert status(tiny, finished) == done
    (copied / "cells" / "mine.safetensors").write_bytes(b"mine")
    assert status(tiny, unscored(copied)) == done | {"scored": 0}


NUCLEI = """
[data]
dataset = "folder"
size = 32
test = 4
[models.unet]
width = 4
[train]
levels = ["best"]
steps = 60
batch_size = 4
learning_rate = 0.01
[score]
targets = ["best_pixel:logit"]
methods = ["grad_cam", "uniform"]
metrics = ["energy_inside", "blank"]
"""


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A profile, and photographs of small bright objects of the user's own."""
    root = tmp_path_factory.mktemp("nuclei")
    for part in ("images", "masks"):
        (root / part).mkdir()
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:32, :32]
    for i in range(30):
        mask = np.zeros((32, 32), np.uint8)
        for r, c in rng.integers(4, 28, (2, 2)):
            mask[(rows - r) ** 2 + (columns - c) ** 2 < 5] = 1
        image = rng.normal(40, 8, (32, 32, 1)) + 120 * mask[..., None]
        Image.fromarray(np.repeat(image.clip(0, 255), 3, 2).astype(np.uint8)).save(root / "images" / f"n{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"n{i}.png")
    (root / "classes.toml").write_text('classes = ["background", "nucleus"]\n')
    (root / "nuclei.toml").write_text(NUCLEI)
    return root / "nuclei.toml", root


def blank_shares(out: Path) -> tuple[float, float]:
    """Of the maps of Grad-CAM, how many are blank, and how many have a score that is a bias alone."""
    scores = pd.concat(map(pd.read_parquet, (out / "scores").glob("*.parquet")))
    maps = scores[scores["method"] == "grad_cam"]
    return float(maps["blank"].mean()), float(maps["target_bias"].mean())


def test_objects_of_ones_own_have_maps_by_default(nuclei: tuple[Path, Path], tmp_path: Path) -> None:
    outcome = command("run", "all", "-p", nuclei[0], "--data-root", nuclei[1], "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    blank, bias = blank_shares(tmp_path)
    assert blank < 0.5
    assert bias == 0
    assert "BLANK MAPS" not in outcome.err
    assert "images left out by limits: test 2; --set data.test=null takes all" in " ".join(outcome.err.split())


def test_maps_that_are_blank_for_a_bias_are_told(nuclei: tuple[Path, Path], tmp_path: Path) -> None:
    """The network answers 'nucleus' by its last bias, and 'background' by all that it sees: here by construction."""

    def start(model: nn.Module, *_: object) -> None:
        last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
        with torch.no_grad():
            last.weight.copy_(last.weight.abs() * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            last.bias.copy_(torch.tensor([-3.0, 3.0]))

    more = ["--set", "train.steps=1", "--set", "train.initial_answer=foreground", "--set", "train.learning_rate=1e-9"]
    with mock.patch.object(bench.training.trainer, "answer", start):
        outcome = command("run", "all", "-p", nuclei[0], "--data-root", nuclei[1], "--out", tmp_path, *more)
    blank, bias = blank_shares(tmp_path)
    assert 0 < bias <= blank
    told = "the score is the last layer's bias alone"
    reasons = [gap["reason"] for gap in manifest(tmp_path)["skipped"] if gap["method"] == "grad_cam"]
    assert [reason for reason in reasons if told in reason]
    assert told in (tmp_path / "tables" / "skipped.csv").read_text()
    assert "BLANK MAPS" in outcome.err
    assert "train.initial_answer=random" in outcome.err
    assert outcome.code == (1 if bias > 0.5 else 0)


@pytest.mark.parametrize("value", ["null", "all", '"all"'])
def test_limits_can_be_lifted(nuclei: tuple[Path, Path], value: str) -> None:
    settings = profiles.read(str(nuclei[0]), [f"data.test={value}", "data.val=null"])
    data = open_data(settings, root=nuclei[1], download=False)
    assert len(data.test) == 6
    assert not any("left out" in line for line in lines(data))
    again = profiles.read(str(nuclei[0]))
    assert len(open_data(again, root=nuclei[1], download=False).test) == 4
