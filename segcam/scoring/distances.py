"""How far from an object's outline a map's energy lies, in pixels of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy  # whose parts are imported when they are asked for
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import Numbers
from segcam.errors import InputError, shown
from segcam.precision import in_full_precision
from segcam.scoring.normalise import checked, full
from segcam.scoring.reference import Reference, Scenery, pieces

EDGES = (-32.0, -16.0, -8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Where rings end, in pixels from the outline, negative inside: each twice as far as the last. The first and the last
ring have no other end."""


def outline_distances(scenery: Scenery) -> Float[Tensor, "b H W"]:
    """Return each pixel's distance from the outline of the foreground, in pixels: negative inside.

    Outside it is the distance of the pixel's centre from that of the nearest foreground pixel, less a half; inside, the
    distance from the nearest pixel that is not foreground, less a half, with a minus. So the outline lies halfway
    between the two, and no pixel has 0. The trimap's border takes part as what is not foreground. The frame of the
    image, or of its valid part, is no outline.

    Returns:
        Distances in the luminance's dtype; NaN in the padding, and throughout where there is no outline: no foreground,
        or nothing else.

    >>> row = torch.tensor([[[False, True, True, True, False, False]]])
    >>> outline_distances(Scenery(torch.zeros(1, 1, 6), row, ~row, ("a",)))[0, 0].tolist()
    [0.5, -0.5, -1.5, -0.5, 0.5, 1.5]
    """

    def make() -> Float[Tensor, "b H W"]:
        found = torch.full(scenery.foreground.shape, torch.nan, dtype=torch.float64)
        masks = scenery.foreground.cpu().numpy()
        for i, (top, bottom, left, right) in enumerate(scenery.boxes):
            inside = masks[i, top:bottom, left:right]
            if inside.any() and not inside.all():
                distance = scipy.ndimage.distance_transform_edt
                away = np.where(inside, 0.5 - distance(inside), distance(~inside) - 0.5)
                found[i, top:bottom, left:right] = torch.from_numpy(away)
        return found.to(scenery.luminance.device, scenery.luminance.dtype)

    return scenery.once("outline distances", make)


def ring_edges(given: object) -> tuple[float, ...]:
    """Return the edges of rings as numbers.

    Raises:
        InputError: there is none, or they do not rise.
    """
    try:
        edges = tuple(float(edge) for edge in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        edges = ()
    rising = all(one < two for one, two in pairwise(edges))
    if not edges or not all(map(math.isfinite, edges)) or not rising:
        raise InputError(
            f"edges are {shown(given)}: rising distances from the outline in pixels, negative inside, are needed, such "
            "as (-8, 0, 8)"
        )
    return edges


def distance_rings(scenery: Scenery, edges: Sequence[float] = EDGES) -> Bool[Tensor, "b k H W"]:
    """Return the pixels of each ring about the outline: `k` is one more than there are edges.

    Ring 0 holds the pixels of at most `edges[0]`, ring n those above `edges[n - 1]` and up to `edges[n]`, the last one
    all beyond; see `outline_distances`. Pixels that belong to neither side, as the trimap's border, are in no ring, and
    images without an outline have none.

    Raises:
        InputError: the edges do not rise.
    """
    places = outline_distances(scenery)
    ends = torch.tensor(ring_edges(edges), dtype=places.dtype, device=places.device)
    number = torch.bucketize(places, ends)
    counted = scenery.sides & ~places.isnan()
    every = torch.arange(len(ends) + 1, device=places.device)
    return (number[:, None] == every.view(-1, 1, 1)) & counted[:, None]


@in_full_precision
def half_distances(maps: Numbers, reference: Reference) -> Float[Tensor, "b m"]:
    """Return how far from the outline one must go for half of the energy that lies outside, in pixels.

    The smallest distance d for which the background pixels at most d from the outline hold at least half of the energy
    of all background pixels: `min { d : sum_{B, dist <= d} L >= 1/2 sum_B L }`. L is the map upsampled bilinearly to
    the image, distances are those of `outline_distances`. What lies inside, or on what masks ignore, plays no part.

    Args:
        maps: non-negative maps on the reference's grid, `(b, m, h, w)`.
        reference: what they are measured against.

    Returns:
        Pixels, above 0; of a uniform map the median distance of the background's pixels. NaN for a blank or undefined
        map, where no energy lies outside, and for images without an outline.

    Raises:
        InputError: the maps are not as metrics take them.

    Source: segcam.
    """
    maps = checked(maps, reference)
    scenery = reference.scenery
    halves = torch.full(maps.shape[:2], torch.nan, dtype=reference.dtype, device=maps.device)
    for images, cut, part, (counted, places) in pieces(maps, reference, scenery.background, outline_distances(scenery)):
        energy = full(cut, part)
        for n, image in enumerate(images):
            pixels = counted[n]
            away, order = places[n][pixels].sort()
            if len(away):
                halves[image] = _half(energy[n][:, pixels][:, order].double(), away)
    return halves


def _half(energy: Float[Tensor, "m n"], away: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    """Return the weighted median of rising distances, the lower one; NaN where there is no weight or it is NaN."""
    sums = energy.cumsum(1)
    total = sums[:, -1:]
    first = (sums >= total / 2 * (1 - 1e-9)).int().argmax(1)  # up to rounding
    return away[first].masked_fill(~(total[:, 0] > 0), torch.nan)
