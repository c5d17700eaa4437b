"""What docs/operating.md says of the rule of verdicts is so, simulated from what is published, at a small size."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

from analyses import Results
from analyses.paper.claims.operating import (
    HEAD,
    SHAPES,
    Published,
    characteristics,
    intervals,
    published,
)
from analyses.paper.claims.registration import registered
from tests.docs import study

ROOT = Path(__file__).parents[2]
DATA_SETS = 60
DECIDED = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "H1", "H2", "D1")
"""Claims that the published study says something of; those of networks that were not run have no power yet."""


@cache
def claims() -> dict[str, Published]:
    return {one.claim.id: one for one in published(Results(study.STUDY))}


def rows() -> dict[tuple[str, str], dict[str, str]]:
    """The rows of the page's table, by claim and trainings."""
    text = (ROOT / "docs" / "operating.md").read_text()
    table = text[text.index("\n| claim ") :].lstrip("\n").partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {(row[0], row[1]): dict(zip(HEAD, row, strict=True)) for row in cells}


def near(found: float, percent: str) -> bool:
    """Whether a share of the few data sets is what the page's percentage says, within four standard errors."""
    share = float(percent) / 100
    return abs(found - share) <= 4 * (max(share * (1 - share), 0.02) / DATA_SETS) ** 0.5


def test_the_page_has_the_claims_that_are_published() -> None:
    assert tuple(claims()) == DECIDED
    assert {claim for claim, _ in rows()} == set(DECIDED)


@pytest.mark.parametrize("name", DECIDED)
def test_the_rule_does_as_the_page_says(name, record_property) -> None:
    one = claims()[name]
    for shape in SHAPES:
        ends = intervals(one.table, one.claim.seeds, shape, data_sets=DATA_SETS, resamples=200, state=7)
        found = characteristics(ends)
        row = rows()[name, f"{one.claim.seeds}, {shape}"]
        record_property(f"false verdicts, {shape} trainings", found.supported + found.opposite)
        record_property(f"power, {shape} trainings", found.power)
        false, power = 100 * (found.supported + found.opposite), 100 * found.power
        sys.stdout.write(f"{name}, {shape} trainings: {false:.1f} % false verdicts, power {power:.0f} %\n")
        assert false <= 5
        assert max(float(row["0: supported"]), float(row["0: opposite"])) <= 2.5
        assert near(found.supported, row["0: supported"])
        assert near(found.opposite, row["0: opposite"])
        assert near(found.negligible, row["0: negligible"])
        assert near(found.power, row["2: supported"])
        assert near(found.power_opposite, row["-2: opposite"])
        assert near(found.coverage, row["coverage"])
        assert row["measured by"] == one.measured


def test_the_page_says_what_was_registered() -> None:
    for claim in registered().claims:
        if claim.id in DECIDED:
            power = "" if claim.power is None else f"{100 * claim.power:.0f} %"
            assert rows()[claim.id, f"{claim.seeds}, normal"]["registered power"] == power
        assert claim.underpowered == (claim.power is not None and claim.power < 0.8), claim.id
