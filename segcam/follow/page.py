"""Page: one file that shows curves and maps by step, and needs nothing beside it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any


def page(followed: Mapping[str, Any], steps: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the page in parts, so that no more than a step is in memory.

    Args:
        followed: what is followed, JSON-ready.
        steps: each step's numbers as JSON; with `picture`, a data URI, where it is shown.
    """
    folder = files("segcam.follow") / "static"
    text, style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js"))
    filled = {
        "title": html.escape(str(followed["title"])),
        "facts": json.dumps(followed).replace("<", "\\u003c"),
        "style": style,
        "script": script,
    }
    head, _, tail = text.partition("{{steps}}")
    head, tail = (re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], part) for part in (head, tail))
    yield head.encode()
    for n, step in enumerate(steps):
        yield (b",\n" if n else b"") + step.replace(b"<", b"\\u003c")
    yield tail.encode()
