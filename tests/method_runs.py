"""A made-up run of many methods, made of one of few: families, scopes, skipped cells, own passes, agreement."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analyses.reading.results import Results

CAM = ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam")
PERTURBATION = ("score_cam", "ablation_cam")
CAPTUM = ("captum_layer_conductance",)
ON_INPUT = ("captum_saliency", "captum_kernel_shap")
ROLLOUT = ("attention_rollout",)
BLIND = ("uniform", "random", "gaussian", "sobel", "mask_oracle", "mask_displaced")
CONTROLS = (*BLIND, "activation")
OWN_PASSES = (*PERTURBATION, *CAPTUM, *ON_INPUT)
METHODS = (*CAM, *PERTURBATION, *CAPTUM, *ON_INPUT, *ROLLOUT, *CONTROLS)
IMAGES = tuple(f"cat_{i}" for i in range(12))
METRICS = ("energy_inside", "energy_gain", "background_ratio", "edge_alignment", "edge_alignment_full", "spread")
LABELS = {"captum_layer_conductance": "Captum: layer conductance", "captum_kernel_shap": "Captum: kernel SHAP"}


def entry(name: str, label: str) -> dict[str, Any]:
    """What the manifest says of a method."""
    families = {"cam": CAM, "perturbation": PERTURBATION, "attention": ROLLOUT, "control": CONTROLS}
    family = next((key for key, names in families.items() if name in names), "captum")
    kinds = {"cam": "gradient", "attention": "attention", "control": "control"}
    return {
        "kind": kinds.get(family, "run"),
        "label": LABELS.get(name, label),
        "family": family,
        "scope": "input" if name in ON_INPUT else "layer",
        "signed": family == "captum",
        "needs_gradients": family != "control",
        "passes": 0 if family == "control" else 1,
        "each": "layer",
        "own_passes": name in OWN_PASSES,
    }


def enrich(
    results: Results,
    *,
    skipped: Sequence[Mapping[str, Any]] = (),
    own_pass_ids: Collection[str] = IMAGES[:6],
    counter: bool = False,
) -> Results:
    """Turn a made-up run of `METHODS`, in place, into one with all that a run of many methods holds."""
    path = results.folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    labels = {name: str(old["label"]) for name, old in manifest["methods"].items()}
    manifest["methods"] = {name: entry(name, label) for name, label in labels.items()}
    manifest["own_passes"] = {
        "ids": list(own_pass_ids),
        "rule": "The first images.",
        "targets": list(manifest["targets"]),
    }
    manifest["skipped"] = list(skipped)
    for name, target in manifest["targets"].items():
        pixels, _, score = name.partition(":")
        target |= {"class": 1, "pixels": pixels, "score": score, "resolution": "input"}
    if set(labels) & set(ON_INPUT):
        for entries in manifest["layers"].values():
            entries.insert(0, {"layer": "Input", "label": "Input", "depth": -1, "role": "input", "point": ""})
    path.write_text(json.dumps(manifest), encoding="utf-8")
    for file in sorted((results.folder / "scores").glob("*.parquet")):
        frame = pd.read_parquet(file).astype(dict.fromkeys(("layer", "method", "image", "target", "model"), str))
        frame = with_input(frame)
        frame = frame[~frame["method"].isin(OWN_PASSES) | frame["image"].isin(own_pass_ids)]
        for gap in skipped:
            at = (frame["model"] == gap["model"]) & (frame["method"] == gap["method"])
            frame = frame[~(at & ((frame["layer"] == gap["layer"]) | (gap["layer"] == "")))]
        frame = signed(frame, counter=counter)
        names = ["dataset", "model", "image", "target", "layer", "method", "training_data"]
        frame.astype(dict.fromkeys(names, "category")).to_parquet(file, index=False)
    write_agreement(results, manifest)
    return Results(results.folder)


def with_input(frame: pd.DataFrame) -> pd.DataFrame:
    """Move what attributes to the input there; what knows the image alone is there as well."""
    first = frame[frame["layer"] == frame["layer"].iloc[0]]
    moved = first[first["method"].isin((*ON_INPUT, *BLIND))].assign(layer="Input")
    there = bool(frame["method"].isin(ON_INPUT).any())
    return pd.concat([frame[~frame["method"].isin(ON_INPUT)], moved] if there else [frame], ignore_index=True)


def signed(frame: pd.DataFrame, *, counter: bool) -> pd.DataFrame:
    """Give maps a sign balance, 0 for blank ones, which then have no scores; an image's empty targets have nothing."""
    rng = np.random.default_rng(len(frame))
    tells = ~frame["method"].isin((*CONTROLS, *ROLLOUT)).to_numpy()
    blank = (frame["blank"] == 1).to_numpy() & tells
    empty = (frame["image"] == IMAGES[-1]).to_numpy() & tells
    balance = np.where(blank, 0.0, rng.uniform(0.2, 1.0, len(frame)))
    frame["sign_balance"] = np.where(tells & ~empty, balance, np.nan).astype(np.float32)
    if counter:
        share = np.where(tells & ~empty, rng.uniform(0, 1, len(frame)), np.nan)
        frame["counter_share"] = share.astype(np.float32)
    frame["blank"] = np.where(empty, np.nan, blank).astype(np.float32)
    for name in METRICS:
        frame[name] = frame[name].mask(blank | empty)
    return frame


def write_agreement(results: Results, manifest: dict[str, Any]) -> None:
    """Write how pairs of targets agree: more with depth, and the same behind the last ReLU."""
    rng = np.random.default_rng(0)
    rows = []
    for point in manifest["checkpoints"]:
        if not point["reached"]:
            continue
        same = {"dataset": "shapes", "training_data": "577 real"} | {k: point[k] for k in ("model", "level", "seed")}
        for layer in manifest["layers"][point["model"]]:
            for target, other in combinations(manifest["targets"], 2):
                for method in [name for name in manifest["methods"] if name in CAM]:
                    end = layer["point"] == "relu" and layer["label"].startswith("Decoder 1_2") and method == "grad_cam"
                    for image in IMAGES[:-1]:
                        off = 1e-7 if end else rng.uniform(0.01, 0.5) / (1 + max(0, layer["depth"]))
                        cells = {"layer": layer["layer"], "method": method, "image": image}
                        cells |= {"target": target, "other": other, "correlation": 1 - off, "difference": off}
                        rows.append(same | cells)
    frame = pd.DataFrame([row for row in rows if row["layer"] != "Input"])
    if len(frame):
        folder = results.folder / "scores" / "agreement"
        folder.mkdir(exist_ok=True)
        frame.to_parquet(folder / "all.parquet", index=False)
