"""Drawn scenes, the embedded default: no files, deterministic in (seed, index), and the animal's parts are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.drawn import PARTS, draw
from segcam.errors import InputError
from segcam.samples import SPLITS, DatasetInfo, Opened, Sample, Split

DEFAULT_COUNTS: dict[Split, int] = {"train": 3000, "val": 150, "test": 200}
_STREAM = 2**30
"""Scenes a split may have; split number k starts at index k times this."""


class SceneSplit:
    """One split of drawn scenes; each scene is drawn when it is first asked for, and kept.

    Args:
        seed: seed of the drawing.
        split: which of the three disjoint streams of scenes.
        count: number of scenes.
        size: side of the square images, in pixels.
    """

    def __init__(self, seed: int, split: Split, count: int, size: int) -> None:
        self.seed = seed
        self.split = split
        self.size = size
        self._drawn = np.zeros(count, dtype=bool)
        self._images = np.empty((count, size, size, 3), np.uint8)
        self._masks = np.empty((count, size, size), np.uint8)
        self._parts = np.empty((count, size, size), np.uint8)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._drawn)

    def __getitem__(self, index: int, /) -> Sample:
        """Return one scene; its arrays are the caller's own.

        Raises:
            IndexError: there is no such scene.
        """
        i = self._draw(index)
        return Sample(f"scenes-{self.seed}-{self.split}-{i:06d}", self._images[i].copy(), self._masks[i].copy())

    def parts(self, index: int, /) -> npt.NDArray[np.uint8]:
        """Return one scene's part map: `(size, size)` uint8, index into `drawn.PARTS`, 0 off the animal.

        Raises:
            IndexError: there is no such scene.
        """
        parts: npt.NDArray[np.uint8] = self._parts[self._draw(index)].copy()
        return parts

    def _draw(self, index: int) -> int:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"scene {index} of split '{self.split}': it has {count}")
        i = index % count
        if not self._drawn[i]:
            scene = draw(self.seed, SPLITS.index(self.split) * _STREAM + i, self.size)
            self._images[i], self._masks[i], self._parts[i] = scene.image, scene.mask, scene.parts
            self._drawn[i] = True
        return i


def open_scenes(options: DatasetOptions) -> Opened:
    """Open the drawn scenes; nothing is drawn before it is asked for.

    Args:
        options: `size`, `seed` and `counts` are read; the rest has no meaning here.

    Raises:
        InputError: a count or the size is out of range.
    """
    if options.size < 16:
        raise InputError(f"scenes: size {options.size} is too small to draw an animal; take 16 or more")
    counts: dict[Split, int] = {}
    for split, count in zip(SPLITS, options.counts, strict=True):
        counts[split] = DEFAULT_COUNTS[split] if count is None else count
        if counts[split] > _STREAM:
            raise InputError(f"scenes: {counts[split]} {split} images; take at most {_STREAM}")
    info = DatasetInfo(
        name="scenes",
        classes=("background", "pet"),
        training_data=f"{counts['train']} drawn scenes",
        facts={"seed": options.seed, "size": options.size, "counts": dict(counts), "parts": list(PARTS[1:])},
        source="drawn by segcam",
    )
    drawn: tuple[Split, ...] = ("test",) if options.test_only else SPLITS
    return Opened(info, {split: SceneSplit(options.seed, split, counts[split], options.size) for split in drawn})


SCENES = DATASETS.add(
    Dataset("scenes", "drawn animals among distractors of the same coat; no files", open_scenes, needs_root=False)
)
