"""Where the evidence is known: which methods and layers put their energy on the part that decides the class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import style
from analyses.reading.arrays import MapScores, cubes, nan_mean
from analyses.reading.catalogue import BLIND, FEWEST, Entry, entries
from analyses.reading.choices import paper_target
from analyses.reading.manifest import INPUT, Metric
from analyses.reading.results import Results
from analyses.statistics.contrasts import Compared, compare
from analyses.trust.evidence import layers, networks, scene
from analyses.trust.evidence.networks import KIND, counting

CONTROLS = (*BLIND, "activation", "mask_oracle")
"""What methods are compared with, pair by pair; the last one knows the animal, but not what decides its class."""
ELSEWHERE = "elsewhere"
"""The comparison with the networks for which another cue decides: the same pixels of the same images."""
ANIMAL = "animal"


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield three tables and the figures; nothing for runs of other kinds."""
    frame = results.evidence() if results.manifest.kind == KIND else None
    if frame is None:
        return
    trained = networks.tabulate(results)
    means, summary = tabulate(results, frame, trained)
    note = _note(results, trained)
    yield Table("known_evidence_networks", trained, f"{networks.ABOUT} {note}")
    yield Table("known_evidence", means, f"{_ABOUT} {_COLUMNS} {note}")
    yield Table("known_evidence_summary", summary, f"{_ABOUT} {_OVER_LAYERS} {note}")
    wanted = paper_target(results)
    for model in results.models:
        of_model = means[means["model"] == model]
        if of_model.empty:
            continue
        target = wanted if (of_model["target"] == wanted).any() else str(of_model["target"].iloc[0])
        of_layers = of_model[of_model["target"] == target]
        panels = layers.titles(list(results.manifest.variants), trained[trained["model"] == model])
        with style.context():
            drawn = layers.draw_layers(results, of_layers, panels)
            pictured = scene.draw_scene(results, model, of_layers, frame, trained[trained["used"]])
        name = f"{printing.slug(model)}-{printing.slug(target)}"
        words = {"model": results.label("models", model), "target": results.label("targets", target)}
        details = f"{_LAYERS.format(**words)} {note}"
        caption = Caption(layers.finding(results, of_layers), _LAYERS_READING, details)
        yield Figure(f"known_evidence_layers-{name}", drawn, caption, "Known evidence by layer")
        if pictured is not None:
            size = results.manifest.profile.get("data", {}).get("size", "fewer")
            details = f"{_SCENE.format(**words, size=size)} {note}"
            caption = Caption(scene.finding(results, model, of_layers), _SCENE_READING, details)
            yield Figure(f"known_evidence_scene-{name}", pictured, caption, "Known evidence: one scene")


