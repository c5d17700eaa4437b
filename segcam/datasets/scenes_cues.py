"""Drawn scenes whose evidence is known: the class of the animal is decided by its ears, its coat, or a ball beside it.

All three data sets draw the same scenes; they differ in which of the three traits the class says.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import numpy as np

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.drawn.cues import CUES, Picture, Sketch, Traits, evidence, sketch, swapped, traits_of
from segcam.datasets.drawn.splits import DrawnSplit, number_of, open_drawn, row_of
from segcam.errors import InputError
from segcam.samples import IGNORE, Opened, Sample, Split

DEFAULT_COUNTS: dict[Split, int] = {"train": 2000, "val": 120, "test": 120}
PREFIX = "scenes_"


class CueSplit(DrawnSplit[Sample]):
    """One split of scenes in which one cue decides the class.

    Args:
        cue: which of `segcam.datasets.drawn.cues.CUES` decides.
        seed: seed of the drawing.
        split: which of the three disjoint streams of scenes.
        count: number of scenes.
        size: side of the square images, in pixels.
    """

    def __init__(self, cue: str, seed: int, split: Split, count: int, size: int) -> None:
        super().__init__(seed, split, count, size)
        self.cue = cue

    def __getitem__(self, index: int, /) -> Sample:
        """Return one scene with its evidence; its arrays are the caller's own.

        Raises:
            IndexError: there is no such scene.
        """
        return deepcopy(self.kept(row_of(index, self.split, self.count)))

    def drawn(self, row: int) -> Sample:
        """Draw a scene with its evidence."""
        drawing, traits = self._sketch(row)
        picture = drawing.draw(traits)
        changed = evidence(picture, drawing.draw(swapped(traits, self.cue)), self.cue)
        return Sample(self._id(row), picture.image, self._mask(picture, traits), changed)

    def known(self, index: int, /) -> dict[str, Sample]:
        """Return a scene with what each cue changes in it, by cue, drawn anew.

        Returns:
            For each of `CUES` a sample: the scene with this cue the other way, its mask, with the class that the
            data set's own cue gives it, and as evidence the pixels that changed. They are the same images whichever
            cue decides.

        Raises:
            IndexError: there is no such scene.
        """
        row = row_of(index, self.split, self.count)
        drawing, traits = self._sketch(row)
        picture, samples = drawing.draw(traits), {}
        for cue in CUES:
            others = swapped(traits, cue)
            other = drawing.draw(others)
            changed = evidence(picture, other, cue)
            samples[cue] = Sample(f"{self._id(row)}-{cue}", other.image, self._mask(other, others), changed)
        return samples

    def at(self, size: int) -> CueSplit:
        """Return the same scenes at another size: the same but for the noise of their pixels."""
        return CueSplit(self.cue, self.seed, self.split, self.count, size)

    def _id(self, row: int) -> str:
        return f"{PREFIX}{self.cue}-{self.seed}-{self.split}-{row:06d}"

    def _sketch(self, row: int) -> tuple[Sketch, Traits]:
        number = number_of(row, self.split)
        return sketch(self.seed, number, self.size), traits_of(number)

    def _mask(self, picture: Picture, traits: Traits) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        trait = traits[list(CUES).index(self.cue)]
        mask = picture.mask
        return np.where((mask != 0) & (mask != IGNORE), np.uint8(1 + trait), mask)


def open_cues(cue: str, options: DatasetOptions) -> Opened:
    """Open the scenes in which `cue` decides; nothing is drawn before it is asked for.

    Args:
        cue: one of `segcam.datasets.drawn.cues.CUES`.
        options: see `open_drawn`.

    Raises:
        InputError: a count or the size is out of range.
    """
    name = PREFIX + cue
    if options.size < 32:
        raise InputError(f"{name}: size {options.size} is too small for stripes and spots; take 32 or more")
    images = partial(CueSplit, cue, options.seed, size=options.size)
    return open_drawn(name, ("background", *CUES[cue]), options, DEFAULT_COUNTS, {"decides": cue}, images)


for _cue, (_one, _other) in CUES.items():
    DATASETS.add(
        Dataset(
            PREFIX + _cue,
            f"drawn animals of two classes, told apart by {_one} or {_other} alone: the evidence is known; no files",
            partial(open_cues, _cue),
            needs_root=False,
        )
    )
