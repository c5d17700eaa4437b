"""Text on a terminal of any width: lines end between words, and what is copied is never cut."""

from __future__ import annotations

import os
import textwrap
from typing import TextIO

MANY = 80
"""Columns of a terminal that does not say how many it has."""


def columns(stream: TextIO | None) -> int | None:
    """Return the columns of the terminal that a stream writes to; None where there is none, and lines have no end."""
    try:
        if stream is None or not stream.isatty():
            return None
        stated = os.environ.get("COLUMNS", "")
        return (
            int(stated) if stated.isdecimal() and int(stated) else os.get_terminal_size(stream.fileno()).columns or MANY
        )
    except (OSError, ValueError):  # closed, or no terminal of the system's
        return MANY


def wrapped(text: str, width: int | None, indent: str = "") -> str:
    """Return text whose lines end between words; words that are longer than a line, such as paths, stay whole.

    Args:
        text: of one or more lines, each of which keeps its own indent.
        width: columns of a line; None for lines as long as they are.
        indent: before all lines but the first, beside a line's own.

    >>> print(wrapped("known are edge_alignment, spread", 20, "  "))
    known are
      edge_alignment,
      spread
    """
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        own = line[: len(line) - len(line.lstrip(" "))]
        few = textwrap.wrap(
            line,
            max(width, len(own) + len(indent) + 1),
            subsequent_indent=own + indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += few or [""]
    return "\n".join(lines)


def elided(text: str, width: int | None) -> str:
    """Return text of at most `width` characters, its end left out where it is longer.

    >>> elided("the map's mean", 10), elided("the map", 10)
    ("the map's…", 'the map')
    """
    if width is None or len(text) <= width:
        return text
    return text[: max(0, width - 1)].rstrip() + "…"
