"""Pictures of errors: an image's truth and prediction, what is wrong of it, and the maps of right and wrong pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
from numpy.typing import NDArray

from analyses import printing
from analyses.plots import map_page, networks, overlay
from analyses.reading.choices import ends
from analyses.reading.error_maps import FALSE_ALARM, HIT, MISS, PIXELS, SETS
from analyses.reading.files import PREDICTED
from analyses.reading.manifest import Checkpoint
from analyses.reading.records import Gallery
from analyses.reading.results import Results
from segcam.draw import display
from segcam.draw.display import Display

KINDS = ("hit", "false_positive", "false_negative")
SIGNS: dict[int, map_page.Sign] = {HIT: "hit", FALSE_ALARM: "false alarm", MISS: "miss"}
HEADS = ("image", "truth", "prediction", "errors", "map of hits", "map of false alarms", "map of misses")
LIKE = "like_hits"
IGNORED = 255
INSIDE, OUTSIDE, BORDER = 0.95, 0.15, 0.5
"""Greys of the class, of all others, and of pixels that count for neither."""


@dataclass(frozen=True)
class ErrorPage:
    """What the picture shows.

    Attributes:
        page: its tiles.
        images: what they are called.
        layer: whose maps they are.
        finding: what is seen.
        photographs: whether all photographs may be shown.
    """

    page: map_page.Page
    images: tuple[str, ...]
    layer: str
    finding: str
    photographs: bool


def page(results: Results, point: Checkpoint, kept: Sequence[Gallery], most: int) -> ErrorPage | None:
    """Return the picture of a checkpoint's images with the most errors, of at most so many; None without kept maps."""
    images = [(gallery, i) for gallery in kept for i in range(len(gallery.ids))]
    if not images:
        return None

    def absent(one: tuple[Gallery, int]) -> bool:
        return not np.isin(one[0].masks[one[1]], foreground).any()

    foreground = results.foreground(next(iter(results.targets), ""))
    ordered = sorted(images, key=lambda one: (-_errors(*one), one[0].ids[one[1]]))
    without = [one for one in ordered if absent(one)][:1]
    chosen = [one for one in ordered if not absent(one)][: most - len(without)] + without
    layer = _layer(results, point.model, chosen[0][0])
    label = networks.label_of(results, point.model, layer)
    rows = [_row(results, gallery, i, layer, foreground) for gallery, i in chosen]
    name = results.class_name(next(iter(results.targets), ""))
    key: list[tuple[map_page.Sign, str]] = [(sign, _meaning(sign, name)) for sign in SIGNS.values()]
    key.append(("outline", f"outline: of the mask, {name}; on maps of the pixels explained"))
    title = f"{results.label('models', point.model)}: maps of {label} for right and wrong pixels"
    shown = map_page.Page(title, [map_page.Block(HEADS, rows)], len(HEADS), key)
    if any((gallery.masks[i] == IGNORED).any() for gallery, i in chosen):
        key.insert(len(SIGNS), ("border", "border of the mask: counts for neither"))
    ids = tuple(results.image_label(gallery.ids[i]) for gallery, i in chosen)
    whole = all(gallery.ids[i] in gallery.photographs for gallery, i in chosen)
    words = []
    for kind, what in zip(KINDS[1:], ("false alarms", "misses"), strict=True):
        if found := _alike(results, point, chosen, layer, kind):
            numbers = dict.fromkeys(printing.fixed(value, 2) for value in (found[0], found[-1]))
            of = f" in {len(found)} images" if len(found) > 1 else " in one image"
            words.append(f"of {what} by {' to '.join(numbers)}{of}")
    return ErrorPage(shown, ids, label, _finding(words, *chosen[0], label, name), whole)


def draw(page: ErrorPage) -> matplotlib.figure.Figure:
    """Draw the picture."""
    return map_page.draw(page.page)


def _meaning(sign: map_page.Sign, name: str) -> str:
    words = {"hit": "hit: predicted as {} and so in truth", "false alarm": "false alarm: predicted, and not {}"}
    return words.get(sign, "miss: {}, and not predicted").format(name)


def _errors(gallery: Gallery, i: int) -> int:
    """Return the pixels of the smaller set of errors; of an image without the class its false alarms."""
    hits, alarms, misses = (int(count) for count in gallery.arrays[PIXELS][i])
    return min(alarms, misses) if hits + misses else alarms


