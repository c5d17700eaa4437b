"""A page of maps that is higher than a journal prints, as several; or for one of its columns."""

from __future__ import annotations

from dataclasses import replace

from analyses.plots import style
from analyses.plots.map_page import TITLE, Block, Page, block_height, cut, foot, row_height

NARROW = 4  # columns of tiles in one column of a journal: smaller ones show nothing
SAFE = 0.05  # inches that stay free: heights are rounded up


def pages(page: Page) -> list[Page]:
    """Return the page, or several where it is too high: broken between blocks, or else between rows."""
    width, room = page.side, style.HEIGHT - TITLE - foot(page) - SAFE
    parts, left = list[list[Block]]([[]]), room
    for block in page.blocks:
        for piece in _pieces(block, width, room):
            height = block_height(piece, width)
            if height > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(piece)
            left -= height
    if len(parts) == 1:
        return [page]
    titles = (f"{cut(page.title, page.title_width - 10)} ({n} of {len(parts)})" for n in range(1, len(parts) + 1))
    return [replace(page, title=title, blocks=blocks) for title, blocks in zip(titles, parts, strict=True)]


def narrowed(page: Page) -> Page:
    """Return the page for one of a journal's columns: what stood beside each other in a block stands in several."""
    blocks = [part for block in page.blocks for part in _parts(block)]
    return replace(page, blocks=blocks, columns=min(page.columns, NARROW), width=style.COLUMN)


def _parts(block: Block) -> list[Block]:
    """Return the block in parts of a few columns; the first column, of the inputs, stands in the first part alone."""
    own = 1 if block.strip else 0  # dots stand to the right of a first column
    first = range(1, min(len(block.heads), NARROW))
    others = range(NARROW, len(block.heads))
    columns = [first, *(others[at : at + NARROW - own] for at in range(0, len(others), NARROW - own))]
    parts = []
    for number, chosen in enumerate(columns):
        led, places = not number or bool(own), slice(chosen.start, chosen.stop)
        rows = [
            replace(row, tiles=[*([None if number else row.tiles[0]] if led else []), *row.tiles[places]])
            if row.tiles
            else row
            for row in block.rows
        ]
        strip = block.strip
        if strip:
            dots = slice(chosen.start - 1, chosen.stop - 1)
            strip = replace(strip, series=[series[dots] for series in strip.series])
        heads = [*([block.heads[0]] if led else []), *block.heads[places]]
        parts.append(replace(block, heads=heads, rows=rows, strip=strip))
    return parts


def _pieces(block: Block, width: float, room: float) -> list[Block]:
    """Return the block in pieces of rows that fit in the room; its strip is below the last."""
    if block_height(block, width) <= room:
        return [block]
    beside = block_height(replace(block, rows=[]), width)
    pieces, left = [[block.rows[0]]], room - beside - row_height(block.rows[0], width)
    for row in block.rows[1:]:
        height = row_height(row, width)
        if height > left:
            pieces.append([])
            left = room - beside
        pieces[-1].append(row)
        left -= height
    last = len(pieces) - 1
    return [replace(block, rows=rows, strip=block.strip if n == last else None) for n, rows in enumerate(pieces)]
