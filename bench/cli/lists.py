"""The command `list`: a name and a line each, as wide as the terminal is; all of one where it is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from bench.cli import listing
from bench.cli.options import JsonOption
from bench.words import columns, elided, wrapped
from segcam.errors import InputError

ROOMY = 60
"""Columns from which on lines that are continued stand below their beginning."""
LEAST = 30
"""Columns below which a line of text says too little to stand beside a name."""


class Listing(StrEnum):
    """What can be listed."""

    MODELS = "models"
    LAYERS = "layers"
    METHODS = "methods"
    METRICS = "metrics"
    DATASETS = "datasets"
    PROFILES = "profiles"
    ANALYSES = "analyses"


def list_(
    kind: Annotated[Listing, typer.Argument(help="What to list.")],
    name: Annotated[
        str | None,
        typer.Argument(help="Tell all of this one; of layers, the network that has them (default unet)."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Of layers: the network, as NAME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is there, a name and a line each; with NAME all that is known of one."""
    if model is not None and (kind is not Listing.LAYERS or name is not None):
        raise InputError(f"list {kind}{f' {name}' if name is not None else ''} does not use --model: leave it out")
    if kind is not Listing.LAYERS and name is not None:
        row = listing.one(kind, name)
        _print(json.dumps(row, indent=1) if as_json else "\n".join(told(kind, row, columns(sys.stdout))))
        return
    network = next((given for given in (name, model) if given is not None), "unet")
    rows = listing.layers(network) if kind is Listing.LAYERS else listing.rows_of(kind)
    if as_json:
        _print(json.dumps(rows, indent=1))
        return
    width = columns(sys.stdout)
    _print("\n".join(listed([listing.line(kind, row) for row in rows], width)))
    if width is not None and kind is not Listing.LAYERS:
        _print(f"\nAll of one: list {kind} NAME")


def _print(text: str) -> None:
    """Print text, in the stream's own encoding, and at once, so that a stream that cannot take it is told."""
    if sys.stdout is None:  # it was closed: nobody reads
        return
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def listed(rows: Sequence[tuple[str, ...]], width: int | None) -> Iterator[str]:
    """Yield the lines of a list: cells below each other, of which the last alone is cut where it is too long.

    Where there is no room for all cells beside each other, all but the name stand below it.

    Args:
        rows: the cells of each, at least two; all but the last are whole in any width.
        width: columns of the terminal; None where nothing is cut.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    room = None if width is None else width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for *copied, text in rows:
        if room is None or room >= min(LEAST, widths[-1]):
            cells = [cell.ljust(wide) for cell, wide in zip(copied, widths, strict=False)]
            yield "  ".join([*cells, elided(text, room)]).rstrip()
            continue
        assert width is not None
        beside = len(copied[0]) + 2 + len(text) <= width
        yield f"{copied[0]}  {text}" if beside else copied[0]
        yield from (f"  {cell}" for cell in copied[1:])
        if not beside:
            yield f"  {elided(text, width - 2)}"


def told(kind: str, row: listing.ListRow, width: int | None) -> Iterator[str]:
    """Yield the lines that tell all of one."""
    summary, facts, text = listing.details(kind, row)
    yield row["name"]
    yield wrapped("\n".join(f"  {line}" for line in summary.split("\n")), width)
    if shown := [(key, value) for key, value in facts if value]:
        yield ""
        wide = max(len(key) for key, _ in shown)
        hanging = " " * (wide + 2 if width is None or width >= ROOMY else 2)
        yield from (wrapped(f"  {key.ljust(wide)}  {value}", width, hanging) for key, value in shown)
    if text:
        yield ""
        yield text.rstrip()
