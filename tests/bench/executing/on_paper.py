"""How long a study takes on more machines than are at hand: the harness's own scheduling, with a clock that is told.

    python -m tests.bench.executing.on_paper

prints the table of docs/scale.md: the complete test set with the networks of the study, five seeds each, on 1, 8 and
64 workers of one thread. What a cell takes comes from the seconds of the cells in results/pets/manifest.json.
"""

from __future__ import annotations

import heapq
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from bench.executing.executor import Ended
from bench.executing.order import Done
from bench.executing.performing import Performing
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.views import View
from bench.planning.work import Place, Work
from tests.docs import study

ROOT = Path(__file__).parents[3]
IMAGES, SEEDS, WORKERS = 3669, 5, (1, 8, 64)
SHARD = 100
"""Images of a cell of scores."""
BYTES = 48
"""Of a row of scores on disk: 11,714,061 bytes of 244,328 rows in a run of the profile quick."""
RECORD = re.compile(r"cells/(?P<kind>[^-]+)-(?P<model>.+?)-s\d+(?:-l(?P<level>\d+))?-")
PLACE = Place(View("pet", 1, "", ""), "score", "", Path("out"))


class Told:
    """An executor whose cells take the seconds that they are said to take.

    Args:
        workers: how many work at once.
        seconds: of each work.
    """

    def __init__(self, workers: int, seconds: dict[Work, float]) -> None:
        self.workers, self.seconds = workers, seconds
        self.clock = 0.0
        self.at_work: list[tuple[float, int, Work]] = []
        self.begun = 0

    @property
    def room(self) -> int:
        return self.workers - len(self.at_work)

    def submit(self, work: Work) -> None:
        self.begun += 1
        heapq.heappush(self.at_work, (self.clock + self.seconds[work], self.begun, work))

    def ended(self, seconds: float) -> list[Ended]:
        self.clock, _, work = heapq.heappop(self.at_work)
        return [Ended(work, done=Done(self.seconds[work], "", ()))]

    def heard(self) -> dict[Work, tuple[int, str]]:
        return {}

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Taken(NamedTuple):
    """What the cells of a publication took, in seconds: a training, an image of one checkpoint, all else of one."""

    training: dict[str, float]
    image: dict[str, float]
    rest: dict[str, float]
    levels: dict[str, int]


def taken(manifest: dict[str, Any]) -> Taken:
    """Read what a publication's cells took."""
    total: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    images: dict[str, int] = defaultdict(int)
    trainings: dict[str, int] = defaultdict(int)
    levels: dict[str, set[str]] = defaultdict(set)
    for name, cell in manifest["cells"].items():
        place = RECORD.match(name)
        assert place is not None
        kind, model = place["kind"], place["model"]
        part = {"train": "training", "scores": "image"}.get(kind, "rest")
        total[part][model] += cell["seconds"]
        trainings[model] += kind == "train"
        images[model] += cell.get("images", 0) if kind == "scores" else 0
        if kind == "scores":
            levels[model].add(place["level"])
    checkpoints = {model: trainings[model] * len(found) for model, found in levels.items()}
    return Taken(
        {model: seconds / trainings[model] for model, seconds in total["training"].items()},
        {model: seconds / images[model] for model, seconds in total["image"].items()},
        {model: seconds / checkpoints[model] for model, seconds in total["rest"].items()},
        {model: len(found) for model, found in levels.items()},
    )


def planned(cost: Taken, teachers: Mapping[str, str]) -> list[dict[Work, float]]:
    """Return the stages of the study, each with the seconds of its works.

    Args:
        cost: of a cell of each kind.
        teachers: by the network that learns from one.
    """
    trains: dict[Work, float] = {}
    scores: dict[Work, float] = {}
    rest: dict[Work, float] = {}
    teaching = {
        (model, seed): TrainCell(model, seed, f"{model}{seed}") for model in teachers.values() for seed in range(SEEDS)
    }
    for model, seconds in cost.training.items():
        for seed in range(SEEDS):
            teacher = teaching.get((teachers.get(model, ""), seed))
            cell = teaching.get((model, seed)) or TrainCell(model, seed, f"{model}{seed}", teacher)
            trains[Work(cell, 1)] = seconds
            for level in range(cost.levels[model]):
                for first in range(0, IMAGES, SHARD):
                    rows = tuple(range(first, min(first + SHARD, IMAGES)))
                    scored = MeasureCell("scores", cell, level, f"{first}", rows, f"{cell.id}{level}{first}")
                    scores[Work(scored, len(rows), PLACE)] = len(rows) * cost.image[model]
                other = MeasureCell("rest", cell, level, "", (0,), f"{cell.id}{level}rest")
                rest[Work(other, 1, PLACE)] = cost.rest[model]
    return [trains, scores, rest]


def hours(stages: Sequence[dict[Work, float]], workers: int) -> float:
    """Return the hours that the stages take, one after the other, as the harness gives their cells out."""
    executor = Told(workers, {work: seconds for stage in stages for work, seconds in stage.items()})
    performing = Performing(lambda: executor, Console(quiet=True))
    for stage in stages:
        performing("stage", list(stage), len(stage), lambda: None)
    return executor.clock / 3600


def table() -> str:
    """Return the table in Markdown."""
    manifest = json.loads((study.STUDY / "manifest.json").read_text())
    cost = taken(manifest)
    recipes = manifest["models"]
    teachers = {
        name.replace(":", "-"): model["teacher"].replace(":", "-")
        for name, model in recipes.items()
        if model.get("teacher")
    }
    stages = planned(cost, teachers)
    checkpoints = SEEDS * sum(cost.levels.values())
    shared = sum(not method["own_passes"] for method in manifest["methods"].values())
    layers = {name.replace(":", "-"): len(found) for name, found in manifest["layers"].items()}
    targets = len(manifest["targets"])
    rows = SEEDS * IMAGES * shared * targets * sum(cost.levels[name] * layers[name] for name in cost.levels)
    alone = hours(stages, 1)
    lines = [
        "| workers | hours | share of the workers at work |",
        "|---:|---:|---:|",
        *(
            f"| {workers} | {(spent := hours(stages, workers)):.1f} | {100 * alone / spent / workers:.0f} % |"
            for workers in WORKERS
        ),
    ]
    cells = sum(map(len, stages))
    facts = (
        f"{cells:,} cells: {len(stages[0])} trainings, {len(stages[1]):,} cells of at most {SHARD} images, "
        f"{len(stages[2])} of other studies; {checkpoints} checkpoints; {rows / 1e6:.0f} million rows, "
        f"about {BYTES * rows / 1e9:.0f} GB of scores on disk."
    )
    return "\n".join([*lines, "", facts])


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
