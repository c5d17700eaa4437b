"""The main maps of a model at all levels: what figures by layer are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyses.reading.arrays import Floats, Numbers, chance, nan_mean
from analyses.reading.choices import main_target
from analyses.reading.cubes import cube
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results


@dataclass(frozen=True)
class Grid:
    """The scores of a model's main maps at some levels, for one target.

    Attributes:
        model: its name.
        target: the target's name.
        levels: those with maps, rising.
        layers: at the main probe point, in the order of execution.
        metrics: those that the scores have.
        values: by metric, (levels, layers, seeds, images); NaN where undefined or where there is no map.
        present: (levels, layers, seeds, images), whether there is a map.
        area: (images,), the foreground's share of each image; NaN where it is not known.
        training_data: what the networks were trained on.
    """

    model: str
    target: str
    levels: tuple[int, ...]
    layers: tuple[Layer, ...]
    metrics: tuple[Metric, ...]
    values: tuple[Numbers, ...]
    present: NDArray[np.bool_]
    area: Floats
    training_data: str

    def by_image(self, metric: int) -> Floats:
        """Return the mean over seeds of each image, (levels, layers, images); NaN where no seed has a value."""
        return nan_mean(self.values[metric], axis=-2)

    def chance(self, metric: int) -> Floats:
        """Return what chance scores on each image, (images,); NaN for a metric without such a value."""
        return chance(self.metrics[metric], self.area)


def read(results: Results, metrics: Sequence[Metric]) -> Iterator[Grid]:
    """Yield the maps of the run's main method, a model at a time: all levels, the main target; no model without maps.

    Raises:
        ResultsError: a map is there twice, or a file is damaged.
    """
    target = main_target(results)
    names = [metric.name for metric in metrics]
    for model in results.models:
        layers = results.main_layers(model)
        where = {"model": [model], "method": [results.main_method], "target": [target]}
        axes = {"level": None, "layer": [layer.name for layer in layers], "seed": None, "image": None}
        maps = cube(results, where, axes, [*names, "area"])
        if maps.present.any():
            yield Grid(
                model=model,
                target=target,
                levels=tuple(maps.axes["level"]),
                layers=tuple(layers),
                metrics=tuple(metrics),
                values=tuple(maps.values[name] for name in names),
                present=maps.present,
                area=nan_mean(maps.values["area"].reshape(-1, maps.present.shape[-1]), axis=0),
                training_data=maps.training_data,
            )
