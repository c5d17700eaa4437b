"""What has no maps, and why, as a table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from analyses.reading.results import Results, ResultsError

ALL_LAYERS = "all layers"


COLUMNS = ["model", "layer", "method", "reason", "cells"]


def read(results: Results) -> pd.DataFrame:
    """Return what was skipped, a row a model, layer, method and reason, in the order of the manifest's sections.

    The layer is '' where it is the whole network.
    """
    entries = results.manifest.get("skipped") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ResultsError(
            f"{results.folder / 'manifest.json'}: 'skipped' is not a list of entries; run the benchmark again"
        )
    rows: list[dict[str, Any]] = []
    for entry in entries:
        if missing := [name for name in COLUMNS[:4] if name not in entry]:
            raise ResultsError(
                f"{results.folder / 'manifest.json'}: {missing[0]!r} is missing in 'skipped'; run the benchmark again"
            )
        names = {name: str(entry[name]) for name in COLUMNS[:4]}
        rows.append(names | {"cells": int(entry.get("cells") or 0)})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for column, order in (("method", results.methods), ("model", results.models)):
        frame = frame.sort_values(column, key=_places(order), kind="stable")
    return frame.reset_index(drop=True)


def _joined(found: list[str], layers: list[str]) -> str:
    """Name layers in the order of execution, others before them; all of a network's together in two words."""
    others = [name for name in found if name and name not in layers]
    whole = "" in found or (layers and set(layers) <= set(found))
    known = [ALL_LAYERS] if whole else [name for name in layers if name in found]
    return ", ".join(others + known)


def _places(order: Collection[str]) -> Any:
    """Return a sort key: the place of each name in `order`, behind them the unknown ones."""
    places = {name: i for i, name in enumerate(order)}
    return lambda names: names.map(lambda name: places.get(name, len(places)))
