"""What every network must hold, over the registry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segcam import InputError, Probe, grad_cam
from segcam.checkpoints import load, pack
from segcam.layers import POINTS, Point
from segcam.models import MODELS, Architecture, create

SMALL: dict[str, dict[str, int | str]] = {"unet": {"width": 4}}


def small(architecture: Architecture, classes: int = 2, seed: int = 0) -> nn.Module:
    return create(architecture.name, classes, SMALL.get(architecture.name), seed)


def images(h: int = 32, w: int = 48, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, h, w, generator=torch.Generator().manual_seed(0))


every = pytest.mark.parametrize("architecture", list(MODELS), ids=lambda m: m.name)


@every
@pytest.mark.parametrize(("h", "w"), [(32, 48), (64, 32), (37, 51)])
def test_logits_have_the_shape_of_the_input(architecture: Architecture, h: int, w: int) -> None:
    assert small(architecture, 5).eval()(images(h, w)).shape == (2, 5, h, w)


@every
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("size", [(64, 32), (32, 96)])
def test_layers(architecture: Architecture, point: Point, size: tuple[int, int]) -> None:
    model = small(architecture)
    layers = architecture.layers(model, point)
    labels = [layer.label for layer in layers]
    assert len(set(labels)) == len(labels)
    assert [layer.depth for layer in layers] == list(range(len(layers)))
    capture = Probe(model, layers)(images(*size))
    for layer in layers:
        assert capture.activations[layer.label].shape[2:] == (size[0] // layer.stride, size[1] // layer.stride)
        assert layer.point == point
        assert capture.maps(grad_cam, layer).isfinite().all()


@every
def test_layers_are_in_the_order_of_execution(architecture: Architecture) -> None:
    model = small(architecture)
    layers, ran = architecture.layers(model, "conv"), []
    for layer in layers:
        model.get_submodule(layer.module).register_forward_hook(lambda *_, name=layer.label: ran.append(name))
    model.eval()(images())
    assert ran == [layer.label for layer in layers]


@every
def test_saved_and_loaded_it_is_the_same(architecture: Architecture, tmp_path: Path) -> None:
    model = small(architecture, seed=4).eval()
    header = {
        "architecture": architecture.name,
        "parameters": SMALL.get(architecture.name, {}),
        "classes": ["background", "pet"],
    }
    file = tmp_path / "network.safetensors"
    file.write_bytes(pack(model.state_dict(), header))
    again, found = load(file)
    assert found == header
    assert torch.equal(again(images()), model(images()))


@every
def test_training_lowers_the_loss(architecture: Architecture) -> None:
    model = small(architecture).train()
    inputs, labels = images(count=4), (images(count=4)[:, 0] > 0).long()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = F.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@every
def test_bf16(architecture: Architecture) -> None:
    model = small(architecture).eval()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(images()).float()
    exact = model(images())
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


@every
def test_a_map_does_not_change_with_its_batch_mates(architecture: Architecture) -> None:
    model = small(architecture)
    layers = architecture.layers(model, "conv")
    batch = images(count=3)
    together, alone = Probe(model, layers)(batch), Probe(model, layers)(batch[1:2])
    for layer in layers:
        a, b = together.maps(grad_cam, layer)[1], alone.maps(grad_cam, layer)[0]
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.max()))


@every
def test_weights_depend_on_the_seed_alone(architecture: Architecture) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (small(architecture, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@every
def test_unknown_and_wrong_parameters(architecture: Architecture) -> None:
    with pytest.raises(InputError, match="unknown parameter of model"):
        create(architecture.name, 2, {"nonsense": 1})
    name = next(iter(architecture.defaults))
    wrong = "x" if not isinstance(architecture.defaults[name], str) else 1
    with pytest.raises(InputError, match=f"parameter '{name}' of model '{architecture.name}' is"):
        create(architecture.name, 2, {name: wrong})


def test_unknown_architecture() -> None:
    with pytest.raises(InputError, match=r"unknown model 'unett': known are .*did you mean 'unet'\?"):
        create("unett", 2)


def test_unet_is_the_papers() -> None:
    """Five encoder and four decoder levels of two 3x3 convolutions, labelled by resolution level."""
    model = create("unet", 2, {"width": 8, "norm": "none"})
    layers = MODELS.get("unet").layers(model, "conv")
    wanted = [f"Encoder {s}_{h}" for s in range(1, 6) for h in (1, 2)]
    wanted += [f"Decoder {s}_{h}" for s in range(4, 0, -1) for h in (1, 2)]
    assert [layer.label for layer in layers] == wanted
    for layer in layers:
        convolution = model.get_submodule(layer.module)
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.kernel_size == (3, 3)
        assert convolution.out_channels == 8 * 2 ** (layer.stage - 1)
        assert layer.stride == 2 ** (layer.stage - 1)
    assert sum(p.numel() for p in create("unet", 2, {"norm": "none"}).parameters()) == 31_031_810
    with pytest.raises(InputError, match="unknown normalisation of model 'unet' 'layer'"):
        create("unet", 2, {"norm": "layer"})
    with pytest.raises(InputError, match="'width' of model 'unet' is 0: it must be at least 1"):
        create("unet", 2, {"width": 0})
