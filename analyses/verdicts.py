"""The verdict on each claim in the words of page and terminal: state, a sentence with the number, what limits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analyses import printing
from analyses.reading.states import NOT_MEASURED, NOT_REPLICATED, STATES, UNDECIDED

__all__ = ["CLAIMS", "STATES", "ClaimVerdict", "Mark", "of_frame"]

CLAIMS = "claims"
REACH = 2.0
"""Smallest effects from nothing to which the picture of a claim's parts reaches at least."""


@dataclass(frozen=True)
class Mark:
    """A part in the picture: place and ends as shares of its width, no effect being in the middle.

    `found` is the same in smallest effects, in words.
    """

    part: str
    state: str
    at: float
    low: float
    high: float
    found: str


@dataclass(frozen=True)
class ClaimVerdict:
    """What a claim says and what came of it.

    Attributes:
        claim, sentence: its number, and what it says.
        state: one of `STATES`.
        found: the number that decides, in a sentence; '' where nothing was measured.
        why: by which rule it is undecided, or why it was not measured; '' where the number says it.
        caveats: what limits the verdict, a sentence each.
        size: how many images and seeds, in words.
        marks: its parts, as far as they were measured.
        smallest: how far from the middle of their picture the smallest effect of interest is, as a share of its width.
    """

    claim: str
    sentence: str
    state: str
    found: str
    why: str
    caveats: list[str]
    size: str
    marks: list[Mark]
    smallest: float = 0.0

    def told(self, words: Callable[[str], str]) -> ClaimVerdict:
        """Return it with its sentences put into other words."""
        marks = [replace(mark, part=words(mark.part)) for mark in self.marks]
        caveats = [words(caveat) for caveat in self.caveats]
        sentence, found, why = map(words, (self.sentence, self.found, self.why))
        return replace(self, sentence=sentence, found=found, why=why, caveats=caveats, marks=marks)


def of_frame(frame: pd.DataFrame, units: Mapping[str, str]) -> list[ClaimVerdict]:
    """Return the verdict on each claim of a table of contrasts."""
    return [_verdict(str(claim), rows, units) for claim, rows in frame.groupby("claim", sort=False)]


def _verdict(claim: str, rows: pd.DataFrame, units: Mapping[str, str]) -> ClaimVerdict:
    counts = rows["counts"].astype(str) == "True"
    deciding, beside = (part[part["verdict"] != NOT_MEASURED] for part in (rows[counts], rows[~counts]))
    first = rows.iloc[0]
    state = str(first["overall"])
    if state == NOT_MEASURED or deciding.empty:
        return ClaimVerdict(claim, str(first["sentence"]), state, "", _why(str(first["overall_reason"])), [], "", [])
    why = "" if state == str(first.get("region", state)) != UNDECIDED else _why(str(first["overall_reason"]))
    caveats = [*_beside(beside, units), *re.split(r"(?<=\.) (?=[A-Z0-9])", str(first.get("caveat") or ""))]
    found = _found(deciding, first, state, units)
    said = [caveat for caveat in caveats if caveat]
    return ClaimVerdict(claim, str(first["sentence"]), state, found, why, said, _size(deciding), *_picture(deciding))


def _found(deciding: pd.DataFrame, first: pd.Series, state: str, units: Mapping[str, str]) -> str:
    """Return what was found: of a claim with one part its number, else the mean of the parts and what they say."""
    again = " Not replicated." if state in NOT_REPLICATED else ""
    if len(deciding) == 1:
        row = deciding.iloc[0]
        part = str(row["part"])
        limit = f"{float(row['smallest']):g}"
        return f"{printing.capital(part)}: {_number(row, units)}; smallest effect of interest: {limit}.{again}"
    mean = printing.cells(
        pd.DataFrame(
            [{"mean": first["statistic"], "mean_low": first["statistic_low"], "mean_high": first["statistic_high"]}]
        )
    )
    tally = ", ".join(f"{(deciding['verdict'] == name).sum()} {name}" for name in deciding["verdict"].unique())
    number = mean["mean"][0]
    return f"{number} smallest effects towards the claim, over {len(deciding)} parts, alone {tally}.{again}"


def _number(row: pd.Series, units: Mapping[str, str]) -> str:
    """Return an estimate with its interval and unit."""
    frame = pd.DataFrame([row])[["estimate", "low", "high"]].astype("float64")
    unit = units.get(str(row["metric"]), "")
    return " ".join(part for part in (printing.cells(frame)["estimate"][0], unit) if part)


def _beside(rows: pd.DataFrame, units: Mapping[str, str]) -> list[str]:
    """Return what is shown beside a claim and decides nothing."""
    parts = [str(part).removeprefix("beside it: ") for part in rows["part"]]
    told = zip(parts, (row for _, row in rows.iterrows()), strict=True)
    return [f"Beside it, {part}: {row['verdict']}, {_number(row, units)}." for part, row in told]


def _why(reason: str) -> str:
    """Return the rule behind a verdict, or what it takes that was not measured."""
    text = re.sub(r"^not measured \((.*)\)$", r"not measured: \1", reason)
    return f"{printing.capital(text)}." if text else ""


def _size(rows: pd.DataFrame) -> str:
    images, seeds = (_span(rows[name]) for name in ("n_images", "n_seeds"))
    return f"{images} images, {seeds} {'seed' if seeds == '1' else 'seeds'}"


def _span(values: pd.Series) -> str:
    """Return the least and the most of whole numbers: '4', or '4 to 100'."""
    numbers = values.dropna().astype(int)
    return " to ".join(map(str, sorted({numbers.min(), numbers.max()}))) if len(numbers) else "0"


def _picture(rows: pd.DataFrame) -> tuple[list[Mark], float]:
    """Return the parts that have an interval, on a scale on which all of them have room, and the smallest effect."""
    names = ["standardised", "standardised_low", "standardised_high"]
    ends = rows.reindex(columns=names).astype("float64")
    there = ends[np.isfinite(ends).all(axis=1)]
    reach = max(REACH, float(there.abs().to_numpy().max(initial=0.0)))
    shares = (0.5 + 0.5 * there / reach).round(4)
    found = printing.cells(ends.loc[there.index].set_axis(["mean", "mean_low", "mean_high"], axis=1))["mean"]
    parts, states = (rows.loc[there.index, name].astype(str) for name in ("part", "verdict"))
    places = zip(parts, states, *(shares[name] for name in names), found, strict=True)
    marks = [Mark(part, state, at, low, high, text) for part, state, at, low, high, text in places]
    return marks, round(0.5 / reach, 4)
