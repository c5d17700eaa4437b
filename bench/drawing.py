"""Runs the analyses of a run, side by side where there is much to read, and returns what they made as files."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from threadpoolctl import threadpool_limits

import analyses
from analyses.artifacts import Kind, Section, Table
from analyses.folders import SCORES

MUCH = 4_000_000
"""Bytes of parquet files from which a second process pays for its start."""
FIRST = ("methods", "curves")
"""Analyses that take long: the others run beside them."""


def draw(folder: Path, name: str, kinds: Sequence[Kind], dpi: int) -> Section:
    """Run one analysis and render its figures.

    Args:
        folder: of the run.
        name: of the analysis.
        kinds: the kinds of files a figure is rendered to.
        dpi: dots an inch of pictures made of dots.
    """
    with threadpool_limits(limits=1):  # small matrices: more threads get into each other's way
        made = analyses.run(analyses.Results(folder), [name])
        items = [item if isinstance(item, Table) else item.drawn(kinds, dpi) for item in made]
    return Section(name, analyses.question(name), items)


def draw_all(
    folder: Path,
    names: Sequence[str],
    kinds: Sequence[Kind],
    dpi: int,
    done: Callable[[str], None],
    processes: int | None = None,
) -> list[Section]:
    """Run analyses and return what each made, in the order of `names`.

    Args:
        folder: of the run.
        names: the analyses.
        kinds: the kinds of files a figure is rendered to.
        dpi: dots an inch of pictures made of dots.
        done: told of each analysis that is finished.
        processes: how many at once; by default one for small runs, else one a core.

    Raises:
        ResultsError: files of the run are missing or damaged.
    """
    processes = min(_processes(folder) if processes is None else processes, len(names))
    found: dict[str, Section] = {}
    for section in (
        _in_turn(folder, names, kinds, dpi) if processes < 2 else _side(folder, names, kinds, dpi, processes)
    ):
        found[section.name] = section
        done(section.name)
    return [found[name] for name in names]


def _in_turn(folder: Path, names: Sequence[str], kinds: Sequence[Kind], dpi: int) -> Iterator[Section]:
    for name in names:
        yield draw(folder, name, kinds, dpi)


def _side(folder: Path, names: Sequence[str], kinds: Sequence[Kind], dpi: int, processes: int) -> Iterator[Section]:
    # Started afresh, not forked: the parent may hold a network's threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        order = sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
        jobs = [pool.submit(draw, folder, name, kinds, dpi) for name in order]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _processes(folder: Path) -> int:
    size = sum(path.stat().st_size for path in (folder / SCORES).rglob("*.parquet"))
    return (
        1 if size < MUCH else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
