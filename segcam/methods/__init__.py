"""Attribution methods: one file a family; `METHODS` finds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.errors import InputError, shown, unknown
from segcam.methods.material.pair import Pair
from segcam.methods.material.subject import Subject
from segcam.precision import in_full_precision, without_autocast
from segcam.probe.attention import Attention
from segcam.probe.captures import Capture
from segcam.probe.gradients.rounding import Sums
from segcam.probe.layers import Layer
from segcam.registry import Registry, words
from segcam.scoring.reference import Reference

Formula = Callable[[Pair], Tensor | tuple[Tensor, Tensor]]
"""A gradient CAM: activations and gradients of one layer in. Out come, for each sample, one of

- the channels' weights, `(b, c)`: the map is `ReLU(sum_k w_k A_k)`;
- the map before ReLU, `(b, h, w)`;
- the map before ReLU and the map, `(b, h, w)` each, where that is more than its positive part.
"""

ControlMap = Callable[[Reference], Float[Tensor, "b h w"]]
"""A control: what is known of the images on one layer's grid in, one map a sample out; the network plays no part."""

AttentionMap = Callable[
    [Sequence[Attention], Bool[Tensor, "b H W"]], Float[Tensor, "b l h w"] | Sequence[Float[Tensor, "b h w"]]
]
"""A map from attention: all blocks' matrices and the explained pixels in, one map a block and sample out.

Maps on one grid may come as one tensor. Where the method needs gradients the matrices have them.
"""

RunMap = Callable[[Subject, Layer], Float[Tensor, "b h w"]]
"""A method that runs the network itself: the subject and a layer (or `INPUT`) in, one map a sample out.

It raises `NotApplicableError` with the reason where it has no map for the layer or the network.
"""

