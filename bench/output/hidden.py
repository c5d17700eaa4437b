"""What is published of a run whose photographs may not be shown: maps of those alone that anyone may show.

A map shows an image's edges, so no map of another image is in a figure or on the page; numbers of all of them are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import analyses
from analyses import Results
from analyses.artifacts import MOVING, Drawn
from analyses.reading.files import FILMS, GALLERY, NEGATIVE, SCORES, SECTIONS, STEPS
from analyses.reading.manifest import Gallery, Manifest
from analyses.report.contents import SUPPLEMENTS
from analyses.report.told import FIGURE, Item, SectionTold, Told
from analyses.site.published import page as page_of_publication
from bench.output import drawing, extracts
from bench.output.report import figures as look_of
from bench.output.store import MANIFEST, PAGE, Store

OF_KEPT_MAPS = ("figure1", "figure2", "figure3", "film")
"""Analyses that draw kept maps, image by image: they are drawn of free photographs."""
WITH_MAPS = (*OF_KEPT_MAPS, "groups-", "when_wrong_maps-")
"""What the names of figures begin with that show maps; those of means of many images among them."""


def shows_maps(name: str) -> bool:
    """Return whether a figure, by its name or its file's, shows maps pixel by pixel."""
    return Path(name).name.startswith(WITH_MAPS)


def shown(head: Manifest) -> Manifest:
    """Return a manifest whose gallery has the photographs alone that anyone may show."""
    views = tuple(one.model_copy(update={"gallery": _free_of(one.gallery)}) for one in head.views)
    return head.model_copy(update={"gallery": _free_of(head.gallery), **({"views": views} if views else {})})


def _free_of(gallery: Gallery) -> Gallery:
    return gallery.model_copy(update={"ids": ()})


def drawn(run: Store, head: Manifest, scores: Mapping[str, bytes], whole: Told) -> tuple[Told, dict[str, bytes]]:
    """Draw the figures of kept maps again, of free photographs alone.

    Args:
        run: the run.
        head: its manifest, as it is published.
        scores: what is published of its scores, by name.
        whole: what its report told.

    Returns:
        What is told of a publication, without the figures that show maps of other images; and the figures, by name.
    """
    results = Results(run.out)
    titles = {section.name: section.title for section in whole.sections}
    items = {section.name: [item for item in section.items if not _left_out(item)] for section in whole.sections}
    figures: dict[str, bytes] = {}
    if kept := {name for name in scores if name.startswith(f"{GALLERY}/")}:
        films = {name: data for name in run.names(FILMS) if (data := _of_free(run, name, results))}
        free = {**scores, **{name: _of_free(run, name, results) for name in kept}, **films}
        look = drawing.Files(("png",), look_of(run).dpi)
        with _folder({**free, MANIFEST: _listing(head, free)}) as folder:
            for section in (drawing.draw(folder, name, look) for name in OF_KEPT_MAPS if name in analyses.names()):
                made = [item for item in section.items if isinstance(item, Drawn) and not _in_atlas(item.name)]
                titles[section.name] = section.title
                items[section.name] = [*items.get(section.name, ()), *map(Item.of, made)]
                figures |= dict(map(_published, made))
    told = [SectionTold(name=name, title=titles[name], items=tuple(items[name])) for name in sorted(items)]
    return Told(sections=tuple(told)), figures


def page(head: Manifest, contents: Mapping[str, bytes], whole: Told) -> dict[str, bytes]:
    """Return the files of the page of a publication, made of what is in it."""
    files = {**contents, SECTIONS: whole.written(), MANIFEST: _listing(head, contents)}
    with _folder(files) as folder:
        return {f"{PAGE}/{name}": data for name, data in page_of_publication(folder)}


def _left_out(item: Item) -> bool:
    return item.kind == FIGURE and shows_maps(item.name)


def _in_atlas(name: str) -> bool:
    return name.startswith(SUPPLEMENTS)


def _published(figure: Drawn) -> tuple[str, bytes]:
    """Return a figure's file as it is published, and its name."""
    if MOVING in figure.files:
        return f"figures/{figure.name}.{MOVING}", figure.files[MOVING]
    suffix, picture = drawing.published(figure.files["png"])
    return f"figures/{figure.name}.{suffix}", picture


def _listing(head: Manifest, contents: Mapping[str, bytes]) -> bytes:
    listed = {name: extracts.file_of(data) for name, data in contents.items() if name.startswith((SCORES, FILMS))}
    return head.model_copy(update={"files": listed}).written()


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Put files into a folder of their own while the block runs."""
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield Path(place)


def _of_free(run: Store, name: str, results: Results) -> bytes:
    """Return kept maps or a film of the photographs that anyone may show alone; nothing where they are not in it."""
    with np.load(run.path(name), allow_pickle=False) as stored:
        ids = [str(image) for image in stored["ids"]]
        rows = [at for at, image in enumerate(ids) if image in results.free]
        film, arrays = STEPS in stored.files, dict[str, NDArray[Any]]()
        for key in stored.files:
            values = stored[key]
            if key == NEGATIVE:
                arrays[key] = values[[str(one).partition("|")[0] in results.free for one in values]]
            elif not film or key in ("ids", "images", "masks"):
                arrays[key] = values[rows]
            else:
                arrays[key] = values if values.ndim < 2 else values[:, rows]
    return extracts.npz(arrays) if rows else b""
