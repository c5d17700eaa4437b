"""What has no maps, and why: methods that cannot run on a layer or a network."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from analyses.artifacts import Table
from analyses.results import Results, ResultsError

ALL_LAYERS = "all layers"
COLUMNS = ["model", "layer", "method", "reason", "cells"]


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of what was skipped; nothing for runs that skipped nothing or did not record it."""
    frame = tabulate(results)
    if frame.empty:
        return
    yield Table(
        "skipped",
        frame,
        "Methods without maps on some layers of a network, with the reason that the method itself gave; no table or "
        "figure counts them as blank or as zero. cells: in how many parts of the scoring (the images of a checkpoint "
        f"come in parts) it was so, for the layer with the most. {results.caption_note()}",
    )


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


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row for each model, method and reason, with the layers it is about."""
    rows: list[dict[str, Any]] = []
    for (model, method, reason), part in read(results).groupby(["model", "method", "reason"], sort=False):
        layers = [layer.name for layer in results.layers(str(model))] if model in results.models else []
        rows.append(
            {
                "model": model,
                "method": method,
                "method_label": results.label("methods", str(method)),
                "layers": _joined(list(dict.fromkeys(part["layer"])), layers),
                "reason": reason,
                "cells": int(part["cells"].max()),
                "training_data": results.training_data,
            }
        )
    return pd.DataFrame(rows)


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
