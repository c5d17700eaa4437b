"""Publications of parts of a made-up study, whose photographs may not be shown but for a free one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import analyses
from analyses.reading.sealed import sealed
from bench.output import publish
from tests.analyses.conftest import Plan, write
from tests.bench.harness import bench

FREE = "chelsea"
LEVELS = (30, 90)
IMAGES = ("cat_1", "dog_2", "cat_3")
DRAWN = ("claims", "family", "figure1", "film", "heatmap", "levels", "method_ranks")
REDRAWN = ("claims", "levels")


def made(folder: Path, models: Sequence[str], seeds: Sequence[int]) -> Path:
    """Write a finished run of some trainings, with a report of few analyses."""
    folder.mkdir(parents=True)
    plan = Plan(models, seeds, LEVELS, images=IMAGES, free=(FREE,), photographs=False, size=16)
    write(folder, plan)
    of_models: dict[str, object] = {name: {} for name in models}
    trained = {f"cells/train-{name}-s{seed}-0.json": {"id": "0"} for name in models for seed in seeds}
    scored = {
        f"cells/scores-{name}-s{seed}-l{level}-000-0.json": {"id": "0", "level": level}
        for name in models
        for seed in seeds
        for level in LEVELS
    }
    gaps = [
        {"model": name, "layer": "Decoder 1_1", "method": "cam", "reason": "no head", "cells": 2 * len(seeds)}
        for name in models
    ]
    values = json.loads((folder / "manifest.json").read_text())
    values["profile"] |= {"models": of_models, "train": {"seeds": list(seeds)}, "score": {}, "recipes": {}}
    values |= {"definition": {"digest": "0", "models": of_models, "train": of_models}}
    values |= {"cells": trained | scored, "planned": {"train": len(trained), "score": len(scored)}}
    values |= {"versions": {"segcam": "0"}, "hardware": {"cores": 2}, "skipped": gaps, "registration": "0"}
    (folder / "manifest.json").write_bytes(sealed(values))
    with patch.object(analyses, "names", lambda: list(DRAWN)):
        outcome = bench("run", "report", "--out", folder, "--set", "figures.dpi=50")
    assert outcome.code == 0, outcome.err
    return folder


def published(run: Path, to: Path, *options: str) -> Path:
    """Publish such a run."""
    with patch.object(analyses, "names", lambda: list(DRAWN)), patch.object(publish, "REDRAWN", REDRAWN):
        outcome = bench("publish", "--out", run, "--to", to, *options)
    assert outcome.code == 0, outcome.err
    return to
