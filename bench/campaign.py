"""The stage `evidence`: for each cue trains on scenes in which it decides, and measures which maps find it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from analyses.reading.files import GALLERY, folder
from analyses.reading.manifest import Manifest
from bench.measurements.evidence import MEASURED, ORACLE, REGIONS, SUMMARY, AnswerScorer
from bench.measurements.sizes import Columns
from bench.output import drawing
from bench.output import report as reports
from bench.output.store import MANIFEST, Store
from bench.planning import environment, manifest, plan
from bench.planning import profile as config
from bench.planning.asked import Gap, Instruments, methods_of
from bench.planning.cells import TrainCell
from bench.planning.profile import Profile
from bench.progress import working
from bench.run import Run
from segcam.datasets.drawn.cues import CUES
from segcam.datasets.scenes_cues import PREFIX, CueSplit
from segcam.errors import InputError

PROFILE = "evidence"
"""The profile that the stage runs unless told otherwise."""
KIND = "evidence"
"""What the manifest of such a run calls itself."""
TOLD = 0.9
"""Share of the test images whose animal a network must tell from the other one, so that its maps mean anything."""
SHOWN = 0
"""The test scene that the figure of examples shows: the first."""
MAPS, ANSWERS = folder("evidence"), folder("answers")
"""Folders of the tables: a row a map, and a row an image."""
_CODED = ("dataset", "model", "cue", "image", "target", "layer", "method")

Start = Callable[[Profile, Path], Run]
"""Opens a profile's data and prepares its run in a folder."""


