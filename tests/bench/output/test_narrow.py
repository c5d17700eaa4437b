"""What the stages timing and evidence end with, in terminals of 80 and of 40 columns: numbers whole, nothing cut."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from analyses.reading.timings import Timings
from bench import campaign
from bench.output.store import Store
from bench.timing import run as timing

RESULTS = Path(__file__).parents[3] / "results"


def lines(table: object, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as shown:
        console.print(table)
    return shown.get().splitlines()


@pytest.mark.parametrize("width", [80, 40])
def test_timings(width: int) -> None:
    store = Store(RESULTS / "timing")
    text = lines(timing.summary(store), width)
    assert max(map(len, text)) <= width
    assert not any("…" in line for line in text)
    told = [line.split()[0] for line in text if line[:6].strip().replace(".", "").isdigit()]
    rows = Timings.read(store.path("timing.json")).rows
    assert told == [f"{row['ratio']['median']:.3g}" for row in rows if row["ratio"] is not None]


@pytest.mark.parametrize("width", [80, 40])
def test_evidence(width: int) -> None:
    text = lines(campaign.summary(Store(RESULTS / "evidence")), width)
    assert max(len(line.rstrip()) for line in text) <= width
    rows = [line.split() for line in text if line.rstrip().endswith(("yes", "no")) and "%" in line]
    networks = pd.read_csv(RESULTS / "evidence" / "tables" / "known_evidence_networks.csv")
    assert len(rows) == len(networks) == 9
    assert [row[-1] for row in rows].count("yes") == networks["uses_cue"].sum() == 9
