"""One small registry, used by the plugin folders of datasets, models, methods and metrics."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, Protocol, TypeVar

from segcam.errors import unknown


class Named(Protocol):
    """What a plugin must have to be registered: a name."""

    @property
    def name(self) -> str:
        """The name by which users ask for it."""
        ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Named plugins of one kind, found in one package folder and in the entry points of installed packages.

    A file dropped into the folder that calls `add` is all that a new plugin takes. Another distribution adds its own
    through the entry-point group `segcam.<kind>s`: the modules named there are imported like the folder's files.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._items: dict[str, T] = {}
        self._loaded = False

    def add(self, item: T) -> T:
        """Register `item` under its name and return it.

        Raises:
            ValueError: the name is taken.
        """
        if item.name in self._items:
            raise ValueError(f"a {self.kind} named '{item.name}' is registered already; choose another name")
        self._items[item.name] = item
        return item

    def get(self, name: str) -> T:
        """Return the plugin called `name`.

        Raises:
            InputError: there is none; the message lists the known names.
        """
        self._load()
        if name not in self._items:
            raise unknown(self.kind, name, self._items)
        return self._items[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._items)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the plugins in the order of their names."""
        return iter([self._items[n] for n in self.names()])

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            importlib.import_module(f"{self._package}.{module.name}")
        for point in entry_points(group=f"segcam.{self.kind}s"):
            point.load()


def words(plugin: Callable[..., Any]) -> tuple[str, str]:
    """Return a plugin's summary and source as its docstring has them: the first line, and what follows 'Source:'.

    >>> def half(x: float) -> float:
    ...     '''Half of a number.
    ...
    ...     Source: Euclid, Elements, book 10.
    ...     '''
    ...     return x / 2
    >>> words(half)
    ('Half of a number', 'Euclid, Elements, book 10')

    Returns:
        Both without the full stop at the end; the source is 'segcam' where none is named.

    Raises:
        ValueError: there is no docstring.
    """
    summary, _, rest = inspect.cleandoc(plugin.__doc__ or "").partition("\n")
    if not summary:
        raise ValueError(f"'{plugin.__name__}' has no docstring: its first line is shown as the plugin's summary")
    source = re.search(r"^Source: (.+?)(?:\n\n|\Z)", rest, re.DOTALL | re.MULTILINE)
    return summary.removesuffix("."), " ".join(source[1].split()).removesuffix(".") if source else "segcam"
