"""Reports: drawn again from tables and kept maps alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench.output import drawing, report
from bench.output.store import Store
from tests.bench.harness import contents, finish, manifest, run


@pytest.fixture(scope="module")
def redrawn(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without checkpoints, drawn again without photographs."""
    folder = tmp_path_factory.mktemp("redrawn") / "out"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints")
    outcome = finish("report", tiny, folder, "figures.photographs=false")
    names = (*contents(folder, "tables", "figures"), "captions.md", "sections.json", "report/index.html")
    assert f"{len(names)} files in {folder}" in outcome.err.splitlines()
    assert outcome.err.splitlines()[-1] == (folder / "report" / "index.html").as_uri()
    return folder


def test_the_finished_run_has_figures_tables_and_captions(finished: Path) -> None:
    names = set(contents(finished))
    assert {"tables/levels.csv", "tables/curves.csv", "figures/levels.png", "figures/levels.svg"} <= names
    assert {"tables/levels.md", "tables/levels.tex", "tables/claims.csv"} <= names
    assert "tables/curves.md" not in names, "of hundreds of rows"
    captions = (finished / "captions.md").read_text()
    for name in contents(finished, "tables", "figures"):
        assert re.search(rf"^\*\*(.+ \()?{re.escape(Path(name).stem)}\)?\.\*\*", captions, re.MULTILINE), name
    assert captions.startswith("Data set ")
    assert captions.count("scored images; seed") == 1, "what is true of the whole run stands once"


def test_tables_are_the_same_bytes(finished: Path, redrawn: Path) -> None:
    assert contents(redrawn, "tables") == contents(finished, "tables")


def test_photographs_are_gone_from_the_figures_that_had_them(finished: Path, redrawn: Path) -> None:
    before, after = contents(finished, "figures"), contents(redrawn, "figures")
    assert before.keys() == after.keys()
    pages = {name for name in before if Path(name).name.startswith("figure1") and name.endswith(".png")}
    assert pages
    assert all(before[name] != after[name] for name in pages)
    others = {name for name in before if name.startswith("figures/levels") and name.endswith(".png")}
    assert all(before[name] == after[name] for name in others)


def test_everything_else_is_left_as_it_was(finished: Path, redrawn: Path) -> None:
    assert contents(redrawn, "cells", "scores") == contents(finished, "cells", "scores")
    assert not (redrawn / "checkpoints").exists()
    before, after = (manifest(f) for f in (finished, redrawn))
    assert before["profile"]["figures"].pop("photographs")
    assert not after["profile"]["figures"].pop("photographs")
    assert before.pop("sha256") != after.pop("sha256")
    assert before == after


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("score.metrics=['spread']", "only figures.* can be changed when a report is drawn again"),
        ("figures.dpi=1", "key 'figures.dpi' is 1"),
    ],
)
def test_other_settings_are_refused(finished: Path, tiny: Path, setting: str, words: str) -> None:
    before = contents(finished)
    assert words in run("report", tiny, finished, setting).refusal
    assert contents(finished) == before


def test_scores_that_are_missing_are_named(copied: Path, tiny: Path) -> None:
    shutil.rmtree(copied / "scores")
    before = contents(copied)
    assert str(copied / "scores") in run("report", tiny, copied).refusal
    assert contents(copied).keys() == before.keys()


def test_a_finished_run_is_not_drawn_again(
    finished: Path, copied: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it comes to is told as before."""
    monkeypatch.setattr(drawing, "draw_all", None)
    times = {
        path: path.stat().st_mtime_ns for name in ("tables", "figures", "report") for path in copied.rglob(f"{name}/*")
    }
    lines = finish("all", tiny, copied).err.splitlines()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert contents(copied) == contents(finished)
    assert "nothing has changed since all was drawn: run report draws it again" in lines
    names = (*contents(copied, "tables", "figures"), "captions.md", "sections.json", "report/index.html")
    assert lines[-2:] == [f"{len(names)} files in {copied}", (copied / "report" / "index.html").as_uri()]
    assert not [line for line in lines if line != line.rstrip() and "│" in line]


@pytest.mark.parametrize("change", ["results", "code", "settings", "lost", "edited"])
def test_what_is_not_as_it_was_drawn_is_drawn_again(
    copied: Path, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, look = Store(copied), report.figures(Store(copied))
    source = report.drawn_from(store, look)
    assert report.before(store, source)
    if change == "lost":
        (copied / "figures" / "levels.png").unlink()
    elif change == "edited":
        (copied / "report" / "index.html").write_text("mine")
    elif change == "results":
        store.write("manifest.json", (copied / "manifest.json").read_bytes() + b" ")
    elif change == "settings":
        look = report.figures(store, ["figures.dpi=60"])
    else:
        monkeypatch.setattr(report, "__file__", str(tmp_path / "other" / "report.py"))
    assert not report.before(store, report.drawn_from(store, look))
