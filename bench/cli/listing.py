"""What `bench list` shows: rows, each with a name; of the library's own they need torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

from bench.cli import remembered
from segcam.errors import unknown
from segcam.model_names import parsed

ListRow = dict[str, Any]


def profiles() -> list[ListRow]:
    """Return the profiles that come with the package."""
    from bench.planning import shipped

    return [{"name": name, "summary": summary} for name, summary in shipped.profiles().items()]


def analyses() -> list[ListRow]:
    """Return the analyses."""
    import analyses as package

    return [{"name": name, "question": package.question(name)} for name in package.names()]


def models() -> list[ListRow]:
    """Return the networks that a profile can train."""
    from segcam.models import MODELS

    return [
        {
            "name": m.name,
            "variants": f"{m.name}:{m.variant.upper()}" if m.variant else "",
            "summary": m.summary,
            "parameters": dict(m.defaults),
            "source": m.source,
        }
        for m in MODELS
    ]


def layers(model: str) -> list[ListRow]:
    """Return the layers of a network that can be probed.

    Raises:
        InputError: an unknown network.
    """
    from segcam.models import architecture, create
    from segcam.probe.layers import POINTS

    network = create(model, 2)
    points = [layer for point in POINTS for layer in architecture(model).layers(network, point)]
    columns = ("label", "stage", "depth", "role", "stride", "point", "form", "module")
    return [{"name": model, **{column: getattr(layer, column) for column in columns}} for layer in points]


def methods() -> list[ListRow]:
    """Return the methods that make maps."""
    from bench.planning import manifest
    from segcam.methods import METHODS

    return [{"name": m.name, **manifest.of_method(m).model_dump()} for m in METHODS]


def metrics() -> list[ListRow]:
    """Return the metrics, of maps and of attention."""
    from segcam.metrics import METRICS
    from segcam.metrics.attention import ATTENTION_METRICS

    columns = ("label", "summary", "direction", "lower", "upper", "chance", "unit", "source")
    tables = [("scores", m) for m in METRICS] + [("attention", m) for m in ATTENTION_METRICS]
    made = cards()
    cells, of_metrics = made["cells"], made["metrics"]
    return [
        {
            "name": m.name,
            "table": table,
            **{column: getattr(m, column) for column in columns},
            "card": {"cells": cells, **of_metrics[m.name]} if m.name in of_metrics else {},
        }
        for table, m in tables
    ]


def cards() -> dict[str, Any]:
    """Return the evaluation cards of the metrics that come with segcam; `tests.docs.cards` makes the file."""
    made: dict[str, Any] = json.loads((files("segcam") / "metrics" / "cards.json").read_text(encoding="utf-8"))
    return made


def datasets() -> list[ListRow]:
    """Return the data sets."""
    from segcam.datasets import DATASETS

    return [{"name": d.name, "needs --data-root": d.needs_root, "summary": d.summary} for d in DATASETS]


LISTS: dict[str, Callable[[], list[ListRow]]] = {
    "models": models,
    "methods": methods,
    "metrics": metrics,
    "datasets": datasets,
    "profiles": profiles,
    "analyses": analyses,
}
"""The lists by kind, but for layers, which are of a network."""
LIGHT = ("profiles", "analyses")
"""Lists that need no torch."""


def rows_of(kind: str) -> list[ListRow]:
    """Return the rows of a list."""
    return LISTS[kind]() if kind in LIGHT else remembered.rows(kind, LISTS[kind])


def one(kind: str, name: str) -> ListRow:
    """Return the row of one name.

    Raises:
        InputError: there is none; names the nearest.
    """
    rows = {row["name"]: row for row in rows_of(kind)}
    base = parsed(name).family if kind == "models" else name  # segformer:b1 is a variant of segformer
    if base not in rows or (":" in name and not rows[base]["variants"]):
        raise unknown({"analyses": "analysis"}.get(kind, kind.removesuffix("s")), name, rows)
    return rows[base]


def line(kind: str, row: ListRow) -> tuple[str, ...]:
    """Return a row in a line: what may be copied, and last what may be cut."""
    if kind == "layers":
        form = f", {row['form']}" if row["form"] else ""
        return row["label"], row["module"], f"{row['role']}, stride {row['stride']}, {row['point']}{form}"
    return row["name"], row["question" if kind == "analyses" else "summary"]


def details(kind: str, row: ListRow) -> tuple[str, list[tuple[str, str]], str]:
    """Return all that is known of one: what it is, facts by their names, and text that is shown as it is."""
    if kind == "methods":
        return f"{row['label']}: {row['summary']}", _of_method(row), ""
    if kind == "metrics":
        return f"{row['label']}: {row['summary']}", _of_metric(row), ""
    if kind == "profiles":
        from bench.planning import shipped

        return row["summary"], [("file", str(shipped.FOLDER / f"{row['name']}.toml"))], shipped.text(row["name"])
    if kind == "analyses":
        import analyses as package

        return package.about(row["name"]).replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n"), [], ""
    facts = {key: value for key, value in row.items() if key not in ("name", "summary")}
    words = {key: assigned(value) if isinstance(value, dict) else _said(value) for key, value in facts.items()}
    return row["summary"], list(words.items()), ""


def _of_method(row: ListRow) -> list[tuple[str, str]]:
    kind = row["kind"] if row["kind"] == row["family"] or not row["family"] else f"{row['kind']}, {row['family']}"
    return [
        ("kind", kind),
        ("maps of", "the input's pixels" if row["scope"] == "input" else "layers"),
        ("passes", _passes(row)),
        ("gradients", _said(row["needs_gradients"])),
        ("signed", _said(row["signed"])),
        ("parameters", assigned(row["parameters"])),
        ("source", row["source"]),
    ]


def _passes(row: ListRow) -> str:
    """Say how many passes a method takes: 'none', '1, shared with others', '16 a layer', '225'."""
    if not row["own_passes"]:
        return f"{row['passes']}, shared with all such methods" if row["passes"] else "none"
    return f"{row['passes']} a layer" if row["each"] == "layer" else str(row["passes"])


def _of_metric(row: ListRow) -> list[tuple[str, str]]:
    better = {"higher": "higher values", "lower": "lower values"}.get(row["direction"], "neither way")
    low, high = ("-inf" if row["lower"] is None else row["lower"], "inf" if row["upper"] is None else row["upper"])
    chance = {"area": "the mask's share of the image", None: "not known"}.get(row["chance"], row["chance"])
    unit = f" {row['unit']}" if row["unit"] else ""
    return [
        ("table", row["table"]),
        ("range", f"{low} to {high}{unit}"),
        ("better", better),
        ("by chance", str(chance)),
        ("source", row["source"]),
        *_of_card(row["card"]),
    ]


TYPICAL = 8
"""Pixels of the cells whose scores of maps without merit are shown."""
CARD = {"asks": "asks", "use": "take it", "assumes": "assumes", "gamed": "fooled by"}


def _of_card(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a card says: words, what constructed maps score, and how reliable values are; nothing without one."""
    if not card:
        return
    yield from ((name, card.get(key, "")) for key, name in CARD.items())
    cells = card["cells"]
    (mask, by_cell), *blind = card["maps"].items()
    yield f"{mask} has", ", ".join(f"{_number(score)} on {cell} px" for cell, score in zip(cells, by_cell, strict=True))
    at = cells.index(TYPICAL)
    without = ", ".join(f"{name} {_number(scores[at])}" for name, scores in blind)
    yield "without merit", f"{without} (drawn scenes, cells of {TYPICAL} px)"
    if reliable := card["reliability"]:
        values = ", ".join(f"{where} {_number(value)}" for where, value in reliable.items())
        yield "reliability", f"{values} (ICC of an image's value over trainings; 1 is all)"
    if ranked := card["evidence"]:
        values = ", ".join(f"{model} {_number(rho)}" for model, rho in ranked.items())
        yield "on evidence", f"{values} (rank correlation of methods with where the evidence is known)"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2g}"


def assigned(values: dict[str, Any]) -> str:
    """Return parameters as a profile has them.

    >>> assigned({"width": 16, "norm": "batch", "bias": True, "teacher": None})
    'width = 16, norm = "batch", bias = true, teacher = none'
    """
    return ", ".join(f"{name} = {'none' if value is None else json.dumps(value)}" for name, value in values.items())


def _said(value: Any) -> str:
    return (
        {True: "yes", False: "no", None: ""}.get(value, "") if isinstance(value, bool) or value is None else str(value)
    )
