"""Lists of the library's own, remembered: to make one, torch is imported, which takes seconds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import segcam
from segcam.errors import InputError
from segcam.files import cache_folder, write_whole

Rows = list[dict[str, Any]]
SOURCES = (Path(segcam.__file__).parent, Path(__file__).parents[1])
"""Packages that lists are made from: this one and the library."""


def rows(kind: str, make: Callable[[], Rows]) -> Rows:
    """Return the rows of a list: those that were made before, of the same sources and plugins; else made anew.

    Where torch is imported already, they are made: it costs nothing, and something may have been registered since.

    Args:
        kind: of the list, such as 'methods'.
        make: returns its rows, which JSON can hold.
    """
    if "torch" in sys.modules:
        return make()
    key = _key(kind)
    try:
        file = cache_folder() / "lists" / f"{kind}.json"
    except InputError:  # whoever needs the folder says so
        return make()
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and kept.get("key") == key:
            found: Rows = kept["rows"]
            return found
    made: Rows = json.loads(json.dumps(make()))
    with contextlib.suppress(InputError):  # it is shown all the same
        write_whole(file, [json.dumps({"key": key, "rows": made}).encode()], "the list")
    return made


def _key(kind: str) -> str:
    """Return a hash of all that a list is made of: the sources, and the plugins of other packages."""
    hashed = hashlib.sha256(sys.version.encode())
    for package in SOURCES:
        for source in sorted((*package.rglob("*.py"), *package.rglob("*.json"))):
            hashed.update(str(source.relative_to(package)).encode() + source.read_bytes())
    for point in sorted(entry_points(group=f"segcam.{kind}"), key=lambda point: point.name):
        version = point.dist.version if point.dist else ""
        hashed.update(f"{point.name} {point.value} {version}".encode())
    return hashed.hexdigest()
