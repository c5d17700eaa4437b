"""Hooks: a network held still, and the outputs of its layers as nodes whose gradients can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from segcam.arrays import Numbers, tensor
from segcam.errors import ProbeError, first_line
from segcam.precision import HALF, of_network, widened, without_autocast
from segcam.probe.layers import Layer


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a hooked module: its output, and the output's version when it was made."""

    output: Tensor
    version: int


@contextmanager
def frozen(model: nn.Module, *, own_precision: bool = False) -> Iterator[dict[str, Tensor]]:
    """Put the network into eval mode with frozen parameters and into float32, then back.

    A surrounding autocast is off meanwhile. With `own_precision` the network stays in the precision that it has, and
    under the autocast.

    Yields the tensors to run it with in place of its own: none, but for a network made in inference mode, whose
    parameters autograd may not save.
    """
    modules = list(model.modules())  # walked once: in a network of many modules that takes as long as a layer
    training = [module for module in modules if module.training]
    tensors = [t for module in modules for t in (*module.parameters(recurse=False), *module.buffers(recurse=False))]
    wanting = [t for t in tensors if t.requires_grad and not t.is_inference()]
    copies: dict[str, Tensor] = {}
    if any(t.is_inference() for t in tensors):
        copies = {n: t.detach().clone() for n, t in (*model.named_parameters(), *model.named_buffers())}
        if not own_precision:
            copies = {n: t.float() if t.dtype in HALF else t for n, t in copies.items()}
    try:
        if training:
            model.eval()
        for parameter in wanting:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            if not own_precision:
                stack.enter_context(without_autocast())
                stack.enter_context(widened(model))
            yield copies
    finally:
        for module in training:
            module.training = True
        for parameter in wanting:
            parameter.requires_grad_(True)


@contextmanager
def recording_calls(
    model: nn.Module, layers: Sequence[Layer], overwritten: set[str]
) -> Iterator[dict[str, list[Call]]]:
    """Record the outputs of the layers' modules in forward passes, by label and in the order of the calls.

    The network's parameters are frozen. `overwritten` are labels of layers whose output later modules are known to
    overwrite; they are recorded as copies.
    """
    calls: dict[str, list[Call]] = {layer.label: [] for layer in layers}
    handles = []
    try:
        for layer in layers:
            hook = _recorder(layer, calls[layer.label], overwritten)
            # First, so that hooks of the network's own, which some use to collect features, get what is passed on.
            handles.append(model.get_submodule(layer.module).register_forward_hook(hook, prepend=True))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class _Source(torch.autograd.Function):
    """A node that the graph begins with, over a tensor that needs no gradient; nothing is copied.

    A leaf would do if no module in place followed: those may not write into a leaf. The two share their version, so
    that a write into either is seen.
    """

    @staticmethod
    def forward(_ctx: Any, output: Tensor, _anchor: Tensor) -> Tensor:
        return output.detach()

    @staticmethod
    def backward(_ctx: Any, *_gradients: Tensor) -> tuple[None, None]:
        return None, None


def _recorder(layer: Layer, fired: list[Call], overwritten: set[str]) -> Callable[[nn.Module, object, object], object]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> object:
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor) or first.ndim not in (3, 4):
            got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            raise ProbeError(
                f"layer '{layer.label}' gave {got}: only feature maps (b, c, h, w) and tokens (b, n, c) can be probed; "
                "choose another layer"
            )
        # What is kept is a node of its own: a module may return its very input, which other branches use too. With
        # frozen parameters the first layer's output needs no gradient, so the graph is made to begin there. What goes
        # on from an output that is known to be overwritten later is a copy, and so is then what is kept.
        copied = layer.label in overwritten
        source = first.clone() if copied else first
        anchor = torch.empty(0, device=source.device, requires_grad=True)
        node: Tensor = source.view_as(source) if source.requires_grad else _Source.apply(source, anchor)  # type: ignore[no-untyped-call]
        fired.append(Call(node, node._version))
        passed_on = node.clone() if copied else node
        if not isinstance(output, tuple):
            return passed_on
        outputs = (passed_on, *output[1:])
        return type(output)._make(outputs) if hasattr(output, "_make") else outputs

    return hook


def chosen_outputs(layers: Sequence[Layer], calls: Mapping[str, Sequence[Call]]) -> tuple[dict[str, Tensor], set[str]]:
    """Return each layer's output in the call it names, by label, and the labels of those overwritten since.

    Raises:
        ProbeError: a layer did not run, or ran more than once and does not say which call is meant.
    """
    outputs: dict[str, Tensor] = {}
    overwritten: set[str] = set()
    for layer in layers:
        fired = calls[layer.label]
        if not fired:
            raise ProbeError(f"layer '{layer.label}' did not run in the forward pass: leave it out ('!{layer.module}')")
        if layer.call is None and len(fired) > 1:
            which = f"Layer(module='{layer.module}', label=..., call=0..{len(fired) - 1})"
            raise ProbeError(
                f"layer '{layer.label}' runs {len(fired)} times in one forward pass: leave it out "
                f"('!{layer.module}') or say which with {which}"
            )
        if not 0 <= (layer.call or 0) < len(fired):
            raise ProbeError(f"layer '{layer.label}' has no call {layer.call}: it runs {len(fired)} times")
        call = fired[layer.call or 0]
        outputs[layer.label] = call.output
        if call.output._version != call.version:
            overwritten.add(layer.label)
    return outputs, overwritten


def as_images(images: Numbers) -> Float[Tensor, "b ch h w"]:
    """Return a network's input as a tensor.

    Raises:
        ProbeError: it is none: no floating-point numbers, which bytes are not until they are prepared, no stack of
            images, or an empty one.
    """
    given = getattr(images, "dtype", type(images).__name__)
    stack = tensor(images, "images") if isinstance(images, (Tensor, np.ndarray)) else None
    if stack is None or not stack.is_floating_point():
        raise ProbeError(f"images are {given}: pass a float tensor, prepared as the network takes it (Batch.inputs())")
    if stack.ndim != 4 or 0 in stack.shape:
        one = "; give one image as images[None]" if stack.ndim == 3 else ""
        raise ProbeError(
            f"images are {tuple(stack.shape)}: (images, channels, rows, columns), none empty, are needed{one}"
        )
    return stack


def run(model: nn.Module, images: Float[Tensor, "b ch h w"], tensors: Mapping[str, Tensor] | None = None) -> object:
    """Return the output of a frozen network for images, which are given to it in the precision of its weights.

    Args:
        model: the network.
        images: its input; it may be written into.
        tensors: what `frozen` yielded.

    Raises:
        ProbeError: the network turns to half precision by itself, and would not run in float32.
    """
    images = images.to(of_network(model, tensors))
    try:
        return functional_call(model, dict(tensors), (images,)) if tensors else model(images)
    except RuntimeError as error:
        turned = any(word in str(error) for word in ("Half", "BFloat16", "half", "bfloat16"))
        if not turned or of_network(model, tensors) in HALF:
            raise
        raise ProbeError(
            "the network turns its values to half precision by itself, and runs in float32 here "
            f"({first_line(error)}): leave its precision alone with Probe(..., precision='own')"
        ) from error
