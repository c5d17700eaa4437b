"""Runs analyses, and writes above each figure what is seen in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import analyses
from analyses.artifacts import Figure, Table
from analyses.plots import style
from analyses.reading.choices import numbered
from analyses.reading.results import Results, ResultsError
from segcam.draw import glyphs


def run(results: Results, names: Iterable[str] | None = None) -> Iterator[Figure | Table]:
    """Run the analyses called `names` (all of them by default) and yield what they make, in a stable order.

    Raises:
        ResultsError: a name is unknown, or the files of the run are missing or damaged.
    """
    modules = analyses.find()
    asked = list(modules) if names is None else list(dict.fromkeys(names))
    for name in asked:
        if name not in modules:
            raise ResultsError(f"unknown analysis '{name}': known are {', '.join(modules)}")
    for name in asked:
        for item in modules[name](results):
            yield _legible(_entitled(item), results) if isinstance(item, Figure) else item


def _entitled(figure: Figure) -> Figure:
    """Return a figure with its finding written above it."""
    if figure.caption.finding:
        with style.context():
            style.entitle(figure.figure, figure.caption.finding.removesuffix("."))
    return figure


def _legible(figure: Figure, results: Results) -> Figure:
    """Return a figure whose names can be read in any script; its caption says what numbers stand for."""
    timings_alone = not (results.folder / "manifest.json").exists()  # they name no class and no image
    gone = glyphs.legible(figure.figure, {} if timings_alone else numbered(results))
    meant = ", ".join(f"{number} is {name}" for name, number in gone.items())
    if not gone:
        return figure
    return replace(figure, caption=replace(figure.caption, reading=f"{figure.caption.reading} Here {meant}.".strip()))
