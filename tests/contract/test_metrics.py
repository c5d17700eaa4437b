"""What every metric must hold, whoever wrote it: run over the registry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam.errors import InputError
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
    view = scenery([scene(rng, (16, 24))]).on((8, 12))
    small = maps(rng, 1, 3, (8, 12))
    small[0, 0] = torch.nan
    small[0, 1, 1, 1] = torch.nan
    assert METRICS.get(name).compute(small, view).isnan().tolist() == [[True, True, False]]


@EVERY
def test_a_blank_map_has_no_value_but_being_blank(name):
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (16, 24))]).on((4, 8))
    value = METRICS.get(name).compute(torch.zeros(1, 1, 4, 8), view).item()
    assert value == 1 if name == "blank" else np.isnan(value)


KINDS = {
    "numpy": lambda m: m.numpy(),
    "big-endian": lambda m: m.numpy().astype(">f4"),
    "lists": lambda m: m.tolist(),
    "float16": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "uint8": lambda m: m.to(torch.uint8),
    "int64": lambda m: m.long(),
}


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_any_kind_are_measured_as_their_numbers_are(name, kind):
    rng = np.random.default_rng(1)
    view = scenery([scene(rng, (16, 24)), scene(rng, (16, 24))], torch.float32).on((4, 8))
    small = (maps(rng, 2, 3, (4, 8)) * 40).round()  # whole numbers that half precision holds
    want = METRICS.get(name).compute(small.float(), view)
    got = METRICS.get(name).compute(KINDS[kind](small), view)
    assert got.dtype == torch.float32
    same(got, want)
    same(measure(KINDS[kind](small), view, [name])[name], want)


@EVERY
def test_a_map_of_booleans_is_one_of_zeros_and_ones(name):
    rng = np.random.default_rng(2)
    view = scenery([scene(rng, (16, 24))]).on((4, 8))
    where = maps(rng, 1, 2, (4, 8)) > 0
    same(METRICS.get(name).compute(where, view), METRICS.get(name).compute(where.double(), view))


@EVERY
def test_a_map_with_a_negative_value_is_refused_and_the_cure_works(name):
    rng = np.random.default_rng(3)
    view = scenery([scene(rng, (16, 24))]).on((4, 8))
    small = maps(rng, 1, 2, (4, 8))
    small[0, 1, 2, 3] = -0.5
    for signed in (small, small.numpy(), small.half()):
        with pytest.raises(InputError, match=r"holds -0.5: .*maps.clip\(min=0\)"):
            METRICS.get(name).compute(signed, view)
        with pytest.raises(InputError, match=r"holds -0.5"):
            measure(signed, view, [name])
        same(METRICS.get(name).compute(signed.clip(min=0), view), METRICS.get(name).compute(small.relu(), view), 2e-2)


@EVERY
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m[:, 0], r"maps\[:, None\]"),
        (lambda m: m.movedim(1, -1)[..., :1], r"the maps' channel lies last: give maps\[None, ..., 0\]"),
        (lambda m: m.transpose(2, 3), r"rows come before columns: give maps.swapaxes\(2, 3\)"),
        (lambda m: m[:1], "maps of 1 images"),
        (lambda m: "map", "maps are 'map': a tensor or an array of real numbers is needed"),
        (lambda m: m + 0j, "maps are complex"),
    ],
)
def test_maps_of_another_form_are_refused_with_the_cure(name, change, words):
    rng = np.random.default_rng(4)
    view = scenery([scene(rng, (16, 24)), scene(rng, (16, 24))]).on((4, 8))
    with pytest.raises(InputError, match=words):
        METRICS.get(name).compute(change(maps(rng, 2, 3, (4, 8))), view)


def test_the_cure_for_a_last_channel_is_right():
    small = maps(np.random.default_rng(5), 2, 1, (4, 8))
    for last in (small.movedim(1, -1), small.movedim(1, -1).numpy()):
        assert np.array_equal(last[None, ..., 0].swapaxes(0, 1), small)
