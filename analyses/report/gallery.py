"""The gallery's data: what can be chosen, the images, and for each checkpoint and image the maps and their scores."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analyses import printing
from analyses.plots import map_tiles, overlay
from analyses.reading.files import PIXELS, PREDICTED
from analyses.reading.manifest import Checkpoint, Layer
from analyses.reading.records import Gallery
from analyses.reading.results import Results, ResultsError
from analyses.report import data
from analyses.report.sheets import CELLS, STEPS, TileSheet
from segcam.draw import display

_KEYS = ("image", "target", "layer", "method")


@dataclass
class MapFiles:
    """What a run keeps for the gallery: the files of the page, and how many checkpoints and images have maps.

    Attributes:
        without: the labels of the methods that no checkpoint's maps are kept of, as of those with passes of their own.
    """

    files: list[tuple[str, bytes]] = field(default_factory=list)
    checkpoints: int = 0
    images: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    photographs: bool = False
    cells: int = CELLS
    steps: int = STEPS
    upper: float = display.UPPER
    gamma: float = display.GAMMA


def gather(results: Results) -> MapFiles:
    """Return the gallery's files: `data/gallery.js`, then one for each checkpoint and image; none without any maps."""
    map_files = MapFiles(photographs=results.photographs)
    images: dict[str, dict[str, Any]] = {}
    checkpoints = []
    for point in results.checkpoints:
        entry = _entry(point)
        opened = _open(results, point) if point.reached else None
        if opened is not None:
            scored = _Scored.of(results, point, opened)
            for at, image in enumerate(opened.ids):
                if image not in images:
                    images[image] = _image(results, opened, at)
                name = f"maps/{printing.slug(point.model)}-s{point.seed}-l{point.level}-{list(images).index(image):03d}"
                maps, pairs = _maps(results, opened, scored, image, at)
                map_files.files.append(data.script(name, maps))
                entry["files"][image] = name
                entry["pairs"] = sorted(set(map(tuple, entry["pairs"])) | pairs)
            map_files.checkpoints += 1
        checkpoints.append(entry)
    order = [*(name for name in results.gallery_ids if name in images), *sorted(set(images) - set(results.gallery_ids))]
    map_files.images = order
    pictured = {method for entry in checkpoints for _, method in entry["pairs"]}
    map_files.without = [results.label("methods", name) for i, name in enumerate(results.methods) if i not in pictured]
    index = _index(results) | {"images": [images[name] for name in order], "checkpoints": checkpoints}
    if map_files.checkpoints:
        map_files.files.insert(0, data.script("gallery", index))
    return map_files


@dataclass(frozen=True)
class _Scored:
    """The scores of one checkpoint's maps, and what its own prediction is worth, by image."""

    names: tuple[str, ...]
    rows: Mapping[tuple[str, ...], tuple[float, ...]]
    areas: Mapping[tuple[str, str], float]
    agreement: Mapping[str, str]

    @classmethod
    def of(cls, results: Results, point: Checkpoint, opened: Gallery) -> _Scored:
        if not results.parts("scores"):
            return cls((), {}, {}, {})
        where: dict[str, Collection[Any]] = {"model": [point.model], "seed": [point.seed], "level": [point.level]}
        where["image"] = list(opened.ids)
        frame = results.scores(where)
        names = tuple(metric.name for metric in results.metrics if metric.name in frame)
        keys = list(zip(*(frame[name].astype(str) for name in _KEYS), strict=True))
        values = frame[list(names)].to_numpy(dtype=np.float64)
        areas = frame["area"].to_numpy(dtype=np.float64) if "area" in frame else np.full(len(frame), np.nan)
        return cls(
            names,
            {key: tuple(map(_rounded, row)) for key, row in zip(keys, values.tolist(), strict=True)},
            {(key[0], key[1]): _rounded(area) for key, area in zip(keys, areas.tolist(), strict=True)},
            _agreement(results, point, opened),
        )


def _agreement(results: Results, point: Checkpoint, opened: Gallery) -> dict[str, str]:
    """Return how well the checkpoint's own prediction agrees with the mask, by image; none where it is not known."""
    if not results.targets or not results.parts("predictions"):
        return {}
    tiles = map_tiles.Tiles(results, point)
    return {image: tiles.input(image).text for image in opened.ids}


