"""Ends: what the last step of autograd's graph tells of an output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

ENDS: Mapping[str, str] = {
    "SigmoidBackward0": "sigmoid",
    "SoftmaxBackward0": "softmax",
    "LogSoftmaxBackward0": "log-softmax",
    "LogSigmoidBackward0": "log-sigmoid",
    "ConvolutionBackward0": "linear",
    "NativeBatchNormBackward0": "linear",
    "AddmmBackward0": "linear",
    "MmBackward0": "linear",
    "BmmBackward0": "linear",
}
"""Steps of autograd's graph that tell what an output is; a step that is not here tells nothing."""

_PASSING = "Alias AsStrided Clone Expand Permute Reshape Select Slice Squeeze TBackward ToCopy Transpose UnsafeView"
PASSING = (*_PASSING.split(), "Unsqueeze", "Upsample", "View")
"""Steps that leave the meaning of values as it is: they move them, or average neighbours."""


def last_step(values: Tensor) -> str:
    """Return what made the values, by autograd's graph, past steps that only move them; '' where it does not tell."""
    node: Any = values.grad_fn
    while node is not None:
        name = type(node).__name__
        if name in ENDS and (ENDS[name] != "linear" or not _of_probabilities(node)):
            return ENDS[name]
        if not name.startswith(PASSING):
            return ""
        node = node.next_functions[0][0] if node.next_functions else None
    return ""


def _of_probabilities(node: Any) -> bool:
    """Tell whether a linear step, such as a smoothing, works on what a sigmoid or softmax gave."""
    while node is not None:
        sources = [one for one, _ in node.next_functions if one is not None]
        node = sources[0] if len(sources) == 1 else None
        name = type(node).__name__
        if node is None or (name in ENDS and ENDS[name] != "linear"):
            return node is not None
        if name not in ENDS and not name.startswith(PASSING):
            return False
    return False
