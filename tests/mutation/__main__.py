"""The command; see the package."""

from __future__ import annotations

import argparse
import multiprocessing.connection
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tests.mutation
from tests.mutation.areas import AREAS, area_of, files_of
from tests.mutation.places import ROOT, BodyChanger, Changer, Mutant, changed
from tests.mutation.running import Outcome, Running, share

PATIENCE = 60.0
"""Seconds that a change may take beyond five times what the unchanged tests do."""


def equivalent() -> dict[str, str]:
    """Return the changes that no test can notice, by their keys, with the reason."""
    with (Path(__file__).parent / "equivalent.toml").open("rb") as stream:
        entries = tomllib.load(stream)["equivalent"]
    return {change: entry["why"] for entry in entries for change in entry["changes"]}


def chosen(file: str, limit: int | None, changer: type[Changer]) -> list[Mutant]:
    """Return the places of a file: all of them, or `limit` spread evenly over it."""
    _, found = changed(file, changer=changer)
    if limit is not None and limit < len(found):
        found = [found[(2 * i + 1) * len(found) // (2 * limit)] for i in range(limit)]
    return found


def stages(file: str) -> list[list[str]]:
    """Return a file's own doctests with the tests of its name, and all tests of its area behind them."""
    tests = list(AREAS[area_of(file)].tests)
    name = f"test_{Path(file).stem}.py"
    own = [
        path.relative_to(ROOT).as_posix()
        for test in tests
        for path in ([ROOT / test] if test.endswith(".py") else sorted((ROOT / test).rglob("test_*.py")))
        if path.name == name
    ]
    return [[file, *own], tests]


def unchanged(files: Sequence[str]) -> dict[str, float]:
    """Return the seconds that the tests of each area take with nothing changed.

    Raises:
        RuntimeError: they fail as they are, or import not all of the area's files.
    """
    seconds = {}
    for area in sorted({area_of(file) for file in files}):
        own = [file for file in files if area_of(file) == area]
        tests = (*own, *AREAS[area].tests)
        share(tests)
        outcome = _wait([Running({file: changed(file)[0] for file in own}, [tests], 3600)])[1]
        if outcome.status == "not imported":
            raise RuntimeError(f"{area}: no test imports {', '.join(outcome.unseen)}")
        if outcome.status != "passed":
            raise RuntimeError(f"{area}: the tests fail as they are ({outcome.status}): {' '.join(tests)}")
        tell(f"{area}: the tests pass in {outcome.seconds:.0f} s")
        seconds[area] = outcome.seconds
    return seconds


def tried(
    mutants: Sequence[Mutant], changer: type[Changer], seconds: Mapping[str, float], workers: int
) -> Iterator[tuple[Mutant, Outcome]]:
    """Yield what becomes of each change, `workers` at a time."""
    waiting, running = list(reversed(mutants)), dict[Running, Mutant]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                mutant = waiting.pop()
                tree, _ = changed(mutant.file, mutant.number, changer)
                patience = PATIENCE + 5 * seconds[area_of(mutant.file)]
                running[Running({mutant.file: tree}, stages(mutant.file), patience)] = mutant
            run, outcome = _wait(list(running))
            yield running.pop(run), outcome
    finally:
        for run in running:
            run.stop()


def _wait(running: Sequence[Running]) -> tuple[Running, Outcome]:
    """Return the first that ends."""
    while True:
        for run in running:
            if (outcome := run.outcome()) is not None:
                return run, outcome
        multiprocessing.connection.wait([run.sentinel for run in running], min(run.left for run in running))


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the changes asked for and report the survivors."""
    parser = argparse.ArgumentParser("python -m tests.mutation", description=(tests.mutation.__doc__).splitlines()[0])
    parser.add_argument("asked", nargs="*", metavar="AREA or FILE", help=f"areas: {', '.join(AREAS)}; all by default")
    parser.add_argument("--limit", type=int, help="places a file, spread over it")
    parser.add_argument("--only", default="", metavar="TEXT", help="only changes in whose line this text stands")
    parser.add_argument("--bodies", action="store_true", help="make errors of functions: is each one called at all?")
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    given = parser.parse_args(arguments)
    files: dict[str, None] = {}
    for asked in given.asked or AREAS:
        here = files_of(asked)
        if here is None:
            parser.error(f"no area, file or folder of formulas {asked}: areas are {', '.join(AREAS)}")
        files |= dict.fromkeys(here)
    changer = BodyChanger if given.bodies else Changer
    mutants = [mutant for file in files for mutant in chosen(file, given.limit, changer) if given.only in str(mutant)]
    if not mutants:
        parser.error(f"nothing to change in {', '.join(files)}")
    try:
        seconds = unchanged(list(dict.fromkeys(mutant.file for mutant in mutants)))
    except RuntimeError as error:
        tell(str(error))
        return 1
    return report(mutants, changer, seconds, given.workers)


def report(mutants: Sequence[Mutant], changer: type[Changer], seconds: Mapping[str, float], workers: int) -> int:
    """Try the changes, say what becomes of each, and count."""
    same, start, done = equivalent(), time.monotonic(), 0
    counts: Counter[str] = Counter()
    survivors = []
    for mutant in [mutant for mutant in mutants if mutant.key in same]:
        counts["equivalent"] += 1
        tell(f"changes nothing ({same[mutant.key]}): {mutant}")
    left = [mutant for mutant in mutants if mutant.key not in same]
    for done, (mutant, outcome) in enumerate(tried(left, changer, seconds, max(1, workers)), 1):
        status = "SURVIVED" if outcome.status == "passed" else outcome.status
        counts[status] += 1
        if status in ("SURVIVED", "not imported"):
            survivors.append(mutant)
        tell(f"[{done}/{len(left)}] {status} ({outcome.seconds:.0f} s): {mutant}")
    killed = sum(counts[status] for status in ("noticed", "died", "timed out"))
    tell(
        f"{len(mutants)} changes in {time.monotonic() - start:.0f} s: {killed} noticed (of these {counts['died']} by "
        f"dying, {counts['timed out']} by their time), {counts['equivalent']} change nothing, {len(survivors)} survived"
    )
    for mutant in survivors:
        tell(f"  {mutant}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
