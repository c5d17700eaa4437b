"""The paper's claims as tests: what each one's contrast comes to, how sure that is, and a verdict by rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import DECIMALS, Caption, Figure, Table
from analyses.paper.claims.contrasts import ClaimScores, NotMeasuredError
from analyses.paper.claims.size_contrasts import change
from analyses.paper.claims.statements import CLAIMS, Claim, Contrast
from analyses.paper.claims.verdicts import RULE, Finding, judge, overall
from analyses.plots import forest, style
from analyses.reading.arrays import Floats, nan_mean
from analyses.reading.choices import paper_target, paper_target_in_words
from analyses.reading.results import Results
from analyses.reading.states import (
    CONTRADICTED,
    NEGLIGIBLE,
    NOT_MEASURED,
    SUPPORTED,
    UNDECIDED,
    overall_state,
    state_of,
)
from analyses.statistics.bootstrap import SEED, percentiles
from analyses.statistics.intervals import bootstrap_interval, mixed_model, widening
from analyses.statistics.paired import holm, page, wilcoxon

RESAMPLES = 10_000
SHOWN = (
    *("claim", "part", "estimate", "low", "high", "null", "smallest", "effect", "effect_kind", "p_adjusted"),
    *("n_images", "n_seeds", "n_left_out", "verdict", "reason"),
)
COLUMNS = (
    *("claim", "sentence", "part", "counts", "metric", "cells", "test", "target", "method"),
    *("estimate", "low", "high", "null", "side", "smallest", "standardised", "standardised_low", "standardised_high"),
    *("effect", "effect_kind", "p", "p_adjusted", "family", "mixed_estimate", "mixed_low", "mixed_high"),
    *("n_images", "n_seeds", "n_left_out", "verdict", "reason", "overall", "overall_reason", "training_data"),
)
KINDS = {"wilcoxon": "rank-biserial", "page": "Page's L", "sizes": ""}


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of the claims' contrasts and their forest plot; nothing of networks that were there already."""
    if not results.trained:
        return
    target = paper_target(results)
    frame = summarise(results, target)
    caption = _caption(results)
    yield Table("claims", frame, caption, shown=SHOWN)
    shown = told(results, frame)
    measured = shown[shown["state"] != NOT_MEASURED]
    if measured["standardised"].notna().any():
        with style.context():
            figure = forest.draw(measured)
        missing = len(shown) - len(measured)
        rows = f"{missing} contrast{'s' if missing > 1 else ''} that {'were' if missing > 1 else 'was'} not measured"
        gaps = f"Left out: {rows}; the table says why. " if missing else ""
        yield Figure("claims", figure, Caption(finding(shown), forest.READING, f"{gaps}{caption}"), "Claims")


