"""Publications of parts of a study, joined: they decide what one of all does, and no part is mixed with another."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

import analyses
from analyses import Results
from analyses.report import told
from bench.output import hidden
from bench.output.store import Store, digest
from tests.bench.harness import bench, contents, manifest, rewritten
from tests.bench.output.published_parts import FREE, IMAGES, LEVELS, REDRAWN, made, published


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Publications `a`, `b` and `c` of a U-Net's seeds 0, and 1 and 2, and of a SegFormer, `few` of c; do not touch."""
    folder = tmp_path_factory.mktemp("parts")
    of = {"a": (["unet"], [0]), "b": (["unet"], [1, 2]), "c": (["segformer"], [0])}
    runs = {name: made(folder / "runs" / name, *trainings) for name, trainings in of.items()}
    few = published(runs["c"], folder / "few", "--no-page", "--no-maps", "--analyses", "levels")
    of_runs = {name: published(run, folder / name) for name, run in runs.items()}
    return SimpleNamespace(run=runs["a"], few=few, **of_runs)


@pytest.fixture(scope="module")
def all_of(parts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts joined; look, do not touch."""
    return merged(tmp_path_factory.mktemp("joined") / "abc", parts.a, parts.b, parts.c)


@pytest.fixture
def copied(parts: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the first part."""
    return Path(shutil.copytree(parts.a, tmp_path / "copied"))


def merged(to: Path, *folders: Path) -> Path:
    outcome = bench("merge", *folders, "--out", to)
    assert outcome.code == 0, outcome.err
    return to


def test_it_does_not_matter_which_are_joined_first(parts: SimpleNamespace, all_of: Path, tmp_path: Path) -> None:
    ab, bc = merged(tmp_path / "ab", parts.a, parts.b), merged(tmp_path / "bc", parts.b, parts.c)
    assert contents(merged(tmp_path / "ab_c", ab, parts.c)) == contents(all_of)
    assert contents(merged(tmp_path / "a_bc", parts.a, bc)) == contents(all_of)
    assert contents(merged(tmp_path / "bac", parts.b, parts.a, parts.c)) == contents(all_of)
    assert contents(merged(tmp_path / "aab", ab, parts.a, parts.b)) == contents(ab), "the same part twice is one"
    assert list(manifest(merged(tmp_path / "cba", parts.c, parts.b, parts.a))["models"]) == ["segformer", "unet"]


def test_its_scores_are_those_of_a_publication_of_the_whole(parts: SimpleNamespace, tmp_path: Path) -> None:
    whole = published(made(tmp_path / "run", ["unet"], [0, 1, 2]), tmp_path / "whole")
    joined = merged(tmp_path / "joined", parts.a, parts.b)
    of_whole, of_parts = (contents(folder, "scores") for folder in (whole, joined))
    assert of_parts.keys() == of_whole.keys()
    log = "scores/training/training.parquet"
    assert {name for name in of_whole if of_parts[name] != of_whole[name]} <= {log}
    pd.testing.assert_frame_equal(
        *(
            pd.read_parquet(io.BytesIO(one[log])).sort_values(["seed", "step"], ignore_index=True)
            for one in (of_whole, of_parts)
        ),
        check_dtype=False,
        check_categorical=False,
    )
    one, other = (Results(folder).manifest for folder in (whole, joined))
    assert one.published
    expected = {"published": one.published.model_copy(update={"joined": True}), "files": other.files}
    assert other == one.model_copy(update=expected)
    assert bench("run", "report", "--out", joined).code == 0
    tables = [pd.read_csv(folder / "tables" / "claim_specifications.csv") for folder in (whole, joined)]
    pd.testing.assert_frame_equal(*tables)
    assert len(set(tables[0]["measures"])) > 1, "of every choice, not of what was registered alone"


def test_rows_of_a_model_are_those_of_the_part_with_most_trainings(parts: SimpleNamespace, all_of: Path) -> None:
    table, of_b, of_c = (pd.read_csv(folder / "tables" / "heatmap.csv") for folder in (all_of, parts.b, parts.c))
    pd.testing.assert_frame_equal(table[table["model"] == "unet"], of_b)
    pd.testing.assert_frame_equal(table[table["model"] == "segformer"].reset_index(drop=True), of_c)
    said = "Of the study's parts: of U-Net seeds 1 and 2 alone."
    assert f"{said}\n" in (all_of / "captions.md").read_text()
    for suffix in ("md", "tex"):
        assert said in (all_of / "tables" / f"method_ranks.{suffix}").read_text()
    assert not list(all_of.glob("tables/claim*")), "they are of all parts, and drawn anew"


def test_figures_of_one_name_stand_beside_each_other(parts: SimpleNamespace, all_of: Path) -> None:
    figures = contents(all_of, "figures")
    assert figures["figures/method_ranks-unet.png"] == (parts.b / "figures" / "method_ranks.png").read_bytes()
    assert figures["figures/method_ranks-segformer.png"] == (parts.c / "figures" / "method_ranks.png").read_bytes()
    assert figures["figures/figure1-unet.webp"] == (parts.b / "figures" / "figure1-unet.webp").read_bytes()
    assert "figures/method_ranks.png" not in figures
    text = (all_of / "captions.md").read_text()
    assert "**Method ranks: SegFormer (method_ranks-segformer).**" in text
    assert "Of a part of the study: U-Net, seeds 1 and 2." in text


def test_a_report_decides_from_all_parts_and_makes_the_page(all_of: Path, tmp_path: Path) -> None:
    first, second = (Path(shutil.copytree(all_of, tmp_path / name)) for name in ("first", "second"))
    outcome = bench("run", "report", "--out", first)
    assert outcome.code == 0, outcome.err
    claims = pd.read_csv(first / "tables" / "claims.csv")
    assert claims.loc[claims["claim"] == "C2", "n_seeds"].max() == 3
    assert set(pd.read_csv(first / "tables" / "levels.csv")["seed"]) == {0, 1, 2}
    page = (first / "report" / "index.html").read_text()
    for name in ("figures/method_ranks-segformer.webp", "figures/figure1-unet.webp", "figures/claims.webp"):
        assert name in page
        assert (first / "report" / name).is_file()
    assert "Of the study&#39;s parts: of U-Net seeds 1 and 2 alone." in page
    maps = {path.stem for path in (first / "report" / "data" / "maps").iterdir()}
    assert maps == {f"{model}-s0-l{level}-000" for model in ("unet", "segformer") for level in LEVELS}
    assert bench("run", "report", "--out", first).code == 0  # over what it drew itself
    assert bench("run", "report", "--out", second).code == 0
    assert contents(first) == contents(second)
    again = merged(tmp_path / "again", first, all_of)
    assert contents(again) == contents(all_of), "what was drawn is no part's"


def test_figures_that_need_their_table_alone_are_of_all_parts(
    all_of: Path, parts: SimpleNamespace, tmp_path: Path
) -> None:
    drawn = Path(shutil.copytree(all_of, tmp_path / "drawn"))
    assert not list(all_of.glob("figures/family*"))
    tables = contents(all_of, "tables")
    assert bench("run", "report", "--out", drawn).code == 0
    assert [path.name for path in drawn.glob("figures/family*.png")] == ["family.png"]
    after = contents(drawn, "tables")
    assert {name for name in tables if after[name] != tables[name]} == set(), "what was joined is joined"
    captions = (drawn / "captions.md").read_text()
    (words,) = (line for line in captions.splitlines() if "(family)" in line)
    assert "U-Net" in words.partition(".**")[2].partition(".")[0]
    assert "SegFormer" in words
    assert "Of the study's parts: of U-Net seeds 1 and 2 alone." in words
    again = merged(tmp_path / "again", drawn, parts.a)
    assert contents(again) == contents(all_of)


def test_a_part_may_lack_analyses_and_maps(parts: SimpleNamespace, tmp_path: Path) -> None:
    assert contents(parts.few, "scores").keys() == {
        name for name in contents(parts.c, "scores") if "gallery" not in name
    }
    assert {Path(name).stem for name in contents(parts.few, "tables", "figures")} == {"levels"}
    of_both = merged(tmp_path / "both", parts.a, parts.few)
    assert bench("run", "report", "--out", of_both).code == 0
    assert list(of_both.glob("figures/family*.png")), "of the part that has its table"
    words = (of_both / "captions.md").read_text()
    assert "Of the study's parts: nothing of SegFormer." in words
    assert set(pd.read_csv(of_both / "tables" / "levels.csv")["model"]) == {"unet", "segformer"}
    page = (of_both / "report" / "index.html").read_text()
    assert "SegFormer" in page
    maps = {path.stem for path in (of_both / "report" / "data" / "maps").iterdir()}
    assert maps == {f"unet-s0-l{level}-000" for level in LEVELS}


@pytest.mark.parametrize("place", ["scores/unet-s0-l30.parquet", "scores/predictions/predictions.parquet"])
def test_other_numbers_of_one_checkpoint_are_refused(
    copied: Path, parts: SimpleNamespace, tmp_path: Path, place: str
) -> None:
    table = pd.read_parquet(copied / place)
    name = "area" if "area" in table else "n_0_0"
    table[name] += 1
    table.to_parquet(copied / place)
    value = digest((copied / place).read_bytes())
    rewritten(copied, lambda values: values["files"][place].update(sha256=value))
    outcome = bench("merge", parts.a, copied, "--out", tmp_path / "to")
    assert f"{parts.a / place} and {copied / place} differ, though they are of one cell" in outcome.refusal
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values["planned"].update(score=9), "is not finished (1 of 1 trainings, 2 of 9 cells)"),
        (lambda values: values["definition"].update(digest="1"), "are not of one definition: definition.digest"),
        (lambda values: values["definition"]["train"]["unet"].update(steps=1), "one definition: unet.steps"),
        (lambda values: values["files"].update({"scores/x.parquet": {"sha256": "0"}}), "fetch or publish it again"),
        (lambda values: values.update(kind="evidence"), "holds a run of the stage evidence"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    copied: Path, parts: SimpleNamespace, tmp_path: Path, change: Any, words: str
) -> None:
    rewritten(copied, change)
    assert words in bench("merge", copied, parts.b, "--out", tmp_path / "to").refusal
    assert not (tmp_path / "to").exists()


