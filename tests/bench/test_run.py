"""Runs through the command line: what goes wrong is one message, and what is finished is not done again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

import bench.measuring
import bench.run
import bench.training.run
from analyses.reading.files import LOG
from bench.output.store import Store
from bench.planning import profile as profiles
from bench.planning.data import open_data
from segcam.models import create
from segcam.models.weights.checkpoints import load, pack, unpack
from tests.bench.harness import LEVELS, assert_same_results, contents, manifest
from tests.bench.harness import bench as command

CHECKPOINT = "checkpoints/unet-s0-l30.safetensors"
SCORED = ("scores", "scores/predictions", "scores/agreement", "scores/gallery")


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


def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a finished training was begun again")

    monkeypatch.setattr(bench.training.run, "Trainer", never)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["trian.epochs=3"], "unknown key 'trian'"),
        (["train.epohcs=3"], "did you mean 'epochs'?"),
        (["train.epochs=0", "train.batch_size=0"], "(2 in all)"),
        (["train.epochs"], "write it as section.key=value"),
        (["score.metrics=['edge']"], "unknown metric 'edge': known are"),
        (["score.methods=['gradcam']"], "unknown method 'gradcam': known are"),
        (["score.targets=['worst']"], "unknown pixel set 'worst': known are"),
        (["score.targets=['predicted:logits']"], "unknown score 'logits': known are"),
        (["models.unet.widht=3"], "unknown parameter of model 'unet' 'widht': known are norm, width"),
        (["models.unet.width=0"], "must be at least 1"),
        (["models.unet.width=wide"], "must be of type int"),
        (["models.unot.width=3"], "unknown model 'unot'"),
        (["data.dataset=scene"], "unknown dataset 'scene': known are"),
        (["data.dataset=oxford_pet"], "--data-root"),
        (["data.dataset=oxford_pet", "data.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["score.class_id=7"], "scenes has 2 classes: 0 = background, 1 = pet"),
    ],
)
@pytest.mark.parametrize("stage", ["all", "train", "score"])
def test_wrong_input(tiny: Path, tmp_path: Path, stage: str, settings: list[str], words: str) -> None:
    chosen = [part for setting in settings for part in ("--set", setting)]
    outcome = command("run", stage, "-p", tiny, "--out", tmp_path / "out", *chosen)
    assert outcome.code == 2
    assert words in outcome.error
    assert not (tmp_path / "out").exists(), "nothing is begun"


@pytest.mark.parametrize("stage", ["all", "train", "score", "report"])
def test_unknown_profile(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command("run", stage, "-p", "smok")
    assert outcome.code == 2
    assert "unknown profile 'smok'" in outcome.error
    assert "did you mean 'smoke'?" in outcome.error
    assert "or give the path of a .toml file" in outcome.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(tiny: Path, tmp_path: Path) -> None:
    outcome = command("run", "all", "-p", tiny, "--out", tmp_path / "out", "--device", "cuda")
    assert outcome.code == 2
    assert "torch finds no GPU here" in outcome.error


@pytest.mark.parametrize("place", ["closed", "closed/below", "file", "file/below"])
def test_folders_that_cannot_be_written_to(tiny: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "file").write_text("mine")
    try:
        outcome = command("run", "all", "-p", tiny, "--out", tmp_path / place)
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert outcome.code == 2
    assert f"cannot write to {tmp_path / place}" in outcome.error
    assert "choose another folder with --out" in outcome.error
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("arguments", [("run", "report"), ("status",)])
def test_no_run_in_the_folder(tiny: Path, tmp_path: Path, arguments: tuple[str, ...], there: bool) -> None:
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    outcome = command(*arguments, "-p", tiny, "--out", folder)
    assert outcome.code == 2
    assert f"{folder} holds no run" in outcome.error
    assert folder.exists() == there
    assert contents(tmp_path) == {}


def test_scoring_before_training(tiny: Path, tmp_path: Path) -> None:
    outcome = command("run", "score", "-p", tiny, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "nothing is trained for unet-s0" in outcome.error
    assert "run train (or all) first" in outcome.error
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
def test_another_run_in_the_folder(copied: Path, tiny: Path, stage: str, setting: str, words: str) -> None:
    before = contents(copied)
    outcome = command("run", stage, "-p", tiny, "--out", copied, "--set", setting)
    assert outcome.code == 2
    assert f"{copied} holds another run: " in outcome.error
    assert words in outcome.error
    assert contents(copied) == before


def test_keys_that_the_older_run_did_not_have_are_named(copied: Path, tiny: Path) -> None:
    values = manifest(copied)
    assert values["definition"]["train"]["unet"].pop("steps") is None
    (copied / "manifest.json").write_text(json.dumps(values))
    outcome = command("run", "score", "-p", tiny, "--out", copied)
    assert outcome.code == 2
    assert "train.unet.steps (absent there, None now)" in outcome.error


def test_a_damaged_manifest_is_named(copied: Path, tiny: Path) -> None:
    (copied / "manifest.json").write_text("{")
    for arguments in (("run", "train"), ("run", "report"), ("status",)):
        outcome = command(*arguments, "-p", tiny, "--out", copied)
        assert outcome.code == 2
        assert f"{copied / 'manifest.json'} cannot be read" in outcome.error


def swapped(how: str, folder: Path) -> None:
    """Put another file in a checkpoint's place."""
    file = folder / CHECKPOINT
    tensors, header = unpack(file)
    other = create("unet", 2, {"width": 3}).state_dict()
    contents = {
        "width": pack(other, header | {"parameters": {"width": 3, "norm": "batch"}}),
        "training": pack(tensors, header | {"cell": "ffffffffffff"}),
        "level": (folder / CHECKPOINT.replace("l30", "l40")).read_bytes(),
        "tensors": pack(other, header),
        "damaged": file.read_bytes()[:1000],
    }
    file.write_bytes(contents[how])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            "width",
            [
                "holds a unet with {'norm': 'batch', 'width': 3}",
                "this run's is a unet with {'width': 2, 'norm': 'batch'}",
                "put the right file back",
            ],
        ),
        ("training", ["of training ffffffffffff", "put the right file back"]),
        ("tensors", ["tensor 'decoders.0.conv1.weight' is (", "in the network"]),
        ("level", ["level 40; this run's is", "level 30: put the right file back"]),
        ("damaged", ["cannot be read as a checkpoint"]),
    ],
)
def test_a_checkpoint_of_something_else(copied: Path, tiny: Path, how: str, words: list[str]) -> None:
    unscored(copied)
    swapped(how, copied)
    outcome = command("run", "score", "-p", tiny, "--out", copied)
    assert outcome.code == 2
    assert str(copied / CHECKPOINT) in outcome.error
    assert all(word in outcome.error for word in words), outcome.error
    assert scored(copied) == {}


