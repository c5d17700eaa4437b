"""The evaluation cards of the metrics: what constructed maps score, how reliable values are, and the page's words.

    python -m tests.docs.cards

writes segcam/metrics/cards.json, which `bench list metrics NAME` shows, from the metrics themselves, the published
results and docs/which-metric.md; a test holds the file to them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.plots import networks
from analyses.reading import choices
from analyses.reading.results import Results
from segcam.datasets.drawn.drawing import draw
from segcam.methods.controls import gaussian, mask_oracle, random, sobel
from segcam.metrics import METRICS, measure
from segcam.samples import Batch, Sample
from segcam.scoring.reference import Reference, Scenery
from tests.docs import study

ROOT = Path(__file__).parents[2]
FILE = ROOT / "segcam" / "metrics" / "cards.json"
PAGE = ROOT / "docs" / "which-metric.md"
EVIDENCE = ROOT / "results" / "evidence" / "tables" / "meta_evaluation.csv"
SIZE, SCENES, CELLS = 128, 12, (1, 4, 8, 16, 32)
"""Of the drawn scenes, and of the layers' cells in pixels."""
WORDS = {"asks": "Asks", "use": "Take it", "assumes": "Assumes", "gamed": "Fooled by"}


def one_cell(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return maps of one hot cell: the first that has most of the mask."""
    share = reference.foreground_share
    hot = torch.zeros_like(share).flatten(1)
    return hot.scatter(1, share.flatten(1).argmax(1, keepdim=True), 1.0).view_as(share)


def frame(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return maps of the image's outermost cells, where padding leaves its traces."""
    edge = torch.ones_like(reference.foreground)
    edge[:, 1:-1, 1:-1] = 0
    return edge


MAPS: dict[str, Callable[[Reference], Tensor]] = {
    "the mask itself": mask_oracle,
    "centred Gaussian": gaussian,
    "one cell on the object": one_cell,
    "the image's frame": frame,
    "the image's edges": sobel,
    "noise": random,
}
"""What cards tell the scores of: the first has all merit that a map can have, the others know no network."""


def cards() -> dict[str, Any]:
    """Return the cards by metric, and what they were made of."""
    words, scores, studied, evidence = said(), constructed(), reliable(), ranked()
    by_metric = {
        name: {
            **words.get(name, {}),
            "maps": scores[name],
            "reliability": studied.get(name, {}),
            "evidence": evidence.get(name, {}),
        }
        for name in METRICS.names()
    }
    return {"cells": list(CELLS), "scenes": SCENES, "metrics": by_metric}


def constructed() -> dict[str, dict[str, list[float | None]]]:
    """Return what each constructed map scores, by metric and map: the mean over drawn scenes, a number a grid."""
    scenes = [(f"scene {k}", draw(0, k, SIZE)) for k in range(SCENES)]
    scenery = Scenery.of(Batch.of([Sample(name, scene.image, scene.mask) for name, scene in scenes]))
    names = METRICS.names()
    found: dict[str, dict[str, list[float | None]]] = {name: {one: [] for one in MAPS} for name in names}
    for cell in CELLS:
        reference = scenery.on((SIZE // cell, SIZE // cell))
        maps = torch.stack([make(reference).to(torch.float32) for make in MAPS.values()], 1)
        for name, values in measure(maps, reference, names).items():
            for one, of_map in zip(MAPS, values.nanmean(0).tolist(), strict=True):
                found[name][one].append(_short(of_map))
    return found


def reliable() -> dict[str, dict[str, float | None]]:
    """Return the ICC over trainings of each metric, by network and level of the published study."""
    results, table = Results(study.STUDY), study.table("reliability")
    found: dict[str, dict[str, float | None]] = {}
    for row in table[table["target"] == choices.paper_target(results)].to_dict("records"):
        model, level = str(row["model"]), int(row["level"])
        where = f"{networks.name_of(results, model)} {results.level(model, level, measured=False)}"
        found.setdefault(str(row["metric"]), {})[where] = _short(float(row["icc"]))
    return found


def ranked() -> dict[str, dict[str, float | None]]:
    """Return how far each metric ranks methods as known evidence does, by network; empty before that is published."""
    if not EVIDENCE.is_file():
        return {}
    table = pd.read_csv(EVIDENCE)
    table, results = table[table["cue"] == "all"], Results(EVIDENCE.parents[1])
    found: dict[str, dict[str, float | None]] = {}
    for row in table.to_dict("records"):
        found.setdefault(str(row["score"]), {})[results.label("models", str(row["model"]))] = _short(float(row["rho"]))
    return found


def said() -> dict[str, dict[str, str]]:
    """Return what the page says of each metric, without its marks: what it asks, is for, assumes, and is fooled by."""
    sections = re.findall(
        r"^### `(\w+)`\n\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    found = {}
    for name, section in sections:
        parts = dict(re.findall(r"^\*\*([\w ]+)\*\* (.+?)\n\n", f"{section}\n\n", re.MULTILINE | re.DOTALL))
        found[name] = {key: _plain(parts[word]) for key, word in WORDS.items() if word in parts}
    return found


def _plain(text: str) -> str:
    linked = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return " ".join(linked.replace("`", "").replace("*", "").split())


def _short(value: float) -> float | None:
    """Return a number with three decimals; None for one that is undefined."""
    return None if math.isnan(value) else round(value, 3) + 0.0


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(cards(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
