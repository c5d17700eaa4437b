"""What docs/operating.md says of the rule of verdicts is so, simulated from what is published, at a small size."""

from __future__ import annotations

import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from analyses import Results
from analyses.paper.claims.operating import (
    HEAD,
    PHOTOGRAPHS,
    SHAPES,
    UNKNOWN,
    Published,
    characteristics,
    intervals,
    intervals_of,
    photographs,
    published,
)
from analyses.paper.claims.registration import registered
from tests.docs import study

ROOT = Path(__file__).parents[2]
DATA_SETS = 60
POWERFUL = ("C2", "C3", "C4", "C6", "C7", "C8")
"""Claims that are supported in 80 % of the data sets where they are true at twice their smallest effect."""


PILOT, REGISTERED = f"results/{study.PETS}", f"results/{study.REGISTERED}"
"""The folders that the page's tables are of."""


@cache
def claims(folder: str = PILOT) -> dict[str, Published]:
    return {one.claim.id: one for one in published(Results(ROOT / folder))}


def rows_of(arguments: str) -> list[list[str]]:
    """The cells of the rows of the page's table that a command prints."""
    text = (ROOT / "docs" / "operating.md").read_text()
    _, command, behind = text.partition(f"\npython -m analyses.paper.claims.operating {arguments}\n")
    assert command, arguments
    table = behind[behind.index("\n| claim ") :].lstrip("\n").partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| \w\d .*", table, re.MULTILINE)
    ]


def told(folder: str = PILOT) -> dict[tuple[str, str], dict[str, str]]:
    """The page's rows of a folder, by claim and trainings."""
    return {(row[0], row[1]): dict(zip(HEAD, row, strict=True)) for row in rows_of(folder)}


def unknown() -> dict[str, dict[str, str]]:
    """The page's rows of claims whose power the registration does not know."""
    return {row[0]: dict(zip(UNKNOWN, row, strict=True)) for row in rows_of("results/quick --unknown")}


def near(found: float, percent: str) -> bool:
    """Whether a share of the few data sets is what the page's percentage says, within four standard errors."""
    share = float(percent) / 100
    return abs(found - share) <= 4 * (max(share * (1 - share), 0.02) / DATA_SETS) ** 0.5


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *((PILOT, claim.id) for claim in registered().claims if claim.power is not None),
        *((REGISTERED, name) for name in ("C1", "C2", "C3", "C4", "H1", "H2", "D1")),
    ],
)
def test_the_rule_does_as_the_page_says(folder, name, record_property) -> None:
    one = claims(folder)[name]
    for shape in SHAPES:
        ends = intervals(one.table, one.claim.seeds, shape, data_sets=DATA_SETS, resamples=200, state=7)
        found = characteristics(ends)
        row = told(folder)[name, f"{one.claim.seeds}, {shape}"]
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


def test_a_claim_has_power_or_is_called_underpowered() -> None:
    rows = {name: row for (name, trainings), row in told().items() if trainings.endswith("normal")}
    assert [name for name, row in rows.items() if float(row["2: supported"]) >= 80] == list(POWERFUL)
    assert [claim.id for claim in registered().claims if claim.underpowered] == [
        name for name in rows if name not in POWERFUL
    ]
    assert [claim.id for claim in registered().claims if claim.power is None] == ["H1", "H2", "D1"]
    for claim in registered().claims:
        if claim.power is None:
            assert claim.id not in claims(), "what is published tells its power"
            continue
        assert claim.power == pytest.approx(float(rows[claim.id]["2: supported"]) / 100, abs=0.011)
        assert rows[claim.id]["registered power"] == f"{100 * claim.power:.0f} %"


@pytest.mark.parametrize("name", [claim.id for claim in registered().claims if claim.power is None])
def test_of_claims_without_power_the_page_says_what_is_known(name, record_property) -> None:
    claim, row = next(claim for claim in registered().claims if claim.id == name), unknown()[name]
    deviation, known = photographs(Results(ROOT / "results" / "quick"), claim)
    assert (row["trainings"], row["photographs differ by"]) == (str(claim.seeds), f"{deviation:.2f}")
    assert row["known from"] == known
    apart = row["80 % up to trainings that differ by"]
    for trainings, column in ((0.0, "2: supported, trainings alike"), (float(apart or 0), None)):
        variances = {(0,): trainings**2, (1,): deviation**2}
        found = characteristics(intervals_of(variances, (claim.seeds, PHOTOGRAPHS), "normal", DATA_SETS, 200, state=7))
        record_property(f"power, trainings that differ by {trainings}", found.power)
        assert near(found.power, row[column] if column else "80" if apart else row["2: supported, trainings alike"])
        if not trainings:
            assert near(found.supported + found.opposite, row["0: supported or opposite"])
        assert found.supported + found.opposite <= 0.05


def test_the_photographs_are_those_of_the_study_to_come() -> None:
    profile = tomllib.loads((ROOT / "bench" / "profiles" / "pets.toml").read_text())
    assert profile["faithfulness"]["images"] == PHOTOGRAPHS
