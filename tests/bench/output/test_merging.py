"""Runs of machines that share no disk, joined: what one machine would have made, or one message why not."""

from __future__ import annotations

import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd
import pytest

import bench.measuring
from analyses.reading.files import LOG
from bench.output.definition import profile
from bench.output.store import Store
from tests.bench.harness import bench as called
from tests.bench.harness import contents, finish, manifest, rewritten, run

SECOND = "train.seeds=[1]"
BOTH = "train.seeds=[0,1]"


@pytest.fixture(scope="module")
def second(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed; look, do not touch."""
    folder = tmp_path_factory.mktemp("second") / "out"
    finish("train", tiny, folder, SECOND)
    run("score", tiny, folder, SECOND)  # its best pixel is of a bias alone, which is told, and no matter here
    return folder


def by_key(values: dict[str, Any]) -> dict[str, Any]:
    """A manifest without what tells when it was written."""
    return {key: value for key, value in values.items() if key not in ("sha256", "hardware")}


def test_it_is_the_run_of_both(
    finished: Path, second: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "both"
    outcome = called("merge", finished, second, "--out", folder)
    assert outcome.code == 0, outcome.err
    assert f"merged 2 runs into {folder}; run report --out {folder} draws it" in outcome.err
    before, tables = manifest(folder), contents(folder, "scores")
    monkeypatch.setattr(bench.measuring.Measuring, "do", None)
    monkeypatch.setattr(bench.training.run.Trainings, "_train", None)
    run("score", tiny, folder, BOTH)  # nothing is left to do
    assert by_key(manifest(folder)) == by_key(before)
    made = {name: data for name, data in contents(folder, "scores").items() if name != LOG}
    assert made == {name: tables[name] for name in made}
    log, rows = (pd.read_parquet(file) for file in (folder / LOG, second / LOG))
    pd.testing.assert_frame_equal(log[log["seed"] == 1].reset_index(drop=True), rows, check_categorical=False)
    assert set(log["seed"]) == {0, 1}


def test_the_same_cell_twice_is_one(finished: Path, second: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(finished, again)
    outcome = called("merge", finished, again, second, "--out", tmp_path / "both")
    assert outcome.code == 0, outcome.err
    assert manifest(tmp_path / "both")["planned"] == {"train": 2, "score": 2 * manifest(finished)["planned"]["score"]}


def test_other_numbers_of_one_cell_are_refused(copied: Path, finished: Path, tmp_path: Path) -> None:
    name = next(name for name in manifest(copied)["files"] if name.startswith("scores/unet"))
    table = pd.read_parquet(copied / name)
    table["area"] += 1e-6
    written = Store(copied).write_table(name, {key: table[key].to_numpy() for key in table})
    rewritten(copied, lambda values: values["files"][name].update(sha256=written.sha256))
    outcome = called("merge", finished, copied, "--out", tmp_path / "both")
    assert f"{finished / name} and {copied / name} differ, though they are of one cell" in outcome.refusal
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values["profile"]["score"].update(points=["relu"]), "are not of one definition: profile.score"),
        (lambda values: values["definition"].update(digest="0"), "are not of one definition: definition.digest"),
        (lambda values: values["planned"].update(score=999), "is not finished (1 of 1 trainings"),
        (lambda values: values.update(published={"photographs": False}), "is published, without its cells"),
        (lambda values: values["models"]["unet"].update(parameters=1), "are not of one definition: models.unet"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    copied: Path, finished: Path, tmp_path: Path, change: Any, words: str
) -> None:
    rewritten(copied, change)
    outcome = called("merge", finished, copied, "--out", tmp_path / "both")
    assert words in outcome.refusal
    assert not (tmp_path / "both").exists()


def test_the_profile_of_all_has_the_seeds_of_all() -> None:
    parts = [
        {"train": {"seeds": [1]}, "recipes": {"unet": {"seeds": [11, 10], "steps": 5}, "vit": {"steps": 6}}},
        {"train": {"seeds": [0, 1]}, "recipes": {"unet": {"seeds": [12], "steps": 5}, "segformer": {"seeds": [10]}}},
    ]
    assert profile(parts) == {
        "train": {"seeds": [0, 1]},
        "recipes": {
            "unet": {"seeds": [10, 11, 12], "steps": 5},
            "vit": {"steps": 6},
            "segformer": {"seeds": [10]},
        },
    }


def test_how_many_seeds_have_own_passes_may_differ(copied: Path, second: Path, tmp_path: Path) -> None:
    rewritten(copied, lambda values: values["profile"]["score"].update(own_pass_seeds="first"))
    for number, parts in enumerate(((copied, second), (second, copied))):
        outcome = called("merge", *parts, "--out", tmp_path / f"{number}")
        assert outcome.code == 0, outcome.err
        assert re.search(r"seeds with own passes of .* differ: (first and all|all and first)\n", outcome.err)
        made = manifest(tmp_path / f"{number}")
        assert made["profile"]["score"]["own_pass_seeds"] == "all"
        assert made["planned"]["train"] == 2


@pytest.mark.parametrize(
    ("settings", "most"), [(("first", 3), 3), (("all", 3), "all"), (("first", 1, "first"), "first")]
)
def test_the_profile_of_all_has_own_passes_of_the_most_seeds(settings: tuple[int | str, ...], most: int | str) -> None:
    for order in (settings, settings[::-1]):
        assert profile([{"score": {"own_pass_seeds": one}} for one in order])["score"]["own_pass_seeds"] == most


def test_where_it_may_not_go(copied: Path, finished: Path, tmp_path: Path) -> None:
    assert "is one of the runs" in called("merge", finished, copied, "--out", copied).refusal
    assert "needs two or more folders" in called("merge", finished, "--out", tmp_path / "both").refusal
    assert "holds no run" in called("merge", finished, tmp_path / "none", "--out", tmp_path / "both").refusal
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    assert "choose an empty folder" in called("merge", finished, copied, "--out", other).refusal


def test_what_changes_digits_alone_is_told(copied: Path, second: Path, tmp_path: Path) -> None:
    rewritten(copied, lambda values: values["versions"].update(torch="1.0"))
    rewritten(copied, lambda values: values.update(registration="0" * 64))
    said = called("merge", copied, second, "--out", tmp_path / "both").err
    assert "differ: torch 1.0 and" in said
    assert "begun under other registrations: verdicts are exploratory" in said
    assert manifest(tmp_path / "both")["registration"] == ""


def test_beside_who_scores_it_is_refused_or_waits(finished: Path, second: Path, tmp_path: Path) -> None:
    merging = ("merge", finished, second, "--out", tmp_path / "both")
    beside = rf"{second} is in use by process {os.getpid()} of "
    with Store(second).writing():
        refused = called(*merging)
        assert refused.code == 1
        assert re.search(f"{beside}.*--wait", refused.error)
        assert not (tmp_path / "both").exists()
    begun = Event()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_score_a_while, second, begun)
        assert begun.wait(60)
        waited = called(*merging, "--wait")
    assert waited.code == 0
    assert re.search(f"{beside}.*: waiting", waited.err)


def _score_a_while(folder: Path, begun: Event) -> None:
    with Store(folder).writing():
        begun.set()
        time.sleep(3)
