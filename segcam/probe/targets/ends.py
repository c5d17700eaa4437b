"""Ends: what the last steps of autograd's graph tell of an output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from segcam.probe.network.steps import name_of

ENDS: Mapping[str, str] = {
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "LogSigmoid": "log-sigmoid",
    **dict.fromkeys(("Convolution", "SlowConv2D", "SlowConvTranspose2D", "BatchNorm"), "linear"),
    **dict.fromkeys(("Addmm", "Mm", "Bmm", "Baddbmm", "Linear"), "linear"),
}
"""Steps of autograd's graph that tell what an output is; a step that is not here tells nothing."""

PART = "part of a softmax"
"""The end of an output with some of the classes of a softmax, such as the foreground's probability alone."""

_PASSING = "Alias AsStrided Clone Expand Permute ReshapeAlias Select Slice Split SplitWithSizes Squeeze T ToCopy"
PASSING = frozenset((*_PASSING.split(), "Transpose", "Unbind", "UnsafeView", "Unsqueeze", "View"))
"""Steps that leave the meaning of values as it is: they move them, as upsamplings do that average neighbours."""

CLAMPING = frozenset(("Clamp", "ClampMin", "ClampMax", "MaskedFill"))
"""Steps that keep probabilities what they are, and of which others may come out like them."""

_ARITHMETIC = "Add Div Exp Log Log10 Log1P Log2 Mul Neg Pow Rsub Sqrt Sub"
ARITHMETIC = frozenset(_ARITHMETIC.split())
"""Steps that, with numbers alone beside their input, make other numbers of probabilities."""


def last_step(values: Tensor) -> str:
    """Return what made the values, by autograd's graph, past steps that only move them; '' where it does not tell."""
    return _last(values.grad_fn, tuple(values.shape))


def changed_end(values: Tensor) -> str:
    """Return the softmax or sigmoid whose probabilities were calculated with to make the values; '' without one."""
    node: Any = values.grad_fn
    while node is not None:
        name, sources = name_of(node), _sources(node)
        if ENDS.get(name, "linear") != "linear":
            return ENDS[name]
        if len(sources) != 1 or not (_passes(name) or name in CLAMPING | ARITHMETIC):
            return ""
        node = sources[0]
    return ""


def _last(node: Any, shape: tuple[int, ...]) -> str:
    clamped = False
    while node is not None:
        name, sources = name_of(node), _sources(node)
        if ENDS.get(name) == "linear":
            return "" if clamped or _of_probabilities(node) else "linear"
        if name in ENDS:
            return PART if name == "Softmax" and _has_more_classes(node, shape) else ENDS[name]
        if name in ("Cat", "Stack"):
            ends = {_last(source, shape) for source in sources}
            return ends.pop() if len(ends) == 1 and not clamped else ""
        if len(sources) != 1 or not (_passes(name) or name in CLAMPING):
            return ""
        clamped |= name in CLAMPING
        node = sources[0]
    return ""


def _sources(node: Any) -> list[Any]:
    return [source for source, _ in node.next_functions if source is not None]


def _passes(name: str) -> bool:
    return name in PASSING or name.startswith("Upsample")


def _has_more_classes(node: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether a softmax over dimension 1 has more classes than an output of a shape."""
    whole = tuple(int(n) for n in node._input_metadata[0].shape)
    dim = node._saved_dim - (2**64 if node._saved_dim >= 2**63 else 0)
    return len(whole) == len(shape) == 4 and dim % 4 == 1 and whole[1] > shape[1]


def _of_probabilities(node: Any) -> bool:
    """Tell whether a linear step, such as a smoothing, works on what a sigmoid or softmax gave."""
    while node is not None:
        sources = _sources(node)
        node = sources[0] if len(sources) == 1 else None
        name = "" if node is None else name_of(node)
        if node is None or ENDS.get(name, "linear") != "linear":
            return node is not None
        if name not in ENDS and not _passes(name):
            return False
    return False
