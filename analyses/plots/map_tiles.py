"""The kept maps of one checkpoint as tiles of a page: pictures with the mask's outline, and scores under them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses.plots import overlay
from analyses.plots.map_page import Page, Row, Tile
from analyses.reading.choices import paper_target
from analyses.reading.files import PIXELS, PREDICTED
from analyses.reading.manifest import Checkpoint, Layer, Metric
from analyses.reading.records import Gallery
from analyses.reading.results import Results, ResultsError
from segcam.draw import display
from segcam.draw.display import Display, in_words

UNDEFINED = "\N{EN DASH}"
NAMES = {"spread": "spread", "edge_alignment": "edges", "energy_gain": "gain", "edge_thickness": "width"}
"""The scores under a map of Figures 2 and 3, and what they are called there."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Tiles:
    """The gallery of one checkpoint for the first target and the main method.

    Attributes:
        results: the run.
        checkpoint: a reached one.
        metrics: the scores wanted.
    """

    results: Results
    checkpoint: Checkpoint
    metrics: tuple[Metric, ...]

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
        return Tile(picture, self._outline(image), mark, self._agreement.get(image, ""))

    @property
    def tinted(self) -> bool:
        """Whether the predicted mask is kept, and tinted on the input."""
        kept = self.checkpoint.reached and bool(self.results.gallery_ids)
        return kept and PREDICTED in self._gallery.arrays

    def maps(self, image: str, layers: Sequence[Layer], *, named: bool) -> list[Tile]:
        """Return a tile a layer; the scores under it are in one line or, `named`, each in its own.

        Raises:
            ResultsError: the gallery lacks the image or a layer's maps.
        """
        tiles, size = [], self._gallery.masks[self._index(image)].shape
        for layer, values in zip(layers, self._values(image, layers), strict=True):
            picture = overlay.heat(values, self._photograph(image), (size[0], size[1]))
            scores = self._scores.get((image, layer.name), {})
            form = named_scores if named else joined_scores
            text = state(values) or form(scores, self.metrics)
            tiles.append(Tile(picture, self._outline(image), None, text, Display.of(values)))
        return tiles

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
    def _scores(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        where: dict[str, Collection[Any]] = {
            "model": [self.checkpoint.model],
            "seed": [self.checkpoint.seed],
            "level": [self.checkpoint.level],
            "image": self.results.gallery_ids,
            "target": [paper_target(self.results)],
            "method": [self.results.main_method],
        }
        frame = self.results.scores(where)
        names = [metric.name for metric in self.metrics if metric.name in frame]
        keys = zip(frame["image"].astype(str), frame["layer"].astype(str), strict=True)
        return dict(zip(keys, frame[names].to_dict("records"), strict=True))  # type: ignore[arg-type]

    @cached_property
    def _agreement(self) -> Mapping[str, str]:
        """For each image, how well the checkpoint's own prediction agrees with the mask, where there is one."""
        if not self.results.manifest.dataset.masked:
            return dict.fromkeys(self.results.gallery_ids, "")
        frame, point = self.results.predictions(), self.checkpoint
        frame = frame[(frame["model"] == point.model) & (frame["seed"] == point.seed) & (frame["level"] == point.level)]
        frame = frame[frame["image"].isin(self.results.gallery_ids)]
        foreground, classes = self.results.foreground(paper_target(self.results)), range(len(self.results.classes))
        predicted = frame[[f"n_{truth}_{one}" for truth in classes for one in foreground]].sum(axis=1)
        true = frame[[f"n_{one}_{other}" for other in classes for one in foreground]].sum(axis=1)
        both = frame[[f"n_{one}_{other}" for other in foreground for one in foreground]].sum(axis=1)
        texts = []
        for hits, n_predicted, n_true in zip(both, predicted, true, strict=True):
            union = n_predicted + n_true - hits
            texts.append("absent" if union == 0 else "no pixel" if n_predicted == 0 else f"IoU {hits / union:.2f}")
        return dict(zip(frame["image"].astype(str), texts, strict=True))


def state(values: Map) -> str:
    """Return that a map is blank or undefined, and nothing of any other."""
    if math.isnan(values.sum()):
        return "undefined"
    return "" if (values > 0).any() else "blank"


def joined_scores(scores: Mapping[str, float], metrics: Sequence[Metric]) -> str:
    """Return scores in one line, the first one with its sign: `+0.52|0.31`."""
    values = [scores.get(metric.name, math.nan) for metric in metrics]
    return "|".join(number(value, "+" if i == 0 else "") for i, value in enumerate(values))


def named_scores(scores: Mapping[str, float], metrics: Sequence[Metric]) -> str:
    """Return scores with their names and units, one a line: `width 7.1 px`."""
    lines = []
    for metric in metrics:
        value = scores.get(metric.name, math.nan)
        unit = f" {metric.unit}" if metric.unit and not math.isnan(value) else ""
        lines.append(f"{NAMES.get(metric.name, metric.label.lower())} {number(value, '', 1 if unit else 2)}{unit}")
    return "\n".join(lines)


def number(value: float, sign: str = "", decimals: int = 2) -> str:
    """Return a number in at most five signs, or a dash where it is undefined.

    >>> number(-0.004), number(0.5, "+"), number(12.3), number(float("nan"))
    ('0.00', '+0.50', '12', '–')
    """
    value = round(float(value), decimals) + 0.0  # no minus before a zero
    digits = decimals if abs(value) < 10 ** (3 - decimals) - 0.5 / 10**decimals else 0
    return UNDEFINED if math.isnan(value) else format(value, f"{sign}.{digits}f").replace("-", "\N{MINUS SIGN}")


def metrics_shown(results: Results, names: Collection[str]) -> tuple[Metric, ...]:
    """Return the metrics that a figure prints under its maps, in the order of `names`; else the run's first two."""
    metrics = {metric.name: metric for metric in results.metrics}
    return tuple(metrics[name] for name in names if name in metrics) or results.metrics[:2]


def signs(results: Results, *, tinted: bool) -> tuple[str, str, str]:
    """Return the words of the key that all pages share: of the outline, of the ring, and of the first column."""
    name = results.class_name(paper_target(results))
    if not results.manifest.dataset.masked:
        ring = f"explained pixel ({results.label('targets', paper_target(results))})"
        return f"outline of the region predicted as {name}; there are no masks", ring, ""
    return (
        f"outline of the mask, {name}",
        f"explained pixel ({results.label('targets', paper_target(results))})",
        f"first column: the checkpoint's own prediction for {name}{', tinted' * tinted}, and its IoU; no pixel: none",
    )


def reading(results: Results, page: Page) -> str:
    """Return the sentences of a caption on how a page's maps are drawn."""
    photographs = (
        " Photographs are dimmed beneath the maps." if results.photographs else " The photograph is not shown."
    )
    return f"{shown_as(page)}{photographs} The line is the {results.region}'s outline."


def shown_as(page: Page) -> str:
    """Return the sentences of a caption on how a page's maps become colours."""
    ends = in_words(page.displays) if page.displays else "there is no map"
    return (
        f"{ends[0].upper()}{ends[1:]}. Colours compare places within a map, not maps with each other; each is "
        "upsampled bilinearly. Hatched: blank or undefined."
    )


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


def under(metrics: Sequence[Metric]) -> tuple[str, str]:
    """Return the words of the key on the named scores under a map."""
    names = [short if short == name else f"{short}: {name}" for short, name in map(_names, metrics)]
    return f"under a map: {'; '.join(names)}", f"{UNDEFINED}: undefined; blank: the map is zero everywhere"


def scores_named(metrics: Sequence[Metric]) -> str:
    """Return the sentence of a caption on the named scores under a map."""
    names = [short if short == name else f"{name} ({short})" for short, name in map(_names, metrics)]
    return f"Under each map: {', '.join(names)}."


def _names(metric: Metric) -> tuple[str, str]:
    name = metric.label.lower() + (" in input pixels" if metric.unit == "px" else "")
    return NAMES.get(metric.name, metric.label.lower()), name


def absent(checkpoint: Checkpoint) -> Row:
    """Return the row of a checkpoint without maps: a line that says why."""
    why = "no maps kept" if checkpoint.reached else f"not reached (nearest {checkpoint.nearest_miou:.2f})"
    return Row("", (), f"{checkpoint.label}: {why}")
