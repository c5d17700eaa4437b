"""A claim put to the scores: its statistic for the network's maps, for controls, and for other specifications."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyses.paper.claims.registration import Claim, Part, Quantity, Registration
from analyses.paper.claims.sizes import SizeTests, tested
from analyses.paper.claims.values import ClaimScores, NotMeasuredError, PartValues
from analyses.paper.claims.verdicts import Judged, PartFinding, judge, within_noise
from analyses.reading.states import NOT_MEASURED
from analyses.statistics.bootstrap import SEED
from analyses.statistics.combined import Combined, Estimate, combine, means

RESAMPLES = (10_000, 40_000)
"""Resamples: the second number where the first leaves a verdict to the generator."""


@dataclass(frozen=True)
class Given:
    """What a part compares, or what is missing of it, in words."""

    part: Part
    values: PartValues | SizeTests | None = None
    missing: str = ""

    def leaving_out(self, seed: int) -> Given:
        """Return it without a training; of tests at other sizes all stay."""
        if not isinstance(self.values, PartValues):
            return self
        numbers = self.values.numbers.drop(index=seed, errors="ignore")
        if numbers.empty:
            return Given(self.part, missing="no training left")
        return replace(self, values=replace(self.values, numbers=numbers))


def evaluate(
    scores: ClaimScores,
    claim: Claim,
    registration: Registration,
    *,
    method: str = "",
    quantities: dict[str, Quantity] | None = None,
    without: int | None = None,
    resamples: Sequence[int] = RESAMPLES,
    rounded: bool = False,
) -> Judged:
    """Return the verdict on a claim.

    Args:
        scores: of the run.
        claim: what is asked.
        registration: with its measures and its rule.
        method: whose maps are judged; the run's main one by default.
        quantities: others in the place of measures, by the measure.
        without: a training to leave out.
        resamples: how many; the next number where a bound is within the noise of a smallest effect.
        rounded: whether numbers are asked for as a publication keeps those of other choices, which are of deciding
            parts alone.
    """
    parts = claim.deciding if rounded else claim.parts
    given = [_given(scores, part, registration, method, quantities or {}, rounded=rounded) for part in parts]
    given = given if without is None else [one.leaving_out(without) for one in given]
    deciding = [one for one in given if one.part.decides]
    if missing := next((one.missing for one in deciding if one.missing), ""):
        lacking = tuple(PartFinding(one.part, missing=one.missing or missing) for one in given)
        return Judged(claim, NOT_MEASURED, missing, parts=lacking)
    for number in resamples:
        estimates = _estimates(given, registration, number)
        of_claim = [estimate for one, estimate in zip(given, estimates, strict=True) if one.part.decides and estimate]
        combined = combine(of_claim, registration.rule.confidence, random=bool(claim.random), state=SEED)
        if not within_noise(combined):
            break
    findings = _findings(given, estimates, combined, registration)
    images, seeds = (
        min(getattr(item, name) for item in findings if item.part.decides) for name in ("n_images", "n_seeds")
    )
    verdict, reason = judge(combined, registration.rule, images, seeds)
    return Judged(claim, verdict, reason, combined, findings)


def _given(
    scores: ClaimScores,
    part: Part,
    registration: Registration,
    method: str,
    quantities: dict[str, Quantity],
    *,
    rounded: bool = False,
) -> Given:
    try:
        if part.factors:
            return Given(part, tested(scores.results, part))
        quantity = quantities.get(part.measure, registration.measures[part.measure])
        return Given(part, scores.values(part, quantity, method, rounded=rounded))
    except NotMeasuredError as missing:
        return Given(part, missing=str(missing))


def _estimates(given: Sequence[Given], registration: Registration, resamples: int) -> list[Estimate | None]:
    """Return each part's estimate in units of its smallest effect, above 0 where as claimed; None where missing."""
    maps = {i: one.values for i, one in enumerate(given) if isinstance(one.values, PartValues)}
    frames = {i: values.numbers for i, values in maps.items()}
    out: list[Estimate | None] = [None] * len(given)
    if frames:
        seeds = sorted(set().union(*(frame.index for frame in frames.values())))
        images = sorted(set().union(*(frame.columns for frame in frames.values())))
        turned = [
            frame.reindex(index=seeds, columns=images).to_numpy(dtype=np.float64) * _scale(given[i].part, registration)
            for i, frame in frames.items()
        ]
        for (i, values), estimate in zip(maps.items(), means(turned, SEED, resamples), strict=True):
            out[i] = estimate._replace(bounds=values.bounds.weighted([_scale(given[i].part, registration)]))
    for i, one in enumerate(given):
        if isinstance(one.values, SizeTests):
            out[i] = _scaled(one.values.estimate(SEED, resamples), _scale(one.part, registration))
    return out


def _scale(part: Part, registration: Registration) -> float:
    return part.side / registration.smallest(part)


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    bounds = estimate.bounds.weighted([factor])
    return Estimate(estimate.value * factor, estimate.resampled * factor, estimate.table * factor, bounds)


