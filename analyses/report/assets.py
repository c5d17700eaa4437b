"""The files that are the same for all runs: the page's own styles and scripts, and DataTables as itables ships it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

import itables.options

from analyses.report import data

STYLES = ("page.css", "gallery.css")
SCRIPTS = (
    *("core.js", "tables.js", "print.js", "maps.js", "state.js", "blocks.js", "tiles.js", "atlas.js"),
    *("detail.js", "controls.js", "keys.js", "picture.js", "film.js", "gallery.js", "scatter.js", "router.js"),
    "home.js",
)
"""In the order in which the page loads them; `theme.js` comes before, so that no light page flashes up in the dark."""


def files(names: Iterable[str] = (*STYLES, *SCRIPTS)) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of files that are the same for all runs: these, the theme's and DataTables'."""
    folder = resources.files(__package__) / "static"
    for name in ("theme.js", *names):
        yield f"static/{name}", (folder / name).read_bytes()
    bundle = Path(itables.options.dt_bundle)
    yield "static/datatables.css", bundle.with_suffix(".css").read_bytes()
    yield data.script("datatables", data.packed(bundle.read_text(encoding="utf-8")))
