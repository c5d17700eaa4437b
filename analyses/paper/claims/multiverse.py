"""The multiverse of a claim: its verdict under every choice that could as well have been made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

import pandas as pd

from analyses.paper.claims.evaluation import alternatives, evaluate
from analyses.paper.claims.registration import Claim, Quantity, Registration
from analyses.paper.claims.values import ClaimScores
from analyses.paper.claims.verdicts import Verdict, region
from analyses.reading import files
from analyses.reading.choices import model_of
from analyses.reading.results import Results
from analyses.reading.scan import Scan
from analyses.reading.variants import LEFT_OUT, SPECIFICATIONS, Variant
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
    background.
    """
    if not registration.about_maps(claim):
        return
    results = main.results
    methods = dict.fromkeys([results.main_method, *registration.specifications.methods])
    model = model_of(results, claim.deciding[0].groups[0].model) or ""
    points = results.points(model) if model else ()
    own_way = Variant(results.placement)
    chosen = [used.get(part.measure, registration.measures[part.measure]).words for part in claim.deciding]
    targets = dict.fromkeys([main.target, *results.targets])
    places = [(target, point, own_way) for target, point in product(targets, points)]
    places += [(main.target, point, variant) for point in points[:1] for variant in _variants(results)]
    for target, point, variant in places:
        at_main = (target, point, variant) == (main.target, points[0], own_way)
        scores = ClaimScores(results, target, point, variant=None if variant == own_way else variant)
        scores = main if at_main else scores
        for method, quantities in product(methods, list(alternatives(claim, registration))):
            judged = evaluate(scores, claim, registration, method=method, quantities=quantities, resamples=RESAMPLES)
            if judged.combined is None:
                continue
            words = "; ".join(one.words for one in quantities.values())
            own = at_main and method == results.main_method and words == "; ".join(dict.fromkeys(chosen))
            yield Specification.of((target, point, method, words, None, variant), judged.combined, registered=own)
            for seed in results.seeds(model) if own else ():
                without = evaluate(
                    scores, claim, registration, quantities=quantities, without=seed, resamples=RESAMPLES
                )
                if without.combined is not None:
                    yield Specification.of((target, point, method, words, seed, variant), without.combined)


def _variants(results: Results) -> list[Variant]:
    """Return the other ways in which the maps of claims were scored; none where a run has its own way alone."""
    rows = Scan(results.parts(SPECIFICATIONS), {}, SPECIFICATIONS)
    return [Variant(placement, border) for placement, border in rows.groups(["placement", "border"], {})]


def published(results: Results, claim: str) -> list[Specification] | None:
    """Return the specifications of a claim as a publication has them; None where the run itself is there to ask.

    A publication keeps the scores that decide, and not those of every other choice. Of a study whose parts were joined
    no part knows them: they are those that its published scores can be asked for.
    """
    kept = results.manifest.published
    if kept is None or kept.joined or not (path := results.folder / TABLE).is_file():
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


def agreement(found: Sequence[Specification], verdict: str) -> float | None:
    """Return the share of specifications with a verdict; None where there is no other than the registered one."""
    return sum(one.verdict == verdict for one in found) / len(found) if len(found) > 1 else None
