"""Cell -> maps -> rows: probes a checkpoint on test images, measures each map and drops it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.config import Score
from segcam.layers import Layer
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric
from segcam.miou import confusion
from segcam.models import MODELS
from segcam.probe import Capture, Probe
from segcam.reference import Reference, Scenery
from segcam.samples import Batch, Border, Images, with_border
from segcam.scores import measure
from segcam.targets import Target

Columns = dict[str, Any]
KEYS = ("dataset", "model", "level", "seed", "image", "target", "layer", "method")


@dataclass(frozen=True)
class Instruments:
    """What is asked of every image: targets, layers, methods, metrics."""

    targets: tuple[Target, ...]
    layers: tuple[Layer, ...]
    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]

    @classmethod
    def of(cls, settings: Score, architecture: str, model: nn.Module) -> Instruments:
        """Find them by their names.

        Raises:
            InputError: one is unknown.
        """
        found = [layer for point in settings.points for layer in MODELS.get(architecture).layers(model, point)]
        return cls(
            targets=tuple(Target.parse(name, settings.class_id) for name in settings.targets),
            layers=tuple(sorted(found, key=lambda layer: layer.depth)),
            methods=tuple(METHODS.get(name) for name in settings.methods),
            metrics=tuple(METRICS.get(name) for name in settings.metrics),
        )


class Scorer:
    """Scores one checkpoint.

    Args:
        model: the network, on its device.
        instruments: what is asked.
        settings: the profile's section.
        classes: names of the classes.
        border: the class of ignored pixels in the counts for mean IoU; no map's score counts them.
    """

    def __init__(
        self, model: nn.Module, instruments: Instruments, settings: Score, classes: Sequence[str], border: Border
    ) -> None:
        self.instruments = instruments
        self.settings = settings
        self.classes = tuple(classes)
        self.border = border
        self.device = next(model.parameters()).device
        self.probe = Probe(model, instruments.layers, precision=settings.precision, channels_last=True)

    def score(
        self, images: Images, rows: Sequence[int], keys: Columns, advance: Callable[[int], None]
    ) -> tuple[Columns, Columns]:
        """Score images and return the columns of two tables: a row a map, and a row an image.

        Args:
            images: the split.
            rows: which of them.
            keys: values of the key columns that are the same in all rows.
            advance: called with the number of images done since the last call.
        """
        maps: list[Columns] = []
        counts: list[Columns] = []
        for batch, captures in self._probed(images, rows):
            maps.append(self._map_rows(batch, captures))
            counts.append(self._count_rows(batch, captures[0]))
            advance(len(batch.ids))
        return _joined(maps, keys), _joined(counts, keys)

    def gallery(self, images: Images, rows: Sequence[int]) -> bytes:
        """Return the images, their masks and all their maps as the bytes of an .npz file."""
        parts: list[dict[str, np.ndarray[Any, Any]]] = []
        for batch, captures in self._probed(images, rows):
            arrays: dict[str, np.ndarray[Any, Any]] = {
                "ids": np.array(batch.ids),
                "images": batch.images.permute(0, 2, 3, 1).cpu().numpy(),
                "masks": batch.masks.cpu().numpy(),
            }
            scenery = Scenery.of(batch, self.settings.class_id)
            for capture in captures:
                arrays[f"pixels:{capture.target.name}"] = _pixels(capture)
                for layer in self.instruments.layers:
                    reference = scenery.on(_grid(capture, layer))
                    for method in self.instruments.methods:
                        found = _map(method, capture, layer, reference)
                        arrays[f"{capture.target.name}|{method.name}|{layer.label}"] = found.float().cpu().numpy()
            parts.append(arrays)
        buffer = io.BytesIO()
        joined: dict[str, Any] = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        np.savez_compressed(buffer, **joined)
        return buffer.getvalue()

    def _probed(self, images: Images, rows: Sequence[int]) -> Iterator[tuple[Batch, list[Capture]]]:
        size = self.settings.batch_size
        for at in range(0, len(rows), size):
            batch = Batch.of([images[i] for i in rows[at : at + size]], self.device)
            yield batch, self.probe.many(batch.inputs(), self.instruments.targets)

    def _map_rows(self, batch: Batch, captures: list[Capture]) -> Columns:
        scenery = Scenery.of(batch, self.settings.class_id)
        values = self._measured(scenery, captures)
        tools = self.instruments
        shape = (len(batch.ids), len(tools.targets), len(tools.layers), len(tools.methods))
        area = scenery.on(scenery.size).area

        def spread(cells: Any, axis: int) -> np.ndarray[Any, Any]:
            """Repeat what depends on one axis of (image, target, layer, method) alone over the others."""
            wanted = [1, 1, 1, 1]
            wanted[axis] = shape[axis]
            return np.broadcast_to(np.asarray(cells).reshape(wanted), shape).reshape(-1)

        def per_target(cells: list[Tensor]) -> np.ndarray[Any, Any]:
            found = torch.stack(cells, 1).cpu().numpy()
            return np.broadcast_to(found[:, :, None, None], shape).reshape(-1)

        columns: Columns = {
            "image": spread(batch.ids, 0),
            "target": spread([t.name for t in tools.targets], 1),
            "layer": spread([layer.label for layer in tools.layers], 2),
            "method": spread([m.name for m in tools.methods], 3),
            "area": spread(area.float().cpu().numpy(), 0),
            "target_pixels": per_target([c.target_pixels for c in captures]).astype(np.int32),
            "target_predicted": per_target([c.target_predicted for c in captures]),
            "target_score": per_target([c.scores for c in captures]).astype(np.float32),
        }
        return columns | {name: found.reshape(-1) for name, found in values.items()}

    def _measured(self, scenery: Scenery, captures: list[Capture]) -> dict[str, np.ndarray[Any, Any]]:
        """Measure every map, grid by grid; controls, which are the same for all layers of a grid, once a grid."""
        tools = self.instruments
        shape = (len(scenery.ids), len(captures), len(tools.layers), len(tools.methods))
        values = {m.name: np.full(shape, np.nan, np.float32) for m in tools.metrics}
        places = [_grid(captures[0], layer) for layer in tools.layers]
        of_network = [i for i, m in enumerate(tools.methods) if m.gradient is not None]
        of_images = [i for i, m in enumerate(tools.methods) if m.control is not None]
        for grid in dict.fromkeys(places):
            reference = scenery.on(grid)
            layers = [i for i, place in enumerate(places) if place == grid]
            jobs = [(t, i, m) for t in range(len(captures)) for i in layers for m in of_network]
            maps = [_map(tools.methods[m], captures[t], tools.layers[i], reference) for t, i, m in jobs]
            maps += [_map(tools.methods[m], captures[0], tools.layers[layers[0]], reference) for m in of_images]
            positive = torch.stack(maps, 1).relu()  # metrics are defined on what speaks for the target
            for name, found in measure(positive, reference, tools.metrics).items():
                numbers = found.float().cpu().numpy()
                for n, (t, i, m) in enumerate(jobs):
                    values[name][:, t, i, m] = numbers[:, n]
                for n, m in enumerate(of_images, len(jobs)):
                    values[name][:, :, layers, m] = numbers[:, n, None, None]
        return values

    def _count_rows(self, batch: Batch, capture: Capture) -> Columns:
        logits = capture.logits.float()
        if logits.shape[2:] != capture.size:
            logits = nn.functional.interpolate(logits, size=capture.size, mode="bilinear", align_corners=False)
        predictions = logits.argmax(1)
        labels = with_border(batch.masks, self.border, self.settings.class_id)
        counts = confusion(predictions, labels, len(self.classes)).cpu().numpy()
        found = (predictions == self.settings.class_id).flatten(1).any(1)
        columns: Columns = {"image": np.array(batch.ids), "predicted": found.cpu().numpy()}
        for i in range(len(self.classes)):
            for j in range(len(self.classes)):
                columns[f"n_{i}_{j}"] = counts[:, i, j]
        return columns


def _grid(capture: Capture, layer: Layer) -> tuple[int, int]:
    h, w = capture.activations[layer.label].shape[-2:]
    return int(h), int(w)


def _map(method: Method, capture: Capture, layer: Layer, reference: Reference) -> Tensor:
    if method.control is not None:
        return method.control(reference)
    assert method.gradient is not None  # a method is one of the two
    return capture.maps(method.gradient, layer)


def _pixels(capture: Capture) -> np.ndarray[Any, Any]:
    """Return row and column of each image's explained pixel, -1 where there is not just one."""
    chosen = capture.explained.chosen
    at = chosen.flatten(1).float().argmax(1)
    found = torch.stack([at // chosen.shape[2], at % chosen.shape[2]], 1)
    return found.masked_fill((capture.target_pixels != 1)[:, None], -1).cpu().numpy()


def _joined(parts: list[Columns], keys: Columns) -> Columns:
    columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    rows = len(next(iter(columns.values())))
    return {name: np.full(rows, value) for name, value in keys.items()} | columns
