"""What the manifest says of a run, in the words of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from analyses.reading import captions
from analyses.reading.manifest import Checkpoint, Model
from analyses.reading.results import Results

MOST_NAMED = 4
"""Networks that a title names one by one."""


@dataclass(frozen=True)
class Facts:
    """A run's facts: pairs of a name and its text, and the rows of its checkpoints."""

    name: str
    title: str
    summary: str
    note: str
    brief: list[tuple[str, str]]
    measured: list[tuple[str, str]]
    checkpoints: list[dict[str, str]]
    versions: list[tuple[str, str]]
    hardware: list[tuple[str, str]]
    redo: list[tuple[str, str]]
    settings: str
    trained: bool


def of(results: Results) -> Facts:
    """Return the facts of a run, from its manifest alone."""
    manifest = results.manifest
    profile = manifest.profile
    name = str(profile.get("name") or manifest.dataset.name)
    return Facts(
        name=name,
        title=_title(results),
        summary=str(profile.get("summary") or "").rstrip("."),
        note=captions.note(results),
        brief=list(_brief(results)),
        measured=list(_measured(results)),
        checkpoints=[_checkpoint(results, point) for point in results.checkpoints],
        versions=pairs(manifest.versions),
        hardware=pairs(manifest.hardware),
        redo=[
            ("The run: save the settings below as run.toml", "python -m bench run all --profile run.toml"),
            ("This page, from the files of the run in the folder RUN", "python -m bench run report --out RUN"),
        ],
        settings=settings(profile),
        trained=bool(results.trained) or not results.models,
    )


def _title(results: Results) -> str:
    """Return what a run is about, in a line."""
    names = [results.label("models", name) for name in results.models]
    if not names:
        return "What was measured"
    if len(names) > MOST_NAMED:
        return f"What {len(names)} networks look at"
    named = " and ".join([*filter(None, [", ".join(names[:-1])]), names[-1]])
    return f"What {named} {'look' if names[1:] else 'looks'} at"


def classes(results: Results) -> list[tuple[str, str]]:
    """Return the classes that a run explains, each with the address of its page from this one; '' for this one."""
    if results.view is None:
        return []
    up = "../" * (1 + len([part for part in results.view.folder.split("/") if part]))
    return [
        (view.label, "" if view == results.view else f"{up}{view.folder + '/' if view.folder else ''}report/index.html")
        for view in results.manifest.views
    ]


def _brief(results: Results) -> Iterator[tuple[str, str]]:
    """Yield what a reader must know before any number."""
    data = results.manifest.dataset
    yield "Data", f"{data.name}: {results.manifest.scored_images} test images scored, {data.size} px"
    if data.training_data and results.trained:
        taught = " (masks predicted by another network among them)" if data.self_trained else ""
        yield "Trained on", f"{data.training_data}{taught}"
    yield "Models", ", ".join(results.label("models", name) for name in results.models) or "none"
    if results.trained or not results.models:
        yield "Seeds", ", ".join(map(str, results.seeds())) or "none"
    if not data.masked:
        yield "Masks", "none: what each network predicts stands for them"
    reached = sum(point.reached for point in results.checkpoints)
    if results.trained:
        yield "Checkpoints", f"{reached} of {len(results.checkpoints)} reached their level"
    else:
        yield "Weights", ", ".join(dict.fromkeys(point.label for point in results.checkpoints))
    controls = f" and {_count(results.controls, 'control')}" if results.controls else ""
    methods = tuple(name for name in results.methods if name not in results.controls)
    yield "Maps", f"{_count(methods, 'method')}{controls}, {_count(results.targets, 'target')}"


def _measured(results: Results) -> Iterator[tuple[str, str]]:
    manifest, data = results.manifest, results.manifest.dataset
    yield "Data set", data.name
    yield "Source", data.source
    yield "Classes", ", ".join(results.classes)
    yield "Images", ", ".join(f"{number} {split}" for split, number in data.splits.items())
    yield "Training masks", data.training_data
    yield "Digest of the data", data.digest
    yield "Border pixels", manifest.border
    for name in results.models:
        yield f"Model {results.label('models', name)}", _model(manifest.models[name])
    yield "Targets", "; ".join(results.label("targets", name) for name in results.targets)
    yield "Metrics", ", ".join(metric.label for metric in results.metrics)
    yield "Choice of the gallery's images", manifest.gallery.rule
    yield "Choice of images for methods with passes of their own", manifest.own_passes.rule


def _model(model: Model) -> str:
    taught = f"; taught by {model.teacher}" if model.teacher else ""
    return f"{model.source}; {model.parameters:,} parameters; pretrained weights: {model.pretrained}{taught}"


def _checkpoint(results: Results, point: Checkpoint) -> dict[str, str]:
    return {
        "model": results.label("models", point.model),
        "seed": str(point.seed),
        "level": point.label,
        "reached": "yes" if point.reached else "no",
        "miou": _share(point.miou) if point.reached else f"nearest {_share(point.nearest_miou)}",
        "baseline": _share(point.baseline_miou),
        "steps": "" if point.step is None else f"{point.step:,}",
        "images": "" if point.images_seen is None else f"{point.images_seen:,}",
    }


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def settings(profile: Mapping[str, Any]) -> str:
    """Return the settings of a run as TOML; '' where there are none."""
    return tomli_w.dumps(_without_none(profile)) if profile else ""


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values in words."""
    return [(name.replace("_", " "), "none" if value is None else str(value)) for name, value in values.items()]


def _count(names: tuple[str, ...], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _without_none(value: Any) -> Any:
    """Return settings without those that are none: TOML has no word for it."""
    if isinstance(value, dict):
        return {str(name): _without_none(entry) for name, entry in value.items() if entry is not None}
    return [_without_none(entry) for entry in value if entry is not None] if isinstance(value, list) else value
