"""What has no maps, and why: methods that cannot run on a layer or a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analyses.artifacts import Table
from analyses.reading.gaps import _joined, read
from analyses.reading.results import Results


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
        "come in parts) it was so, for the layer with the most.",
    )


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row for each model, method and reason, with the layers it is about."""
    rows: list[dict[str, Any]] = []
    for (model, method, reason), gaps in read(results).groupby(["model", "method", "reason"], sort=False):
        layers = [layer.name for layer in results.layers(str(model))] if model in results.models else []
        rows.append(
            {
                "model": model,
                "method": method,
                "method_label": results.label("methods", str(method)),
                "layers": _joined(list(dict.fromkeys(gaps["layer"])), layers),
                "reason": reason,
                "cells": int(gaps["cells"].max()),
                "training_data": results.manifest.dataset.training_data,
            }
        )
    return pd.DataFrame(rows)
