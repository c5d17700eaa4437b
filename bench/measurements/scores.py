"""Cell -> maps -> rows: probes a checkpoint on test images, measures each map and drops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import nn

from bench.measurements.made_maps import Found, attention_maps, control_maps, gradient_maps
from bench.measurements.rows import Sheet
from bench.measurements.sizes import Columns, count_columns, predicted
from bench.planning.asked import Gap, Instruments
from bench.planning.profile import Score
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import Target
from segcam.samples import Batch, Border, Images
from segcam.scoring.agreement import agreement
from segcam.scoring.reference import Scenery

__all__ = ["KEYS", "Instruments", "Scorer"]

KEYS = ("dataset", "model", "level", "seed", "image", "target", "layer", "method")
RIVAL = "rival"
"""The score of the best other class."""


class Scorer:
    """Scores one checkpoint with the methods that share its passes.

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
        rivals = enumerate(instruments.targets if settings.counter else ())
        self._rivals = {t: replace(target, score=RIVAL) for t, target in rivals if target.score != RIVAL}

    def score(
        self,
        images: Images,
        rows: Sequence[int],
        keys: Columns,
        advance: Callable[[int], None],
        note: Callable[[Gap], None] = lambda _: None,
    ) -> tuple[Columns, ...]:
        """Score images and return the columns of tables.

        Args:
            images: the split.
            rows: which of them.
            keys: values of the key columns that are the same in all rows.
            advance: called with the number of images done since the last call.
            note: told of every map that there is not.

        Returns:
            A row a map; a row an image; where attention is measured, a row a block's head; and where there are several
            targets and a gradient method, a row a layer, method and pair of targets.
        """
        parts: list[list[Columns]] = []
        for gap in self.instruments.gaps:
            note(gap)
        for batch, probed in self.probed(images, rows, [*self._rivals.values()]):
            captures = probed[: len(self.instruments.targets)]
            rivals = dict(zip(self._rivals, probed[len(captures) :], strict=True))
            scenery = Scenery.of(batch, self.settings.class_id)
            maps, pairs = self._map_rows(scenery, captures, rivals, note)
            tables = [maps, self._count_rows(batch, captures[0])]
            if self.instruments.attention_metrics:
                tables.append(self._head_rows(scenery, captures[0]))
            parts.append(tables + pairs)
            advance(len(batch.ids))
            del probed, captures, rivals  # before the next batch needs the memory
        return tuple(joined(list(of_table), keys) for of_table in zip(*parts, strict=True))

    def probed(
        self, images: Images, rows: Sequence[int], also: Sequence[Target] = ()
    ) -> Iterator[tuple[Batch, list[Capture]]]:
        """Yield batches of images, each with a capture a target, and then of other targets."""
        for batch in batches(images, rows, self.settings.batch_size, self.device):
            yield batch, self.probe.many(batch.inputs(), [*self.instruments.targets, *also], masks=batch.masks)

    def _map_rows(
        self,
        scenery: Scenery,
        captures: list[Capture],
        rivals: Mapping[int, Capture],
        note: Callable[[Gap], None],
    ) -> tuple[Columns, list[Columns]]:
        """Return a row a map, and the table of agreement where there is one."""
        tools = self.instruments
        pairs: list[Columns] = []
        sheet = Sheet(scenery, captures, tools.layers, tools.methods, tools.metrics, counter=self.settings.counter)

        def found() -> Iterator[Found]:
            yield from control_maps(tools, scenery, captures[0])
            yield from attention_maps(tools, captures)
            for of_layer in gradient_maps(tools, captures, rivals, note):
                yield from of_layer
                pairs.extend(self._pair_rows(scenery.ids, of_layer))

        sheet.fill(found())
        return sheet.rows(), [joined(pairs, {})] if pairs else []

    def _pair_rows(self, ids: Sequence[str], of_layer: Sequence[Found]) -> Iterator[Columns]:
        """Yield the agreement of one layer's maps, a pair of targets at a time."""
        tools = self.instruments
        for one, two in combinations(of_layer, 2):
            chosen = [n for n, m in enumerate(one.methods) if tools.methods[m].kind == "gradient"]
            if not chosen:
                continue
            found = agreement(one.maps[:, chosen].relu(), two.maps[:, chosen].relu())
            rows = len(ids) * len(chosen)
            yield {
                "image": np.repeat(np.asarray(ids), len(chosen)),
                "layer": np.full(rows, tools.layers[one.layers[0]].label),
                "method": np.tile([tools.methods[one.methods[n]].name for n in chosen], len(ids)),
                "target": np.full(rows, tools.targets[one.targets[0]].name),
                "other": np.full(rows, tools.targets[two.targets[0]].name),
                "correlation": found.correlation.float().cpu().numpy().reshape(-1),
                "difference": found.difference.float().cpu().numpy().reshape(-1),
            }

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


def batches(images: Images, rows: Sequence[int], size: int, device: torch.device) -> Iterator[Batch]:
    """Yield images as batches on a device."""
    for at in range(0, len(rows), size):
        yield Batch.of([images[i] for i in rows[at : at + size]], device)


def joined(parts: Sequence[Columns], keys: Columns) -> Columns:
    """Put tables under each other, behind key columns that are the same in all rows."""
    columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    rows = len(next(iter(columns.values())))
    return {name: np.full(rows, value) for name, value in keys.items()} | columns
