import math

import numpy as np
import pytest
import torch

from segcam.errors import InputError
from segcam.metrics import METRICS, measure
from segcam.samples import Batch, Sample
from segcam.scoring.grids import Placement
from segcam.scoring.normalise import BLOCK, unit
from segcam.scoring.reference import Scenery
from tests.reference import metrics as slow
from tests.reference import twin
from tests.reference.metrics import Scene, area_average, edge_strength, upsample
from tests.sceneries import BOTH, NEITHER, NO_BACKGROUND, NO_FOREGROUND, maps, scene, scenery

SIZES = [
    ((12, 20), (3, 5)),
    ((13, 9), (4, 5)),
    ((8, 8), (8, 8)),
    ((6, 5), (9, 11)),
    ((16, 16), (2, 2)),
    ((7, 10), (1, 1)),
    ((9, 6), (1, 6)),
]
SIDES = [BOTH, BOTH, NO_FOREGROUND, NO_BACKGROUND, NEITHER]
MASKED = ("energy_inside", "energy_gain", "background_ratio")


def value(name, small, luminance, foreground, background=None):
    """The metric of one map on one image, given as nested lists; float64."""
    foreground = torch.tensor(foreground, dtype=torch.bool)[None]
    other = ~foreground if background is None else torch.tensor(background, dtype=torch.bool)[None]
    luminance = torch.as_tensor(luminance, dtype=torch.float64)[None]
    small = torch.as_tensor(small, dtype=torch.float64)[None, None]
    reference = Scenery(luminance, foreground, other, ("a",)).on(tuple(small.shape[2:]))
    return METRICS.get(name).compute(small, reference).item()