def _maps(
    results: Results, opened: Gallery, scored: _Scored, image: str, at: int
) -> tuple[dict[str, Any], set[tuple[int, int]]]:
    """Return one image's maps with their scores, and the pairs of target and method that it has maps of.

    A map is a row: the numbers of its target, method and layer, of its tile, and then its scores in order of metrics.
    """
    sheet, rows = TileSheet(), []
    numbers = {kind: {name: i for i, name in enumerate(names)} for kind, names in _names(results, opened).items()}
    for key, values in opened.arrays.items():
        target, _, rest = key.partition("|")
        method, _, layer = rest.partition("|")
        if target not in numbers["target"] or method not in numbers["method"] or layer not in numbers["layer"]:
            continue
        scores = scored.rows.get((image, target, layer, method), (None,) * len(scored.names))
        place = (numbers["target"][target], numbers["method"][method], numbers["layer"][layer])
        rows.append([*place, sheet.add(values[at]), *scores])
    picture, places = sheet.picture()
    content = {
        "metrics": scored.names,
        "layers": list(numbers["layer"]),
        "tiles": places,
        "maps": rows,
        "areas": {target: scored.areas[image, target] for target in results.targets if (image, target) in scored.areas},
        "pixels": {target: spot for target in results.targets if (spot := _pixel(opened, target, at))},
        "predicted": _predicted(results, opened, at),
        "agreement": scored.agreement.get(image, ""),
    }
    sheet_url = data.url(picture, "image/webp") if picture else ""
    return {"sheet": sheet_url, "packed": data.packed(content)}, {(row[0], row[1]) for row in rows}


def _names(results: Results, opened: Gallery) -> dict[str, list[str]]:
    """Return the names that the numbers of a map stand for; layers are those of the gallery, in its order."""
    layers = dict.fromkeys(key.split("|", 2)[2] for key in opened.arrays if key.count("|") >= 2)
    return {"target": list(results.targets), "method": list(results.methods), "layer": list(layers)}


def _predicted(results: Results, opened: Gallery, at: int) -> dict[str, str]:
    """Return the outline of what is predicted as each class that is explained; none where that is not kept."""
    if PREDICTED not in opened.arrays:
        return {}
    classes = sorted({results.foreground(target) for target in results.targets})
    return {_number(ids): _path(np.isin(opened.arrays[PREDICTED][at], ids)) for ids in classes}


def _pixel(opened: Gallery, target: str, at: int) -> tuple[float, float] | None:
    """Return the explained pixel as shares of the width and height; None where a target has none, or many."""
    pixel = opened.arrays.get(f"{PIXELS}{target}")
    if pixel is None or pixel[at].min() < 0:
        return None
    down, right = (pixel[at] + 0.5) / np.array(opened.masks[at].shape)
    return (_rounded(float(right)), _rounded(float(down)))


def _image(results: Results, opened: Gallery, at: int) -> dict[str, Any]:
    """Return an image: its size, its photograph or drawing where it may be shown, and the outline of each class."""
    mask, photograph = opened.masks[at], opened.photographs.get(opened.ids[at])
    classes = sorted({results.foreground(target) for target in results.targets})
    return {
        "name": opened.ids[at],
        "width": mask.shape[1],
        "height": mask.shape[0],
        "picture": None if photograph is None else data.url(_webp(photograph), "image/webp"),
        "credit": results.free.get(opened.ids[at], ""),
        "outlines": {_number(ids): _path(np.isin(mask, ids)) for ids in classes},
    }


def _number(ids: Sequence[int]) -> str:
    """Return what a class is called among the outlines."""
    return "+".join(map(str, ids))


def _webp(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", quality=90, method=4)
    return buffer.getvalue()


def _path(mask: NDArray[np.bool_]) -> str:
    """Return a mask's outline as an SVG path in thousandths of the width and height."""
    lines = []
    for line in overlay.outline(mask):
        points = np.rint(1000 * line).astype(int).tolist()
        lines.append("M" + "L".join(f"{x} {y}" for x, y in points) + "Z")
    return "".join(lines)


def _entry(point: Checkpoint) -> dict[str, Any]:
    return {
        "model": point.model,
        "seed": point.seed,
        "level": point.level,
        "name": point.label,
        "reached": point.reached,
        "miou": _rounded(point.miou),
        "nearest": _rounded(point.nearest_miou),
        "files": {},
        "pairs": [],
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
        },
    }


def _layers(results: Results, model: str) -> list[dict[str, str]]:
    first = results.input_layer(model)
    layers: list[Layer] = [*([first] if first else []), *results.layers(model)]
    return [{"name": x.name, "label": x.label, "role": x.role, "point": x.point} for x in layers]


def _open(results: Results, point: Checkpoint) -> Gallery | None:
    """Return the kept maps of a checkpoint; None where it has no file, as all seeds but one of what is published."""
    try:
        return results.gallery(point.model, point.seed, point.level)
    except ResultsError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _rounded(value: float) -> float:
    """Return a value in four digits that count: more are not shown."""
    return float(f"{value:.4g}")
