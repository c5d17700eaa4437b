"""From an interval to a verdict: beyond the smallest effect of interest, within it, or neither."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from numpy.typing import ArrayLike

from analyses.paper.claims.registration import Claim, Part, Rule
from analyses.statistics.combined import Combined
from analyses.statistics.decisions import near

Verdict = Literal["supported", "opposite", "negligible", "undecided", "not measured"]


@dataclass(frozen=True)
class PartFinding:
    """What was found of a part; NaN where nothing was.

    Attributes:
        part: what was compared.
        estimate, low, high: in the measure's unit, turned so that the claimed side is above 0; the bounds hold for all
            parts of the claim at once.
        n_images, n_seeds, n_left_out: what it is of, and images without a value.
        defined: the share of the seeds' images with a value; the others' maps are blank or undefined.
        cells, training_data: models and levels, and what the networks were trained on, in words.
        missing: what was not measured; '' where all was.
    """

    part: Part
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n_images: int = 0
    n_seeds: int = 0
    n_left_out: int = 0
    defined: float = math.nan
    cells: str = ""
    training_data: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim's verdict for the maps of one method.

    Attributes:
        claim: of which it is.
        verdict: one of five.
        reason: in words.
        combined: the mean of the deciding parts in units of their smallest effects, above 0 where as claimed; None
            where it was not measured.
        parts: all of them.
    """

    claim: Claim
    verdict: Verdict
    reason: str
    combined: Combined | None = None
    parts: Sequence[PartFinding] = field(default_factory=tuple)


def region(low: float, high: float, smallest: float = 1.0, error: ArrayLike = 0.0) -> Verdict:
    """Return where an interval lies: beyond the smallest effect on either side, within both, or across a border.

    Args:
        low: its lower end.
        high: its upper end.
        smallest: the smallest effect, a border on either side of 0.
        error: the ends' standard error that comes of drawing no more resamples, one of both or one each. An end that
            other resamples could put on the other side of a border lies across it.

    >>> region(1.2, 3.0), region(-0.4, 0.8), region(-2.0, -1.1), region(0.4, 2.0), region(1.2, 3.0, error=0.1)
    ('supported', 'negligible', 'opposite', 'undecided', 'undecided')
    """
    if at_border(low, high, smallest, error):
        return "undecided"
    if low > smallest:
        return "supported"
    if high < -smallest:
        return "opposite"
    return "negligible" if -smallest < low and high < smallest else "undecided"


def at_border(low: float, high: float, smallest: float = 1.0, error: ArrayLike = 0.0) -> bool:
    """Return whether an end lies so near a smallest effect that other resamples could cross it. See `region`."""
    return any(bool(near([low, high], border, error).any()) for border in (smallest, -smallest))


def within_noise(combined: Combined) -> bool:
    """Return whether that is so of the interval of a claim."""
    return at_border(combined.low, combined.high, error=combined.error)


def lacking(rule: Rule, images: int, seeds: int) -> str:
    """Return what a verdict lacks, in few words: images, or trainings; '' where it has enough of both."""
    if images < rule.images:
        return f"{images} of {rule.images} images"
    return f"{seeds} of {rule.seeds} trainings" if seeds < rule.seeds else ""


def judge(combined: Combined, rule: Rule, images: int, seeds: int) -> tuple[Verdict, str]:
    """Return the verdict on a claim, and why, from the mean of its parts in units of their smallest effects."""
    if images < rule.images:
        return "undecided", f"too few images with a value ({images}; {rule.images} are needed)"
    if seeds < rule.seeds:
        trainings = "one training" if seeds == 1 else f"{seeds} trainings"
        return "undecided", f"{trainings}, where a verdict takes {rule.seeds}: it speaks of these networks alone"
    if math.isnan(combined.low) or math.isnan(combined.high):
        return "undecided", "no interval: too few images and seeds have a value"
    if within_noise(combined):
        return "undecided", NOISE
    verdict = region(combined.low, combined.high)
    return verdict, REASONS[verdict]


NOISE = "an end of the interval lies at the smallest effect, within the bootstrap's own noise"
REASONS: Mapping[Verdict, str] = {
    "supported": "the whole interval lies beyond the smallest effect, as claimed",
    "opposite": "the whole interval lies beyond the smallest effect, against the claim",
    "negligible": "the whole interval lies within the smallest effect of nothing",
    "undecided": "the interval crosses the smallest effect",
    "not measured": "",
}


def in_words(rule: Rule) -> str:
    """Return the rule of verdicts in a few sentences."""
    return (
        f"One number decides on a claim: the mean of its parts, each in units of its smallest effect of "
        f"interest, with a {100 * rule.confidence:.0f} % interval over seeds and images (and over blocks, where parts "
        f"are a sample of them). Wholly beyond 1 it is supported, wholly below \N{MINUS SIGN}1 opposite, wholly "
        "between them negligible, else undecided. Opposite and negligible claims are not replicated. A claim "
        f"that maps which know nothing of the network pass as well is not discriminating. Verdicts take "
        f"{rule.images} images and {rule.seeds} trainings."
    )
