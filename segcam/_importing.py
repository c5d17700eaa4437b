"""Mends torchvision when it is first imported, by whomever; see `segcam/_torchvision.py`.

segcam itself imports torch where it is needed alone, so that what needs none starts seconds earlier.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

NAME = "torchvision"


class Mending(Loader):
    """The loader of torchvision, which mends it before it runs; what else is asked of it the true loader answers."""

    def __init__(self, true: Any) -> None:
        self.true = true

    def __getattr__(self, name: str) -> Any:
        return getattr(self.true, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the true loader makes."""
        made: ModuleType | None = self.true.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Mend, and let the true loader run the module, which is its own from then on."""
        from segcam._torchvision import make_importable  # noqa: PLC0415  (imports torch)

        if module.__spec__ is not None:
            module.__spec__.loader = self.true
        module.__loader__ = self.true
        make_importable()
        self.true.exec_module(module)


class Finder(MetaPathFinder):
    """Finds torchvision as others do, with a loader of its own: finding may do no work, for others wait for it."""

    def __init__(self) -> None:
        self.asking = False

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what the others find of torchvision, and None of all else."""
        if name != NAME or self.asking:
            return None
        self.asking = True
        try:
            found = find_spec(name)
        finally:
            self.asking = False
        if found is not None and found.loader is not None:
            found.loader = Mending(found.loader)
        return found


def watch() -> None:
    """See to it that torchvision is mended when it is imported, unless it is already or that is seen to."""
    if NAME not in sys.modules and not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
