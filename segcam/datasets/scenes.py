"""Drawn scenes, the embedded default: no files, deterministic in (seed, index), and the animal's parts are known."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.drawn import PARTS, Scene, draw
from segcam.datasets.drawn.splits import DrawnSplit, number_of, open_drawn, row_of
from segcam.errors import InputError
from segcam.samples import Opened, Sample, Split

DEFAULT_COUNTS: dict[Split, int] = {"train": 3000, "val": 150, "test": 200}


class SceneSplit(DrawnSplit[Scene]):
    """One split of drawn scenes."""

    def __getitem__(self, index: int, /) -> Sample:
        """Return one scene; its arrays are the caller's own.

        Raises:
            IndexError: there is no such scene.
        """
        row = row_of(index, self.split, self.count)
        scene = self.kept(row)
        return Sample(f"scenes-{self.seed}-{self.split}-{row:06d}", scene.image.copy(), scene.mask.copy())

    def parts(self, index: int, /) -> npt.NDArray[np.uint8]:
        """Return one scene's part map: `(size, size)` uint8, index into `drawn.PARTS`, 0 off the animal.

        Raises:
            IndexError: there is no such scene.
        """
        return self.kept(row_of(index, self.split, self.count)).parts.copy()

    def drawn(self, row: int) -> Scene:
        """Draw a scene."""
        return draw(self.seed, number_of(row, self.split), self.size)


def open_scenes(options: DatasetOptions) -> Opened:
    """Open the drawn scenes; nothing is drawn before it is asked for. See `open_drawn`.

    Raises:
        InputError: a count or the size is out of range.
    """
    if options.size < 16:
        raise InputError(f"scenes: size {options.size} is too small to draw an animal; take 16 or more")
    images = partial(SceneSplit, options.seed, size=options.size)
    facts = {"parts": list(PARTS[1:])}
    return open_drawn("scenes", ("background", "pet"), options, DEFAULT_COUNTS, facts, images)


SCENES = DATASETS.add(
    Dataset("scenes", "drawn animals among distractors of the same coat; no files", open_scenes, needs_root=False)
)
