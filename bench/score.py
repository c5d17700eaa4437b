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
from bench.resolution import Columns, count_columns, predicted
from segcam.attention import AttentionPlace
from segcam.grids import Grid
from segcam.layers import Layer
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric
from segcam.metrics.attention import ATTENTION_METRICS, AttentionMetric
from segcam.models import architecture as network_of
from segcam.probe import Capture, Probe
from segcam.reference import Scenery
from segcam.samples import Batch, Border, Images
from segcam.scores import measure
from segcam.targets import Target

KEYS = ("dataset", "model", "level", "seed", "image", "target", "layer", "method")


@dataclass(frozen=True)
class Instruments:
    """What is asked of every image: targets, layers, methods, metrics, and of transformers attention.

    Attributes:
        targets: what is explained.
        layers: by depth.
        methods: those that the network has maps for.
        metrics: of maps.
        places: the blocks whose attention is read; none where nothing wants it.
        attention_metrics: of attention; none where the network has no attention or the profile does not want them.
    """

    targets: tuple[Target, ...]
    layers: tuple[Layer, ...]
    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    places: tuple[AttentionPlace, ...] = ()
    attention_metrics: tuple[AttentionMetric, ...] = ()

    @classmethod
    def of(cls, settings: Score, architecture: str, model: nn.Module) -> Instruments:
        """Find them by their names.

        Raises:
            InputError: one is unknown.
        """
        network = network_of(architecture)
        found = [layer for point in settings.points for layer in network.layers(model, point)]
        places = network.attentions(model)
        methods = [METHODS.get(name) for name in settings.methods]
        read = settings.attention or any(method.attention is not None for method in methods)
        return cls(
            targets=tuple(Target.parse(name, settings.class_id) for name in settings.targets),
            layers=tuple(sorted(found, key=lambda layer: layer.depth)),
            methods=tuple(method for method in methods if method.attention is None or places),
            metrics=tuple(METRICS.get(name) for name in settings.metrics),
            places=tuple(places) if read else (),
            attention_metrics=ATTENTION_METRICS if settings.attention and places else (),
        )

    def blocks(self) -> dict[int, int]:
        """Return the block behind whose attention a layer lies, by the layer's index, where there is one."""
        order = {place.layer: n for n, place in enumerate(self.places)}
        return {i: order[layer.label] for i, layer in enumerate(self.layers) if layer.label in order}


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
        self.probe = Probe(
            model,
            instruments.layers,
            precision=settings.precision,
            channels_last=True,
            attention=instruments.places,
        )

    def score(
        self, images: Images, rows: Sequence[int], keys: Columns, advance: Callable[[int], None]
    ) -> tuple[Columns, ...]:
        """Score images and return the columns of tables: a row a map, a row an image, and a row a block's head.

        The third is there only where attention is measured.

        Args:
            images: the split.
            rows: which of them.
            keys: values of the key columns that are the same in all rows.
            advance: called with the number of images done since the last call.
        """
        parts: list[list[Columns]] = []
        for batch, captures in self._probed(images, rows):
            scenery = Scenery.of(batch, self.settings.class_id)
            tables = [self._map_rows(scenery, captures), self._count_rows(batch, captures[0])]
            if self.instruments.attention_metrics:
                tables.append(self._head_rows(scenery, captures[0]))
            parts.append(tables)
            advance(len(batch.ids))
        return tuple(_joined(list(of_table), keys) for of_table in zip(*parts, strict=True))

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
                for method in self.instruments.methods:
                    for i, found in self._maps(method, capture, scenery):
                        label = self.instruments.layers[i].label
                        arrays[f"{capture.target.name}|{method.name}|{label}"] = found.float().cpu().numpy()
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

    def _maps(self, method: Method, capture: Capture, scenery: Scenery) -> Iterator[tuple[int, Tensor]]:
        """Yield the index of each layer that the method has maps for, and the maps, on a grid of theirs."""
        if method.attention is not None:
            found = method.attention([*capture.attentions.values()], capture.explained.chosen).unbind(1)
            yield from ((layer, found[block]) for layer, block in self.instruments.blocks().items())
            return
        for i, layer in enumerate(self.instruments.layers):
            if method.control is not None:
                yield i, method.control(scenery.on(_grid(capture.activations[layer.label])))
            else:
                assert method.gradient is not None  # a method is one of the three
                yield i, capture.maps(method.gradient, layer)

    def _map_rows(self, scenery: Scenery, captures: list[Capture]) -> Columns:
        values, present = self._measured(scenery, captures)
        tools = self.instruments
        shape = (len(scenery.ids), len(tools.targets), len(tools.layers), len(tools.methods))
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
            "image": spread(scenery.ids, 0),
            "target": spread([t.name for t in tools.targets], 1),
            "layer": spread([layer.label for layer in tools.layers], 2),
            "method": spread([m.name for m in tools.methods], 3),
            "area": spread(area.float().cpu().numpy(), 0),
            "target_pixels": per_target([c.target_pixels for c in captures]).astype(np.int32),
            "target_predicted": per_target([c.target_predicted for c in captures]),
            "target_score": per_target([c.scores for c in captures]).astype(np.float32),
        }
        columns |= {name: found.reshape(-1) for name, found in values.items()}
        rows = np.broadcast_to(present, shape).reshape(-1)
        return {name: column[rows] for name, column in columns.items()}

    def _measured(
        self, scenery: Scenery, captures: list[Capture]
    ) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
        """Measure every map, grid by grid; controls, which are the same for all layers of a grid, once a grid.

        Returns:
            The metrics' values, `(images, targets, layers, methods)`, and which `(layers, methods)` have maps at all.
        """
        tools = self.instruments
        shape = (len(scenery.ids), len(captures), len(tools.layers), len(tools.methods))
        values = {m.name: np.full(shape, np.nan, np.float32) for m in tools.metrics}
        present = np.zeros(shape[2:], bool)
        for grid, found in self._by_grid(scenery, captures).items():
            positive = torch.stack([maps for *_, maps in found], 1).relu()  # metrics are defined on what speaks for it
            for name, numbers in measure(positive, scenery.on(grid), tools.metrics).items():
                column = numbers.float().cpu().numpy()
                for n, (targets, layers, method, _) in enumerate(found):
                    values[name][:, targets, layers, method] = column[:, n, None, None]
                    present[layers, method] = True
        return values, present

    def _by_grid(
        self, scenery: Scenery, captures: list[Capture]
    ) -> dict[Grid, list[tuple[slice, list[int], int, Tensor]]]:
        """Make all maps, and say of each for which targets, layers and method it stands."""
        found: dict[Grid, list[tuple[slice, list[int], int, Tensor]]] = {}
        layers: dict[Grid, list[int]] = {}
        for i, layer in enumerate(self.instruments.layers):
            layers.setdefault(_grid(captures[0].activations[layer.label]), []).append(i)
        for m, method in enumerate(self.instruments.methods):
            if method.control is not None:
                for grid, same in layers.items():
                    maps = method.control(scenery.on(grid))
                    found.setdefault(grid, []).append((slice(None), same, m, maps))
                continue
            for t, capture in enumerate(captures):
                for i, maps in self._maps(method, capture, scenery):
                    found.setdefault(_grid(maps), []).append((slice(t, t + 1), [i], m, maps))
        return found

    def _head_rows(self, scenery: Scenery, capture: Capture) -> Columns:
        """Measure the attention of every block and head; the same for all targets."""
        found = capture.attentions
        shape = (len(scenery.ids), sum(attention.heads for attention in found.values()))
        places = [place for place in self.instruments.places for _ in range(found[place.label].heads)]
        heads = [head for place in self.instruments.places for head in range(1, found[place.label].heads + 1)]
        columns: Columns = {
            "image": np.repeat(scenery.ids, shape[1]),
            "block": np.tile([place.label for place in places], shape[0]),
            "stage": np.tile(np.array([place.stage for place in places], np.int32), shape[0]),
            "depth": np.tile(np.array([place.depth for place in places], np.int32), shape[0]),
            "head": np.tile(np.array(heads, np.int32), shape[0]),
        }
        for metric in self.instruments.attention_metrics:
            values = torch.cat([metric.compute(found[place.label], scenery) for place in self.instruments.places], 1)
            columns[metric.name] = values.float().cpu().numpy().reshape(-1)
        return columns

    def _count_rows(self, batch: Batch, capture: Capture) -> Columns:
        predictions = predicted(capture.logits, capture.size)
        return count_columns(batch, predictions, len(self.classes), self.border, self.settings.class_id)


def _grid(maps: Tensor) -> Grid:
    return int(maps.shape[-2]), int(maps.shape[-1])


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