def _layer(results: Results, model: str, gallery: Gallery) -> str:
    """Return the layer at the encoder's end, or of those that are kept the one nearest before it."""
    there = {name.split("|", 2)[2] for name in gallery.arrays if "|" in name}
    wanted = ends(results.main_layers(model))
    names = [layer.name for layer in (*wanted[1:2], *wanted, *results.main_layers(model)) if layer.name in there]
    return names[0]


def _finding(alike: Sequence[str], gallery: Gallery, i: int, label: str, name: str) -> str:
    """Say how like the maps of errors are to those of hits in the images shown; without any pair, what is predicted."""
    if alike:
        return f"Maps of {label} correlate with those of the same image's hits: {printing.listed(alike)}."
    wrong = int(gallery.arrays[PIXELS][i][1:].sum()) / int((gallery.masks[i] != IGNORED).sum())
    return f"{100 * wrong:.0f} % of the first image's pixels are wrong: predicted as {name} but not it, or missed."


def _alike(
    results: Results, point: Checkpoint, chosen: Sequence[tuple[Gallery, int]], layer: str, kind: str
) -> list[float]:
    """Return how the maps shown of one set correlate with those of the hits, the least first; of few pixels none.

    As it was measured: over the picture's own cells, without padding, which kept maps do not tell.
    """
    table = results.table("errors")
    if table is None or LIKE not in table:
        return []
    names = (name.split("|", 2) for name in chosen[0][0].arrays if name.startswith(f"{kind}:"))
    target, method, _ = next(parts for parts in names if parts[2] == layer)
    where = {"model": point.model, "level": point.level, "seed": point.seed}
    where |= {"target": target, "method": method, "layer": layer}
    rows = table[np.logical_and.reduce([table[key] == value for key, value in where.items()])]
    shown = rows["image"].isin([gallery.ids[i] for gallery, i in chosen])
    return sorted(float(value) for value in rows.loc[shown, LIKE].dropna())


def _row(results: Results, gallery: Gallery, i: int, layer: str, foreground: Sequence[int]) -> map_page.Row:
    mask, photograph = gallery.masks[i], gallery.photographs.get(gallery.ids[i])
    size = (int(mask.shape[0]), int(mask.shape[1]))
    outline = overlay.outline(np.isin(mask, foreground))
    picture = np.zeros((*size, 3)) if photograph is None else photograph / 255
    predicted = np.isin(gallery.arrays[PREDICTED][i], foreground)
    sets = gallery.arrays[SETS][i]
    coloured = np.array(display.dimmed(photograph, size))
    for value, sign in SIGNS.items():
        coloured[sets == value] = [int(map_page.SWATCHES[sign][at : at + 2], 16) / 255 for at in (1, 3, 5)]
    tiles: list[map_page.Tile | None] = [
        map_page.Tile(picture, outline),
        map_page.Tile(_grey(np.isin(mask, foreground), mask), []),
        map_page.Tile(_grey(predicted, np.where(mask == IGNORED, OUTSIDE, mask)), []),
        map_page.Tile(coloured, []),
    ]
    names = {name.split(":", 1)[0]: name for name in gallery.arrays if name.endswith(f"|{layer}")}
    for value, kind in zip(SIGNS, KINDS, strict=True):
        count = int(gallery.arrays[PIXELS][i][value - 1])
        values = np.asarray(gallery.arrays[names[kind]][i], dtype=np.float32)
        how = Display.of(values, raw=results.raw)
        reason = "no such pixel" if not count else how.reason
        tint = overlay.heat(values, photograph, size, how)
        around = [] if reason else overlay.outline(sets == value)
        tiles.append(map_page.Tile(tint, around, None, f"{count} px", how, reason))
    return map_page.Row(map_page.cut(results.image_label(gallery.ids[i]), 22, 8), tiles)


def _grey(inside: NDArray[np.bool_], mask: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return a mask as a picture: bright where it is the class, grey where no class is known."""
    shades = np.where(inside, INSIDE, np.where(mask == IGNORED, BORDER, OUTSIDE))
    return np.repeat(shades[..., None], 3, axis=2)
