"""Which level, target, layers and seed stand for a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from analyses.reading import scan
from analyses.reading.files import SCORES
from analyses.reading.manifest import ATTENTION, Checkpoint, Layer
from analyses.reading.results import Results
from analyses.reading.scan import Scan

BLANK = "blank"
"""The metric that says whether there is a map at all: it is defined for maps that no other metric has a value of."""
ENOUGH = 0.5
"""Share of a target's maps with a value from which on it can stand for the run."""


@lru_cache(maxsize=8)
def main_target(results: Results) -> str:
    """Return the target that stands for the run where a figure shows one target; '' for a run without targets.

    It is the manifest's first one for which half of the main method's maps or more have a value, each model at its
    highest level; where none is so, as for networks of which one pixel's gradient reaches few layers, the one of which
    most have, and of equals the first.
    """
    if len(results.targets) < 2:
        return next(iter(results.targets), "")
    published = results.manifest.published
    if published and published.main_target:
        return published.main_target
    shares = _with_values(results, [metric.name for metric in results.metrics if metric.name != BLANK])
    measured = [target for target in results.targets if target in shares]
    enough = [target for target in measured if shares[target] >= ENOUGH]
    return (enough or sorted(measured, key=lambda target: -shares[target]) or list(results.targets))[0]


def _with_values(results: Results, metrics: Sequence[str]) -> dict[str, float]:
    """Return of each target the share of the main method's maps, at the models' highest levels, that have a value."""
    maps, defined = Counter[str](), Counter[str]()
    for model in results.models:
        where: dict[str, Sequence[Any]] = {
            "model": [model],
            "level": [highest(results, model) or 0],
            "method": [results.main_method],
            "layer": [layer.name for layer in results.main_layers(model)],
        }
        rows = Scan(results.required(SCORES), where)
        rows.needs(metrics)
        totals = {"maps": "count(*)", "defined": f"count(*) FILTER (WHERE {scan.defined(metrics)})"}
        for target, count, with_value in rows.groups(["target"], totals):
            maps[target] += count
            defined[target] += with_value
    return {target: defined[target] / count for target, count in maps.items()}


def paper_target(results: Results) -> str:
    """Return the run's target nearest to the paper's, the best pixel's logit, for its claims and figures."""
    targets = results.targets
    alike = [name for name in targets if name.startswith("best_pixel")]
    return "best_pixel:logit" if "best_pixel:logit" in alike else next(iter((*alike, *targets)), "")


def paper_target_in_words(results: Results) -> str:
    """Return the label of `paper_target` and, where other figures show another, why."""
    target, main = paper_target(results), main_target(results)
    label = str(results.label("targets", target))
    if target == main:
        return label
    other = results.label("targets", main)
    return f"{label}, as in the paper; heat maps show {other}, the first target of which enough maps have a value"


def target_of_most_methods(results: Results, model: str, level: int) -> str:
    """Return the target that most methods have maps for, of equals the manifest's first; '' without."""
    rows = Scan(results.required(SCORES), {"model": [model], "level": [level]})
    counts = Counter(target for target, _ in rows.groups(["target", "method"], {}))
    return max(results.targets, key=lambda target: counts.get(target, 0), default="")


def claimed(model: str) -> str:
    """Return the family that claims know a model by; '' for a training told apart by an '@', of which none speaks.

    >>> claimed("segformer:b1"), claimed("segformer:b1@with-hints")
    ('segformer', '')
    """
    return "" if "@" in model else model.partition(":")[0]


def model_of(results: Results, family: str) -> str | None:
    """Return the run's first model of a family: of its name, or of that name with a variant ('segformer:b1')."""
    return next((name for name in results.models if claimed(name) == family), None)


def highest(results: Results, model: str) -> int | None:
    """Return the highest level that most seeds of a model reached; None where none is."""
    counts = {level: len(results.reached(model, level)) for level in results.levels(model)}
    return max((level for level, n in counts.items() if n and n == max(counts.values())), default=None)


def at_highest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each model's highest level in a table, of those that were measured."""
    return frame[frame["level"] == frame.groupby("model", observed=True)["level"].transform("max")]


def first_target(results: Results, frame: pd.DataFrame) -> str:
    """Return the first of the run's targets that a table is of."""
    return next(str(name) for name in (*results.targets, *frame["target"]) if (frame["target"] == name).any())


def shown_checkpoint(results: Results, model: str) -> Checkpoint | None:
    """Return the checkpoint of the highest level reached by the seed of `model` whose maps are shown; None without."""
    reached = [point for point in results.pictured(model) if point.reached]
    return max(reached, key=lambda point: point.level, default=None)


def described(results: Results, model: str, level: int) -> str:
    """Return a model and its level in words."""
    return f"{results.label('models', model)} {results.level(model, level)}"


DECODER = "decoder"


def ends(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first and the last layer before the decoder, and the last of the decoder, each once.

    Layers before and after attention count where there are no others: they sit on branches of their own.
    """
    trunk = [layer for layer in layers if layer.role not in ATTENTION] or list(layers)
    encoder = [layer for layer in trunk if layer.role != DECODER]
    decoder = [layer for layer in trunk if layer.role == DECODER]
    return list(dict.fromkeys([*encoder[:1], *encoder[-1:], *decoder[-1:]]))


def head(results: Results, model: str) -> Layer | None:
    """Return the layer behind the last ReLU, which a 1x1 convolution and linear upsampling alone follow; None without.

    It is there for runs that probe behind ReLU, or at the point 'head', which stands for this layer alone.
    """
    return max((layer for layer in results.layers(model) if layer.point == "relu"), key=_depth, default=None)


def with_head(results: Results, model: str) -> tuple[Layer, ...]:
    """Return the layers at the main probe point, by depth, and behind them the `head` where it is none of them."""
    layers, last = results.main_layers(model), head(results, model)
    return layers if last is None or last in layers else (*layers, last)


def _depth(layer: Layer) -> int:
    return layer.depth


def numbered(results: Results) -> dict[str, str]:
    """Return what a run's names give way to where no font has their signs: 'class 1', 'image 3'."""
    classes = {name: f"class {i}" for i, name in enumerate(results.classes)}
    images = {name: f"image {i}" for i, name in enumerate(results.gallery_ids, 1)}
    return {**images, **classes}
