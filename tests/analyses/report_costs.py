"""What a report takes: its time, and the memory of all its processes together, at the moment when it is most.

    python -m tests.analyses.report_costs DIR ...

draws the runs in folders by `run report` and prints the table of docs/scale.md. Memory is proportional set
size: what processes share counts once.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from analyses.reading.files import SCORES

PAUSE = 0.5
"""Seconds between two looks."""


class Costs(NamedTuple):
    """Of a command.

    Attributes:
        seconds: from its start to its end.
        cpu: seconds that all its processes computed, which other programs on the machine change little.
        peak: the most bytes that they held at once.
        processes: how many there were then.
    """

    seconds: float
    cpu: float
    peak: int
    processes: int


def measured(command: list[str], pause: float = PAUSE) -> Costs:
    """Run a command to its end and return what it took.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    started, before, peak, processes = time.monotonic(), _computed(), 0, 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            sizes = [size for size in map(held, family(process.pid)) if size]
            if sum(sizes) > peak:
                peak, processes = sum(sizes), len(sizes)
            time.sleep(pause)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Costs(time.monotonic() - started, _computed() - before, peak, processes)


def _computed() -> float:
    """Return the seconds that processes which were started here and have ended computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def family(root: int) -> list[int]:
    """Return a process and all that it started, and those started, as far as they live."""
    children = defaultdict(list)
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        children[int(fields[1])].append(int(status.parent.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def held(pid: int) -> int:
    """Return the bytes that a process holds, its share of what it shares; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    sys.stdout.write("| rows | memory | processes | bytes a row | wall | computed |\n|---:|---:|---:|---:|---:|---:|\n")
    for folder in parser.parse_args().folder:
        rows = sum(pq.read_metadata(path).num_rows for path in (folder / SCORES).glob("*.parquet"))
        costs = measured([sys.executable, "-m", "bench", "run", "report", "--out", str(folder)])
        sys.stdout.write(
            f"| {rows:,} | {costs.peak / 2**30:.2f} GiB | {costs.processes} | {costs.peak / rows:.0f} | "
            f"{costs.seconds:.0f} s | {costs.cpu:.0f} s |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
