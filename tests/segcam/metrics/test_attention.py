"""Metrics of attention: right by a slow second way and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam.metrics.attention import ATTENTION_METRICS, attention_background_ratio, attention_distance
from segcam.probe.attention import Attention
from segcam.scoring import Scenery
from tests.attentions import attention, twin
from tests.reference import attention as slow
from tests.sceneries import BOTH, NEITHER, NO_BACKGROUND, NO_FOREGROUND, scene, scenery

few = settings(max_examples=25, deadline=None)
every_metric = pytest.mark.parametrize("metric", ATTENTION_METRICS, ids=lambda m: m.name)

worlds = st.tuples(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(3, 15), st.integers(3, 15)),
    st.integers(1, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 2),
)
World = tuple[int, tuple[int, int], int, tuple[int, int], int]


def built(world: World) -> tuple[np.random.Generator, tuple[int, int], Attention]:
    seed, size, reduction, more, prefix = world
    rng = np.random.default_rng(seed)
    return rng, size, attention(rng, 2, (reduction + more[0], reduction + more[1]), reduction, prefix)


@few
@given(worlds)
def test_metrics_equal_their_slow_twins(world: World) -> None:
    rng, size, made = built(world)
    scenes = [scene(rng, size) for _ in range(2)]
    view = scenery(scenes)
    ratio, distance = attention_background_ratio(made, view), attention_distance(made, view)
    assert ratio.shape == distance.shape == (2, 2)
    for i, one in enumerate(scenes):
        for head in range(2):
            wanted = slow.background_ratio(twin(made, i), head, one.foreground, one.background)
            assert float(ratio[i, head]) == pytest.approx(wanted, rel=1e-9, nan_ok=True)
            assert float(distance[i, head]) == pytest.approx(slow.distance(twin(made, i), head, size), rel=1e-9)


@few
@given(worlds)
def test_chance_is_what_uniform_attention_scores(world: World) -> None:
    rng, size, made = built(world)
    view = scenery([scene(rng, size) for _ in range(2)])
    alike = slow.Block(np.ones_like(made.weights[0].numpy()), made.grid, made.reduction)
    for metric in ATTENTION_METRICS:
        found = metric.by_chance(made, view)
        assert found.shape == (2, 2)
        wanted = slow.distance(alike, 0, size) if metric.chance == "uniform" else metric.chance
        assert found.nan_to_num(wanted).flatten().tolist() == pytest.approx([wanted] * 4, rel=1e-9)


def test_chance_of_distance_is_half_a_side() -> None:
    view = scenery([scene(np.random.default_rng(0), (128, 128))])
    of_grid = [Attention(torch.ones(1, 1, n * n, n * n) / n**2, (n, n)) for n in (4, 8, 16)]
    # of random points of a square its side times (2 + sqrt(2) + 5 asinh(1)) / 15, from below as cells get smaller
    limit = 128 * (2 + math.sqrt(2) + 5 * math.asinh(1)) / 15
    found = [ATTENTION_METRICS[1].by_chance(one, view).item() for one in of_grid]
    assert found == sorted(found)
    assert found[0] > 0.9 * limit
    assert found[-1] == pytest.approx(limit, rel=0.01)


@few
@given(worlds)
def test_uniform_attention_has_ratio_1(world: World) -> None:
    rng, size, made = built(world)
    same = Attention(torch.ones_like(made.weights) / made.weights.shape[-1], made.grid, made.reduction)
    found = attention_background_ratio(same, scenery([scene(rng, size) for _ in range(2)]))
    assert torch.allclose(found.nan_to_num(1.0), torch.ones(2, 2, dtype=torch.float64), rtol=1e-9)


def pure(grid: tuple[int, int], cell: int) -> Scenery:
    """The left half foreground, cells of one class each."""
    foreground = torch.zeros(1, grid[0] * cell, grid[1] * cell, dtype=torch.bool)
    foreground[..., : grid[1] // 2 * cell] = True
    return Scenery(torch.zeros(foreground.shape, dtype=torch.float64), foreground, ~foreground, ("0",))


@pytest.mark.parametrize("prefix", [0, 1])
def test_attention_to_oneself_has_ratio_and_distance_0(prefix: int) -> None:
    made = Attention(torch.eye(24 + prefix, dtype=torch.float64).expand(1, 3, -1, -1), (4, 6))
    assert attention_background_ratio(made, pure((4, 6), 5)).tolist() == [[0, 0, 0]]
    assert attention_distance(made, pure((4, 6), 5)).tolist() == [[0, 0, 0]]


def test_distances_by_hand() -> None:
    """Two cells of 4 x 6 pixels: half of each one's attention goes 6 pixels far."""
    weights = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]], dtype=torch.float64)
    view = Scenery(*(torch.zeros(1, 4, 12, dtype=t) for t in (torch.float64, torch.bool, torch.bool)), ("0",))
    assert attention_distance(Attention(weights, (1, 2)), view).item() == 3


