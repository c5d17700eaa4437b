"""The choices that could as well have been made of a claim about maps, and what a publication keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pandas as pd

from analyses.paper.claims import coarse
from analyses.paper.claims.registration import Registration, registered
from analyses.paper.claims.values import ClaimScores, NotMeasuredError
from analyses.reading.choices import model_of
from analyses.reading.results import Results
from analyses.reading.scan import Scan
from analyses.reading.variants import SPECIFICATIONS, Variant


def places(main: ClaimScores, model: str) -> Iterator[ClaimScores]:
    """Yield the scores of a model's maps under each choice of a target, a probe point and a way to score them.

    They are those of all the run's targets and points, and of the registered target and point all other ways: grids
    placed otherwise, the masks' border counted as object or as background. `main` comes first.
    """
    results = main.results
    points = results.points(model)
    for target, point in product(dict.fromkeys([main.target, *results.targets]), points):
        own = (target, point) == (main.target, points[0])
        yield main if own else ClaimScores(results, target, point)
    for point, variant in product(points[:1], _variants(results)):
        yield ClaimScores(results, main.target, point, variant=variant)


def methods(results: Results, registration: Registration) -> list[str]:
    """Return the methods whose maps a claim is tried with, the run's main one first."""
    return list(dict.fromkeys([results.main_method, *registration.specifications.methods]))


def table(results: Results, target: str) -> pd.DataFrame:
    """Return what a publication keeps, so that each claim can be decided under every choice; see `coarse`.

    A claim that compares networks is decided from a run of one of them once the others' are joined with it, so each
    network counts alone.

    Args:
        results: the run.
        target: the registered one.
    """
    registration, main = registered(), ClaimScores(results, target)
    tried = methods(results, registration)
    claims = [claim for claim in registration.claims if registration.about_maps(claim)]
    found = []
    for family in dict.fromkeys(name for claim in claims for part in claim.deciding for name in part.models):
        if (model := model_of(results, family)) is None:
            continue
        parts = [part for claim in claims for part in claim.deciding if family in part.models]
        for scores in places(main, model):  # one after the other: each holds what it has read
            for part, method in product(parts, tried):
                for quantity in registration.quantities_of(part.measure):
                    try:
                        numbers = scores.share(part, family, quantity, method).values
                    except NotMeasuredError:
                        continue
                    choice = scores.choice(part, model, quantity, method)
                    found.append(coarse.rows(choice, numbers, registration.smallest(part)))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _variants(results: Results) -> list[Variant]:
    """Return the other ways in which the maps of claims were scored; none where a run has its own way alone."""
    own = Variant(results.placement)
    if (kept := coarse.kept(results)) is not None:
        return [variant for variant in kept.variants() if variant != own]
    rows = Scan(results.parts(SPECIFICATIONS), {}, SPECIFICATIONS)
    return [Variant(placement, border) for placement, border in rows.groups(["placement", "border"], {})]
