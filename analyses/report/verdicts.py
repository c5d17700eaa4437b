"""The verdict on each claim, in the words of the page: its state, a sentence with the number, what limits it.

The page tells states that a table of contrasts holds, be its verdicts by the present rule or by an earlier one: what
was not measured, and what is smaller than the smallest effect of interest, are no longer 'undecided'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import Section, Table
from analyses.reading.states import (
    CONTRADICTED,
    NEGLIGIBLE,
    NOT_MEASURED,
    SUPPORTED,
    UNDECIDED,
    overall_state,
    state_of,
)

CLAIMS = "claims"
STATES = {
    SUPPORTED: "the interval lies on the claimed side",
    CONTRADICTED: "the interval of a part lies on the other side",
    NEGLIGIBLE: "the interval holds no effect as large as the smallest of interest",
    UNDECIDED: "the interval holds both, or a rule forbids a verdict",
    NOT_MEASURED: "this run has not what it takes",
}
"""The states in the order of the page, and what each means."""
LOST = 0.05
"""Share of images without a value from which on a verdict says so."""
REACH = 3.0
"""Standard deviations from the null value at which the picture of a contrast ends, in front of its edge."""
EDGE = 0.96


@dataclass(frozen=True)
class Mark:
    """A contrast in the picture: place and ends as shares of its width, the null value being in the middle."""

    part: str
    state: str
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class ClaimVerdict:
    """What a claim says and what came of it.

    Attributes:
        claim, sentence: its number, and what it says.
        state: one of `STATES`, or another word of the table.
        found: the telling contrast in a sentence with its number; '' where nothing was measured.
        why: by which rule it is undecided, or why it was not measured; '' where the number says it.
        caveats: what limits the verdict, a sentence each.
        size: how many images and seeds, in words.
        marks: its contrasts, as far as they were measured.
    """

    claim: str
    sentence: str
    state: str
    found: str
    why: str
    caveats: list[str]
    size: str
    marks: list[Mark]


def of(sections: Sequence[Section], units: Mapping[str, str] | None = None) -> list[ClaimVerdict]:
    """Return the verdict on each claim, by claim; none where no section judges claims.

    Args:
        sections: of the page.
        units: the unit of each metric.
    """
    tables = [item for section in sections for item in section.items if isinstance(item, Table) and item.name == CLAIMS]
    return [verdict for table in tables for verdict in of_frame(table.frame, units or {})]


def of_frame(frame: pd.DataFrame, units: Mapping[str, str]) -> list[ClaimVerdict]:
    """Return the verdict on each claim of a table of contrasts."""
    return [_verdict(str(claim), rows, units) for claim, rows in frame.groupby("claim", sort=False)]


def _verdict(claim: str, rows: pd.DataFrame, units: Mapping[str, str]) -> ClaimVerdict:
    rows = rows.assign(state=[state_of(str(row["verdict"]), str(row.get("reason", ""))) for _, row in rows.iterrows()])
    counts = rows["counts"].astype(str) == "True"
    deciding, controls = rows[counts], rows[~counts]
    first, state = rows.iloc[0], overall_state(str(rows["overall"].iloc[0]), list(deciding["state"]))
    measured = deciding[deciding["state"] != NOT_MEASURED]
    found = "" if measured.empty else _found(measured, state, len(deciding), units)
    bare = measured.empty or state == UNDECIDED
    why = _why(str(first["overall_reason"])) if bare else ""
    caveats = [] if measured.empty else [*_controls(controls, units), *_limits(deciding, measured)]
    size = "" if measured.empty else _size(measured)
    marks = [mark for row in measured.to_dict("records") if (mark := _mark(row))]
    return ClaimVerdict(claim, str(first["sentence"]), state, found, why, caveats, size, marks)


def _found(measured: pd.DataFrame, state: str, number: int, units: Mapping[str, str]) -> str:
    """Return the telling contrast with its number: of a supported claim the weakest, else the one that decides."""
    telling = measured[measured["state"] == state]
    telling = measured if telling.empty else telling
    far = telling["standardised"].astype("float64").abs()
    row = telling.iloc[int((far if state == SUPPORTED else -far).fillna(math.inf).to_numpy().argmin())]
    part = str(row["part"])
    said = f"{part[:1].upper()}{part[1:]}: {_number(row, units)}, where the claim says {_side(row)}."
    if number == 1:
        return said
    tally = [f"{(measured['state'] == name).sum()} {name}" for name in measured["state"].unique()]
    tally += [f"{number - len(measured)} {NOT_MEASURED}"] if number > len(measured) else []
    return f"{said} Of {number} parts: {', '.join(tally)}."


def _number(row: pd.Series, units: Mapping[str, str]) -> str:
    """Return an estimate with its interval and unit."""
    frame = pd.DataFrame([row])[["estimate", "low", "high"]].astype("float64")
    unit = units.get(str(row["metric"]), "")
    return " ".join(part for part in (printing.cells(frame)["estimate"][0], unit) if part)


def _side(row: pd.Series) -> str:
    return f"{row['side']} {float(row['null']):g}".replace("-", printing.MINUS)


def _controls(controls: pd.DataFrame, units: Mapping[str, str]) -> list[str]:
    said = []
    for _, row in controls[controls["state"] != NOT_MEASURED].iterrows():
        part = re.sub(r"^control: ", "", str(row["part"]))
        said.append(f"Control, {part}: {row['state']}, {_number(row, units)}.")
    return said


def _limits(deciding: pd.DataFrame, measured: pd.DataFrame) -> list[str]:
    said = []
    of_all = (
        measured["n_images"].astype(float) + measured["n_left_out"].astype(float) if "n_left_out" in measured else 0
    )
    lost = float((measured["n_left_out"] / of_all).max()) if "n_left_out" in measured else 0.0
    if lost >= LOST:
        several = "Up to " if len(deciding) > 1 else ""
        said.append(
            f"{several}{100 * lost:.0f} % of the images are left out: some map of theirs is blank or undefined."
        )
    if int(measured["n_seeds"].max()) == 1:
        said.append("One seed: of this network, not of others trained alike.")
    return said


def _why(reason: str) -> str:
    """Return the rule behind a verdict, without what the card says elsewhere."""
    rule = re.sub(r"^\d+ of \d+ contrasts supported, \d+ contradicted[;:] ", "", reason)
    text = re.sub(r"^not measured \((.*)\)$", r"\1", re.sub(r"^one seed: .*?(; |$)", "", rule))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _size(rows: pd.DataFrame) -> str:
    images, seeds = (_span(rows[name]) for name in ("n_images", "n_seeds"))
    return f"{images} images, {seeds} {'seed' if seeds == '1' else 'seeds'}"


def _span(values: pd.Series) -> str:
    """Return the least and the most of whole numbers: '4', or '4 to 100'."""
    numbers = values.dropna().astype(int)
    return " to ".join(map(str, sorted({numbers.min(), numbers.max()}))) if len(numbers) else "0"


def _mark(row: Mapping[Any, Any]) -> Mark | None:
    """Return a contrast's place in the picture; None where its images do not differ, or none was drawn."""
    values = [float(row.get(name, math.nan)) for name in ("standardised", "standardised_low", "standardised_high")]
    if not all(map(math.isfinite, values)):
        return None
    at, low, high = (round(0.5 + 0.5 * max(-EDGE, min(EDGE, value / REACH)), 4) for value in values)
    return Mark(str(row["part"]), str(row["state"]), at, low, high)
