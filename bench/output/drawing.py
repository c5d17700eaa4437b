"""Runs the analyses of a run, side by side where there is much to read, and returns what they made as files."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from threadpoolctl import threadpool_limits

import analyses
from analyses import palette
from analyses.artifacts import Drawn, Figure, Format, Section, Table
from analyses.reading.files import SCORES, ResultsError, outline
from bench import endings
from bench.allocator import keep_freed_memory
from segcam import memory
from segcam.errors import SegcamError

MUCH = 4_000_000
"""Bytes of parquet files from which a second process pays for its start."""
PALETTE = 128
"""Colours of published charts: a third of the bytes, and no difference that a reader sees."""
MOST_BEYOND_PALETTE = 0.14
"""Share of pixels beyond the most frequent colours, from which on a picture shows photographs: charts have 0.06."""
QUALITY = 85
"""Of published pictures of photographs, as WebP."""
PROCESS, ROW = 256 * 2**20, 32
"""Bytes that a process takes: before it reads, and for each map of the model and level with most (docs/scale.md)."""


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


def published(png: bytes) -> tuple[str, bytes]:
    """Return a picture as it is published, and its suffix: charts as PNG of few colours, photographs as WebP.

    A palette makes bands of photographs and of the maps on them, and of WebP the text keeps its edges.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    _, counts = np.unique(palette.packed(picture), return_counts=True)
    if np.sort(counts)[:-PALETTE].sum() <= MOST_BEYOND_PALETTE * counts.sum():
        return "png", with_palette(png, PALETTE)
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=QUALITY, method=6)
    return "webp", buffer.getvalue()


def with_palette(png: bytes, colours: int) -> bytes:
    """Return a PNG file of at most this many colours; the same bytes each time."""
    picture, buffer = Image.open(io.BytesIO(png)), io.BytesIO()
    few = palette.reduced(picture.convert("RGB"), colours).picture
    few.save(buffer, "png", optimize=True, dpi=picture.info.get("dpi"))
    return buffer.getvalue()


def draw(folder: Path, name: str, files: Files, explained: str | None = None) -> Section:
    """Run one analysis of the run in a folder, of one of the classes that it explains, and render its figures."""
    with threadpool_limits(limits=1):  # small matrices: more threads get into each other's way
        made = analyses.run(analyses.Results(folder, explained), [name])
        items = [item if isinstance(item, Table) else files.of(item) for item in made]
    return Section(name, analyses.question(name), items)


def draw_all(
    folder: Path,
    names: Sequence[str],
    files: Files,
    done: Callable[[str], None],
    processes: int | None = None,
    *,
    explained: str | None = None,
) -> list[Section]:
    """Run analyses and return what each made, in the order of `names`.

    Args:
        folder: of the run.
        names: the analyses.
        files: what figures are rendered to.
        done: told of each analysis that is finished.
        processes: how many at once; by default this one for small runs, else one a core, as far as memory allows.
        explained: which class, of a run that explains several.

    Raises:
        ResultsError: files of the run are missing or damaged.
        SegcamError: a process was ended from outside.
    """
    processes = min(_processes(folder) if processes is None else processes, len(names))
    if processes > 1 and (beside := _draw_beside(folder, names, files, done, processes, explained)) is not None:
        return beside
    sections = []
    for name in names:
        sections.append(draw(folder, name, files, explained))
        done(name)
    return sections


def _draw_beside(
    folder: Path,
    names: Sequence[str],
    files: Files,
    done: Callable[[str], None],
    processes: int,
    explained: str | None,
) -> list[Section] | None:
    """Draw in processes, which end whatever goes wrong; None where the system allows no more of them."""
    with ExitStack() as stack:
        try:
            with endings.deferred(), _without_interrupts():
                # Started afresh, not forked: the parent may hold a network's threads.
                pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
                stack.callback(pool.shutdown, cancel_futures=True)
                stack.push(_kill)
                jobs = [pool.submit(_drawn, folder, name, files, explained) for name in names]
        except (OSError, RuntimeError, NotImplementedError):  # processes, threads or descriptors; no semaphores
            _kill()
            return None
        try:
            for job in as_completed(jobs):
                done(job.result().name)
            return [job.result() for job in jobs]
        except BrokenProcessPool as error:
            raise SegcamError(
                "a process that draws was ended from outside, mostly for lack of memory: free some, and run report "
                "draws again; nothing of the scores is lost"
            ) from error


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, from their first instruction on: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()  # here, since its start lets Ctrl-C through again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Begin a process that draws: it ends when the one that started it does, however that ends."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # only processes that draw come here
    parent.join()
    os._exit(1)


def _drawn(folder: Path, name: str, files: Files, explained: str | None) -> Section:
    """Draw in a process of its own; an error that cannot be sent from there is sent as its text."""
    try:
        return draw(folder, name, files, explained)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise


def _kill(error: object = True, *_: object) -> None:
    """End the processes, as the exit of a context: unless all went well, what they still do is not wanted."""
    for process in multiprocessing.active_children() if error else ():
        process.kill()


def _processes(folder: Path) -> int:
    """Return how many processes draw a run: no more than cores, nor than the free memory has room for."""
    size = sum(path.stat().st_size for path in (folder / SCORES).rglob("*.parquet"))
    if size < MUCH:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = memory.available()
    return cores if free is None else max(1, min(cores, free // (PROCESS + ROW * _most_maps(folder))))


def _most_maps(folder: Path) -> int:
    """Return how many maps the model and level with most have; files that cannot be read are told of later."""
    rows: Counter[object] = Counter()
    for path in (folder / SCORES).glob("*.parquet"):
        with suppress(OSError, ValueError, ResultsError, pa.ArrowException):
            known = outline(path)
            rows[known.ends.get("model"), known.ends.get("level")] += known.rows
    return max(rows.values(), default=0)
