import numpy as np
import pytest
import torch

from segcam.errors import InputError
from segcam.methods import METHODS
from segcam.methods.controls import gaussian
from segcam.metrics import METRICS
from segcam.scoring.reference import WIDTH, Scenery
from segcam.streams import stream_seed
from tests.reference import gradient_free as slow
from tests.reference.metrics import area_average, edge_strength
from tests.sceneries import NO_FOREGROUND, scene, scenery

SIZES = [((12, 20), (3, 5)), ((13, 9), (4, 5)), ((8, 8), (8, 8)), ((6, 5), (9, 11)), ((7, 10), (1, 1))]
GOLDEN_SEED = 229220243327846468556378120888146330375
GOLDEN_NOISE = [0.19123918202191648, 0.8748437522381597, 0.4860608809506426, 0.756162072521784]


def control(name, reference):
    maps = METHODS.get(name).control(reference)
    assert maps is not None
    return maps


def score(metric, name, reference):
    return METRICS.get(metric).compute(control(name, reference)[:, None], reference)[:, 0]


def some(n, size, dtype=torch.float64, seed=0):
    rng = np.random.default_rng(seed)
    return scenery([scene(rng, size) for _ in range(n)], dtype)


def test_the_displaced_mask_is_that_of_cells_half_a_cell_up_and_left():
    """A pixel of a mask on cells of two pixels: all of the mask moves one pixel down and right on the grid."""
    mask = torch.zeros(1, 12, 16, dtype=torch.bool)
    mask[0, 3:8, 5:11] = True
    there, moved = (Scenery(mask.double(), m, ~m, ("a",)).on((6, 8)) for m in (mask, mask.roll((1, 1), (1, 2))))
    torch.testing.assert_close(control("mask_displaced", there), control("mask_oracle", moved))
    assert not torch.equal(control("mask_displaced", there), control("mask_oracle", there))


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_uniform_scores_chance(size, grid):
    reference = some(4, size).on(grid)
    torch.testing.assert_close(score("energy_inside", "uniform", reference), reference.area, rtol=1e-12, atol=0)
    torch.testing.assert_close(score("energy_gain", "uniform", reference), torch.zeros(4).double(), rtol=0, atol=1e-12)
    half = torch.full((4,), 0.5).double()
    torch.testing.assert_close(score("background_ratio", "uniform", reference), half, rtol=1e-12, atol=0)
    assert score("edge_alignment", "uniform", reference).isnan().all()
    assert score("edge_alignment_full", "uniform", reference).isnan().all()
    if grid != (1, 1):
        torch.testing.assert_close(score("spread", "uniform", reference), torch.ones(4).double(), rtol=1e-12, atol=0)
    assert (score("blank", "uniform", reference) == 0).all()


def test_random_is_uniform_noise():
    noise = control("random", some(50, (32, 32)).on((32, 32))).flatten()
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise.var().item() == pytest.approx(1 / 12, abs=0.002)


def test_random_depends_on_seed_and_image_alone():
    rng = np.random.default_rng(0)
    scenes = [scene(rng, (8, 8)) for _ in range(3)]
    base, order = scenery(scenes), [2, 0]
    together = control("random", base.on((4, 4)))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(control("random", scenery(scenes, seed=1).on((4, 4))), together)
    mates = Scenery(base.luminance[order], base.foreground[order], base.background[order], ("2", "0"))
    assert torch.equal(control("random", mates.on((4, 4))), together[order])


def test_random_does_not_touch_the_global_generators():
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    control("random", some(2, (8, 8)).on((4, 4)))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_random_takes_one_stream_an_image_for_all_grids():
    made = some(2, (8, 8))
    large = control("random", made.on((12, 10))).flatten(1)
    assert torch.equal(control("random", made.on((4, 4))).flatten(1), large[:, :16])