@pytest.mark.parametrize("name", METRICS.names())
@pytest.mark.parametrize(("size", "grid"), SIZES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_metric_equals_its_slow_twin(name, size, grid, dtype, rtol):
    rng = np.random.default_rng([*size, *grid])
    scenes = [scene(rng, size, sides) for sides in SIDES]
    small = maps(rng, len(scenes), 4, grid)
    small[:, 1] = 0
    small[:, 2] = 0.7
    small[:, 3] = torch.from_numpy(1 + 0.01 * rng.random((len(scenes), *grid)))  # a small change on a large constant
    got = METRICS.get(name).compute(small.to(dtype), scenery(scenes, dtype).on(grid))
    of_one = twin(slow, "metric", name)
    want = [[of_one(row[k].numpy(), s) for k in range(4)] for row, s in zip(small, scenes, strict=True)]
    assert got.shape == (len(scenes), 4)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("name", ["line_width", "pointing_game", "iou", "average_precision"])
def test_metrics_of_maps_with_many_equal_cells_are_those_of_their_twins(name):
    """Plateaus, of an even number of cells too, and ties."""
    rng = np.random.default_rng(4)
    scenes = [scene(rng, (24, 27)) for _ in range(4)]
    small = torch.from_numpy(rng.integers(0, 3, (4, 6, 8, 9)) / 2)
    got = METRICS.get(name).compute(small, scenery(scenes).on((8, 9)))
    of_one = twin(slow, "metric", name)
    want = [[of_one(one.numpy(), s) for one in row] for row, s in zip(small, scenes, strict=True)]
    assert np.isfinite(want).any()
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_faint_edges_align_as_strong_ones_do():
    """A correlation has no unit: an edge counts as soon as it is above the rounding of the brightest pixel."""
    strong = torch.zeros(1, 12, 12)
    strong[:, 4:8, 3:9] = 1
    small = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    alignments = []
    for contrast in (1.0, 1e-3):
        inside = strong.bool()
        reference = Scenery(0.5 + contrast * strong, inside, ~inside, ("a",)).on((6, 6))
        alignments.append(METRICS.get("edge_alignment").compute(small, reference).item())
    assert alignments[1] == pytest.approx(alignments[0], rel=1e-3)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_reference_holds_what_it_says(size, grid):
    rng = np.random.default_rng([*size, *grid])
    scenes = [scene(rng, size, sides) for sides in SIDES]
    small = maps(rng, len(SIDES), 1, grid)[:, 0]
    view = scenery(scenes).on(grid)
    down, across = view.gram
    for i, s in enumerate(scenes):
        big, edges = upsample(small[i].numpy(), *size), edge_strength(s.luminance)
        cells = small[i]
        assert (cells * view.foreground[i]).sum().item() == pytest.approx(big[s.foreground].sum(), abs=1e-9)
        assert (cells * view.background[i]).sum().item() == pytest.approx(big[s.background].sum(), abs=1e-9)
        assert (cells * view.everything).sum().item() == pytest.approx(big.sum())
        assert (cells * (down @ cells @ across)).sum().item() == pytest.approx((big**2).sum())
        assert (cells * view.edges_full[i]).sum().item() == pytest.approx((big * (edges - edges.mean())).sum())
        assert view.edges_full_variance[i].item() == pytest.approx(edges.var())
        np.testing.assert_allclose(view.edges[i], area_average(edges, *grid), rtol=1e-12)
        total = s.foreground.sum() + s.background.sum()
        share = s.foreground.sum() / total if total else math.nan
        assert view.area[i].item() == pytest.approx(share, nan_ok=True)


def test_energies_by_hand():
    # Two cells on four pixels: the upsampled map of (1, 0) is 1, 3/4, 1/4, 0.
    flat, small = [[0.0] * 4], [[1.0, 0.0]]
    assert value("energy_inside", small, flat, [[1, 0, 0, 0]]) == pytest.approx(1 / 2)
    assert value("energy_gain", small, flat, [[1, 0, 0, 0]]) == pytest.approx(1 / 3)
    assert value("background_ratio", small, flat, [[1, 0, 0, 0]]) == pytest.approx(1 / 4)
    # The border, here the second pixel, counts nowhere: 1 against 1/4, one pixel against two.
    bordered = ([[1, 0, 0, 0]], [[0, 0, 1, 1]])
    assert value("energy_inside", small, flat, *bordered) == pytest.approx(4 / 5)
    assert value("energy_gain", small, flat, *bordered) == pytest.approx((4 / 5 - 1 / 3) / (2 / 3))
    assert value("background_ratio", small, flat, *bordered) == pytest.approx((1 / 8) / (1 / 8 + 1))


def test_spread_by_hand():
    flat, mask = [[0.0] * 4], [[1, 0, 0, 0]]
    assert value("spread", [[0, 3, 0, 0]], flat, mask) == 0
    assert value("spread", [[0, 3, 3, 0]], flat, mask) == pytest.approx(1 / 2)
    assert value("spread", [[3, 3, 3, 3]], flat, mask) == pytest.approx(1, abs=1e-12)


def thickness(inside, size=None):
    """The edge thickness of a map that is 1 inside and 0.4, below half, elsewhere."""
    inside = np.asarray(inside, float)
    size = size or inside.shape
    return value("edge_thickness", 0.4 + 0.6 * inside, np.zeros(size), np.ones(size, bool))


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("across", [False, True])
def test_the_thickness_of_a_line_is_its_width(width, across):
    line = np.zeros((40, 2000))
    line[7 : 7 + width] = 1
    assert thickness(line.T if across else line) == pytest.approx(width / (1 + width / 2000))
    assert thickness(line.T if across else line) == pytest.approx(width, rel=0.003)


def test_thickness_by_hand():
    one = np.zeros((6, 8))
    one[2, 3] = 1
    assert thickness(one) == 1 / 2
    one[2:5, 3:6] = 1
    assert thickness(one) == 2 * 9 / 12
    one[3, 4] = 0  # a hole has an outline of its own
    assert thickness(one) == 2 * 8 / 16
    assert thickness(np.ones((6, 8))) == pytest.approx(6 * 8 / (6 + 8))
    two = np.zeros((9, 9))
    two[1, :], two[4:7, :] = 1, 1  # of lines of 1 and 3 pixels, by their lengths: the areas' sum over the outlines'
    assert thickness(two) == pytest.approx(2 * 36 / (20 + 24))
    assert thickness(np.eye(50)) == 1 / 2  # sides, not a slanted outline's length


def test_thickness_is_taken_at_half_of_the_upsampled_maximum():
    # Upsampled by four, (0, 1, 0) is 0 0 | 1/8 3/8 5/8 7/8 | 7/8 5/8 3/8 1/8 | 0 0: at half of 7/8 four pixels are in.
    assert value("edge_thickness", [[0, 1, 0]] * 100, np.zeros((400, 12)), np.ones((400, 12), bool)) == pytest.approx(
        4 / (1 + 4 / 400)
    )
    # By three, the maximum itself is sampled, and exactly half of it never; by 3/2 exactly half of it is, and counts.
    assert value("edge_thickness", [[0, 1]], np.zeros((1, 3)), np.ones((1, 3), bool)) == pytest.approx(2 * 2 / 6)


def test_a_map_between_whose_cells_no_pixel_falls_has_no_thickness():
    small = np.zeros((1, 30))
    small[0, 8] = 1
    assert math.isnan(value("edge_thickness", small, np.zeros((1, 3)), np.ones((1, 3), bool)))


def wave(length, cell=1, cells=64):
    """A map of bars that repeat after `length` pixels, on cells of `cell` pixels."""
    places = (np.arange(cells) + 0.5) * cell
    return np.tile(1 + np.cos(2 * np.pi * places / length), (cells, 1))


@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("across", [False, True])
def test_a_wave_is_fine_where_it_is_shorter_than_sixteen_pixels(cell, across):
    cells = 64 // cell
    size, mask = (64, 64), np.ones((64, 64), bool)
    for length, fine in ((64, 0), (32, 0), (16, 0), (12.8, 1), (64 / 6, 1)):  # of whole half waves, as is 1/16 itself
        bars = wave(length, cell, cells)
        assert value("fine_power", bars.T if across else bars, np.zeros(size), mask) == pytest.approx(fine, abs=1e-12)
    mixed = wave(32, cell, cells) + 0.5 * wave(64 / 6, cell, cells)  # powers as the squares of their heights
    assert value("fine_power", mixed, np.zeros(size), mask) == pytest.approx(0.25 / 1.25)
    turned = wave(64 / 3, cell, cells) * wave(64 / 3, cell, cells).T  # along both axes: a wave of 64 / (3 sqrt(2)) = 15
    assert value("fine_power", turned, np.zeros(size), mask) == pytest.approx(1 / 5)


def test_a_grid_of_eight_pixels_a_cell_holds_no_fine_wave():
    rng = np.random.default_rng(0)
    for cells, defined in ((8, False), (9, True)):
        small, mask = rng.random((cells, cells)), np.ones((64, 64), bool)
        assert math.isfinite(value("fine_power", small, np.zeros((64, 64)), mask)) == defined
    placed = scenery([scene(rng, (64, 64))])
    small = torch.from_numpy(rng.random((1, 1, 8, 8)))
    for step, defined in (((8, 8), False), ((8, 4), False), ((4, 8), False), ((7.5, 7.5), True)):
        placement = Placement((0.0, 0.0), step)
        assert math.isfinite(METRICS.get("fine_power").compute(small, placed.on((8, 8), placement))) == defined


def test_a_ramp_has_no_edge_at_its_frame():
    ramp = np.tile(np.arange(64.0), (64, 1))
    assert value("fine_power", ramp, np.zeros((64, 64)), np.ones((64, 64), bool)) < 0.001  # 0.04 by Fourier's waves


def test_edges_are_recalled_at_equal_density():
    luminance = np.zeros((10, 10))
    luminance[:, 5:] = 1  # edge strength is 1/2 in the two columns beside the step, 20 cells of which 10 count
    mask = np.ones((10, 10), bool)
    column = np.zeros((10, 10))
    column[:, 4] = 1  # ten cells, each an edge by an even chance
    assert value("edge_recall", column, luminance, mask) == pytest.approx(1 / 2)
    column[:, 5] = 2  # the stronger ten are drawn
    assert value("edge_recall", column, luminance, mask) == pytest.approx(1 / 2)
    assert value("edge_recall", np.roll(column, 3, 1), luminance, mask) == 0
    assert value("edge_recall", 1 - column / 2 * (np.arange(10) > 4), luminance, mask) == pytest.approx(5 / 90)
    luminance = np.random.default_rng(0).random((10, 10))
    assert value("edge_recall", edge_strength(luminance), luminance, mask) == 1
    assert value("edge_recall", 1 / (0.01 + edge_strength(luminance)), luminance, mask) == 0


def drawn_line(width, angle, shift=0.0, size=96, fine=4):
    """A straight line of a width in pixels, each pixel by the share of it that the line covers."""
    rows, columns = (np.mgrid[: size * fine, : size * fine] + 0.5) / fine - size / 2
    inside = np.abs(math.cos(angle) * columns + math.sin(angle) * rows - shift) < width / 2
    return inside.reshape(size, fine, size, fine).mean((1, 3))


def line_widths(large, cell):
    """The line width of images drawn on cells of some pixels, one map each."""
    size = large[0].shape
    grid = (size[0] // cell, size[1] // cell)
    small = torch.from_numpy(np.stack([area_average(image, *grid) for image in large]))[None]
    return METRICS.get("line_width").compute(
        small, scenery([Scene(np.zeros(size), np.ones(size, bool), np.zeros(size, bool))]).on(grid)
    )


@pytest.mark.parametrize("cell", [1, 2, 4, 8])
@pytest.mark.parametrize("width", range(1, 9))
def test_the_width_of_a_drawn_line(width, cell):
    turned = [
        (angle, shift) for angle in np.linspace(0, math.pi, 12, endpoint=False) for shift in (0, 0.3 * cell, cell)
    ]
    got = line_widths([drawn_line(width, *one) for one in turned], cell)[0].numpy()
    widest, diagonal = max(width, cell), math.sqrt(2) * cell
    assert (got >= widest - diagonal / 2).all()
    assert (got <= widest + cell).all()
    if width >= 3 * cell:  # where some cells are all line
        assert np.abs(got - width).max() <= diagonal / 2
        assert np.median(got) == pytest.approx(width, abs=0.1 * cell)


@pytest.mark.parametrize("radius", [1, 3, 8, 20])
def test_a_dot_or_a_patch_is_no_line(radius):
    rows, columns = np.mgrid[:96, :96]
    away = np.hypot(rows - 47, columns - 40.3)
    patches = [away < radius, np.maximum(abs(rows - 47), abs(columns - 40)) < radius, np.exp(-((away / radius) ** 2))]
    for cell in (1, 4):
        assert line_widths([np.asarray(patch, float) for patch in patches], cell).isnan().all()


def test_strong_lines_count_and_haze_does_not():
    rows, columns = np.mgrid[:96, :96]
    line, other = drawn_line(5, 0.0, -20), drawn_line(2, 0.0, 20)
    curve = (np.abs(np.hypot(rows - 47, columns - 47) - 30) < 2.5).astype(float)
    haze = 0.4 + 0.3 * rows / 96
    maps_ = [line + haze, line + 0.3 * other, 0.3 * line + other, 0.04 * line, curve, line + 0.04 * other]
    maps_[3][2:4, 2:4] = 1  # a dot beside which the line is faint
    assert line_widths(maps_, 1)[0].tolist() == pytest.approx([5, 5, 2, math.nan, 5, 5], abs=0.3, nan_ok=True)


def test_both_cells_in_the_middle_of_an_even_line_count():
    """The right column is shorter: most rows' widths, 2 cells across, are those along it and those along the left."""
    line = torch.zeros(12, 8)
    line[1:11, 3] = line[3:9, 4] = 1
    everywhere = [[True] * 8] * 12
    found = value("line_width", line, torch.zeros(12, 8), everywhere)
    assert found == pytest.approx(2 * 6 / math.hypot(2, 6))
    assert value("line_width", line.flip(1), torch.zeros(12, 8), everywhere) == pytest.approx(found)


def test_the_width_of_a_line_on_oblong_and_on_placed_cells():
    small = torch.zeros(1, 1, 12, 24, dtype=torch.float64)
    small[0, 0, 5] = 1
    turned = small.clone().zero_()
    turned[..., 7] = 1
    view = scenery([scene(np.random.default_rng(0), (96, 96))])
    both = torch.cat([small, turned], 1)
    metric = METRICS.get("line_width")
    assert metric.compute(both, view.on((12, 24))).tolist() == [pytest.approx([8, 4], rel=0.01)]
    placed = view.on((12, 24), Placement((0.0, 0.0), (6.0, 4.0)))
    assert metric.compute(both, placed).tolist() == [pytest.approx([6, 4], rel=0.01)]


@pytest.mark.parametrize("name", ["edge_alignment", "edge_alignment_full"])
def test_alignment_has_a_sign_and_its_ends(name):
    rng = np.random.default_rng(0)
    luminance = rng.random((6, 7))
    edges = edge_strength(luminance)
    mask = np.ones((6, 7), bool)
    assert value(name, 5 * edges + 2, luminance, mask) == pytest.approx(1)
    assert value(name, edges.max() - edges, luminance, mask) == pytest.approx(-1)


def test_alignment_at_input_resolution_survives_float32():
    rng = np.random.default_rng(3)
    s = scene(rng, (32, 32))
    small = 1 + 1e-3 * rng.random((4, 4))
    got = METRICS.get("edge_alignment_full").compute(
        torch.from_numpy(small).float()[None, None], scenery([s], torch.float32).on((4, 4))
    )
    exact = slow.edge_alignment_full(small.astype(np.float32).astype(float), s)
    assert got.item() == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("name", ["edge_alignment", "edge_alignment_full", "edge_recall", "fine_power"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alignment_is_undefined_up_to_rounding(name, dtype):
    rng = np.random.default_rng(0)
    eps = torch.finfo(dtype).eps
    noise = torch.from_numpy(rng.integers(0, 2, (1, 1, 32, 32))).to(dtype) * eps
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    flat = Scenery(0.5 + noise[0], mask, ~mask, ("a",)).on((32, 32))
    assert METRICS.get(name).compute(torch.rand_like(noise), flat).isnan().all() or name == "fine_power"
    textured = Scenery(torch.from_numpy(rng.random((1, 32, 32))).to(dtype), mask, ~mask, ("a",)).on((32, 32))
    assert METRICS.get(name).compute(1 - noise, textured).isnan().all()
    assert METRICS.get(name).compute(1 - 1000 * noise, textured).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_does_not_cross_the_bounds(dtype):
    rng = np.random.default_rng(0)
    for n in range(2, 40):
        view = scenery([scene(rng, (n, n)) for _ in range(4)], dtype).on((n, n))
        assert (METRICS.get("spread").compute(torch.ones(4, 1, n, n), view) <= 1).all()
        own = METRICS.get("edge_alignment").compute(view.edges[:, None], view)
        assert not (own > 1).any()


@pytest.mark.parametrize("name", MASKED)
def test_energy_on_the_border_alone_is_undefined(name):
    on_border = value(name, [[0.0, 0.0, 1.0, 0.0]], [[0.0] * 4], [[1, 0, 0, 0]], [[0, 1, 0, 0]])
    assert math.isnan(on_border)


def test_blank_tells_blank_from_undefined():
    small = torch.zeros(1, 4, 2, 2)
    small[0, 1, 0, 0] = 1e-30
    small[0, 2, 0, 0] = torch.nan
    small[0, 3, 0, 0] = torch.inf
    s = scene(np.random.default_rng(0), (4, 4))
    got = METRICS.get("blank").compute(small, scenery([s], torch.float32).on((2, 2)))
    np.testing.assert_array_equal(got, [[1, 0, np.nan, np.nan]])


def test_maps_of_other_dtypes_are_measured_in_the_references():
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (8, 8))], torch.float32).on((4, 4))
    small = maps(rng, 1, 2, (4, 4)).half()
    torch.testing.assert_close(unit(small, view), unit(small.float(), view), rtol=0, atol=0)
    tiny = small.double() * 1e-300
    torch.testing.assert_close(unit(tiny, view), unit(small.float(), view))
    assert unit(tiny, view).dtype == torch.float32


def test_a_maximum_on_the_border_points_nowhere():
    rows = np.kron(np.array([[1, 0], [0, 0]], bool), np.ones((2, 2), bool))
    others = np.kron(np.array([[0, 1], [1, 0]], bool), np.ones((2, 2), bool))
    small = [[0.5, 0.2], [0.1, 1.0]]  # the last cell is all border
    assert value("pointing_game", small, np.zeros((4, 4)), rows.tolist(), others.tolist()) == 1
    small = [[0.2, 0.5], [0.1, 1.0]]
    assert value("pointing_game", small, np.zeros((4, 4)), rows.tolist(), others.tolist()) == 0


def test_measure_equals_each_metric_alone_also_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (8, 8)) for _ in range(3)]).on((4, 4))
    small = maps(rng, 3, 5, (4, 4))
    alone = {m.name: m.compute(small, view) for m in METRICS}
    for block in (BLOCK, 400, 1):  # whole, parts of either kind, a map at a time
        monkeypatch.setattr("segcam.scoring.normalise.BLOCK", block)
        together = measure(small, view, list(METRICS))
        assert list(together) == METRICS.names()
        for name, values in together.items():
            torch.testing.assert_close(values, alone[name], equal_nan=True)
    assert measure(small, view, []) == {}
    assert measure(small[:, :0], view, [METRICS.get("spread")])["spread"].shape == (3, 0)


