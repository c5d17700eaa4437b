"""What has no maps, and why, as a table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from analyses.reading.results import Results

ALL_LAYERS = "all layers"


COLUMNS = ["model", "layer", "method", "reason", "cells"]


def read(results: Results) -> pd.DataFrame:
    """Return what was skipped, a row a model, layer, method and reason, in the order of the manifest's sections.

    The layer is '' where it is the whole network.
    """
    frame = pd.DataFrame([gap.model_dump() for gap in results.manifest.skipped], columns=COLUMNS)
    for column, order in (("method", results.methods), ("model", results.models)):
        frame = frame.sort_values(column, key=_places(order), kind="stable")
    return frame.reset_index(drop=True)


def _joined(skipped: list[str], layers: list[str]) -> str:
    """Name layers in the order of execution, others before them; all of a network's together in two words."""
    others = [name for name in skipped if name and name not in layers]
    everywhere = "" in skipped or (layers and set(layers) <= set(skipped))
    names = [ALL_LAYERS] if everywhere else [name for name in layers if name in skipped]
    return ", ".join(others + names)


def _places(order: Collection[str]) -> Any:
    """Return a sort key: the place of each name in `order`, behind them the unknown ones."""
    places = {name: i for i, name in enumerate(order)}
    return lambda names: names.map(lambda name: places.get(name, len(places)))
