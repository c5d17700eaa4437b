"""What of a run is published: it redraws itself, says the same as its own scores, and holds no network and no maps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.publishing import MOST_PICTURED, rounded
from tests.bench.harness import bench, contents


@pytest.fixture(scope="module")
def published(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "mine"
    folder.mkdir()
    outcome = bench("publish", "--out", finished, "--to", folder, "--set", "figures.photographs=false")
    assert outcome.code == 0, outcome.err
    (folder / "README.md").write_text("mine\n")
    return folder


def scores(folder: Path) -> pd.DataFrame:
    keys = ["model", "level", "seed", "image", "target", "layer", "method"]
    found = pd.concat([pd.read_parquet(file) for file in sorted((folder / "scores").iterdir())], ignore_index=True)
    return found.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True)


def test_there_are_no_networks_no_maps_and_no_photographs(published: Path, finished: Path) -> None:
    names = set(contents(published))
    assert {"manifest.json", "captions.md", "training.parquet", "tables/levels.csv"} <= names
    assert not any(name.startswith(("checkpoints", "cells", "gallery", "report")) for name in names)
    assert {name for name in contents(published, "figures") if name.endswith(".png")} == {
        name for name in contents(finished, "figures") if name.endswith(".png")
    }
    assert json.loads((published / "manifest.json").read_text())["profile"]["figures"]["photographs"] is False
    assert json.loads((finished / "manifest.json").read_text())["profile"]["figures"]["photographs"] is True


def test_scores_are_all_there_and_off_by_rounding_alone(published: Path, finished: Path) -> None:
    own, held = scores(finished), scores(published)
    assert set(own.columns) == set(held.columns)
    assert len(list((published / "scores").iterdir())) == own[["model", "level"]].drop_duplicates().shape[0]
    for name in own:
        if own[name].dtype == np.float32:
            np.testing.assert_allclose(held[name], own[name], rtol=2**-11, atol=0)
        else:
            assert held[name].astype(str).equals(own[name].astype(str))


def test_it_redraws_itself_but_for_the_figures_of_maps(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    before = contents(copy)
    lost = [name for name in before if name.startswith(("tables/", "figures/levels"))]
    for name in lost:
        (copy / name).unlink()
    outcome = bench("run", "report", "--out", copy)
    assert outcome.code == 0, outcome.err
    after = contents(copy)
    assert any(name.startswith("figures/figure1") for name in after)
    assert "report/index.html" in after
    assert {name: after[name] for name in before} == before
    more = {name for name in after.keys() - before.keys() if not name.startswith("report/")}
    assert all(name.endswith(".svg") and len(after[name]) > MOST_PICTURED for name in more)


def test_the_page_is_there_where_images_may_be_shown(finished: Path, tmp_path: Path) -> None:
    assert bench("publish", "--out", finished, "--to", tmp_path / "to").code == 0
    assert any(name.startswith("report/data/maps") for name in contents(tmp_path / "to"))


def test_publishing_again_removes_what_is_no_longer_made(published: Path, finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    (copy / "tables" / "old.csv").write_text("a\n1\n")
    (copy / "scores" / "old.parquet").write_bytes(b"")
    assert bench("publish", "--out", finished, "--to", copy, "--set", "figures.photographs=false").code == 0
    assert contents(copy) == contents(published)


@pytest.mark.parametrize("what", ["of nothing", "of what is published", "over a run", "figures alone"])
def test_refused(what: str, published: Path, finished: Path, copied: Path, tmp_path: Path) -> None:
    arguments = {
        "of nothing": (["--out", tmp_path / "none", "--to", tmp_path / "to"], "holds no run"),
        "of what is published": (["--out", published, "--to", tmp_path / "to"], "is published already"),
        "over a run": (["--out", finished, "--to", copied], "holds a run, which would be lost"),
        "figures alone": (
            ["--out", finished, "--to", tmp_path / "to", "--set", "score.counter=true"],
            "only figures.*",
        ),
    }
    given, words = arguments[what]
    outcome = bench("publish", *given)
    assert outcome.code == 2
    assert words in outcome.error
    assert not (tmp_path / "to").exists()


def test_nothing_is_run_in_what_is_published(published: Path, tiny: Path) -> None:
    outcome = bench("run", "all", "-p", tiny, "--out", published)
    assert outcome.code == 2
    assert "holds a published run" in outcome.error


def test_values_are_rounded_to_the_nearest() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    near = rounded(values)
    assert np.abs(near / values - 1).max() <= 2**-11
    assert (rounded(near) == near).all()
    held = rounded(np.array([0, np.inf, -np.inf, np.nan, 1], np.float32))
    np.testing.assert_array_equal(held, np.array([0, np.inf, -np.inf, np.nan, 1], np.float32))
