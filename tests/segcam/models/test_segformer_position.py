"""The SegFormer with a position embedding: it differs from SegFormer in that alone, and knows places by it alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segcam import InputError, Probe, grad_cam
from segcam.models import MODELS, create
from segcam.models.segformer import SegFormer, canonical
from segcam.models.segformer_position import PositionedPatches

POSITION = MODELS.get("segformer_position")


@pytest.fixture(scope="module")
def model() -> SegFormer:
    return create("segformer_position", 2, {"image_size": 64}, seed=3).eval()


def positions(model: nn.Module) -> list[Tensor]:
    return [m.position for m in model.modules() if isinstance(m, PositionedPatches)]


def test_it_differs_from_segformer_by_convolutions_and_positions_alone(model: SegFormer) -> None:
    own = {canonical(name): tuple(t.shape) for name, t in model.state_dict().items()}
    other = {canonical(name): tuple(t.shape) for name, t in create("segformer", 2).state_dict().items()}
    own = {name.replace("patch_embeddings.patches", "patch_embeddings"): shape for name, shape in own.items()}
    missing, added = other.keys() - own.keys(), own.keys() - other.keys()
    assert len(missing) == 2 * 8
    assert all(".mlp.dwconv.dwconv." in name for name in missing)
    assert sorted(added) == [f"stages.{n}.patch_embeddings.position" for n in range(4)]
    assert all(own[name] == other[name] for name in own.keys() & other.keys())
    sides = [(1, channels, 64 // s, 64 // s) for channels, s in ((32, 4), (64, 8), (160, 16), (256, 32))]
    assert [own[name] for name in sorted(added)] == sides


def test_layers_are_named_beside_segformers() -> None:
    model = create("segformer_position", 2)
    for point, replaced in (("conv", ("Mix-FFN dw-conv", "FFN")), ("relu", ("Mix-FFN GELU", "FFN GELU"))):
        theirs = [layer.label for layer in MODELS.get("segformer").layers(create("segformer", 2), point)]
        layers = POSITION.layers(model, point)
        assert [layer.label for layer in layers] == [label.replace(*replaced) for label in theirs]
        assert {layer.role for layer in layers if layer.label.startswith("FFN")} == {"ffn"}


def test_nothing_but_the_embedding_tells_places_in_the_ffn(model: SegFormer) -> None:
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    seen: list[tuple[Tensor, Tensor]] = []
    block = model.get_submodule(POSITION.layers(model, "conv")[2].module.rpartition(".")[0])
    handle = block.register_forward_hook(lambda _m, given, out: seen.append((given[0], out)))
    model(images)
    handle.remove()
    (tokens, out), places = seen[0], torch.randperm(seen[0][0].shape[1])
    torch.testing.assert_close(block(tokens[:, places], 16, 24), out[:, places])


def test_the_embedding_is_added_and_interpolated(model: SegFormer) -> None:
    patches = next(m for m in model.modules() if isinstance(m, PositionedPatches))
    for size in ((64, 64), (64, 96), (48, 32)):
        images = torch.randn(2, 3, *size)
        tokens, rows, columns = patches(images)
        bare, *grid = patches.patches(images)
        assert (rows, columns) == tuple(grid) == (size[0] // 4, size[1] // 4)
        wanted = nn.functional.interpolate(patches.position, size=(rows, columns), mode="bilinear")
        found = (tokens - bare).transpose(1, 2).unflatten(2, (rows, columns))
        torch.testing.assert_close(found, wanted.expand_as(found), atol=1e-5, rtol=1e-4)


def test_it_takes_sizes_from_three_quarters_to_half_as_large_again() -> None:
    model = create("segformer_position", 2, seed=1).eval()
    for side in (96, 128, 160, 192):
        assert model(torch.rand(1, 3, side, side)).shape == (1, 2, side, side)


def test_its_embedding_learns(model: SegFormer) -> None:
    model.zero_grad()
    model(torch.randn(1, 3, 64, 64))[:, 1].square().mean().backward()
    assert all(position.grad is not None and position.grad.abs().max() > 0 for position in positions(model))


def test_the_ffn_is_probed(model: SegFormer) -> None:
    layers = POSITION.layers(model, "conv")
    capture = Probe(model, layers)(torch.randn(1, 3, 64, 96))
    ffn = next(layer for layer in layers if layer.label == "FFN 2_1")
    assert capture.activations["FFN 2_1"].shape == (1, 256, 8, 12)
    assert capture.maps(grad_cam, ffn).shape == (1, 8, 12)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"size": "b9"}, "size of model 'segformer_position' 'b9'"),
        ({"drop_path": 1.0}, "'drop_path' of model 'segformer_position' is 1.0: it must be at least 0 and below 1"),
        ({"image_size": 31}, "'image_size' of model 'segformer_position' is 31: it must be at least 32"),
        ({"pretrained": "hub"}, "parameter of model 'segformer_position' 'pretrained'"),
    ],
)
def test_parameters_that_cannot_be(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        create("segformer_position", 2, parameters)
