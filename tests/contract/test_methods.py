"""What every method must hold, over the registry: a dropped-in file is tested without a line here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam.methods import METHODS, Method
from tests.reference import grad_cam as slow
from tests.sceneries import scene, scenery

GRADIENT = [m for m in METHODS if m.gradient is not None]
CONTROLS = [m for m in METHODS if m.control is not None]
TWINS = {"grad_cam": slow.grad_cam}


def stacks(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 5, 6, 7)
    return torch.randn(shape, generator=generator, dtype=dtype), torch.randn(shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("method", list(METHODS), ids=lambda m: m.name)
def test_metadata(method: Method) -> None:
    assert sum(f is not None for f in (method.gradient, method.control, method.attention)) == 1
    assert method.kind == next(k for k in ("gradient", "control", "attention") if getattr(method, k) is not None)
    assert method.label
    assert method.source
    assert method.passes == (0 if method.control else 1)


@pytest.mark.parametrize("method", GRADIENT, ids=lambda m: m.name)
class TestGradientMethods:
    def test_equals_its_slow_twin(self, method: Method) -> None:
        activations, gradients = stacks()
        found = method.gradient(activations, gradients)
        for i in range(3):
            twin = TWINS[method.name](activations[i].numpy(), gradients[i].numpy())
            assert torch.allclose(found[i], torch.from_numpy(twin), rtol=1e-12, atol=1e-12)

    def test_shape_sign_and_inputs_unchanged(self, method: Method) -> None:
        activations, gradients = stacks(1)
        before = activations.clone(), gradients.clone()
        found = method.gradient(activations, gradients)
        assert found.shape == (3, 6, 7)
        assert torch.isfinite(found).all()
        assert method.signed or (found >= 0).all()
        assert torch.equal(activations, before[0])
        assert torch.equal(gradients, before[1])

    def test_samples_do_not_mix(self, method: Method) -> None:
        activations, gradients = stacks(2)
        together = method.gradient(activations, gradients)
        alone = torch.cat([method.gradient(activations[i : i + 1], gradients[i : i + 1]) for i in range(3)])
        assert torch.allclose(together, alone)

    def test_flips_with_its_input(self, method: Method) -> None:
        activations, gradients = stacks(3)
        flipped = method.gradient(activations.flip(3), gradients.flip(3))
        assert torch.allclose(flipped.flip(2), method.gradient(activations, gradients))

    def test_any_memory_format(self, method: Method) -> None:
        activations, gradients = (x.float() for x in stacks(4))
        last = torch.channels_last
        found = method.gradient(activations.contiguous(memory_format=last), gradients.contiguous(memory_format=last))
        assert torch.allclose(found, method.gradient(activations, gradients), atol=1e-5)


@pytest.mark.parametrize("method", CONTROLS, ids=lambda m: m.name)
@pytest.mark.parametrize("grid", [(4, 6), (9, 5)])
def test_controls_are_maps_on_the_grid(method: Method, grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    reference = scenery([scene(rng, (18, 20)) for _ in range(3)]).on(grid)
    found = method.control(reference)
    assert found.shape == (len(reference.ids), *grid)
    assert (found >= 0).all()
    assert torch.equal(found, method.control(reference))
