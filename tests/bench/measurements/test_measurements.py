"""Faithfulness and sanity as parts of a run: planned, done once, described, drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import analyses
from bench.planning import profile as profiles
from bench.planning.cells import TrainCell
from tests.bench.conftest import FEW
from tests.bench.harness import contents, finish, manifest, planned, tables

ASKED = ("faithfulness.images=1", "faithfulness.steps=2", "faithfulness.samples=3", "faithfulness.draws=2")
ASKED += ('faithfulness.imputations=["blur"]', "sanity.images=2", "sanity.depths=2", "sanity.shuffled_steps=2")
ASKED += ("faithfulness.batch_size=1", "sanity.batch_size=1")
STUDIED = tuple(f"scores/{name}" for name in ("faithfulness", "faithfulness_curves", "sanity", "sanity_training"))
KEYS = {"dataset", "model", "level", "seed", "training_data"}


@pytest.fixture(scope="module")
def studied(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run to which both studies were added."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("studied") / "out"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "names", lambda: [*FEW, "faithfulness", "sanity"])
        finish("all", tiny, folder, *ASKED)
    return folder


def test_the_highest_level_of_each_training_is_studied(studied: Path, finished: Path) -> None:
    level = max(entry["level"] for entry in manifest(studied)["checkpoints"] if entry["reached"])
    for name, images in (("faithfulness", 1), ("faithfulness_curves", 1), ("sanity", 2), ("sanity_training", 2)):
        assert len(list((studied / "scores" / name).glob("*.parquet"))) == images, name
        table = tables(studied, f"{name}/*.parquet")
        assert set(table.columns) >= KEYS
        assert set(table["level"]) == {level}
    assert contents(finished, "scores").items() <= contents(studied, "scores").items()


def test_the_manifest_says_which_images_and_how_long(studied: Path) -> None:
    values = manifest(studied)
    assert {name: len(study["ids"]) for name, study in values["studies"].items()} == {"faithfulness": 1, "sanity": 2}
    assert all("chosen before any network was trained" in study["rule"] for study in values["studies"].values())
    cells = [name for name in values["cells"] if Path(name).name.startswith(("faithfulness-", "sanity-"))]
    assert len(cells) == 3
    assert all(values["cells"][name]["seconds"] > 0 for name in cells)


def test_figures_and_tables_are_there(studied: Path) -> None:
    names = {Path(name).name for name in contents(studied, "tables", "figures")}
    assert {"faithfulness.csv", "sanity.csv"} <= names
    assert {"faithfulness_areas.png", "sanity.svg"} <= names


def test_a_second_run_does_nothing_again_and_what_is_not_asked_goes(studied: Path, tiny: Path) -> None:
    before = {name: (studied / name).stat().st_mtime_ns for name in contents(studied, *STUDIED, "cells")}
    finish("score", tiny, studied, *ASKED)
    assert {name: (studied / name).stat().st_mtime_ns for name in contents(studied, *STUDIED, "cells")} == before
    lost = next(name for name in before if name.startswith("scores/sanity/"))
    data = (studied / lost).read_bytes()
    (studied / lost).unlink()
    finish("score", tiny, studied, *ASKED)
    assert (studied / lost).read_bytes() == data  # the same seed, the same table, bit for bit
    finish("score", tiny, studied, more=["--yes"])
    assert contents(studied, *STUDIED) == {}
    assert manifest(studied)["studies"] == {}


def test_cells_hang_on_what_defines_the_result_alone(tiny: Path) -> None:
    train = TrainCell("unet", 0, "abc")

    def ids(*settings: str) -> list[str]:
        profile = profiles.read(str(tiny), ["sanity.images=3", *settings])
        return [cell.id for cell in planned(profile, {train: {30: "a", 50: "b"}}, "sanity")]

    usual = ids()
    assert len(usual) == 1  # of the highest level, all images at once
    assert len(ids("sanity.levels=all")) == 2
    assert len(ids("sanity.batch_size=1")) == 3
    assert ids("score.batch_size=3") == usual
    assert ids("sanity.depths=3") != usual
    assert ids("score.points=['relu']") != usual
