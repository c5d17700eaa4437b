"""What `bench list` shows of the library: models, layers, methods, metrics and data sets, a row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.planning import manifest
from segcam.datasets import DATASETS
from segcam.methods import METHODS
from segcam.metrics import METRICS
from segcam.metrics.attention import ATTENTION_METRICS
from segcam.models import MODELS, architecture, create
from segcam.probe.layers import POINTS

ListRow = dict[str, Any]


def _models(_: str) -> list[ListRow]:
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


def _layers(model: str) -> list[ListRow]:
    network = create(model, 2)
    points = [layer for point in POINTS for layer in architecture(model).layers(network, point)]
    columns = ("label", "stage", "depth", "role", "stride", "point", "form", "module")
    return [{"name": model, **{column: getattr(layer, column) for column in columns}} for layer in points]


def method_columns(row: ListRow) -> dict[str, str]:
    """Put what is known of a method into columns that fit beside each other."""
    kind = row["kind"] if row["kind"] == row["family"] else f"{row['kind']}, {row['family']}"
    return {
        "name": row["name"],
        "kind": kind,
        "of": row["scope"],
        "passes": _passes(row),
        "signed": "yes" if row["signed"] else "",
        "gradients": "yes" if row["needs_gradients"] else "",
        "parameters": ", ".join(f"{name}={value!r}" for name, value in row["parameters"].items()),
        "label and summary": f"{row['label']}: {row['summary']}",
        "source": row["source"],
    }


def _passes(row: ListRow) -> str:
    """Say how many passes a method takes: '0', '1 shared', '16 a layer', '225'."""
    if not row["own_passes"]:
        return f"{row['passes']} shared" if row["passes"] else "0"
    return f"{row['passes']} a layer" if row["each"] == "layer" else str(row["passes"])


def _metrics(_: str) -> list[ListRow]:
    columns = ("label", "summary", "direction", "lower", "upper", "chance", "unit", "source")
    tables = [("scores", m) for m in METRICS] + [("attention", m) for m in ATTENTION_METRICS]
    return [
        {"name": m.name, "table": table, **{column: getattr(m, column) for column in columns}} for table, m in tables
    ]


def _datasets(_: str) -> list[ListRow]:
    return [{"name": d.name, "needs --data-root": d.needs_root, "summary": d.summary} for d in DATASETS]


LISTS: dict[str, Callable[[str], list[ListRow]]] = {
    "models": _models,
    "layers": _layers,
    "methods": lambda _: [{"name": m.name, **manifest.of_method(m).model_dump()} for m in METHODS],
    "metrics": _metrics,
    "datasets": _datasets,
}
