"""How far cells see before and after attention, block by block, beside the same network without training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.plots import lines, networks, style
from analyses.reading.arrays import distinct, fill, nan_mean
from analyses.reading.choices import at_highest
from analyses.reading.manifest import ATTENTION
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import Bounds
from analyses.statistics.intervals import NOTE, bootstrap_interval

WIDTHS = {"trained": "width", "untrained": "width_untrained"}
"""The columns by the network that they are of."""
LOOKS = (style.Line("#d55e00", "o", "-"), style.Line("#0072b2", "s", "-"))
"""Of layers before attention, and after it."""
BESIDE = 0.12  # of a block's place: how far dots stand from its middle
HEIGHT = 2.1  # inches
ABOUT = (
    "Side in input pixels of an even square as wide as the gradient of a layer's cell by the input: mean over cells "
    f"and images with a {CONFIDENCE:.0%} interval from {RESAMPLES} crossed resamples of images and seeds {NOTE}. "
    "untrained: the same network with all weights drawn anew, which sees what its structure lets it see."
)
READING = (
    "Effective receptive field of layers before and after attention, block by block, with intervals. Full marks: the "
    "trained network; hollow ones: the same with new weights. Both layers are on the attention branch."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of means and a figure of the highest levels; nothing for runs without the measurement."""
    frame = tabulate(results)
    if frame.empty:
        return
    yield Table("receptive_field", rounded(frame), ABOUT)
    highest = at_highest(frame)
    for ending, models in networks.pages([model for model in results.models if (frame["model"] == model).any()], 2):
        shown = highest[highest["model"].isin(models)]
        with style.context():
            figure = draw(results, shown, models)
        yield Figure(f"receptive_field{ending}", figure, Caption(finding(results, shown), READING, ABOUT), "View")


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, layer before or after attention, and network, trained or not."""
    table = results.table("receptive_field")
    rows: list[dict[str, Any]] = []
    if table is None or not len(table):
        return pd.DataFrame(rows)
    for model in results.models:
        layers = {layer.label: layer for layer in results.layers(model) if layer.role in ATTENTION}
        of_model = table[table["model"] == model]
        for level in sorted(set(of_model["level"])):
            part = of_model[of_model["level"] == level]
            for label, layer in layers.items():
                of_layer = part[part["layer"].astype(str) == label]
                for network, column in WIDTHS.items():
                    if column in of_layer and len(of_layer):
                        names = {"model": model, "level": int(level), "layer": label, "depth": layer.depth}
                        rows.append(names | {"role": layer.role, "network": network} | _mean(of_layer, column))
    return pd.DataFrame(rows)


def _mean(of_layer: pd.DataFrame, column: str) -> dict[str, Any]:
    axes = {name: distinct(of_layer[name]) for name in ("cell", "seed", "image")}
    values, _ = fill(of_layer, axes, [column], "receptive_field")
    matrix = nan_mean(values[0], axis=0)
    found = bootstrap_interval(matrix, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, Bounds(0.0))
    ends = {name: float(getattr(found, name)) for name in ("estimate", "low", "high")}
    return ends | {"n_images": matrix.shape[1], "n_seeds": matrix.shape[0]}


def gains(frame: pd.DataFrame) -> dict[str, float]:
    """Return by how many pixels cells see farther after attention, over a model's blocks, trained and not.

    Args:
        frame: rows of one model and level.
    """
    found = {}
    for network in WIDTHS:
        rows = frame[frame["network"] == network]
        before, after = (rows.loc[rows["role"] == role, "estimate"] for role in ATTENTION)
        if len(before) and len(after):
            found[network] = float(after.mean() - before.mean())
    return found


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say by how much the receptive field grows in attention, and by how much it does so without training."""
    words = []
    for model in dict.fromkeys(frame["model"]):
        by = {
            name: f"{value:+.1f}".replace("-", printing.MINUS)
            for name, value in gains(frame[frame["model"] == model]).items()
        }
        if by:
            bare = f" (untrained {by['untrained']})" if "untrained" in by else ""
            words.append(f"{by['trained']} px in {networks.name_of(results, model)}{bare}")
    return f"From before to after attention, receptive fields grow on average over blocks by {printing.listed(words)}."


def draw(results: Results, frame: pd.DataFrame, models: list[str]) -> matplotlib.figure.Figure:
    """Draw a panel a network: blocks from left to right, layers before and after attention beside each other."""
    panels = []
    for model in models:
        of_model = frame[frame["model"] == model]
        blocks = list(dict.fromkeys(_block(label) for label in of_model.sort_values("depth")["layer"]))
        marks: list[lines.Line | lines.Dots] = []
        for side, (role, look) in enumerate(zip(ATTENTION, LOOKS, strict=True)):
            for network in WIDTHS:
                rows = of_model[(of_model["role"] == role) & (of_model["network"] == network)]
                x = [blocks.index(_block(label)) + BESIDE * (2 * side - 1) for label in rows["layer"]]
                kind: Any = "full" if network == "trained" else "hollow"
                marks.append(lines.Dots(look, x, rows["estimate"], rows["low"], rows["high"], kind))
        ticks = {float(i): name for i, name in enumerate(blocks)}
        title = networks.title(results, model, len(models))
        panels.append(
            lines.Panel("Receptive field (px)", marks, ticks=ticks, down_to=0.0, title=title, x_label="Attention block")
        )
    key = [lines.line_key(look, role) for role, look in zip(ATTENTION, LOOKS, strict=True)]
    if (frame["network"] == "untrained").any():
        key.append(lines.dots_key("hollow", "without training"))
    return lines.draw([panels], key, HEIGHT, shared=("none", "row"), width=networks.width(len(models)))


def _block(label: str) -> str:
    """Return the block that a layer is of: '1_2' of 'Before attention 1_2'."""
    return label.rpartition(" ")[2]
