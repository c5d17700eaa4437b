"""How often the rule of verdicts is wrong, and how often right: simulated from published components of variance.

    python -m analyses.paper.claims.operating results/pets

prints a table a claim, of data sets like the published ones: as many images, the registered trainings, and normal or
skewed seeds. A claim whose measure was not published takes the components of the nearest that was.

    python -m analyses.paper.claims.operating results/quick --unknown

prints of claims whose power the registration does not know what can be said: how far trainings may differ.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analyses.paper.claims.evaluation import evaluate, instead
from analyses.paper.claims.registration import Claim, Measure, Registration, registered
from analyses.paper.claims.values import ClaimScores
from analyses.paper.claims.verdicts import region
from analyses.reading.arrays import Floats
from analyses.reading.choices import paper_target
from analyses.reading.results import Results
from analyses.statistics.bootstrap import SEED
from analyses.statistics.combined import Estimate, combine, means
from analyses.statistics.variance import Factors, components

DATA_SETS, RESAMPLES = 2000, 1000
Shape = Literal["normal", "skewed"]
SHAPES: tuple[Shape, ...] = ("normal", "skewed")
"""Of the seeds' effects; skewed ones are lognormal, of standard deviation 1 in the logarithm."""

NEAREST = {
    "fine_power": Measure(metric="edge_alignment", smallest=0.05, reason="the old measure of detail, of its effect"),
    "view": Measure(metric="spread", smallest=0.02, reason="the old measure of breadth, of its effect"),
    "lines": Measure(metric="edge_thickness", smallest=1.0, reason="the old measure of lines, in pixels as well"),
}
"""Measures in the place of those that a run lacks: their numbers vary over images, seeds and blocks like no others."""
HEAD = (
    *("claim", "trainings", "0: supported", "0: opposite", "1: decided beyond", "0: negligible", "2: supported"),
    *("-2: opposite", "coverage", "registered power", "measured by"),
)
UNKNOWN = (
    *("claim", "trainings", "photographs differ by", "0: supported or opposite", "2: supported, trainings alike"),
    *("80 % up to trainings that differ by", "known from"),
)
PHOTOGRAPHS = 36
"""Of which the study to come measures faithfulness (bench/profiles/pets.toml)."""
OTHER_METHOD = {"score_cam": "layer_cam"}
"""Methods in the place of those that a run lacks."""
OTHER_MODEL = {"segformer_position": "vit"}
"""Networks in the place of those that a run lacks."""


@dataclass(frozen=True)
class Published:
    """What is published of a claim's statistic.

    Attributes:
        claim: which.
        measured: what stands for its measures, in words.
        table: numbers in units of the smallest effects, (seeds, images), or (parts, seeds, images) where parts are a
            sample; no NaN.
    """

    claim: Claim
    measured: str
    table: Floats


@dataclass(frozen=True)
class Characteristics:
    """How the rule does on data sets of one kind; shares of them.

    Attributes:
        coverage: whose interval holds the truth.
        supported, opposite, negligible: verdicts where nothing is true; the last of them is right.
        at_smallest: supported, or opposite, where the truth is the smallest effect: the larger of both sides.
        power: supported where the truth is twice the smallest effect.
        power_opposite: opposite where it is so on the other side.
    """

    coverage: float
    supported: float
    opposite: float
    negligible: float
    at_smallest: float
    power: float
    power_opposite: float


def published(results: Results) -> Iterator[Published]:
    """Yield what is published of each claim, by its registered measure, another of its construct, or the nearest."""
    registration, target = registered(), paper_target(results)
    scores = ClaimScores(results, target, also=[measure.metric for measure in NEAREST.values()])
    nearest = _nearest(registration)
    for claim, other in zip(registration.claims, nearest.claims, strict=True):
        judged, quantities = instead(scores, claim, registration)
        named = [quantities.get(part.measure, registration.measures[part.measure]).words for part in claim.deciding]
        if judged.combined is None:
            judged = evaluate(scores, other, nearest)
            named = [nearest.measures[part.measure].words for part in other.deciding]
            models = {group.model for part in other.deciding for group in part.groups}
            named += [f"{model} in the place of {old}" for old, model in OTHER_MODEL.items() if model in models]
        if judged.combined is not None:
            yield Published(claim, "; ".join(dict.fromkeys(named)), judged.combined.table)


