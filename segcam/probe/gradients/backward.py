"""Backward: the gradients of what targets explain by the outputs of layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError, first_line
from segcam.probe.gradients import local_gradients, scaling
from segcam.probe.layouts import Layout
from segcam.probe.targets import Explained

Key = TypeVar("Key", bound=Hashable)
"""What outputs are known by: the labels of layers, the places of attention matrices."""


def gradients(
    explained: Explained,
    outputs: Mapping[Key, Tensor],
    layouts: Mapping[Key, Layout],
    *,
    keep: bool,
    locally: bool,
) -> dict[Key, Float[Tensor, "b c h w"]]:
    """Return the gradients of the scores by the outputs that lead to them, laid on the layers' grids.

    Args:
        explained: the scores, with their graph.
        outputs: what the layers gave.
        layouts: how it is laid out.
        keep: the graph, for another backward pass.
        locally: leave out the zeros around a few pixels' gradients.
    """
    if not scaling.through_float16(explained.scores):
        return on_grids(_backward(explained, outputs, keep=keep, locally=locally), layouts)

    def differentiate(factors: Tensor) -> dict[Key, Tensor]:
        scaled = replace(explained, scores=explained.scores * factors)
        return on_grids(_backward(scaled, outputs, keep=True, locally=locally), layouts)

    return scaling.gradients(differentiate, explained.pixels)


def on_grids(outputs: Mapping[Key, Tensor], layouts: Mapping[Key, Layout]) -> dict[Key, Float[Tensor, "b c h w"]]:
    """Return what layers gave, or its gradients, as feature maps without a graph."""
    return {label: layouts[label].maps(output.detach()) for label, output in outputs.items()}


def _backward(explained: Explained, outputs: Mapping[Key, Tensor], *, keep: bool, locally: bool) -> dict[Key, Tensor]:
    """Return the gradients of the scores by the outputs; `keep` the graph where it is needed again."""
    score, tensors = explained.scores.sum(), list(outputs.values())
    if not tensors or not score.requires_grad:
        return {}
    try:
        if locally:
            found: Sequence[Tensor | None] = local_gradients.grad(score, tensors, keep)
        else:
            found = torch.autograd.grad(score, tensors, retain_graph=keep, allow_unused=True)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise ProbeError(
            "the network overwrites in place what its own gradient needs, and could not be trained either: build its "
            f"activations with inplace=False ({first_line(error)})"
        ) from error
    return {label: one for label, one in zip(outputs, found, strict=True) if one is not None}
