"""What every method must hold, over the registry: a dropped-in file is tested without a line here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam.errors import InputError
from segcam.maps import together
from segcam.methods import METHODS, Method
from tests.reference import cams
from tests.sceneries import scene, scenery

GRADIENT = [m for m in METHODS if m.gradient is not None]
CONTROLS = [m for m in METHODS if m.control is not None]
SHAPES = {
    "more cells": (3, 5, 6, 7),
    "more channels": (2, 14, 3, 4),
    "one cell": (2, 4, 1, 1),
    "one channel": (2, 1, 4, 5),
}


def stacks(
    seed: int = 0, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = SHAPES["more cells"]
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return first.to(dtype), second.to(dtype)


def close(found: torch.Tensor, wanted: torch.Tensor, rtol: float) -> bool:
    """Whether they agree up to a share of the map's maximum, which a ReLU and sums leave as the scale of errors."""
    scale = wanted.abs().amax()
    return bool(torch.isfinite(found).all() and ((found - wanted).abs() <= rtol * scale).all())


@pytest.mark.parametrize("method", list(METHODS), ids=lambda m: m.name)
def test_metadata(method: Method) -> None:
    given = [kind for kind in ("gradient", "control", "attention", "run") if getattr(method, kind) is not None]
    assert len(given) == 1
    assert method.kind == ("control" if method.family == "control" else given[0])
    assert method.label
    assert method.summary
    assert method.source
    assert method.cost == {"control": 0, "gradient": 1, "attention": 1}.get(given[0], method.cost)
    assert method.cost >= (given[0] != "control")


@pytest.mark.parametrize("method", list(METHODS), ids=lambda m: m.name)
def test_parameters_are_checked(method: Method) -> None:
    assert method.configured(dict(method.parameters)).parameters == method.parameters
    with pytest.raises(InputError, match="parameter"):
        method.configured({"nonsense": 1})
    for name in method.parameters:
        with pytest.raises(InputError, match="is needed"):
            method.configured({name: None})
    for name, default in method.parameters.items():
        if isinstance(default, (int, float)):
            for value in (-1, 10**9):
                with pytest.raises(InputError, match=f"parameter {name} of method {method.name} is .*: a number from"):
                    method.configured({name: type(default)(value)})
            least = type(default)(method.least.get(name, 0))
            assert method.configured({name: least}).parameters[name] == least
    assert method.least.keys() <= method.parameters.keys()


@pytest.mark.parametrize("method", [m for m in (*GRADIENT, *CONTROLS) if m.parameters], ids=lambda m: m.name)
def test_the_least_values_of_parameters_are_taken(method: Method) -> None:
    """What `configured` lets through, the formula takes: a profile is refused when it is read, not hours later."""
    rng = np.random.default_rng(0)
    reference = scenery([scene(rng, (16, 16)) for _ in range(3)]).on((4, 4))
    for name, default in method.parameters.items():
        chosen = method.configured({name: type(default)(method.least.get(name, 0))})
        if chosen.control is not None:
            assert chosen.control(reference).shape == (3, 4, 4)
        else:
            assert chosen.maps(*stacks()).shape == (3, 6, 7)


