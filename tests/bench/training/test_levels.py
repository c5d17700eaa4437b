"""The search for levels, on curves made up instead of trained."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses.reading.manifest import BEST, level_name
from bench.planning.profile import Train
from bench.training.levels import Evaluation, LevelSearch, Start, baseline, starts, trivial
from segcam.scoring.miou import confusion, mean_iou


def evaluation(step: int, miou: float) -> Evaluation:
    loss = math.nan if step == 0 else 1 - miou
    return Evaluation(step, 16 * step, loss, 1e-3, miou, (miou, math.nan), 0.5, 2.5 * step)


def offered(found: LevelSearch, *mious: float) -> list[int]:
    """Offer evaluations of steps 0, 1, ... and return those whose weights were taken: the step's number each."""
    taken: list[int] = []
    for step, miou in enumerate(mious):
        found.offer(evaluation(step, miou), lambda step=step: taken.append(step) or {"step": torch.tensor(step)})
    return taken


def search(curve: Callable[[int], float] | Sequence[float], total: int, found: LevelSearch) -> LevelSearch:
    """Go along a curve as training does: its weights at a step are the step's number."""

    def evaluate(step: int) -> Evaluation:
        evaluated = evaluation(step, curve(step) if callable(curve) else curve[step])
        found.offer(evaluated, lambda: {"step": torch.tensor(step)})
        return evaluated

    step, last = 0, evaluate(0)
    while step < total and not found.complete():
        first, step = last, min(step + found.interval, total)
        last = evaluate(step)
        found.between(first, last, evaluate)
        found.adapt(first, last)
    return found


def nearest(found: LevelSearch, level: int) -> int:
    return int(found.nearest[level][1]["step"])


def leap(step: int) -> float:
    """From 0.36 to 0.74 within some twenty steps around step 200."""
    return 0.36 + 0.38 / (1 + math.exp(-(step - 200) / 3))


def test_a_leap_between_two_evaluations_is_searched() -> None:
    found = search(leap, 400, LevelSearch((50, 70), 0.02, 32))
    for level in (50, 70):
        assert found.reached(level)
        assert abs(leap(nearest(found, level)) - level / 100) <= 0.02
        assert found.nearest[level][0].step == nearest(found, level)
    assert len(found.history) < 60, "far from every step"
    plain = [leap(step) for step in range(0, 401, 32)]
    assert all(abs(miou - 0.5) > 0.02 for miou in plain), "a fixed interval would miss it"


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    drift=st.floats(-0.2, 1),
    longest=st.integers(1, 40),
    tolerance=st.sampled_from([0.01, 0.02, 0.05]),
)
def test_a_passed_level_is_always_found_where_steps_are_small(
    seed: int, drift: float, longest: int, tolerance: float
) -> None:
    """Noisy curves that change by at most twice the tolerance a step pass no level without coming near it."""
    change = np.random.default_rng(seed).uniform(-1, 1, 150) + drift
    curve = np.clip(0.2 + np.cumsum(np.clip(change, -1, 1) * 2 * tolerance), 0, 1).tolist()
    found = search(curve, 149, LevelSearch((30, 50, 70), tolerance, longest))
    for level in (30, 50, 70):
        seen = [e.miou for e in found.history]
        if min(seen) <= level / 100 <= max(seen):
            assert found.reached(level)
        distance = min(abs(miou - level / 100) for miou in seen)
        assert found.distance(level) == pytest.approx(distance, abs=1e-12)
        assert found.nearest[level][0].miou == curve[nearest(found, level)]


def test_bisection_goes_on_to_half_the_tolerance() -> None:
    """The first step within the tolerance is not taken where a nearer one lies between two evaluations."""
    curve = [0.315 + 0.005 * step for step in range(65)]  # 0.515 at step 40 is met first, 0.495 at step 36
    found = LevelSearch((50,), 0.02, 32, interval=32)
    search(curve, 64, found)
    assert abs(found.nearest[50][0].miou - 0.5) <= 0.01
    assert found.settled(50)


def test_a_settled_level_is_not_searched_again() -> None:
    curve = [0.3, 0.5, 0.6, 0.4, 0.6, 0.4, 0.6, 0.4, 0.9]
    found = search(curve, 8, LevelSearch((50, 95), 0.02, 1))
    assert nearest(found, 50) == 1
    assert [e.step for e in found.history] == list(range(9)), "no step twice"


def test_a_leap_within_one_step_is_not_reached() -> None:
    """No step lies near the level: the nearest one is kept, and told as not reached."""
    curve = [0.3] * 20 + [0.8] * 20
    found = search(curve, 39, LevelSearch((50, 60), 0.02, 16))
    assert not found.reached(50)
    assert not found.reached(60)
    assert found.distance(50) == pytest.approx(0.2)
    assert found.nearest[50][0].miou == 0.3
    assert found.nearest[60][0].miou == 0.8
    assert {19, 20} <= {e.step for e in found.history}, "both neighbours of the leap were looked at"


