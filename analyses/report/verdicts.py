"""The verdict on each claim, in the words of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analyses.artifacts import Section, Table

CLAIMS = "claims"


@dataclass(frozen=True)
class ClaimVerdict:
    """What a claim says, what came of it and why, and on how many images and seeds."""

    claim: str
    sentence: str
    verdict: str
    reason: str
    images: str
    seeds: str


def of(sections: Sequence[Section]) -> list[ClaimVerdict]:
    """Return the verdict on each claim, by claim; none where no section judges claims."""
    tables = [item for section in sections for item in section.items if isinstance(item, Table) and item.name == CLAIMS]
    return [_verdict(str(claim), rows) for table in tables for claim, rows in table.frame.groupby("claim", sort=False)]


def _verdict(claim: str, rows: pd.DataFrame) -> ClaimVerdict:
    first, counted = rows.iloc[0], rows[rows["counts"].astype(str) == "True"]
    words = [str(first[name]) for name in ("sentence", "overall", "overall_reason")]
    return ClaimVerdict(claim, *words, *(_span(counted[name]) for name in ("n_images", "n_seeds")))


def _span(values: pd.Series) -> str:
    """Return the least and the most of whole numbers: '4', or '4 to 100'."""
    numbers = values.dropna().astype(int)
    return " to ".join(map(str, sorted({numbers.min(), numbers.max()}))) if len(numbers) else "0"
