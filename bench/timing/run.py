"""What `run timing` does: times segcam against the tools in use today; writes numbers, a figure and a table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyses.reading.timings import Timings
from bench import endings
from bench.output import drawing, redrawn, tables
from bench.output.store import TIMING, Store
from bench.planning import environment
from bench.progress import working
from bench.timing import faithfulness, memory, metrics, peers, sweeps
from bench.timing.cases import CASES
from bench.timing.compare import Comparison

DPI = 200
RATIO = 6
"""Characters of a ratio."""
PEERS = ("torchcam", "captum", "grad-cam", "quantus")


def comparisons(device: torch.device) -> list[Comparison]:
    """Return all that is compared on a device."""
    return [
        *peers.comparisons(CASES, device),
        *sweeps.comparisons(sweeps.SWEEP, device),
        metrics.comparison(CASES[0], device),
        *faithfulness.comparisons(CASES[0], device),
        *memory.comparisons(memory.CASES, device),
    ]


def run(store: Store, device: torch.device, console: Console) -> list[Path]:
    """Make all comparisons on one device, and write `timing.json`, the figure and the table.

    Returns:
        The files written.
    """
    rows = []
    compared = comparisons(device)
    kept = "timings are kept when all are made; the same command starts again"  # they compare in one run alone
    with endings.keeping(kept), working(console, "timing", len(compared)) as task:
        for comparison in compared:
            rows.append(comparison.unmeasured() if comparison.unable else comparison.measure(comparison.prepare()))
            task.advance(1, str(comparison))
    timings = Timings.model_validate({"hardware": environment.hardware(device), "versions": versions(), "rows": rows})
    return [store.write(TIMING, timings.written()), *draw(store)]


def versions() -> dict[str, str]:
    """Return the versions that the numbers hang on."""
    versions = environment.versions()
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def draw(store: Store) -> list[Path]:
    """Draw the figure and write the table from `timing.json`; a run's own captions are left alone."""
    return redrawn.timings(store, drawing.draw(store.out, "timing", drawing.Files(("png", "svg"), DPI)))


def summary(store: Store) -> Table:
    """Return the table of ratios for the terminal, case by case: what cannot be told in a word may wrap."""
    timings = Timings.read(store.path(TIMING))
    hardware = timings.hardware
    where = hardware["gpu"] or f"{hardware['processor']}, {hardware['threads']} threads"
    table = tables.plain(Text(f"ours over theirs, on {where}"))
    table.show_header = False
    table.add_column(justify="right", min_width=RATIO)
    table.add_column(overflow="fold")
    for label, rows in groupby(timings.rows, key=lambda row: str(row["label"])):
        table.add_row("", Text(label, "bold"))
        for row in rows:
            ratio = row["ratio"]
            words = Text(f"{row['ours']} / {row['theirs']}")
            if said := "; ".join(_said(row)):
                words.append(f"\n{said}", "dim")
            table.add_row("" if ratio is None else f"{ratio['median']:.3g}", words)
    return table


def _said(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is to be known of a ratio beside its median."""
    if (ratio := row["ratio"]) is not None and ratio["rounds"] > 1:
        yield f"{ratio['low']:.3g} to {ratio['high']:.3g} in {ratio['rounds']} rounds"
    if row["met"] is not None:
        yield f"wanted {row['bar']:g}: {'met' if row['met'] else 'missed'}"
    if row["note"]:
        yield str(row["note"])