def _findings(
    given: Sequence[Given], estimates: Sequence[Estimate | None], combined: Combined, registration: Registration
) -> tuple[PartFinding, ...]:
    """Return the parts with simultaneous bounds of those that decide, and the own bounds of the others."""
    deciding = iter(np.stack(combined.parts, axis=1))
    out = []
    for one, estimate in zip(given, estimates, strict=True):
        if one.values is None or estimate is None:
            out.append(PartFinding(one.part, missing=one.missing))
            continue
        ends = next(deciding) if one.part.decides else combine([estimate], registration.rule.confidence)[:3]
        unit = registration.smallest(one.part)
        counted = ~np.isnan(estimate.table)
        gaps = (one.values.left_out, one.values.defined) if isinstance(one.values, PartValues) else (0, 1.0)
        estimated, low, high = (float(end) * unit for end in ends)
        out.append(
            PartFinding(
                one.part,
                estimated,
                low,
                high,
                n_images=int(counted.any(axis=0).sum()),
                n_seeds=int(counted.any(axis=1).sum()),
                n_left_out=gaps[0],
                defined=gaps[1],
                cells=one.values.cells,
                training_data=one.values.training_data,
            )
        )
    return tuple(out)


@dataclass(frozen=True)
class Control:
    """A claim put to maps that know nothing of the network, or all of the mask.

    Attributes:
        method: of the control's maps.
        judged: the claim's verdict for them.
        ahead: the network's maps less the control's, in units of the smallest effects; None where not paired.
    """

    method: str
    judged: Judged
    ahead: Combined | None

    def passes(self) -> bool:
        """Whether the control passes the claim, or the network's maps are not ahead of it for sure."""
        return self.judged.verdict == "supported" or (self.ahead is not None and not self.ahead.is_above())


UNTRAINED = "untrained"
"""The control of what is measured beside the maps: a column `<metric>_untrained`, of a network with new weights."""


def controls(
    scores: ClaimScores, claim: Claim, registration: Registration, quantities: dict[str, Quantity]
) -> list[Control]:
    """Return a claim for each control of which it can be asked.

    Of claims about maps they are the registration's whose maps the run has; of what is measured beside the maps, the
    network without training, where the table has it; of test sizes none.
    """
    own = {part.measure: quantities.get(part.measure, registration.measures[part.measure]) for part in claim.deciding}
    if registration.about_maps(claim):
        asked = {method: (method, quantities) for method in registration.rule.controls}
    elif all(quantity.table for quantity in own.values()) and not any(part.factors for part in claim.deciding):
        columns = {name: f"{quantity.metric}_{UNTRAINED}" for name, quantity in own.items()}
        bare = {name: quantity.model_copy(update={"metric": columns[name]}) for name, quantity in own.items()}
        asked = {UNTRAINED: ("", bare)}
    else:
        asked = {}
    out = []
    for name, (method, others) in asked.items():
        judged = evaluate(scores, claim, registration, method=method, quantities=others)
        if judged.combined is None or math.isnan(judged.combined.estimate):
            continue  # not in the run, or without a value wherever it is asked
        out.append(Control(name, judged, _ahead(scores, claim, registration, quantities, (method, others))))
    return out


def _ahead(
    scores: ClaimScores,
    claim: Claim,
    registration: Registration,
    quantities: dict[str, Quantity],
    control: tuple[str, dict[str, Quantity]],
) -> Combined | None:
    """Return the network's values less those of a control, a method with its quantities, paired by seed and image."""
    pairs = [
        [_given(scores, part, registration, *asked).values for asked in (("", quantities), control)]
        for part in claim.deciding
    ]
    if not all(isinstance(values, PartValues) for pair in pairs for values in pair):
        return None
    less = [
        Given(part, replace(own, numbers=own.numbers - other.numbers, bounds=own.bounds.weighted([1, -1])))
        for part, (own, other) in zip(claim.deciding, pairs, strict=True)
        if isinstance(own, PartValues) and isinstance(other, PartValues)
    ]
    estimates = [one for one in _estimates(less, registration, RESAMPLES[0]) if one is not None]
    combined = combine(estimates, registration.rule.confidence, random=bool(claim.random), state=SEED)
    return None if math.isnan(combined.estimate) else combined


def instead(scores: ClaimScores, claim: Claim, registration: Registration) -> tuple[Judged, dict[str, Quantity]]:
    """Return a claim's verdict, and where its measure was not measured the nearest quantity that was.

    Quantities of one construct are tried in the order of the registration, so that runs from before a metric existed
    still say something; what they say is exploratory.
    """
    judged = evaluate(scores, claim, registration)
    if judged.verdict != NOT_MEASURED:
        return judged, {}
    for quantities in list(registration.alternatives(claim))[1:]:
        other = evaluate(scores, claim, registration, quantities=quantities)
        if other.verdict != NOT_MEASURED:
            return other, {
                name: one for name, one in quantities.items() if one.words != registration.measures[name].words
            }
    return judged, {}