def test_runs_and_publications_are_not_joined(copied: Path, parts: SimpleNamespace, tmp_path: Path) -> None:
    outcome = bench("merge", parts.run, parts.b, "--out", tmp_path / "to")
    assert f"{parts.b} is published, without its cells, and {parts.run} is a run" in outcome.refusal
    (copied / "sections.json").unlink()
    outcome = bench("merge", copied, parts.b, "--out", tmp_path / "to")
    assert f"{copied / 'sections.json'} is missing: an earlier version published it" in outcome.refusal
    assert not (tmp_path / "to").exists()


def test_trainings_that_parts_share_in_part_cannot_be_counted(parts: SimpleNamespace, tmp_path: Path) -> None:
    other = published(made(tmp_path / "run", ["unet"], [0, 1]), tmp_path / "other")
    outcome = bench("merge", other, parts.b, "--out", tmp_path / "to")
    assert f"{parts.b} and another part both hold seed 1 of unet, and each another seed" in outcome.refusal
    assert not (tmp_path / "to").exists()


def test_what_changes_digits_alone_is_told_and_kept(copied: Path, parts: SimpleNamespace, tmp_path: Path) -> None:
    rewritten(copied, lambda values: values.update(registration="1", versions={"segcam": "1"}))
    Store(copied).draw({"tables/timing.csv": b"1\n"}, whole=False)
    outcome = bench("merge", copied, parts.b, "--out", tmp_path / "to")
    said = " ".join(outcome.err.split())
    assert "differ: segcam 1 and 0" in said
    assert "begun under other registrations: verdicts are exploratory" in said
    assert "left out, since no report tells of it: timing" in said
    assert "tables and figures are of U-Net, seeds 1 and 2 alone, as published" in said
    assert f"run report draws anew: {', '.join(REDRAWN)}; from their joined tables: family" in said
    of_all = manifest(tmp_path / "to")
    assert of_all["versions"] == {"segcam": "0; 1"}
    assert of_all["registration"] == ""


