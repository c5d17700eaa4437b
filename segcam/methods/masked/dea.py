"""DEA after its abstract: what hiding a cell of the image takes from the score, more where the gradient agrees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.masked.cells import CELLS, check, map_of, score_designs
from segcam.methods.material.channels import activations_of
from segcam.methods.material.pair import Pair, in_reach, over_channels
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer
from segcam.scoring.grids import to_grid


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["cells"]) ** 2 + 1


@method("run", label="DEA (after its abstract)", family="cam", passes=_passes, all_layers=True, least={"cells": 1})
def dea(subject: Subject, layer: Layer, cells: int = CELLS) -> Float[Tensor, "b h w"]:
    """Fall of the score when a cell of the image is hidden, more where the gradient agrees; after DEA's abstract.

    `L = c (1 + g) / 2`, both in 0..1. A reconstruction: the paper's equations were not at hand. The words of its
    abstract are that Dual-Evidence Attribution "fuses gradient evidence with region-level intervention signals through
    agreement-weighted fusion", and that it "increases emphasis where both sources agree and retains causal support when
    gradient responses are unstable". A digest of the paper adds that the gradient evidence is gradient times
    activation, normalised, and that interventions mask the cells of a fixed grid with the image's mean. **The formula
    is ours**, and so are the number of cells and how they are laid on a layer:

    - `g = sum_k ReLU(G_k A_k)` over its maximum in the layer, 0 where there is none;
    - `c = ReLU(y - y_r)` over its maximum, `y` the score of the image and `y_r` that with cell r of `cells x cells` set
      to the image's mean colour; laid on the pixels bilinearly, averaged onto the layer's grid.

    So where both agree the emphasis is full. Where the gradient says nothing, half of what hiding shows stays. What no
    hidden cell confirms goes, whatever the gradient. The mean is that of the input as the network gets it, padding
    included; the grid is stretched over the image. The passes with hidden cells serve all layers of a target.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, in 0..1, without a unit; zero everywhere (blank) where no hidden cell
        lowers the score by more than its rounding; NaN for images whose pixel set is empty.

    Raises:
        InputError: the input has fewer pixels than cells a side.

    Source: after the abstract of Sakib, Aranya, Desai, Zhang, Toward Faithful Segmentation Attribution via Benchmarking
    and Dual-Evidence Fusion (DEA), arXiv 2603.22624; the formula: segcam.
    """
    check(cells, subject)
    hidden = subject.once(f"support of {cells} cells a side", lambda: map_of(subject, _support(subject, cells)))
    activations = activations_of(subject, layer)
    evidence = Pair(activations, subject.capture.gradients[layer.label]).product.relu()
    agreement, _ = in_reach(over_channels(evidence))
    grid = (int(activations.shape[2]), int(activations.shape[3]))
    support = to_grid(hidden[:, None], grid)[:, 0]
    return support * (1 + agreement) / 2


def _support(subject: Subject, cells: int) -> Float[Tensor, "b d"]:
    """Return how much the score falls when each cell is hidden, positive part over its maximum; 0 where it never does.

    Falls no larger than the scores' rounding are none.
    """
    images = subject.images
    one_hidden = 1 - torch.eye(cells**2 + 1, cells**2, device=images.device)  # the last design hides nothing
    means = images.mean((2, 3), keepdim=True, dtype=torch.promote_types(images.dtype, torch.float32))
    scores = score_designs(subject, one_hidden.expand(len(images), -1, -1), means)
    falls = scores[:, -1:] - scores[:, :-1]
    rounding = 8 * torch.finfo(scores.dtype).eps * scores.abs().amax(1, keepdim=True)
    return in_reach(falls.masked_fill(falls <= rounding, 0))[0]
