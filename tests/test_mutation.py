"""The command that changes formulas: what it changes, that the changed source is what runs, and what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter

import pytest

from tests.mutation.__main__ import equivalent
from tests.mutation.areas import AREAS
from tests.mutation.places import ROOT, BodyChanger, changed, changed_source

SOURCE = '''
"""Words about 1.5."""
from math import nan

HALF: float | int = 0.5


@cached(size=2)
def gain(x, y, keep: int | None = 3):
    """Return 2.5."""
    if x.ndim != 3:
        raise ValueError(f"shape {x.ndim + 1}")
    assert x.ndim == 3
    total = x.sum((1, 2), keepdim=True)
    inside = x & y
    if keep:
        return np.where(total > 0, (x - y).relu(), math.nan)
    return max(total, 1) if total and not inside else -total.T
'''

CHANGES = [
    "5 : 0.5 -> 1.1",
    "14 gain: x.sum((1, 2), keepdim=True) -> x.mean((1, 2), keepdim=True)",
    "15 gain: x & y -> x | y",
    "15 gain: x & y -> x",
    "15 gain: x & y -> y",
    "16 gain: keep -> not keep",
    "17 gain: 0 -> 1",
    "17 gain: total > 0 -> total <= 0",
    "17 gain: x - y -> x + y",
    "17 gain: (x - y).relu() -> x - y",
    "17 gain: math.nan -> 0.0",
    "17 gain: np.where(total > 0, (x - y).relu(), math.nan) -> np.where(total > 0, math.nan, (x - y).relu())",
    "18 gain: not inside -> inside",
    "18 gain: total and (not inside) -> not inside",
    "18 gain: total and (not inside) -> total",
    "18 gain: 1 -> 2",
    "18 gain: max(total, 1) -> min(total, 1)",
    "18 gain: total.T -> total",
    "18 gain: -total.T -> total.T",
    "18 gain: max(total, 1) if total and (not inside) else -total.T -> max(total, 1)",
    "18 gain: max(total, 1) if total and (not inside) else -total.T -> -total.T",
]


def test_formulas_are_changed_and_words_types_and_errors_are_not() -> None:
    _, found = changed_source(SOURCE, "made_up.py")
    assert [f"{one.line} {one.function}: {one.what}" for one in found] == CHANGES


def test_one_place_is_changed_at_a_time() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    assert ast.unparse(changed_source(SOURCE, "made_up.py")[0]) == whole
    for number, change in enumerate(CHANGES):
        before, after = change.partition(": ")[2].split(" -> ")
        text = ast.unparse(changed_source(SOURCE, "made_up.py", number)[0])
        assert text != whole
        assert Counter(text) - Counter(whole) == Counter(after) - Counter(before)


def test_a_body_becomes_an_error() -> None:
    tree, found = changed_source(SOURCE, "made_up.py", 0, BodyChanger)
    assert [one.function for one in found] == ["gain"]
    assert ast.unparse(tree).endswith("raise AssertionError('changed')")


def test_areas_name_what_is_there_and_each_file_once() -> None:
    files = Counter(file for area in AREAS.values() for file in area.paths())
    assert files.most_common(1)[0][1] == 1
    assert all((ROOT / test).exists() for area in AREAS.values() for test in area.tests)
    for area in AREAS.values():
        assert all(any(ROOT.glob(pattern)) for pattern in (*area.files, *area.left))


def test_changes_that_change_nothing_are_places_that_there_are() -> None:
    keys = {mutant.key for area in AREAS.values() for file in area.paths() for mutant in changed(file)[1]}
    assert sorted(set(equivalent()) - keys) == []


RUNS = """
import ast
from tests.mutation import __main__ as command
from tests.mutation.areas import AREAS, Area
from tests.mutation.running import Running

FILE = "analyses/statistics/bounds.py"
AREAS.clear()
AREAS["bounds"] = Area((FILE,), ("tests/analyses/statistics/test_bounds.py",))
print("ended with", command.main(["bounds", "--bodies", "--workers", "2"]))
AREAS["bounds"] = Area((FILE,), ("tests/segcam/test_classes.py",))
print("ended with", command.main(["bounds", "--bodies"]))
for source in ("import os; os._exit(0)", "while True: pass", "import mistake"):
    print(command._wait([Running({FILE: ast.parse(source)}, command.stages(FILE), 1.5)])[1].status)
"""


@pytest.fixture(scope="module")
def told() -> str:
    """What the command says; in a process of its own, which has imported nothing of the library."""
    done = subprocess.run([sys.executable, "-c", RUNS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_changed_source_is_what_the_tests_import(told: str) -> None:
    bodies, _, _ = told.split("ended with ")
    functions = len(changed("analyses/statistics/bounds.py", changer=BodyChanger)[1])
    assert bodies.count("] noticed (") == functions > 3
    assert f"{functions} noticed (of these 0 by dying, 0 by their time), 0 change nothing, 0 survived" in bodies


def test_survivors_are_told(told: str) -> None:
    """The file's own doctests are all that the last area has."""
    survived = told.split("ended with ")[1]
    assert "SURVIVED" in survived
    assert "Bounds.cut: pass -> raise AssertionError('changed')" in survived.splitlines()[-4:][0]
    assert "] noticed (" in survived, "of what the doctests call"
    assert told.split("ended with ")[2].startswith("1\n")


def test_processes_that_die_or_never_end_are_told(told: str) -> None:
    assert told.splitlines()[-3:] == ["died", "timed out", "noticed"]


def test_unknown_areas_are_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no area, file or folder of formulas nonsense: areas are" in done.stderr
