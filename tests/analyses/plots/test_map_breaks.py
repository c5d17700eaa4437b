"""Pages of maps that are higher than a journal prints."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analyses.artifacts import Caption
from analyses.paper.map_figures import figures
from analyses.plots import map_breaks, map_page, style
from analyses.plots.map_page import Block, Dot, Page, Row, Strip, Tile


def page(blocks, rows, columns=9, aspect=1.0, strip=None):
    tile = Tile(np.zeros((int(4 * aspect), 4, 3)), [], text="+0.5")
    heads = ["", *(f"layer {n}" for n in range(1, columns))]
    made = [Block(heads, [Row(f"{b}.{r}", [tile] * columns) for r in range(rows)], strip) for b in range(blocks)]
    return Page("A network", made, columns, [("ring", "explained pixel")])


def labels(part):
    return [row.label for block in part.blocks for row in block.rows]


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ({"blocks": 1, "rows": 4}, [["0.0", "0.1", "0.2", "0.3"]]),
        ({"blocks": 3, "rows": 4}, [[f"{b}.{r}" for b in (0, 1) for r in range(4)], [f"2.{r}" for r in range(4)]]),
        ({"blocks": 1, "rows": 13}, [[f"0.{r}" for r in range(9)], [f"0.{r}" for r in range(9, 13)]]),
        ({"blocks": 2, "rows": 2, "aspect": 4.0}, [["0.0", "0.1"], ["1.0", "1.1"]]),
    ],
)
def test_a_page_is_broken_between_blocks_or_else_between_rows(shape, parts):
    made = map_breaks.pages(page(**shape))
    assert [labels(part) for part in made] == parts
    titles = [part.title for part in made]
    assert titles == (["A network"] if len(parts) == 1 else [f"A network ({n} of {len(parts)})" for n in (1, 2)])


@pytest.mark.parametrize(("rows", "aspect"), [(1, 1.0), (9, 0.5), (14, 2.0)])
def test_no_page_is_higher_than_is_printed_and_each_row_is_drawn_once(rows, aspect):
    whole = page(2, rows, aspect=aspect)
    drawn = list(figures(SimpleNamespace(one_column=False), whole, "maps", Caption("Found.", "Read."), "Maps"))
    rest = range(2, len(drawn) + 1)
    assert [item.name for item in drawn] == ["maps", *(f"maps-{n}" for n in rest)]
    assert [item.label for item in drawn] == ["Maps", *(f"Maps, page {n}" for n in rest)]
    assert [item.caption.finding for item in drawn] == ["Found.", *("" for _ in rest)]
    assert all(item.figure.get_size_inches()[1] <= style.HEIGHT for item in drawn)
    written = [text.get_text() for item in drawn for text in item.figure.axes[0].texts]
    assert [text for text in written if text in labels(whole)] == labels(whole)


def test_a_strip_stands_below_the_last_rows_of_its_block():
    strip = Strip("spread", (0.0, 1.0), [[Dot(0.5, 0.4, 0.6)] * 8])
    made = map_breaks.pages(page(1, 13, strip=strip))
    assert [block.strip for part in made for block in part.blocks] == [None, strip]
    assert map_page.draw(made[-1]).axes[0].lines


@pytest.mark.parametrize(
    ("columns", "strip", "beside"), [(8, False, [4, 4]), (9, False, [4, 4, 1]), (8, True, [4, 4, 2])]
)
def test_for_one_column_layers_stand_in_several_blocks(columns, strip, beside):
    dots = Strip("spread", (0.0, 1.0), [[Dot(n / 10, 0.0, 1.0) for n in range(1, columns)]]) if strip else None
    whole = page(1, 2, columns=columns, strip=dots)
    made = map_breaks.narrowed(whole)
    assert [len(block.heads) for block in made.blocks] == beside
    heads = [head for block in made.blocks for head in block.heads if head]
    assert heads == [f"layer {n}" for n in range(1, columns)], "each once, in their order"
    for block in made.blocks:
        assert all(len(row.tiles) == len(block.heads) for row in block.rows)
        if strip:
            numbers = [int(head.split()[1]) for head in block.heads if head]
            assert [dot.value for dot in block.strip.series[0]] == [n / 10 for n in numbers]
    (drawn,) = figures(SimpleNamespace(one_column=True), whole, "maps", Caption("Found.", "Read."), "Maps")
    assert drawn.figure.get_size_inches()[0] == pytest.approx(style.COLUMN)
    assert min(text.get_size() for text in drawn.figure.axes[0].texts) >= style.SMALL