def test_a_checkpoint_that_was_deleted_is_trained_again(copied: Path, finished: Path, tiny: Path) -> None:
    (copied / CHECKPOINT).unlink()
    outcome = command("run", "score", "-p", tiny, "--out", copied)
    assert outcome.code == 2
    assert "nothing is trained for unet-s0" in outcome.error
    assert command("run", "train", "-p", tiny, "--out", copied).code == 0
    assert_same_results(finished, copied)


def test_somebody_elses_folder(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "photographs.csv").write_text("mine")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "piano.parquet").write_text("mine")
    before = contents(tmp_path)
    outcome = command("run", "all", "-p", tiny, "--out", tmp_path)
    assert outcome.code == 2
    assert "holds files but no run (photographs.csv, scores)" in outcome.error
    assert contents(tmp_path) == before


def test_a_level_that_is_not_reached(tiny: Path, tmp_path: Path) -> None:
    """Told with the best value seen; the tables have it as not reached, and nothing stands in for it."""
    wanted = ("-p", tiny, "--out", tmp_path / "out", "--set", "train.levels=[30, 99]", "--set", "train.epochs=2")
    outcome = command("run", "all", *wanted)
    assert outcome.code == 1
    assert "levels not reached: unet, seed 0: 99 % (best " in outcome.err
    assert "error:" not in outcome.err
    found = {entry["level"]: entry for entry in manifest(tmp_path / "out")["checkpoints"]}
    assert found[30]["reached"]
    assert not found[99]["reached"]
    assert found[99]["file"] is None
    assert found[99]["nearest_miou"] == found[99]["best_miou"] < 0.9
    assert "not reached (nearest " in outcome.err
    assert (tmp_path / "out" / "tables" / "levels.csv").is_file()
    assert not any("l99" in name for name in contents(tmp_path / "out"))
    again = command("run", "train", *wanted)
    assert again.code == 1
    assert "levels not reached: unet, seed 0: 99 %" in again.err


