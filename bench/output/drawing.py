"""Runs the analyses of a run, side by side where there is much to read, and returns what they made as files."""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from threadpoolctl import threadpool_limits

import analyses
from analyses.artifacts import Drawn, Figure, Format, Section, Table
from analyses.reading.files import SCORES
from bench.allocator import keep_freed_memory

MUCH = 4_000_000
"""Bytes of parquet files from which a second process pays for its start."""


@dataclass(frozen=True)
class Files:
    """The files a figure is rendered to.

    Attributes:
        kinds: 'png', 'svg', 'pdf'.
        dpi: dots an inch of pictures made of dots.
        colours: of PNG; as drawn by default.
    """

    kinds: Sequence[Format]
    dpi: int
    colours: int | None = None

    def of(self, figure: Figure) -> Drawn:
        """Render a figure."""
        drawn = figure.drawn(self.kinds, self.dpi)
        if self.colours is None:
            return drawn
        return replace(drawn, files={**drawn.files, "png": with_palette(drawn.files["png"], self.colours)})


def with_palette(png: bytes, colours: int) -> bytes:
    """Return a PNG file of this many colours, without dithering; the same bytes each time."""
    picture = Image.open(io.BytesIO(png))
    buffer = io.BytesIO()
    few = picture.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, "png", optimize=True, dpi=picture.info.get("dpi"))
    return buffer.getvalue()


def draw(folder: Path, name: str, files: Files) -> Section:
    """Run one analysis of the run in a folder and render its figures."""
    with threadpool_limits(limits=1):  # small matrices: more threads get into each other's way
        made = analyses.run(analyses.Results(folder), [name])
        items = [item if isinstance(item, Table) else files.of(item) for item in made]
    return Section(name, analyses.question(name), items)


def draw_all(
    folder: Path, names: Sequence[str], files: Files, done: Callable[[str], None], processes: int | None = None
) -> list[Section]:
    """Run analyses and return what each made, in the order of `names`.

    Args:
        folder: of the run.
        names: the analyses.
        files: what figures are rendered to.
        done: told of each analysis that is finished.
        processes: how many at once; by default this one for small runs, else one a core.

    Raises:
        ResultsError: files of the run are missing or damaged.
    """
    processes = min(_processes(folder) if processes is None else processes, len(names))
    if processes == 1:
        sections = []
        for name in names:
            sections.append(draw(folder, name, files))
            done(name)
        return sections
    # Started afresh, not forked: the parent may hold a network's threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), keep_freed_memory) as pool:
        jobs = [pool.submit(draw, folder, name, files) for name in names]
        try:
            for job in as_completed(jobs):
                done(job.result().name)
        finally:
            pool.shutdown(cancel_futures=True)
        return [job.result() for job in jobs]


def _processes(folder: Path) -> int:
    size = sum(path.stat().st_size for path in (folder / SCORES).rglob("*.parquet"))
    return (
        1 if size < MUCH else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
