"""Several metrics of the same maps, and the scaling that all of them begin with."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from segcam.arrays import Numbers, real
from segcam.errors import InputError
from segcam.scoring.reference import Reference

BLOCK = 2**19
"""How many numbers to measure at once on a processor: with temporaries of more, its memory sets the pace."""


def unit(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m h w"]:
    """Divide each map by its maximum and give it the reference's dtype, so that no scale can over- or underflow.

    Returns:
        Maps with maximum 1; a blank map is NaN throughout, a map that holds NaN or infinity holds NaN. They may be
        shared with other metrics: do not write into them.

    Raises:
        InputError: see `checked`.
    """
    maps = checked(maps, reference)

    def make() -> Float[Tensor, "b m h w"]:
        # Division first: a float64 map of 1e-300 would be blank in float32.
        wide = maps.to(torch.promote_types(maps.dtype, reference.dtype))
        return (wide / tops(maps, reference).to(wide.dtype)[:, :, None, None]).to(reference.dtype)

    return reference.shared("unit", maps, make)


def tops(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return each map's maximum.

    Raises:
        InputError: a map has negative values.
    """

    def make() -> Float[Tensor, "b m"]:
        flat = maps.flatten(2)
        refuse_negative(flat.amin(2), "scored")
        return flat.amax(2)  # apart: aminmax takes many times as long as both

    return reference.shared("tops", maps, make)


def refuse_negative(lowest: Float[Tensor, "b m"], done: str) -> None:
    """Raise InputError where the lowest value of a map is negative; `done` is what is done with maps here."""
    if bool((lowest < 0).any()):
        raise InputError(
            f"a map holds {float(lowest[lowest < 0].min()):g}: maps are {done} by what speaks for the target, so take "
            "their positive part, maps.clip(min=0), or, where size alone counts, abs(maps)"
        )


def checked(maps: Numbers, reference: Reference) -> Float[Tensor, "b m h w"]:
    """Return maps as metrics take them: float32 or float64, on the reference's device, not negative.

    Maps that are so already are returned themselves, so that metrics can share what they derive from them.

    Args:
        maps: numbers of any kind; see `segcam.arrays.real`.
        reference: what they are measured against.

    Raises:
        InputError: they are no numbers, negative, or not on the reference's grid or of its images.
    """
    if not isinstance(reference, Reference):
        raise InputError(
            f"maps are measured against a Reference, not a {type(reference).__name__}: take Scenery.of(batch).on(grid)"
        )
    tensor = real(maps, "maps")
    if tensor.ndim != 4:
        raise InputError(
            f"maps are {tuple(tensor.shape)}: (images, maps, h, w) is needed; for one map an image maps[:, None]"
        )
    b, _, h, w = tensor.shape
    if (h, w) != reference.grid or b != len(reference.ids):
        rows, columns = reference.grid
        cure = f"ask the scenery for the maps' own grid: scenery.on(({h}, {w}))"
        if tuple(tensor.shape) == (len(reference.ids), *reference.grid, 1):
            cure = "the maps' channel lies last: give maps[None, ..., 0].swapaxes(0, 1)"
        elif (w, h) == reference.grid and b == len(reference.ids):
            cure = "rows come before columns: give maps.swapaxes(2, 3), if that is what they are"
        raise InputError(
            f"maps of {b} images on a {h} x {w} grid, but the reference has {len(reference.ids)} images on "
            f"{rows} x {columns}; {cure}"
        )
    tensor = tensor.to(reference.device)
    tops(tensor, reference)
    return tensor


def full(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m H W"]:
    """Return `unit(maps, reference)` upsampled bilinearly to the images, for metrics that need every pixel.

    They may be shared with other metrics: do not write into them.
    """

    def make() -> Float[Tensor, "b m H W"]:
        cells = unit(maps, reference)
        if reference.pixelwise:
            return cells
        down, across = reference.upsampling
        return down @ (cells @ across.T)

    return reference.shared("full", maps, make)


def ascending(values: Num[Tensor, "*rows n"]) -> Num[Tensor, "*rows n"]:
    """Sort each row; on a processor with numpy, whose sort there is some twenty times faster than torch's."""
    if values.is_cpu:
        return torch.from_numpy(np.sort(values.numpy(force=True), -1))
    return values.sort(-1).values


def highest(
    values: Float[Tensor, "*rows n"], count: int, noise: Float[Tensor, "*rows 1"] | float
) -> Float[Tensor, "*rows n"]:
    """Return 1 for the `count` highest values of each row and 0 for others; those tied for the last places share them.

    Values within `noise` of the last place's are tied with it: what ties but for rounding is else chosen by rounding.
    On a processor numpy finds the value of the last place, several times faster than torch.
    """
    if values.is_cpu:
        place = values.shape[-1] - count
        last = torch.from_numpy(np.partition(values.numpy(force=True), place, -1)[..., place, None])
    else:
        last = values.topk(count, -1).values[..., -1:]
    above = (values > last + noise).to(values.dtype)
    tied = (values >= last - noise).to(values.dtype) - above
    return above + tied * ((count - above.sum(-1, keepdim=True)) / tied.sum(-1, keepdim=True))


def log2_(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Take the binary logarithm in place; on a processor with numpy, which is some three times faster than torch."""
    if values.is_cpu:
        array = values.numpy(force=True)
        np.log2(array, out=array)
        return values
    return values.log2_()
