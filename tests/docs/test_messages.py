"""The messages that docs/troubleshooting.md and docs/faq.md explain are those that the code gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCHVISION = "operator torchvision::nms does not exist"  # is torchvision's own
LEFT_OUT = "…"


def rows(page: str, heading: str) -> list[str]:
    """The first cells of a page's tables with such a head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [
        cell
        for table in re.findall(rf"^\| {heading} \|.*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE)
        for cell in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    ]


@cache
def texts() -> tuple[str, ...]:
    """Every text of the code, with a mark where a value is put in."""
    files = [file for package in ("segcam", "bench", "analyses") for file in sorted((ROOT / package).rglob("*.py"))]
    return tuple(text for file in files for text in _texts(ast.parse(file.read_text(encoding="utf-8"))))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else LEFT_OUT for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def told(message: str) -> bool:
    pattern = re.compile(".*".join(map(re.escape, filter(None, message.split(LEFT_OUT)))), re.DOTALL)
    return any(pattern.search(text) for text in texts())


@pytest.mark.parametrize("message", [*rows("troubleshooting.md", "message"), *rows("faq.md", "it says")])
def test_the_code_says_so(message: str) -> None:
    assert message == TORCHVISION or told(message), message


def test_there_are_messages_and_no_other_is_taken_for_one() -> None:
    assert len(rows("troubleshooting.md", "message")) > 30
    assert len(rows("faq.md", "it says")) == 4
    assert not told("the network … returned a cat")
