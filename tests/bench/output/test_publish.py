"""What of a run is published: it redraws itself, says the same as its own scores, and holds no network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses import Results
from analyses.reading.files import LOG
from analyses.report.sheets import quantised
from bench.output.publish import published_maps, rounded
from tests.bench.harness import LEVELS, bench, contents


@pytest.fixture(scope="module")
def published(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "mine"
    folder.mkdir()
    outcome = bench("publish", "--out", finished, "--to", folder, "--set", "figures.photographs=false")
    assert outcome.code == 0, outcome.err
    (folder / "README.md").write_text("mine\n")
    return folder


@pytest.fixture(scope="module")
def shown(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run published with its photographs, and so with the page."""
    folder = tmp_path_factory.mktemp("shown") / "mine"
    outcome = bench("publish", "--out", finished, "--to", folder)
    assert outcome.code == 0, outcome.err
    return folder


def arrays(folder: Path, level: int) -> dict[str, np.ndarray]:
    with np.load(folder / "scores" / "gallery" / f"unet-s0-l{level}.npz") as file:
        return {name: file[name] for name in file.files}


def scores(folder: Path) -> pd.DataFrame:
    keys = ["model", "level", "seed", "image", "target", "layer", "method"]
    found = pd.concat(
        [pd.read_parquet(file) for file in sorted((folder / "scores").glob("*.parquet"))], ignore_index=True
    )
    return found.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True)


def test_there_are_no_networks_and_no_page(published: Path, finished: Path) -> None:
    names = set(contents(published))
    assert {"manifest.json", "captions.md", LOG, "tables/levels.csv"} <= names
    assert not any(name.startswith(("checkpoints", "cells", "report")) for name in names)
    assert {name for name in contents(published, "figures") if name.endswith(".png")} == {
        name for name in contents(finished, "figures") if name.endswith(".png")
    }
    assert json.loads((published / "manifest.json").read_text())["profile"]["figures"]["photographs"] is False
    assert json.loads((finished / "manifest.json").read_text())["profile"]["figures"]["photographs"] is True


def test_scores_are_all_there_and_off_by_rounding_alone(published: Path, finished: Path) -> None:
    own, held = scores(finished), scores(published)
    assert set(own.columns) == set(held.columns)
    assert len(list((published / "scores").glob("*.parquet"))) == own[["model", "level"]].drop_duplicates().shape[0]
    for name in own:
        if own[name].dtype == np.float32:
            np.testing.assert_allclose(held[name], own[name], rtol=2**-11, atol=0)
        else:
            assert held[name].astype(str).equals(own[name].astype(str))