def test_distance_to_reduced_keys_by_hand() -> None:
    """One key of 2 x 2 cells of 3 pixels, its centre 1.5 sqrt 2 from theirs; the cells beyond it lie further off."""
    made = Attention(torch.ones(1, 1, 6, 1, dtype=torch.float64), (2, 3), 2)
    view = Scenery(*(torch.zeros(1, 6, 9, dtype=t) for t in (torch.float64, torch.bool, torch.bool)), ("0",))
    wanted = (4 * math.hypot(1.5, 1.5) + 2 * math.hypot(1.5, 4.5)) / 6
    assert attention_distance(made, view).item() == pytest.approx(wanted)


def test_background_ratio_by_hand() -> None:
    """Keys with background shares 1, 1/4; a query of 3/4 foreground in the second cell alone."""
    foreground = torch.tensor([[[0, 0, 1, 1], [0, 0, 0, 1]]], dtype=torch.bool)
    view = Scenery(torch.zeros(1, 2, 4, dtype=torch.float64), foreground, ~foreground, ("0",))
    weights = torch.tensor([[[[0.9, 0.1], [0.6, 0.4]]]], dtype=torch.float64)
    wanted = (0.6 * 1 + 0.4 * 0.25) / 0.625
    assert attention_background_ratio(Attention(weights, (1, 2)), view).item() == pytest.approx(wanted)


@pytest.mark.parametrize("sides", [NO_FOREGROUND, NO_BACKGROUND, NEITHER])
def test_undefined_without_foreground_or_background(sides: str) -> None:
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (8, 8), side) for side in (BOTH, sides)])
    made = attention(rng, 2, (4, 4), 2)
    assert attention_background_ratio(made, view).isnan().tolist() == [[False, False], [True, True]]
    assert attention_distance(made, view).isfinite().all()


@every_metric
@pytest.mark.parametrize(("axis", "reduction"), [(1, 1), (2, 2)])
def test_metrics_flip_with_the_image(metric, axis: int, reduction: int) -> None:
    rng = np.random.default_rng(3)
    one, made = scene(rng, (12, 16)), attention(rng, 1, (4, 6), reduction)
    h, w = made.keys
    six = made.weights.reshape(1, 2, *made.grid, h, w).flip(axis + 1, axis + 3).reshape(made.weights.shape)
    view = scenery([one])
    mirrored = Scenery(*(t.flip(axis) for t in (view.luminance, view.foreground, view.background)), view.ids)
    turned = Attention(six, made.grid, made.reduction)
    torch.testing.assert_close(metric.compute(made, view), metric.compute(turned, mirrored))


@every_metric
def test_metrics_do_not_depend_on_batch_mates_nor_change_their_input(metric) -> None:
    rng = np.random.default_rng(4)
    scenes, made = [scene(rng, (9, 7)) for _ in range(3)], attention(rng, 3, (3, 4), 1, 1)
    before = made.weights.clone()
    together = metric.compute(made, scenery(scenes))
    alone = metric.compute(Attention(made.weights[1:2], made.grid), scenery(scenes[1:2]))
    torch.testing.assert_close(together[1:2], alone)
    assert torch.equal(made.weights, before)


@every_metric
def test_tokens_of_no_place_play_no_part(metric) -> None:
    rng = np.random.default_rng(5)
    made, view = attention(rng, 2, (4, 4), 1, 1), scenery([scene(rng, (8, 8)) for _ in range(2)])
    without = Attention(made.weights[:, :, 1:, 1:], made.grid)  # placed() scales rows
    torch.testing.assert_close(metric.compute(made, view), metric.compute(without, view))


@every_metric
def test_metrics_say_what_they_are(metric) -> None:
    assert metric.name.startswith("attention_")
    assert metric.label
    assert metric.summary
    assert metric.source
    assert metric.direction in ("higher", "lower", "none")
