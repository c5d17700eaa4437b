"""Backward passes through float16, in which small gradients vanish and large ones overflow: scaled until they fit.

The score of a mean over 512 x 512 pixels has a gradient of 4e-6 in each, and float16 ends at 6e-8. So the score is
multiplied by a power of two before the pass, which is exact, and the gradients are divided by it after, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIRST = 2.0**4
"""What the first pass multiplies the score by, times the pixels that it is a mean over."""
STEP = 2.0**8
FAINT = 2.0**-4
"""The largest value of a gradient below which a larger factor is tried: float16 ends 20 powers of two further down."""
Key = TypeVar("Key", bound=Hashable)
TRIES = 4
"""How many factors above the first, and below it."""


def through_float16(score: Float[Tensor, ""]) -> bool:
    """Return whether a step between parameters or input and the score is in float16, by the graph's own account."""
    waiting = [] if score.grad_fn is None else [score.grad_fn]
    known = set(waiting)
    while waiting:
        node = waiting.pop()
        for entry in getattr(node, "_input_metadata", ()):
            if entry.dtype == torch.float16:
                return True
        for before, _ in node.next_functions:
            if before is not None and before not in known:
                known.add(before)
                waiting.append(before)
    return False


def gradients(
    differentiate: Callable[[Float[Tensor, " b"]], Mapping[Key, Float[Tensor, "b c h w"]]], pixels: Int[Tensor, " b"]
) -> dict[Key, Float[Tensor, "b c h w"]]:
    """Return the gradients of scores, in float32, whose backward pass goes through float16.

    Each image's gradients at each layer are those of the largest factor tried with which they did not overflow. Larger
    ones are tried while a gradient is faint, smaller ones while one overflows.

    Args:
        differentiate: gives the layers' gradients of the scores times these factors, as often as it is called.
        pixels: how many pixels each image's score is a mean over.
    """
    first = FIRST * torch.exp2(pixels.clamp(min=1).float().log2().ceil())
    best: dict[Key, Tensor] = {}
    tops: dict[Key, Tensor] = {}

    def attempt(step: float, better: Callable[[Tensor, Tensor], Tensor]) -> None:
        for label, given in differentiate(first * step).items():
            found = given.float()
            top = found.abs().flatten(1).amax(1)  # NaN or infinity where it overflowed
            found = found / (first * step).view(-1, 1, 1, 1)
            if label in best:
                taken = better(tops[label], top)
                found = torch.where(taken.view(-1, 1, 1, 1), found, best[label])
                top = torch.where(taken, top, tops[label])
            best[label], tops[label] = found, top

    attempt(1, lambda _old, new: new.isfinite())
    for i in range(1, TRIES + 1):
        if bool(torch.stack([top.isfinite().all() for top in tops.values()]).all()):
            break
        attempt(STEP**-i, lambda old, _new: ~old.isfinite())
    for i in range(1, TRIES + 1):
        if not bool(torch.stack([(top < FAINT).any() for top in tops.values()]).any()):
            break
        attempt(STEP**i, lambda old, new: (old < FAINT) & new.isfinite())
    return best
