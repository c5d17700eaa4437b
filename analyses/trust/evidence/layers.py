"""The first figure of known evidence: a panel for each cue that decides, methods by layers."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from analyses import printing
from analyses.plots import cells, layer_axis, style
from analyses.plots.cells import Marks
from analyses.reading.catalogue import Entry, entries
from analyses.reading.results import Results

ROW, AROUND = 0.15, 1.35  # inches
GAP = 0.5  # of a row, above the controls
CONTROLS = ("evidence_oracle", "mask_oracle", "activation", "sobel", "gaussian")
"""Controls with a row of their own; uniform and random maps score 0 wherever."""
FEW = 0.5
"""Share of undefined maps from which a cell is crossed."""
CUES = {"shape": "Ears decide", "texture": "Coat decides", "context": "Ball decides"}


def titles(cues: Sequence[str], networks: pd.DataFrame) -> dict[str, str]:
    """Return the title of each cue's panel: what decides, and in how many images one model told the animals apart.

    Args:
        cues: in the order of the panels.
        networks: the model's rows of known_evidence_networks.
    """
    return {cue: _title(cue, networks[networks["cue"] == cue]) for cue in cues if (networks["cue"] == cue).any()}


def _title(cue: str, networks: pd.DataFrame) -> str:
    used = networks[networks["used"]]
    share = used["images_told"].mean()
    lost = "" if used["told_apart"].all() else ": not apart"
    lost += "" if len(used) == len(networks) else f"\n({len(used)} of {len(networks)} networks)"
    return f"{CUES.get(cue, cue)}\n{100 * share:.0f} % of the animals told{lost}"


def finding(results: Results, means: pd.DataFrame) -> str:
    """Say how many of the methods that are drawn find the evidence, for each cue that the networks learned."""
    means = _of_layers(results, means)
    told = means[(means["family"] != "control") & means["told_apart"].astype(bool)]
    words = []
    for cue, rows in told.groupby("cue", sort=False):
        found = rows.groupby("method")["finds_it"].any()
        name = CUES.get(str(cue), f"{cue} decides")
        words.append(f"{int(found.sum())} of {len(found)} where {name[:1].lower()}{name[1:]}")
    return f"Methods that find the evidence at some layer: {printing.listed(words)}." if words else ""


def draw_layers(results: Results, means: pd.DataFrame, titles: dict[str, str]) -> matplotlib.figure.Figure:
    """Draw one model and target.

    Args:
        results: the run.
        means: the rows of the table known_evidence.
        titles: of each cue's panel, in the order of the panels.
    """
    model = str(means["model"].iloc[0])
    means = _of_layers(results, means)
    layers = [layer for layer in layer_axis.by_role(results.layers(model)) if layer.name in set(means["layer"])]
    rows = _rows(entries(results), means)
    height = max(rows.values()) + 1
    figure = style.figure(ROW * height + AROUND, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(titles), squeeze=False, sharey=True).ravel())
    scale, beyond = _scale(means)
    places = {layer.name: x for x, layer in enumerate(layers)}
    kinds: set[str] = set()
    for axes, (cue, title) in zip(panels, titles.items(), strict=True):
        marks = _marks(means[means["cue"] == cue], rows, places)
        marks.draw(axes, scale)
        kinds |= marks.kinds()
        axes.set_title("\n".join(map(printing.plain, title.split("\n"))))
        axes.set_xticks(np.arange(len(layers)) + 0.5, layer_axis.tick_labels(layers, len(layers)), rotation=90)
        axes.set_xlim(0, len(layers))
        axes.set_ylim(height, 0)
        axes.set_yticks([y + 0.5 for y in rows.values()], [_label(entry, means) for entry in rows])
        axes.tick_params(length=0, pad=1.5)
        sns.despine(ax=axes, left=True, bottom=True)
    bar = cells.color_bar(scale, panels, beyond, location="bottom", aspect=40, shrink=0.4)
    bar.set_label("Energy gain on the evidence ↑")
    style.add_key(figure, _key(kinds), 3, length=1.2)
    return figure


def _of_layers(results: Results, means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of maps of layers: those that attribute to the input's pixels have no column."""
    layers = {(model, layer.name) for model in results.models for layer in results.layers(model)}
    return means[[place in layers for place in zip(means["model"], means["layer"], strict=True)]]


def _rows(methods_of_run: Sequence[Entry], means: pd.DataFrame) -> dict[Entry, float]:
    """Return the top edge of each row: methods by their mean over all panels, below them the controls."""
    mean = means.groupby("method")["gain"].mean()
    shown = [entry for entry in methods_of_run if entry.name in mean.index]
    methods = sorted((e for e in shown if not e.control), key=lambda entry: -np.nan_to_num(mean[entry.name], nan=-9.0))
    controls = [entry for name in CONTROLS for entry in shown if entry.name == name]
    rows: dict[Entry, float] = {entry: float(y) for y, entry in enumerate(methods)}
    return rows | {entry: len(methods) + GAP + y for y, entry in enumerate(controls)}


def _scale(means: pd.DataFrame) -> tuple[ScalarMappable, tuple[bool, bool]]:
    """Return colours around chance that are told apart without red-green sight, and which ends values lie beyond.

    Blue is on the evidence. The scale is that of the methods: some controls lie beyond it.
    """
    methods = means[means["family"] != "control"]["gain"].to_numpy()
    reach = math.ceil(10 * float(np.nanmax(np.abs(methods), initial=0.1)) - 1e-9) / 10
    beyond = bool((means["gain"] < -reach).any()), bool((means["gain"] > reach).any())
    return ScalarMappable(Normalize(-reach, reach), mpl.colormaps["vlag_r"]), beyond


def _marks(means: pd.DataFrame, rows: dict[Entry, float], places: dict[str, int]) -> Marks:
    by_cell = {(row["method"], row["layer"]): row for row in means.to_dict("records")}
    marks = Marks()
    for entry, y in rows.items():
        for name, x in places.items():
            row = by_cell.get((entry.name, name))
            if row is None or math.isnan(row["gain"]):
                marks.add("absent", x, y)
                continue
            marks.add("value", x, y, row["gain"])
            if row["finds_it"] and not entry.control:
                marks.dots.append((x + 0.5, y + 0.5))
            if row["undefined_share"] > FEW:
                marks.slashes.append([(x + 0.2, y + 0.8), (x + 0.8, y + 0.2)])
    return marks


def _label(entry: Entry, means: pd.DataFrame) -> str:
    """Name a method; say where it has maps of fewer images than others."""
    images, most = means.loc[means["method"] == entry.name, "n_images"].max(), means["n_images"].max()
    return printing.plain(f"{entry.label}{f' (n = {images})' if images < most / 2 else ''}")


def _key(kinds: Collection[str]) -> list[Artist]:
    text = "more than every blind control, and than where another cue decides"
    texts = {"dot": text, "slash": "more than half have no value", "absent": "no maps"}
    return [cells.key(state, text) for state, text in texts.items() if state in kinds]
