"""Work given to an executor that is a list: what waits, what is lost, what fails, what is shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import endings
from bench.executing.executor import Ended
from bench.executing.order import Done
from bench.executing.performing import ATTEMPTS, Performing
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.views import View
from bench.planning.work import Place, Work
from segcam.errors import InputError, SegcamError
from tests.bench.executing import on_paper

TEACHER = TrainCell("teacher", 0, "t0")
TRAININGS = [Work(cell, 10) for cell in (TrainCell("pupil", 0, "p0", TEACHER), TEACHER, TrainCell("other", 0, "o0"))]


class Listed:
    """An executor of two places that ends the oldest work at each look.

    Args:
        lost: names of cells, and how often their process is lost.
        failing: a name, and what it raises.
    """

    def __init__(self, lost: dict[str, int] | None = None, failing: dict[str, Exception] | None = None) -> None:
        self.lost, self.failing = lost or {}, failing or {}
        self.begun: list[str] = []
        self.at_work: list[Work] = []
        self.most = 0
        self.stopped = self.closed = False

    @property
    def room(self) -> int:
        return 2 - len(self.at_work)

    def submit(self, work: Work) -> None:
        self.begun.append(work.cell.name)
        self.at_work.append(work)
        self.most = max(self.most, len(self.at_work))

    def ended(self, seconds: float) -> list[Ended]:
        work, name = self.at_work.pop(0), self.begun[-1]
        name = work.cell.name
        if self.lost.get(name, 0):
            self.lost[name] -= 1
            return [Ended(work, lost="killed")]
        if name in self.failing:
            return [Ended(work, error=self.failing[name])]
        return [Ended(work, done=Done(75.0, f"{name} is trained", ("take care",)))]

    def heard(self) -> dict[Work, tuple[int, str]]:
        return dict.fromkeys(self.at_work, (3, "at it"))

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


def performed(executor: Listed, works: list[Work]) -> tuple[str, int]:
    """Do works, and return what was said and how often it was saved."""
    said, saved = io.StringIO(), list[int]()
    performing = Performing(lambda: executor, Console(file=said, width=200))
    performing("training", works, sum(work.steps for work in works), lambda: saved.append(1))
    performing.close()
    assert executor.closed
    return said.getvalue(), len(saved)


def test_all_is_done_a_pupil_after_its_teacher() -> None:
    executor = Listed()
    said, saved = performed(executor, TRAININGS)
    assert sorted(executor.begun) == ["other-s0", "pupil-s0", "teacher-s0"]
    assert executor.begun.index("teacher-s0") < executor.begun.index("pupil-s0")
    assert executor.most == 2
    assert saved == 1
    assert "other-s0 in 1:15: other-s0 is trained" in said
    assert said.count("note: take care") == 1, "of many processes each would say it"


def test_what_is_lost_is_begun_again_and_given_up_in_the_end() -> None:
    executor = Listed(lost={"teacher-s0": ATTEMPTS - 1})
    said, _ = performed(executor, TRAININGS)
    assert executor.begun.count("teacher-s0") == ATTEMPTS
    assert said.count("teacher-s0: its process ended (killed); it is begun again") == ATTEMPTS - 1
    assert executor.begun[-1] == "pupil-s0"
    executor = Listed(lost={"teacher-s0": ATTEMPTS})
    with pytest.raises(SegcamError, match=r"teacher-s0 ended 3 times .* \(killed\).* lower --workers"):
        performed(executor, TRAININGS)
    assert executor.stopped
    assert "pupil-s0" not in executor.begun


def test_an_error_stops_the_others_and_is_passed_on() -> None:
    executor = Listed(failing={"teacher-s0": InputError("diverged")})
    with pytest.raises(InputError, match="diverged"):
        performed(executor, TRAININGS)
    assert executor.stopped


def test_a_signal_stops_what_is_at_work(signals: None) -> None:
    executor = Listed()
    endings.stop()
    with pytest.raises(endings.Stopped):
        performed(executor, TRAININGS)
    assert executor.stopped


def test_measurements_wait_for_nothing() -> None:
    cell = MeasureCell("scores", TEACHER, 50, "000", (0, 1), "m0")
    place = Place(View("pet", 1, "", ""), "score", "", Path("out"))
    assert Work(cell, 2, place).after == ()
    assert TRAININGS[0].after == (TEACHER,)


def test_on_paper_more_workers_take_less_and_none_less_than_the_longest_chain() -> None:
    cost = on_paper.Taken(
        training={"teacher": 100.0, "pupil": 300.0}, image={"teacher": 0.5, "pupil": 0.5},
        rest={"teacher": 10.0, "pupil": 10.0}, levels={"teacher": 1, "pupil": 2},
    )  # fmt: skip
    stages = on_paper.planned(cost, {"pupil": "teacher"})
    total = sum(sum(stage.values()) for stage in stages) / 3600
    assert on_paper.hours(stages, 1) == pytest.approx(total)
    few, many = on_paper.hours(stages, 4), on_paper.hours(stages, 10_000)
    assert total / 4 <= few < total
    assert many == pytest.approx((100 + 300 + 0.5 * on_paper.SHARD + 10) / 3600), "each stage's longest chain"


def test_the_documentation_has_what_is_printed() -> None:
    text = (on_paper.ROOT / "docs/scale.md").read_text()
    assert text.partition("<!-- on paper -->\n")[2].partition("\n<!-- end -->")[0] == on_paper.table()