def test_steps_are_shared_for_the_maps_bound_and_no_others():
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (8, 8))]).on((4, 4))
    first, second = maps(rng, 1, 1, (4, 4)), maps(rng, 1, 1, (4, 4))
    sharing = view.sharing(first)
    metric = METRICS.get("energy_inside")
    assert unit(first, sharing) is unit(first, sharing)
    assert unit(first, view) is not unit(first, view)
    assert metric.compute(first, sharing) == metric.compute(first, view)
    assert metric.compute(second, sharing) == metric.compute(second, view)


@pytest.mark.parametrize("wrong", [(1, 1, 4, 5), (2, 1, 4, 4)])
def test_maps_on_another_grid_or_of_other_images_are_refused(wrong):
    view = scenery([scene(np.random.default_rng(0), (8, 8))]).on((4, 4))
    with pytest.raises(InputError, match="ask the scenery"):
        measure(torch.ones(wrong), view, list(METRICS))
    for name in METRICS.names():
        with pytest.raises(InputError, match="ask the scenery"):
            METRICS.get(name).compute(torch.ones(wrong), view)


def test_scenery_of_a_batch():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 255
    mask = np.array([[1, 0, 255], [2, 1, 1]], np.uint8)
    made = Scenery.of(Batch.of([Sample("a", image, mask)]), class_id=2, seed=7)
    assert made.foreground.tolist() == [[[False, False, False], [True, False, False]]]
    assert made.background.tolist() == [[[True, True, False], [False, True, True]]]
    assert made.luminance[0, 0, 0].item() == pytest.approx(1)
    assert (made.ids, made.seed, made.size) == (("a",), 7, (2, 3))
    assert made.on((1, 1)).area.item() == pytest.approx(1 / 5)


