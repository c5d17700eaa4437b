"""A page of maps that is higher than a journal prints, as several."""

from __future__ import annotations

from dataclasses import replace

from analyses.plots import style
from analyses.plots.map_page import TITLE, TITLE_WIDTH, Block, Page, block_height, cut, foot, row_height, side

SAFE = 0.05  # inches that stay free: heights are rounded up


def pages(page: Page) -> list[Page]:
    """Return the page, or several where it is too high: broken between blocks, or else between rows."""
    width, room = side(page.columns), style.HEIGHT - TITLE - foot(page) - SAFE
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
    titles = (f"{cut(page.title, TITLE_WIDTH - 10)} ({n} of {len(parts)})" for n in range(1, len(parts) + 1))
    return [replace(page, title=title, blocks=blocks) for title, blocks in zip(titles, parts, strict=True)]


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
