"""Tables for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


def plain(title: Text) -> Table:
    """Return a table without rules, whose lines keep to the left."""
    look = {"title_justify": "left", "caption_justify": "left", "title_style": "bold", "caption_style": "dim"}
    return Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False, **look)  # type: ignore[arg-type]