def _nearest(registration: Registration) -> Registration:
    """Return the registration with what stands for measures and networks that a run may lack."""

    def of(claim: Claim) -> Claim:
        parts = [
            part.model_copy(
                update={
                    "groups": tuple(
                        group.model_copy(update={"model": OTHER_MODEL.get(group.model, group.model)})
                        for group in part.groups
                    )
                }
            )
            for part in claim.parts
        ]
        return claim.model_copy(update={"parts": tuple(parts)})

    return registration.model_copy(
        update={
            "measures": {**registration.measures, **NEAREST},
            "claims": tuple(of(claim) for claim in registration.claims),
        }
    )


def simulated(
    rng: np.random.Generator, variances: dict[Factors, float], sizes: Sequence[int], seeds: Shape = "normal"
) -> Floats:
    """Return a table of crossed random factors whose mean in truth is 0.

    Args:
        rng: draws.
        variances: of each set of factors, by its axes.
        sizes: how many values each factor has: (seeds, images), or (parts, seeds, images).
        seeds: the distribution of what a seed adds on every image; all else is normal.
    """
    table, seed, image = np.zeros(sizes), len(sizes) - 2, len(sizes) - 1
    for factors, variance in variances.items():
        drawn = rng.normal(size=[size if axis in factors else 1 for axis, size in enumerate(sizes)])
        if seeds == "skewed" and seed in factors and image not in factors:
            drawn = (np.exp(drawn) - np.exp(0.5)) / np.sqrt(np.exp(2) - np.exp(1))
        table = table + np.sqrt(variance) * drawn
    return table


def intervals(
    table: Floats,
    trainings: int,
    seeds: Shape,
    *,
    data_sets: int = DATA_SETS,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    state: int = SEED,
) -> Floats:
    """Return the intervals of simulated data sets, (data sets, 2), where the truth is 0.

    Args:
        table: the published numbers, whose components are taken.
        trainings: how many there are to be.
        seeds: the distribution of their effects.
        data_sets: how many.
        resamples: of the bootstrap.
        confidence: of the intervals.
        state: of the generator of data sets; resamples are drawn as verdicts draw them.
    """
    sizes = (*table.shape[:-2], trainings, table.shape[-1])
    return intervals_of(components(table), sizes, seeds, data_sets, resamples, confidence=confidence, state=state)


def intervals_of(
    variances: dict[Factors, float],
    sizes: tuple[int, ...],
    seeds: Shape = "normal",
    data_sets: int = DATA_SETS,
    resamples: int = RESAMPLES,
    *,
    confidence: float = 0.95,
    state: int = SEED,
) -> Floats:
    """Return `intervals` of data sets of these sizes, from the variances of their factors; see `simulated`."""
    rng, ends = np.random.default_rng(state), np.empty((data_sets, 2))
    for row in ends:
        drawn = simulated(rng, variances, sizes, seeds)
        parts: list[Estimate] = means(list(drawn.reshape(-1, *sizes[-2:])), SEED, resamples)
        row[:] = combine(parts, confidence, random=len(parts) > 1, state=SEED)[1:3]
    return ends


def characteristics(ends: Floats) -> Characteristics:
    """Return how the rule does, from intervals where the truth is 0, in units of the smallest effect.

    A statistic is a mean: were the truth another, interval and estimate would be as much higher.
    """

    def share(verdict: str, truth: float) -> float:
        return float(np.mean([region(low + truth, high + truth) == verdict for low, high in ends]))

    return Characteristics(
        coverage=float(np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))),
        supported=share("supported", 0),
        opposite=share("opposite", 0),
        negligible=share("negligible", 0),
        at_smallest=max(share("supported", 1), share("opposite", -1)),
        power=share("supported", 2),
        power_opposite=share("opposite", -2),
    )


