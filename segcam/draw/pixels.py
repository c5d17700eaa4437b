"""Pictures as pixels, at the photograph's own size: a map over it, and where a prediction hits and misses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segcam.draw import display, given
from segcam.draw.display import Display
from segcam.errors import InputError, shown
from segcam.scoring.grids import Placement, upsample

Grid = tuple[int, int]
Picture = NDArray[np.uint8]
"""`(H, W, 3)`, red, green and blue."""

_SMALLEST = 9  # pixels of the smallest letters that can be read


def overlay(  # noqa: PLR0913  (the optional ones are named where they are given)
    photograph: given.Photograph | None,
    values: given.Values,
    mask: given.Mask | None = None,
    prediction: given.Mask | None = None,
    *,
    placement: Placement | None = None,
    size: Grid | None = None,
    class_id: object = None,
    raw: bool = False,
    upper: float | None = None,
) -> Picture:
    """Draw a map over its photograph, at the photograph's own size.

    The photograph is dimmed and grey. Up to the 99.5th percentile of the map's positive values, colours go from black
    over red to pale yellow, with a gamma of 0.6: `Display.of(values)` has the numbers for a caption. A map that has
    nothing to show is hatched, with the reason in words where they fit.

    >>> photograph = np.full((64, 96, 3), 128, np.uint8)
    >>> picture = overlay(photograph, torch.rand(8, 12), mask=photograph[..., 0] > 0)
    >>> picture.shape, picture.dtype
    ((64, 96, 3), dtype('uint8'))

    Args:
        photograph: the image; None for a black ground.
        values: the map on its layer's grid or on the image's pixels, `(h, w)`; what is negative has no colour. Or in
            words, why there is none.
        mask: the true region; its outline is drawn.
        prediction: the predicted region; its outline is drawn, dashed.
        placement: where the grid lies on the network's input, such as `capture.placements[label]`; None where it is
            stretched over it.
        size: rows and columns of the network's input, where the photograph was resized for it: a placement is in
            pixels of the input.
        class_id: the class, where mask and prediction are class indices.
        raw: linear up to the map's maximum, without percentile and gamma.
        upper: the value with the brightest colour, to show several maps on one scale.

    Returns:
        `(H, W, 3)` uint8, of the photograph's size; without one, of the mask's, or the map's.

    Raises:
        InputError: photograph, map or mask are not as `segcam.draw.given` takes them, or of different sizes; or a
            placement does not reach over the photograph.
    """
    image = None if photograph is None else given.photograph(photograph)
    pixels = given.size_of(image, (mask, prediction), (values,))
    if isinstance(values, str):
        drawn = _without(display.dimmed(image, pixels), values)
    else:
        cells = given.plane(values, "the map")
        how = Display.of(cells, raw=raw, upper=upper)
        if how.reason:
            drawn = _without(display.dimmed(image, pixels), how.reason)
        else:
            if size is None:
                see_spanning(placement, cells, pixels)
            drawn = display.painted(upsampled(cells, pixels, placement, size), how, image)
    for region, what, colour in ((mask, "mask", display.MASK), (prediction, "prediction", display.PREDICTION)):
        if region is not None:
            inside, _ = given.region(region, pixels, what, class_id)
            drawn[_outline(inside, dashed=what == "prediction")] = colour
    return drawn


def see_spanning(placement: Placement | None, cells: NDArray[Any], pixels: Grid) -> None:
    """See that a map `(h, w)` reaches over the network's input of `pixels` rows and columns.

    Raises:
        InputError: its placement does not, or is none.
    """
    if placement is not None and not isinstance(placement, Placement):
        raise InputError(f"placement is {shown(placement)}: a placement is a segcam.scoring.grids.Placement, or None")
    grid = (cells.shape[0], cells.shape[1])
    if placement is not None and not placement.spans(grid, pixels):
        raise InputError(
            f"a map of {grid[0]} x {grid[1]} cells, placed at {placement.origin} by steps of {placement.step}, does "
            f"not span a photograph of {pixels[0]} x {pixels[1]} pixels: where that was resized for the network, say "
            "so, size=(rows, columns) of the input"
        )


def upsampled(
    cells: NDArray[Any], pixels: Grid, placement: Placement | None = None, size: Grid | None = None
) -> NDArray[np.float64]:
    """Return a map `(h, w)` upsampled bilinearly to a photograph of `pixels` rows and columns, where its cells lie.

    A `placement` is in pixels of the network's input, of `size` rows and columns, or of the photograph's.
    """
    if placement is not None and size is not None and size != pixels:
        down, across = pixels[0] / size[0], pixels[1] / size[1]
        (top, left), (one, two) = placement.origin, placement.step
        origin = ((top + 0.5) * down - 0.5, (left + 0.5) * across - 0.5)
        placement = Placement(origin, (one * down, two * across))
    return upsample(torch.from_numpy(cells)[None, None], pixels, placement)[0, 0].numpy()


def errors(
    prediction: given.Mask,
    mask: given.Mask,
    photograph: given.Photograph | None = None,
    *,
    class_id: object = None,
) -> Picture:
    """Draw where a prediction hits (green), misses (blue) and gives a false alarm (orange), over the dimmed photograph.

    Args:
        prediction: the predicted region.
        mask: the true one.
        photograph: the image; None for a black ground.
        class_id: the class, where both are class indices; pixels that the mask ignores (255) are left as they are.

    Returns:
        `(H, W, 3)` uint8; colours are those of `segcam.draw.display.ERRORS`.

    Raises:
        InputError: as `overlay`.
    """
    image = None if photograph is None else given.photograph(photograph)
    pixels = given.size_of(image, (mask, prediction), ())
    true, counts = given.region(mask, pixels, "mask", class_id)
    found, _ = given.region(prediction, pixels, "prediction", class_id)
    return judged(display.dimmed(image, pixels), found, true, counts)


def judged(
    ground: display.Floats,
    prediction: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    counts: NDArray[np.bool_] | None,
) -> Picture:
    """Return a ground with the colours of `ERRORS` where a prediction hits, misses and is a false alarm."""
    drawn = display.to_bytes(ground)
    kinds = {"hit": prediction & mask, "miss": ~prediction & mask, "false alarm": prediction & ~mask}
    for name, where in kinds.items():
        here = where if counts is None else where & counts
        drawn[here] = np.rint(0.7 * np.array(display.ERRORS[name]) + 0.6 * drawn[here]).clip(0, 255)
    return drawn


def _outline(inside: NDArray[np.bool_], *, dashed: bool) -> NDArray[np.bool_]:
    """Return the pixels of a region at its border, a thin line within it; in dashes two fifths of it are left out."""
    width = max(1, round(max(inside.shape) / 400))
    padded = np.pad(inside, width)
    core = inside.copy()
    rows, columns = inside.shape
    for step in range(-width, width + 1):
        core &= padded[width + step : width + step + rows, width : width + columns]
        core &= padded[width : width + rows, width + step : width + step + columns]
    line = inside & ~core
    if dashed:
        down, across = np.ogrid[:rows, :columns]
        length = 2 * width
        line &= (down // length + 2 * (across // length)) % 5 < 3  # no direction of a line is all dash or all gap
    return line


def _without(ground: display.Floats, reason: str) -> Picture:
    """Return a hatched ground with the reason on it, in the largest of a few sizes in which it fits."""
    picture = Image.fromarray(display.to_bytes(display.hatched(ground)))
    draw = ImageDraw.Draw(picture)
    wide, high = picture.size
    for letters in range(max(_SMALLEST, min(high, wide) // 10), _SMALLEST - 1, -1):
        font = ImageFont.load_default(letters)
        text = _wrapped(reason, draw, font, 0.9 * wide)
        left, top, right, bottom = draw.multiline_textbbox((wide / 2, high / 2), text, font, "mm", align="center")
        if right - left <= 0.94 * wide and bottom - top <= 0.9 * high:
            draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), fill=(20, 20, 20))
            draw.multiline_text((wide / 2, high / 2), text, (240, 240, 240), font, "mm", align="center")
            break
    return np.array(picture)


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: Any, most: float) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and draw.textlength(f"{lines[-1]} {word}", font) <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
