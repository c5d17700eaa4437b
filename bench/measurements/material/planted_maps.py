"""Planted attributions: fields at the image's resolution whose share on the evidence is known, in eleven steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy  # whose parts are imported when they are asked for
from numpy.typing import NDArray

from segcam.streams import generators

Field = NDArray[np.float64]
STEPS = 11
"""From the evidence alone to none of it."""
WIDEST = 0.25
"""Standard deviation of the widest blur, as a share of the image's side."""


def displacement(evidence: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the cyclic shift, rows and columns, that takes a region furthest off itself.

    That is the one with least overlap; of several, the longest, where the image's ends meet.
    """
    spectrum = np.fft.rfft2(evidence.astype(np.float64))
    overlap = np.round(np.fft.irfft2(spectrum * spectrum.conj(), evidence.shape))
    sides = [np.minimum(np.arange(side), side - np.arange(side)) for side in evidence.shape]
    length = np.hypot(*np.meshgrid(*sides, indexing="ij"))
    row, column = np.unravel_index(np.where(overlap == overlap.min(), length, -1.0).argmax(), evidence.shape)
    return int(row), int(column)


def _mixed(evidence: Field, other: Field) -> list[Field]:
    """Mix two fields of energy 1 in equal steps, from the first to the second."""
    return [(1 - part) * evidence + part * other for part in np.linspace(0, 1, STEPS)]


def _noise(evidence: NDArray[np.bool_], generator: np.random.Generator) -> list[Field]:
    return _mixed(_unit(evidence), _unit(generator.random(evidence.shape)))


def _distractor(evidence: NDArray[np.bool_], _: np.random.Generator) -> list[Field]:
    return _mixed(_unit(evidence), _unit(np.roll(evidence, displacement(evidence), (0, 1))))


def _inverse(evidence: NDArray[np.bool_], _: np.random.Generator) -> list[Field]:
    return _mixed(_unit(evidence), _unit(~evidence))


def _shifted(evidence: NDArray[np.bool_], _: np.random.Generator) -> list[Field]:
    """Move the evidence towards where nothing of it is left, and no further: beyond, all shares are alike."""
    whole = np.array([_signed(part, side) for part, side in zip(displacement(evidence), evidence.shape, strict=True)])
    field = _unit(evidence)

    def moved(part: float) -> Field:
        shifted: Field = scipy.ndimage.shift(field, part * whole, order=1, mode="grid-wrap")
        return shifted

    parts = np.linspace(0, 1, 10 * (STEPS - 1) + 1)
    overlaps = np.array([(moved(part) * evidence).sum() for part in parts])
    last = parts[int(np.argmax(overlaps <= overlaps.min() + 1e-9))]
    return [moved(part) for part in np.linspace(0, last, STEPS)]


def _blurred(evidence: NDArray[np.bool_], _: np.random.Generator) -> list[Field]:
    widths = np.linspace(0, WIDEST * max(evidence.shape), STEPS)
    return [
        _unit(scipy.ndimage.gaussian_filter(evidence.astype(np.float64), width, mode="nearest")) for width in widths
    ]


PLANTS: dict[str, Callable[[NDArray[np.bool_], np.random.Generator], list[Field]]] = {
    "noise": _noise,
    "distractor": _distractor,
    "inverse": _inverse,
    "shifted": _shifted,
    "blurred": _blurred,
}
"""How the evidence is spoilt, step by step: mixed with noise, with a region as large elsewhere, or with all that it is
not; moved off its place; blurred."""


def planted(evidence: NDArray[np.bool_], ids: Sequence[str], seed: int = 0) -> tuple[dict[str, Field], Field]:
    """Plant attributions on known evidence.

    Args:
        evidence: the pixels that decide, of each image, `(b, H, W)`; some and not all.
        ids: the images' names, which with the seed fix the noise.
        seed: of the noise.

    Returns:
        By plant the fields, `(b, STEPS, H, W)`, each of energy 1; and the share of each one's energy that lies on the
        evidence, `(plants, b, STEPS)`, 1 at the first step.
    """
    noise = generators(ids, seed, "planted")
    fields = {
        name: np.stack([np.stack(plant(one, rng)) for one, rng in zip(evidence, noise, strict=True)])
        for name, plant in PLANTS.items()
    }
    return fields, np.stack([(field * evidence[:, None]).sum((2, 3)) for field in fields.values()])


def _unit(values: NDArray[np.float64] | NDArray[np.bool_]) -> Field:
    numbers = np.asarray(values, dtype=np.float64)
    unit: Field = numbers / numbers.sum()
    return unit


def _signed(shift: int, side: int) -> int:
    """Return the shorter way round to the same place."""
    return shift if shift <= side // 2 else shift - side
