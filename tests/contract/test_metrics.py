"""What every metric must hold, whoever wrote it: run over the registry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam.metrics import METRICS, measure
from segcam.scoring.reference import Scenery
from tests.sceneries import BOTH, NEITHER, NO_BACKGROUND, NO_FOREGROUND, maps, scene, scenery

EVERY = pytest.mark.parametrize("name", METRICS.names())
few = settings(max_examples=25, deadline=None)
lengths = st.integers(1, 14)
worlds = st.builds(
    lambda seed, size, grid, sides: (np.random.default_rng(seed), size, grid, sides),
    st.integers(0, 2**32 - 1),
    st.tuples(lengths, lengths),
    st.tuples(lengths, lengths),
    st.lists(st.sampled_from([BOTH, BOTH, NO_FOREGROUND, NO_BACKGROUND, NEITHER]), min_size=2, max_size=3),
)


def drawn(world, m, dtype=torch.float64):
    """A scenery, its grid, and `m` maps of each of its images."""
    rng, size, grid, sides = world
    return scenery([scene(rng, size, s) for s in sides], dtype), grid, maps(rng, len(sides), m, grid).to(dtype)


def same(one, two, rtol=1e-6):
    torch.testing.assert_close(one, two, rtol=rtol, atol=rtol, equal_nan=True)


@EVERY
def test_it_says_what_it_is(name):
    metric = METRICS.get(name)
    assert metric.name.isidentifier()
    assert all((metric.label, metric.summary, metric.source))
    assert metric.direction in ("higher", "lower", "none")
    if metric.lower is not None and metric.upper is not None:
        assert metric.lower < metric.upper
    if isinstance(metric.chance, float):
        assert metric.lower is None or metric.lower <= metric.chance
        assert metric.upper is None or metric.chance <= metric.upper


@EVERY
@given(world=worlds)
@few
def test_a_number_a_map_within_its_bounds_or_nan(name, world):
    metric = METRICS.get(name)
    for dtype in (torch.float32, torch.float64):
        made, grid, small = drawn(world, 3, dtype)
        values = metric.compute(small, made.on(grid))
        assert values.shape == (len(made.ids), 3)
        assert values.dtype == dtype
        defined = values[~values.isnan()]
        assert defined.isfinite().all()
        assert metric.lower is None or (defined >= metric.lower).all()
        assert metric.upper is None or (defined <= metric.upper).all()


@EVERY
@pytest.mark.parametrize("factor", [2.0**-100, 2.0**100, 1e-30, 1e30])
@given(world=worlds)
@few
def test_scale_does_not_matter(name, factor, world):
    made, grid, small = drawn(world, 2, torch.float32)
    metric, view = METRICS.get(name), made.on(grid)
    same(metric.compute(small * factor, view), metric.compute(small, view), rtol=2e-3)


@EVERY
@given(world=worlds)
@few
def test_left_and_right_do_not_matter(name, world):
    made, grid, small = drawn(world, 2)
    flipped = Scenery(made.luminance.flip(2), made.foreground.flip(2), made.background.flip(2), made.ids)
    metric = METRICS.get(name)
    same(metric.compute(small.flip(3), flipped.on(grid)), metric.compute(small, made.on(grid)))


@EVERY
@given(world=worlds)
@few
def test_batch_mates_and_neighbouring_maps_do_not_matter(name, world):
    rng, size, grid, sides = world
    scenes = [scene(rng, size, s) for s in sides]
    small = maps(rng, len(sides), 3, grid)
    small[0, 0] = torch.nan
    small[-1, 1] = 0
    metric = METRICS.get(name)
    together = metric.compute(small, scenery(scenes).on(grid))
    for i, s in enumerate(scenes):
        for k in range(3):
            alone = metric.compute(small[i : i + 1, k : k + 1], scenery([s]).on(grid))
            same(alone[0, 0], together[i, k])


@EVERY
@given(world=worlds)
@few
def test_inputs_are_left_alone(name, world):
    made, grid, small = drawn(world, 2)
    inputs = (small, made.luminance, made.foreground, made.background)
    before = [t.clone() for t in inputs]
    sharing = made.on(grid).sharing(small)
    first = METRICS.get(name).compute(small, sharing)
    rest = measure(small, made.on(grid), list(METRICS))
    assert all(torch.equal(t, b) for t, b in zip(inputs, before, strict=True))
    same(METRICS.get(name).compute(small, sharing), first, rtol=0)
    same(rest[name], first, rtol=1e-12)


@EVERY
def test_an_undefined_map_has_no_value(name):
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (16, 24))]).on((4, 8))
    small = maps(rng, 1, 3, (4, 8))
    small[0, 0] = torch.nan
    small[0, 1, 1, 1] = torch.nan
    assert METRICS.get(name).compute(small, view).isnan().tolist() == [[True, True, False]]


@EVERY
def test_a_blank_map_has_no_value_but_being_blank(name):
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (16, 24))]).on((4, 8))
    value = METRICS.get(name).compute(torch.zeros(1, 1, 4, 8), view).item()
    assert value == 1 if name == "blank" else np.isnan(value)
