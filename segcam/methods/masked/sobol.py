"""Sobol: the share of the score's variance in which a cell of the input takes part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy  # whose parts are imported when they are asked for
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.masked.cells import CELLS, check, map_of, on_device, score_designs
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer

DESIGNS = 16


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["designs"]) * (int(parameters["cells"]) ** 2 + 1)


@method(
    "run",
    label="Sobol",
    family="perturbation",
    scope="input",
    needs_gradients=False,
    passes=_passes,
    least={"designs": 2, "cells": 1},
)
def sobol(subject: Subject, _layer: Layer, designs: int = DESIGNS, cells: int = CELLS) -> Float[Tensor, "b H W"]:
    """Total Sobol indices of the input's cells: the share of the score's variance that each takes part in.

    `ST_k = sum_j (f(A_j) - f(C_kj))^2 / (2 N V)`, `V` the variance of `f(A)`. The input has `cells x cells` cells, of
    each of which a share between 0 (the input's zero) and 1 is seen. `A` and `B` are N quasi-random designs of these
    shares (`designs`, best a power of two), and `C_k` is `A` with the shares of cell k from `B`. So an index counts
    what a cell does alone and with others, for the class or against it.

    The designs are a Sobol sequence, scrambled by the scenery's seed and the image's name. `f(B)` plays no part in the
    estimator and is not computed. The indices are laid on the pixels bilinearly.

    Returns:
        `ST` on the input's pixels, `(b, H, W)`, not negative, shares of variance; zero everywhere (blank) where the
        score does not vary; NaN for images whose pixel set is empty.

    Raises:
        InputError: there are fewer than 2 designs, or the input has fewer pixels than cells a side.

    Source: Fel et al., NeurIPS 2021 (Look at the Variance), Jansen's estimator of total indices; scrambling: segcam.
    """
    if designs < 2:
        raise InputError(f"designs is {designs}: a variance needs 2 or more")
    check(cells, subject)
    drawn = [draw(subject.seed(i), designs, cells**2) for i in range(len(subject.images))]
    shares = on_device(subject, drawn)
    scores = score_designs(subject, shares).view(-1, cells**2 + 1, designs)
    unmixed, mixed = scores[:, :1], scores[:, 1:]
    variance = unmixed.var(2)
    indices = (unmixed - mixed).square().sum(2) / (2 * designs * variance)
    # Differences no larger than the scores' rounding are none.
    rounding = (8 * torch.finfo(scores.dtype).eps * scores.abs().amax((1, 2))).square()[:, None]
    indices = indices.masked_fill(variance <= rounding, 0)
    return map_of(subject, indices)


def draw(seed: int, designs: int, cells: int) -> NDArray[np.float64]:
    """Draw `A`, then each `C_k`: `((cells + 1) * designs, cells)` shares in 0..1."""
    sequence = scipy.stats.qmc.Sobol(2 * cells, scramble=True, rng=np.random.default_rng(seed))
    points = sequence.random_base2(max(0, (designs - 1).bit_length()))[:designs]
    first, second = points[:, :cells], points[:, cells:]
    mixed = np.repeat(first[None], cells, 0)
    for cell in range(cells):
        mixed[cell, :, cell] = second[:, cell]
    return np.concatenate([first[None], mixed]).reshape(-1, cells)
