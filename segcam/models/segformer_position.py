"""SegFormer with a position embedding in place of Mix-FFN's convolutions: a pair that differs in nothing else."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam.models import MODELS, Architecture, Parameters, wrong_value
from segcam.models.segformer import (
    SIZES,
    STRIDES,
    SegFormer,
    WithoutConvolution,
    attention_places,
    canonical,
    checked,
    layers,
)


class PositionedPatches(nn.Module):
    """Patch embeddings of a stage, and a learned embedding of each patch's place added to them.

    The embedding belongs to a grid of `side x side` patches. On another it is interpolated bilinearly, as in PVT.

    Args:
        patches: transformers' patch embeddings, which return tokens, rows and columns.
        channels: of a token.
        side: patches along a side of the inputs that it is made for.
    """

    def __init__(self, patches: nn.Module, channels: int, side: int) -> None:
        super().__init__()
        self.patches = patches
        self.position = nn.Parameter(torch.empty(1, channels, side, side))
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x: Float[Tensor, "b c H W"]) -> tuple[Float[Tensor, "b n d"], int, int]:
        """Return tokens that know their place, and the rows and columns of their grid."""
        tokens, rows, columns = self.patches(x)
        position: Tensor = self.position
        if tuple(position.shape[2:]) != (rows, columns):
            position = F.interpolate(position, size=(rows, columns), mode="bilinear", align_corners=False)
        return tokens + position.flatten(2).transpose(1, 2), rows, columns


def _build(classes: int, parameters: Parameters) -> SegFormer:
    size, drop_path = checked("segformer_position", parameters)
    image_size = int(parameters["image_size"])
    if image_size < STRIDES[-1]:
        raise wrong_value("segformer_position", "image_size", image_size, f"at least {STRIDES[-1]}")
    model = SegFormer(classes, size, drop_path)
    stages = iter(zip(STRIDES, SIZES[size]["hidden_sizes"], strict=True))
    for module in list(model.network.segformer.modules()):
        for name, child in list(module.named_children()):
            if _is_convolution(child):
                setattr(module, name, WithoutConvolution())
            elif type(child).__name__.endswith("PatchEmbeddings"):
                stride, channels = next(stages)
                setattr(module, name, PositionedPatches(child, channels, -(-image_size // stride)))
    return model


def _is_convolution(module: nn.Module) -> bool:
    """Tell transformers' depth-wise convolution of tokens: a module of nothing else."""
    children = list(module.children())
    return len(children) == 1 and isinstance(children[0], nn.Conv2d) and children[0].groups > 1


SEGFORMER_POSITION = MODELS.add(
    Architecture(
        name="segformer_position",
        label="SegFormer, position embedding",
        summary="SegFormer without Mix-FFN's convolutions, a learned position embedding in each stage instead",
        source="Xie et al., NeurIPS 2021, table 1c; the embedding of Wang et al., PVT, ICCV 2021",
        defaults={"size": "b0", "drop_path": 0.1, "image_size": 128},
        build=_build,
        layers=layers,
        variant="size",
        canonical=canonical,
        attentions=attention_places,
        small={"": {"image_size": 64}},
    )
)
