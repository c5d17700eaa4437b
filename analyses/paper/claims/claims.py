"""The paper's claims as tests: what each comes to, how sure that is, what controls say, and a verdict by rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import DECIMALS, Caption, Figure, Table
from analyses.paper.claims.evaluation import RESAMPLES, Control, controls, instead
from analyses.paper.claims.multiverse import Specification, agreement, published, specifications
from analyses.paper.claims.registration import Quantity, Registration, registered
from analyses.paper.claims.values import ClaimScores
from analyses.paper.claims.verdicts import Judged, PartFinding, in_words, region
from analyses.plots import forest, style
from analyses.reading.choices import paper_target, paper_target_in_words
from analyses.reading.results import Results
from analyses.reading.states import NOT_DISCRIMINATING, NOT_MEASURED, NOT_REPLICATED, STATES
from analyses.statistics.combined import needed

MOST_SEEDS = 100
"""Trainings that are thought of where a claim is undecided."""
BLANK = 0.05
"""Share of the maps without a value from which on a verdict says so."""
SHOWN = (
    *("claim", "part", "estimate", "low", "high", "smallest", "n_images", "n_seeds", "n_left_out", "verdict"),
    *("statistic", "statistic_low", "statistic_high", "overall", "overall_reason"),
)
COLUMNS = (
    *("claim", "sentence", "part", "counts", "measure", "metric", "cells", "target", "method"),
    *("estimate", "low", "high", "null", "side", "smallest", "standardised", "standardised_low", "standardised_high"),
    *("n_images", "n_seeds", "n_left_out", "defined", "verdict", "reason"),
    *(
        "statistic",
        "statistic_low",
        "statistic_high",
        "region",
        "overall",
        "overall_reason",
        "replicated",
        "exploratory",
    ),
    *("agreement", "specifications", "seeds_needed", "caveat", "training_data"),
)
CONTROL_COLUMNS = (
    *("claim", "control", "estimate", "low", "high", "verdict", "ahead", "ahead_low", "ahead_high", "passes"),
)
SPECIFICATION_COLUMNS = (
    *("claim", "target", "point", "method", "measures", "left_out", "registered", "estimate", "low", "high", "verdict"),
)


@dataclass(frozen=True)
class Decided:
    """A claim with all that is said of it.

    Attributes:
        judged: the verdict for the network's maps, with its parts.
        quantities: what stood in for measures that the run lacks, by the measure.
        controls: the claim put to maps that know nothing of the network.
        specifications: the claim under other choices.
        exploratory: why the verdict is no test of what was registered; '' where it is one.
    """

    judged: Judged
    quantities: dict[str, Quantity]
    controls: Sequence[Control]
    specifications: Sequence[Specification]
    exploratory: str

    @property
    def passing(self) -> list[str]:
        """The controls that pass a supported claim as well, or that the network's maps are not ahead of."""
        return [one.method for one in self.controls if one.passes()] if self.judged.verdict == "supported" else []

    @property
    def region(self) -> str:
        """Where the interval lies, whatever other rules forbid."""
        combined = self.judged.combined
        return NOT_MEASURED if combined is None else region(combined.low, combined.high)

    @property
    def overall(self) -> str:
        """The verdict in a word or two."""
        return NOT_DISCRIMINATING if self.passing else self.judged.verdict

    @property
    def agreement(self) -> float | None:
        """The share of specifications in the region of the verdict; None without others."""
        return None if self.judged.combined is None else agreement(self.specifications, self.region)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the tables of the claims, of their controls and specifications, and their forest plot.

    Nothing of networks that were there already.
    """
    if not results.trained:
        return
    registration, target = registered(), paper_target(results)
    decided = decide(results, target)
    frame = summarise(results, decided, target)
    caption = _caption(results, registration)
    yield Table("claims", frame, caption, shown=SHOWN)
    if rows := [row for one in decided for row in _control_rows(one)]:
        yield Table(
            "claim_controls",
            _rounded(pd.DataFrame(rows, columns=list(CONTROL_COLUMNS))),
            _control_caption(registration),
        )
    if rows := [row for one in decided for row in _specification_rows(one)]:
        yield Table(
            "claim_specifications",
            _rounded(pd.DataFrame(rows, columns=list(SPECIFICATION_COLUMNS))),
            SPECIFICATIONS_CAPTION,
        )
    units = {metric.name: metric.unit for metric in results.metrics}
    measured = frame[frame["verdict"] != NOT_MEASURED]
    if measured["standardised"].notna().any():
        with style.context():
            figure = forest.draw(measured.assign(unit=measured["metric"].map(units).fillna("")))
        missing = len(frame) - len(measured)
        gaps = (
            f"Left out: {missing} of {len(frame)} parts that were not measured; the table says why. " if missing else ""
        )
        yield Figure("claims", figure, Caption(finding(decided), forest.READING, f"{gaps}{caption}"), "Claims")


@lru_cache(maxsize=4)
def decide(results: Results, target: str) -> tuple[Decided, ...]:
    """Return the verdict on each claim of the registration, in its order."""
    registration, scores = registered(), ClaimScores(results, target)
    unregistered = _unregistered(results, registration)
    out = []
    for claim in registration.claims:
        judged, quantities = instead(scores, claim, registration)
        measured = judged.verdict != NOT_MEASURED
        swapped = "; ".join(
            f"{quantity.words} in the place of {registration.measures[name].words}"
            for name, quantity in quantities.items()
        )
        exploratory = "; ".join(part for part in (unregistered, swapped) if part) if measured else ""
        tried = controls(scores, claim, registration, quantities=quantities) if measured else []
        others = published(results, claim.id)
        if others is None:
            others = list(specifications(scores, claim, registration, quantities)) if measured else []
        out.append(Decided(judged, quantities, tried, others, exploratory))
    return tuple(out)


def _unregistered(results: Results, registration: Registration) -> str:
    """Return why no verdict on the run's scores is a test of the registration; '' where it is."""
    kept = results.manifest.registration
    if not kept:
        return "its scores are from before the registration"
    return "" if kept == registration.sha256 else "its scores were begun under another registration"


