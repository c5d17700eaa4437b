"""Which level, target, layers and seed stand for a model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analyses.reading.manifest import ATTENTION, Layer, level_name
from analyses.reading.results import Results


def paper_target(results: Results) -> str:
    """Return the run's target nearest to the paper's, the best pixel's logit; '' for a run without targets."""
    targets = results.targets
    alike = [name for name in targets if name.startswith("best_pixel")]
    return "best_pixel:logit" if "best_pixel:logit" in alike else next(iter((*alike, *targets)), "")


def model_of(results: Results, family: str) -> str | None:
    """Return the run's first model of a family: of its name, or of that name with a variant ('segformer:b1')."""
    return next((name for name in results.models if name.partition(":")[0] == family), None)


def highest(results: Results, model: str) -> int | None:
    """Return the highest level that most seeds of a model reached; None where none is."""
    counts = {level: len(results.reached(model, level)) for level in results.levels(model)}
    return max((level for level, n in counts.items() if n and n == max(counts.values())), default=None)


def described(results: Results, model: str, level: int) -> str:
    """Return a model and its level in words."""
    reached = [checkpoint.miou for checkpoint in results.reached(model, level)]
    return f"{results.label('models', model)} {level_name(level, reached)}"


BLANK = "blank"
"""The metric that says whether there is a map at all: it is defined for maps that no other metric has a value of."""


ENOUGH = 0.5


DECODER = "decoder"


def main_target(results: Results, scores: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Return the target whose maps stand for a model where one figure shows one target.

    It is the manifest's first one for which half of the maps or more have a value; where none is so, as for networks
    of which one pixel's gradient reaches few layers, the one of which most have, and of equals the first.

    Args:
        results: the run.
        scores: maps of one model and level, a row a map, one or more.
        metrics: columns of which one with a value is enough, but for `BLANK`, which blank maps have, too.
    """
    names = [name for name in metrics if name != BLANK]
    shares = scores[names].notna().any(axis=1).groupby(scores["target"], observed=True).mean()
    targets = [target for target in results.targets if target in shares.index]
    whole = [target for target in targets if shares[target] >= ENOUGH]
    return (whole or sorted(targets, key=lambda target: -float(shares[target])))[0]


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
