"""What the manifest says of a run, in the words of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from analyses.reading import captions
from analyses.reading.records import Checkpoint, level_name
from analyses.reading.results import Results


@dataclass(frozen=True)
class Facts:
    """A run's facts: pairs of a name and its text, and the rows of its checkpoints."""

    name: str
    summary: str
    note: str
    brief: list[tuple[str, str]]
    measured: list[tuple[str, str]]
    checkpoints: list[dict[str, str]]
    versions: list[tuple[str, str]]
    hardware: list[tuple[str, str]]
    redo: list[tuple[str, str]]
    settings: str


def of(results: Results) -> Facts:
    """Return the facts of a run, from its manifest alone."""
    manifest = results.manifest
    profile = dict(manifest.get("profile") or {})
    name = str(profile.get("name") or results.dataset)
    return Facts(
        name=name,
        summary=str(profile.get("summary") or ""),
        note=captions.note(results),
        brief=list(_brief(results)),
        measured=list(_measured(results)),
        checkpoints=[_checkpoint(results, point) for point in results.checkpoints],
        versions=_pairs(manifest.get("versions")),
        hardware=_pairs(manifest.get("hardware")),
        redo=[
            ("The run: save the settings below as run.toml", "python -m bench run all --profile run.toml"),
            ("This page, from the files of the run in the folder RUN", "python -m bench run report --out RUN"),
        ],
        settings=tomli_w.dumps(_without_none(profile)) if profile else "",
    )


def _brief(results: Results) -> Iterator[tuple[str, str]]:
    """Yield what a reader must know before any number."""
    data = results.section("dataset")
    size = f", {data['size']} px" if data.get("size") else ""
    yield "Data", f"{results.dataset}: {results.manifest.get('scored_images', 0)} test images scored{size}"
    if results.training_data:
        taught = " (masks predicted by another network among them)" if data.get("self_trained") else ""
        yield "Trained on", f"{results.training_data}{taught}"
    yield "Models", ", ".join(results.label("models", name) for name in results.models) or "none"
    yield "Seeds", ", ".join(map(str, results.seeds())) or "none"
    reached = sum(point.reached for point in results.checkpoints)
    yield "Checkpoints", f"{reached} of {len(results.checkpoints)} reached their level"
    controls = f" and {_count(results.controls, 'control')}" if results.controls else ""
    methods = tuple(name for name in results.methods if name not in results.controls)
    yield "Maps", f"{_count(methods, 'method')}{controls}, {_count(results.targets, 'target')}"


def _measured(results: Results) -> Iterator[tuple[str, str]]:
    manifest, data = results.manifest, results.section("dataset")
    yield "Data set", results.dataset
    yield "Source", str(data.get("source") or "")
    yield "Classes", ", ".join(results.classes)
    yield "Images", ", ".join(f"{number} {split}" for split, number in (data.get("splits") or {}).items())
    yield "Training masks", results.training_data
    yield "Digest of the data", str(data.get("digest") or "")
    yield "Border pixels", str(manifest.get("border") or "")
    for name in results.models:
        yield f"Model {results.label('models', name)}", _model(results.section("models")[name])
    yield "Targets", "; ".join(results.label("targets", name) for name in results.targets)
    yield "Metrics", ", ".join(metric.label for metric in results.metrics)
    yield "Choice of the gallery's images", results.gallery_rule
    yield "Choice of images for costly methods", str((manifest.get("costly") or {}).get("rule") or "")


def _model(entry: Mapping[str, Any]) -> str:
    parameters = entry.get("parameters")
    words = [
        str(entry.get("source") or ""),
        f"{parameters:,} parameters" if isinstance(parameters, int) else "",
        f"pretrained weights: {entry.get('pretrained') or 'none'}",
        f"taught by {entry['teacher']}" if entry.get("teacher") else "",
    ]
    return "; ".join(word for word in words if word)


def _checkpoint(results: Results, point: Checkpoint) -> dict[str, str]:
    return {
        "model": results.label("models", point.model),
        "seed": str(point.seed),
        "level": level_name(point.level),
        "reached": "yes" if point.reached else "no",
        "miou": _share(point.miou) if point.reached else f"nearest {_share(point.nearest_miou)}",
        "baseline": _share(point.baseline_miou),
        "steps": "" if point.step is None else f"{point.step:,}",
        "images": "" if point.images_seen is None else f"{point.images_seen:,}",
    }


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def _pairs(values: Any) -> list[tuple[str, str]]:
    pairs = (values or {}).items()
    return [(str(name).replace("_", " "), "none" if value is None else str(value)) for name, value in pairs]


def _count(names: tuple[str, ...], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _without_none(value: Any) -> Any:
    """Return settings without those that are none: TOML has no word for it."""
    if isinstance(value, dict):
        return {str(name): _without_none(entry) for name, entry in value.items() if entry is not None}
    return [_without_none(entry) for entry in value if entry is not None] if isinstance(value, list) else value
