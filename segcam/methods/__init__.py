"""Attribution methods: one file a family; `METHODS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from segcam.attention import Attention
from segcam.reference import Reference
from segcam.registry import Registry

GradientMap = Callable[[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]], Float[Tensor, "b h w"]]
"""A gradient CAM: activations and gradients of one layer in, one map a sample out."""

ControlMap = Callable[[Reference], Float[Tensor, "b h w"]]
"""A control: what is known of the images on one layer's grid in, one map a sample out; the network plays no part."""

AttentionMap = Callable[[Sequence[Attention], Bool[Tensor, "b H W"]], Float[Tensor, "b l h w"]]
"""A map from attention: all blocks' matrices and the explained pixels in, one map a block and sample out."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method plugin and what tables say of it.

    Attributes:
        name: the name users ask for.
        label: the name in figures.
        summary: one line about it.
        source: paper and equation.
        gradient: the map from activations and gradients, for gradient methods.
        control: the map from the images alone, for controls.
        attention: the maps from a transformer's attention matrices, a map a block. Just one of the three is given.
        signed: whether maps may be negative.
        passes: forward and backward passes of the network needed a target, all layers together.
    """

    name: str
    label: str
    summary: str
    source: str
    gradient: GradientMap | None = None
    control: ControlMap | None = None
    attention: AttentionMap | None = None
    signed: bool = False
    passes: int = 1

    @property
    def kind(self) -> str:
        """Return 'gradient', 'control' or 'attention'."""
        if self.attention is not None:
            return "attention"
        return "control" if self.control is not None else "gradient"


METHODS: Registry[Method] = Registry("method", "segcam.methods")