def test_what_is_derived_is_computed_once_a_grid():
    made = scenery([scene(np.random.default_rng(0), (8, 8))])
    assert made.on((4, 4)).foreground is made.on((4, 4)).foreground
    assert made.on((4, 4)).foreground.shape != made.on((2, 2)).foreground.shape


def test_scenery_of_unlike_parts_is_refused():
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(InputError, match="differ in shape"):
        Scenery(torch.ones(1, 2, 2), mask, mask, ("a", "b"))


def test_scenery_takes_arrays_and_masks_of_numbers():
    rng = np.random.default_rng(6)
    s = scene(rng, (12, 10))
    made = Scenery(s.luminance[None], s.foreground[None].astype(np.uint8), s.background[None].astype(float), [7])
    want = scenery([s])
    small = maps(rng, 1, 2, (3, 5))
    for name, values in measure(small, made.on(np.array([3, 5])), METRICS.names()).items():
        torch.testing.assert_close(values, measure(small, want.on((3, 5)), [name])[name], equal_nan=True)
    assert made.ids == ("7",)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"luminance": np.full((1, 4, 4), np.nan)}, "luminance holds NaN"),
        ({"luminance": np.zeros((0, 4, 4))}, "differ in shape"),
        ({"foreground": np.full((1, 4, 4), 255, np.uint8)}, "foreground hold 255"),
        ({"background": np.ones((1, 4, 4), bool)}, "both foreground and background"),
        ({"ids": ("a", "b")}, "differ in shape"),
    ],
)
def test_a_scenery_that_cannot_be_is_refused(changed, words):
    half = np.arange(16).reshape(1, 4, 4) < 8
    parts = {"luminance": np.zeros((1, 4, 4)), "foreground": half, "background": ~half, "ids": ("a",)}
    Scenery(**parts)
    with pytest.raises(InputError, match=words):
        Scenery(**{**parts, **changed})


