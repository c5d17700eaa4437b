"""The one display transform: how a map's values become colours, in the library, the figures and the page.

It needs numpy and Pillow alone: a run is redrawn where there is no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcam.errors import InputError, shown

UPPER = 99.5
"""Percentile of a map's positive values that has the brightest colour: a few cells do not darken all others."""
GAMMA = 0.6
"""The power that shares of the upper end are raised to: below 1, low values are lifted."""
DIMMED = 0.45
"""The brightest that a photograph may be beneath a map, in 0..1."""
MASK = (0, 200, 255)
"""The colour of the true mask's outline, which no map has."""
PREDICTION = (255, 255, 255)
"""The colour of the predicted mask's outline on a map, which is dashed."""
PREDICTED = (230, 60, 200)
"""The tint of the predicted mask on the photograph."""
ERRORS = {"hit": (0, 158, 115), "miss": (86, 180, 233), "false alarm": (213, 94, 0)}
"""Colours of Okabe and Ito, told apart without red-green sight."""

_INFERNO = (
    "00000401010802020e04031407051b0a07220d0829110a30150b37190c3e1e0c45230c4c280b532d0b59320a5e380962"
    "3d0965420a68470b6a4c0c6b510e6c550f6d5a116e5f136e64156e69166e6d186e721a6e771c6d7c1d6d801f6c85216b"
    "8a226a8f24699326679827669d2964a22b62a62d60ab2f5eb0315bb43359b93556bd3853c13a50c63d4dca404ace4347"
    "d24644d54a41d94d3ddd513ae05536e35933e65d2fe9612beb6628ee6a24f06f20f2741cf47918f67e14f78410f8890c"
    "f98e09fa9407fb9906fc9f07fca50afcaa0ffcb014fbb61afbbc21fac228f9c72ff8cd37f7d340f5d949f4df53f3e55d"
    "f2ea69f1ef75f2f482f4f88ef8fb9afcffa4"
)
_ROWS = 256  # of a block
_HATCH = 0.16  # brightness of the stripes where nothing is drawn

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
End = Literal["percentile", "maximum", "given"]
"""Where the upper end comes from."""


def _table() -> Bytes:
    """Return matplotlib's inferno (CC0; Smith, van der Walt and Firing 2015), every third of its colours being kept."""
    kept = np.frombuffer(bytes.fromhex(_INFERNO), np.uint8).reshape(-1, 3).astype(np.float64)
    steps = np.arange(256)
    colours = np.stack([np.interp(steps, 3 * np.arange(len(kept)), channel) for channel in kept.T], axis=1)
    return colours.round().astype(np.uint8)


COLOURS = _table()
"""The colours from zero to the upper end, `(256, 3)`: perceptually uniform, from black over red to pale yellow."""


@dataclass(frozen=True, slots=True)
class Display:
    """How one map is shown: which value has the brightest colour, and how the others follow.

    >>> shown = Display.of(np.array([[0.0, 0.1], [0.5, 1.0]]))
    >>> round(shown.upper, 4), round(shown.share, 4)
    (0.995, 0.995)
    >>> shown.values(np.array([0.0, 0.1, 1.0])).round(2).tolist()
    [0.0, 0.25, 1.0]
    >>> Display.of(np.zeros((2, 2))).reason
    'blank: zero everywhere'

    Attributes:
        upper: the value that has the brightest colour, in the map's unit; what is above looks the same. NaN where
            there is nothing to draw.
        peak: the map's maximum; NaN where there is nothing to draw.
        end: where `upper` comes from.
        gamma: the power that shares of `upper` are raised to; 1 is linear.
        reason: in words, why there is nothing to draw; '' where there is.
    """

    upper: float
    peak: float
    end: End = "percentile"
    gamma: float = GAMMA
    reason: str = ""

    @classmethod
    def of(cls, values: NDArray[Any], *, raw: bool = False, upper: float | None = None) -> Display:
        """Return the display of a map, from its values on its own grid.

        Args:
            values: the map, of any shape; what is negative has the colour of zero.
            raw: linear up to the maximum, without percentile and gamma.
            upper: the value that has the brightest colour, as to show several maps on one scale.

        Raises:
            InputError: `upper` is not a positive number.
        """
        if upper is not None and not (isinstance(upper, Real) and 0 < upper < math.inf):
            raise InputError(
                f"upper is {shown(upper)}: a positive number is needed, such as the largest of the maps' maxima"
            )
        numbers = np.asarray(values, dtype=np.float64)
        end: End = "given" if upper is not None else "maximum" if raw else "percentile"
        gamma = 1.0 if raw else GAMMA
        if reason := _nothing(numbers):
            return cls(math.nan, math.nan, end, gamma, reason)
        peak = float(numbers.max())
        if upper is None:
            upper = peak if raw else float(np.percentile(numbers[numbers > 0], UPPER))
        return cls(float(upper), peak, end, gamma)

    @property
    def share(self) -> float:
        """The upper end over the maximum; NaN where there is nothing to draw."""
        return self.upper / self.peak

    def values(self, values: NDArray[Any]) -> Floats:
        """Return values, on the map's grid or upsampled, as shares of the brightest colour, 0..1.

        Zeros where there is nothing to draw.
        """
        numbers = np.asarray(values, dtype=np.float64)
        if self.reason:
            return np.zeros_like(numbers)
        shares: Floats = np.clip(np.maximum(numbers, 0.0) / self.upper, 0.0, 1.0) ** self.gamma
        return shares

    @property
    def words(self) -> str:
        """The transform in words, for a caption; the reason where there is nothing to draw."""
        return self.reason or in_words([self])