@pytest.mark.parametrize("photographs", [False, True])
def test_its_scores_and_manifest_redraw_all_of_it(
    photographs: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Every table and figure, those of maps included, and the page where it is published: byte for byte."""
    whole: Path = request.getfixturevalue("shown" if photographs else "published")
    shutil.copytree(whole / "scores", tmp_path / "copy" / "scores")
    shutil.copy(whole / "manifest.json", tmp_path / "copy")
    outcome = bench("run", "report", "--out", tmp_path / "copy")
    assert outcome.code == 0, outcome.err
    before, after = contents(whole), contents(tmp_path / "copy")
    before.pop("README.md", None)
    assert any(name.startswith("figures/figure1") for name in before)
    assert any(name.startswith("report/data/maps") for name in before) == photographs
    assert [name for name in before if after.get(name) != before[name]] == []
    more = {name for name in after.keys() - before.keys() if photographs or not name.startswith("report/")}
    assert more == set()


def test_large_vector_figures_are_left_out_until_they_are_asked_for(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = {path.name: path.stat().st_size for path in (finished / "figures").glob("*.svg")}
    middle = sorted(vectors.values())[len(vectors) // 2]
    monkeypatch.setattr("bench.output.publish.MOST_PICTURED", middle)
    done = bench("publish", "--out", finished, "--to", tmp_path / "small", "--set", "figures.photographs=false")
    assert done.code == 0, done.err
    drawn = set(contents(tmp_path / "small", "figures"))
    told = {
        f"figures/{name}"
        for name in json.loads((tmp_path / "small" / "manifest.json").read_text())["published"]["left_out"]
    }
    assert told
    assert any(name.endswith(".svg") for name in drawn)
    assert told == {f"{Path(name).with_suffix('.svg')}" for name in drawn} - drawn
    for settings, wanted in (((), drawn), (("--set", "figures.kinds=['png','svg']"), drawn | told), ((), drawn | told)):
        done = bench("run", "report", "--out", tmp_path / "small", *settings)
        assert done.code == 0, done.err
        assert set(contents(tmp_path / "small", "figures")) == wanted


@pytest.mark.parametrize("level", LEVELS)
def test_without_photographs_the_maps_of_the_figures_alone_are_kept(
    published: Path, finished: Path, level: int
) -> None:
    own, held = arrays(finished, level), arrays(published, level)
    layers = [layer.name for layer in Results(finished).main_layers("unet")]
    maps = [f"best_pixel:logit|grad_cam|{layer}" for layer in layers]
    assert list(held) == ["ids", "masks", "pixels:best_pixel:logit", *maps]
    for name, values in held.items():
        np.testing.assert_array_equal(values, rounded(own[name]) if name in maps else own[name])


@pytest.mark.parametrize("level", LEVELS)
def test_with_photographs_the_other_maps_are_kept_as_the_page_shows_them(
    shown: Path, finished: Path, level: int
) -> None:
    own, held = arrays(finished, level), Results(shown).gallery("unet", 0, level)
    assert held.images is not None
    np.testing.assert_array_equal(held.images, own["images"])
    assert set(held.arrays) == set(own) - {"ids", "masks", "images"}
    main = Results(finished).main_layers("unet")
    for name, values in held.arrays.items():
        if name.startswith("pixels:"):
            np.testing.assert_array_equal(values, own[name])
        elif name in {f"best_pixel:logit|grad_cam|{layer.name}" for layer in main}:
            np.testing.assert_array_equal(values, rounded(own[name]))
        else:
            assert values.dtype == np.uint8
            np.testing.assert_array_equal(values, [quantised(one) for one in own[name]])


def test_the_files_of_maps_hold_the_same_bytes_each_time(finished: Path) -> None:
    results = Results(finished)
    one, two = (dict(published_maps(results, photographs=True)) for _ in range(2))
    assert one == two
    assert set(one) == {f"scores/gallery/unet-s0-l{level}.npz" for level in LEVELS}


def test_maps_of_controls_are_not_published_without_photographs(copied: Path) -> None:
    values = json.loads((copied / "manifest.json").read_text())
    values["methods"] = {name: entry for name, entry in values["methods"].items() if entry["kind"] == "control"}
    (copied / "manifest.json").write_text(json.dumps(values))
    assert list(published_maps(Results(copied), photographs=False)) == []
    assert list(published_maps(Results(copied), photographs=True))


def test_a_map_that_is_undefined_stays_so_and_equal_maps_are_stored_once(copied: Path) -> None:
    own = arrays(copied, 40)
    name = next(name for name in own if name.startswith("predicted:logit|grad_cam|"))
    own[name] = np.full_like(own[name], np.nan)
    np.savez_compressed(copied / "scores" / "gallery" / "unet-s0-l40.npz", **own)
    for file, data in published_maps(Results(copied), photographs=True):
        (copied / file).write_bytes(data)
    held = Results(copied).gallery("unet", 0, 40)
    assert np.isnan(held.arrays[name]).all()
    stored = [one for one in arrays(copied, 40) if one.startswith("small:")]
    assert len(stored) < sum(one.count("|") == 2 for one in held.arrays), "controls are the same for each target"


def test_photographs_that_are_not_there_cannot_be_asked_for(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    before = contents(copy)
    outcome = bench("run", "report", "--out", copy, "--set", "figures.photographs=true")
    assert outcome.code == 2
    assert "was published without photographs" in outcome.error
    assert contents(copy) == before


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
