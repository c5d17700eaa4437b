"""The verdicts on the paper's claims, from the table of the analysis that judges them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analyses.artifacts import Section, Table

CLAIMS = "claims"
_NEEDED = ("claim", "sentence", "overall", "overall_reason", "counts", "n_images", "n_seeds")


@dataclass(frozen=True)
class Verdict:
    """What a claim says, what came of it and why, and on how many images and seeds."""

    claim: str
    sentence: str
    verdict: str
    reason: str
    images: str
    seeds: str


def of(sections: Sequence[Section]) -> list[Verdict]:
    """Return the verdict on each claim, by claim; none where no section judges claims."""
    found = []
    for table in _tables(sections):
        for claim, rows in table.frame.groupby("claim", sort=False):
            first, counted = rows.iloc[0], rows[rows["counts"].astype(str) == "True"]
            words = [str(first[name]) for name in ("sentence", "overall", "overall_reason")]
            numbers = [_span(counted[name]) for name in ("n_images", "n_seeds")]
            found.append(Verdict(str(claim), *words, *numbers))
    return found


def _tables(sections: Sequence[Section]) -> Iterator[Table]:
    for part in sections:
        for item in part.items:
            if isinstance(item, Table) and item.name == CLAIMS and set(_NEEDED) <= set(item.frame.columns):
                yield item


def _span(values: pd.Series) -> str:
    """Return the least and the most of whole numbers: '4', or '4 to 100'."""
    there = values.dropna()
    ends = sorted({int(there.min()), int(there.max())}) if len(there) else [0]
    return " to ".join(map(str, ends))
