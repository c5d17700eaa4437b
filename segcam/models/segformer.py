"""SegFormer from transformers, MiT-B0 to B5, probed around attention and in Mix-FFN as the paper's Figures 2 and 3."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam._compat import require
from segcam.errors import InputError, unknown
from segcam.models import MODELS, Architecture, Parameters, to_input, wrong_value
from segcam.models.weights.loading import fill
from segcam.models.weights.names import without_prefix
from segcam.models.weights.pretrained import NONE, from_hub
from segcam.models.weights.reading import read_weights, weight_file
from segcam.models.weights.values import renamed
from segcam.probe.attention import AttentionPlace
from segcam.probe.layers import Layer, Point

STRIDES = (4, 8, 16, 32)
SMALLEST = 32  # pixels a side: below it, stage 1 has fewer cells than its attention pools
_NARROW, _WIDE = [32, 64, 160, 256], [64, 128, 320, 512]
SIZES: dict[str, dict[str, Any]] = {
    "b0": {"depths": [2, 2, 2, 2], "hidden_sizes": _NARROW, "decoder_hidden_size": 256},
    "b1": {"depths": [2, 2, 2, 2], "hidden_sizes": _WIDE, "decoder_hidden_size": 256},
    "b2": {"depths": [3, 4, 6, 3], "hidden_sizes": _WIDE, "decoder_hidden_size": 768},
    "b3": {"depths": [3, 4, 18, 3], "hidden_sizes": _WIDE, "decoder_hidden_size": 768},
    "b4": {"depths": [3, 8, 27, 3], "hidden_sizes": _WIDE, "decoder_hidden_size": 768},
    "b5": {"depths": [3, 6, 40, 3], "hidden_sizes": _WIDE, "decoder_hidden_size": 768},
}
"""Table 6 of the SegFormer paper; what is the same in all is transformers' default."""

