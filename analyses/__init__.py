"""Statistics, figures and tables from the files of a run; no torch, no harness.

A module of this package that has a function `analyse(results)` is an analysis: it yields the figures and tables that
answer one question. Dropping such a file into the folder is all that adding one takes.

    from analyses import Results, run

    for item in run(Results("results/quick")):
        print(item.name, item.caption)
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from analyses.artifacts import Caption, Figure, Table
    from analyses.reading.results import Results, ResultsError
    from analyses.running import run

    Analysis = Callable[[Results], Iterable[Figure | Table]]

__all__ = ["Caption", "Figure", "Results", "ResultsError", "Table", "about", "find", "names", "question", "run"]

_HOMES = {
    "Caption": "artifacts",
    "Figure": "artifacts",
    "Results": "reading.results",
    "ResultsError": "reading.files",
    "Table": "artifacts",
    "run": "running",
}
"""The modules of the names that need pandas or matplotlib, which take seconds to import: a list of names does not."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name where it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module 'analyses' has no attribute '{name}'")
        globals()[name] = value = getattr(importlib.import_module(f"analyses.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


class _Found(NamedTuple):
    """A module that is an analysis, by its full name, and its docstring."""

    module: str
    about: str


def find() -> dict[str, Analysis]:
    """Return the analyses by module name, in the order of their names.

    >>> sorted(set(find()) & {"curves", "figure1", "levels"})
    ['curves', 'figure1', 'levels']

    Raises:
        ValueError: two files of one name are analyses.
    """
    return {name: importlib.import_module(found.module).analyse for name, found in _found().items()}


def about(name: str) -> str:
    """Return what an analysis is about: its module's docstring."""
    return _found()[name].about


def question(name: str) -> str:
    """Return what an analysis is about, in a line: the first one of its module's docstring.

    >>> question("skipped")
    'What has no maps, and why: methods that cannot run on a layer or a network.'
    """
    return about(name).partition("\n")[0]


def names() -> list[str]:
    """Return the names of the analyses, sorted; none of them is imported."""
    return list(_found())


@cache
def _found() -> dict[str, _Found]:
    """Return the modules below this package that define a function `analyse`, by their own names, sorted."""
    found: dict[str, _Found] = {}
    for place in map(Path, __path__):
        for file in sorted(place.rglob("*.py")):
            if "def analyse(" not in (source := file.read_text(encoding="utf-8")):
                continue
            tree = ast.parse(source)
            if not any(isinstance(node, ast.FunctionDef) and node.name == "analyse" for node in tree.body):
                continue
            module = ".".join((__name__, *file.relative_to(place).with_suffix("").parts))
            if file.stem in found:
                raise ValueError(
                    f"{module} and {found[file.stem].module} are both the analysis '{file.stem}': rename one"
                )
            found[file.stem] = _Found(module, ast.get_docstring(tree) or file.stem)
    return dict(sorted(found.items()))
