"""Analyses side by side: the same files as one after the other, and errors that come through."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import current_thread, main_thread
from time import sleep

import pytest

from analyses import ResultsError
from analyses.artifacts import Section, Table
from bench.output import drawing
from bench.output.drawing import Files, draw_all

NAMES = ("levels", "curves", "skipped")


def files(sections: list[Section]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in (item for section in sections for item in section.items):
        texts = (
            {suffix: text.encode() for suffix, text in item.files().items()} if isinstance(item, Table) else item.files
        )
        found |= {f"{item.name}.{suffix}": data for suffix, data in texts.items()}
    return found


def test_two_processes_make_what_one_makes(finished: Path) -> None:
    told: list[str] = []
    alone = draw_all(finished, NAMES, Files(("png", "pdf"), 50), told.append, processes=1)
    beside = draw_all(finished, NAMES, Files(("png", "pdf"), 50), told.append, processes=2)
    assert [section.name for section in beside] == list(NAMES) == [section.name for section in alone]
    assert files(beside) == files(alone)
    assert {"levels.png", "levels.pdf", "levels.csv", "levels.md", "curves.csv"} <= files(beside).keys()
    assert sorted(told) == sorted(NAMES * 2)
    assert all(section.title.endswith(".") for section in beside)


def test_others_may_be_done_before_this_process_has_drawn_its_own(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    names = ("levels", "curves", "skipped", "family", "points")

    def slow_here(folder: Path, name: str, files: Files) -> Section:
        while current_thread() is main_thread() and len(done) < len(names) - 1:
            sleep(0.01)
        done.append(name)
        return Section(name, "", [])

    monkeypatch.setattr(drawing, "draw", slow_here)
    monkeypatch.setattr(drawing, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    told: list[str] = []
    sections = draw_all(finished, names, Files(("png",), 50), told.append, processes=2)
    assert [section.name for section in sections] == list(names)
    assert sorted(told) == sorted(names) == sorted(done)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_damaged_file_is_named(copied: Path, processes: int) -> None:
    for file in (copied / "scores").glob("*.parquet"):
        file.write_bytes(b"PAR1 no more")
    with pytest.raises(ResultsError, match=r"scores.*cannot be read"):
        draw_all(copied, NAMES, Files(("png",), 50), lambda _: None, processes)
