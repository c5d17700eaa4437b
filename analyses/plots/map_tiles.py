"""The kept maps of one checkpoint as tiles of a page: pictures with the mask's outline, and scores under them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses.plots import overlay
from analyses.plots.map_page import Bar, Page, Row, Sign, Tile
from analyses.reading.arrays import overlaps
from analyses.reading.choices import paper_target
from analyses.reading.files import PIXELS, PREDICTED
from analyses.reading.manifest import Checkpoint, Layer, Metric
from analyses.reading.records import Gallery
from analyses.reading.results import Results, ResultsError
from segcam.draw import display
from segcam.draw.display import Display, in_words

UNDEFINED = "\N{EN DASH}"
UNMASKED = "no mask"
"""Under a photograph of which no mask is known."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Tiles:
    """The gallery of one checkpoint for the first target and the main method.

    Attributes:
        results: the run.
        checkpoint: a reached one.
        metric: the score under a map; None for none.
    """

    results: Results
    checkpoint: Checkpoint
    metric: Metric | None = None

    def input(self, image: str) -> Tile:
        """Return the tile of the input alone; under it how well the checkpoint's own prediction agrees."""
        at = self._index(image)
        pixel, mask = self._gallery.arrays.get(f"{PIXELS}{paper_target(self.results)}"), self._gallery.masks[at]
        mark = None
        if pixel is not None and pixel[at].min() >= 0:
            down, right = (pixel[at] + 0.5) / np.array(mask.shape)
            mark = (float(right), float(down))
        photograph = self._photograph(image)
        picture = np.zeros((*mask.shape, 3)) if photograph is None else photograph / 255
        if self.tinted:
            foreground = self.results.foreground(paper_target(self.results))
            picture = display.tinted(picture, np.isin(self._gallery.arrays[PREDICTED][at], foreground))
        text = UNMASKED if image in self.results.free else self._agreement.get(image, "")
        return Tile(picture, self._outline(image), mark, text)

    @property
    def tinted(self) -> bool:
        """Whether the predicted mask is kept, and tinted on the input."""
        kept = self.checkpoint.reached and bool(self.results.gallery_ids)
        return kept and PREDICTED in self._gallery.arrays

    def maps(self, image: str, layers: Sequence[Layer]) -> list[Tile]:
        """Return a tile a layer, with its score as a bar where that has ends, and with its reason where it is blank.

        Raises:
            ResultsError: the gallery lacks the image or a layer's maps.
        """
        tiles, size = [], self._gallery.masks[self._index(image)].shape
        for layer, values in zip(layers, self._values(image, layers), strict=True):
            shown = Display.of(values, raw=self.results.raw)
            picture = overlay.heat(values, self._photograph(image), (size[0], size[1]), shown)
            bar, text = self._score(image, layer, nothing=bool(shown.reason))
            reason = self._reason(image, layer, shown)
            outline = [] if reason else self._outline(image)
            tiles.append(Tile(picture, outline, None, text, shown, reason, bar))
        return tiles

    def score(self, image: str, layer: Layer) -> float:
        """Return the score of a map; NaN for one that is undefined or unknown."""
        return self._scores.get((image, layer.name), math.nan)

    def _score(self, image: str, layer: Layer, *, nothing: bool) -> tuple[Bar | None, str]:
        """Return a map's score as a bar and as a number; neither for an image without scores, no bar without ends."""
        if self.metric is None or image in self.results.free:
            return None, ""
        metric, value = self.metric, self.score(image, layer)
        text = "" if nothing and math.isnan(value) else score_text(metric, value)
        ends = scale(metric)
        return (None if math.isnan(value) or ends is None else Bar(value, *ends)), text

    def _reason(self, image: str, layer: Layer, shown: Display) -> str:
        if not shown.reason.startswith("blank"):
            return shown.reason
        return self._gallery.reason(image, paper_target(self.results), self.results.main_method, layer.name)

    def _values(self, image: str, layers: Sequence[Layer]) -> list[Map]:
        prefix = f"{paper_target(self.results)}|{self.results.main_method}"
        missing = [x.name for x in layers if f"{prefix}|{x.name}" not in self._gallery.arrays]
        if missing:
            raise self._missing(f"'{prefix}' of layers {', '.join(missing)}")
        at = self._index(image)
        return [np.asarray(self._gallery.arrays[f"{prefix}|{x.name}"][at], dtype=np.float32) for x in layers]

    def _outline(self, image: str) -> list[NDArray[np.float64]]:
        foreground = self.results.foreground(paper_target(self.results))
        return overlay.outline(np.isin(self._gallery.masks[self._index(image)], foreground))

    def _photograph(self, image: str) -> NDArray[np.uint8] | None:
        return self._gallery.photographs.get(image)

    def _index(self, image: str) -> int:
        index = self._gallery.index(image)
        if index is None:
            raise self._missing(f"image '{image}'")
        return index

    def _missing(self, what: str) -> ResultsError:
        level = self.checkpoint.label
        return ResultsError(f"gallery of level {level}: {what} is missing; run the benchmark again")

    @cached_property
    def _gallery(self) -> Gallery:
        return self.results.gallery(self.checkpoint.model, self.checkpoint.seed, self.checkpoint.level)

    @cached_property
    def _scores(self) -> Mapping[tuple[str, str], float]:
        where: dict[str, Collection[Any]] = {
            "model": [self.checkpoint.model],
            "seed": [self.checkpoint.seed],
            "level": [self.checkpoint.level],
            "image": self.results.gallery_ids,
            "target": [paper_target(self.results)],
            "method": [self.results.main_method],
        }
        if self.metric is None:
            return {}
        frame = self.results.scores(where, ["image", "layer"], [self.metric.name])
        if self.metric.name not in frame:
            return {}
        keys = zip(frame["image"].astype(str), frame["layer"].astype(str), strict=True)
        return dict(zip(keys, frame[self.metric.name].astype(float), strict=True))

    @cached_property
    def _agreement(self) -> Mapping[str, str]:
        """For each image, how well the checkpoint's own prediction agrees with the mask, where there is one."""
        if not self.results.manifest.dataset.masked:
            return dict.fromkeys(self.results.gallery_ids, "")
        frame, point = self.results.predictions(), self.checkpoint
        frame = frame[(frame["model"] == point.model) & (frame["seed"] == point.seed) & (frame["level"] == point.level)]
        frame = frame[frame["image"].isin(self.results.gallery_ids)]
        foreground = self.results.foreground(paper_target(self.results))
        both, predicted, true = overlaps(frame, foreground, len(self.results.classes))
        texts = []
        for hits, n_predicted, n_true in zip(both, predicted, true, strict=True):
            union = n_predicted + n_true - hits
            texts.append("absent" if union == 0 else "no pixel" if n_predicted == 0 else f"IoU {hits / union:.2f}")
        return dict(zip(frame["image"].astype(str), texts, strict=True))


