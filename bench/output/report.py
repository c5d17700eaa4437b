"""What a run's files say: figures and tables drawn from them, a summary, how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

import analyses
from analyses.artifacts import Section, Table
from analyses.reading.records import INPUT, level_name
from analyses.report import build as page_of
from bench.output import drawing
from bench.output.store import MANIFEST, PAGE, Store
from bench.planning import profile as profiles
from bench.progress import working
from segcam.errors import InputError

WIDTH = 140
"""Columns where there is no terminal."""
SKIPPED = "tables/skipped.csv"
"""The table of methods that some layers have no maps of."""
DRAWN = (".csv", ".md", ".tex", ".png", ".svg", ".pdf")
"""Suffixes of what a report writes into tables/ and figures/."""
CAPTIONS = "captions.md"
LEFT_OUT = "left_out"
"""Where the manifest of what is published names the figures' files that are not."""
KINDS = "figures.kinds"
"""The setting that has all of them drawn."""
CLAIMS = "tables/claims.csv"
"""The table of the paper's claims."""


def console() -> Console:
    """Return the console for progress and summaries: wide enough for a table where there is no terminal."""
    found = Console(stderr=True)
    return found if found.is_terminal else Console(stderr=True, width=WIDTH)


def report(store: Store, console: Console, settings: list[str] | None = None) -> list[Path]:
    """Draw every figure and table of a run, and the page that shows them, from its files alone.

    Of what is published those files that it has: all kinds of each figure with 'figures.kinds' among the settings.

    Args:
        store: the run's folder.
        console: where progress is shown.
        settings: 'figures.key=value' each, in place of the run's own.

    Returns:
        The files written, of the page its index alone.

    Raises:
        InputError: there is no run in the folder, or photographs are wanted of one that was published without them.
    """
    if not store.has(MANIFEST):
        raise InputError(
            f"{store.out} holds no run ({MANIFEST} is missing): run all first, or name its folder with --out"
        )
    values = store.read_json(MANIFEST)
    chosen = figures(store, settings)
    if values.get("published") and chosen.photographs and not values["published"].get("photographs"):
        raise InputError(f"{store.out} was published without photographs: leave out --set figures.photographs")
    if settings:
        values["profile"]["figures"] = chosen.model_dump(mode="json")
        if any(setting.startswith(KINDS) for setting in settings):
            values.get("published", {}).pop(LEFT_OUT, None)
        store.write_json(MANIFEST, values)
    kept = drawing.Files(chosen.kinds, chosen.dpi, values.get("published", {}).get(LEFT_OUT, ()))
    names = list(analyses.find())
    if not any(entry["reached"] for entry in values["checkpoints"]):
        console.print("no level was reached, so there are no maps to draw", markup=False)
        names = ["levels"]
    with working(console, "drawing", len(names) + 1) as task:
        sections = drawing.draw_all(store.out, names, kept, lambda name: task.advance(1, name))
        page = page_of(analyses.Results(store.out), sections)
        written = write(store, sections)
        index, *others = [store.write(f"{PAGE}/{name}", data) for name, data in page]
        task.advance(1, "page")
    forget(store, [*written, index, *others])
    return [*written, index]


def forget(store: Store, written: Sequence[Path]) -> None:
    """Remove what a report of other settings wrote, and this one did not: it would not fit the rest."""
    for name in store.below("tables", "figures", PAGE):
        if store.path(name) not in written and (name.startswith(f"{PAGE}/") or name.endswith(DRAWN)):
            store.remove(name)


def write(store: Store, sections: Sequence[Section]) -> list[Path]:
    """Write the tables and figures of sections, and their captions."""
    written = files(store, sections)
    captions = (f"**{item.name}.** {item.caption}\n" for section in sections for item in section.items)
    return [*written, store.write(CAPTIONS, "\n".join(captions).encode())]


def figures(store: Store, settings: list[str] | None = None) -> profiles.Figures:
    """Return the settings of a run's figures, changed as asked.

    Raises:
        InputError: a setting is of another section, unknown or bad.
    """
    own = profiles.Figures.model_validate(store.read_json(MANIFEST)["profile"]["figures"])
    return profiles.figures(settings, own) if settings else own


def files(store: Store, sections: Sequence[Section]) -> list[Path]:
    """Write the tables and figures of sections."""
    written: list[Path] = []
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            held = {f"tables/{item.name}.{suffix}": text.encode() for suffix, text in item.files().items()}
        else:
            held = {f"figures/{item.name}.{suffix}": data for suffix, data in item.files.items()}
        written += [store.write(name, data) for name, data in held.items()]
    return written


