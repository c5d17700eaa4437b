"""A claim decided: its verdict, and what qualifies it: controls that pass, other specifications, blank maps, seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from analyses import printing
from analyses.paper.claims.evaluation import Control, controls, instead
from analyses.paper.claims.multiverse import Specification, published, specifications
from analyses.paper.claims.registration import Quantity, Registration, registered
from analyses.paper.claims.values import ClaimScores
from analyses.paper.claims.verdicts import Judged, region
from analyses.reading.arrays import Floats, nan_mean
from analyses.reading.choices import model_of
from analyses.reading.results import Results
from analyses.reading.states import NOT_DISCRIMINATING, NOT_MEASURED, OPPOSITE, STATES, UNDECIDED
from analyses.statistics.combined import needed

MOST_SEEDS = 100
"""Trainings that are thought of where a claim is undecided."""
BLANK = 0.05
"""Share of the maps without a value from which on a verdict says so."""


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
        return NOT_MEASURED if combined is None else region(combined.low, combined.high, error=combined.error)

    @property
    def overall(self) -> str:
        """The verdict in a word or two."""
        return NOT_DISCRIMINATING if self.passing else self.judged.verdict

    @property
    def others(self) -> list[Specification]:
        """The specifications but for the registered one."""
        return [one for one in self.specifications if not one.registered]

    @property
    def agreement(self) -> float | None:
        """The share of other specifications in the region of the verdict; None without any."""
        if self.judged.combined is None or not self.others:
            return None
        return sum(one.verdict == self.region for one in self.others) / len(self.others)

    @cached_property
    def seeds_needed(self) -> float:
        """The trainings that would decide, were the estimate the truth: inf for more than `MOST_SEEDS`.

        NaN where the claim is decided, or was not measured, or of one training, which does not tell how others differ.
        """
        combined = self.judged.combined
        if combined is None or self.judged.verdict != UNDECIDED or combined.table.shape[-2] < 2:
            return math.nan
        seeds = needed(combined, most=MOST_SEEDS)
        return math.inf if seeds is None else seeds

    @property
    def by_training(self) -> Floats:
        """What each training alone comes to, in units of the smallest effects; of maps without a value the mean."""
        combined = self.judged.combined
        if combined is None or not combined.table.size:
            return np.empty(0)
        table = combined.table
        return nan_mean(np.moveaxis(table, -2, 0).reshape(table.shape[-2], -1))

    @property
    def reason(self) -> str:
        """Why it is in its state, in words."""
        if self.judged.verdict == NOT_MEASURED:
            return f"not measured ({self.judged.reason})"
        if self.passing:
            names = ", ".join(name.replace("_", " ") for name in self.passing)
            return f"{names} {'passes' if len(self.passing) == 1 else 'pass'} it, too"
        return self.judged.reason


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
    if kept != registration.sha256:
        return "its scores were begun under another registration"
    models = [model for family in registration.families if (model := model_of(results, family))]
    trained = {seed for model in models for seed in results.seeds(model)}
    others = [f"{seed}" for seed in sorted(trained - set(registration.seeds))]
    if not others:
        return ""
    return (
        f"seed{'s' * (len(others) > 1)} {printing.listed(others)} {'are' if len(others) > 1 else 'is'} not registered"
    )


def caveat(one: Decided) -> str:
    """Return what limits a verdict, a sentence each; '' for one that was not measured."""
    if one.judged.combined is None:
        return ""
    registration = registered()
    said = [f"Exploratory: {one.exploratory}."] if one.exploratory else []
    share = min((part.defined for part in one.judged.parts if part.part.decides and not part.missing), default=1.0)
    if 1 - share >= BLANK:
        said.append(f"Up to {100 * (1 - share):.0f} % of the maps of a part are blank or undefined.")
    alike = [control.method.replace("_", " ") for control in one.controls if control.judged.verdict == OPPOSITE]
    if one.judged.verdict == OPPOSITE and alike:  # what shows no more than a place does not count against a claim alone
        names = printing.capital(printing.listed(alike))
        said.append(f"{names} {'is' if len(alike) == 1 else 'are'} opposite, too.")
    agreed = one.agreement
    if agreed is not None and agreed < registration.rule.agreement:
        said.append(f"{100 * agreed:.0f} % of {len(one.others)} other choices agree.")
    if not math.isnan(one.seeds_needed):
        number = f"more than {MOST_SEEDS}" if math.isinf(one.seeds_needed) else f"{one.seeds_needed:.0f}"
        said.append(f"It takes {number} trainings to decide, were the estimate the truth.")
    if one.judged.verdict == UNDECIDED:
        if one.judged.claim.underpowered:
            said.append("The registration calls it underpowered.")
        if one.judged.claim.power is None:
            said.append("Its power is not known.")
    return " ".join(said)


def finding(decided: Sequence[Decided]) -> str:
    """Say which claims are in which state."""
    words = []
    for state in STATES:
        claims = [one.judged.claim.id for one in decided if one.overall == state]
        words += [f"{state}: {printing.listed(claims)}"] if claims else []
    text = "; ".join(words)
    return f"{printing.capital(text)}."