def scale(metric: Metric) -> tuple[float, float, float] | None:
    """Return the ends of a metric's bars, and where they begin; None for a metric without an upper end.

    What has no lower end is shown as far below chance as it may lie above; a bar that goes beyond ends there.
    """
    null = float(metric.chance) if isinstance(metric.chance, (int, float)) else metric.lower
    low = metric.lower if math.isfinite(metric.lower) else 2 * null - metric.upper
    return (low, metric.upper, null) if math.isfinite(metric.upper - low + null) else None


def score_text(metric: Metric, value: float) -> str:
    """Return a score as it stands under a map: with its sign where 0 is chance, and with its unit."""
    if metric.unit and not math.isnan(value):
        return f"{number(value, '', 1)} {metric.unit}"
    return number(value, "+" if metric.chance == 0 and metric.lower < 0 else "")


def number(value: float, sign: str = "", decimals: int = 2) -> str:
    """Return a number in at most five signs, or a dash where it is undefined.

    >>> number(-0.004), number(0.5, "+"), number(12.3), number(float("nan"))
    ('0.00', '+0.50', '12', '–')
    """
    value = round(float(value), decimals) + 0.0  # no minus before a zero
    digits = decimals if abs(value) < 10 ** (3 - decimals) - 0.5 / 10**decimals else 0
    return UNDEFINED if math.isnan(value) else format(value, f"{sign}.{digits}f").replace("-", "\N{MINUS SIGN}")


def metric_shown(results: Results, name: str) -> Metric | None:
    """Return the metric that a figure has under its maps: the one asked for, else the run's first; None without any."""
    return next((metric for metric in results.metrics if metric.name == name), next(iter(results.metrics), None))


def key(results: Results, image: str | None, *, tinted: bool, metric: Metric | None) -> list[tuple[Sign, str]]:
    """Return what the signs of a page mean: of the outline, the ring, the tint and the bar.

    Args:
        results: the run.
        image: the only one that the page shows; None for several.
        tinted: whether the predicted mask is shown.
        metric: what the bars show; None without bars.
    """
    name, unmasked = results.class_name(paper_target(results)), image in results.free
    signs: list[tuple[Sign, str]] = []
    if not results.manifest.dataset.masked:
        signs.append(("outline", f"outline of the region predicted as {name}; there are no masks"))
    elif not unmasked:
        signs.append(("outline", f"outline of the mask, {name}"))
    if tinted:
        iou = "" if unmasked or not results.manifest.dataset.masked else ", with its IoU"
        signs.append(("tint", f"first column: predicted as {name} by the checkpoint{iou}"))
    signs.append(("ring", f"explained pixel ({results.label('targets', paper_target(results))})"))
    if metric is not None and not unmasked:
        ends = scale(metric)
        words = f", from {ends[0]:g} to {ends[1]:g}".replace("-", "\N{MINUS SIGN}") if ends else ""
        signs.append(("bar" if ends else "", f"{metric.label.lower()} of the map{words}"))
    return signs


