"""The third figure of known evidence: one scene, drawn either way, and where the maps of three networks lie on it."""

from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses.plots import map_page, map_tiles, overlay
from analyses.reading.manifest import Layer
from analyses.reading.records import Gallery
from analyses.reading.results import Results
from analyses.trust.evidence.dots import CUES
from segcam.draw.display import Display

LAYERS = 7
"""Layers shown, spread evenly along the depth."""
METHOD = "grad_cam"


def draw_scene(
    results: Results, model: str, target: str, frame: pd.DataFrame, networks: pd.DataFrame
) -> matplotlib.figure.Figure | None:
    """Draw the scene that is kept, a row for each cue that decides; None where no method's maps are kept.

    Args:
        results: the run.
        model: whose networks are shown.
        target: what the maps explain.
        frame: `Results.evidence`.
        networks: the rows of known_evidence_networks that are used; of each cue the first seed is shown.
    """
    layers = _spread(results.layers(model))
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
    rows = [_row(cue, of_network, gallery, (target, method), layers) for cue, (of_network, gallery) in maps_of.items()]
    heads = ["scene", "the cue the other way", *(layer.label for layer in layers)]
    title = f"{results.label('models', model)}: {results.label('methods', method)} of the first test scene"
    key = (
        "outline of the evidence: what changes where the cue is the other way (of the coat, all of it)",
        "where the map is highest",
        "under each map: its energy gain on the evidence, 0 by chance",
    )
    return map_page.draw(map_page.Page(title, [map_page.Block(heads, rows)], len(heads), key))


def _spread(layers: tuple[Layer, ...]) -> list[Layer]:
    places = np.linspace(0, len(layers) - 1, min(LAYERS, len(layers))).round().astype(int)
    return [layers[place] for place in places]


def _row(cue: str, frame: pd.DataFrame, gallery: Gallery, names: tuple[str, str], layers: list[Layer]) -> map_page.Row:
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
    tiles = [map_page.Tile(picture, lines, None, "") for picture in shown]
    for layer in layers:
        values = np.asarray(gallery.arrays[f"{target}|{method}|{layer.name}"][0], dtype=np.float32)
        state = map_tiles.state(values)
        mark = None
        if not state:
            down, right = np.unravel_index(int(overlay.upsampled(values, size).argmax()), size)
            mark = ((float(right) + 0.5) / size[1], (float(down) + 0.5) / size[0])
        text = state or map_tiles.number(gains.get(layer.name, math.nan), "+")
        tiles.append(map_page.Tile(overlay.heat(values, photograph, size), lines, mark, text, Display.of(values)))
    return map_page.Row(CUES.get(cue, cue).replace(" decide", "\ndecide"), tiles)
