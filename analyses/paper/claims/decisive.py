"""Which scores of maps decide the claims: all that a publication must keep of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyses.paper.claims.registration import Part, Registration, registered
from analyses.paper.claims.values import ClaimScores, NotMeasuredError
from analyses.reading.results import Results


@dataclass
class Decisive:
    """Of a model and level, the layers and metrics that claims are about."""

    layers: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)


def decisive(results: Results, target: str) -> Mapping[tuple[str, int], Decisive]:
    """Return by model and level what of its maps' scores claims are decided from.

    A claim that compares networks is decided from a run of one of them once the others' are joined with it, so each
    network counts alone.

    Args:
        results: the run.
        target: whose maps claims are about.
    """
    registration, scores = registered(), ClaimScores(results, target)
    found: dict[tuple[str, int], Decisive] = {}
    for part in (part for claim in registration.claims for part in claim.parts):
        metrics = _metrics(results, registration, part)
        for group in part.ordered if metrics else ():
            try:
                layers, pairs = scores.cells(group)
            except NotMeasuredError:
                continue
            for pair in pairs:
                of_pair = found.setdefault(pair, Decisive())
                of_pair.layers.update(layers)
                of_pair.metrics.update(metrics)
    return found


def methods(results: Results) -> list[str]:
    """Return the methods whose scores decide: the main one, and those that it is judged against."""
    names = dict.fromkeys([results.main_method, *registered().references])
    return [name for name in names if name in results.methods]


def _metrics(results: Results, registration: Registration, part: Part) -> set[str]:
    """Return the metrics that a part is decided by: the registered one, or those that can stand in for it."""
    measure = registration.measures[part.measure]
    if measure.table or part.factors:
        return set()
    known = {metric.name for metric in results.metrics}
    if measure.metric in known:
        return {measure.metric}
    return known & {one.metric for one in registration.specifications.measures.get(part.measure, ())}