@pytest.mark.parametrize("method", GRADIENT, ids=lambda m: m.name)
class TestGradientMethods:
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
    @pytest.mark.parametrize("signed", [True, False], ids=["signed", "after ReLU"])
    def test_equals_its_slow_twin(self, method: Method, shape: tuple[int, ...], signed: bool) -> None:
        activations, gradients = stacks(shape=shape)
        activations = activations if signed else activations.relu()
        both = *together(activations, gradients, [method]), method.maps(activations, gradients)[:, None]
        for i in range(len(activations)):
            before_relu, twin = cams.maps(method.name, activations[i].numpy(), gradients[i].numpy())
            for maps, expected in zip(both, (before_relu, twin, twin), strict=True):
                assert torch.allclose(maps[i, 0], torch.from_numpy(expected), rtol=1e-10, atol=1e-12)

    def test_shape_sign_and_inputs_unchanged(self, method: Method) -> None:
        activations, gradients = stacks(1)
        found = method.maps(activations, gradients)
        assert found.shape == (3, 6, 7)
        assert torch.isfinite(found).all()
        assert method.signed or (found >= 0).all()
        assert all(map(torch.equal, (activations, gradients), stacks(1)))

    def test_samples_do_not_mix(self, method: Method) -> None:
        activations, gradients = stacks(2)
        joint = method.maps(activations, gradients)
        alone = torch.cat([method.maps(activations[i : i + 1], gradients[i : i + 1]) for i in range(3)])
        assert torch.allclose(joint, alone)

    def test_a_sample_of_another_scale_changes_nothing(self, method: Method) -> None:
        activations, gradients = stacks(2, torch.float32)
        scale = torch.tensor([1.0, 1e-25, 0.0])[:, None, None, None]
        joint = method.maps(activations * scale, gradients * scale)
        assert close(joint[:1], method.maps(activations[:1], gradients[:1]), 1e-5)
        assert torch.isfinite(joint).all()
        assert (joint[2] == 0).all()

    @pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
    @pytest.mark.parametrize("axis", [2, 3])
    def test_flips_with_its_input(self, method: Method, shape: tuple[int, ...], axis: int) -> None:
        activations, gradients = stacks(3, shape=shape)
        flipped = method.maps(activations.flip(axis), gradients.flip(axis))
        assert torch.allclose(flipped.flip(axis - 1), method.maps(activations, gradients))

    @pytest.mark.parametrize("layout", ["channels last", "tokens", "every other", "repeated"])
    def test_any_memory_format(self, method: Method, layout: str) -> None:
        activations, gradients = stacks(4)

        def laid_out(x: torch.Tensor) -> torch.Tensor:
            if layout == "channels last":
                return x.contiguous(memory_format=torch.channels_last)
            if layout == "tokens":
                return x.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).unflatten(2, x.shape[2:])
            if layout == "every other":
                return x.repeat_interleave(2, 3)[..., ::2]
            return x[:, :, :1, :1].expand(x.shape)  # as the gradient of a mean

        wanted = method.maps(laid_out(activations).contiguous(), laid_out(gradients).contiguous())
        assert torch.allclose(method.maps(laid_out(activations), laid_out(gradients)), wanted)

    @pytest.mark.parametrize("zero", ["activations", "gradients", "both"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_nothing_gives_a_blank_map(self, method: Method, zero: str, dtype: torch.dtype) -> None:
        activations, gradients = stacks(5, dtype)
        if zero != "gradients":
            activations = torch.zeros_like(activations)
        if zero != "activations":
            gradients = torch.zeros_like(gradients)
        signed, maps = together(activations, gradients, [method])
        assert torch.isfinite(signed).all()
        assert torch.isfinite(maps).all()
        if zero != "gradients" or method.needs_gradients:
            assert (maps == 0).all()

    @pytest.mark.parametrize("of_gradients", [1e-12, 1.0, 1e8])
    @pytest.mark.parametrize("of_activations", [1e-6, 1.0, 1e6])
    def test_scales_neither_overflow_nor_vanish(
        self, method: Method, of_gradients: float, of_activations: float
    ) -> None:
        activations, gradients = (x.float() for x in stacks(6))
        activations, gradients = activations * of_activations, gradients * of_gradients
        found = method.maps(activations, gradients)
        expected = method.maps(activations.double(), gradients.double())
        assert found.dtype == torch.float32
        assert expected.amax() > 0
        assert close(found.double(), expected, 1e-5)

    def test_proportional_to_gradients_and_to_activations(self, method: Method) -> None:
        activations, gradients = stacks(7)
        usual = method.maps(activations, gradients)
        if getattr(vars(cams)[method.name], "proportional", True):
            steeper = method.maps(activations, 3 * gradients)
            assert torch.allclose(steeper, 3 * usual if method.needs_gradients else usual)
            assert torch.allclose(method.maps(3 * activations, gradients), 3 * usual)

    def test_needs_gradients_where_it_says_so(self, method: Method) -> None:
        activations, gradients = stacks(8)
        usual, other = (method.maps(activations, g) for g in (gradients, gradients.roll(1, 1)))
        assert torch.equal(usual, other) != method.needs_gradients


@pytest.mark.parametrize("method", CONTROLS, ids=lambda m: m.name)
@pytest.mark.parametrize("size", [(12, 20), (13, 9), (8, 8)])
@pytest.mark.parametrize("grid", [(3, 5), (8, 8), (9, 14), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_controls_are_maps_on_the_grid(
    method: Method, size: tuple[int, int], grid: tuple[int, int], dtype: torch.dtype
) -> None:
    rng = np.random.default_rng(0)
    reference = scenery([scene(rng, size) for _ in range(3)], dtype).on(grid)
    maps = method.control(reference)
    assert maps.shape == (3, *grid)
    assert maps.dtype == dtype
    assert (maps >= 0).all()
    assert (maps <= 1 + 1e-6).all()
    assert torch.equal(maps, method.control(reference))


@pytest.mark.parametrize("size", [1e20, 1e-20, 1e-30])
@pytest.mark.parametrize("name", [m.name for m in METHODS if m.gradient is not None and m.name != "grad_cam_pp"])
def test_the_size_of_activations_and_gradients_does_not_matter(name: str, size: float) -> None:
    """But to Grad-CAM++, whose equation depends on it."""
    generator = torch.Generator().manual_seed(6)
    a, g = (torch.randn(2, 8, 6, 7, generator=generator) for _ in range(2))
    method = METHODS.get(name)
    wanted = method.maps(a, g) / method.maps(a, g).amax((1, 2), keepdim=True)
    for maps in (method.maps(a * size, g), method.maps(a, g * size), method.maps(a * size, g / size)):
        torch.testing.assert_close(maps / maps.amax((1, 2), keepdim=True), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [m.name for m in METHODS if m.gradient is not None])
def test_half_precision_is_computed_with_in_float32(name: str) -> None:
    generator = torch.Generator().manual_seed(7)
    a, g = (torch.randn(2, 8, 6, 7, generator=generator).bfloat16() for _ in range(2))
    maps = METHODS.get(name).maps(a, g)
    assert maps.dtype == torch.float32
    assert torch.equal(maps, METHODS.get(name).maps(a.float(), g.float()))