def told(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table's rows with the `state` of each contrast and claim, and the metric's unit."""
    frame = frame.assign(state=list(map(state_of, frame["verdict"], frame["reason"])))
    units = {metric.name: metric.unit for metric in results.metrics}
    wholes = {
        claim: overall_state(str(rows["overall"].iloc[0]), list(rows.loc[rows["counts"], "state"]))
        for claim, rows in frame.groupby("claim", sort=False)
    }
    return frame.assign(overall_state=frame["claim"].map(wholes), unit=frame["metric"].map(units).fillna(""))


def finding(frame: pd.DataFrame) -> str:
    """Say which claims are in which state."""
    wholes = frame.drop_duplicates("claim")
    words = []
    for state in (SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED, NOT_MEASURED):
        claims = list(wholes.loc[wholes["overall_state"] == state, "claim"])
        words += [f"{state}: {printing.listed(claims)}"] if claims else []
    text = "; ".join(words)
    return f"{text[:1].upper()}{text[1:]}."


def summarise(results: Results, target: str, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Return a row for each contrast of each claim, in their order."""
    scores = ClaimScores(results, target)
    findings = [_evaluate(results, scores, claim, contrast) for claim in claims for contrast in claim.contrasts]
    adjusted = holm([item.p for item in findings], [item.claim.family for item in findings])
    verdicts = [judge(item, float(p)) for item, p in zip(findings, adjusted, strict=True)]
    wholes = {
        claim.id: overall([(f.contrast, *v) for f, v in zip(findings, verdicts, strict=True) if f.claim is claim])
        for claim in claims
    }
    rows = []
    for item, p, (verdict, reason) in zip(findings, adjusted, verdicts, strict=True):
        of_claim, why = wholes[item.claim.id]
        row = _row(item) | {"target": target, "method": results.main_method, "p_adjusted": p}
        row |= {"verdict": verdict, "reason": reason, "overall": of_claim, "overall_reason": why}
        rows.append(row | {"training_data": item.training_data or results.manifest.dataset.training_data})
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    small = ["p", "p_adjusted"]  # six decimals would make them zero
    rounded = frame.select_dtypes("float64").drop(columns=small).round(DECIMALS) + 0.0
    frame[rounded.columns] = rounded
    frame[small] = frame[small].map(lambda p: float(f"{p:.3g}"))
    return frame


def _evaluate(results: Results, scores: ClaimScores, claim: Claim, contrast: Contrast) -> Finding:
    try:
        if contrast.test == "sizes":
            return _of_sizes(results, claim, contrast)
        return _of_maps(scores, claim, contrast)
    except NotMeasuredError as missing:
        return Finding(claim, contrast, missing=str(missing))


def _of_maps(scores: ClaimScores, claim: Claim, contrast: Contrast) -> Finding:
    values = scores.values(contrast)
    numbers = values.contrast
    interval = bootstrap_interval(numbers, np.random.default_rng(SEED), RESAMPLES)
    mixed = mixed_model(numbers, np.random.default_rng(SEED))
    by_image = nan_mean(numbers, axis=-2)
    by_rank = contrast.test == "page"
    # A seed that lacks one of an image's groups would shift the others by what sets it apart, not by the order.
    groups = np.where(np.isnan(numbers), np.nan, values.groups)
    test = page(nan_mean(groups, axis=-2).T) if by_rank else wilcoxon(by_image - contrast.null)
    return Finding(
        claim,
        contrast,
        float(interval.estimate),
        float(interval.low),
        float(interval.high),
        deviation=_deviation(by_image),
        effect=test.effect,
        effect_kind=KINDS[contrast.test],
        p=test.p,
        mixed=(mixed.estimate, mixed.low, mixed.high),
        n_images=int((~np.isnan(by_image)).sum()),
        n_seeds=int((~np.isnan(numbers)).any(axis=1).sum()),
        n_left_out=values.dropped,
        cells=values.cells,
        training_data=values.training_data,
    )


def _of_sizes(results: Results, claim: Claim, contrast: Contrast) -> Finding:
    tested = change(results, contrast, np.random.default_rng(SEED), RESAMPLES)
    factor = float(widening(tested.values, tested.resampled))
    low, high = (tested.estimate + factor * (float(bound) - tested.estimate) for bound in percentiles(tested.resampled))
    drawn = tested.estimate + factor * (tested.resampled - tested.estimate)
    beyond = min(int((drawn <= contrast.null).sum()), int((drawn >= contrast.null).sum()))
    return Finding(
        claim,
        contrast,
        tested.estimate,
        low,
        high,
        deviation=_deviation(tested.values.mean(axis=0)),
        p=math.nan if math.isnan(factor) else min(1.0, 2 * (beyond + 1) / (len(drawn) + 1)),
        n_images=tested.values.shape[1],
        n_seeds=tested.values.shape[0],
        cells=tested.cells,
        training_data=tested.training_data,
    )


def _deviation(by_image: Floats) -> float:
    defined = by_image[~np.isnan(by_image)]
    return float(defined.std(ddof=1)) if defined.size > 1 else math.nan


def _row(finding: Finding) -> dict[str, Any]:
    contrast = finding.contrast
    ends = sorted(map(finding.standardised, (finding.low, finding.high)))
    return {
        "claim": finding.claim.id,
        "sentence": finding.claim.sentence,
        "part": contrast.part,
        "counts": contrast.counts,
        "metric": contrast.metric,
        "cells": finding.cells,
        "test": {"sizes": "bootstrap"}.get(contrast.test, contrast.test),
        "estimate": finding.estimate,
        "low": finding.low,
        "high": finding.high,
        "null": contrast.null,
        "side": "above" if contrast.side > 0 else "below",
        "smallest": contrast.smallest,
        "standardised": finding.standardised(finding.estimate),
        "standardised_low": ends[0],
        "standardised_high": ends[1],
        "effect": finding.effect,
        "effect_kind": finding.effect_kind,
        "p": finding.p,
        "family": finding.claim.family,
        "mixed_estimate": finding.mixed[0],
        "mixed_low": finding.mixed[1],
        "mixed_high": finding.mixed[2],
        "n_images": finding.n_images,
        "n_seeds": finding.n_seeds,
        "n_left_out": finding.n_left_out,
    }


def _caption(results: Results) -> str:
    method = results.label("methods", results.main_method)
    about = (
        f"Eight conclusions of the paper as contrasts of {method} maps (target: {paper_target_in_words(results)}) at "
        "the layers' main probe point; sentences are ours. estimate: the claimed group less the other, or the change "
        "of the fitted line from the first to the last of several, in the metric's unit, with a 95 % interval from "
        f"{RESAMPLES:,} crossed resamples of seeds and images, widened where few seeds differ (with one seed it speaks "
        "of the images alone); effect: matched-pairs rank-biserial correlation, or Page's L between -1 and 1; "
        "p_adjusted: two-sided Wilcoxon or Page on each image's mean over seeds (for mean IoU, resamples beyond the "
        "null value), after Holm within the claim; smallest: the smallest effect of interest; n_left_out: images of "
        "which some map has no value; mixed: the same mean by a mixed model with random seeds and images, a check."
    )
    return f"{about} {RULE}"
