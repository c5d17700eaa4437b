"""One folder that shows a run in a browser, from disk: verdicts, figures, tables and the gallery of maps.

    from analyses import Results, report

    for path, content in report.build(Results("runs/quick"), sections):
        ...

Nothing in the folder asks for a server or for the network. A page opened from disk may not fetch files, nor read the
pixels of image files, so data are scripts that hand over what they hold (`data.py`), maps among them as images in
text. The same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import resources
from urllib.parse import urlencode

import jinja2

from analyses import verdicts
from analyses.artifacts import Drawn, Section, Table
from analyses.reading.results import Results
from analyses.report import assets, contents, data, facts, figures, gallery, tables
from analyses.report.links import Kept
from analyses.report.words import Words

__all__ = ["PAPER", "SITE", "build", "without_maps"]

SITE = "site"
"""What the page asks for to know the site that it is part of: nothing, until a site is made of it."""
PAPER = "https://scholar.google.com/scholar?" + urlencode(
    {"q": '"Visualizing Decision-Making in Semantic Segmentation Architectures Using Grad-CAM"'}
)
"""Where the paper is found, by its title."""


def build(
    results: Results, sections: Sequence[Section], *, maps: bool = True, every_seed: bool = True
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the report page: each one's path in the page's folder, and its bytes; `index.html` first.

    Args:
        results: the run. Its gallery's maps and scores are read where the folder has them; a run without is shown
            without maps, and the page says so.
        sections: what the analyses made, in any order; the page has its own.
        maps: whether the gallery is shown where the run has one.
        every_seed: whether the scores of single images are shown of all trainings; else of one a model.

    Raises:
        ResultsError: the manifest, or a file that the run has, is damaged.
    """

    def gathered() -> tuple[gallery.MapFiles, Kept]:
        map_files = gallery.gather(results, maps=maps, every_seed=every_seed)
        return map_files, Kept.of(results) if map_files.checkpoints else Kept()

    units = {metric.name: metric.unit for metric in results.metrics}
    about, of_classes = facts.of(results), facts.classes(results)
    yield from _page(about, sections, Words.of(results), gathered, units, of_classes)


def without_maps(about: facts.Facts, sections: Sequence[Section], words: Words) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the page of what is no run, such as timings: its facts, figures and tables."""
    yield from _page(about, sections, words, lambda: (gallery.MapFiles(), Kept()), {}, [], of_run=False)


def _page(
    about: facts.Facts,
    sections: Sequence[Section],
    words: Words,
    gathered: Callable[[], tuple[gallery.MapFiles, Kept]],
    units: Mapping[str, str],
    of_classes: list[tuple[str, str]],
    *,
    of_run: bool = True,
) -> Iterator[tuple[str, bytes]]:
    shown = contents.ordered(sections)
    items = [item for section in shown for item in section.items]
    # Scaling and coding are done by C code that lets others run.
    with ThreadPoolExecutor() as threads, ExitStack() as stopped:
        stopped.callback(threads.shutdown, wait=False, cancel_futures=True)  # a stop waits for no more than has begun
        pictures = [item for item in items if isinstance(item, Drawn)]
        later = [item for item in pictures if item.name.startswith(contents.SUPPLEMENTS)]
        coming = {item.name: threads.submit(figures.small, item) for item in pictures if item not in later}
        map_files, kept = gathered()
        if not map_files.checkpoints:
            coming |= {item.name: threads.submit(figures.small, item) for item in later}
        rows = [tables.script(item, words, kept) for item in items if isinstance(item, Table)]
        drawn = {name: picture.result() for name, picture in coming.items()}
    views = [contents.view(section, drawn, words) for section in shown]
    page = (
        _environment()
        .get_template("index.html.j2")
        .render(
            facts=about,
            verdicts=_verdicts(shown, units, words),
            states=verdicts.STATES.items(),
            sections=views,
            pictures=contents.pictures(views),
            gallery=map_files,
            classes=of_classes,
            scripts=assets.SCRIPTS,
            styles=assets.STYLES,
            paper=PAPER,
            of_run=of_run,
        )
    )
    yield "index.html", page.encode()
    yield from assets.files()
    yield data.script(SITE, None)
    for name, picture in drawn.items():
        yield figures.path(name), picture.content
        if picture.frames:
            yield figures.frames_path(name), picture.frames.content
    yield from rows
    yield from map_files.files


def _environment() -> jinja2.Environment:
    folder = resources.files(__package__) / "templates"
    loader = jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8"))
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _verdicts(sections: Sequence[Section], units: Mapping[str, str], words: Words) -> list[verdicts.ClaimVerdict]:
    """Return the verdict on each claim in the page's words; none where no section judges claims."""
    items = [item for section in sections for item in section.items]
    tables_of = [item for item in items if isinstance(item, Table) and item.name == verdicts.CLAIMS]
    found = [verdict for table in tables_of for verdict in verdicts.of_frame(table.frame, units)]
    return [one.told(words.caption) for one in found]
