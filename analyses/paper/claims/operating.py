"""How often the rule of verdicts is wrong, and how often right: simulated from published components of variance.

    python -m analyses.paper.claims.operating results/pets

prints two rows a claim, of data sets like the published ones: as many images, the registered trainings, and normal or
skewed seeds. A claim that the run does not decide has none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analyses.paper.claims.evaluation import evaluate
from analyses.paper.claims.registration import Claim, registered
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
HEAD = (
    *("claim", "trainings", "0: supported", "0: opposite", "1: decided beyond", "0: negligible", "2: supported"),
    *("-2: opposite", "coverage", "registered power", "measured by"),
)


@dataclass(frozen=True)
class Published:
    """What is published of a claim's statistic.

    Attributes:
        claim: which.
        measured: its measures, in words.
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
    """Yield what is published of each claim that the run decides."""
    registration = registered()
    scores = ClaimScores(results, paper_target(results))
    for claim in registration.claims:
        judged = evaluate(scores, claim, registration)
        if judged.combined is not None:
            named = [registration.measures[part.measure].words for part in claim.deciding]
            yield Published(claim, "; ".join(dict.fromkeys(named)), judged.combined.table)


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
    variances, sizes = components(table), (*table.shape[:-2], trainings, table.shape[-1])
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
    parser.add_argument("--trainings", type=int, help="how many there are to be, instead of those registered")
    asked = parser.parse_args()
    for line in tabulate(Results(asked.folder), asked.data_sets, asked.trainings):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
