"""Progress: numbers are whole in any width, the whole's time is told, and plain lines where nothing moves."""

from __future__ import annotations

import io
from unittest.mock import patch

import pytest
from rich.console import Console

from bench import progress
from bench.progress import Piece, Task, Whole, expecting, say, working


def terminal(width: int, **look: object) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, **look)  # type: ignore[arg-type]


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("width", [200, 80, 40, 30])
def test_numbers_are_never_cut(width: int, clock: list[float]) -> None:
    name = "methods with passes of their own of segformer-s2"
    pieces = [Piece("training unet-s0", 100.0), Piece(name, 50.0), Piece("drawing", 50.0)]
    with expecting(Whole(pieces)):
        done = Task(Console(quiet=True), "training unet-s0", 100)
        clock[0] = 100.0
        done.to(100)
        done.end()
        console = terminal(width)
        task = Task(console, name, 1200)
        clock[0] = 125.0
        task.to(600, "mean IoU 61.2 %, reached: 30 %, 50 %, 70 %" + " and a long note" * 60)
    console.print(task)
    lines = text(console).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("2/3 m")
    assert lines[0].endswith(" 600/1200  1:15 left"), "25 of 50, and 50 more, at a second each"
    assert len(lines) <= 1 + progress.NOTE
    assert "mean IoU 61.2 %, reached: 30 %, 50 %" in " ".join(lines[1:])
    assert lines[-1].endswith("…")
    assert ("━" in lines[0]) is (width > 80)


def test_the_time_left_follows_the_pace(clock: list[float]) -> None:
    whole = Whole([Piece("one", 10.0), Piece("two", 30.0)])
    assert whole.left("one", 0.0, 5.0) is None, "nothing tells"
    assert whole.left("one", 0.5, 10.0) == pytest.approx(70.0)
    whole.end("one", 0.5, 10.0)  # it needed no more
    assert whole.left("two", 0.5, 40.0) == pytest.approx(50 / 20 * 15)
    assert whole.left("three", 0.5, 40.0) is None
    first = Whole([Piece("one", 10.0)], turn=0, turns=3)
    assert first.left("one", 0.5, 5.0) == pytest.approx(25.0)
    assert [Whole([Piece("one", 1.0)], turn, 3).stage("one") for turn in range(3)] == ["1/3", "2/3", "3/3"]


def test_the_line_that_moves_knows_its_stage_in_the_thread_that_draws_it() -> None:
    console = terminal(80)
    with expecting(Whole([Piece("training", 1.0)])), working(console, "training", 4) as task:
        task.to(4, "mean IoU 50.0 %")
        task.result = "all levels reached: 30 %"
    shown = text(console)
    assert "1/1 training" in shown
    assert " training " not in shown.replace("1/1 training", "")
    assert shown.splitlines()[-1].endswith("1/1 training: 4/4 in 0:00  all levels reached: 30 %")


def test_a_training_that_ends_early_says_so(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=40)
    with expecting(Whole([Piece("training", 1.0)])), working(console, "training", 400) as task:
        task.to(73)
        task.result = "all levels reached: 30 %, 50 %"
    assert text(console) == "1/1 training: 73/400 in 0:00  all levels reached: 30 %, 50 %\n"


@pytest.mark.parametrize("console", [Console(file=io.StringIO(), width=40), terminal(40, _environ={"TERM": "dumb"})])
def test_plain_lines_where_nothing_moves(console: Console, clock: list[float]) -> None:
    with working(console, "scores", 4) as task:
        for done in range(1, 4):
            clock[0] += 6.0
            task.to(done, "unet-s0-l50-000: grad_cam")
    shown = text(console)
    assert "\x1b" not in shown
    assert "\r" not in shown
    lines = " ".join(shown.split())
    assert lines == "scores: 2/4, 0:12 left unet-s0-l50-000: grad_cam scores: 3/4 in 0:18"


def test_nothing_is_said_of_what_is_done_already() -> None:
    console = terminal(80)
    with working(console, "other sizes", 0), working(console, "scores", 3, 3):
        pass
    assert text(console) == ""


def test_colours_are_left_out_where_nobody_wants_them() -> None:
    with patch.dict("os.environ", {"NO_COLOR": "1"}):
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
    task = Task(console, "scores", 4)
    task.to(2)
    console.print(task)
    assert "\x1b[1;32m" not in text(console)
    assert "\x1b[32m" not in text(console)


def test_a_path_stays_whole() -> None:
    console = terminal(40)
    path = f"/{'folder/' * 10}index.html"
    say(console, f"the page of this run is {path}")
    assert path in text(console).splitlines()