def test_never_reached() -> None:
    found = search(lambda step: min(0.34 + step / 1000, 0.42), 300, LevelSearch((35, 90), 0.02, 32))
    assert found.reached(35)
    assert not found.reached(90)
    assert not found.complete()
    assert found.best() == pytest.approx(0.42)
    assert found.distance(90) == pytest.approx(0.48)
    assert found.history[-1].step == 300, "all steps were used"


def test_on_a_plateau_evaluations_become_rare() -> None:
    found = search(lambda _: 0.34, 300, LevelSearch((90,), 0.02, 32))
    steps = [e.step for e in found.history]
    assert found.interval == 32
    assert np.diff(steps)[:6].tolist() == [1, 2, 4, 8, 16, 32]
    assert max(np.diff(steps)) == 32


@pytest.mark.parametrize(
    ("change", "before", "after"), [(0.1, 8, 4), (0.1, 1, 1), (-0.1, 8, 4), (0.03, 8, 8), (0.01, 8, 16), (0.01, 20, 32)]
)
def test_the_interval_follows_the_last_change(change: float, before: int, after: int) -> None:
    found = LevelSearch((90,), 0.02, 32, interval=before)
    found.adapt(evaluation(0, 0.4), evaluation(before, 0.4 + change))
    assert found.interval == after


def test_weights_are_taken_only_where_they_are_nearer_and_ties_keep_the_first() -> None:
    found = LevelSearch((40, 60), 0.02)
    assert offered(found, 0.5, 0.3, 0.55, 0.2) == [0, 2]
    assert (nearest(found, 40), nearest(found, 60)) == (0, 2)
    found = LevelSearch((50,), 0.02)
    offered(found, 0.25, 0.75, 0.25, 0.375, 0.625, 0.375)
    assert nearest(found, 50) == 3
    found = LevelSearch((50,), 0.02)
    assert offered(found, math.nan) == []
    assert found.distance(50) == math.inf
    assert not found.reached(50)


@pytest.mark.parametrize(
    ("mious", "complete"),
    [
        ([], False),
        ([0.31], False),
        ([0.31, 0.49], False),  # 50 % is reached, but a later step may come nearer
        ([0.31, 0.49, 0.51], True),
        ([0.6, 0.5], False),  # 30 % is not reached
        ([0.6, 0.5, 0.3], True),
    ],
)
def test_complete_needs_every_level_and_the_highest_to_be_passed(mious: list[float], complete: bool) -> None:
    found = LevelSearch((30, 50), 0.02)
    assert math.isnan(found.best())
    offered(found, *mious)
    assert found.complete() == complete


def test_state_comes_back_through_json() -> None:
    found = search(leap, 150, LevelSearch((35, 50), 0.02, 16))
    text = json.dumps(found.state())
    again = LevelSearch((35, 50), 0.02, 16)
    again.restore(json.loads(text), {level: weights for level, (_, weights) in found.nearest.items()})
    assert again.interval == found.interval
    assert repr(again.history) == repr(found.history), "NaN is unlike itself, its text is not"
    assert {k: repr(e) for k, (e, _) in again.nearest.items()} == {k: repr(e) for k, (e, _) in found.nearest.items()}
    assert nearest(again, 35) == nearest(found, 35)
    assert isinstance(again.history[0].iou, tuple)


def test_the_best_is_the_highest_of_the_whole_training() -> None:
    curve = [0.2, 0.5, 0.8, 0.95, 0.9, 0.93, 0.6]
    found = search(curve, 6, LevelSearch((BEST,), longest=1))
    assert nearest(found, BEST) == 3
    assert found.reached(BEST)
    assert not found.complete()
    assert [e.step for e in found.history] == list(range(7))


def test_where_no_level_is_searched_evaluations_are_far_between() -> None:
    found = search(lambda step: step / 100, 90, LevelSearch((BEST,), longest=32))
    assert [e.step for e in found.history] == [0, 32, 64, 90]
    both = search(leap, 300, LevelSearch((50, BEST), tolerance=0.05, longest=32))
    assert both.reached(50)
    assert nearest(both, BEST) == 300
    assert sorted(e.step for e in both.history)[-1] == 300
    steps = sorted(e.step for e in both.history if e.step >= 220)
    assert max(b - a for a, b in itertools.pairwise(steps)) == 32


def test_names_of_levels() -> None:
    assert [level_name(level) for level in (30, BEST)] == ["30 %", "best"]


