"""Analyses side by side: the same files as one after the other, and errors that come through."""

from __future__ import annotations

import io
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from analyses import ResultsError
from analyses.artifacts import Section, Table
from bench.output import drawing
from bench.output.drawing import PALETTE, Files, draw_all, published, with_palette
from segcam import SegcamError

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
    with pytest.raises(ResultsError, match=r"scores.*is not the file that the run wrote"):
        draw_all(copied, NAMES, Files(("png",), 50), lambda _: None, processes)


@pytest.mark.parametrize(
    ("free", "expected"), [(None, 6), (2**40, 6), (4 * (drawing.PROCESS + 32 * 1000) + 5, 4), (1000, 1)]
)
def test_as_many_processes_draw_as_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int | None, expected: int
) -> None:
    """The model and level with most maps count, in all their files together."""
    for name, model, level, maps in (("a", "unet", 30, 600), ("b", "unet", 30, 400), ("c", "unet", 90, 700)):
        table = pa.table({"model": [model] * maps, "level": [level] * maps, "spread": [0.5] * maps})
        (tmp_path / "scores").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "scores" / f"{name}.parquet")
    (tmp_path / "scores" / "damaged.parquet").write_bytes(b"PAR1 no more")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr("segcam.memory.available", lambda: free)
    assert drawing._processes(tmp_path) == 1, "a small run is drawn by one, whatever there is"
    monkeypatch.setattr(drawing, "MUCH", 0)
    assert drawing._processes(tmp_path) == expected


class OddError(Exception):
    """An error that cannot be sent to another process: its words alone do not make it again."""

    def __init__(self, *, file: str) -> None:
        super().__init__(f"{file} is odd")


def odd(*_: object) -> Section:
    raise OddError(file="one")


def test_an_error_that_cannot_be_sent_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "draw", odd)
    with pytest.raises(RuntimeError, match=r"^OddError: one is odd$"):
        drawing._drawn(Path(), "levels", Files(("png",), 50), None)


@pytest.mark.parametrize("error", [BlockingIOError(11, "no more processes"), RuntimeError("can't start new thread")])
def test_without_another_process_all_is_drawn_here(
    finished: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    submit, begun = ProcessPoolExecutor.submit, list[str]()

    def second_fails(pool: ProcessPoolExecutor, _: object, folder: Path, name: str, look: Files, of: None) -> object:
        if begun:
            raise error
        begun.append(name)
        return submit(pool, drawing._drawn, folder, name, look, of)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", second_fails)
    drawn: list[str] = []
    sections = draw_all(finished, NAMES[:2], Files(("png",), 50), drawn.append, processes=2)
    assert [section.name for section in sections] == drawn == list(NAMES[:2])
    assert begun == ["levels"]
    assert multiprocessing.active_children() == []


def test_a_process_ended_from_outside_is_one_error(finished: Path) -> None:
    def kill(_: str) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(SegcamError, match=r"ended from outside.*nothing of the scores is lost"):
        draw_all(finished, NAMES, Files(("png",), 50), kill, processes=2)
    assert multiprocessing.active_children() == []


def test_photographs_are_published_without_bands_and_charts_with_sharp_edges() -> None:
    rows, columns = np.mgrid[:300, :400]
    photograph = np.stack([rows * 0.8, columns * 0.6, (rows + columns) * 0.3], 2).astype(np.uint8)
    chart = np.full((300, 400, 3), 255, np.uint8)
    chart[100:200, 50:60] = (0, 114, 178)
    found = {}
    for name, pixels in (("photograph", photograph), ("chart", chart)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "png")
        suffix, content = published(buffer.getvalue())
        shown = np.array(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        few = np.array(Image.open(io.BytesIO(with_palette(buffer.getvalue(), PALETTE))).convert("RGB")).astype(int)
        found[name] = suffix, abs(shown - pixels).mean(), abs(few - pixels).mean()
    suffix, error, of_palette = found["photograph"]
    assert suffix == "webp"
    assert error < of_palette / 2
    assert found["chart"][:2] == ("png", 0)
