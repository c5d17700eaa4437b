"""From numbers to a verdict, by rules written before the numbers: interval and effect first, p last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analyses.paper.claims.statements import Claim, Contrast

SEEDS_FOR_LEVELS = 3
"""Trainings that a claim about levels takes: one checkpoint a level cannot tell the level from the training."""
FEWEST = 6
"""Images that a verdict takes: with five, no two-sided test at 5 % could speak."""
ALPHA = 0.05
ONE_SEED = "one seed: of these networks, not of others trained alike"
RULE = (
    "A contrast is supported (contradicted) where its 95 % interval lies wholly on the claimed (other) side of the "
    "null value, the estimate is the smallest effect of interest away from it or more, the ranks point the same way, "
    f"and Holm's p is below {ALPHA}; else it is undecided. Below {FEWEST} images nothing is decided, and a claim about "
    f"levels takes {SEEDS_FOR_LEVELS} seeds. A claim is supported where all its contrasts are, contradicted where one "
    "is; controls do not count."
)
Verdict = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class Finding:
    """What was found of a contrast; NaN where nothing was.

    Attributes:
        claim: of which it is.
        contrast: what was compared.
        estimate: in the metric's unit, with the bounds `low` and `high` of its 95 % interval.
        deviation: the standard deviation over the images of their means over seeds, which standardises the estimate.
        effect: between -1 and 1; of what kind, `effect_kind` says.
        p: raw, two-sided.
        mixed: the mixed model's estimate and bounds, a check; NaN with one seed.
        n_images, n_seeds, n_left_out: what it is of, and images without a value.
        cells: models and levels, in words.
        training_data: what the networks were trained on.
        missing: what was not measured; '' where all was.
    """

    claim: Claim
    contrast: Contrast
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    deviation: float = math.nan
    effect: float = math.nan
    effect_kind: str = ""
    p: float = math.nan
    mixed: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    n_images: int = 0
    n_seeds: int = 0
    n_left_out: int = 0
    cells: str = ""
    training_data: str = ""
    missing: str = ""

    def oriented(self, value: float) -> float:
        """Return how far a value lies on the claimed side of the null value, in the metric's unit."""
        return self.contrast.side * (value - self.contrast.null)

    def standardised(self, value: float) -> float:
        """Return the same in standard deviations over images; NaN where they do not differ."""
        return self.oriented(value) / self.deviation if self.deviation > 0 else math.nan


def judge(finding: Finding, adjusted: float) -> tuple[Verdict, str]:
    """Return the verdict on a contrast and its reason in words.

    Args:
        finding: what was measured of the contrast.
        adjusted: p, corrected for the claim's other contrasts.
    """
    if refused := _refused(finding):
        return "undecided", refused
    near, far = sorted((finding.oriented(finding.low), finding.oriented(finding.high)))
    null, smallest = finding.contrast.null, finding.contrast.smallest
    if near <= 0 <= far:
        return "undecided", f"the interval holds {null:g}" + (
            f" and nothing as far from it as {smallest:g}" if max(-near, far) < smallest else ""
        )
    claimed = near > 0
    side = "on the claimed side" if claimed else "on the other side"
    if abs(finding.oriented(finding.estimate)) < smallest:
        return "undecided", f"{side}, but smaller than the smallest effect of interest, {smallest:g}"
    if finding.effect * finding.contrast.side * (1 if claimed else -1) < 0:
        return "undecided", f"the mean is {side}, the ranks are not"
    if not adjusted < ALPHA:
        return "undecided", f"{side}, but p after Holm is {adjusted:.2g}"
    alone = f"; {ONE_SEED}" if finding.n_seeds == 1 else ""
    return "supported" if claimed else "contradicted", f"the interval is wholly {side}{alone}"


def _refused(finding: Finding) -> str:
    """Return the rule by which nothing can be said; '' where there is none."""
    if finding.missing:
        return f"not measured ({finding.missing})"
    if finding.claim.about_levels and finding.n_seeds < SEEDS_FOR_LEVELS:
        seeds = "one seed" if finding.n_seeds == 1 else f"{finding.n_seeds} seeds"
        return f"by rule: a claim about levels takes {SEEDS_FOR_LEVELS} seeds, here {seeds}"
    if finding.n_images < FEWEST:
        return f"too few images with a value ({finding.n_images}; {FEWEST} are needed)"
    if math.isnan(finding.low) or math.isnan(finding.high):
        return "no interval: too few images have a value for every seed"
    return ""


def overall(verdicts: Sequence[tuple[Contrast, Verdict, str]]) -> tuple[Verdict, str]:
    """Return the verdict on a claim from those on its contrasts, and its reason."""
    counting = [(verdict, reason) for contrast, verdict, reason in verdicts if contrast.counts]
    number = {name: sum(verdict == name for verdict, _ in counting) for name in ("supported", "contradicted")}
    counts = f"{number['supported']} of {len(counting)} contrasts supported, {number['contradicted']} contradicted"
    if any(ONE_SEED in reason for _, reason in counting):
        counts += f"; {ONE_SEED}"
    if number["contradicted"]:
        return "contradicted", counts if len(counting) > 1 else counting[0][1]
    if number["supported"] == len(counting):
        return "supported", counts if len(counting) > 1 else counting[0][1]
    reasons = list(dict.fromkeys(reason for verdict, reason in counting if verdict == "undecided"))
    if number["supported"] or len(reasons) > 1:
        return "undecided", f"{counts}; {reasons[0]}" if number["supported"] else f"{counts}: {'; '.join(reasons[:2])}"
    return "undecided", reasons[0]
