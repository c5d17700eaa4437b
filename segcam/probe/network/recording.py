"""Recording: the outputs of a network's layers, as nodes of the graph whose gradients can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segcam.probe.chosen import LeftOut
from segcam.probe.layers import Layer
from segcam.probe.network.forms import scripted_part
from segcam.probe.network.modules import Modules

_INFERENCE = "runs in torch.inference_mode"


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


@contextmanager
def recording_calls(
    modules: Modules, layers: Sequence[Layer], overwritten: set[str]
) -> Iterator[dict[str, list[Call]]]:
    """Record the outputs of the layers' modules in forward passes, by label and in the order of the calls.

    The network's parameters are frozen. `overwritten` are labels of layers whose output later modules are known to
    overwrite; they are recorded as copies.
    """
    calls: dict[str, list[Call]] = {layer.label: [] for layer in layers}
    handles = []
    try:
        for layer in layers:
            if (scripted := scripted_part(modules, layer.module)) is not None:
                calls[layer.label].append(Call(None, reason=f"lies in '{scripted}', which is TorchScript"))
                continue
            hook = _recorder(layer, calls[layer.label], overwritten)
            # First, so that hooks of the network's own, which some use to collect features, get what is passed on.
            handles.append(modules[layer.module].register_forward_hook(hook, prepend=True))
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