@dataclass(frozen=True)
class Part:
    """One network and what of it is scored.

    Attributes:
        train: its training.
        level: its highest level.
        name: the part's name in file names.
        rows: numbers of the test scenes.
        costly: whether it is of methods that take passes of their own.
        id: hash of what defines the result.
    """

    train: TrainCell
    level: int
    name: str
    rows: tuple[int, ...]
    costly: bool
    id: str

    @property
    def record(self) -> str:
        """Return the file that says that the part is finished."""
        return f"cells/{KIND}-{self.name}-{self.id}.json"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the files that it makes: tables first."""
        beside = (f"{ANSWERS}/{self.name}.parquet", f"{GALLERY}/{self.name}.npz")
        return (f"{MAPS}/{self.name}.parquet", *(() if self.costly else beside))


def run(
    out: Path | None, wanted: str, settings: Sequence[str], start: Start, console: Console
) -> tuple[Store, list[Path]]:
    """Train, score and report; what is finished is not done again.

    Args:
        out: folder of the results, by default `runs/PROFILE`; each cue's run lies in a folder of its own in it.
        wanted: the profile's name or file; its data set is replaced by the one of each cue.
        settings: 'section.key=value' each.
        start: opens data and prepares a run.
        console: where progress is shown.

    Returns:
        The results, and the tables and figures written.

    Raises:
        InputError: a wrong profile, or a folder with a run of another kind or with other settings.
    """
    profiles = {cue: _profile(wanted, settings, cue) for cue in CUES}
    first = next(iter(profiles.values()))
    described = manifest.of_profile(first, len(CUES["shape"]) + 1)  # wrong names are told before anything is run
    store = Store(out or Path("runs") / first.name)
    if store.has(MANIFEST) and store.read_json(MANIFEST).get("kind") != KIND:
        raise InputError(f"{store.out} holds a run of another kind: choose another folder with --out")
    store.sweep()
    sections = ("schema", "profile", "versions", "models", "layers", "targets", "methods")
    head: dict[str, Any] = {"kind": KIND} | {key: described.written()[key] for key in sections}
    head["methods"] |= {ORACLE: {**head["methods"]["mask_oracle"], "label": "Evidence oracle", "summary": SUMMARY}}
    head["targets"] = {name: {**target, "class": None} for name, target in head["targets"].items()}  # each image's own
    if not store.has(MANIFEST):  # else it stays as it is until all goes well
        store.write_json(MANIFEST, Manifest.model_validate({**head, "variants": {}}).written())
    found: dict[str, Any] = {}
    for cue, profile in profiles.items():
        work = start(profile, store.out / cue)
        head["hardware"] = environment.hardware(work.device)
        work.train()
        found[cue] = _score(work, store, cue, console)
    store.write_json(MANIFEST, Manifest.model_validate({**head, "variants": found}).written())
    return store, _report(store, first.figures.dpi)


def summary(store: Store) -> Table:
    """Return the table of the networks for the terminal: what they tell apart, and what their answer follows."""
    table = Table(title="known evidence: animals told apart by one cue", box=box.SIMPLE)
    names = ("decides", "model", "seed", "images told", "mean IoU", *(f"changed by {cue}" for cue in CUES))
    for name in names:
        table.add_column(name, justify="left" if name in ("decides", "model") else "right")
    for cue, found in _networks(store):
        shares = [found["images_told"], found["miou"], *(found["changed_by"][other] for other in CUES)]
        table.add_row(cue, found["model"], str(found["seed"]), *(f"{100 * share:.0f} %" for share in shares))
    return table


def untold(store: Store) -> list[str]:
    """Return the networks that do not tell the animals apart, as 'context, unet, seed 0: 52 % of the images'."""
    return [
        f"{cue}, {found['model']}, seed {found['seed']}: {100 * found['images_told']:.0f} % of the images"
        for cue, found in _networks(store)
        if not found["told_apart"]
    ]


def learned(store: Store) -> bool:
    """Return whether for each cue some network tells the animals apart."""
    return {cue for cue, found in _networks(store) if found["told_apart"]} == set(CUES)


def _networks(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    for cue, variant in store.read_json(MANIFEST)["variants"].items():
        yield from ((cue, found) for found in variant["answers"])


def _profile(wanted: str, settings: Sequence[str], cue: str) -> Profile:
    if wrong := [setting for setting in settings if setting.strip().startswith("data.dataset")]:
        raise InputError(
            f"--set {wrong[0]}: the stage evidence runs its own data sets, {PREFIX}{f', {PREFIX}'.join(CUES)}"
        )
    profile = config.read(wanted, [*settings, f"data.dataset={PREFIX}{cue}"])
    if "mask_oracle" not in profile.score.methods:
        raise InputError(
            f"score.methods of profile {profile.name} lacks 'mask_oracle', with which evidence is compared"
        )
    return profile


def _score(work: Run, store: Store, cue: str, console: Console) -> dict[str, Any]:
    """Score the networks of one cue, and return what the manifest says of it."""
    parts = _parts(work, cue)
    _clear(store, cue, parts)
    left = [part for part in parts if not all(map(store.has, (part.record, *part.outputs)))]
    total, open_ = (sum(len(part.rows) for part in some) for some in (parts, left))
    with working(console, f"evidence, {cue}", total, total - open_) as task:
        for part in left:
            _score_part(work, store, cue, part, task.advance)
    told, skipped, seconds = list[dict[str, Any]](), set[tuple[str, ...]](), 0.0
    for part in parts:
        record = store.read_json(part.record)
        seconds += record["seconds"]
        skipped |= {tuple(gap.values()) for gap in record["skipped"]}
        if not part.costly:
            told.append({"model": part.train.model, "seed": part.train.seed, "level": part.level, **record["answers"]})
    info = work.data.opened.info
    trained = sum(work.store.read_json(cell.record)["seconds"] for cell in work.trainings.cells)
    return {
        "dataset": info.name,
        "classes": list(info.classes),
        "training_data": info.training_data,
        "scored_images": len(work.data.test),
        "costly_images": len(_costly(work)),
        "checkpoints": work.trainings.entries(),
        "answers": told,
        "skipped": [dict(zip(("layer", "method", "reason"), gap, strict=True)) for gap in sorted(skipped)],
        "seconds": {"scoring": seconds, "training": trained},
    }


def _clear(store: Store, cue: str, parts: Sequence[Part]) -> None:
    """Remove what other score settings left of a cue: records first, since new tables may have the old names."""
    wanted = {name for part in parts for name in (part.record, *part.outputs)}
    for place, start in (("cells", f"{KIND}-{cue}-"), *((place, f"{cue}-") for place in (MAPS, ANSWERS, GALLERY))):
        for name in store.names(place):
            if Path(name).name.startswith(start) and name not in wanted:
                store.remove(name)


def _parts(work: Run, cue: str) -> list[Part]:
    parts = []
    settings = work.profile.score.model_dump(mode="json", exclude={"batch_size", "shard"})
    for cell, levels in work.trainings.weights().items():
        if not levels:
            raise InputError(f"no level of {cell.name} was reached in {work.store.out}: add 'best' to train.levels")
        level = max(levels)
        for costly, rows in ((False, tuple(range(len(work.data.test)))), (True, _costly(work))):
            if rows:
                name = f"{cue}-{cell.name}-l{level}" + ("-costly" if costly else "")
                hashed = plan.identity(cell.id, level, levels[level], KIND, list(MEASURED), REGIONS, settings, rows)
                parts.append(Part(cell, level, name, rows, costly, hashed))
    return parts


def _costly(work: Run) -> tuple[int, ...]:
    """Return the first test scenes, for methods with passes of their own: of eight, each has other traits."""
    asked = any(method.costly for method in methods_of(work.profile.score))
    return tuple(range(min(work.profile.score.costly_images, len(work.data.test)))) if asked else ()


def _score_part(work: Run, store: Store, cue: str, part: Part, advance: Callable[[int, str], None]) -> None:
    started, gaps = time.monotonic(), set[Gap]()
    model = work.trainings.network(part.train, part.level)
    score = work.profile.score
    tools = Instruments.of(score, part.train.model, model)
    scorer = AnswerScorer(model, tools, score, cue, work.profile.data.border)
    images = work.data.test
    assert isinstance(images, CueSplit)  # the data set is one of the stage's own
    keys = {**work.scorings.keys(part.train, part.level), "cue": cue}
    record: dict[str, Any] = {"level": part.level, "images": len(part.rows)}
    if part.costly:
        # A scene counts as done with its last map, so that the bar is in scenes for both parts.
        tables: tuple[Columns, ...] = (
            scorer.score_costly(images, part.rows, keys, lambda _, name: advance(0, name), gaps.add),
        )
        advance(len(part.rows), part.name)
    else:
        tables = scorer.score(images, part.rows, keys, lambda done: advance(done, part.name), gaps.add)
        record["answers"] = _summary(tables[1], len(work.data.opened.info.classes))
        gaps |= set(tools.gaps)
        store.write(part.outputs[-1], scorer.shown(images, SHOWN))
    for name, columns in zip(part.outputs[: len(tables)], tables, strict=True):
        store.write_table(name, columns, keys=[key for key in _CODED if key in columns])
    record["skipped"] = [asdict(gap) for gap in sorted(gaps)]
    store.write_json(part.record, record | {"seconds": time.monotonic() - started})


def _summary(answers: Columns, classes: int) -> dict[str, Any]:
    """Return how well a network tells the animals apart, and what its answer follows."""
    counts = np.array([[answers[f"n_{i}_{j}"].sum() for j in range(classes)] for i in range(classes)], dtype=float)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    told = float(answers["told"].mean())
    return {
        "images_told": told,
        "pixels_told": float(answers["right_share"].mean()),
        "told_apart": told >= TOLD,
        "miou": float((counts.diagonal() / union).mean()),
        "changed_by": {cue: float(answers[f"changed_by_{cue}"].mean()) for cue in CUES},
    }


def _report(store: Store, dpi: int) -> list[Path]:
    """Draw the figure and the tables from the files alone."""
    written = reports.write(store, [drawing.draw(store.out, "known_evidence", drawing.Files(("png", "svg"), dpi))])
    reports.forget(store, written)
    return written
