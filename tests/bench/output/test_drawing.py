"""Analyses side by side: the same files as one after the other, and errors that come through."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyses import ResultsError
from analyses.artifacts import Section, Table
from bench.output.drawing import Files, draw_all

NAMES = ("levels", "curves", "skipped")


def files(sections: list[Section]) -> dict[str, bytes | str]:
    items = [item for section in sections for item in section.items]
    held = [(item.name, item.files() if isinstance(item, Table) else item.files) for item in items]
    return {f"{name}.{suffix}": data for name, files in held for suffix, data in files.items()}


def test_two_processes_make_what_one_makes(finished: Path) -> None:
    drawn: list[str] = []
    alone = draw_all(finished, NAMES, Files(("png", "pdf"), 50), drawn.append, processes=1)
    beside = draw_all(finished, NAMES, Files(("png", "pdf"), 50), drawn.append, processes=2)
    assert [section.name for section in beside] == list(NAMES) == [section.name for section in alone]
    assert files(beside) == files(alone)
    assert {"levels.png", "levels.pdf", "levels.csv", "levels.md", "curves.csv"} <= files(beside).keys()
    assert sorted(drawn) == sorted(NAMES * 2)
    assert all(section.title.endswith(".") for section in beside)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_damaged_file_is_named(copied: Path, processes: int) -> None:
    for file in (copied / "scores").glob("*.parquet"):
        file.write_bytes(b"PAR1 no more")
    with pytest.raises(ResultsError, match=r"scores.*cannot be read"):
        draw_all(copied, NAMES, Files(("png",), 50), lambda _: None, processes)
