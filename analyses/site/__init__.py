"""One site over studies: an index with methods side by side and claims by studies, and the page of each study.

    from analyses import site

    studies, left_out = site.find([Path("results")])
    for path, content in site.build(studies):
        ...

The site opens from disk, as each page does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from importlib import resources

import jinja2

from analyses import verdicts
from analyses.report import PAPER, assets
from analyses.site import across, leaderboard
from analyses.site.studies import INDEX, Study, find
from analyses.trust.sanity import FAILS

__all__ = ["INDEX", "LIST", "Study", "build", "find"]

LIST = "site.json"
"""What the site holds, for machines; and what tells a folder that a site was written to."""
SCRIPTS, STYLES = ("core.js", "tables.js"), ("page.css",)
AXIS = -0.25, 1.0
"""Ends of the axis of energy and of similarity; what lies beyond, some of few images, is cut off, and said in words."""
OWN = ("boards.js", "site.css")


def build(studies: Sequence[Study], docs: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the files of the site: each one's path in its folder, and its bytes.

    Args:
        studies: what it shows, in this order.
        docs: the address of the documentation, which all pages then lead to.

    Raises:
        ResultsError: a study is damaged.
    """
    for study in studies:
        yield from study.files(studies, docs)
        if study.picture:
            yield f"figures/{study.slug}.webp", study.picture.content
    yield from assets.files((*STYLES, *SCRIPTS))
    folder = resources.files(__package__) / "static"
    for name in OWN:
        yield f"static/{name}", (folder / name).read_bytes()
    boards, matrix, cues = leaderboard.boards(studies), across.matrix(studies), across.cues(studies)
    page = (
        _environment()
        .get_template("site.html.j2")
        .render(
            studies=studies,
            boards=boards,
            contrary=[board for board in boards if board.contrary],
            matrix=matrix,
            cues=cues,
            states=verdicts.STATES.items(),
            timings=[(study, said) for study in studies if (said := across.timing(study))],
            docs=docs,
            paper=PAPER,
            energy=AXIS,
            sanity=AXIS,
            known=_axis([cell for one in cues for row in one.rows for cell in row.cells]),
            fails=FAILS,
            checked=sum(any(line.told for line in board.lines) for board in boards),
            best=leaderboard.BEST,
        )
    )
    listed = [{"name": study.name, "kind": study.kind, "page": study.page} for study in studies]
    yield LIST, f"{json.dumps({'schema': 1, 'studies': listed}, indent=1)}\n".encode()
    yield INDEX, page.encode()


def _axis(estimates: Sequence[leaderboard.Estimate | None]) -> tuple[float, float]:
    """Return the ends of an axis that holds all estimates and zero."""
    values = [end for one in estimates if one for end in (one.value, one.low, one.high) if math.isfinite(end)]
    return min([0.0, *values]), max([0.1, *values])


def _environment() -> jinja2.Environment:
    folder = resources.files(__package__) / "templates"
    loader = jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8"))
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
