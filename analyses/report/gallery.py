"""The atlas's data: what can be chosen, the images, and for each checkpoint and image the maps and their scores."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon

from analyses import printing
from analyses.plots import overlay
from analyses.reading.files import PIXELS, PREDICTED
from analyses.reading.manifest import Checkpoint, Layer
from analyses.reading.records import Gallery
from analyses.reading.results import Results, ResultsError
from analyses.reading.small_maps import BLANK, STEPS, KeptSmall, SmallMap
from analyses.report import data, scatter
from analyses.report.sheets import CELLS, QUALITY, ROUGH, TileSheet
from analyses.report.standing import Scored, rounded
from segcam.draw import display

IGNORED = 255
"""The value of pixels without a class, in masks."""


@dataclass
class MapFiles:
    """What a run keeps for the atlas: the files of the page, and how many checkpoints and images have maps.

    Attributes:
        images: those of which all maps are kept.
        small: how many more have small maps of one method.
        scattered: whether there are scores of all images.
        mapless: of how many images with scores there are no maps.
        without: the labels of the methods that no checkpoint's maps are kept of, as of those with passes of their own.
    """

    files: list[tuple[str, bytes]] = field(default_factory=list)
    checkpoints: int = 0
    images: list[str] = field(default_factory=list)
    small: int = 0
    scattered: bool = False
    mapless: int = 0
    without: list[str] = field(default_factory=list)
    photographs: bool = False
    cells: int = CELLS
    steps: int = STEPS
    upper: float = display.UPPER
    gamma: float = display.GAMMA


def gather(results: Results, *, maps: bool = True, every_seed: bool = True) -> MapFiles:
    """Return the files of atlas and scatter: `data/gallery.js` with what may be chosen, then what it names.

    Args:
        results: the run.
        maps: whether there are maps; else the scores of all images alone.
        every_seed: whether of all trainings; else of each model's that is pictured alone.
    """
    out = MapFiles(photographs=results.photographs)
    images = _Images(results)
    checkpoints, scattered = [], set[str]()
    for point in results.checkpoints:
        entry = _entry(point)
        checkpoints.append(entry)
        if not point.reached or not (every_seed or point in results.pictured(point.model)):
            continue
        small = results.small_maps(point.model, point.seed, point.level) if maps else []
        shown = scatter.shown(results, small)
        opened = _open(results, point) if maps else None
        scored = Scored.of(results, point, shown, opened.ids if opened else ())
        if table := scatter.table(results, scored, shown):
            entry["scatter"] = f"scatter/{_name(point)}"
            scattered |= set(table["images"])
            out.files.append(data.script(entry["scatter"], data.packed(table)))
        if opened is not None:
            for at, image in enumerate(opened.ids):
                images.add(opened, at)
                content, pairs = _maps(results, opened, scored, image, at)
                entry["files"][image] = f"maps/{_name(point)}-{images.number(image):03d}"
                entry["pairs"] = sorted(set(map(tuple, entry["pairs"])) | pairs)
                out.files.append(data.script(entry["files"][image], content))
            out.checkpoints += 1
        for part in small:
            for at, image in enumerate(part.ids):
                images.add_small(part, at)
                if image not in entry["files"]:
                    content, pairs = _small(results, part, at, entry["scatter"])
                    entry["files"][image] = f"maps/{_name(point)}-{images.number(image):03d}"
                    entry["small"] = sorted(set(map(tuple, entry["small"])) | pairs)
                    out.files.append(data.script(entry["files"][image], content))
    out.images, out.small = images.kept(), len(images.small())
    out.scattered = bool(scattered)
    out.mapless = len(scattered - {*images.kept(), *images.small()})
    pictured = {method for entry in checkpoints for _, method in entry["pairs"]}
    out.without = [results.label("methods", name) for i, name in enumerate(results.methods) if i not in pictured]
    index = _index(results) | {"images": images.entries(), "checkpoints": checkpoints}
    if out.checkpoints or out.scattered:
        out.files = [data.script("gallery", index), *images.files, *out.files]
    return out


class _Images:
    """The images that have maps, each once: those of which all are kept first, in the gallery's order."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.files: list[tuple[str, bytes]] = []
        self._kept: dict[str, dict[str, Any]] = {}
        self._small: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}

    def number(self, image: str) -> int:
        """Return what an image is called in the names of files."""
        return self._numbers.setdefault(image, len(self._numbers))

    def add(self, opened: Gallery, at: int) -> None:
        """Note an image of which all maps are kept."""
        name = opened.ids[at]
        self._small.pop(name, None)
        if name not in self._kept:
            photograph = opened.photographs.get(name)
            picture = None if photograph is None else data.url(_webp(photograph), "image/webp")
            shown = {"picture": picture, "credit": self.results.free.get(name, "")}
            self._kept[name] = self._image(name, opened.masks[at]) | shown | self._lines(opened.masks[at])

    def add_small(self, part: KeptSmall, at: int) -> None:
        """Note an image of which small maps are kept; its picture is a file of its own."""
        name = part.ids[at]
        if name in self._kept or name in self._small:
            return
        file = f"images/{self.number(name):03d}"
        picture = None if part.photographs is None else data.url(part.photographs[at], "image/webp")
        self._small[name] = self._image(name, part.masks[at]) | {"file": file}
        content = {"picture": picture, "packed": data.packed(self._lines(part.masks[at]))}
        self.files.append(data.script(file, content))

    def kept(self) -> list[str]:
        """Return the images of which all maps are kept."""
        first = [name for name in self.results.gallery_ids if name in self._kept]
        return [*first, *sorted(set(self._kept) - set(first))]

    def small(self) -> list[str]:
        """Return the images of which small maps are kept, and no others."""
        return sorted(set(self._small) - set(self._kept))

    def entries(self) -> list[dict[str, Any]]:
        """Return all images, as the page's index has them."""
        return [*(self._kept[name] for name in self.kept()), *(self._small[name] for name in self.small())]

    def _image(self, name: str, mask: NDArray[np.uint8]) -> dict[str, Any]:
        masked = bool((mask != IGNORED).any())
        size = {"width": mask.shape[1], "height": mask.shape[0]}
        return {"name": name, "label": self.results.image_label(name), **size, "masked": masked}

    def _lines(self, mask: NDArray[np.uint8]) -> dict[str, Any]:
        """Return the outline of each class that is explained, and of the pixels without a class."""
        classes = sorted({self.results.foreground(target) for target in self.results.targets})
        outlines = {_number(ids): _path(np.isin(mask, ids)) for ids in classes}
        ignored = mask == IGNORED
        return {"outlines": outlines, "ignored": "" if ignored.all() else _path(ignored)}