def summary(store: Store) -> Printed:
    """Return the table of the run's checkpoints for the terminal."""
    values = store.read_json(MANIFEST)
    title = f"{values['profile']['name']}: trained on {values['dataset']['training_data']}"
    table = Printed(title=Text(title), box=box.SIMPLE)
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
    if not values["checkpoints"]:
        table.caption = "nothing is trained yet"
        return table
    for entry in values["checkpoints"]:
        base = f"{100 * entry['baseline_miou']:.1f} %"
        row = [entry["model"], str(entry["seed"]), level_name(entry["level"])]
        if entry["reached"]:
            row += [f"{100 * entry['miou']:.1f} %", base, f"{100 * entry['predicted_share']:.0f} % of images"]
            row += [str(entry["step"]), str(entry["images_seen"])]
        else:
            row += [f"not reached (nearest {100 * entry['nearest_miou']:.1f} %)", base, "", "", ""]
        table.add_row(*row)
    kinds = [(Path(name).name.partition("-")[0], cell["seconds"]) for name, cell in values["cells"].items()]
    seconds = {kind: sum(s for k, s in kinds if k == kind) for kind in ("train", "score")}
    studies = sum(s for k, s in kinds if k in values.get("studies", {}))
    table.caption = f"training took {seconds['train'] / 60:.1f} min, scoring {seconds['score'] / 60:.1f} min"
    table.caption += f", studies {studies / 60:.1f} min" if studies else ""
    return table


def verdicts(store: Store) -> Printed | None:
    """Return the table of the paper's claims and their verdicts for the terminal; None where none are drawn."""
    if not store.has(CLAIMS):
        return None
    rows = pd.read_csv(store.path(CLAIMS), keep_default_na=False)
    table = Printed(title="what the paper says, measured", box=box.SIMPLE)
    for name in ("claim", "the paper says", "verdict", "why", "images", "seeds"):
        table.add_column(name, justify="right" if name in ("images", "seeds") else "left", overflow="fold")
    looks = {"supported": "green", "contradicted": "red"}
    for claim, part in rows.groupby("claim", sort=True):
        first = part.iloc[0]
        verdict = Text(str(first["overall"]), style=looks.get(str(first["overall"]), ""))
        numbers = [_span(part[part["counts"].astype(str) == "True"][name]) for name in ("n_images", "n_seeds")]
        table.add_row(str(claim), Text(first["sentence"]), verdict, Text(first["overall_reason"]), *numbers)
    table.caption = f"contrasts, intervals and p-values: {CLAIMS}"
    return table


def _span(values: pd.Series) -> str:
    ends = sorted({int(values.min()), int(values.max())})
    return " to ".join(map(str, ends))


def gaps(store: Store) -> str:
    """Return the line on methods that some layers have no maps of; '' where there is nothing to say."""
    values = store.read_json(MANIFEST)
    skipped = values.get("skipped", [])
    if not skipped:
        return ""
    layers = {
        name: [layer["layer"] for layer in found if layer["role"] != INPUT] for name, found in values["layers"].items()
    }
    places = {
        (gap["model"], name) for gap in skipped for name in ([gap["layer"]] if gap["layer"] else layers[gap["model"]])
    }
    methods = {gap["method"] for gap in skipped}
    told = SKIPPED if store.has(SKIPPED) else f"'skipped' in {MANIFEST}"
    return f"{_count(len(methods), 'method')} skipped on {_count(len(places), 'layer')}: see {told}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def progress(store: Store) -> dict[str, Any]:
    """Return how many cells of a run are done, JSON-ready."""
    from segcam.models.weights.checkpoints import read_header  # noqa: PLC0415  (needs torch, which a report does not)

    values = store.read_json(MANIFEST)
    records = [Path(name).name for name in store.names("cells")]
    trained = sum(name.startswith("train-") and name.endswith(".json") for name in records)
    return {
        "profile": values["profile"]["name"],
        "trained": trained,
        "to_train": values["planned"]["train"],
        "training_now": {
            name.removesuffix(".safetensors"): read_header(store.path(f"cells/{name}"))["step"]
            for name in records
            if name.endswith(".safetensors")
        },
        "scored": sum(name.endswith(".json") and not name.startswith("train-") for name in records),
        "to_score": values["planned"]["score"],
        "tables": len(store.names("tables")),
        "figures": len(store.names("figures")),
    }
