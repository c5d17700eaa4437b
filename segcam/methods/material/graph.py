"""Structure: the steps of a forward pass, as autograd recorded them, and which of them are not linear in the input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.probe.network.elements import Element, select
from segcam.probe.network.steps import name_of
from segcam.probe.targets.outputs import tensor_of

_LINEAR = (
    "AccumulateGrad Add AdaptiveAvgPool2D Alias AsStrided AvgPool2D Cat Clone Col2Im ConstantPadNd Copy CopySlices "
    "Expand Flip Im2Col Index IndexSelect Mean Neg Permute PixelShuffle PixelUnshuffle "
    "ReflectionPad2D Repeat ReplicationPad2D ReshapeAlias Roll Select Slice Split SplitWithSizes Squeeze Stack Sub "
    "Sum T ToCopy Transpose Unbind UnsafeSplit UnsafeView Unsqueeze UpsampleBicubic2D UpsampleBilinear2D "
    "UpsampleBilinear2DAa UpsampleNearest2D UpsampleNearestExact2D View"
)
LINEAR = frozenset(_LINEAR.split())
"""Operations that are linear, or affine, in all that they read."""

_MULTILINEAR = "Addmm Baddbmm Bmm Convolution ConvolutionOverrideable Dot Linear Mm Mul Mv"
MULTILINEAR = frozenset(_MULTILINEAR.split())
"""Operations that are linear where just one of the things that they read depends on the input."""

NORMS = ("BatchNorm", "BatchNormalization")
"""Normalisations, which are linear where they use statistics of their own, not the batch's."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a forward pass on what depends on the input.

    Attributes:
        name: autograd's name for it without 'Backward' and what names a library or kernel: 'Relu', 'Convolution'.
        linear: whether it is linear, or affine, in the input. What is not known to be is not.
        reads: indices of the steps whose results it reads.
        module: the module whose output it is, if any: of nested ones the innermost.
        call: which of the module's calls it was.
    """

    name: str
    linear: bool
    reads: tuple[int, ...]
    module: nn.Module | None = None
    call: int = 0


@dataclass(frozen=True, eq=False)
class Structure:
    """The steps of a forward pass.

    Attributes:
        steps: all of them, in no particular order.
        calls: how often each module ran.
        dims: the number of dimensions of what each module gave last.
        last: the step that each module's last output came from.
    """

    steps: tuple[Step, ...]
    calls: Mapping[nn.Module, int] = field(default_factory=dict)
    dims: Mapping[nn.Module, int] = field(default_factory=dict)
    last: Mapping[nn.Module, int] = field(default_factory=dict)

    def after(self, module: nn.Module | None = None) -> tuple[Step, ...]:
        """Return the steps that a module's output goes through on its way to the end; all for None.

        They are none for a module that does not lead there.
        """
        if module is None:
            return self.steps
        readers: dict[int, list[int]] = {}
        for index, step in enumerate(self.steps):
            for read in step.reads:
                readers.setdefault(read, []).append(index)
        waiting = [self.last[module]] if module in self.last else []
        behind: set[int] = set()
        while waiting:
            for index in readers.get(waiting.pop(), []):
                if index not in behind:
                    behind.add(index)
                    waiting.append(index)
        return tuple(self.steps[index] for index in sorted(behind))


def structure_of(model: nn.Module, image: Float[Tensor, "1 ch h w"], element: Element | None = None) -> Structure:
    """Run a network with frozen parameters on an image and read how its logits came about.

    It sees what autograd sees: functional calls as well as modules. It takes the network to do the same with every
    image. Custom operations are taken for not linear, and so are matrix products of two things that depend on the
    input, as in attention. `element` is the part of what it returns that is its output.
    """
    calls: dict[nn.Module, int] = {}
    dims: dict[nn.Module, int] = {}
    given: dict[Any, tuple[nn.Module, int]] = {}
    last: dict[nn.Module, Any] = {}

    def keep(module: nn.Module, _inputs: object, output: object) -> None:
        calls[module] = calls.get(module, 0) + 1
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor):
            dims[module] = first.ndim
            if first.grad_fn is not None:
                given.setdefault(first.grad_fn, (module, calls[module] - 1))  # the innermost module comes first
                last[module] = first.grad_fn

    with ExitStack() as stack:
        for module in model.modules():
            stack.callback(module.register_forward_hook(keep).remove)
        stack.enter_context(torch.enable_grad())
        logits = tensor_of(select(model(image.detach().clone().requires_grad_()), element))
    nodes = _nodes(logits)
    order = {node: index for index, node in enumerate(nodes)}
    steps = tuple(_step(node, order, *given.get(node, (None, 0))) for node in nodes)
    return Structure(steps, calls, dims, {module: order[node] for module, node in last.items() if node in order})


def steps_to(output: Tensor) -> tuple[Step, ...]:
    """Return the steps by which a tensor came about."""
    nodes = _nodes(output)
    order = {node: index for index, node in enumerate(nodes)}
    return tuple(_step(node, order) for node in nodes)


def named(steps: Iterable[Step]) -> str:
    """Name steps for messages, with the class of their module: 'Hardtanh (ReLU6), LayerNorm, Relu (function)'."""

    def full(step: Step) -> str:
        kind = "function" if step.module is None else type(step.module).__name__
        return step.name if kind.lower() == step.name.lower() else f"{step.name} ({kind})"

    return ", ".join(sorted({full(step) for step in steps}))


def _nodes(output: Tensor) -> list[Any]:
    """Return all nodes of autograd's graph behind a tensor; as long as they are held, each is one object."""
    waiting = [output.grad_fn] if output.grad_fn is not None else []
    nodes = dict.fromkeys(waiting)
    while waiting:
        node = waiting.pop()
        for before, _ in node.next_functions:
            if before is not None and before not in nodes:
                nodes[before] = None
                waiting.append(before)
    return list(nodes)


def _step(node: Any, order: Mapping[Any, int], module: nn.Module | None = None, call: int = 0) -> Step:
    # Which kernel computes attention depends on the device.
    name = re.sub(r"^ScaledDotProduct.*", "ScaledDotProductAttention", name_of(node))
    sources = [before for before, _ in node.next_functions]
    if name in NORMS:
        linear = getattr(node, "_saved_training", True) is False
    elif name == "Div":
        linear = len(sources) < 2 or sources[1] is None
    else:
        linear = name in LINEAR or (name in MULTILINEAR and sum(source is not None for source in sources) < 2)
    return Step(name, linear, tuple(order[source] for source in sources if source is not None), module, call)