def test_no_level_reached_at_all(tiny: Path, tmp_path: Path) -> None:
    wanted = ("-p", tiny, "--out", tmp_path / "out", "--set", "train.levels=[99]", "--set", "train.steps=3")
    outcome = command("run", "all", *wanted)
    assert outcome.code == 1
    assert "levels not reached: unet, seed 0: 99 %" in outcome.err
    assert "error:" not in outcome.err
    assert manifest(tmp_path / "out")["planned"] == {"train": 1, "score": 0}
    assert (tmp_path / "out" / "tables" / "levels.csv").is_file()
    assert command("status", "--out", tmp_path / "out").code == 0


def test_a_training_that_diverges(tiny: Path, tmp_path: Path) -> None:
    outcome = command("run", "all", "-p", tiny, "--out", tmp_path / "out", "--set", "train.learning_rate=1e30")
    assert outcome.code == 1
    assert "training diverged by step" in outcome.error
    assert "checkpoints" not in {p.name for p in (tmp_path / "out").iterdir()}


def test_a_finished_run_is_not_done_again(
    copied: Path, finished: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_training(monkeypatch)
    monkeypatch.setattr(bench.measuring.Measuring, "measure", no_training)
    names = [*contents(copied, "cells", "checkpoints"), *scored(copied)]
    times = {p: p.stat().st_mtime_ns for p in map(copied.joinpath, names)}
    for stage in ("train", "score"):
        assert command("run", stage, "-p", tiny, "--out", copied).code == 0
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert_same_results(finished, copied)
    before, after = manifest(finished), manifest(copied)
    assert before == after


@pytest.mark.parametrize("lost", [*SCORED, "cells"])
def test_what_was_lost_is_done_again(
    copied: Path, finished: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    no_training(monkeypatch)
    next(p for p in sorted((copied / lost).iterdir()) if p.is_file() and "train" not in p.name).unlink()
    done = []
    score = bench.measuring.Measuring.measure
    monkeypatch.setattr(
        bench.measuring.Measuring, "measure", lambda self, *rest: (done.append(rest), score(self, *rest))
    )
    assert command("run", "score", "-p", tiny, "--out", copied).code == 0
    assert len(done) == 1
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
    settings = ("-p", tiny, "--out", copied)
    assert command("run", "score", *settings, "--set", setting).code == 0
    between = scored(copied)
    assert between != scored(finished)
    status = json.loads(command("status", "-p", tiny, "--out", copied, "--json").out)
    assert status["scored"] == status["to_score"]
    assert command("run", "score", *settings).code == 0
    assert scored(copied) == scored(finished)
    assert command("run", "score", *settings, "--set", setting).code == 0
    assert scored(copied) == between


def test_seeds_can_be_added_later(copied: Path, finished: Path, tiny: Path) -> None:
    settings = ("-p", tiny, "--out", copied, "--set", "train.seeds=[0, 1]")
    assert command("run", "train", *settings).code == 0
    before, after = contents(finished, "checkpoints"), contents(copied, "checkpoints")
    assert before.items() < after.items()
    assert {name for name in after if "-s1-" in name} == {
        f"checkpoints/unet-s1-l{level}.safetensors" for level in LEVELS
    }
    assert after["checkpoints/unet-s1-l30.safetensors"] != after[CHECKPOINT]
    log = pq.read_table(copied / LOG).to_pandas()
    assert sorted(log["seed"].unique()) == [0, 1]
    status = json.loads(command("status", "-p", tiny, "--out", copied, "--json").out)
    assert (status["trained"], status["to_train"], status["scored"], status["to_score"]) == (2, 2, 6, 12)


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
        allowed[0] -= 1
        if allowed[0] == 0:
            before = attempts % 2 == 0
            name = Path(target).relative_to(folder)
            ends.add((name.parent.as_posix() if name.parent.name else name.name, before))
            if not before:
                replace(self, target)
            raise Killed
        return replace(self, target)

    def attempt(stages: tuple[str, ...], writes: int) -> bool:
        allowed[0] = writes
        profile = profiles.read(str(tiny))
        data = open_data(profile, root=None, download=False)
        run = bench.run.Run(profile, data, Store(folder), torch.device("cpu"), Console(quiet=True))
        try:
            run.prepare()
            if "train" in stages:
                run.train()
            if "score" in stages:
                run.score()
        except Killed:
            return False
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        for stages, places in {
            ("train",): {"manifest.json", "cells"},
            ("score",): {"manifest.json", "cells", "scores", "scores/predictions", "scores/agreement"},
        }.items():
            attempts = 0
            ends.clear()
            while not attempt(stages, 1 + attempts // 2):
                attempts += 1
                assert attempts < 80
            assert ends >= {(place, before) for place in places for before in (True, False)}
    assert contents(folder, "scores", "checkpoints") == contents(finished, "scores", "checkpoints")
    assert {p.name for p in folder.glob("cells/*")} == {p.name for p in finished.glob("cells/*")}
    assert not list(folder.rglob(".*"))


def test_leftovers_of_killed_runs_are_removed(copied: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch)
    (copied / "scores" / ".unet-s0-l30-000.parquet.99.tmp").write_bytes(b"half")
    record = next(copied.glob("cells/train-*.json"))
    record.with_suffix(".safetensors").write_bytes(b"state of a training whose record was just written")
    assert command("run", "train", "-p", tiny, "--out", copied).code == 0
    assert not list(copied.rglob(".*.tmp"))
    assert not list(copied.glob("cells/*.safetensors"))


def test_checkpoints_say_what_they_are(finished: Path, tiny: Path) -> None:
    values = manifest(finished)
    assert [entry["level"] for entry in values["checkpoints"]] == list(LEVELS)
    for entry in values["checkpoints"]:
        file = finished / entry["file"]
        assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        model, header = load(file)
        assert header["architecture"] == "unet"
        assert header["parameters"] == {"width": 2, "norm": "batch"}
        assert header["classes"] == ["background", "pet"]
        assert header["size"] == 32
        assert header["mean"] == [0.485, 0.456, 0.406]
        assert header["std"] == [0.229, 0.224, 0.225]
        assert (header["dataset"], header["border"], header["averaged"]) == ("scenes", "ignore", False)
        assert (header["level"], header["seed"], header["reached"]) == (entry["level"], 0, True)
        assert header["images_seen"] == 5 * header["step"] > 0
        assert set(header["iou"]) == {"background", "pet"}
        assert header["miou"] == pytest.approx(sum(header["iou"].values()) / 2)
        assert abs(header["miou"] - header["level"] / 100) <= header["tolerance"] == 0.08
        assert header["nearest_miou"] == header["miou"] <= header["best_miou"]
        assert 0 < header["baseline_miou"] < 0.5
        assert 0 <= header["predicted_share"] <= 1
        assert header["training_data"] == "60 drawn scenes"
        assert "seconds" not in header, "the same training is the same file"
        assert all(entry[key] == header[key] for key in entry.keys() & header.keys())
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
    assert len(values["layers"]["unet"]) == 18
    assert [layer["depth"] for layer in values["layers"]["unet"]] == list(range(18))
    assert values["models"]["unet"]["parameters"] == sum(
        p.numel() for p in create("unet", 2, {"width": 2}).parameters()
    )
    assert {"python", "torch", "segcam", "timm", "transformers"} <= set(values["versions"])
    assert list(values["targets"]) == ["best_pixel:logit", "predicted:logit"]
    assert values["targets"]["predicted:logit"]["class"] == 1
    assert len(values["gallery"]["ids"]) == 1


def test_no_file_holds_a_place_of_this_machine(finished: Path) -> None:
    for name, data in contents(finished).items():
        if not name.endswith((".png", ".npz")):
            assert str(finished.parent.parent).encode() not in data, name
            assert str(Path(bench.run.__file__).parents[1]).encode() not in data, name


def test_the_training_log(finished: Path) -> None:
    log = pq.read_table(finished / LOG).to_pandas()
    record = json.loads(next(finished.glob("cells/train-*.json")).read_text())
    assert log["step"].tolist() == sorted(found["step"] for found in record["history"])
    assert log["step"].is_unique
    assert log["step"].max() == record["steps"]
    assert (log["images_seen"] == 5 * log["step"]).all()
    assert log["loss"].isna().tolist() == [True] + [False] * (len(log) - 1)
    assert log["miou"].to_numpy() == pytest.approx(((log["iou_background"] + log["iou_pet"]) / 2).to_numpy())
    for entry in manifest(finished)["checkpoints"]:
        row = log[log["step"] == entry["step"]].iloc[0]
        assert row["miou"] == entry["miou"]
        nearest = (log["miou"] - entry["level"] / 100).abs().min()
        assert abs(entry["miou"] - entry["level"] / 100) == pytest.approx(nearest, abs=1e-12)


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
    assert command("status", "-p", file).code == 0
    outcome = command("run", "train", "-p", file)
    assert outcome.code == 0, outcome.err
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["v1.2"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("models", {"unet", "segformer", "timm_unet", "vit"}),
        ("layers", {"Encoder 1_1", "Encoder 5_2", "Decoder 1_2", "Decoder 1_2 ReLU"}),
        ("methods", {"grad_cam", "uniform", "random", "sobel", "mask_oracle"}),
        ("metrics", {"energy_inside", "edge_alignment", "spread", "blank"}),
        ("datasets", {"scenes", "oxford_pet", "folder"}),
        ("profiles", {"smoke", "quick", "pets", "paper"}),
    ],
)
def test_lists(kind: str, names: set[str]) -> None:
    listed = command("list", kind, "--json")
    assert listed.code == 0
    rows = json.loads(listed.out)
    assert names <= {row["label" if kind == "layers" else "name"] for row in rows}
    assert len({tuple(row) for row in rows}) == 1, "all rows have the same keys"
    shown = command("list", kind)
    assert shown.code == 0
    assert all(name in shown.out for name in names)
    assert listed.err == shown.err == ""


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("segformer", ("Mix-FFN dw-conv 3_2", "mix-ffn", "16", "conv")),
        ("timm_unet:resnet18", ("Encoder 2", "encoder", "4", "conv", "encoder.layer1")),
        ("vit", ("After attention 12", "after attention", "16", "conv", "encoder.blocks.11.attn.proj_drop")),
    ],
)
def test_layers_of_a_network(model: str, layer: tuple[str, ...]) -> None:
    """A line a layer, in full, at the width that a pipe gets."""
    shown = command("list", "layers", "--model", model)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.out.splitlines() if "│" in line]
    assert all(row[0] == model and row[1] and row[-1] for row in lines)
    (found,) = [row for row in lines if row[1] == layer[0]]
    assert set(layer) <= set(found)
    assert "…" not in shown.out
    assert shown.err == ""