_HEAD = "decode_head."
_SPELLINGS = (
    (r"^network\.", ""),
    (r"^segformer\.", ""),
    (r"^encoder\.patch_embeddings\.(\d+)\.", r"stages.\1.patch_embeddings."),
    (r"^encoder\.block\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^encoder\.layer_norm\.(\d+)\.", r"stages.\1.layer_norm."),
    (r"\.layer_norm_1\.", ".layernorm_before."),
    (r"\.layer_norm_2\.", ".layernorm_after."),
    (r"\.attention\.self\.(q|k|v)[a-z]+\.", r".attention.\1_proj."),
    (r"\.attention\.self\.sr\.", ".attention.sequence_reduction.sequence_reduction."),
    (r"\.attention\.self\.layer_norm\.", ".attention.sequence_reduction.layer_norm."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.mlp\.dense(\d)\.", r".mlp.fc\1."),
    (r"^(decode_head\.)?linear_c\.", r"\1linear_projections."),
)
"""Names of tensors in transformers 4, and in files that it wrote, beside those in transformers 5."""


class SegFormer(nn.Module):
    """transformers' `SegformerForSemanticSegmentation`, with logits upsampled to the input as its paper does.

    Any input of 32 pixels a side or more will do; the grid of a stage has `ceil(side / stride)` cells.

    Args:
        classes: number of classes.
        size: 'b0' to 'b5'.
        drop_path: the last block's probability of being skipped in training; it rises linearly from the first one's 0.

    Source: Xie et al., SegFormer, NeurIPS 2021, section 3 and table 6.
    """

    def __init__(self, classes: int, size: str = "b0", drop_path: float = 0.1) -> None:
        super().__init__()
        require("transformers", "models", "model 'segformer'")
        from transformers import SegformerConfig, SegformerForSemanticSegmentation  # noqa: PLC0415  (slow to import)

        settings: dict[str, Any] = {"num_labels": classes, "drop_path_rate": drop_path, **SIZES[size]}
        self.network = SegformerForSemanticSegmentation(SegformerConfig(**settings))
        _initialise(self.network)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Return the logits at the input's resolution.

        Raises:
            InputError: the input is too small.
        """
        size = (x.shape[2], x.shape[3])
        if min(size) < SMALLEST:
            raise InputError(f"the input is {size[0]} x {size[1]}: SegFormer needs at least {SMALLEST} pixels a side")
        logits: Tensor = self.network(pixel_values=x).logits
        return to_input(logits, size, STRIDES[0])


def _initialise(network: nn.Module) -> None:
    """Draw the convolutions' first weights as the paper's own code does, by their fan-out.

    transformers draws all weights with a spread of 0.02, made for pretrained ones: depth-wise convolutions then pass on
    next to nothing, and training from random weights stands still for thousands of steps.
    """
    for module in [*network.segformer.modules(), network.decode_head.linear_fuse]:  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))


class WithoutConvolution(nn.Module):
    """Stands where Mix-FFN has its depth-wise convolution, and hands tokens on as they are."""

    def forward(self, tokens: Float[Tensor, "b n c"], rows: int, columns: int) -> Float[Tensor, "b n c"]:  # noqa: ARG002  (the convolution's own)
        """Return the tokens."""
        return tokens * 1  # a tensor of its own: a probe tells it from what the layer before gave


def checked(model: str, parameters: Parameters) -> tuple[str, float]:
    """Return size and `drop_path` of a model's parameters.

    Raises:
        InputError: there is no such size, or the number is no probability below 1.
    """
    size, drop_path = str(parameters["size"]), float(parameters["drop_path"])
    if size not in SIZES:
        raise unknown(f"size of model '{model}'", size, SIZES)
    if not 0 <= drop_path < 1:
        raise wrong_value(model, "drop_path", drop_path, "at least 0 and below 1")
    return size, drop_path


def _build(classes: int, parameters: Parameters) -> SegFormer:
    return SegFormer(classes, *checked("segformer", parameters))


def canonical(name: str) -> str:
    """Return a tensor's name as transformers 5 spells it, without the prefixes of network and encoder.

    >>> canonical("segformer.encoder.block.0.1.attention.output.dense.weight")
    'stages.0.blocks.1.attention.o_proj.weight'
    """
    for old, new in _SPELLINGS:
        name = re.sub(old, new, name)
    return name


def _file(parameters: Parameters) -> Path:
    """Return the file of the pretrained weights that the parameters name."""
    pretrained = str(parameters["pretrained"])
    return from_hub(_repository(parameters), "segformer") if pretrained == "hub" else weight_file(pretrained)


def _repository(parameters: Parameters) -> str:
    return f"nvidia/mit-{parameters['size']}"


def _pretrain(model: nn.Module, parameters: Parameters) -> None:
    pretrained = str(parameters["pretrained"])
    if pretrained == NONE:
        return
    assert isinstance(model, SegFormer)  # what _build gives
    source = f"{_repository(parameters)} from the hub" if pretrained == "hub" else pretrained
    tensors = without_prefix(read_weights(_file(parameters)), model.network.state_dict(), source, canonical)
    weights = renamed(tensors, canonical, f"pretrained weights {source}")
    encoder = {name: tensor for name, tensor in weights.items() if name.startswith("stages.")}
    if not encoder:
        raise InputError(
            f"pretrained weights {source} hold no SegFormer encoder: they begin with '{next(iter(weights))}'"
        )
    _fill(model.network.segformer, encoder, source)
    head = {name.removeprefix(_HEAD): tensor for name, tensor in weights.items() if name.startswith(_HEAD)}
    classes = head.get("classifier.weight", torch.empty(0)).shape[0]
    if classes == model.network.decode_head.classifier.out_channels:  # a head of other classes is of no use here
        _fill(model.network.decode_head, head, source)


def _fill(module: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    spellings = {canonical(name): name for name in module.state_dict()}
    fill(module, renamed(weights, lambda name: spellings.get(name, name), source), source)


def layers(model: nn.Module, point: Point) -> list[Layer]:
    """List the layers by the structure of the blocks, which transformers 4 and 5 name differently.

    'Before attention' is the norm that precedes attention, 'After attention' the dropout behind its output
    projection: both on the attention branch, not on the residual stream.
    """
    assert isinstance(model, SegFormer)
    paths = {module: path for path, module in model.named_modules()}
    return [
        Layer(
            paths[place.at[point]], place.labels[point], place.stage, depth, place.role, STRIDES[place.stage - 1], point
        )
        for depth, place in enumerate(_places(model))
        if point in place.at
    ]


@dataclass(frozen=True)
class Place:
    """A layer at each probe point that it has; behind a convolution stands its activation, at the same depth."""

    at: dict[Point, nn.Module]
    labels: dict[Point, str]
    stage: int
    role: str


def _places(model: SegFormer) -> Iterator[Place]:
    """Yield the layers in the order of execution."""
    for stage, (blocks, norm) in enumerate(_stages(model.network.segformer), 1):
        for number, block in enumerate(blocks, 1):
            n = f"{stage}_{number}"
            yield Place({"conv": block.before}, {"conv": f"Before attention {n}"}, stage, "before attention")
            yield Place({"conv": block.after}, {"conv": f"After attention {n}"}, stage, "after attention")
            at: dict[Point, nn.Module] = {"conv": block.convolution, "relu": block.activation}
            if isinstance(block.convolution, WithoutConvolution):
                yield Place(at, {"conv": f"FFN {n}", "relu": f"FFN GELU {n}"}, stage, "ffn")
            else:
                yield Place(at, {"conv": f"Mix-FFN dw-conv {n}", "relu": f"Mix-FFN GELU {n}"}, stage, "mix-ffn")
        yield Place({"conv": norm}, {"conv": f"Stage {stage} output"}, stage, "encoder")
    head = model.network.decode_head
    at = {"conv": head.linear_fuse, "relu": head.activation}
    yield Place(at, {"conv": "Decode head", "relu": "Decode head ReLU"}, 1, "decoder")


def attention_places(model: nn.Module) -> list[AttentionPlace]:
    """Find the attention of each block of a SegFormer: this file's, or one of transformers (4 or 5) as it is.

    Strides are those of the published sizes, 4 to 32. Keys are reduced by a convolution of that stride, where there
    is one, so that each is made of a square of query cells and what is left over at the edges is part of no key.
    """
    paths = {module: path for path, module in model.named_modules()}
    blocks = [
        (block, stage, number)
        for stage, (blocks, _) in enumerate(_stages(model), 1)
        for number, block in enumerate(blocks, 1)
    ]
    places = []
    for depth, (block, stage, number) in enumerate(blocks):
        ratio = next((m.stride[0] for m in block.attention.modules() if isinstance(m, nn.Conv2d)), 1)
        path, place = paths[block.attention], f"{stage}_{number}"
        behind = f"After attention {place}"
        places.append(AttentionPlace(path, f"Attention {place}", stage, depth, STRIDES[stage - 1], ratio, behind))
    return places


@dataclass(frozen=True)
class Block:
    """The places in a transformer block that are probed, and the module whose attention matrix can be read."""

    before: nn.Module
    after: nn.Module
    convolution: nn.Conv2d | WithoutConvolution
    activation: nn.Module
    attention: nn.Module


def _stages(encoder: nn.Module) -> list[tuple[list[Block], nn.Module]]:
    """Find the blocks of each stage, and the norm at its end, whatever they are called."""
    stages: dict[int, list[Block]] = {}
    norms: dict[int, nn.Module] = {}
    inside: set[nn.Module] = set()
    for module in encoder.modules():
        block = _block(module)
        if block is not None:
            stages.setdefault(_width(block.before), []).append(block)
            inside.update(module.modules())
        elif any(isinstance(child, nn.Conv2d) for child in module.children()):
            inside.update(module.modules())  # a patch embedding: a convolution and its norm
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm) and module not in inside:
            norms[_width(module)] = module
    return [(blocks, norms[width]) for width, blocks in stages.items()]


def _width(norm: nn.Module) -> int:
    assert isinstance(norm, nn.LayerNorm)
    return int(norm.normalized_shape[0])


def _block(module: nn.Module) -> Block | None:
    """Read a module as a transformer block: two norms, an attention, and an MLP with a depth-wise convolution."""
    children = list(module.children())
    norms = [child for child in children if isinstance(child, nn.LayerNorm)]
    mlps = [child for child in children if _depthwise(child) is not None]
    attentions = [c for c in children if c not in mlps and any(isinstance(m, nn.Linear) for m in c.modules())]
    if len(norms) != 2 or len(mlps) != 1 or len(attentions) != 1:
        return None
    convolution = _depthwise(mlps[0])
    assert convolution is not None  # that is what makes it an MLP
    direct = [child for child in children if isinstance(child, nn.Dropout)]
    within = [m for m in attentions[0].modules() if isinstance(m, nn.Dropout)]
    holder = next(child for child in mlps[0].children() if convolution in child.modules())
    plain = (nn.Linear, nn.Dropout)
    activation = next(c for c in mlps[0].children() if c is not holder and not isinstance(c, plain))
    return Block(norms[0], (direct or within)[-1], convolution, activation, attentions[0])


def _depthwise(module: nn.Module) -> nn.Conv2d | WithoutConvolution | None:
    """Return the one depth-wise convolution in a module, or what stands in its place."""
    found = [
        m
        for m in module.modules()
        if isinstance(m, WithoutConvolution) or (isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1)
    ]
    return found[0] if len(found) == 1 else None


SEGFORMER = MODELS.add(
    Architecture(
        name="segformer",
        label="SegFormer",
        summary="Mix Transformer encoder with an all-MLP head; pretrained: none, hub, or a file or folder",
        source="Xie et al., NeurIPS 2021",
        defaults={"size": "b0", "drop_path": 0.1, "pretrained": NONE},
        build=_build,
        layers=layers,
        variant="size",
        pretrain=_pretrain,
        weights=_file,
        canonical=canonical,
        attentions=attention_places,
        small={"": {}, "b1": {}},
    )
)
