"""Pages of docs/ say what the code and the published results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import analyses
from analyses.reading import states
from segcam.methods import METHODS
from segcam.metrics import METRICS
from tests.docs.tables import MARKED, PAGES, ROOT, filled

DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if MARKED.search(page.read_text())], ids=lambda page: page.stem
)
def test_tables_are_as_they_are_made(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "write them anew: python -m tests.docs.tables"


def test_every_metric_has_a_card() -> None:
    text = (DOCS / "which-metric.md").read_text(encoding="utf-8")
    cards = dict(re.findall(r"^### `(\w+)`\n\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL))
    assert set(cards) == set(METRICS.names())
    for name, card in cards.items():
        assert f"<!-- made: metric {name} -->" in card
        assert all(f"**{word}**" in card for word in ("Asks", "Take it", "Fooled by")), name


def test_every_method_is_in_a_table() -> None:
    text = (DOCS / "which-method.md").read_text(encoding="utf-8")
    for name in METHODS.names():
        assert f"\n| `{name}` |" in text


def test_every_state_of_a_claim_is_explained() -> None:
    text = (DOCS / "reading.md").read_text(encoding="utf-8").partition("## Verdicts")[2].partition("\n## ")[0]
    named = re.findall(r"^\| (\w[\w ]+) \| (?!means)", text, re.MULTILINE)
    assert named == list(states.STATES)


def test_what_to_read_first_is_there() -> None:
    text = (DOCS / "reading.md").read_text(encoding="utf-8").partition("## Verdicts")[0]
    named = set(re.findall(r"`(\w+)`", text)) - {"report", "tables"}
    assert len(named) > 6
    assert named <= {*analyses.find(), *METRICS.names()}