def test_variants_are_listed() -> None:
    rows = {row["name"]: row for row in json.loads(command("list", "models", "--json").out)}
    assert rows["segformer"]["variants"] == "segformer:SIZE"
    assert rows["timm_unet"]["variants"] == "timm_unet:ENCODER"
    assert rows["unet"]["variants"] == ""


def test_lists_of_nothing() -> None:
    assert command("list", "colours").code == 2
    outcome = command("list", "layers", "--model", "unot")
    assert outcome.code == 2
    assert "unknown model 'unot'" in outcome.error


def test_status(finished: Path, tiny: Path) -> None:
    outcome = command("status", "-p", tiny, "--out", finished)
    assert outcome.code == 0
    assert "1 of 1 trainings, 6 of 6 scoring cells" in outcome.out
    assert "30 %" in outcome.out
    values = json.loads(command("status", "-p", tiny, "--out", finished, "--json").out)
    assert values["profile"] == "tiny"
    assert (values["trained"], values["to_train"], values["scored"], values["to_score"]) == (1, 1, 6, 6)
    assert not values["training_now"]
    assert values["tables"] == len(list((finished / "tables").iterdir()))
    assert values["figures"] == len(list((finished / "figures").iterdir()))


def test_status_of_a_run_that_has_begun(copied: Path, tiny: Path) -> None:
    unscored(copied)
    values = json.loads(command("status", "-p", tiny, "--out", copied, "--json").out)
    assert (values["trained"], values["scored"], values["to_score"]) == (1, 0, 6)