def test_random_numbers_stay_what_they_are():
    assert stream_seed(0, "0") == GOLDEN_SEED
    noise = control("random", some(1, (8, 8)).on((2, 2)))
    np.testing.assert_allclose(noise.flatten(), GOLDEN_NOISE, rtol=1e-12)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_sobel_follows_the_edges(size, grid):
    rng = np.random.default_rng(0)
    scenes = [scene(rng, size) for _ in range(2)]
    reference = scenery(scenes).on(grid)
    for maps, s in zip(control("sobel", reference), scenes, strict=True):
        np.testing.assert_allclose(maps, area_average(edge_strength(s.luminance), *grid), rtol=1e-12)
    if grid != (1, 1):
        alignment = score("edge_alignment", "sobel", reference)
        torch.testing.assert_close(alignment, torch.ones(2).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_the_oracle_is_the_mask_on_the_grid(size, grid):
    rng = np.random.default_rng(0)
    scenes = [scene(rng, size) for _ in range(3)]
    reference = scenery(scenes).on(grid)
    for maps, s in zip(control("mask_oracle", reference), scenes, strict=True):
        np.testing.assert_allclose(maps, area_average(s.foreground.astype(float), *grid), rtol=1e-12, atol=1e-15)
    if grid == size:
        assert (score("energy_inside", "mask_oracle", reference) == 1).all()
        assert (score("background_ratio", "mask_oracle", reference) == 0).all()


def test_the_oracle_is_blank_without_foreground():
    made = scenery([scene(np.random.default_rng(0), (8, 8), NO_FOREGROUND)])
    assert score("blank", "mask_oracle", made.on((4, 4))).item() == 1
    assert score("energy_inside", "mask_oracle", made.on((4, 4))).isnan().all()


def test_sobel_of_one_colour_is_blank():
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    flat = Scenery(torch.full((1, 8, 8), 0.3), mask, ~mask, ("a",)).on((4, 4))
    assert score("blank", "sobel", flat).item() == 1


@pytest.mark.parametrize(("size", "grid"), SIZES)
@pytest.mark.parametrize("width", [WIDTH, 0.1])
def test_the_gaussian_equals_its_twin(size, grid, width):
    maps = gaussian(some(2, size).on(grid), width)
    np.testing.assert_allclose(maps[0], slow.gaussian(size, grid, width), rtol=1e-12)
    assert torch.equal(maps[0], maps[1])


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_the_gaussian_is_the_same_in_every_mirror(size, grid):
    maps = control("gaussian", some(1, size).on(grid))
    for axes in ((1,), (2,), (1, 2)):
        torch.testing.assert_close(maps.flip(axes), maps, rtol=1e-12, atol=0)


def test_the_gaussian_is_highest_in_the_middle_and_as_elongated_as_the_image():
    maps = control("gaussian", some(1, (12, 20)).on((5, 5)))[0]
    assert maps.argmax() == 12
    torch.testing.assert_close(maps, maps.T, rtol=0, atol=0.02)
    fine = control("gaussian", some(1, (64, 32)).on((64, 32)))[0]
    cells = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(32.0), indexing="ij")) + 0.5
    assert fine.amax() == pytest.approx(1, abs=0.01)
    for size, at, line in ((64, cells[0, :, 0], fine[:, 15]), (32, cells[1, 0], fine[31])):
        inside = at[line / line.amax() > np.exp(-0.5)]
        assert (inside.max() - inside.min()).item() == pytest.approx(2 * WIDTH * size, abs=2)


def test_the_gaussians_width_is_a_parameter():
    reference = some(1, (8, 8)).on((8, 8))
    narrow = METHODS.get("gaussian").configured({"width": 0.1}).control(reference)
    assert torch.equal(narrow, gaussian(reference, 0.1))
    assert torch.equal(control("gaussian", reference), gaussian(reference, WIDTH))
    assert score("spread", "gaussian", reference) > METRICS.get("spread").compute(narrow[:, None], reference)
    with pytest.raises(InputError, match=r"width is 0\.0: it must be a positive share"):
        gaussian(reference, 0.0)


def test_what_the_gaussian_gives_may_be_written_into():
    reference = some(2, (8, 8)).on((4, 4))
    control("gaussian", reference).zero_()
    assert (control("gaussian", reference) > 0).all()


def test_activation_only():
    """Grad-CAM with the same weight for every channel."""
    method = METHODS.get("activation")
    assert (method.kind, method.cost, method.needs_gradients, method.signed) == ("control", 1, False, False)
    stack = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ones = METHODS.get("grad_cam").maps(stack, torch.ones_like(stack))
    torch.testing.assert_close(5 * method.maps(stack, torch.full_like(stack, torch.nan)), ones, rtol=1e-12, atol=1e-12)
    assert not method.maps(-stack.abs(), stack).any()
