"""The second figure of known evidence: one scene, drawn either way, and where the maps of three networks lie on it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses.plots import map_page, map_tiles, overlay
from analyses.reading.files import PREDICTED
from analyses.reading.manifest import Layer
from analyses.reading.records import Gallery
from analyses.reading.results import Results
from analyses.trust.evidence.layers import CUES
from segcam.draw import display
from segcam.draw.display import Display

LAYERS = 7
"""Layers shown, spread evenly along the depth."""
METHOD = "grad_cam"
BESIDE = "context"
"""The cue that lies beside the animal."""
IGNORED = 255
"""In masks, the pixels of no class."""


def draw_scene(
    results: Results, model: str, means: pd.DataFrame, frame: pd.DataFrame, networks: pd.DataFrame
) -> matplotlib.figure.Figure | None:
    """Draw the scene that is kept, a row for each cue that decides; None where no method's maps are kept.

    Args:
        results: the run.
        model: whose networks are shown.
        means: the rows of the table known_evidence of the model and what its maps explain.
        frame: `Results.evidence`.
        networks: the rows of known_evidence_networks that are used; of each cue the first seed is shown.
    """
    target, best = str(means["target"].iloc[0]), _best(results, model, means)
    layers = _spread(results.layers(model), best["layer"] if best else "")
    maps_of = {}
    for cue in results.manifest.variants:
        shown = networks[(networks["cue"] == cue) & (networks["model"] == model)].sort_values("seed").iloc[0]
        seed, level = int(shown["seed"]), int(shown["level"])
        of_network = frame[(frame["cue"] == cue) & (frame["model"] == model) & (frame["seed"] == seed)]
        maps_of[cue] = of_network, results.gallery(f"{cue}-{model}", seed, level)
    first = next(iter(maps_of.values()))[1]
    methods = [name.split("|")[1] for name in first.arrays if name.startswith(f"{target}|")]
    if not methods:
        return None
    method = METHOD if METHOD in methods else methods[0]
    rows = [
        _row(cue, of_network, gallery, (target, method), layers, raw=results.raw)
        for cue, (of_network, gallery) in maps_of.items()
    ]
    heads = ["", "the cue the other way", *(layer.label for layer in layers)]
    title = f"{results.label('models', model)}: {results.label('methods', method)} of the first test scene"
    key: list[tuple[map_page.Sign, str]] = [
        ("outline", "outline of what changes where the cue is the other way (of the coat, all of it)"),
        ("ring", "where the map is highest"),
        ("bar", "energy gain of the map on the evidence, from 0 by chance to 1"),
    ]
    if PREDICTED in first.arrays:
        key.insert(1, ("tint", "first column: predicted as the scene's animal"))
    return map_page.draw(map_page.Page(title, [map_page.Block(heads, rows)], len(heads), key))


def finding(results: Results, model: str, means: pd.DataFrame) -> str:
    """Say of the cue beside the animal where its maps lie on it, and what the last layer shows; '' where it is not so.

    Args:
        results: the run.
        model: whose networks are shown.
        means: the rows of the table known_evidence of the model and what its maps explain.
    """
    best, last = (_best(results, model, means, column) for column in ("gain", "depth"))
    if not best or not last or not best["gain"] > last["gain"] or not last["gain_animal"] > last["gain"]:
        return ""
    labels = {layer.name: layer.label for layer in results.layers(model)}
    gains = [map_tiles.number(value, "+") for value in (best["gain"], last["gain_animal"], last["gain"])]
    return (
        f"A ball beside the animal decides: over all scenes {results.label('methods', METHOD)} lies on it most at "
        f"{labels[best['layer']]} (mean energy gain {gains[0]}), and at the last layer shows the animal all the same "
        f"({gains[1]}; {gains[2]} on the ball)."
    )


def _best(results: Results, model: str, means: pd.DataFrame, column: str = "gain") -> dict[Hashable, Any] | None:
    """Return the row of the layer that has the most of a column, of the cue beside the animal; None without any."""
    rows = means[(means["cue"] == BESIDE) & (means["method"] == METHOD) & means["told_apart"].astype(bool)]
    rows = rows[rows["layer"].isin([layer.name for layer in results.layers(model)]) & rows["gain"].notna()]
    return None if rows.empty else rows.sort_values(column, kind="stable").to_dict("records")[-1]


def _spread(layers: tuple[Layer, ...], wanted: str) -> list[Layer]:
    """Return layers spread over the depth, the wanted one among them: in place of its neighbour, if need be."""
    places = np.linspace(0, len(layers) - 1, min(LAYERS, len(layers))).round().astype(int)
    at = next((place for place, layer in enumerate(layers) if layer.name == wanted), None)
    if at is not None and at not in places:
        inner = np.abs(places[1:-1] - at).argmin() + 1  # the first and the last stay
        places[inner] = at
    return [layers[place] for place in sorted(places)]


def _row(
    cue: str, frame: pd.DataFrame, gallery: Gallery, names: tuple[str, str], layers: list[Layer], *, raw: bool
) -> map_page.Row:
    target, method = names
    scores = frame[
        (frame["target"] == target) & (frame["method"] == method) & (frame["image"].astype(str) == gallery.ids[0])
    ]
    gains = dict(zip(scores["layer"].astype(str), scores[f"gain_{cue}"].astype(float), strict=True))
    evidence = gallery.arrays["evidence"][0]
    lines, size = overlay.outline(evidence), (int(evidence.shape[0]), int(evidence.shape[1]))
    photograph = gallery.photographs.get(gallery.ids[0])
    black = np.zeros((*size, 3))
    shown = [black, black] if photograph is None else [photograph / 255, gallery.arrays["other"][0] / 255]
    if PREDICTED in gallery.arrays:
        own = gallery.masks[0][(gallery.masks[0] != 0) & (gallery.masks[0] != IGNORED)]
        shown[0] = display.tinted(shown[0], np.isin(gallery.arrays[PREDICTED][0], np.unique(own)))
    tiles = [map_page.Tile(picture, lines) for picture in shown]
    for layer in layers:
        values = np.asarray(gallery.arrays[f"{target}|{method}|{layer.name}"][0], dtype=np.float32)
        how = Display.of(values, raw=raw)
        mark = None
        if not how.reason:
            down, right = np.unravel_index(int(overlay.upsampled(values, size).argmax()), size)
            mark = ((float(right) + 0.5) / size[1], (float(down) + 0.5) / size[0])
        gain = gains.get(layer.name, math.nan)
        bar = None if math.isnan(gain) else map_page.Bar(gain, -1.0, 1.0, 0.0)
        text = "" if how.reason and bar is None else map_tiles.number(gain, "+")
        picture = overlay.heat(values, photograph, size, how)
        tiles.append(map_page.Tile(picture, [] if how.reason else lines, mark, text, how, how.reason, bar))
    return map_page.Row(CUES.get(cue, cue).replace(" decide", "\ndecide"), tiles)
