"""Statistics, figures and tables from the files of a run; no torch, no harness.

A module of this package that has a function `analyse(results)` is an analysis: it yields the figures and tables that
answer one question. Dropping such a file into the folder is all that adding one takes.

    from analyses import Results, run

    for item in run(Results("results/quick")):
        print(item.name, item.caption)
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from types import ModuleType

from analyses.artifacts import Caption, Figure, Table
from analyses.plots import style
from analyses.reading.choices import numbered
from analyses.reading.results import Results, ResultsError
from segcam.draw import glyphs

Analysis = Callable[[Results], Iterable[Figure | Table]]

__all__ = ["Analysis", "Caption", "Figure", "Results", "ResultsError", "Table", "find", "question", "run"]


def find() -> dict[str, Analysis]:
    """Return the analyses by module name, in the order of their names.

    >>> sorted(set(find()) & {"curves", "figure1", "levels"})
    ['curves', 'figure1', 'levels']

    Raises:
        ValueError: two files of one name are analyses.
    """
    return {name: module.analyse for name, module in sorted(_modules().items())}


@cache
def _modules() -> dict[str, ModuleType]:
    """Return the modules below this package that have a function `analyse`, by their own names."""
    modules: dict[str, ModuleType] = {}
    for info in pkgutil.walk_packages(__path__, f"{__name__}."):
        module = importlib.import_module(info.name)
        name = info.name.rpartition(".")[2]
        if not info.ispkg and hasattr(module, "analyse"):
            if name in modules:
                raise ValueError(f"{info.name} and {modules[name].__name__} are both the analysis '{name}': rename one")
            modules[name] = module
    return modules


def run(results: Results, names: Iterable[str] | None = None) -> Iterator[Figure | Table]:
    """Run the analyses called `names` (all of them by default) and yield what they make, in a stable order.

    Raises:
        ResultsError: a name is unknown, or the files of the run are missing or damaged.
    """
    modules = find()
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


def question(name: str) -> str:
    """Return what an analysis is about, in a line: the first one of its module's docstring.

    >>> question("skipped")
    'What has no maps, and why: methods that cannot run on a layer or a network.'
    """
    return (_modules()[name].__doc__ or name).strip().partition("\n")[0]
