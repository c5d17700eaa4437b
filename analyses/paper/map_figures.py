"""A page of maps as figures: one, or as many as a journal's page makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyses.artifacts import Caption, Figure
from analyses.plots import map_breaks, map_page, style
from analyses.reading.results import Results


def figures(results: Results, page: map_page.Page, name: str, caption: Caption, label: str) -> Iterator[Figure]:
    """Draw a page for both of a journal's columns, or for one where the run says so.

    What it is broken into has numbered names, and the finding stands above the first alone.
    """
    wanted = map_breaks.narrowed(page) if results.one_column else page
    for number, part in enumerate(map_breaks.pages(wanted), start=1):
        with style.context():
            figure = map_page.draw(part)
        if number == 1:
            yield Figure(name, figure, caption, label)
        else:
            yield Figure(f"{name}-{number}", figure, replace(caption, finding=""), f"{label}, page {number}")
