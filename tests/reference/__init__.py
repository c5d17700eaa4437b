"""Slow, plain implementations to compare against: a function of the plugin's name in the module of its kind."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def twin(module: ModuleType, kind: str, name: str) -> Callable[..., Any]:
    """The slow twin of a plugin.

    Raises:
        LookupError: there is none.
    """
    found: Callable[..., Any] | None = vars(module).get(name)
    if found is None:
        path = f"{module.__name__.replace('.', '/')}.py"
        raise LookupError(f"{kind} '{name}' has no slow twin: write `def {name}(...)` in {path}, see CONTRIBUTING.md")
    return found
