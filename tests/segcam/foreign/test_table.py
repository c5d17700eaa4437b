"""The table of docs/networks.md says what is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import transformers

from tests.segcam.foreign.table import HEADER, ROWS, Row, available, line

PAGE = Path(__file__).parents[3] / "docs" / "networks.md"


@pytest.mark.skipif(transformers.__version__.startswith("4."), reason="modules are others in transformers 4")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_of_the_table(row: Row) -> None:
    if not available(row):
        pytest.skip("smp is not installed")
    assert line(row) in PAGE.read_text().splitlines(), "print the table anew: python -m tests.segcam.foreign.table"


def test_the_table_has_these_rows() -> None:
    rows = [text.split(" | ")[0].removeprefix("| ") for text in PAGE.read_text().splitlines() if text.startswith("| ")]
    assert rows == [HEADER[0], *(row.name for row in ROWS)]


def test_the_snippets_run_one_after_the_other() -> None:
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(snippet, names)
    assert names["maps"].shape == (1, 8, 8)  # type: ignore[attr-defined]
    assert names["capture"].logits.shape == (1, 1, 64, 64)  # type: ignore[attr-defined]
