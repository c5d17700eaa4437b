"""Channels: which of a layer's are examined on a budget, and how a layer's output is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from jaxtyping import Float, Int
from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import InputError
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer

BUDGET = 32
"""Channels of a layer that are examined where nothing else is said."""

WIDEST = 1024
"""Channels that `passes` counts for a budget of 'all', which is each layer's own number: those of the widest layer of
U-Net at its paper's width and of SegFormer-B0."""


def activations_of(subject: Subject, layer: Layer) -> Float[Tensor, "b c h w"]:
    """Return a captured layer's activations, float32 or wider."""
    return at_least_float32(subject.capture.activations[layer.label])


def choose(activations: Float[Tensor, "b c h w"], budget: int) -> Int[Tensor, "b k"]:
    """Choose each image's channels whose activations vary most over the image; no gradient is asked.

    The rule is the largest standard deviation over positions: a channel that is the same everywhere adds a constant to
    a map and shows no place. Of equals the first come first.

    Args:
        activations: `A`, a layer's output.
        budget: how many; 0 for all. A layer with fewer channels gives all it has.

    Returns:
        The channels' indices, the most varied first.

    Raises:
        InputError: the budget is negative.
    """
    if budget < 0:
        raise InputError(f"the budget is {budget} channels: it must be 1 or more, or 0 for all")
    deviation = activations.flatten(2).std(2, unbiased=False)
    order = deviation.argsort(dim=1, descending=True, stable=True)
    return order[:, : budget or None]


def spread(
    values: Float[Tensor, "b k"], indices: Int[Tensor, "b k"], activations: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c"]:
    """Return weights for all channels: the values for those chosen, 0 for the others."""
    weights = activations.new_zeros(activations.shape[:2])
    return weights.scatter_(1, indices, values.to(weights.dtype))


def passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    """Return how many forward passes a budget costs at most, for one layer and target."""
    return int(parameters["channels"]) or WIDEST


@contextmanager
def editing(module: nn.Module, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass on `edit(output)` in place of what a module gives; of a tuple its first part.

    `edit` must not write into its argument, which other branches may use.
    """

    def hook(_module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, tuple):
            assert isinstance(output, Tensor)  # the probe read it
            return edit(output)
        outputs = (edit(output[0]), *output[1:])
        return type(output)._make(outputs) if hasattr(output, "_make") else outputs

    # First, so that hooks of the network's own, which some use to collect features, get what is passed on.
    handle = module.register_forward_hook(hook, prepend=True)
    try:
        yield
    finally:
        handle.remove()
