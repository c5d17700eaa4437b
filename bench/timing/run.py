"""What `run timing` does: times segcam against the tools in use today; writes numbers, a figure and a table."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analyses.reading.timings import Timings
from bench import endings
from bench.output import drawing, redrawn
from bench.output.store import TIMING, Store
from bench.planning import environment
from bench.progress import working
from bench.timing import memory, metrics, peers, sweeps
from bench.timing.cases import CASES
from bench.timing.compare import Comparison

DPI = 200
PEERS = ("torchcam", "captum", "grad-cam", "quantus")


def comparisons(device: torch.device) -> list[Comparison]:
    """Return all that is compared on a device."""
    return [
        *peers.comparisons(CASES, device),
        *sweeps.comparisons(sweeps.SWEEP, device),
        metrics.comparison(CASES[0], device),
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
    """Return the table of ratios for the terminal."""
    timings = Timings.read(store.path(TIMING))
    hardware = timings.hardware
    where = hardware["gpu"] or f"{hardware['processor']}, {hardware['threads']} threads"
    table = Table(title=f"ours over theirs, on {where}", box=box.SIMPLE)
    for name in ("what", "ours", "theirs", "ratio", "quartiles", "rounds", "bar", ""):
        table.add_column(name, justify="right" if name in ("ratio", "quartiles", "rounds", "bar") else "left")
    for row in timings.rows:
        ratio, bar = row["ratio"], "" if row["bar"] is None else f"{row['bar']:g}"
        numbers = ["", "", ""]
        if ratio is not None:
            numbers = [f"{ratio['median']:.3g}", f"{ratio['low']:.3g} to {ratio['high']:.3g}", str(ratio["rounds"])]
        met = {True: "met", False: "missed", None: ""}[row["met"]]
        note = "; ".join(filter(None, (met, escape(row["note"]))))
        table.add_row(row["case"], row["ours"], row["theirs"], *numbers, bar, note)
    return table
