"""The stage `evidence`: for each cue trains on scenes in which it decides, and measures which maps find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.table import Table
from rich.text import Text

from analyses.reading.manifest import File, Manifest
from analyses.trust.evidence.networks import FLIPS, STAYS, uses_cue
from bench.measurements.evidence import OWN_PASSES
from bench.measurements.material.scene_batch import ORACLE, SUMMARY
from bench.measuring import Measuring
from bench.output import report as reports
from bench.output import tables
from bench.output.store import MANIFEST, Store
from bench.planning import environment, manifest
from bench.planning import profile as config
from bench.planning.profile import Profile
from bench.progress import Whole, expecting
from bench.run import Run
from segcam.datasets.drawn.cues import CUES
from segcam.datasets.scenes_cues import PREFIX
from segcam.errors import InputError
from segcam.scoring.miou import mean_iou

PROFILE = "evidence"
"""The profile that the stage runs unless told otherwise."""
KIND = "evidence"
"""What the manifest of such a run calls itself."""
TOLD = 0.9
"""Share of the test images whose animal a network must tell from the other one, so that its maps mean anything."""
Start = Callable[[Profile, Path], AbstractContextManager[Run]]
"""Opens a profile's data and prepares its run in a folder."""


def profiles_of(name_or_file: str, settings: Sequence[str]) -> dict[str, Profile]:
    """Return the profile of each cue, whose data set replaces the profile's own.

    Raises:
        InputError: a wrong profile.
    """
    return {cue: _profile(name_or_file, settings, cue) for cue in CUES}


def run(store: Store, profiles: Mapping[str, Profile], start: Start) -> list[Path]:
    """Train, score and report; what is finished is not done again.

    Args:
        store: the results, which nobody else writes; each cue's run lies in a folder of its own in it.
        profiles: of the cues.
        start: opens data and prepares a run.

    Returns:
        The tables and figures written.

    Raises:
        InputError: a wrong profile, or a folder with a run of another kind or with other settings.
    """
    first = next(iter(profiles.values()))
    described = manifest.of_profile(first, len(CUES["shape"]) + 1)  # wrong names are told before anything is run
    sections = ("profile", "versions", "models", "layers", "targets", "methods", "metrics")
    head: dict[str, Any] = {"kind": KIND} | {key: described.values()[key] for key in sections}
    head["methods"] |= {ORACLE: {**head["methods"]["mask_oracle"], "label": "Evidence oracle", "summary": SUMMARY}}
    head["targets"] = {name: {**target, "class": None} for name, target in head["targets"].items()}  # each image's own
    if store.path(MANIFEST).exists():  # it stays as it is until all goes well
        before = store.manifest()
        if before.kind != KIND:
            raise InputError(f"{store.out} holds a run of another kind: choose another folder with --out")
    else:
        store.write(MANIFEST, Manifest.model_validate({**head, "variants": {}, "files": {}}).written())
    variants: dict[str, Any] = {}
    files: dict[str, File] = {}
    for turn, (cue, profile) in enumerate(profiles.items()):
        with start(profile, store.out / cue) as work:
            head["hardware"] = environment.hardware(work.device)
            (view,) = work.views
            measuring = work.measuring_of(view, KIND, f"{cue}-", store)
            with expecting(Whole([*work.trainings.pieces(), *measuring.pieces()], turn, len(profiles))):
                work.train()
                work.ask([measuring], prefix=measuring.prefix)
                variants[cue] = _score(work, measuring)
            files |= {name: file for _, record in measuring.records() for name, file in record.files.items()}
    store.write(MANIFEST, Manifest.model_validate({**head, "variants": variants, "files": files}).written())
    return reports.known_evidence(store, first.figures)


