"""What a run comes to, for the terminal: checkpoints, verdicts, gaps, how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyses.reading.manifest import INPUT, Manifest
from bench.output.store import INDEX, MANIFEST, PAGE, Store

WIDTH = 140
"""Columns where there is no terminal."""
SKIPPED = "tables/skipped.csv"
"""The table of methods that some layers have no maps of."""
CLAIMS = "tables/claims.csv"
"""The table of the paper's claims."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        store: its folder.
        written: the tables and figures written.
        unreached: the levels that were not reached.
        blank: the targets whose maps are blank in some images, since their score is a bias alone.
        mostly_blank: whether it is so in most images of one.
    """

    store: Store
    written: list[Path]
    unreached: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    mostly_blank: bool = False


def told(outcome: Outcome) -> bool:
    """Say what came of a run; return whether trained networks reached all levels and most maps tell something."""
    to, store = console(), outcome.store
    if table := summary(store):
        to.print(table)
    if line := gaps(store):
        to.print(line, markup=False, highlight=False)
    if outcome.written and (claims := verdicts(store)):
        to.print(claims)
    if outcome.blank:
        train = "" if _given(store.manifest()) else "train from train.initial_answer=random, or "
        to.print(
            f"BLANK MAPS, as the explained score is the last layer's bias alone: {'; '.join(outcome.blank)}; {train}"
            "explain other pixels, such as --set score.targets=['predicted:logit']",
            markup=False,
        )
    if outcome.unreached:
        missed = "levels not reached: " + "; ".join(outcome.unreached)
        to.print(f"{missed}; the best checkpoint is kept and scored beside them, as 'best'", markup=False)
    tell_files(to, store.out, outcome.written)
    return not outcome.unreached and (not outcome.mostly_blank or _given(store.manifest()))


def _given(manifest: Manifest) -> bool:
    """Return whether all networks were there already: there is no training to tell of, or to do otherwise."""
    return bool(manifest.checkpoints) and all(entry.name for entry in manifest.checkpoints)


def tell_files(to: Console, folder: Path, written: Sequence[Path]) -> None:
    """Say how many files were written to a folder, and last where its page is, in one line to click or copy."""
    if written:
        to.print(f"{counted(len(written), 'file')} in {folder}", markup=False, highlight=False, soft_wrap=True)
    for page in written:
        if page == folder / PAGE / INDEX:
            to.print(str(page), markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Return the console for progress and summaries: wide enough for a table where there is no terminal."""
    terminal = Console(stderr=True)
    return terminal if terminal.is_terminal else Console(stderr=True, width=WIDTH)


def teller(console: Console) -> Callable[[str], None]:
    """Return what prints a line as it is."""
    return lambda text: console.print(text, markup=False, highlight=False)


def on_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def may_drop(*, yes: bool) -> Callable[[str], bool]:
    """Return what asks, on a terminal, whether what a folder holds may be dropped; elsewhere `--yes` alone says so."""

    def ask(what: str) -> bool:
        if yes or not on_terminal():
            return yes
        return typer.confirm(f"{what}: drop it?", err=True)

    return ask


def summary(store: Store) -> Table | None:
    """Return the table of the run's checkpoints for the terminal; None for a run of known evidence."""
    values = store.manifest()
    if values.kind:
        return None
    if _given(values):
        return None
    title = f"{values.profile.get('name', store.out.name)}: trained on {values.dataset.training_data}"
    table = Table(title=Text(title), box=box.SIMPLE)
    for name in (
        "model",
        "seed",
        "level",
        "validation mean IoU",
        "all background",
        "any predicted",
        "step",
        "images seen",
    ):
        table.add_column(name, justify="left" if name == "model" else "right")
    if not values.checkpoints:
        table.caption = "nothing is trained yet"
        return table
    for entry in values.checkpoints:
        if entry.name:
            table.add_row(entry.model, "", entry.label, *["given"], *[""] * 4)
            continue
        base = f"{100 * entry.baseline_miou:.1f} %"
        row = [entry.model, str(entry.seed), entry.label]
        if entry.reached:
            row += [f"{100 * entry.miou:.1f} %", base, f"{100 * entry.predicted_share:.0f} % of images"]
            row += [str(entry.step), str(entry.images_seen)]
        else:
            row += [f"not reached (nearest {100 * entry.nearest_miou:.1f} %)", base, "", "", ""]
        table.add_row(*row)
    times = {name: cell.seconds / 60 for name, cell in values.cells.items()}
    training = sum(minutes for name, minutes in times.items() if Path(name).name.startswith("train-"))
    table.caption = f"training took {training:.1f} min, measuring {sum(times.values()) - training:.1f} min"
    return table


def verdicts(store: Store) -> Table | None:
    """Return the table of the paper's claims and their verdicts for the terminal; None where none are drawn."""
    if not store.has(CLAIMS):
        return None
    rows = pd.read_csv(store.path(CLAIMS), keep_default_na=False)
    table = Table(title="what the paper says, measured", box=box.SIMPLE)
    for name in ("claim", "the paper says", "verdict", "why", "images", "seeds"):
        table.add_column(name, justify="right" if name in ("images", "seeds") else "left", overflow="fold")
    looks = {"supported": "green", "contradicted": "red"}
    for claim, contrasts in rows.groupby("claim", sort=True):
        first = contrasts.iloc[0]
        verdict = Text(str(first["overall"]), style=looks.get(str(first["overall"]), ""))
        numbers = [
            _span(contrasts[contrasts["counts"].astype(str) == "True"][name]) for name in ("n_images", "n_seeds")
        ]
        table.add_row(str(claim), Text(first["sentence"]), verdict, Text(first["overall_reason"]), *numbers)
    table.caption = f"contrasts, intervals and p-values: {CLAIMS}"
    return table


def _span(values: pd.Series) -> str:
    ends = sorted({int(values.min()), int(values.max())})
    return " to ".join(map(str, ends))


def gaps(store: Store) -> str:
    """Return the line on methods that some layers have no maps of; '' where there is nothing to say."""
    values = store.manifest()
    if not values.skipped:
        return ""
    layers = {name: [layer.name for layer in layers if layer.role != INPUT] for name, layers in values.layers.items()}
    places = {(gap.model, name) for gap in values.skipped for name in ([gap.layer] if gap.layer else layers[gap.model])}
    methods = {gap.method for gap in values.skipped}
    source = SKIPPED if store.has(SKIPPED) else f"'skipped' in {MANIFEST}"
    return f"{counted(len(methods), 'method')} skipped on {counted(len(places), 'layer')}: see {source}"


def counted(number: int, what: str) -> str:
    """Return a number with what it is of, as in print.

    >>> counted(1, "file"), counted(2, "file")
    ('1 file', '2 files')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def progress(store: Store) -> dict[str, Any]:
    """Return how many cells of a run are done, JSON-ready."""
    from segcam.models.weights.checkpoints import read_header  # noqa: PLC0415  (needs torch, which a report does not)

    values = store.manifest()
    records = [Path(name).name for name in store.names("cells")]
    trained = sum(name.startswith("train-") and name.endswith(".json") for name in records)
    return {
        "profile": values.profile.get("name", store.out.name),
        "trained": trained,
        "to_train": values.planned.train,
        "training_now": {
            name.removesuffix(".safetensors"): read_header(store.path(f"cells/{name}"), needs=("step",))["step"]
            for name in records
            if name.startswith("train-") and name.endswith(".safetensors")
        },
        "scored": sum(name.endswith(".json") and not name.startswith("train-") for name in records),
        "to_score": values.planned.score,
        "tables": len(store.names("tables")),
        "figures": len(store.names("figures")),
    }
