"""The paper's claims as tests: what each comes to, how sure that is, what controls say, and a verdict by rule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.paper.claims import supplements
from analyses.paper.claims.decided import MOST_SEEDS, Decided, caveat, decide, finding
from analyses.paper.claims.evaluation import RESAMPLES
from analyses.paper.claims.registration import Registration, registered
from analyses.paper.claims.verdicts import NOISE, REASONS, PartFinding, at_border, in_words, lacking, region
from analyses.plots import forest, style
from analyses.reading.choices import paper_target, paper_target_in_words
from analyses.reading.results import Results
from analyses.reading.states import NOT_MEASURED, NOT_REPLICATED, UNDECIDED
from analyses.statistics.decisions import end_errors

PAPER = "Park, Lee, Lee"
SHOWN = (
    *("claim", "part", "estimate", "low", "high", "smallest", "n_images", "n_seeds", "n_left_out", "verdict"),
    *("statistic", "statistic_low", "statistic_high", "overall", "overall_reason"),
)
COLUMNS = (
    *("claim", "source", "sentence", "part", "counts", "measure", "metric", "cells", "target", "method"),
    *("estimate", "low", "high", "null", "side", "smallest", "standardised", "standardised_low", "standardised_high"),
    *("n_images", "n_seeds", "n_left_out", "defined", "verdict", "reason"),
    *("statistic", "statistic_low", "statistic_high", "by_training", "region"),
    *("overall", "overall_reason", "replicated", "exploratory"),
    *("agreement", "specifications", "seeds_needed", "caveat", "training_data"),
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the tables of the claims, of their controls and specifications, and the figures of both.

    Nothing of networks that were there already.
    """
    if not results.trained:
        return
    registration, target = registered(), paper_target(results)
    decided = decide(results, target)
    frame = summarise(results, decided, target)
    caption = _caption(results, registration)
    yield Table("claims", frame, caption, shown=SHOWN)
    yield from supplements.tables(decided, registration)
    units = {metric.name: metric.unit for metric in results.metrics}
    measured = frame[frame["verdict"] != NOT_MEASURED]
    if measured["standardised"].notna().any():
        with style.context():
            figure = forest.draw(
                measured.assign(
                    part=[_in_print(results, part) for part in measured["part"]],
                    unit=measured["metric"].map(units).fillna(""),
                    note=measured["reason"].map({NOISE: "noise"}).fillna(""),
                    overall_note=measured["claim"].map({one.judged.claim.id: _note(one) for one in decided}),
                )
            )
        missing = len(frame) - len(measured)
        gaps = (
            f"Left out: {missing} of {len(frame)} parts that were not measured; the table says why. " if missing else ""
        )
        yield Figure("claims", figure, Caption(finding(decided), forest.READING, f"{gaps}{caption}"), "Claims")
    yield from supplements.figures(results, decided)


def _in_print(results: Results, part: str) -> str:
    """Return what a part says with the methods' names as they are printed: 'Grad-CAM++' for 'grad_cam_pp'."""
    return re.sub(r"[a-z]+(?:_[a-z]+)+", lambda found: results.label("methods", found[0]), part)


def summarise(results: Results, decided: Sequence[Decided], target: str) -> pd.DataFrame:
    """Return a row for each part of each claim, in their order; those about no maps name no target and method."""
    about_maps, registration = {"target": target, "method": results.main_method}, registered()
    rows = [
        _row(one, part) | (about_maps if registration.about_maps(one.judged.claim) else dict.fromkeys(about_maps, ""))
        for one in decided
        for part in one.judged.parts
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["training_data"] = frame["training_data"].replace("", results.manifest.dataset.training_data)
    return rounded(frame)


def _note(one: Decided) -> str:
    """Return what a claim lacks for a verdict, or that it is within the noise, in few words; '' for neither."""
    if one.overall != UNDECIDED:
        return ""
    deciding = [part for part in one.judged.parts if part.part.decides]
    images, seeds = (min(getattr(part, name) for part in deciding) for name in ("n_images", "n_seeds"))
    return lacking(registered().rule, images, seeds) or ("noise" if one.judged.reason == NOISE else "")


def _row(one: Decided, found: PartFinding) -> dict[str, Any]:
    part, registration = found.part, registered()
    measure = registration.measures[part.measure]
    quantity = one.quantities.get(part.measure, measure)
    turned = sorted(part.side * end for end in (found.low, found.high))
    errors = end_errors(found.estimate, found.low, found.high, RESAMPLES[0])
    measured = not found.missing and not math.isnan(found.low)
    verdict = region(found.low, found.high, measure.smallest, errors) if measured else _without(found)
    noisy = measured and at_border(found.low, found.high, measure.smallest, errors)
    combined = one.judged.combined
    return {
        "claim": one.judged.claim.id,
        "source": one.judged.claim.source or PAPER,
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
        "verdict": verdict,
        "reason": f"not measured ({found.missing})" if found.missing else _undecided(verdict, measured, noisy),
        "statistic": combined.estimate if combined else math.nan,
        "statistic_low": combined.low if combined else math.nan,
        "statistic_high": combined.high if combined else math.nan,
        "by_training": "; ".join(f"{value:.3g}" for value in one.by_training),
        "region": one.region,
        "overall": one.overall,
        "overall_reason": one.reason,
        "replicated": {"supported": "replicated"}.get(
            one.overall, "not replicated" if one.overall in NOT_REPLICATED else ""
        ),
        "exploratory": one.exploratory,
        "agreement": math.nan if one.agreement is None else one.agreement,
        "specifications": len(one.others),
        "seeds_needed": one.seeds_needed,
        "caveat": caveat(one),
        "training_data": found.training_data,
    }


def _undecided(verdict: str, measured: bool, noisy: bool) -> str:
    """Return why a part is undecided; '' where it is decided."""
    if verdict != UNDECIDED:
        return ""
    return NOISE if noisy else REASONS["undecided"] if measured else "no interval"


def _without(found: PartFinding) -> str:
    return NOT_MEASURED if found.missing else UNDECIDED


def _caption(results: Results, registration: Registration) -> str:
    method = results.label("methods", results.main_method)
    return (
        f"What the paper (C) and others (H, D: column source) say, put to {method} maps "
        f"(target: {paper_target_in_words(results)}) at the layers' "
        f"main probe point as the registration '{registration.name}' of {registration.date:%d %B %Y} has it; "
        "sentences are ours. estimate: of a part, in its measure's unit, with bounds that hold for all parts of "
        "the claim at once. statistic: the mean of the deciding parts in units of their smallest effects, "
        f"above 0 where as claimed, with its own interval, of {RESAMPLES[0]:,} or more crossed resamples of "
        "seeds and images, widened where few seeds differ; by_training: what each training alone comes to. Where these "
        "are skewed, such an interval holds the truth less often (docs/operating.md). defined: share of the maps with "
        "a value; target and method: of claims about maps; agreement: "
        f"share of the other specifications in the verdict's region; seeds_needed: trainings that would decide, inf "
        f"for more than {MOST_SEEDS}. {in_words(registration.rule)}"
    )