def tabulate(results: Results, frame: pd.DataFrame, networks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means by cue, method and layer, and over layers."""
    methods, means, summary = entries(results), list[dict[str, Any]](), list[dict[str, Any]]()
    cues = list(results.manifest.variants)
    frame = frame.assign(counts=counting(frame, networks).astype(float))
    for model in results.models:
        for target in results.targets:
            of_target = frame[(frame["model"] == model) & (frame["target"] == target)]
            if not of_target["counts"].any():
                continue
            every = _by_cue(results, model, of_target, cues)
            for cue, maps in every.items():
                apart = networks[(networks["model"] == model) & (networks["cue"] == cue)]["told_apart"]
                shared = {"cue": cue, "model": model, "target": target}
                last: dict[str, Any] = {"told_apart": bool(apart.any()), "training_data": maps.training_data}
                for entry in methods:
                    if entry.name not in maps.values:
                        continue
                    against = [name for name in CONTROLS if name in maps.values and name != entry.name]
                    against += [ELSEWHERE] if f"{ELSEWHERE} {entry.name}" in maps.values else []
                    contrast = compare(maps, entry.name, [_of(name, entry) for name in against])
                    means += [
                        shared | row | last for row in _layer_rows(maps, entry, contrast, against, last["told_apart"])
                    ]
                    summary += [shared | row | last for row in _summary_rows(maps, entry, contrast, against)]
    keys = ["model", "target", "_cue", "_method"]
    return _ordered(means, methods, cues, [*keys, "depth"]), _ordered(summary, methods, cues, [*keys, "scope"])


def _by_cue(results: Results, model: str, frame: pd.DataFrame, cues: list[str]) -> dict[str, MapScores]:
    """Return for each cue the energy on its evidence, of its own networks and, under another name, of the others'.

    Of its own the networks that are used and the images that they told; of the others all: in none this cue decides.
    """
    on_input = results.input_layer(model)
    layers = (*([on_input] if on_input else []), *results.layers(model))
    columns = [f"gain_{region}" for region in (*cues, ANIMAL)]
    columns += [f"{name}_{cue}" for name in ("inside", "area") for cue in cues] + ["counts"]
    names = frame["cue"].astype(str) + " " + frame["method"].astype(str)
    values_of = {
        tuple(name.split(" ", 1)): (dict(zip(columns, cube, strict=True)), present)
        for name, cube, present in cubes(frame.assign(method=names, image=frame["scene"].astype(str)), layers, columns)
    }
    every = {}
    for cue in cues:
        metrics = [
            Metric(name=f"gain_{cue}", label="", direction="higher", upper=1.0, chance=0.0),
            Metric(name=f"inside_{cue}", label="", direction="higher", lower=0.0, upper=1.0, chance="area"),
            Metric(name=f"gain_{ANIMAL}", label="", direction="higher", upper=1.0, chance=0.0),
            Metric(name=f"area_{cue}", label="", direction=None, lower=0.0, upper=1.0, chance=None),
        ]
        data = " / ".join(sorted(set(frame[frame["cue"] == cue]["training_data"].astype(str))))
        maps = MapScores(layers, tuple(metrics), {}, {}, {}, data)
        for (cue_of_network, method), (values, present) in values_of.items():
            if cue_of_network != cue:
                continue
            counts = values["counts"] == 1
            maps.values[method] = np.stack([np.where(counts, values[metric.name], np.nan) for metric in metrics])
            maps.present[method] = present & counts
            others = [values_of[other, method][0] for other in cues if other != cue and (other, method) in values_of]
            if others:
                shown = [[values[metric.name] for metric in metrics] for values in others]
                maps.values[f"{ELSEWHERE} {method}"] = nan_mean(np.stack(shown), axis=0)
        every[cue] = maps
    return every


def _of(control: str, entry: Entry) -> str:
    return f"{ELSEWHERE} {entry.name}" if control == ELSEWHERE else control


def _layer_rows(
    maps: MapScores, entry: Entry, contrast: Compared, against: list[str], told: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that a method has maps of; `told` says whether there is evidence to be found."""
    for i, layer in enumerate(maps.layers):
        present = maps.present[entry.name][i]
        if not present.any():
            continue
        row: dict[str, Any] = {"layer": layer.name, "depth": layer.depth, "method": entry.name, "family": entry.family}
        row |= {"n_images": int(present.any(axis=0).sum()), "n_seeds": int(present.any(axis=1).sum())}
        row |= _numbers(contrast.layers[:, 0, :, i])
        row["undefined_share"] = float(np.isnan(maps.values[entry.name][0, i][present]).mean())
        for k, control in enumerate(against, 1):
            row |= _interval(f"minus_{control}", contrast.layers[:, k, 0, i])
            row[f"minus_{control}_n"] = int(contrast.counts[k, 0, i])
        beaten = [k for k, control in enumerate(against, 1) if control in (*BLIND, ELSEWHERE)]
        row["finds_it"] = told and ELSEWHERE in against and bool(contrast.apart(1)[beaten, 0, i].all())
        yield row


def _summary_rows(maps: MapScores, entry: Entry, contrast: Compared, against: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row of means over the layers, and one of the input, where a method has maps there."""
    present = np.asarray(maps.present[entry.name].any(axis=(1, 2)))
    for scope, mean in contrast.mean.items():
        layers = [
            i for i, layer in enumerate(maps.layers) if (layer.role == INPUT) == (scope == "input") and present[i]
        ]
        if not layers:
            continue
        gains = [(float(contrast.layers[0, 0, 0, i]), i) for i in layers if not np.isnan(contrast.layers[0, 0, 0, i])]
        best = max(gains)[1] if gains else None
        row: dict[str, Any] = {"scope": scope, "method": entry.name, "family": entry.family, "n_layers": len(layers)}
        held = maps.present[entry.name][layers]
        row |= {
            "n_images": int(held.any(axis=(0, 1)).sum()),
            "n_seeds": int(held.any(axis=(0, 2)).sum()),
        }
        row |= _numbers(mean[:, 0])
        row["best_layer"] = "" if best is None else maps.layers[best].name
        row |= _interval("best", contrast.layers[:, 0, 0, best] if best is not None else np.full(3, np.nan))
        for k, control in enumerate(against, 1):
            row |= _interval(f"minus_{control}", mean[:, k, 0])
            row[f"layers_above_{control}"] = int(np.asarray(contrast.apart(1))[k, 0, layers].sum())
        yield row


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Name estimates and bounds, (3, metrics)."""
    named = _interval("gain", values[:, 0]) | _interval("inside", values[:, 1])
    return named | {"area": float(values[0, 3])} | _interval("gain_animal", values[:, 2])


def _interval(name: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), map(float, values), strict=True))