def test_the_best_is_kept_whatever_is_asked_for() -> None:
    found = LevelSearch((50, 90))
    offered(found, 0.3, 0.52, 0.6, 0.852, 0.84)
    assert found.kept == (50, 90, BEST)
    assert nearest(found, BEST) == 3
    assert not found.reached(90)
    assert LevelSearch((BEST,)).kept == (BEST,)
    again = LevelSearch((50, 90))
    again.restore(json.loads(json.dumps(found.state())), {level: w for level, (_, w) in found.nearest.items()})
    assert list(again.nearest) == list(found.nearest)
    assert again.nearest[BEST][0].miou == 0.852


@pytest.mark.parametrize(
    ("pixels", "background", "best"),
    [((60, 40), 0.3, 0.3304), ((95, 5), 0.475, 0.475), ((5, 95), 0.025, 0.475), ((50, 25, 25), 0.5 / 3, 0.1944)],
)
def test_answers_that_look_at_no_image(pixels: tuple[int, ...], background: float, best: float) -> None:
    """One class everywhere, or a die: drawn for 200,000 pixels, it scores what the formula says."""
    assert baseline(pixels) == pytest.approx(background)
    assert trivial(pixels) == pytest.approx(best, abs=5e-4)
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(pixels)), np.array(pixels) * 2000)
    answers = [np.full(len(truth), k) for k in range(len(pixels))] + [rng.integers(0, len(pixels), len(truth))]
    scores = [mean_iou(confusion(a[None, None], truth[None, None], len(pixels))[0]) for a in answers]
    assert trivial(pixels) == pytest.approx(max(scores), abs=2e-3)


def test_classes_that_no_truth_holds_do_not_count() -> None:
    assert trivial((60, 40, 0)) < trivial((60, 40))  # a die with a side too many
    assert baseline((60, 40, 0)) == baseline((60, 40))
    assert math.isnan(baseline((0, 0)))


@pytest.mark.parametrize(
    ("levels", "pixels", "low"),
    [
        ((30, 50, 70, 90), (60, 40), (30,)),
        ((30, 33), (60, 40), (30, 33)),
        ((35, 50), (60, 40), ()),
        ((30, 40, 48, 90), (97, 3), (30, 40, 48)),
        ((50, 90), (97, 3), ()),
        ((BEST,), (60, 40), ()),
        ((30, BEST), (60, 40), (30,)),
    ],
)
def test_levels_that_are_not_above_a_trivial_answer_have_a_start_of_their_own(
    levels: tuple[int, ...], pixels: tuple[int, ...], low: tuple[int, ...]
) -> None:
    found = {start.initial_answer: start.levels for start in starts(Train(levels=levels), lambda: pixels)}
    others = tuple(level for level in levels if level not in low)
    assert found == {k: v for k, v in (("foreground", low), ("random", others)) if v}
    assert list(found)[-1] == ("random" if others else "foreground"), "the highest level's start comes last"
    for said in ("foreground", "random"):
        fixed = Train(levels=levels, initial_answer=said)  # type: ignore[arg-type]
        assert starts(fixed, lambda: pytest.fail("what is said needs no pixels")) == (Start(said, levels),)  # type: ignore[arg-type]


def test_a_search_goes_on_from_another_start() -> None:
    found = LevelSearch((30, 50, 70), 0.02, 16, sought=(30,))
    search([0.1, 0.2, 0.29, 0.4], 3, found)
    assert found.complete()
    before = found.nearest[30]
    found.begin((50, 70))
    assert (found.sought, found.history, found.interval) == ((50, 70), [], 1)
    assert len(found.earlier) == 4
    assert BEST not in found.nearest
    search([0.3, 0.5, 0.6, 0.69, 0.71], 4, found)
    assert found.complete()
    assert found.nearest[30] is before, "a nearer step of another start does not count"
    assert {level: nearest(found, level) for level in (50, 70)} == {50: 1, 70: 3}
    assert found.best() == 0.71
    again = LevelSearch((30, 50, 70), 0.02, 16)
    again.restore(json.loads(json.dumps(found.state())), {level: w for level, (_, w) in found.nearest.items()})
    assert repr((again.earlier, again.history)) == repr((found.earlier, found.history))
    found.begin((BEST,))
    assert found.interval == 16


@pytest.mark.parametrize(("mious", "behind"), [([], False), ([0.31], False), ([0.33], False), ([0.35], True)])
def test_a_start_is_over_where_its_levels_were_leapt_over(mious: list[float], behind: bool) -> None:
    found = LevelSearch((30, 50), 0.02, sought=(30,))
    offered(found, *mious)
    assert found.left_behind() is behind