def _name(point: Checkpoint) -> str:
    return f"{printing.slug(point.model)}-s{point.seed}-l{point.level}"


def _maps(
    results: Results, opened: Gallery, scored: Scored, image: str, at: int
) -> tuple[dict[str, Any], set[tuple[int, int]]]:
    """Return one image's maps with their scores, and the pairs of target and method that it has maps of."""
    rows = _Rows(results, opened.arrays)
    for key, values in opened.arrays.items():
        if names := rows.names(key):
            scores, places, counts = scored.of_map(*names, image)
            whole = [None if np.isnan(place) else round(place) for place in places]
            small = SmallMap.of(values[at], CELLS)
            reason = opened.reason(image, *names) if small.reason == BLANK else small.reason
            rows.add(names, small, reason, rounded(scores), whole, counts)
    areas = {target: area for target in results.targets if not np.isnan(area := scored.area(target, image))}
    content = {
        "metrics": scored.metrics,
        "areas": dict(zip(areas, rounded(list(areas.values())), strict=True)),
        "pixels": {target: spot for target in results.targets if (spot := _pixel(opened, target, at))},
        "predicted": _predicted(results, opened.arrays[PREDICTED][at]) if PREDICTED in opened.arrays else {},
        "iou": rounded([scored.iou.get(image, np.nan)])[0],
    }
    return rows.content(content), rows.pairs


def _small(results: Results, part: KeptSmall, at: int, scores: str) -> tuple[dict[str, Any], set[tuple[int, int]]]:
    """Return one image's small maps, whose scores the page has from the file named `scores`."""
    rows = _Rows(results, part.maps)
    for key, of_images in part.maps.items():
        if names := rows.names(key):
            rows.add(names, of_images[at], of_images[at].reason)
    content = {"predicted": _predicted(results, part.predicted[at]), "scores": scores, "pixels": {}, "areas": {}}
    return rows.content(content, ROUGH), rows.pairs


