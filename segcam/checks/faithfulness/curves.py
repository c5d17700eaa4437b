"""Deletion and insertion: how a fixed predicted set fades, or comes back, along an order of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.checks.faithfulness.imputation import filler
from segcam.checks.faithfulness.orders import NO_ORDER, orders_of
from segcam.checks.faithfulness.outcomes import BATCH, OUTCOMES, Subjects, measured
from segcam.errors import InputError, unknown

Kind = Literal["deletion", "insertion"]
KINDS: tuple[Kind, ...] = ("deletion", "insertion")


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of one kind along several orders.

    Attributes:
        kind: 'deletion' (the first pixels go first) or 'insertion' (they come first).
        context: whether only pixels outside the predicted set may go.
        shares: the share of the pixels that may go that is gone (or there) at each point, `(t,)`, 0 to 1.
        values: each outcome over that of the unchanged image, `(b, m, t, 3)`, outcomes as in `OUTCOMES`; NaN where
            there is no order, nothing is predicted in the unchanged image, no pixel may go, or the unchanged image's
            outcome is 0.
    """

    kind: str
    context: bool
    shares: Float[Tensor, " t"]
    values: Float[Tensor, "b m t 3"]

    @property
    def areas(self) -> Float[Tensor, "b m 3"]:
        """The areas under the curves by the trapezium rule, 1 for a curve that stays at the unchanged value."""
        return torch.trapezoid(self.values, self.shares.to(self.values), dim=2)

    def area(self, outcome: str = "probability") -> Float[Tensor, "b m"]:
        """Return the areas of one outcome.

        Raises:
            InputError: it is unknown.
        """
        if outcome not in OUTCOMES:
            raise unknown("outcome", outcome, OUTCOMES)
        return self.areas[..., OUTCOMES.index(outcome)]


def curves(
    subjects: Subjects,
    orders: Int[Tensor, "b m n"],
    kind: Kind = "deletion",
    *,
    context: bool = False,
    steps: int = 10,
    imputation: str = "blur",
    batch_size: int = BATCH,
    seed: int = 0,
) -> Curves:
    """Take pixels away (or bring them back) along orders and see what becomes of the fixed predicted set.

    `S(t) / S(0)` at `t = 0, 1/steps, ..., 1`, with `S(0)` of the unchanged image: in deletion the first `t` of the
    order's pixels are gone, in insertion all but these, so that deletion begins and insertion ends at 1. Deleting
    inside the set is trivially fatal, so `context=True` lets only pixels outside it go: it asks what the network needs
    beside the object itself. With 'noisy_linear', deletion is ROAD's curve of the most relevant first (MoRF);
    insertion, read from its end, is that of the least relevant first (LeRF): the same images.

    Args:
        subjects: network, images and sets.
        orders: all pixels of each image, see `order`, for `m` maps.
        kind: 'deletion' or 'insertion'.
        context: whether the predicted set stays untouched.
        steps: points of the curve beside the first.
        imputation: what stands in the place of pixels gone, see `filler`.
        batch_size: changed images that the network gets at once.
        seed: of the imputation.

    Returns:
        The curves. For deletion lower areas, for insertion higher ones speak for the order.

    Raises:
        InputError: a name is unknown, or there is no step.

    Source: Petsiuk, Das and Saenko, BMVC 2018 (RISE), section 4.1 (deletion, insertion); Rong et al., ICML 2022 (ROAD).
    """
    if kind not in KINDS:
        raise unknown("kind of curve", kind, KINDS)
    orders = orders_of(orders, subjects.chosen)
    if steps < 1:
        raise InputError(f"curves of {steps} steps were asked for: at least 1 is needed")
    fill = filler(subjects.images, subjects.ids, imputation, seed)
    inside = subjects.chosen.flatten(1)
    may = ~inside if context else torch.ones_like(inside)
    counts = _counts(may, steps)
    places = _places(orders, may)
    defined = (orders[..., 0] != NO_ORDER) & (may.any(1) & ~subjects.empty)[:, None]
    intact, none = (0, steps) if kind == "deletion" else (steps, 0)
    jobs = _jobs(defined, steps, none)

    def make(numbers: Int[Tensor, " k"]) -> tuple[Tensor, Tensor]:
        image, which, point = jobs[numbers].unbind(1)
        early = places[image, which] < counts[image, point][:, None]
        gone = early if kind == "deletion" else may[image] & ~early
        return fill(image, gone.view(-1, *subjects.chosen.shape[1:])), image

    results = measured(subjects, len(jobs), make, batch_size)
    values = results.new_full((*defined.shape, steps + 1, len(OUTCOMES)), torch.nan)
    image, which, point = jobs.unbind(1)
    values[image, which, point] = results
    bare = point == none
    values[:, :, none] = values[:, :, none].index_put((image[bare],), results[bare][:, None])
    values[:, :, intact] = subjects.unchanged[:, None]
    unchanged = subjects.unchanged[:, None, None]
    undefined = ~defined[..., None, None] | (unchanged == 0)
    shares = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=values.device)
    return Curves(kind, context, shares, (values / unchanged).masked_fill(undefined, torch.nan))


def _counts(may: Bool[Tensor, "b n"], steps: int) -> Int[Tensor, "b t"]:
    """Return how many pixels are taken at each point: the share of those that may go, to the nearest whole number."""
    at = torch.arange(steps + 1, device=may.device)
    return (may.sum(1)[:, None] * at + steps // 2) // steps


def _places(orders: Int[Tensor, "b m n"], may: Bool[Tensor, "b n"]) -> Int[Tensor, "b m n"]:
    """Return each pixel's place among those that may go, from 0, and `n` for those that may not."""
    pixels = orders.clamp(min=0)
    mobile = may[:, None].expand_as(pixels).gather(2, pixels)
    places = torch.where(mobile, mobile.cumsum(2) - 1, pixels.shape[2])
    return torch.empty_like(pixels).scatter_(2, pixels, places)


def _jobs(there: Bool[Tensor, "b m"], steps: int, none: int) -> Int[Tensor, "k 3"]:
    """Return image, map and point of every changed image: each map's inner points, and once an image all pixels gone.

    With all gone that may go, the order no longer matters; the unchanged image is known already.
    """
    maps = there.nonzero()
    points = torch.arange(1, steps, device=there.device)
    inner = torch.cat([maps.repeat_interleave(len(points), 0), points.repeat(len(maps))[:, None]], 1)
    images = there.any(1).nonzero()[:, 0]
    first = there.int().argmax(1)[images]
    return torch.cat([inner, torch.stack([images, first, torch.full_like(images, none)], 1)])
