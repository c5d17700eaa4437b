"""Hooks: a network held still, and the outputs of its layers as nodes whose gradients can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from segcam.errors import ProbeError, first_line, out_of_memory
from segcam.precision import HALF, of_network, widened, without_autocast
from segcam.probe.forms import scripted_part, without_checkpointing, without_fast_paths
from segcam.probe.inputs import Inputs, arguments, mapped, rows_of
from segcam.probe.layers import Layer

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises for images that it cannot take."""

_INFERENCE = "runs in torch.inference_mode"


@contextmanager
def told(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn what the network raises into an error that names the images.

    Raises:
        ProbeError: the network failed; want of memory stays what it is.
    """
    try:
        yield
    except FAILURES as error:
        if out_of_memory(error):
            raise
        first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
        wanted = f"; its first convolution takes {first.in_channels} channels" if first is not None else ""
        raise ProbeError(
            f"the network failed on images {tuple(images.shape)}, (images, channels, rows, columns){wanted}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a hooked module.

    Attributes:
        output: what it gave, as a node of the graph; None where that cannot be probed.
        version: the output's when it was made.
        reason: why the output cannot be probed, or does not lead to the logits.
    """

    output: Tensor | None
    version: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a layer has no maps, and what can be done about it."""

    reason: str
    cure: str = ""

    def of(self, layer: Layer) -> ProbeError:
        """Return the error for a layer that was asked for by name."""
        return ProbeError(f"layer '{layer.label}' {self.reason}" + (f": {self.cure}" if self.cure else ""))


@contextmanager
def frozen(model: nn.Module, *, own_precision: bool = False) -> Iterator[dict[str, Tensor]]:
    """Put the network into eval mode with frozen parameters and into float32, then back.

    A surrounding autocast is off meanwhile. With `own_precision` the network stays in the precision that it has, and
    under the autocast.

    Gradient checkpointing and torch's fused transformer layers are off meanwhile: what they skip has no hooks.

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
            stack.enter_context(without_checkpointing())
            stack.enter_context(without_fast_paths())
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
            if (scripted := scripted_part(model, layer.module)) is not None:
                calls[layer.label].append(Call(None, reason=f"lies in '{scripted}', which is TorchScript"))
                continue
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
        if not isinstance(first, Tensor) or first.ndim not in (3, 4) or not first.is_floating_point():
            got = type(first).__name__
            if isinstance(first, Tensor):
                got = str(tuple(first.shape)) if first.is_floating_point() else f"{first.dtype} {tuple(first.shape)}"
            fired.append(Call(None, reason=f"gave {got}"))
            return output
        if torch.is_inference_mode_enabled() or first.is_inference():
            fired.append(Call(None, reason=_INFERENCE))
            return output
        # What is kept is a node of its own: a module may return its very input, which other branches use too. With
        # frozen parameters the first layer's output needs no gradient, so the graph is made to begin there. What goes
        # on from an output that is known to be overwritten later is a copy, and so is then what is kept.
        copied = layer.label in overwritten
        source = first.clone() if copied else first
        anchor = torch.empty(0, device=source.device, requires_grad=True)
        node: Tensor = source.view_as(source) if source.requires_grad else _Source.apply(source, anchor)  # type: ignore[no-untyped-call]
        hidden = "" if torch.is_grad_enabled() else "runs in torch.no_grad"
        fired.append(Call(node, node._version, hidden))
        passed_on = node.clone() if copied else node
        if not isinstance(output, tuple):
            return passed_on
        outputs = (passed_on, *output[1:])
        return type(output)._make(outputs) if hasattr(output, "_make") else outputs

    return hook


def chosen_outputs(
    layers: Sequence[Layer], calls: Mapping[str, Sequence[Call]]
) -> tuple[dict[str, Tensor], set[str], dict[str, LeftOut]]:
    """Return each layer's output in the call it names, by label, the labels of those overwritten since, and the others.

    The others did not run, gave no feature maps, keep no graph, or ran more than once and do not say which call is
    meant.
    """
    outputs: dict[str, Tensor] = {}
    overwritten: set[str] = set()
    left_out: dict[str, LeftOut] = {}
    for layer in layers:
        fired = calls[layer.label]
        without = f"leave it out ('!{layer.module}')"
        if not fired:
            left_out[layer.label] = LeftOut("did not run in the forward pass", without)
        elif layer.call is None and len(fired) > 1:
            which = f"Layer(module='{layer.module}', label=..., call=0..{len(fired) - 1})"
            left_out[layer.label] = LeftOut(
                f"runs {len(fired)} times in one forward pass",
                f"{without} or say which with {which}; where it runs tile by tile, probe what runs on a tile, with the "
                "tiles as images",
            )
        elif not 0 <= (layer.call or 0) < len(fired):
            left_out[layer.label] = LeftOut(f"has no call {layer.call}", f"it runs {len(fired)} times")
        elif (output := fired[layer.call or 0].output) is None:
            reason = fired[layer.call or 0].reason
            if reason == _INFERENCE:
                left_out[layer.label] = LeftOut(reason, f"let the network keep its graph there, or {without}")
                continue
            only = "only feature maps (b, c, h, w) and tokens (b, n, c) can be probed; "
            left_out[layer.label] = LeftOut(reason, f"{only if reason.startswith('gave') else ''}choose another layer")
        elif not output.requires_grad:
            left_out[layer.label] = LeftOut(
                fired[layer.call or 0].reason or "keeps no graph", f"let the network keep its graph there, or {without}"
            )
        else:
            outputs[layer.label] = output
            if output._version != fired[layer.call or 0].version:
                overwritten.add(layer.label)
    return outputs, overwritten, left_out


def run(
    model: nn.Module,
    images: Float[Tensor, "b ch h w"],
    tensors: Mapping[str, Tensor] | None = None,
    inputs: Inputs | None = None,
) -> object:
    """Return the output of a frozen network for images, which are given to it in the precision of its weights.

    Args:
        model: the network.
        images: its input; it may be written into.
        tensors: what `frozen` yielded.
        inputs: what it takes beside the images.

    Raises:
        ProbeError: the network turns to half precision by itself, and would not run in float32; or it takes other
            inputs.
    """
    dtype = of_network(model, tensors)
    args, named = arguments(
        model, images.to(dtype), {name: _cast(value, dtype) for name, value in (inputs or {}).items()}
    )
    try:
        return functional_call(model, dict(tensors), args, named) if tensors else model(*args, **named)
    except RuntimeError as error:
        turned = any(word in str(error) for word in ("Half", "BFloat16", "half", "bfloat16"))
        if not turned or of_network(model, tensors) in HALF:
            raise
        raise ProbeError(
            "the network turns its values to half precision by itself, and runs in float32 here "
            f"({first_line(error)}): leave its precision alone with Probe(..., precision='own')"
        ) from error


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Return a copy of a tensor, into which the network may write, in the precision of the weights."""
    if not isinstance(value, Tensor):
        return mapped(value, lambda one: _cast(one, dtype))
    return value.detach().to(dtype if value.is_floating_point() else value.dtype, copy=True)


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """A network held still, and all that it is run with but the images.

    Attributes:
        model: the network.
        tensors: what `frozen` yielded for it.
        inputs: what it takes beside the images.
    """

    model: nn.Module
    tensors: Mapping[str, Tensor]
    inputs: Inputs

    def __call__(self, images: Float[Tensor, "b ch h w"]) -> object:
        """Run it, see `run`."""
        return run(self.model, images, self.tensors, self.inputs)

    def of_rows(self, rows: Sequence[int], batch: int, *, vectors: bool = True) -> Network:
        """Return the network with the inputs of some images of the batch, see `rows_of`."""
        return replace(self, inputs=rows_of(self.inputs, rows, batch, vectors=vectors))