def _ordered(rows: list[dict[str, Any]], methods: tuple[Entry, ...], cues: list[str], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame.assign(model=[], target=[])
    places = {entry.name: i for i, entry in enumerate(methods)}
    helped = frame.assign(_cue=frame["cue"].map(cues.index), _method=frame["method"].map(places))
    counts = [str(name) for name in frame if str(name).endswith("_n") or str(name).startswith("layers_above_")]
    return tidy(helped, keys).drop(columns=["_cue", "_method"]).astype(dict.fromkeys(counts, "Int64"))


_ABOUT = (
    "Energy gain of maps on the evidence: the pixels that change where the cue that decides the class is drawn the "
    "other way and nothing else is (of the coat, the whole of its patterned part). 0 is chance, 1 all energy on the "
    "evidence; upsampled maps of coarse layers cannot reach 1, and evidence_oracle, the evidence itself on each "
    "layer's grid, says what a perfect map scores there."
)
_PAIRED = (
    f"minus_: mean difference from a control, paired by layer, seed and image; {ELSEWHERE}: from the same method on "
    "the same pixels of the same images in the networks for which another cue decides, learned or not, so that what "
    "draws the eye whatever decides cancels. mask_oracle is the animal's true mask. gain_animal: energy gain on the "
    "whole animal."
)
_COLUMNS = (
    "By method and layer; inside: share of the energy on the evidence, area: share of the pixels; undefined_share "
    f"counts blank maps. {_PAIRED} finds_it: the animals are told apart, and the intervals of the differences from "
    f"{', '.join(BLIND)} and {ELSEWHERE} lie above zero, of {FEWEST} pairs or more."
)
_OVER_LAYERS = (
    "Means over the layers, each with the same weight; best_layer is chosen after the fact, so that its gain is an "
    "optimistic one; layers_above_ counts the layers where the interval of the difference lies above zero, of "
    f"{FEWEST} images or more. {_PAIRED}"
)
_LAYERS_READING = (
    "A panel for each cue that decides, rows are methods, columns layers; white is chance, blue is energy on the "
    "evidence. A dot: more than each control that knows neither network nor mask, and than the same method where "
    "another cue decides. Below the methods are controls."
)
_LAYERS = (
    "Energy gain on the evidence by method and layer, {model}, target: {target}. Dots are by the 95 % intervals of the "
    "paired differences from the Sobel image, a centred Gaussian and random maps, and from the method's own on the "
    "same pixels in the networks for which another cue decides."
)
_SCENE_READING = (
    "In each row another cue decides the class; beside the scene the same with this cue the other way. The line is "
    "around what changes. The brighter, the more of the map; bars: its energy gain on the evidence, 0 by chance."
)
_SCENE = (
    "The first test scene, {model}, target: {target}. It is drawn large for the eye: the networks see {size} px. Each "
    "map has its own scale: colours compare places within it. One scene shows what is measured, and settles nothing."
)


def _note(results: Results, networks: pd.DataFrame) -> str:
    """Say what the numbers are of."""
    variants = results.manifest.variants.values()
    images = sorted({variant.scored_images for variant in variants})
    few = sorted({variant.own_pass_images for variant in variants} - {0})
    text = (
        f"Drawn scenes, {_joined(images)} test images a cue, the same ones for all cues; trained on "
        f"{' / '.join(sorted(set(networks['training_data'])))}; seed {_joined(sorted(set(networks['seed'])))}. Means "
        "over the images that the network told right and whose maps are not blank, with 95 % intervals from 2000 "
        "resamples of images and seeds; one seed speaks of the images alone."
    )
    if few:
        text += f" Methods with passes of their own have maps of the first {_joined(few)} images."
    lost, none = networks[~networks["used"]], networks[networks["used"] & ~networks["told_apart"]]
    if len(lost):
        left_out = [f"{cue}, seed {seed}" for cue, seed in zip(lost["cue"], lost["seed"], strict=True)]
        text += f" Left out, since the animals were not told apart, or by other cues, too: {'; '.join(left_out)}."
    if len(none):
        text += f" Not told apart, and so no evidence of anything: {', '.join(dict.fromkeys(none['cue']))}."
    return text


def _joined(values: list[Any]) -> str:
    return ", ".join(map(str, values))
