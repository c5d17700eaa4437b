"""Pages of docs/ say what the code and the published results say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import analyses
from analyses.reading import states
from segcam.methods import METHODS
from segcam.metrics import METRICS
from tests.docs import cards
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


def test_cards_are_as_they_are_made() -> None:
    made, kept = (dict(leaves(one)) for one in (cards.cards(), json.loads(cards.FILE.read_text(encoding="utf-8"))))
    assert made == pytest.approx(kept, abs=2e-3), "write them anew: python -m tests.docs.cards"


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a file of JSON holds by its place."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, f"{at}/{key}")
    else:
        yield at, value


def test_cards_tell_merit_from_none() -> None:
    """The mask outdoes every blind map where a metric judges, but for what the page says fools it."""
    made = json.loads(cards.FILE.read_text(encoding="utf-8"))
    for name, card in made["metrics"].items():
        side = {"higher": 1, "lower": -1}.get(METRICS.get(name).direction, 0)
        mask, *blind = card["maps"].values()
        fine = made["cells"].index(1)
        assert all(side * mask[fine] >= side * scores[fine] for scores in blind if side), name


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
