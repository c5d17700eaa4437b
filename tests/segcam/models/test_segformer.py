"""SegFormer: its layers are the paper's, under every version of transformers, and its weights come from files."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from segcam import InputError, Probe
from segcam.models import MODELS, create
from segcam.models.segformer import SIZES, SegFormer, canonical
from segcam.models.weights.checkpoints import load, pack
from tests.small_networks import equal, states

SEGFORMER = MODELS.get("segformer")
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
VERSION4 = (
    (r"stages\.(\d+)\.patch_embeddings\.", r"encoder.patch_embeddings.\1."),
    (r"stages\.(\d+)\.blocks\.(\d+)\.", r"encoder.block.\1.\2."),
    (r"stages\.(\d+)\.layer_norm\.", r"encoder.layer_norm.\1."),
    (r"\.layernorm_before\.", ".layer_norm_1."),
    (r"\.layernorm_after\.", ".layer_norm_2."),
    (r"\.attention\.q_proj\.", ".attention.self.query."),
    (r"\.attention\.k_proj\.", ".attention.self.key."),
    (r"\.attention\.v_proj\.", ".attention.self.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.attention\.sequence_reduction\.sequence_reduction\.", ".attention.self.sr."),
    (r"\.attention\.sequence_reduction\.layer_norm\.", ".attention.self.layer_norm."),
    (r"\.mlp\.fc(\d)\.", r".mlp.dense\1."),
    (r"linear_projections\.", "linear_c."),
)


@pytest.fixture(scope="module")
def model() -> SegFormer:
    return create("segformer", 2, seed=3).eval()


def renamed(name: str, version: int) -> str:
    """Spell a tensor of transformers' network as a version of it does."""
    head = name.startswith("decode_head.")
    plain = canonical(name)
    for new, old in VERSION4 if version == 4 else ():
        plain = re.sub(new, old, plain)
    return plain if head or name.startswith("classifier.") else f"segformer.{plain}"


def tensors(model: SegFormer) -> dict[str, Tensor]:
    return states(model.network)


def same(one: nn.Module, other: nn.Module) -> bool:
    return equal(one.state_dict(), other.state_dict())


def test_layers_are_the_papers() -> None:
    wanted = []
    for stage in range(1, 5):
        for block in (1, 2):
            wanted += [f"{kind} {stage}_{block}" for kind in ("Before attention", "After attention", "Mix-FFN dw-conv")]
        wanted.append(f"Stage {stage} output")
    model = create("segformer", 2)
    layers = SEGFORMER.layers(model, "conv")
    assert [layer.label for layer in layers] == [*wanted, "Decode head"]
    dropouts, convolutions = ("after attention", nn.Dropout), ("mix-ffn", nn.Conv2d)
    kinds = dict([("before attention", nn.LayerNorm), dropouts, convolutions, ("encoder", nn.LayerNorm)])
    assert all(isinstance(model.get_submodule(layer.module), kinds[layer.role]) for layer in layers[:-1])
    assert sum(p.numel() for p in create("segformer", 150).parameters()) == 3_752_694  # b0 of the hub, with its head


@pytest.mark.parametrize(("size", "count"), [("b1", 29), ("b2", 3 * 16 + 5)])
def test_other_sizes(size: str, count: int) -> None:
    with torch.device("meta"):
        layers = SEGFORMER.layers(SegFormer(2, size), "conv")
    assert len(layers) == count
    assert [sum(x.role == "mix-ffn" and x.stage == s for x in layers) for s in range(1, 5)] == SIZES[size]["depths"]


def test_hooks_sit_around_attention(model: SegFormer) -> None:
    """What goes into attention is the layer before it, and what comes out of its projection is the layer after it."""
    layers = {layer.label: layer for layer in SEGFORMER.layers(model, "conv")}
    seen: dict[str, Tensor] = {}

    def keep(block: str, _module: nn.Module, inputs: tuple[Tensor, ...], named: Any, output: Any) -> None:
        seen[f"Before attention {block}"] = inputs[0] if inputs else named["hidden_states"]
        seen[f"After attention {block}"] = output[0] if isinstance(output, tuple) else output

    handles = []
    for place in SEGFORMER.attentions(model):
        hook = partial(keep, place.layer.removeprefix("After attention "))
        handles.append(model.get_submodule(place.module).register_forward_hook(hook, with_kwargs=True))
    capture = Probe(model, [layer for label, layer in layers.items() if "attention" in label])(IMAGES)
    for handle in handles:
        handle.remove()
    assert len(seen) == 16
    for label, tokens in seen.items():
        maps = tokens.detach().transpose(1, 2).unflatten(2, capture.activations[label].shape[2:])
        assert torch.allclose(capture.activations[label], maps, atol=1e-6)


