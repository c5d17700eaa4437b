"""The multiverse of a claim: its verdict under every choice that could as well have been made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import cast

import pandas as pd

from analyses.paper.claims import choices, coarse
from analyses.paper.claims.evaluation import evaluate
from analyses.paper.claims.registration import Claim, Quantity, Registration
from analyses.paper.claims.values import ClaimScores
from analyses.paper.claims.verdicts import Verdict, region
from analyses.reading import files
from analyses.reading.choices import model_of
from analyses.reading.results import Results
from analyses.reading.variants import LEFT_OUT, Variant
from analyses.statistics.combined import Combined

TABLE = "tables/claim_specifications.csv"
RESAMPLES = (2000, 10_000)
"""Of a specification, as many as its region takes: what counts is how many agree."""


@dataclass(frozen=True)
class Specification:
    """A choice and what it says.

    Attributes:
        target, point, method: whose maps, where probed, by which method.
        measures: the quantities in words.
        left_out: the training left out; None for none.
        variant: how the maps were scored.
        estimate, low, high: the mean of the claim's parts in units of their smallest effects, with its interval.
        verdict: the region of the interval, however few its trainings are; undecided where other resamples could put an
            end across a smallest effect.
        registered: whether it is the registered choice.
    """

    target: str
    point: str
    method: str
    measures: str
    left_out: int | None
    variant: Variant
    estimate: float
    low: float
    high: float
    verdict: Verdict
    registered: bool = False

    @classmethod
    def of(
        cls, chosen: tuple[str, str, str, str, int | None, Variant], combined: Combined, *, registered: bool = False
    ) -> Specification:
        """Return what a choice, from target to variant, comes to."""
        low, high = combined.low, combined.high
        verdict = region(low, high, error=combined.error)
        return cls(*chosen, combined.estimate, low, high, verdict, registered)


def specifications(
    main: ClaimScores, claim: Claim, registration: Registration, used: Mapping[str, Quantity]
) -> Iterator[Specification]:
    """Yield every specification of a claim about maps that the run can be asked for; none of other claims.

    They are all targets of the run, probe points, methods of the registration and quantities of the same construct,
    with all trainings; the registered choice without each training in turn; and of the registered target and point all
    methods and quantities with each variant: grids placed the other way, the masks' border counted as object or as
    background. A variant on which no number depends is no other choice, and left out.
    """
    results = main.results
    model = model_of(results, claim.deciding[0].groups[0].model)
    if model is None or not registration.about_maps(claim):
        return
    taken = [used.get(part.measure, registration.measures[part.measure]).words for part in claim.deciding]
    registered = results.main_method, "; ".join(dict.fromkeys(taken))
    tried = list(product(choices.methods(results, registration), registration.alternatives(claim)))
    scored_as_run: dict[tuple[str, str], tuple[float, float, float]] = {}
    for scores in choices.places(main, model):  # one after the other: each holds what it has read
        for method, quantities in tried:
            words = "; ".join(one.words for one in quantities.values())
            own = scores is main and (method, words) == registered
            judge = partial(evaluate, scores, claim, registration, quantities=quantities, resamples=RESAMPLES)
            judged = judge(method=method, rounded=not own)
            if judged.combined is None:
                continue
            if scores is main:
                rounded = judge(method=method, rounded=True).combined if own else judged.combined
                scored_as_run[method, words] = _ends(rounded or judged.combined)
            elif scores.variant and scored_as_run.get((method, words)) == _ends(judged.combined):
                continue
            variant = scores.variant or Variant(results.placement)
            how = (scores.target, scores.point or results.points(model)[0], method, words)
            yield Specification.of((*how, None, variant), judged.combined, registered=own)
            for seed in results.seeds(model) if own else ():
                without = judge(without=seed)
                if without.combined is not None:
                    yield Specification.of((*how, seed, variant), without.combined)


def published(results: Results, claim: str) -> list[Specification] | None:
    """Return the specifications of a claim as an earlier publication has them; None where they can be asked for.

    Publications from before 0.2 keep the scores that decide, and no numbers of other choices.
    """
    kept = results.manifest.published
    if kept is None or coarse.kept(results) is not None or not (path := results.folder / TABLE).is_file():
        return None
    with files.reading(path):
        rows = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in ("estimate", "low", "high")})
    return [
        Specification(
            target=str(row["target"]),
            point=str(row["point"]),
            method=str(row["method"]),
            measures=str(row["measures"]),
            variant=Variant(str(row.get("placement", results.placement)), str(row.get("border", LEFT_OUT))),
            left_out=int(str(row["left_out"]).removeprefix("seed ")) if row["left_out"] else None,
            estimate=float(row["estimate"]),
            low=float(row["low"]),
            high=float(row["high"]),
            verdict=cast("Verdict", row["verdict"]),
            registered=str(row["registered"]) == "True",
        )
        for row in rows[rows["claim"] == claim].to_dict("records")
    ]


def _ends(combined: Combined) -> tuple[float, float, float]:
    """Return a mean with its interval: the same numbers of maps have the same, since the resamples are the same."""
    return combined.estimate, combined.low, combined.high