def summarise(results: Results, decided: Sequence[Decided], target: str) -> pd.DataFrame:
    """Return a row for each part of each claim, in their order."""
    rows = [
        _row(one, part) | {"target": target, "method": results.main_method}
        for one in decided
        for part in one.judged.parts
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["training_data"] = frame["training_data"].replace("", results.manifest.dataset.training_data)
    return _rounded(frame)


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame.select_dtypes("float64")
    frame[numbers.columns] = numbers.round(DECIMALS) + 0.0
    return frame


def _row(one: Decided, found: PartFinding) -> dict[str, Any]:
    part, registration = found.part, registered()
    measure = registration.measures[part.measure]
    quantity = one.quantities.get(part.measure, measure)
    turned = sorted(part.side * end for end in (found.low, found.high))
    measured = not found.missing and not math.isnan(found.low)
    combined = one.judged.combined
    seeds = needed(combined, most=MOST_SEEDS) if combined and one.judged.verdict == "undecided" else None
    return {
        "claim": one.judged.claim.id,
        "sentence": one.judged.claim.sentence,
        "part": part.says,
        "counts": part.decides,
        "measure": quantity.words,
        "metric": quantity.metric,
        "cells": found.cells,
        "estimate": part.side * found.estimate,
        "low": turned[0],
        "high": turned[1],
        "null": 0.0,
        "side": "above" if part.side > 0 else "below",
        "smallest": measure.smallest,
        "standardised": found.estimate / measure.smallest,
        "standardised_low": found.low / measure.smallest,
        "standardised_high": found.high / measure.smallest,
        "n_images": found.n_images,
        "n_seeds": found.n_seeds,
        "n_left_out": found.n_left_out,
        "defined": found.defined,
        "verdict": region(found.low, found.high, measure.smallest) if measured else _without(found),
        "reason": f"not measured ({found.missing})" if found.missing else "",
        "statistic": combined.estimate if combined else math.nan,
        "statistic_low": combined.low if combined else math.nan,
        "statistic_high": combined.high if combined else math.nan,
        "region": one.region,
        "overall": one.overall,
        "overall_reason": _reason(one),
        "replicated": {"supported": "replicated"}.get(
            one.overall, "not replicated" if one.overall in NOT_REPLICATED else ""
        ),
        "exploratory": one.exploratory,
        "agreement": math.nan if one.agreement is None else one.agreement,
        "specifications": len(one.specifications),
        "seeds_needed": seeds if seeds is not None else (math.inf if one.judged.verdict == "undecided" else math.nan),
        "caveat": caveat(one),
        "training_data": found.training_data,
    }


def _without(found: PartFinding) -> str:
    return NOT_MEASURED if found.missing else "undecided"


def _reason(one: Decided) -> str:
    if one.judged.verdict == NOT_MEASURED:
        return f"not measured ({one.judged.reason})"
    if one.passing:
        return f"{', '.join(one.passing)} {'passes' if len(one.passing) == 1 else 'pass'} it, too"
    return one.judged.reason


def caveat(one: Decided) -> str:
    """Return what limits a verdict, a sentence each; '' for one that was not measured."""
    if one.judged.combined is None:
        return ""
    registration = registered()
    said = [f"Exploratory: {one.exploratory}."] if one.exploratory else []
    share = min((part.defined for part in one.judged.parts if part.part.decides and not part.missing), default=1.0)
    if 1 - share >= BLANK:
        said.append(f"Up to {100 * (1 - share):.0f} % of the maps of a part are blank or undefined.")
    agreed = one.agreement
    if agreed is not None and agreed < registration.rule.agreement:
        said.append(f"{100 * agreed:.0f} % of {len(one.specifications)} specifications agree.")
    if one.judged.verdict == "undecided":
        seeds = needed(one.judged.combined, most=MOST_SEEDS)
        number = f"more than {MOST_SEEDS}" if seeds is None else str(seeds)
        said.append(f"It takes {number} trainings to decide, were the estimate the truth.")
        if one.judged.claim.underpowered:
            said.append("The registration calls it underpowered.")
    return " ".join(said)


def _control_rows(one: Decided) -> Iterator[dict[str, Any]]:
    for control in one.controls:
        combined = control.judged.combined
        ahead = control.ahead
        if combined is not None:
            yield {
                "claim": one.judged.claim.id,
                "control": control.method,
                **dict(zip(("estimate", "low", "high"), combined[:3], strict=True)),
                "verdict": region(combined.low, combined.high),
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
            "left_out": "" if choice.left_out is None else f"seed {choice.left_out}",
            "registered": choice.registered,
            "estimate": choice.estimate,
            "low": choice.low,
            "high": choice.high,
            "verdict": choice.verdict,
        }


def finding(decided: Sequence[Decided]) -> str:
    """Say which claims are in which state."""
    words = []
    for state in STATES:
        claims = [one.judged.claim.id for one in decided if one.overall == state]
        words += [f"{state}: {printing.listed(claims)}"] if claims else []
    text = "; ".join(words)
    return f"{text[:1].upper()}{text[1:]}."


def _caption(results: Results, registration: Registration) -> str:
    method = results.label("methods", results.main_method)
    return (
        f"What the paper says, put to {method} maps (target: {paper_target_in_words(results)}) at the layers' "
        f"main probe point as the registration '{registration.name}' of {registration.date:%d %B %Y} has it; "
        "sentences are ours. estimate: of a part, in its measure's unit, with bounds that hold for all parts of "
        "the claim at once. statistic: the mean of the deciding parts in units of their smallest effects, "
        f"above 0 where as claimed, with its own interval, of {RESAMPLES[0]:,} or more crossed resamples of "
        "seeds and images, widened where few seeds differ. defined: share of the maps with a value; agreement: "
        f"share of the specifications in the verdict's region; seeds_needed: trainings that would decide, inf "
        f"for more than {MOST_SEEDS}. {in_words(registration.rule)}"
    )


def _control_caption(registration: Registration) -> str:
    return (
        f"Each claim about maps, put to {', '.join(registration.rule.controls)}: the statistic and its region as "
        "for the network's maps, in units of the smallest effects. ahead: the network's maps less the control's, "
        "paired by seed and image. passes: the control is in the claim's favour, or the network is not ahead of "
        "it for sure; a supported claim that a control passes is not discriminating."
    )


SPECIFICATIONS_CAPTION = (
    "Each claim about maps under every choice that could as well have been made: the run's targets and probe points, "
    "methods and quantities of the same construct, and the registered choice without each training. In units of the "
    "smallest effects, above 0 where as claimed."
)
