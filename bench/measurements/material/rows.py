"""The rows of one batch: a cell a target, layer and method, filled as maps are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.measurements.material.made_maps import COUNTER_SHARE, SIGN_BALANCE, MadeMaps
from bench.planning.measurement import Columns
from segcam.checks.diagnosis import bias_alone
from segcam.methods import Method
from segcam.metrics import Metric, measure
from segcam.probe.layers import Layer
from segcam.probe.probe import Capture
from segcam.scoring.reference import Scenery, View

BIAS = "target_bias"
"""The column that says whether no layer takes part in the score, which is then a bias alone."""
WAITING = 2**22
"""How many numbers of maps on one grid wait to be measured together."""


class Rows:
    """The scores of one batch.

    Args:
        scenery: the batch.
        captures: what was explained, one a target.
        layers: the rows' layers.
        methods: the rows' methods.
        metrics: of maps.
        counter: whether there is a column for the share of the best other class.
    """

    def __init__(
        self,
        scenery: Scenery,
        captures: Sequence[Capture],
        layers: Sequence[Layer],
        methods: Sequence[Method],
        metrics: Sequence[Metric],
        *,
        counter: bool,
    ) -> None:
        self.scenery = scenery
        self.captures = captures
        self.layers = layers
        self.methods = methods
        self.metrics = metrics
        self._shape = (len(scenery.ids), len(captures), len(layers), len(methods))
        names = [SIGN_BALANCE, *([COUNTER_SHARE] if counter else []), *(metric.name for metric in metrics)]
        self._values = {name: np.full(self._shape, np.nan, np.float32) for name in names}
        self._present = np.zeros(self._shape[1:], bool)

    def fill(self, maps: Iterable[MadeMaps]) -> None:
        """Measure maps: as they come, but those on one grid together, so that they share its steps."""
        waiting: dict[View, list[MadeMaps]] = {}
        for one in maps:
            view = (one.grid, one.placement)
            waiting.setdefault(view, []).append(one)
            if sum(other.maps.numel() for other in waiting[view]) >= WAITING:
                self._measure(view, waiting.pop(view))
        for view, rest in waiting.items():
            self._measure(view, rest)

    def columns(self) -> Columns:
        """Return the columns of all maps that there are."""
        area = self.scenery.on(self.scenery.size).area
        columns: Columns = {
            "image": self._spread(self.scenery.ids, 0),
            "target": self._spread([capture.target.name for capture in self.captures], 1),
            "layer": self._spread([layer.label for layer in self.layers], 2),
            "method": self._spread([method.name for method in self.methods], 3),
            "area": self._spread(area.float().cpu().numpy(), 0),
            "target_pixels": self._per_target([c.target_pixels for c in self.captures]).astype(np.int32),
            "target_predicted": self._per_target([c.target_predicted for c in self.captures]),
            "target_score": self._per_target([c.scores for c in self.captures]).astype(np.float32),
            BIAS: self._per_target([bias_alone(c) for c in self.captures]),
        }
        columns |= {name: values.reshape(-1) for name, values in self._values.items()}
        present = np.broadcast_to(self._present, self._shape).reshape(-1)
        return {name: column[present] for name, column in columns.items()}

    def _measure(self, view: View, made: Sequence[MadeMaps]) -> None:
        positive = torch.cat([one.maps for one in made], 1).relu()  # metrics are defined on what speaks for it
        measured = measure(positive, self.scenery.on(*view), self.metrics)
        values = {name: numbers.float().cpu().numpy() for name, numbers in measured.items()}
        first = 0
        for one in made:
            places = slice(first, first := first + len(one.methods))
            columns = {name: numbers[:, places] for name, numbers in values.items()}
            columns |= {name: numbers.float().cpu().numpy() for name, numbers in one.numbers.items()}
            cells = np.ix_(range(self._shape[0]), one.targets, one.layers, one.methods)
            for name, numbers in columns.items():
                self._values[name][cells] = numbers[:, None, None, :]
            self._present[np.ix_(one.targets, one.layers, one.methods)] = True

    def _spread(self, cells: Any, axis: int) -> NDArray[Any]:
        """Repeat what depends on one axis of (image, target, layer, method) alone over the others."""
        shape = [1, 1, 1, 1]
        shape[axis] = self._shape[axis]
        return np.broadcast_to(np.asarray(cells).reshape(shape), self._shape).reshape(-1)

    def _per_target(self, cells: Sequence[Tensor]) -> NDArray[Any]:
        values = torch.stack(list(cells), 1).cpu().numpy()
        return np.broadcast_to(values[:, :, None, None], self._shape).reshape(-1)
