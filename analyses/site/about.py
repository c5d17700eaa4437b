"""The facts of studies that are no runs, for their pages: known evidence, and timings."""

from __future__ import annotations

from analyses.reading.manifest import Manifest
from analyses.reading.timings import Timings
from analyses.report.facts import Facts, pairs, settings
from analyses.timing import PEERS


def of_evidence(manifest: Manifest) -> Facts:
    """Return the facts of a run of known evidence."""
    profile, cues = manifest.profile, manifest.variants
    side = profile.get("data", {}).get("size", "?")
    return Facts(
        name=str(profile.get("name") or manifest.kind),
        title="Which maps find evidence that is known",
        summary=str(profile.get("summary") or "").rstrip("."),
        note="",
        brief=[
            ("Data", f"drawn scenes of {side} px; one cue decides the class, and its pixels are known"),
            ("Cues, a network each", "; ".join(f"{cue}: {' or '.join(one.classes[1:])}" for cue, one in cues.items())),
            ("Models", ", ".join(model.label for model in manifest.models.values())),
            ("Images", ", ".join(f"{one.scored_images} ({cue})" for cue, one in cues.items())),
            ("Maps", f"{len(manifest.methods)} methods, controls among them"),
        ],
        measured=[
            *((f"Model {model.label}", model.source) for model in manifest.models.values()),
            ("Targets", "; ".join(target.label for target in manifest.targets.values())),
        ],
        checkpoints=[],
        versions=pairs(manifest.versions),
        hardware=pairs(manifest.hardware),
        redo=[("The run", "python -m bench run evidence")],
        settings=settings(profile),
        trained=False,
    )


def of_timings(timings: Timings, name: str) -> Facts:
    """Return the facts of timings; `name` is what the page calls them."""
    peers = [f"{name} {timings.versions[name]}" for name in PEERS if name in timings.versions]
    return Facts(
        name=name,
        title="What segcam takes beside other tools",
        summary="time and memory of the same maps, both tools in turns on one machine",
        note="",
        brief=[
            ("Compared with", ", ".join(peers)),
            ("Cases", str(len({row["case"] for row in timings.rows}))),
            ("Machine", f"{timings.hardware['processor']}, {timings.hardware['threads']} threads"),
        ],
        measured=[],
        checkpoints=[],
        versions=pairs(timings.versions),
        hardware=pairs({key: value for key, value in timings.hardware.items() if value is not None}),
        redo=[("The timings", "python -m bench run timing")],
        settings="",
        trained=False,
    )
