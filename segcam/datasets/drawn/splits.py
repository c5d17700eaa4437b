"""What the drawn data sets share: streams of scenes that never meet, of a number that may be limited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from segcam.datasets import DatasetOptions
from segcam.errors import InputError
from segcam.memory import must_fit
from segcam.samples import SPLITS, DatasetInfo, Images, Opened, Split

Kept = TypeVar("Kept")
STREAM = 2**30
"""Scenes a split may have; split number k starts at index k times this, a multiple of the round of traits."""

BYTES = 5
"""Bytes a pixel of a scene that is kept: three colours, the class, and the part or the evidence."""


class DrawnSplit(ABC, Generic[Kept]):
    """One split of drawn scenes; each is drawn when it is first asked for, and kept.

    Args:
        seed: seed of the drawing.
        split: which of the three disjoint streams of scenes.
        count: number of scenes.
        size: side of the square images, in pixels.
    """

    def __init__(self, seed: int, split: Split, count: int, size: int) -> None:
        self.seed = seed
        self.split = split
        self.count = count
        self.size = size
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self.count

    def kept(self, row: int) -> Kept:
        """Return what is kept of a scene, which is drawn where it is not there yet."""
        if row not in self._kept:
            self._kept[row] = self.drawn(row)
        return self._kept[row]

    @abstractmethod
    def drawn(self, row: int) -> Kept:
        """Draw a scene."""


def open_drawn(
    name: str,
    classes: Sequence[str],
    options: DatasetOptions,
    defaults: Mapping[Split, int],
    facts: Mapping[str, Any],
    images: Callable[[Split, int], Images],
) -> Opened:
    """Open a drawn data set.

    Args:
        name: the data set's name.
        classes: its classes.
        options: `size`, `seed`, `counts` and `test_only` are read.
        defaults: how many scenes a split has where `options.counts` says nothing.
        facts: worth reporting beside seed, size and counts.
        images: makes a split of that many scenes.

    Raises:
        InputError: a count is out of range, or the scenes take more memory than there is.
    """
    counts = {s: defaults[s] if count is None else count for s, count in zip(SPLITS, options.counts, strict=True)}
    for split, count in counts.items():
        if count > STREAM:
            raise InputError(f"{name}: {count} {split} images; take at most {STREAM}")
    splits: tuple[Split, ...] = ("test",) if options.test_only else SPLITS
    must_fit(
        f"{name}: keeping {', '.join(f'{counts[split]} {split}' for split in splits)} scenes of {options.size} px",
        BYTES * options.size**2 * sum(counts[split] for split in splits),
        "take fewer (data.train, data.val, data.test) or a smaller size (data.size)",
    )
    info = DatasetInfo(
        name=name,
        classes=tuple(classes),
        training_data=f"{counts['train']} drawn scenes",
        facts={"seed": options.seed, "size": options.size, "counts": counts, **facts},
        source="drawn by segcam",
    )
    return Opened(info, {split: images(split, counts[split]) for split in splits})


def row_of(index: int, split: Split, count: int) -> int:
    """Return the row, from 0, that an index of a split with `count` scenes names.

    Raises:
        IndexError: there is no such scene.
    """
    if not -count <= index < count:
        raise IndexError(f"scene {index} of split '{split}': it has {count}")
    return index % count


def number_of(row: int, split: Split) -> int:
    """Return by which number a split's scene is drawn."""
    return SPLITS.index(split) * STREAM + row
