"""HSIC: how strongly the score depends on whether a cell of the input is seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.masked.cells import CELLS, check, map_of, on_device, score_designs
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer

MASKS = 500


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["masks"])


@method(
    "run",
    label="HSIC",
    family="perturbation",
    scope="input",
    needs_gradients=False,
    passes=_passes,
    least={"masks": 2, "cells": 1},
)
def hsic(subject: Subject, _layer: Layer, masks: int = MASKS, cells: int = CELLS) -> Float[Tensor, "b H W"]:
    """Dependence of the score on whether each of the input's cells is seen.

    `HSIC_k = tr(K_k H L H) / (n - 1)^2` over n masks, `H` the centring matrix. The input has `cells x cells` cells.
    Each is seen in half of the masks, at random and apart from the others, and is the input's zero in the rest. `K_k`
    is 1 for two masks that treat cell k alike and else 0; `L = exp(-(f_i - f_j)^2 / (2 s^2))` of the scores, with s the
    median distance of two of them. It is 0 where the score does not depend on the cell at all, whichever way.

    Masks are fixed by the scenery's seed and the image's name. The numbers are laid on the pixels bilinearly. Xplique
    takes the median of the scores themselves for s, which does not do for logits, whose zero means nothing.

    Returns:
        `HSIC` on the input's pixels, `(b, H, W)`, not negative, without a unit; zero everywhere (blank) where the score
        does not vary; NaN for images whose pixel set is empty.

    Raises:
        InputError: there are fewer than 2 masks, or the input has fewer pixels than cells a side.

    Source: Novello, Fel, Vigouroux, NeurIPS 2022 (Making Sense of Dependence), binary masks and their kernel; HSIC:
    Gretton et al., ALT 2005, the empirical HSIC; the width of the scores' kernel: segcam.
    """
    if masks < 2:
        raise InputError(f"masks is {masks}: a dependence needs 2 or more")
    check(cells, subject)
    drawn = [draw(np.random.default_rng(subject.seed(i)), masks, cells**2) for i in range(len(subject.images))]
    seen = on_device(subject, drawn)
    scores = score_designs(subject, seen)
    # H K H is 2 z z^T with z the centred column of a cell, so that no matrix a cell is needed.
    kept = seen.to(scores.dtype)
    centred = kept - kept.mean(1, keepdim=True)
    numbers = 2 * (centred * (_alike(scores) @ centred)).sum(1) / (masks - 1) ** 2
    flat = scores.amax(1) - scores.amin(1) <= 8 * torch.finfo(scores.dtype).eps * scores.abs().amax(1)
    numbers = numbers.clamp(min=0).masked_fill(flat[:, None], 0)
    return map_of(subject, numbers)


def _alike(scores: Float[Tensor, "b n"]) -> Float[Tensor, "b n n"]:
    """Return the kernel of the scores; their width is the median distance of two."""
    distances = (scores[:, :, None] - scores[:, None]).abs()
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], 1, device=scores.device)
    pairs = distances[:, first, second].sort(1).values
    half = pairs.shape[1] // 2
    width = (pairs[:, half] + pairs[:, pairs.shape[1] - half - 1]) / 2
    # More than half of the pairs may be equal: then the others decide.
    width = torch.where(width > 0, width, pairs.mean(1)).clamp(min=torch.finfo(scores.dtype).tiny)
    return (-(distances / width[:, None, None]).square() / 2).exp()


def draw(random: np.random.Generator, masks: int, cells: int) -> NDArray[np.bool_]:
    """Draw `(masks, cells)`: each cell is seen in half of the masks, one more where they are odd."""
    seen: NDArray[np.bool_] = random.permuted(np.repeat(np.arange(masks)[:, None], cells, 1), axis=0) % 2 == 0
    return seen