def in_words(displays: Sequence[Display]) -> str:
    """Return how maps are shown, in words for a caption; with where their upper ends are, of the maximum.

    >>> in_words([Display(0.4, 1.0), Display(0.9, 1.0), Display.of(np.zeros(3))])
    "brightest colour: 99.5th percentile of a map's positive values (0.40 to 0.90 of its maximum); gamma 0.6"
    >>> in_words([Display.of(np.array([1.0, 2.0]), raw=True)])
    "brightest colour: a map's maximum; linear"
    """
    drawn = [display for display in displays if not display.reason]
    if not drawn:
        return "no map has a value above zero"
    first, shares = drawn[0], sorted(display.share for display in drawn)
    between = " to ".join(dict.fromkeys((f"{shares[0]:.2f}", f"{shares[-1]:.2f}")))
    ends: dict[End, str] = {
        "percentile": f"{UPPER}th percentile of a map's positive values ({between} of its maximum)",
        "maximum": "a map's maximum",
        "given": f"{first.upper:.3g} ({between} of a map's maximum)",
    }
    power = "linear" if first.gamma == 1 else f"gamma {first.gamma:g}"
    return f"brightest colour: {ends[first.end]}; {power}"


def _nothing(numbers: Floats) -> str:
    """Return why a map cannot be drawn; '' where it can."""
    if not numbers.size:
        return "no map: it has no cell"
    if np.isnan(numbers).any():
        return "undefined: NaN" if np.isnan(numbers).all() else "undefined: some values are NaN"
    if np.isinf(numbers).any():
        return "undefined: infinite values"
    if (numbers > 0).any():
        return ""
    if (numbers < 0).all():
        return "blank: negative everywhere"
    return "blank: no value above zero" if (numbers < 0).any() else "blank: zero everywhere"


def dimmed(photograph: Bytes | None, size: tuple[int, int]) -> Floats:
    """Return what a map is drawn over, `(H, W, 3)` in 0..1: the photograph in dark grey, or black without one."""
    if photograph is None:
        return np.zeros((*size, 3))
    grey = np.asarray(Image.fromarray(photograph).convert("L"), dtype=np.float64) / 255
    return np.broadcast_to(DIMMED * grey[..., None], (*size, 3))


def blended(shares: Floats, ground: Floats) -> Floats:
    """Return shares of the brightest colour, `(H, W)`, over a ground, `(H, W, 3)` in 0..1.

    Colours are added to the ground, which fades where they are bright: nothing gets darker where the map is higher.
    """
    steps = np.rint(255 * shares).astype(np.intp)
    pixels: Floats = np.minimum(COLOURS[steps] / 255 + ground * (1 - shares[..., None]), 1.0)
    return pixels


def painted(values: Floats, how: Display, photograph: Bytes | None) -> Bytes:
    """Return a map on the image's pixels, `(H, W)`, over the dimmed photograph, as bytes: `blended`, block by block."""
    height, width = values.shape
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):  # a photograph of 12 million pixels takes a gigabyte at once
        rows = slice(top, top + _ROWS)
        part = values[rows]
        ground = dimmed(None if photograph is None else photograph[rows], (len(part), width))
        pixels[rows] = to_bytes(blended(how.values(part), ground))
    return pixels


def tinted(picture: Floats, region: NDArray[np.bool_]) -> Floats:
    """Return a picture, `(H, W, 3)` in 0..1, with the tint of the predicted mask on a region."""
    return np.where(region[..., None], 0.65 * picture + 0.35 * np.array(PREDICTED) / 255, picture)


def hatched(ground: Floats) -> Floats:
    """Return a ground with grey stripes from corner to corner, as no map looks: what has no map is drawn so."""
    height, width = ground.shape[:2]
    period = max(6, round(max(height, width) / 16))
    rows, columns = np.ogrid[:height, :width]
    stripes = ((rows + columns) % period < max(1, period // 4))[..., None]
    base = 0.3 + 0.6 * ground
    return np.where(stripes, base + _HATCH, base).clip(0.0, 1.0)


def to_bytes(pixels: Floats) -> Bytes:
    """Return a picture in 0..1 as bytes."""
    return np.rint(255 * pixels).clip(0, 255).astype(np.uint8)
