"""Attribution methods: one file a family; `METHODS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from segcam.errors import InputError, unknown
from segcam.methods.material.pair import Pair
from segcam.methods.material.subject import Subject
from segcam.probe.attention import Attention
from segcam.probe.layers import Layer
from segcam.registry import Registry
from segcam.scoring.reference import Reference

GradientMap = Callable[[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]], Float[Tensor, "b h w"]]
"""A gradient CAM: activations and gradients of one layer in, one map a sample out."""

ChannelWeights = Callable[[Pair], Float[Tensor, "b c"]]
"""The weight of each channel, for gradient CAMs whose map is `ReLU(sum_k w_k A_k)`."""

SignedMap = Callable[[Pair], Float[Tensor, "b h w"]]
"""The map before ReLU, for other gradient CAMs."""

ControlMap = Callable[[Reference], Float[Tensor, "b h w"]]
"""A control: what is known of the images on one layer's grid in, one map a sample out; the network plays no part."""

AttentionMap = Callable[[Sequence[Attention], Bool[Tensor, "b H W"]], Float[Tensor, "b l h w"]]
"""A map from attention: all blocks' matrices and the explained pixels in, one map a block and sample out."""

RunMap = Callable[[Subject, Layer], Float[Tensor, "b h w"]]
"""A method that runs the network itself: the subject and a layer (or `INPUT`) in, one map a sample out.

It raises `NotApplicableError` with the reason where it has no map for the layer or the network.
"""

Value = bool | int | float | str
Family = Literal["", "cam", "perturbation", "captum", "attention", "control"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method plugin and what tables say of it.

    Just one of `gradient`, `control`, `attention` and `run` is given.

    Attributes:
        name: the name users ask for.
        label: the name in figures.
        summary: one line about it.
        source: paper and equation.
        gradient: the map from activations and gradients, for gradient methods: they share one pass.
        control: the map from the images alone, for controls.
        attention: the maps from a transformer's attention matrices, a map a block.
        run: the map of a method that runs the network itself.
        weights: of a gradient method, the channels' weights, where its map is `ReLU(sum_k w_k A_k)`: maps of several
            such methods are then made in one product.
        before_relu: of another gradient method, its map before ReLU, which tells for what and against what it speaks;
            where `rectified` is False its positive part is the map.
        rectified: whether ReLU is applied before channels are summed, so that the map is more than the positive part
            of `before_relu`.
        from_pair: of such a method, its map from a pair, which spares steps that others have taken already.
        signed: whether maps may be negative.
        needs_gradients: whether gradients play a part.
        scope: 'layer' for maps of layers, 'input' for maps of the input's pixels.
        passes: passes of the network that one target takes, forward or forward and backward together: a number, or a
            function of the parameters. 1 for gradient methods, which all share the same one.
        each: what these passes are for: all layers together ('target'), or one layer ('layer').
        parameters: what can be chosen, with its default; `configured` changes it.
        family: the group in tables and figures; '' for what `kind` says.
    """

    name: str
    label: str
    summary: str
    source: str
    gradient: GradientMap | None = None
    control: ControlMap | None = None
    attention: AttentionMap | None = None
    run: RunMap | None = None
    weights: ChannelWeights | None = None
    before_relu: SignedMap | None = None
    rectified: bool = False
    from_pair: SignedMap | None = None
    signed: bool = False
    needs_gradients: bool = True
    scope: Literal["layer", "input"] = "layer"
    passes: int | Callable[[Mapping[str, Value]], int] = 1
    each: Literal["target", "layer"] = "target"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    family: Family = ""

    @property
    def kind(self) -> str:
        """Return 'gradient', 'attention', 'run' or 'control'; a control that looks at activations is a control."""
        if self.control is not None or self.family == "control":
            return "control"
        if self.attention is not None:
            return "attention"
        return "run" if self.run is not None else "gradient"

    @property
    def costly(self) -> bool:
        """Whether it takes passes of its own, beside the one that all gradient methods share."""
        return self.run is not None

    @property
    def cost(self) -> int:
        """Return the number of passes with the method's parameters."""
        return self.passes if isinstance(self.passes, int) else self.passes(self.parameters)

    def configured(self, chosen: Mapping[str, Value]) -> Method:
        """Return the method with other parameters.

        Raises:
            InputError: it has no such parameter, or the value is of another kind.
        """
        for name, value in chosen.items():
            if name not in self.parameters:
                raise unknown(f"parameter of method {self.name}", name, self.parameters)
            default = self.parameters[name]
            if type(value) is not type(default):
                kind = type(default).__name__
                raise InputError(
                    f"parameter {name} of method {self.name} is {value!r}: a value of type {kind} is needed"
                )
        parameters = {**self.parameters, **chosen}
        changed: dict[str, Any] = {
            name: partial(function, **chosen)
            for name in ("gradient", "control", "attention", "run", "weights", "before_relu", "from_pair")
            if (function := getattr(self, name)) is not None
        }
        return replace(self, parameters=parameters, **changed)


METHODS: Registry[Method] = Registry("method", "segcam.methods")
