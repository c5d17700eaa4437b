"""Which maps a run keeps, and the address in the page's gallery that shows those of a table's row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from analyses.reading import files, packed_maps
from analyses.reading.results import Results

_KEYS = ("model", "level", "method")
"""Columns without which a row is of no map."""


@dataclass(frozen=True)
class Kept:
    """The maps that a run keeps.

    Attributes:
        layers: by model, level, target and method: the layers with maps.
        seeds: by model and level: the first seed with maps.
        images: the names of the images with maps.
        metrics: the names of the scores.
    """

    layers: dict[tuple[str, int, str, str], set[str]] = field(default_factory=dict)
    seeds: dict[tuple[str, int], int] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    metrics: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Results) -> Kept:
        """Return what a run keeps, from the names in its files alone.

        Raises:
            ResultsError: a file is damaged.
        """
        out = cls(metrics=tuple(metric.name for metric in results.metrics))
        for point in (one for one in results.checkpoints if one.reached):
            path = results.gallery_path(point.model, point.seed, point.level)
            if not path.exists() or (point.model, point.level) in out.seeds:
                continue
            with files.reading(path), np.load(path, allow_pickle=False) as file:
                out.images.update(map(str, file["ids"]))
                names = [name.split("|", 2) for name in packed_maps.names(file)]
            out.seeds[point.model, point.level] = point.seed
            for target, method, layer in names:
                out.layers.setdefault((point.model, point.level, target, method), set()).add(layer)
        return out

    def addresses(self, frame: pd.DataFrame) -> list[str] | None:
        """Return for each row the address of its maps, '' where none are kept; None where no row has any."""
        if not self.layers or any(name not in frame for name in _KEYS):
            return None
        rows = frame[[name for name in (*_KEYS, "target", "layer", "image", "metric", "seed") if name in frame]]
        found = [self._address(row) for row in rows.to_dict("records")]
        return found if any(found) else None

    def _address(self, row: dict[Any, Any]) -> str:
        model, level, method = str(row["model"]), int(row["level"]), str(row["method"])
        targets = [key[2] for key in self.layers if (key[0], key[1], key[3]) == (model, level, method)]
        target = str(row["target"]) if "target" in row else next(iter(targets), "")
        layers = self.layers.get((model, level, target, method))
        if layers is None:
            return ""
        state: dict[str, Any] = {"model": model, "seed": self.seeds[model, level], "level": level}
        state |= {"target": target, "method": method}
        if row.get("image") in self.images:
            state["image"] = row["image"]
        if row.get("metric") in self.metrics:
            state["metric"] = row["metric"]
        layer = str(row.get("layer", ""))
        if layer in layers:
            state |= {"point": "all", "layer": layer}
        return f"#gallery?{urlencode(state)}"
