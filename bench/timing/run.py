"""What `run timing` does: times segcam against the tools in use today; writes numbers, a figure and a table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.output import drawing
from bench.output import report as reports
from bench.output.store import MANIFEST, TIMING, Store
from bench.planning import environment
from bench.progress import working
from bench.timing import memory, methods, metrics
from bench.timing.cases import CASES, Case
from bench.timing.measure import measure, wanted
from bench.timing.rows import Row

SCHEMA = 1
DPI = 200
PEERS = ("torchcam", "captum", "grad-cam", "quantus")

More = Callable[[torch.device], Sequence[Row]]
"""A measurement of another kind: the device in, its rows out."""

MORE: dict[str, More] = {"methods": methods.rows, "metrics": metrics.rows, "memory": memory.rows}


def run(
    store: Store,
    device: torch.device,
    console: Console,
    cases: Sequence[Case] | None = None,
    more: Mapping[str, More] | None = None,
) -> list[Path]:
    """Time all cases on one device and write what was found.

    Args:
        store: where `timing.json`, the figure and the table go.
        device: where networks run.
        console: where progress is shown.
        cases: which networks and batches; `CASES` by default.
        more: measurements of other kinds, by name; `MORE` by default.

    Returns:
        The files written.
    """
    cases, more = CASES if cases is None else cases, MORE if more is None else more
    rows: list[Row] = []
    calls = sum(rounds + (rounds > 2) for case in cases for rounds in wanted(case, device).values())
    with working(console, "timing", calls + len(more)) as task:
        for case in cases:
            rows += measure(case, device, lambda name, case=case: task.advance(1, f"{case.name}: {name}"))  # type: ignore[misc]
        for name, found in more.items():
            rows += found(device)
            task.advance(1, name)
    path = store.write_json(TIMING, {**surroundings(device), "rows": [row.plain() for row in rows]})
    return [path, *draw(store)]


def surroundings(device: torch.device) -> dict[str, Any]:
    """Return what the numbers hang on: hardware, threads, versions."""
    versions = environment.versions()
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"schema": SCHEMA, "hardware": environment.hardware(device), "versions": versions}


def draw(store: Store) -> list[Path]:
    """Draw the figure and write the table from `timing.json`; a run's own captions are left alone."""
    section = drawing.draw(store.out, "timing", drawing.Files(("png", "svg"), DPI))
    return reports.files(store, [section]) if store.has(MANIFEST) else reports.write(store, [section])


def summary(store: Store) -> Table:
    """Return the table of ratios for the terminal."""
    values = store.read_json(TIMING)
    told = values["hardware"]
    where = told["gpu"] or f"{told['processor']}, {told['threads']} threads"
    table = Table(title=f"ours over theirs, on {where}", box=box.SIMPLE)
    for name in ("what", "ours", "theirs", "ratio", "quartiles", "rounds", "bar", ""):
        table.add_column(name, justify="left" if name in ("what", "ours", "theirs", "") else "right")
    for row in values["rows"]:
        found, bar = row["ratio"], "" if row["bar"] is None else f"{row['bar']:g}"
        numbers = ["", "", ""]
        if found is not None:
            numbers = [f"{found['median']:.3g}", f"{found['low']:.3g} to {found['high']:.3g}", str(found["rounds"])]
        said = {True: "met", False: "missed", None: ""}[row["met"]]
        table.add_row(
            row["case"],
            row["ours"],
            row["theirs"],
            *numbers,
            bar,
            "; ".join(part for part in (said, escape(row["note"])) if part),
        )
    return table