@pytest.mark.parametrize("grid", [(4,), (0, 3), (2, -1), (2.0, 3), "45", 7, (2, 3, 4), (True, 2)])
def test_a_grid_that_cannot_be_is_refused(grid):
    with pytest.raises(InputError, match="grid"):
        scenery([scene(np.random.default_rng(7), (6, 6))]).on(grid)


@pytest.mark.parametrize("class_id", [-1, 255, 1.0, "pet", True])
def test_the_class_of_a_scenery_is_an_index(class_id):
    batch = Batch.of([Sample("a", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))])
    with pytest.raises(InputError, match="the class is"):
        Scenery.of(batch, class_id)
    assert Scenery.of(batch, np.uint8(1)).foreground.sum() == 0


def test_metrics_are_named_or_given():
    rng = np.random.default_rng(8)
    view, small = scenery([scene(rng, (6, 6))]).on((3, 3)), maps(rng, 1, 1, (3, 3))
    assert list(measure(small, view, "gini")) == ["gini"]
    with pytest.raises(InputError, match=r"unknown metric 'ginni'.*did you mean 'gini'"):
        measure(small, view, ["ginni"])
    with pytest.raises(InputError, match="3 is no metric"):
        measure(small, view, [3])
    with pytest.raises(InputError, match="measured against a Reference, not a Scenery"):
        measure(small, view.scenery, ["gini"])