def test_logits_are_transformers_own(model: SegFormer) -> None:
    theirs = model.network(pixel_values=IMAGES).logits
    assert theirs.shape == (2, 2, 16, 24)
    large = nn.functional.interpolate(theirs, (64, 96), mode="bilinear", align_corners=False)
    assert torch.equal(model(IMAGES), large)


def test_inputs_that_are_too_small(model: SegFormer) -> None:
    with pytest.raises(InputError, match="the input is 31 x 64: SegFormer needs at least 32 pixels a side"):
        model(torch.zeros(1, 3, 31, 64))


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_weights_of_a_whole_network(tmp_path: Path, model: SegFormer, version: int, name: str, as_folder: bool) -> None:
    weights = {renamed(n, version): tensor for n, tensor in tensors(model).items()}
    if version == 4:
        assert "segformer.encoder.block.0.1.attention.self.query.weight" in weights
    save_file(weights, tmp_path / name) if name.endswith("rs") else torch.save(weights, tmp_path / name)
    found = create("segformer", 2, {"pretrained": str(tmp_path if as_folder else tmp_path / name)}, seed=8)
    assert same(found, model)


def test_weights_that_transformers_saved(tmp_path: Path, model: SegFormer) -> None:
    model.network.save_pretrained(tmp_path)
    assert same(create("segformer", 2, {"pretrained": str(tmp_path)}, seed=8), model)


def test_weights_of_a_classifier(tmp_path: Path) -> None:
    """As the hub's: an encoder under transformers 4's names, and a head for ImageNet, which is left out."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = transformers.SegformerForImageClassification(transformers.SegformerConfig(num_labels=1000))
    torch.save({renamed(n, 4): t for n, t in theirs.state_dict().items()}, tmp_path / "pytorch_model.bin")
    found = create("segformer", 2, {"pretrained": str(tmp_path)}, seed=8)
    assert same(found.network.segformer, theirs.segformer)
    assert same(found.network.decode_head, create("segformer", 2, seed=8).network.decode_head)


def test_the_head_of_other_classes_is_left_out(tmp_path: Path) -> None:
    source, fresh = create("segformer", 5, seed=1), create("segformer", 2, seed=8)
    save_file(tensors(source), tmp_path / "a.safetensors")
    found = create("segformer", 2, {"pretrained": str(tmp_path / "a.safetensors")}, seed=8)
    assert same(found.network.segformer, source.network.segformer)
    assert same(found.network.decode_head, fresh.network.decode_head)


def test_weights_of_another_size_name_the_first_tensor(tmp_path: Path, model: SegFormer) -> None:
    save_file(tensors(model), tmp_path / "a.safetensors")
    message = r"do not fit SegformerModel: tensor '\S+\.proj\.weight' is \(32, 3, 7, 7\) there and \(64, 3, 7, 7\)"
    with pytest.raises(InputError, match=message):
        create("segformer:b1", 2, {"pretrained": str(tmp_path / "a.safetensors")})


def test_weights_of_another_network(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors hold no SegFormer encoder: they begin with 'conv1\.weight'"):
        create("segformer", 2, {"pretrained": str(tmp_path / "a.safetensors")})


@pytest.mark.parametrize("version", [4, 5])
def test_a_checkpoint_outlives_a_version_of_transformers(tmp_path: Path, model: SegFormer, version: int) -> None:
    """Written under either, it loads under either, and without the pretrained weights that training began with."""
    state = {f"network.{renamed(n, version)}": tensor for n, tensor in tensors(model).items()}
    header = {"architecture": "segformer", "parameters": {"pretrained": "/no/such/file"}, "classes": ["a", "b"]}
    (tmp_path / "a.safetensors").write_bytes(pack(state, header))
    assert same(load(tmp_path / "a.safetensors")[0], model)


def test_names_are_one_to_one(model: SegFormer) -> None:
    names = list(model.state_dict())
    assert len({canonical(name) for name in names}) == len(names)
    assert [canonical(canonical(name)) for name in names] == [canonical(name) for name in names]
