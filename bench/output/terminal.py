"""What a run comes to, for the terminal: checkpoints, verdicts, gaps, how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyses import verdicts as worded
from analyses.reading.manifest import INPUT, Checkpoint, Manifest
from analyses.reading.states import NEGLIGIBLE, NOT_DISCRIMINATING, NOT_MEASURED, OPPOSITE, SUPPORTED, UNDECIDED
from bench.output import tables
from bench.output.store import INDEX, MANIFEST, PAGE, Store
from bench.progress import say

WIDTH = 140
"""Columns where there is no terminal."""
SKIPPED = "tables/skipped.csv"
"""The table of methods that some layers have no maps of."""
CLAIMS = "tables/claims.csv"
"""The table of the paper's claims."""
MIOU = "validation mean IoU"
COLUMNS = ("model", "seed", "level", MIOU, "all background", "any predicted", "step", "images seen")
"""Of the table of a run's checkpoints."""
SPARE = ("any predicted", "images seen", "all background", "step", "seed")
"""Those that a narrow terminal lacks, first to last."""
LOOKS = {
    SUPPORTED: "green",
    OPPOSITE: "red",
    NEGLIGIBLE: "blue",
    UNDECIDED: "yellow",
    NOT_DISCRIMINATING: "yellow",
    NOT_MEASURED: "dim",
}
"""The colours of verdicts."""


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
    """Say what came of a run; return whether trained networks reached all levels and most maps tell something.

    The verdicts stand last, then how many files there are, and the page's address.
    """
    to, store = console(), outcome.store
    if table := summary(store, to.width):
        to.print(table)
    if line := gaps(store):
        say(to, line)
    if outcome.blank:
        train = "" if _given(store.manifest()) else "train from train.initial_answer=random, or "
        say(
            to,
            f"BLANK MAPS, as the explained score is the last layer's bias alone: {'; '.join(outcome.blank)}; {train}"
            "explain other pixels, such as --set score.targets=['predicted:logit']",
        )
    if outcome.unreached:
        missed = "levels not reached: " + "; ".join(outcome.unreached)
        say(to, f"{missed}; the best checkpoint is kept and scored beside them, as 'best'")
    if outcome.written and (claims := verdicts(store)):
        to.print(claims)
    tell_files(to, store.out, outcome.written)
    return not outcome.unreached and (not outcome.mostly_blank or _given(store.manifest()))


def _given(manifest: Manifest) -> bool:
    """Return whether all networks were there already: there is no training to tell of, or to do otherwise."""
    return bool(manifest.checkpoints) and all(entry.name for entry in manifest.checkpoints)


def tell_files(to: Console, folder: Path, written: Sequence[Path]) -> None:
    """Say how many files a folder has of what was drawn, and last the page's address, in a line to click or copy."""
    if written:
        say(to, f"{counted(len(written), 'file')} in {folder}")
    for page in (folder / PAGE / INDEX, folder / INDEX):  # of a run, or of a site
        if page in written:
            say(to, page.resolve().as_uri())


def console() -> Console:
    """Return the console for progress and summaries: wide enough for a table where there is no terminal."""
    terminal = Console(stderr=True)
    return terminal if terminal.is_terminal else Console(stderr=True, width=WIDTH)


def teller(console: Console) -> Callable[[str], None]:
    """Return what prints a line as it is."""
    return lambda text: say(console, text)


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


def summary(store: Store, width: int) -> Table | None:
    """Return the table of the run's checkpoints for a terminal of some columns; None for a run of known evidence.

    In a narrow terminal columns are left out, rather than numbers cut.
    """
    values = store.manifest()
    if values.kind or _given(values):
        return None
    title = Text(f"{values.profile.get('name', store.out.name)}: trained on {values.dataset.training_data}")
    table = tables.plain(title)
    if not values.checkpoints:
        table.caption = "nothing is trained yet"
        return table
    rows = [_checkpoint(entry) for entry in values.checkpoints]
    widths = {name: max(len(word) for word in (*name.split(), *(row[name] for row in rows))) for name in COLUMNS}
    kept = list(COLUMNS)
    while sum(widths[name] + 2 for name in kept) - 2 > width and (spare := [name for name in SPARE if name in kept]):
        kept.remove(spare[0])
    for name in kept:
        table.add_column(name, justify="left" if name == "model" else "right", min_width=widths[name])
    if sum(widths[name] + 2 for name in kept) - 2 > width:
        table.columns[kept.index(MIOU)].min_width = None  # that no level was reached is said in words, which may wrap
    for row in rows:
        table.add_row(*(row[name] for name in kept))
    times = {name: cell.seconds / 60 for name, cell in values.cells.items()}
    training = sum(minutes for name, minutes in times.items() if Path(name).name.startswith("train-"))
    table.caption = f"training took {training:.1f} min, measuring {sum(times.values()) - training:.1f} min"
    return table


def _checkpoint(entry: Checkpoint) -> dict[str, str]:
    """Return a checkpoint's cells in the table of a run, by column."""
    row = dict.fromkeys(COLUMNS, "") | {"model": entry.model, "level": entry.label}
    if entry.name:
        return row | {MIOU: "given"}
    row |= {"seed": str(entry.seed), "all background": f"{100 * entry.baseline_miou:.1f} %"}
    if not entry.reached:
        return row | {MIOU: f"not reached (nearest {100 * entry.nearest_miou:.1f} %)"}
    return row | {
        MIOU: f"{100 * entry.miou:.1f} %",
        "any predicted": f"{100 * entry.predicted_share:.0f} %",
        "step": str(entry.step),
        "images seen": str(entry.images_seen),
    }


def verdicts(store: Store) -> Table | None:
    """Return the table of the paper's claims and their verdicts for the terminal; None where none are drawn."""
    if not store.has(CLAIMS):
        return None
    units = {name: metric.unit for name, metric in store.manifest().metrics.items()}
    every = worded.of_frame(pd.read_csv(store.path(CLAIMS), keep_default_na=False, na_values=[""]), units)
    table = tables.plain(Text("what the paper says, measured"))
    table.show_header = False
    table.add_column(min_width=max((len(verdict.claim) for verdict in every), default=0))
    table.add_column(min_width=max((len(verdict.state) for verdict in every), default=0))
    table.add_column(overflow="fold")
    for verdict in every:
        if verdict.state != NOT_MEASURED:
            text = Text(f"{verdict.sentence}\n")
            text.append(" ".join(part for part in (verdict.found, verdict.why) if part), "dim")
            table.add_row(verdict.claim, Text(verdict.state, LOOKS.get(verdict.state, "")), text)
    if missing := [verdict.claim for verdict in every if verdict.state == NOT_MEASURED]:
        text = Text(f"{', '.join(missing)}: {worded.STATES[NOT_MEASURED]}")
        table.add_row("", Text(NOT_MEASURED, LOOKS[NOT_MEASURED]), text)
    table.caption = Text(f"parts, intervals and caveats: {CLAIMS}")
    return table


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