Value = bool | int | float | str
MOST = 10_000
"""Steps, samples or windows that a method may be asked for: with more of them no map would ever be done."""
Passes = int | Callable[[Mapping[str, Value]], int]
Scope = Literal["layer", "input"]
Family = Literal["", "cam", "perturbation", "captum", "attention", "control"]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Method:
    """A method plugin and what tables say of it; the decorator `method` makes one of a function.

    Just one of `gradient`, `control`, `attention` and `run` is given.

    Attributes:
        name: the name users ask for.
        label: the name in figures.
        summary: one line about it.
        source: paper and equation.
        gradient: the formula of a gradient method: they share one pass.
        control: the map from the images alone, for controls.
        attention: the maps from a transformer's attention matrices, a map a block.
        run: the map of a method that runs the network itself.
        signed: whether maps may be negative; a gradient method's then is its map before ReLU.
        needs_gradients: whether gradients play a part.
        scope: 'layer' for maps of layers, 'input' for maps of the input's pixels.
        passes: passes of the network that one target takes, forward or forward and backward together: a number, or a
            function of the parameters. 1 for gradient methods, which all share the same one.
        parameters: what can be chosen, with its default; `configured` changes it.
        least: of parameters that may not be 0 the smallest value.
        family: the group in tables and figures; '' for what `kind` says.
        sums: what a gradient method's channel weights sum over positions, with signs: where the sums are zero but for
            rounding there is no map, see `Capture.cancels`. None where weights are not made so.
        masks: whether a control looks at the masks: without one there is no map.
        all_layers: whether the passes of a method that runs the network serve all layers of a target at once.
        fuses: whether a method with a subject makes one map of the input from what the shared pass gave of all layers,
            and runs nothing.
    """

    name: str
    label: str
    summary: str
    source: str
    gradient: Formula | None = None
    control: ControlMap | None = None
    attention: AttentionMap | None = None
    run: RunMap | None = None
    signed: bool = False
    needs_gradients: bool = True
    scope: Scope = "layer"
    passes: Passes = 1
    parameters: Mapping[str, Value] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    family: Family = ""
    sums: Sums | None = None
    masks: bool = False
    all_layers: bool = False
    fuses: bool = False

    @property
    def kind(self) -> str:
        """Return 'gradient', 'attention', 'run' or 'control'; a control that looks at activations is a control."""
        if self.control is not None or self.family == "control":
            return "control"
        if self.attention is not None:
            return "attention"
        return "run" if self.run is not None else "gradient"

    @property
    def own_passes(self) -> bool:
        """Whether it takes passes of its own, beside the one that all gradient methods share."""
        return self.run is not None and not self.fuses

    @property
    def cost(self) -> int:
        """Return the number of passes with the method's parameters."""
        return self.passes if isinstance(self.passes, int) else self.passes(self.parameters)

    @property
    def each(self) -> Literal["target", "layer"]:
        """Return what the passes are for: all layers together ('target'), or one layer ('layer')."""
        return "layer" if self.run is not None and self.scope == "layer" and not self.all_layers else "target"

    def block_maps(self, capture: Capture) -> Sequence[Float[Tensor, "b h w"]]:
        """Compute an attention method's maps, one of each block whose attention was captured.

        Raises:
            InputError: it is no attention method.
            NotApplicableError: it has no map for this network.
        """
        if self.attention is None:
            raise InputError(f"method {self.name} is not made from attention")
        maps = self.attention([*capture.attentions.values()], capture.explained.chosen)
        return maps.unbind(1) if isinstance(maps, Tensor) else maps

    def maps(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Compute a gradient method's maps of one layer; `segcam.maps.together` computes those of several methods.

        Args:
            activations: a layer's output.
            gradients: the score's derivatives by it, of the same shape.

        Raises:
            InputError: it is no gradient method, or the two are not as `Pair` takes them.
        """
        if self.gradient is None:
            raise InputError(f"method {self.name} is made from more than activations and gradients")
        pair = Pair(activations, gradients)
        with without_autocast():
            result = self.gradient(pair)
            if isinstance(result, tuple):
                return result[1]
            before_relu = pair.weighted(result) if result.ndim == 2 else result
            return before_relu if self.signed else before_relu.relu()

    def configured(self, chosen: Mapping[str, Value]) -> Method:
        """Return the method with other parameters.

        Raises:
            InputError: it has no such parameter, or the value is of another kind, too small or beyond all measure.
        """
        for name, value in chosen.items():
            if name not in self.parameters:
                raise unknown(f"parameter of method {self.name}", name, self.parameters)
            default = self.parameters[name]
            if type(value) is not type(default):
                kind = type(default).__name__
                raise InputError(
                    f"parameter {name} of method {self.name} is {shown(value)}: a value of type {kind} is needed"
                )
            if isinstance(value, (int, float)) and isinstance(default, (int, float)):
                low, high = min(self.least.get(name, 0), default), max(MOST, default)
                if not low <= value <= high:
                    raise InputError(
                        f"parameter {name} of method {self.name} is {shown(value)}: a number from {low:g} to {high:g} "
                        "is needed"
                    )
        changed: dict[str, Any] = {
            name: partial(function, **chosen)
            for name in ("gradient", "control", "attention", "run")
            if (function := getattr(self, name)) is not None
        }
        return replace(self, parameters={**self.parameters, **chosen}, **changed)


def _on_pictures(control: Function) -> Function:
    """Return a control that makes maps of what is valid of the images; of padding they are zero."""

    @wraps(control)
    def made(reference: Reference, *values: Any, **chosen: Any) -> Float[Tensor, "b h w"]:
        if reference.parts is None:
            whole: Tensor = control(reference, *values, **chosen)
            return whole
        maps = torch.zeros(len(reference.ids), *reference.grid, dtype=reference.dtype, device=reference.device)
        for part in reference.parts:
            here = maps[list(part.images)]
            here[:, part.rows, part.columns] = control(part.reference, *values, **chosen)
            maps[list(part.images)] = here
        return maps

    return made  # type: ignore[return-value]


METHODS: Registry[Method] = Registry("method", "segcam.methods")


def method(  # noqa: PLR0913  (all but one are named where they are given)
    kind: Literal["gradient", "control", "attention", "run"] = "gradient",
    *,
    label: str,
    family: Family = "",
    signed: bool = False,
    needs_gradients: bool = True,
    scope: Scope = "layer",
    passes: Passes = 1,
    least: Mapping[str, float] | None = None,
    name: str = "",
    sums: Sums | None = None,
    masks: bool = False,
    all_layers: bool = False,
    fuses: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a method; its docstring has the summary (first line) and the source ('Source:').

    The parameters that can be chosen are the function's arguments with a default. `kind` says what the function takes:
    a `Pair` ('gradient', see `Formula`), a `Reference` ('control'), attentions and pixels ('attention'), or a `Subject`
    and a layer ('run'). The other arguments are those of `Method`; `name` is the function's unless given.
    """

    def register(function: Function) -> Function:
        summary, source = words(function)
        arguments = inspect.signature(function).parameters.values()
        if kind == "control":
            function = _on_pictures(function)
        compute: Callable[..., Any] = in_full_precision(function)
        METHODS.add(
            Method(
                name=name or function.__name__,
                label=label,
                summary=summary,
                source=source,
                gradient=compute if kind == "gradient" else None,
                control=compute if kind == "control" else None,
                attention=compute if kind == "attention" else None,
                run=compute if kind == "run" else None,
                signed=signed,
                needs_gradients=needs_gradients,
                scope=scope,
                passes=0 if kind == "control" else passes,
                parameters={a.name: a.default for a in arguments if a.default is not inspect.Parameter.empty},
                least=least or {},
                family=family,
                sums=sums,
                masks=masks,
                all_layers=all_layers,
                fuses=fuses,
            )
        )
        return function

    return register
