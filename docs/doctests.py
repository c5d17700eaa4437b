"""Examples in docstrings as code: a paragraph that begins with `>>>` is one, with or without a heading."""

from __future__ import annotations

import re
from typing import Any

import griffe

PARAGRAPH = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Put a fence around each example."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring before it is parsed."""
        if obj.docstring:
            obj.docstring.value = PARAGRAPH.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
