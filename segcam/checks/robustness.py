"""Perturbation robustness: how alike a map stays when the image changes as photographs do, by noise, light and blur.

The pixels explained stay those that the target chose in the unchanged image, so that nothing but the map is asked
about. DEA (arXiv 2603.22624, 2026) has an axis of this name beside faithfulness, leakage and time; its formula was not
at hand, and the definition here is ours: kinds, strengths and the three similarities are said where they are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.checks.faithfulness.imputation import blurred
from segcam.checks.faithfulness.orders import undefined
from segcam.checks.faithfulness.outcomes import BATCH
from segcam.errors import InputError, unknown
from segcam.probe.network.inputs import as_images
from segcam.probe.probe import Capture, Probe
from segcam.scoring.agreement import spearman
from segcam.scoring.grids import Placement
from segcam.scoring.reference import Reference, Scenery, pieces
from segcam.streams import normal

Kind = Literal["noise", "brightness", "contrast", "blur"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TOP = 0.1
"""Share of the cells whose overlap is taken."""
Explain = Callable[[Float[Tensor, "n ch H W"], Int[Tensor, " n"]], Mapping[str, Float[Tensor, "n m h w"]]]
"""Images and which of the batch each one is a copy of in; maps of several methods out, by layer label."""


@dataclass(frozen=True, order=True, slots=True)
class Perturbation:
    """A change of images that leaves what they show.

    With the mean `u` and the deviation `s` of an image over pixels and channels, where there is a picture:

    - 'noise': `x + strength * s * e`, e normal;
    - 'brightness': `x + strength * s`;
    - 'contrast': `u + (1 - strength) (x - u)`, which keeps the mean;
    - 'blur': a Gaussian of `strength` times the shorter side of the picture, of what is no padding.

    Attributes:
        kind: one of `KINDS`.
        strength: as above; of 'brightness' it may be negative.

    Raises:
        InputError: the kind is unknown, or the strength out of range.
    """

    kind: Kind
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("perturbation", self.kind, KINDS)
        fine, wanted = {
            "brightness": (self.strength != 0, "other than 0"),
            "contrast": (0 < self.strength <= 1, "above 0, up to 1"),
        }.get(self.kind, (self.strength > 0, "above 0"))
        if not fine or not math.isfinite(self.strength):
            raise InputError(f"{self.kind} of strength {self.strength:g}: wanted is a number {wanted}")

    def on(
        self,
        images: Float[Tensor, "b ch H W"],
        ids: Sequence[str],
        *,
        valid: Bool[Tensor, "b H W"] | None = None,
        seed: int = 0,
    ) -> Float[Tensor, "b ch H W"]:
        """Return changed images; padding stays as it is.

        Args:
            images: as the network takes them.
            ids: their names, which fix the noise.
            valid: where the pictures are and not the padding around them.
            seed: of the noise.

        Raises:
            InputError: a name an image is not given.
        """
        images = as_images(images)
        if len(images) != len(ids):
            raise InputError(f"{len(images)} images have {len(ids)} names: a name an image is needed")
        inside = torch.ones_like(images[:, :1], dtype=torch.bool) if valid is None else valid[:, None].to(images.device)
        weights = inside.to(images).expand_as(images)
        number = weights.sum((1, 2, 3), keepdim=True).clamp(min=1)
        mean = (images * weights).sum((1, 2, 3), keepdim=True) / number
        deviation = ((images - mean).square() * weights).sum((1, 2, 3), keepdim=True).div(number).sqrt()
        if self.kind == "noise":
            shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
            changed = images + self.strength * deviation * normal(ids, shape, seed, "robustness").to(images)
        elif self.kind == "brightness":
            changed = images + self.strength * deviation
        elif self.kind == "contrast":
            changed = mean + (1 - self.strength) * (images - mean)
        else:
            changed = images.clone()
            for side, rows in _by_side(inside[:, 0]).items():
                reach, own = self.strength * side, weights[rows]
                changed[rows] = blurred(images[rows] * own, reach) / blurred(own, reach).clamp(min=1e-6)
        return torch.where(inside, changed, images)


PERTURBATIONS = (
    *(Perturbation("noise", strength) for strength in (0.05, 0.1, 0.2)),
    *(Perturbation("brightness", strength) for strength in (-0.2, 0.2)),
    Perturbation("contrast", 0.2),
    *(Perturbation("blur", strength) for strength in (0.005, 0.01)),
)
"""What is done where nothing is said: changes that a person would hardly take for another photograph."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike maps stay, map by map.

    Attributes:
        spearman: rank correlation of the cells, `(b, m)`, from -1 to 1.
        cosine: of the cells, `(b, m)`, from 0 to 1 for maps that are not negative.
        top: what the top tenths of the cells share, of all that is in either, `(b, m)`, from 0 to 1.
    """

    spearman: Float[Tensor, "b m"]
    cosine: Float[Tensor, "b m"]
    top: Float[Tensor, "b m"]


def similarity(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], reference: Reference | None = None
) -> Similarity:
    """Compare maps pair by pair; 1 is the same map, up to a factor or, for ranks, up to their order.

    Of padded canvases the picture's cells alone are compared: padding does not change with the picture, and would make
    all maps alike. The top tenth of `n` cells are those with a value above zero that is no less than the
    `ceil(n / 10)`-th largest.

    Args:
        first: maps; what is negative counts as zero.
        second: other maps of the same shape.
        reference: of their grid, which knows where there is padding; None compares all cells.

    Returns:
        NaN where the first map is blank or undefined, or the second one undefined. A second map that is blank has
        nothing in common with the first: all three are 0.

    Raises:
        InputError: they differ in shape, or are no numbers.

    Source: segcam; Spearman's correlation of maps as Adebayo et al., NeurIPS 2018.
    """
    if reference is not None and reference.parts is not None:
        return _by_part(first, second, reference)
    one, other = (torch.where(maps.isnan(), maps, maps.clamp(min=0)) for maps in (first, second))
    gone = ~(other > 0).flatten(2).any(2)
    ranked = spearman(one, other).masked_fill(gone, 0)
    one, other = (_scaled(maps).flatten(2) for maps in (one, other))
    lengths = one.square().sum(2).sqrt() * other.square().sum(2).sqrt()
    cosine = ((one * other).sum(2) / torch.where(lengths > 0, lengths, 1)).clamp(max=1)
    tops = [_top(cells) for cells in (one, other)]
    either = (tops[0] | tops[1]).sum(2)
    top = (tops[0] & tops[1]).sum(2).double() / either.clamp(min=1)
    nothing = undefined(first) | second.isnan().flatten(2).any(2) | second.isinf().flatten(2).any(2)
    return Similarity(
        ranked.masked_fill(nothing, torch.nan),
        cosine.double().masked_fill(nothing, torch.nan),
        top.masked_fill(nothing, torch.nan),
    )


def _by_part(first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], reference: Reference) -> Similarity:
    """Compare maps of each valid rectangle on the cells that lie in it."""
    found = torch.full((3, *first.shape[:2]), torch.nan, dtype=torch.float64, device=first.device)
    for rows, both, _, _ in pieces(torch.cat([first, second.to(first)], 1), reference):
        cut = similarity(both[:, : first.shape[1]], both[:, first.shape[1] :])
        found[:, rows] = torch.stack([cut.spearman, cut.cosine, cut.top]).to(found)
    return Similarity(*found)


def perturbation_robustness(
    images: Float[Tensor, "b ch H W"],
    ids: Sequence[str],
    explain: Explain,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    *,
    valid: Bool[Tensor, "b H W"] | None = None,
    placement: Callable[[str], Placement | None] | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
) -> list[dict[str, Similarity]]:
    """Explain changed images and say how alike their maps are to those of the unchanged ones.

    >>> from torch import nn
    >>> from segcam import Target
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> probe, images = Probe(net, ["0"]), torch.rand(2, 3, 16, 16)
    >>> clean = probe(images, Target(pixels="predicted"))
    >>> explain = with_pixels_kept(probe, clean, lambda capture: {"0": capture.activations["0"].relu()[:, :1]})
    >>> (dimmed,) = perturbation_robustness(images, ["a", "b"], explain, [Perturbation("brightness", -0.1)])
    >>> tuple(dimmed["0"].cosine.shape)
    (2, 1)

    Args:
        images: the network's input.
        ids: their names, which fix the noise.
        explain: makes the maps; `with_pixels_kept` for methods that share one pass. Methods that run the network
            themselves get the images and rows too.
        perturbations: what is done to the images.
        valid: where the pictures are and not the padding around them, a rectangle an image; cells of the padding are
            not compared.
        placement: where the grid of a label's maps lies on the images, asked once they are made; None, or without it,
            where it spans them.
        seed: of the noise.
        batch_size: changed images that are explained at once.

    Returns:
        A dict of similarities by layer label for each perturbation.
    """
    everyone = torch.arange(len(images), device=images.device)
    batches = torch.split(everyone, batch_size)
    clean = [explain(as_images(images)[rows], rows) for rows in batches]
    found = []
    for perturbation in perturbations:
        changed = perturbation.on(images, ids, valid=valid, seed=seed)
        parts = []
        for rows, base in zip(batches, clean, strict=True):
            maps = explain(changed[rows], rows)
            sights = None if valid is None else _sights(valid[rows])
            parts.append(
                {
                    label: similarity(of_label, maps[label], _reference(sights, label, of_label, placement))
                    for label, of_label in base.items()
                }
            )
        joined = {
            label: Similarity(
                *(torch.cat([getattr(part[label], name) for part in parts]) for name in ("spearman", "cosine", "top"))
            )
            for label in parts[0]
        }
        found.append(joined)
    return found


def with_pixels_kept(
    probe: Probe,
    clean: Capture,
    maps_of: Callable[[Capture], Mapping[str, Float[Tensor, "n m h w"]]],
    *,
    valid: Bool[Tensor, "b H W"] | None = None,
) -> Explain:
    """Return what explains copies of images with the pixels that the target chose in the unchanged ones.

    Args:
        probe: network and layers.
        clean: what the probe gave for the unchanged images.
        maps_of: makes the maps of a capture.
        valid: where the pictures are and not the padding around them; see `Probe.many`.
    """

    def explain(images: Float[Tensor, "n ch H W"], rows: Int[Tensor, " n"]) -> Mapping[str, Float[Tensor, "n m h w"]]:
        of_rows = None if valid is None else valid[rows]
        (capture,) = probe.many(images, [clean.target.of(rows)], valid=of_rows, fixed=[clean.explained.of(rows)])
        return maps_of(capture)

    return explain


def _by_side(inside: Bool[Tensor, "b H W"]) -> dict[int, list[int]]:
    """Return the images by the shorter side of their pictures, in pixels; those without a pixel are left out."""
    found: dict[int, list[int]] = {}
    for i, picture in enumerate(inside.cpu()):
        sides = [int(picture.any(axis).sum()) for axis in (0, 1)]
        if min(sides):
            found.setdefault(min(sides), []).append(i)
    return found


def _sights(valid: Bool[Tensor, "b H W"]) -> Scenery:
    """Return what knows where the pictures are, and nothing of what they show."""
    nothing = torch.zeros_like(valid)
    names = tuple(map(str, range(len(valid))))
    return Scenery(torch.zeros(valid.shape, device=valid.device), nothing, nothing, names, valid=valid)


def _reference(
    sights: Scenery | None,
    label: str,
    maps: Float[Tensor, "b m h w"],
    placement: Callable[[str], Placement | None] | None,
) -> Reference | None:
    if sights is None:
        return None
    return sights.on((int(maps.shape[2]), int(maps.shape[3])), placement(label) if placement else None)


def _scaled(maps: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
    """Divide maps by their maxima, so that squares neither over- nor underflow; a blank map stays as it is."""
    most = maps.amax((2, 3), keepdim=True)
    return maps / torch.where(most > 0, most, 1)


def _top(cells: Float[Tensor, "b m n"]) -> Bool[Tensor, "b m n"]:
    """Return the cells of the top tenth that have a value above zero; ties with the last of them count."""
    number = math.ceil(TOP * cells.shape[2])
    least = cells.topk(number, dim=2).values[:, :, -1:]
    return (cells >= least) & (cells > 0)
