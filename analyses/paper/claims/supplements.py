"""The tables beside the claims: what maps that know nothing of the network say, and what other choices say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.paper.claims.coarse import STEPS
from analyses.paper.claims.decided import Decided
from analyses.paper.claims.multiverse import Specification
from analyses.paper.claims.registration import Registration
from analyses.paper.claims.verdicts import region
from analyses.plots import specifications as drawing
from analyses.plots import style
from analyses.reading.results import Results
from analyses.reading.variants import PLACEMENTS

CONTROL_COLUMNS = (
    *("claim", "control", "estimate", "low", "high", "verdict", "ahead", "ahead_low", "ahead_high", "passes"),
)
SPECIFICATION_COLUMNS = (
    *("claim", "target", "point", "method", "measures", "placement", "border", "left_out", "registered"),
    *("estimate", "low", "high", "verdict"),
)
SPECIFICATIONS_CAPTION = (
    "Each claim about maps under every choice that could as well have been made: the run's targets and probe points, "
    "methods and quantities of the same construct, and the registered choice without each training. Where a run kept "
    "them, the registered target and point with grids placed the other way, and with the masks' border counted as "
    "object and as background, unless no number depends on it. In units of the smallest effects, above 0 where as "
    f"claimed. Numbers of a map are rounded to a {STEPS}th of the smallest effect, but for the registered choice."
)


def tables(decided: Sequence[Decided], registration: Registration) -> Iterator[Table]:
    """Yield the tables of controls and of specifications that there are."""
    if rows := [row for one in decided for row in _control_rows(one)]:
        frame = pd.DataFrame(rows, columns=list(CONTROL_COLUMNS))
        yield Table("claim_controls", rounded(frame), _control_caption(registration))
    if rows := [row for one in decided for row in _specification_rows(one)]:
        frame = pd.DataFrame(rows, columns=list(SPECIFICATION_COLUMNS))
        yield Table("claim_specifications", rounded(frame), SPECIFICATIONS_CAPTION)


def figures(results: Results, decided: Sequence[Decided]) -> Iterator[Figure]:
    """Yield the specification curves of the claims of which several choices were tried."""
    tried = [one for one in decided if one.agreement is not None]
    if not tried:
        return
    curves = [
        drawing.Curve(
            one.judged.claim.id,
            drawing.share_in_words(one.agreement, len(one.others), one.region),
            pd.DataFrame([_choices(results, choice) for choice in one.specifications]),
        )
        for one in tried
    ]
    shares = [f"{one.judged.claim.id} {100 * (one.agreement or 0):.0f} %" for one in tried]
    found = f"Share of other choices, as good as the registered one, that agree with it: {', '.join(shares)}."
    with style.context():
        figure = drawing.draw(curves)
    caption = Caption(found, drawing.READING, f"{SPECIFICATIONS_CAPTION} {_alone(results, tried)}".strip())
    yield Figure("claim_specifications", figure, caption, "Specifications")


def _alone(results: Results, tried: Sequence[Decided]) -> str:
    """Say which choices a run has one of, so that they are no specification of it."""
    variants = {choice.variant for one in tried for choice in one.specifications}
    said = []
    if len({variant.placement for variant in variants}) < 2:
        own = PLACEMENTS.get(results.placement, results.placement)
        said.append(f"Maps {own} alone: the run kept no others, or no number depends on it.")
    if len({variant.border for variant in variants}) < 2:
        said.append(
            "The masks' border is left out of all scores: the run kept no others, its masks have none, or no "
            "number depends on it."
        )
    return " ".join(said)


def _choices(results: Results, choice: Specification) -> dict[str, Any]:
    """Return a choice with what was chosen in words."""
    names = {metric.name: metric.label for metric in results.metrics}
    names |= {name: results.label("methods", name) for name in results.manifest.methods}

    def named(words: str) -> str:
        return " ".join(names.get(word, word) for word in words.split(" "))

    return {
        "estimate": choice.estimate,
        "low": choice.low,
        "high": choice.high,
        "verdict": choice.verdict,
        "registered": choice.registered,
        "quantity": tuple(named(one) for one in choice.measures.split("; ")),
        "target": (results.label("targets", choice.target),),
        "method": (results.label("methods", choice.method),),
        "probe point": (f"probed at {choice.point}",),
        **dict(zip(("placement", "border"), ((words,) for words in choice.variant.words), strict=True)),
        "training left out": () if choice.left_out is None else (f"without seed {choice.left_out}",),
    }


def _control_rows(one: Decided) -> Iterator[dict[str, Any]]:
    for control in one.controls:
        combined = control.judged.combined
        ahead = control.ahead
        if combined is not None:
            yield {
                "claim": one.judged.claim.id,
                "control": control.method,
                **dict(zip(("estimate", "low", "high"), combined[:3], strict=True)),
                "verdict": region(combined.low, combined.high, error=combined.error),
                **dict(zip(("ahead", "ahead_low", "ahead_high"), ahead[:3] if ahead else (math.nan,) * 3, strict=True)),
                "passes": control.passes(),
            }


def _specification_rows(one: Decided) -> Iterator[dict[str, Any]]:
    for choice in one.specifications:
        yield {
            "claim": one.judged.claim.id,
            "target": choice.target,
            "point": choice.point,
            "method": choice.method,
            "measures": choice.measures,
            "placement": choice.variant.placement,
            "border": choice.variant.border,
            "left_out": "" if choice.left_out is None else f"seed {choice.left_out}",
            "registered": choice.registered,
            "estimate": choice.estimate,
            "low": choice.low,
            "high": choice.high,
            "verdict": choice.verdict,
        }


def _control_caption(registration: Registration) -> str:
    return (
        f"Each claim about maps, put to {', '.join(registration.rule.controls)}, and one about receptive fields to the "
        "network without training: the statistic and its region as "
        "for the network's maps, in units of the smallest effects. ahead: the network's maps less the control's, "
        "paired by seed and image. passes: the control is in the claim's favour, or the network is not ahead of "
        "it for sure; a supported claim that a control passes is not discriminating. Controls that the run lacks, or "
        "that have no value for a claim, have no row."
    )
