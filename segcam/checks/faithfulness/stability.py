"""Max-sensitivity: how much a map changes under noise too small to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.checks.faithfulness.orders import undefined
from segcam.checks.faithfulness.outcomes import BATCH
from segcam.errors import InputError
from segcam.probe.network.inputs import as_images
from segcam.probe.probe import Capture, Probe
from segcam.streams import uniform

MapsOf = Callable[[Capture], Mapping[str, Float[Tensor, "b m h w"]]]
"""A capture in, the maps of several methods out, by layer label, each on its layer's own grid."""


@dataclass(frozen=True)
class Noise:
    """Noise uniform in a ball of the maximum norm.

    Attributes:
        draws: noisy copies of each image.
        radius: of the ball, as a share of the image's standard deviation.
        seed: of the draws, which the images' names fix too.

    Raises:
        InputError: no draw, or a radius that is not positive.
    """

    draws: int = 8
    radius: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.radius <= 0:
            raise InputError(
                f"{self.draws} draws of radius {self.radius}: at least 1 draw and a positive radius are needed"
            )

    def on(self, images: Float[Tensor, "b ch H W"], ids: Sequence[str]) -> Float[Tensor, "k b ch H W"]:
        """Return noisy copies of images, `k = draws` of each."""
        images = as_images(images)
        if len(images) != len(ids):
            raise InputError(f"{len(images)} images have {len(ids)} names: a name an image is needed")
        shape = (self.draws, int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
        deviation = images.flatten(1).std(1, unbiased=False).view(-1, 1, 1, 1)
        drawn = uniform(ids, shape, self.seed, "max-sensitivity").to(images)
        return images + drawn.transpose(0, 1) * (self.radius * deviation)


@dataclass(frozen=True, eq=False)
class MaxSensitivity:
    """The largest relative change of each map under small noise.

    Attributes:
        frozen: with the target's pixels kept from the clean image, by layer label, `(b, m)`.
        repicked: with the pixels chosen again in each noisy image.
    """

    frozen: Mapping[str, Float[Tensor, "b m"]]
    repicked: Mapping[str, Float[Tensor, "b m"]]


def max_sensitivity(  # noqa: PLR0913  (the optional ones are named where they are given)
    probe: Probe,
    images: Float[Tensor, "b ch H W"],
    clean: Capture,
    maps_of: MapsOf,
    ids: Sequence[str],
    *,
    masks: Int[Tensor, "b H W"] | None = None,
    valid: Bool[Tensor, "b H W"] | None = None,
    noise: Noise | None = None,
    batch_size: int = BATCH,
) -> MaxSensitivity:
    """Explain noisy copies of the images and return how far the maps stray from the clean images' at most.

    `max_k ||L(x + e_k) - L(x)|| / ||L(x)||`, Euclidean norms over the layer's grid, e_k uniform in the ball
    `|e| <= radius std(x)` of the maximum norm. Once the pixels explained are those that the target chose in the clean
    image, once they are chosen again: the difference is what a wandering best pixel adds. A pass of `batch_size` noisy
    images serves all layers and methods.

    Args:
        probe: network and layers.
        images: its input.
        clean: what the probe gave for the images; its target and pixels are what is explained. A target that looks at
            true classes chooses the same pixels in noisy images, so that both numbers are the same.
        maps_of: makes the maps of a capture.
        ids: the images' names, which fix the noise.
        masks: the true class of each pixel, for targets that look at it.
        valid: where the pictures are and not the padding around them; see `Probe.many`.
        noise: how much of it, and how often; `Noise()` unless given.
        batch_size: noisy images in a pass.

    Returns:
        0 for maps that noise does not change. NaN where the clean map is blank or undefined, or a noisy one undefined,
        as where nothing is predicted any more.

    Source: Yeh et al., NeurIPS 2019, definition 3.1 (by Monte Carlo), relative to the clean map's norm.
    """
    noise = noise or Noise()
    base = maps_of(clean)
    copies = noise.on(images, ids).flatten(0, 1)
    rows = torch.arange(len(images), device=images.device).repeat(noise.draws)
    batches: list[dict[str, tuple[Tensor, Tensor]]] = []
    for batch, batch_rows in zip(torch.split(copies, batch_size), torch.split(rows, batch_size), strict=True):
        batches.append(_compared(probe, batch, clean, base, maps_of, batch_rows, (masks, valid)))
    largest: list[dict[str, Tensor]] = [
        {
            label: torch.cat([changes[label][side] for changes in batches]).view(noise.draws, len(images), -1).amax(0)
            for label in base
        }
        for side in (0, 1)
    ]
    return MaxSensitivity(*largest)


def _compared(
    probe: Probe,
    batch: Float[Tensor, "n ch H W"],
    clean: Capture,
    base: Mapping[str, Float[Tensor, "b m h w"]],
    maps_of: MapsOf,
    rows: Int[Tensor, " n"],
    regions: tuple[Int[Tensor, "b H W"] | None, Bool[Tensor, "b H W"] | None],
) -> dict[str, tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]]:
    """Return how far the maps of one batch stray, with the clean images' pixels and with those chosen again.

    Where they are the same pixels, so are the maps: only the others take a second pass.
    """
    pixels, target = clean.explained, clean.target.of(rows)
    masks, valid = (None if region is None else region[rows] for region in regions)
    free = probe(batch, target, masks=masks, valid=valid)
    repicked = {label: _strayed(base[label][rows], maps) for label, maps in maps_of(free).items()}
    moved = (free.explained.chosen != pixels.chosen[rows]).flatten(1).any(1).nonzero()[:, 0]
    frozen = {label: values.clone() for label, values in repicked.items()}
    if len(moved):
        moved_rows = rows[moved]
        (still,) = probe.many(batch[moved], [target.of(moved)], fixed=[pixels.of(moved_rows)])
        for label, maps in maps_of(still).items():
            frozen[label][moved] = _strayed(base[label][moved_rows], maps)
    return {label: (frozen[label], repicked[label]) for label in base}


def _strayed(maps: Float[Tensor, "n m h w"], changed: Float[Tensor, "n m h w"]) -> Float[Tensor, "n m"]:
    """Return the relative distance of changed maps; NaN for a blank or undefined map, and an undefined changed one."""
    scale = maps.abs().amax((2, 3), keepdim=True)  # so that squares neither over- nor underflow
    one, other = (maps / scale).flatten(2), (changed / scale).flatten(2)
    change = (other - one).square().sum(2).sqrt() / one.square().sum(2).sqrt()
    return change.masked_fill(undefined(maps), torch.nan)