def first_column(results: Results, page: Page, images: Sequence[str]) -> str:
    """Return the sentence on what a page's first column shows of its images, for how a figure is read."""
    name, signs = results.class_name(paper_target(results)), {sign for sign, _ in page.key}
    shown = _shown(results, images)
    parts = [
        *([f"the photograph{' where it may be shown' * (len(shown) < len(images))}"] if shown else []),
        *([f"the {results.region}'s outline"] if "outline" in signs else []),
        *([f"what is predicted as {name} tinted"] if "tint" in signs else []),
        "a ring around the explained pixel",
    ]
    return f"First column: {', '.join(parts[:-1])}{' and ' * (len(parts) > 1)}{parts[-1]}."


def colours(page: Page) -> str:
    """Return the sentences on what colours and bars mean, for how a figure is read."""
    bar = next((f" Bars: {words}." for sign, words in page.key if sign == "bar"), "")
    return f"The brighter, the more of the map; hatched: none, and why.{bar}"


def reading(results: Results, page: Page, images: Sequence[str]) -> str:
    """Return the sentences of a caption on how a page's maps are drawn, over which images."""
    shown = _shown(results, images)
    photographs = " Photographs are dimmed beneath the maps." if shown else " The photograph is not shown."
    if shown and len(shown) < len(images):
        photographs = f" Photographs are dimmed beneath the maps; only {', '.join(shown)} may be shown."
    return f"{shown_as(page)}{photographs}"


def _shown(results: Results, images: Sequence[str]) -> list[str]:
    """Return those images whose photographs may be shown."""
    return [image for image in images if results.photographs or image in results.free]


def choice(results: Results, images: Sequence[str]) -> list[str]:
    """Return the sentences on how images were chosen, and whose the free ones are."""
    rule = results.manifest.gallery.rule
    sentences = [
        f"{credit}; it has no mask and no scores." for image, credit in results.free.items() if image in images
    ]
    if rule and any(image not in results.free for image in images):
        sentences.append(f"Choice of images: {rule.rstrip('.')}.")
    return sentences


def shown_as(page: Page) -> str:
    """Return the sentences of a caption on how a page's maps become colours."""
    ends = in_words(page.displays) if page.displays else "there is no map"
    tiles = [tile for block in page.blocks for row in block.rows for tile in row.tiles if tile]
    dash = f" {UNDEFINED}: the map's score is undefined." if any(tile.text == UNDEFINED for tile in tiles) else ""
    return (
        f"{ends[0].upper()}{ends[1:]}. Colours compare places within a map, not maps with each other; each is "
        f"upsampled bilinearly. Hatched: blank or undefined.{dash}"
    )


def heads(layers: Sequence[Layer]) -> dict[str, str]:
    """Return by layer what stands above its column: its label, of modules' paths without the start that all share."""
    paths = [layer.label.split(".") for layer in layers]
    folders = zip(*(path[:-1] for path in paths), strict=False) if len(paths) > 1 else ()
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, folders))
    return {layer.name: ".".join(path[shared:]) for layer, path in zip(layers, paths, strict=True)}


def title(results: Results, point: Checkpoint) -> str:
    """Return how a page's title begins: `SegFormer, best (validation mIoU 0.934), seed 0`."""
    return ", ".join([results.label("models", point.model), *_reached(point, "mIoU")])


def checkpoint_name(point: Checkpoint) -> str:
    """Return which checkpoint is shown, with its measured value: `level 90 % (validation mean IoU 0.897), seed 0`."""
    return f"level {', '.join(_reached(point, 'mean IoU'))}"


def _reached(point: Checkpoint, measure: str) -> list[str]:
    """Return a level with what was reached, and the seed; of a network that was given its level alone."""
    if point.name:
        return [point.name]
    return [f"{point.label} (validation {measure} {point.miou:.3f})", f"seed {point.seed}"]


def absent(checkpoint: Checkpoint) -> Row:
    """Return the row of a checkpoint without maps: a line that says why."""
    why = "no maps kept" if checkpoint.reached else f"not reached (nearest {checkpoint.nearest_miou:.2f})"
    return Row("", (), f"{checkpoint.label}: {why}")