def summary(store: Store) -> Table:
    """Return the table of the networks for the terminal: what they tell apart, and what their answer follows."""
    table = tables.plain(Text("known evidence: animals told apart by one cue"))
    for name in ("decides", "seed", "told", "flips", "other", "used"):
        table.add_column(name, justify="left" if name == "decides" else "right", min_width=len(name))
    used = []
    for cue, network in _networks(store):
        changed = network["changed_by"]
        used.append(uses_cue(cue, changed))
        shares = (network["images_told"], changed[cue], max(changed[other] for other in CUES if other != cue))
        cells = [f"{100 * share:.0f} %" for share in shares]
        table.add_row(cue, str(network["seed"]), *cells, Text("yes") if used[-1] else Text("no", "red"))
    table.caption = (
        "told: test scenes whose animal the network tells; flips: answers that change with the cue that decides; "
        f"other: with another cue, at most. {sum(used)} of {len(used)} networks use their cue: it flips "
        f"{100 * FLIPS:.0f} % or more, no other more than {100 * STAYS:.0f} %"
    )
    return table


def untold(store: Store) -> list[str]:
    """Return the networks that do not tell the animals apart, as 'context, unet, seed 0: 52 % of the images'."""
    return [
        f"{cue}, {network['model']}, seed {network['seed']}: {100 * network['images_told']:.0f} % of the images"
        for cue, network in _networks(store)
        if not network["told_apart"]
    ]


def learned(store: Store) -> bool:
    """Return whether for each cue some network tells the animals apart."""
    return {cue for cue, network in _networks(store) if network["told_apart"]} == set(CUES)


def _networks(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    for cue, variant in store.manifest().variants.items():
        yield from ((cue, network) for network in variant.answers)


def _profile(name_or_file: str, settings: Sequence[str], cue: str) -> Profile:
    if wrong := [setting for setting in settings if setting.strip().startswith("data.dataset")]:
        raise InputError(
            f"--set {wrong[0]}: the stage evidence runs its own data sets, {PREFIX}{f', {PREFIX}'.join(CUES)}"
        )
    profile = config.read(name_or_file, [*settings, f"data.dataset={PREFIX}{cue}"])
    if "mask_oracle" not in profile.score.methods:
        raise InputError(
            f"score.methods of profile {profile.name} lacks 'mask_oracle', with which evidence is compared"
        )
    return profile


def _score(work: Run, measuring: Measuring) -> dict[str, Any]:
    """Score the networks of one cue, and return what the manifest says of it."""
    measuring.run()
    records = measuring.records()
    info = work.data.opened.info
    answers = [
        {"model": cell.train.model, "seed": cell.train.seed, "level": cell.level}
        | _summary(pd.read_parquet(measuring.store.path(cell.file("answers"))), len(info.classes))
        for cell, _ in records
        if cell.measurement == KIND and cell.part != OWN_PASSES
    ]
    gaps = {(gap.layer, gap.method, gap.reason) for _, record in records for gap in record.skipped}
    trained = sum(work.trainings.record(cell).seconds for cell in work.trainings.cells)
    return {
        "dataset": info.name,
        "classes": list(info.classes),
        "training_data": info.training_data,
        "scored_images": len(work.data.test),
        "own_pass_images": max((len(cell.rows) for cell, _ in records if cell.part == OWN_PASSES), default=0),
        "checkpoints": work.trainings.entries(),
        "answers": answers,
        "skipped": [dict(zip(("layer", "method", "reason"), gap, strict=True)) for gap in sorted(gaps)],
        "seconds": {"scoring": sum(record.seconds for _, record in records), "training": trained},
    }


def _summary(answers: pd.DataFrame, classes: int) -> dict[str, Any]:
    """Return how well a network tells the animals apart, and what its answer follows."""
    counts = torch.tensor([[int(answers[f"n_{i}_{j}"].sum()) for j in range(classes)] for i in range(classes)])
    images_told = float(answers["told"].mean())
    return {
        "images_told": images_told,
        "pixels_told": float(answers["right_share"].mean()),
        "told_apart": images_told >= TOLD,
        "miou": mean_iou(counts),
        "changed_by": {cue: float(answers[f"changed_by_{cue}"].mean()) for cue in CUES},
    }
