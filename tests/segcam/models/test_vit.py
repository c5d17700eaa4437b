"""The plain Vision Transformer: its position embedding, its layers and its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from segcam import InputError, Probe, grad_cam
from segcam.models import MODELS, create
from segcam.models.vit import ViTSegmenter

VIT = MODELS.get("vit")
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def network(**parameters: float | str) -> ViTSegmenter:
    return create("vit", 2, {"image_size": 64, **parameters}, seed=3)


def test_layers() -> None:
    layers = VIT.layers(network(), "conv")
    wanted = [f"{kind} {n}" for n in range(1, 13) for kind in ("Before attention", "After attention", "MLP")]
    assert [x.label for x in layers] == [*wanted, "Encoder output", "Decoder 3", "Decoder 2", "Decoder 1"]
    assert [x.stride for x in layers[-4:]] == [16, 8, 4, 2]
    relu = VIT.layers(network(), "relu")
    assert [(x.label, x.stride) for x in relu] == [("Decoder 3 ReLU", 8), ("Decoder 2 ReLU", 4), ("Decoder 1 ReLU", 2)]


@pytest.mark.parametrize("patch", [4, 8, 32])
def test_patch_sizes(patch: int) -> None:
    model = network(patch_size=patch).eval()
    layers = VIT.layers(model, "conv")
    assert {x.stride for x in layers if x.role != "decoder"} == {patch}
    assert model(IMAGES[:1]).shape == (1, 2, 64, 96)
    capture = Probe(model, layers)(IMAGES[:1])
    for layer in layers:
        assert capture.maps(grad_cam, layer).shape == (1, 64 // layer.stride, 96 // layer.stride)


def test_the_position_embedding_is_learned_and_interpolated() -> None:
    """At its own size it is added as it is; at another its interpolation is, so that what it says of a place stays."""
    model = network().eval()
    assert model.encoder.pos_embed.requires_grad
    assert model.encoder.pos_embed.shape == (1, 1 + 4 * 4, 192)
    seen: list[Tensor] = []
    model.encoder.patch_embed.register_forward_hook(lambda *_: seen.clear())
    model.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ramp = torch.linspace(-1, 1, 4).view(1, 4, 1, 1).expand(1, 4, 4, 192).reshape(1, 16, 192)
    with torch.no_grad():
        model.encoder.cls_token.zero_()
        model.encoder.patch_embed.proj.weight.zero_()
        model.encoder.patch_embed.proj.bias.zero_()
        model.encoder.pos_embed.copy_(torch.cat([torch.zeros(1, 1, 192), ramp], 1))
        model(torch.zeros(1, 3, 64, 64))
        assert torch.allclose(seen[0], model.encoder.pos_embed)
        model(torch.zeros(1, 3, 128, 96))
    grid = seen[0][0, 1:, 0].unflatten(0, (8, 6))
    assert torch.allclose(grid, grid[:, :1].expand(8, 6), atol=1e-4)  # rows differ, columns do not
    assert (grid[1:, 0] > grid[:-1, 0]).all()
    assert abs(float(grid.mean())) < 1e-4


@pytest.mark.parametrize("size", [(64, 64), (50, 33), (17, 100)])
def test_padding_is_the_mean_colour_and_is_cut_off(size: tuple[int, int]) -> None:
    """Zeros, as all inputs are normalised; where nothing is cut off, the logits are those of the padded image."""
    model = network().eval()
    small = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    large = nn.functional.pad(small, (0, -size[1] % 16, 0, -size[0] % 16))
    found, whole = model(small), model(large)
    assert found.shape == (1, 2, *size)
    inside = found[:, :, : size[0] - 4, : size[1] - 4]  # at the edge, the last convolution sees its own padding
    assert torch.allclose(inside, whole[:, :, : size[0] - 4, : size[1] - 4], atol=1e-5)


def test_inputs_are_normalised_as_the_encoders_weights_want() -> None:
    """vit_tiny_patch16_224 was trained on images scaled to -1..1."""
    model = network().eval()
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    wanted = model.encoder.forward_features(2 * pixels - 1)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    assert torch.allclose(model.features((pixels - mean) / std), wanted, atol=1e-4)


def test_an_encoder_with_a_register_and_without_a_class_token() -> None:
    model = network(encoder="vit_little_patch16_reg1_gap_256").eval()
    assert model.encoder.cls_token is None
    assert model.encoder.num_prefix_tokens == 1
    layers = VIT.layers(model, "conv")
    assert Probe(model, layers)(IMAGES[:1]).maps(grad_cam, layers[0]).shape == (1, 4, 6)


def classifier() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model("vit_tiny_patch16_224").state_dict()


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_position_embeddings_of_another_size_are_interpolated(
    tmp_path: Path, asked_of_hub: list[str], where: str
) -> None:
    weights = classifier()
    save_file(weights, tmp_path / "model.safetensors")
    state = network(pretrained=str(tmp_path) if where == "folder" else "hub").encoder.state_dict()
    assert len(asked_of_hub) == (where == "hub")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in state.items() if name != "pos_embed")
    assert torch.equal(state["pos_embed"][:, :1], weights["pos_embed"][:, :1])
    grid = weights["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (14, 14))
    expected = nn.functional.interpolate(grid, (4, 4), mode="bicubic", antialias=True)
    assert torch.allclose(state["pos_embed"][:, 1:], expected.flatten(2).transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_embed": torch.zeros(1, 197, 384)}, r"tensor 'pos_embed' is \(1, 197, 384\) there and \(1, 17, 192\) in"),
        ({"pos_embed": torch.zeros(1, 100, 192)}, r"tensor 'pos_embed' is \(1, 100, 192\) there and \(1, 17, 192\) in"),
        ({"blocks.3.norm1.weight": None}, r"'blocks.3.norm1.weight' is absent there and \(192,\) in the network"),
    ],
)
def test_weights_of_another_shape(tmp_path: Path, change: dict[str, Tensor | None], message: str) -> None:
    weights = {name: tensor for name, tensor in (classifier() | change).items() if tensor is not None}
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=message):
        network(pretrained=str(tmp_path / "a.safetensors"))
