"""Times all sides of a case in turns, and compares what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from bench.timing.cases import Case, Ready, ready
from bench.timing.peers import INSTALL, PAIRS, SIDES, Maps, Pair, Side, scaled
from bench.timing.rows import Agreement, Row, agreement
from bench.timing.side_by_side import Work, in_turns, ratio
from bench.training.optimise import precision


def wanted(case: Case, device: torch.device) -> dict[str, int]:
    """Return the rounds of each side that can run, by name."""
    found = {name: case.slow_rounds if side.slow else case.rounds for name, side in SIDES.items()}
    return {name: rounds for name, rounds in found.items() if rounds and not unable(SIDES[name], device)}


def unable(side: Side, device: torch.device) -> str:
    """Return why a side cannot run; '' where it can."""
    if not side.installed:
        return f"not installed: {INSTALL}"
    if not side.exact and precision("auto", device) != "bf16":
        return "no bf16 instructions: on this processor bf16 is emulated"
    return ""


def measure(case: Case, device: torch.device, advance: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Time one case.

    Args:
        case: the network and batch.
        device: where.
        advance: called with a side's name after each of its calls.

    Returns:
        A row a pair of sides; sides that cannot run are told with the reason.
    """
    prepared = ready(case, device)
    rounds = wanted(case, device)
    given: dict[str, Maps] = {}
    works = {name: keeping(name, prepared, given) for name in rounds}
    seconds = in_turns(works, rounds, device, advance)
    precise = in_float64(prepared)
    return [_row(case, pair, device, seconds, given, precise) for pair in PAIRS if _asked(case, pair)]


def _asked(case: Case, pair: Pair) -> bool:
    """Return whether the case has rounds for both sides."""
    return case.slow_rounds > 0 or not SIDES[pair.theirs].slow


def _row(
    case: Case,
    pair: Pair,
    device: torch.device,
    seconds: dict[str, list[float]],
    given: dict[str, Maps],
    precise: dict[str, Maps],
) -> Row:
    ours, theirs = SIDES[pair.ours], SIDES[pair.theirs]
    scope = ours.scope if ours.scope == theirs.scope else f"{ours.scope}; against {theirs.scope}"
    row = Row(case.name, case.label, pair.ours, pair.theirs, scope, bar=pair.bar, same=pair.same)
    reason = unable(ours, device) or unable(theirs, device)
    if reason:
        return replace(row, note=reason)
    own, other = seconds[pair.ours], seconds[pair.theirs]
    shared = min(len(own), len(other))
    return replace(
        row,
        ours_values=tuple(own[:shared]),
        theirs_values=tuple(other[:shared]),
        ratio=ratio(own, other),
        agreement=compared_maps(pair, given, precise) if pair.same else None,
        note="" if pair.same else "not the same result: their maps are averaged over the layers",
    )


def keeping(name: str, prepared: Ready, given: dict[str, Maps]) -> Work:
    """Return what a side does, which leaves its maps in `given`."""
    work = SIDES[name].make(prepared)

    def run() -> None:
        given[name] = work()

    return run


def in_float64(prepared: Ready) -> dict[str, Maps]:
    """Return the maps of segcam, and of torch-cam where it is installed, computed in float64."""
    precise = prepared.precisely()
    return {name: SIDES[name].make(precise)() for name in ("segcam", "torch-cam") if SIDES[name].installed}


def compared_maps(pair: Pair, given: dict[str, Maps], precise: dict[str, Maps]) -> Agreement:
    """Compare the maps of a pair, and tell what rounding alone does to theirs where both compute in float32."""
    rounding = apart = None
    if SIDES[pair.ours].exact:
        truth = precise["segcam"]
        if SIDES[pair.theirs].output == "input":
            size = (int(given[pair.theirs][0].shape[1]), int(given[pair.theirs][0].shape[2]))
            truth = [scaled(maps, size) for maps in truth]
        rounding = agreement(given[pair.theirs], truth).worst
        if "torch-cam" in precise:
            apart = agreement(precise["segcam"], precise["torch-cam"]).worst
    return agreement(given[pair.ours], given[pair.theirs], rounding, apart)