def photographs(results: Results, claim: Claim) -> tuple[float, str]:
    """Return the standard deviation of a claim's numbers over photographs, in smallest effects, and whence it is known.

    It is that of the published numbers of one training, of all parts that were measured; of a claim about methods that
    were not, of others in their place. A rank correlation over k methods whose two orders are independent has
    1 / sqrt(k - 1) where nothing else is known, the most for parts that vary together. NaN where nothing was measured.

    Source of the last: Kendall and Gibbons, Rank Correlation Methods, 1990, section 4.15.
    """
    registration = registered()
    scores = ClaimScores(results, paper_target(results))
    ranked = [registration.measures[part.measure] for part in claim.deciding]
    if all(measure.ranked_with for measure in ranked):
        return max(
            1 / math.sqrt(len(measure.methods) - 1) / measure.smallest for measure in ranked
        ), "independent orders of methods"
    for methods in ({}, OTHER_METHOD):
        parts = [
            part.model_copy(
                update={
                    "groups": tuple(
                        group.model_copy(update={"method": methods.get(group.method, group.method)})
                        for group in part.groups
                    )
                }
            )
            for part in claim.deciding
        ]
        of_parts = [evaluate(scores, claim.model_copy(update={"parts": (part,)}), registration) for part in parts]
        tables = [one.combined.table for one in of_parts if one.combined is not None and one.combined.table.any()]
        if tables:
            images = tables[0].shape[-1]
            told = "".join(f"; {new} in the place of {old}" for old, new in methods.items())
            return float(np.mean(tables, axis=(0, 1)).std(ddof=1)), f"{images} photographs of one training{told}"
    return math.nan, ""


def most_apart(photograph: float, trainings: int, images: int, power: float = 0.8, data_sets: int = 400) -> float:
    """Return how far trainings may differ so that a claim true at twice its smallest effect is supported often enough.

    Args:
        photograph: the standard deviation over photographs, in smallest effects.
        trainings: how many there are to be.
        images: photographs.
        power: the share of data sets that is often enough.
        data_sets: how many are simulated for each guess.

    Returns:
        The largest standard deviation of trainings, in smallest effects, of steps of a hundredth; NaN where even
        trainings that are alike are not enough.
    """

    def enough(deviation: float) -> bool:
        variances: dict[Factors, float] = {(0,): deviation**2, (1,): photograph**2}
        ends = intervals_of(variances, (trainings, images), data_sets=data_sets, resamples=RESAMPLES // 2)
        return characteristics(ends).power >= power

    if not enough(0.0):
        return math.nan
    known, beyond = 0, 400
    while beyond - known > 1:
        middle = (known + beyond) // 2
        known, beyond = (middle, beyond) if enough(middle / 100) else (known, middle)
    return known / 100


def unknown(results: Results, data_sets: int = 400) -> Iterator[str]:
    """Yield the rows of a Markdown table of the claims whose power the registration does not know."""
    yield f"| {' | '.join(UNKNOWN)} |"
    yield f"|{'---|' * len(UNKNOWN)}"
    for claim in registered().claims:
        if claim.power is None:
            photograph, known = photographs(results, claim)
            ends = intervals_of({(1,): photograph**2}, (claim.seeds, PHOTOGRAPHS), data_sets=data_sets)
            alike = characteristics(ends)
            apart = most_apart(photograph, claim.seeds, PHOTOGRAPHS, data_sets=data_sets)
            false = 100 * (alike.supported + alike.opposite)
            cells = (claim.id, str(claim.seeds), f"{photograph:.2f}", f"{false:.1f}", f"{100 * alike.power:.0f}")
            yield f"| {' | '.join((*cells, '' if math.isnan(apart) else f'{apart:.2f}', known))} |"


def tabulate(results: Results, data_sets: int, trainings: int | None = None) -> Iterator[str]:
    """Yield the rows of a Markdown table, two a claim, for normal and skewed seeds.

    Args:
        results: the published run.
        data_sets: how many are simulated of each kind.
        trainings: how many there are to be; those that are registered by default.
    """
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    for one in published(results):
        power = "" if one.claim.power is None else f"{100 * one.claim.power:.0f} %"
        number = trainings or one.claim.seeds
        for shape in SHAPES:
            found = characteristics(intervals(one.table, number, shape, data_sets=data_sets))
            cells = [
                *(one.claim.id, f"{number}, {shape}"),
                *(f"{100 * share:.1f}" for share in (found.supported, found.opposite, found.at_smallest)),
                *(f"{100 * share:.0f}" for share in (found.negligible, found.power, found.power_opposite)),
                *(f"{100 * found.coverage:.1f}", power, one.measured),
            ]
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table of a published study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a published run, such as results/pets")
    parser.add_argument("--data-sets", type=int, default=DATA_SETS, help="how many are simulated of each kind")
    parser.add_argument("--unknown", action="store_true", help="of claims whose power is not known alone")
    parser.add_argument("--trainings", type=int, help="how many there are to be, instead of those registered")
    asked = parser.parse_args()
    results = Results(asked.folder)
    lines = unknown(results) if asked.unknown else tabulate(results, asked.data_sets, asked.trainings)
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
