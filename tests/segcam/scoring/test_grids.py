import numpy as np
import pytest
import torch

from segcam import InputError
from segcam.scoring.grids import averaging_matrix, edge_strength, pull_back, to_grid, upsample, upsampling_matrix
from tests.reference import metrics as slow

CPU = torch.device("cpu")
SIZES = [
    ((12, 20), (3, 5)),  # a whole multiple
    ((13, 9), (4, 5)),  # cells cut pixels
    ((8, 8), (8, 8)),  # the image's own grid
    ((6, 5), (9, 11)),  # finer than the image
    ((7, 10), (1, 1)),
    ((1, 6), (1, 2)),
]


def fields(size, seed=0):
    return torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_upsample_is_bilinear_by_definition(size, grid):
    maps = fields(grid)
    big = upsample(maps, size)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(big[i, j], slow.upsample(maps[i, j].numpy(), *size), rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "placement", "message"),
    [
        ((0, 4), None, "the size is 0 x 4: at least 1 x 1"),
        ((32.0, 48.0), None, r"the height is 32\.0: a whole number"),
        (32, None, "the size is 32: height and width"),
        ((1, 3, 32, 48), None, "height and width"),
        ((32, 48), "receptive_field", "the placement is 'receptive_field': a Placement is needed"),
    ],
)
def test_sizes_and_placements_that_are_none_are_refused(size, placement, message):
    with pytest.raises(InputError, match=message):
        upsample(torch.ones(1, 1, 4, 6), size, placement)


def test_sizes_of_numpy_are_taken():
    assert upsample(torch.ones(1, 1, 4, 6), [np.int64(8), np.int64(12)]).shape == (1, 1, 8, 12)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_upsampling_is_separable(size, grid):
    maps = fields(grid)
    down = upsampling_matrix(grid[0], size[0], CPU, torch.float64)
    across = upsampling_matrix(grid[1], size[1], CPU, torch.float64)
    torch.testing.assert_close(down @ maps @ across.T, upsample(maps, size), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(down.sum(1), torch.ones(size[0], dtype=torch.float64))


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_pull_back_is_the_transpose_of_upsampling(size, grid):
    maps, images = fields(grid), fields(size, seed=1)
    pulled = pull_back(images, grid)
    assert pulled.shape == maps.shape
    over_image = (upsample(maps, size) * images).sum((2, 3))
    torch.testing.assert_close((maps * pulled).sum((2, 3)), over_image, rtol=1e-12, atol=0)
    torch.testing.assert_close(pulled.sum((2, 3)), images.sum((2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("size", "grid"), SIZES)
def test_to_grid_averages_areas(size, grid):
    images = fields(size)
    small = to_grid(images, grid)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(small[i, j], slow.area_average(images[i, j].numpy(), *grid), rtol=1e-12)
    torch.testing.assert_close(small.mean((2, 3)), images.mean((2, 3)), rtol=1e-12, atol=0)


def test_to_grid_is_pooling_where_cells_hold_whole_pixels():
    images = fields((12, 20))
    torch.testing.assert_close(to_grid(images, (3, 5)), torch.nn.functional.avg_pool2d(images, 4), rtol=1e-12, atol=0)


@pytest.mark.parametrize("make", [upsampling_matrix, averaging_matrix])
def test_matrices_made_under_inference_serve_autograd(make):
    make.cache_clear()
    with torch.inference_mode():
        make(3, 6, CPU, torch.float32)
    x = torch.ones(3, requires_grad=True)
    (make(3, 6, CPU, torch.float32) @ x).square().sum().backward()
    assert x.grad is not None
    assert make(3, 6, CPU, torch.float64).dtype == torch.float64


@pytest.mark.parametrize("shape", [(9, 14), (1, 5), (4, 1)])
def test_edge_strength_is_sobels_magnitude(shape):
    luminance = fields(shape)[:, 0]
    for image, edges in zip(luminance.numpy(), edge_strength(luminance), strict=True):
        np.testing.assert_allclose(edges, slow.edge_strength(image), rtol=1e-12, atol=1e-16)


def test_edge_strength_of_a_ramp_is_its_slope_and_of_a_constant_nothing():
    ramp = 0.25 * torch.arange(8.0).expand(1, 5, 8)
    assert torch.equal(edge_strength(ramp)[:, :, 1:-1], torch.full((1, 5, 6), 0.25))
    assert torch.equal(edge_strength(torch.full((1, 5, 8), 0.3)), torch.zeros(1, 5, 8))