@pytest.mark.parametrize(("seeds", "kept"), [("first", {0}), (2, {0, 1}), (5, {0, 1, 2})])
def test_studies_of_few_seeds_stay_so(parts: SimpleNamespace, tmp_path: Path, seeds: str | int, kept: set[int]) -> None:
    """As `merge` of runs drops the cells of other seeds."""
    folders = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (parts.a, parts.b)]
    for folder, of_part in zip(folders, ([0], [1, 2]), strict=True):
        name = "scores/faithfulness/faithfulness.parquet"
        rows = {"dataset": "shapes", "model": "unet", "level": 90, "seed": of_part, "image": "cat_1", "value": 1.0}
        file = Store(folder).write_table(name, dict(pd.DataFrame(rows).items()), keys=("dataset", "model", "image"))
        entry = file.model_dump(mode="json")
        rewritten(folder, lambda values, name=name, entry=entry: values["files"].update({name: entry}))
    everything = merged(tmp_path / "all", *folders)
    assert set(Results(everything).table("faithfulness")["seed"]) == {0, 1, 2}
    for folder in folders:
        rewritten(folder, lambda values: values["profile"].update(faithfulness={"training_seeds": seeds}))
    outcome = bench("merge", *folders, "--out", tmp_path / "fewer")
    left_out = "left out of scores/faithfulness/faithfulness.parquet: seeds beyond those that it is made with"
    assert (left_out in outcome.err) is (len(kept) < 3)
    assert set(Results(tmp_path / "fewer").table("faithfulness")["seed"]) == kept


