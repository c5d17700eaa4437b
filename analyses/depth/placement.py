"""Where the cells of each layer look: how far its grid lies from one that is stretched over the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analyses.artifacts import Table
from analyses.reading.results import Results

NUMBERS = ("step_y", "step_x", "origin_y", "origin_x", "offset_y", "offset_x")


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of placements; nothing for runs that did not record them."""
    frame = tabulate(results)
    if frame.empty:
        return
    used = {
        "stretched": "In this run maps were stretched over the image, as the paper has them",
        "receptive_field": "In this run maps were laid where their cells look",
    }
    yield Table(
        "placement",
        frame,
        "Where each layer's cells look, from the kernels, strides, paddings and upsamplings on the way to it. step: "
        "input pixels from one cell's centre to the next. origin: the centre of the first cell, 0 being the first "
        "pixel's. offset: how far the grid's middle lies from the image's, in pixels; a map stretched over the image "
        "is drawn and scored that far from where its cells look. agreed: whether all branches that meet on the way say "
        "the same; where not, the finer one counts. "
        f"{used.get(results.placement, results.placement)}.",
    )


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row a model and layer, in the order of depth; all checkpoints of a model share them."""
    frame = results.placements()
    if frame is None:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for model in results.models:
        of_model = frame[frame["model"] == model].drop_duplicates("layer").set_index("layer")
        rows += [
            {
                "model": model,
                "model_label": results.label("models", model),
                "layer": layer.name,
                **{name: of_model[name][layer.name] for name in NUMBERS},
                "agreed": "yes" if of_model["agreed"][layer.name] else "no",
            }
            for layer in results.layers(model)
            if layer.name in of_model.index
        ]
    return pd.DataFrame(rows)
