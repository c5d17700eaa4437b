"""Drawn scenes with a planted cue: one of four carries a tag that tells the animal's class, the others its coat does.

What a network learns from tags is known beforehand, so that groups of maps can be tried on it.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import numpy as np

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.drawn.cues import CUES, evidence, sketch, swapped, traits_of
from segcam.datasets.drawn.splits import DrawnSplit, number_of, open_drawn, row_of
from segcam.datasets.drawn.tags import PERIOD, is_tagged, tag_pixels, tagged
from segcam.errors import InputError
from segcam.samples import IGNORE, Opened, Sample, Split

DEFAULT_COUNTS: dict[Split, int] = {"train": 2000, "val": 120, "test": 120}
NAME, COAT = "scenes_tagged", "texture"


class TaggedSplit(DrawnSplit[Sample]):
    """One split of scenes of which some carry a tag.

    The class is that of `scenes_texture`, and so are the scenes without a tag, to the last pixel.
    """

    def tagged(self, index: int, /) -> bool:
        """Return whether a scene carries a tag.

        Raises:
            IndexError: there is no such scene.
        """
        return is_tagged(number_of(row_of(index, self.split, self.count), self.split))

    def __getitem__(self, index: int, /) -> Sample:
        """Return one scene with its evidence, the tag or the patterned coat; its arrays are the caller's own.

        Raises:
            IndexError: there is no such scene.
        """
        return deepcopy(self.kept(row_of(index, self.split, self.count)))

    def drawn(self, row: int) -> Sample:
        """Draw a scene with its evidence."""
        number = number_of(row, self.split)
        drawing, traits = sketch(self.seed, number, self.size), traits_of(number)
        if is_tagged(number):
            picture, decides = tagged(drawing, traits), tag_pixels(self.size)
        else:
            picture = drawing.draw(traits)
            decides = evidence(picture, drawing.draw(swapped(traits, COAT)), COAT)
        trait = traits[list(CUES).index(COAT)]
        animal = (picture.mask != 0) & (picture.mask != IGNORE)
        mask = np.where(animal, np.uint8(1 + trait), picture.mask)
        return Sample(f"{NAME}-{self.seed}-{self.split}-{row:06d}", picture.image, mask, decides)


def open_tagged(options: DatasetOptions) -> Opened:
    """Open the scenes; nothing is drawn before it is asked for. See `open_drawn`.

    Raises:
        InputError: a count or the size is out of range.
    """
    if options.size < 32:
        raise InputError(f"{NAME}: size {options.size} is too small for stripes and spots; take 32 or more")
    images = partial(TaggedSplit, options.seed, size=options.size)
    facts = {"decides": f"a tag in one of {PERIOD} scenes, else the coat"}
    return open_drawn(NAME, ("background", *CUES[COAT]), options, DEFAULT_COUNTS, facts, images)


DATASETS.add(
    Dataset(
        NAME,
        "drawn animals of two classes, told apart by their coat or, in one scene of four, by a tag alone; no files",
        open_tagged,
        needs_root=False,
    )
)