def test_a_full_disk_leaves_nothing(parts: SimpleNamespace, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("bench.output.store.os.fsync", side_effect=full):
        outcome = bench("merge", parts.a, parts.b, "--out", tmp_path / "to")
    assert outcome.code == 1
    assert f"cannot write {tmp_path / 'to'}: No space left on device" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_no_map_of_a_hidden_photograph_is_published(parts: SimpleNamespace) -> None:
    results = Results(parts.a)
    assert results.gallery_ids == (FREE,)
    for level in LEVELS:
        kept, before = (Results(folder).gallery("unet", 0, level) for folder in (parts.a, parts.run))
        assert kept.ids == (FREE,)
        at = before.ids.index(FREE)
        np.testing.assert_array_equal(kept.photographs[FREE], before.photographs[FREE])
        whole = {name: values[at] for name, values in before.arrays.items() if "|" in name}
        few = {name: values[0] for name, values in kept.arrays.items() if "|" in name}
        assert few.keys() == whole.keys()
        undefined = {name for name, values in whole.items() if np.isnan(values).all()}
        assert {name for name, values in few.items() if np.isnan(values).all()} == undefined
        for name in few.keys() - undefined:
            np.testing.assert_allclose(few[name], whole[name], atol=0.03 * max(1, whole[name].max()), err_msg=name)
    assert [path.name for path in (parts.a / "figures").glob("figure1*")] == ["figure1-unet.webp"]
    report = told.read(parts.a)
    assert report is not None
    (figure,) = (item for section in report.sections for item in section.items if item.name.startswith("figure1"))
    assert FREE in figure.caption.details
    assert not any(image in f"{figure.caption}" for image in IMAGES)


def test_what_draws_maps_is_known_to_publish() -> None:
    """Who asks a run for maps draws them: such figures are named in `bench.output.hidden`."""
    asks = re.compile(r"results\.(gallery|small_maps|error_maps|film)\(")
    home = Path(analyses.__file__).parent
    found = {path.stem for path in home.rglob("*.py") if asks.search(path.read_text(encoding="utf-8"))}
    assert found == {"gallery", "map_tiles", "film", "grouped", "when_wrong", "scene"}  # the last of drawn scenes alone
    tiles = {path.stem for path in home.rglob("*.py") if "map_tiles.Tiles(" in path.read_text(encoding="utf-8")}
    assert {name for name in tiles if not hidden.shows_maps(name)} == set()
    for name in ("figures/film-unet.webp", "groups-unet.webp", "when_wrong_maps-unet.webp", "figure2_more-vit-2.png"):
        assert hidden.shows_maps(name)
    for name in ("groups_places-unet.png", "when_wrong.png", "figures/methods.png"):
        assert not hidden.shows_maps(name)


def test_the_page_without_photographs_has_all_but_them(parts: SimpleNamespace, tmp_path: Path) -> None:
    pages = contents(parts.a, "report")
    assert "figures/method_ranks.webp" in pages["report/index.html"].decode()
    assert {name for name in pages if "/data/maps/" in name} == {
        f"report/data/maps/unet-s0-l{level}-000.js" for level in LEVELS
    }
    assert not [name for name in pages if "/data/images/" in name]
    again = Path(shutil.copytree(parts.a, tmp_path / "again"))
    assert bench("run", "report", "--out", again).code == 0
    assert contents(again, "report", "tables", "scores") == contents(parts.a, "report", "tables", "scores")
    assert (again / "captions.md").read_bytes() == (parts.a / "captions.md").read_bytes()