class _Rows:
    """The maps of one image: a row each.

    A row is the numbers of target, method and layer, of the tile or, below zero, of the reason why there is none, the
    values that have the brightest colour and that is the largest, and then scores, their percentiles, and among how
    many images.
    """

    def __init__(self, results: Results, keys: Sequence[str] | Any) -> None:
        layers = list(dict.fromkeys(key.split("|", 2)[2] for key in keys if key.count("|") >= 2))
        self._places = {
            kind: {name: i for i, name in enumerate(names)}
            for kind, names in (("target", results.targets), ("method", results.methods), ("layer", layers))
        }
        self._sheet, self._rows, self._reasons = TileSheet(), list[list[Any]](), list[str]()
        self.pairs: set[tuple[int, int]] = set()

    def names(self, key: str) -> tuple[str, str, str] | None:
        """Return target, method and layer of an array; None where it is none of the manifest's."""
        target, _, rest = key.partition("|")
        method, _, layer = rest.partition("|")
        known = zip((target, method, layer), self._places.values(), strict=True)
        return (target, method, layer) if all(name in places for name, places in known) else None

    def add(self, names: tuple[str, str, str], small: SmallMap, reason: str, *scores: Any) -> None:
        """Add a map, or why there is nothing to draw."""
        target, method, layer = (places[name] for name, places in zip(names, self._places.values(), strict=True))
        if reason and reason not in self._reasons:
            self._reasons.append(reason)
        tile = -1 - self._reasons.index(reason) if reason else self._sheet.add(small.root)
        self._rows.append([target, method, layer, tile, *rounded([small.upper, small.peak]), *scores])
        self.pairs.add((target, method))

    def content(self, beside: dict[str, Any], quality: int = QUALITY) -> dict[str, Any]:
        """Return what the image's file holds."""
        picture, tiles = self._sheet.picture(quality)
        maps = {"layers": list(self._places["layer"]), "tiles": tiles, "reasons": self._reasons, "maps": self._rows}
        return {"sheet": data.url(picture, "image/webp") if picture else "", "packed": data.packed(maps | beside)}


def _predicted(results: Results, classes: NDArray[np.uint8]) -> dict[str, str]:
    """Return the outline of what is predicted as each class that is explained."""
    explained = sorted({results.foreground(target) for target in results.targets})
    return {_number(ids): _path(np.isin(classes, ids)) for ids in explained}


def _pixel(opened: Gallery, target: str, at: int) -> tuple[float, float] | None:
    """Return the explained pixel as shares of the width and height; None where a target has none, or many."""
    pixel = opened.arrays.get(f"{PIXELS}{target}")
    if pixel is None or pixel[at].min() < 0:
        return None
    down, right = (pixel[at] + 0.5) / np.array(opened.masks[at].shape)
    return (round(float(right), 4), round(float(down), 4))


def _number(ids: Sequence[int]) -> str:
    """Return what a class is called among the outlines."""
    return "+".join(map(str, ids))


def _webp(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=90, method=4)
    return buffer.getvalue()


def _path(mask: NDArray[np.bool_]) -> str:
    """Return a mask's outline as an SVG path in thousandths of the width and height, to half a pixel."""
    lines = []
    for line in overlay.outline(mask):
        few: NDArray[np.float64] = approximate_polygon(line, 0.5 / max(mask.shape))  # type: ignore[no-untyped-call]
        points = np.rint(1000 * few).astype(int)
        steps = np.diff(points, axis=0).tolist()
        lines.append("M{} {}l".format(*points[0].tolist()) + " ".join(f"{x} {y}" for x, y in steps) + "z")
    return "".join(lines)


def _entry(point: Checkpoint) -> dict[str, Any]:
    return {
        "model": point.model,
        "seed": point.seed,
        "level": point.level,
        "name": point.label,
        "reached": point.reached,
        "miou": rounded([point.miou])[0],
        "nearest": rounded([point.nearest_miou])[0],
        "files": {},
        "pairs": [],
        "small": [],
        "scatter": "",
    }


def _index(results: Results) -> dict[str, Any]:
    """Return what can be chosen, and how it is called."""
    return {
        "models": [
            {"name": name, "label": results.label("models", name), "layers": _layers(results, name)}
            for name in results.models
        ],
        "targets": [
            {"name": name, "label": results.label("targets", name)}
            | {"class": results.class_name(name), "number": _number(results.foreground(name))}
            for name in results.targets
        ],
        "methods": [
            {"name": name, **method.model_dump(include={"label", "kind", "summary", "source"})}
            for name, method in results.manifest.methods.items()
        ],
        "metrics": [
            {"name": x.name, **x.model_dump(include={"label", "unit", "direction", "chance", "summary"})}
            for x in results.metrics
        ],
        "method": results.main_method if results.methods else "",
        "metric": next((x.name for x in results.metrics if x.name == "energy_gain"), ""),
        "photographs": results.photographs,
        "region": results.region,
        "display": {
            "colours": display.COLOURS.tobytes().hex(),
            "gamma": display.GAMMA,
            "upper": display.UPPER,
            "dimmed": display.DIMMED,
            "errors": [list(colour) for colour in display.ERRORS.values()],
        },
    }


def _layers(results: Results, model: str) -> list[dict[str, Any]]:
    first = results.input_layer(model)
    layers: list[Layer] = [*([first] if first else []), *results.layers(model)]
    return [x.model_dump(include={"label", "role", "point", "stage", "depth"}) | {"name": x.name} for x in layers]


def _open(results: Results, point: Checkpoint) -> Gallery | None:
    """Return the kept maps of a checkpoint; None where it has no file, as all seeds but one of what is published."""
    try:
        return results.gallery(point.model, point.seed, point.level)
    except ResultsError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
