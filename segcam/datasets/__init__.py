"""Datasets: one file each; `DATASETS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import get_args

from segcam.datasets.resizing import Resize
from segcam.errors import InputError, shown, unknown
from segcam.registry import Registry
from segcam.samples import SPLITS, Opened, Split

LEFT_OUT = "images_left_out_by_limits"
"""The fact of how many images of each split are not used, as limits were set."""


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What a dataset is opened with.

    Attributes:
        size: side of the square images and masks, in pixels.
        root: folder that holds the data; None for drawn data.
        download: fetch what is missing, where the dataset can be fetched.
        seed: seed of drawn data and of the choice of validation images (not the training seed).
        counts: wanted numbers of (train, val, test) images; None takes all, for drawn data the dataset's default.
        val_share: share of the training split's real images that is held out for validation.
        cache: folder of the decoded caches; None for the user's cache folder.
        test_only: open the test images alone, for example at another size.
        resize: how photographs come to that size: 'squash' gives up their aspect ratio; 'pad' keeps it and says in the
            samples' `valid` where the picture is; 'none' leaves them as they are, which must be of one size.
        masks: folder of the masks of photographs of one's own; None where there are none.
        classes: names of the classes, for data that do not tell.
        progress: called with (done, total, what) while images are decoded or drawn.
    """

    size: int = 128
    root: Path | None = None
    download: bool = False
    seed: int = 0
    counts: tuple[int | None, int | None, int | None] = (None, None, None)
    val_share: float = 0.15
    cache: Path | None = None
    test_only: bool = False
    progress: Callable[[int, int, str], None] | None = None
    resize: Resize = "squash"
    masks: Path | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _whole(self.size) or self.size < 1:
            raise InputError(f"size {shown(self.size)}: must be a whole number of pixels, at least 1")
        if self.resize not in get_args(Resize):
            raise unknown("resize", str(self.resize), get_args(Resize))
        if not isinstance(self.val_share, int | float) or not 0 < self.val_share < 1:
            raise InputError(f"val_share {shown(self.val_share)}: must lie between 0 and 1, such as 0.15")
        if len(self.counts) != len(SPLITS):
            raise InputError(f"counts {shown(self.counts)}: must be three, of {', '.join(SPLITS)} images")
        for split, count in zip(SPLITS, self.counts, strict=True):
            if count is not None and (not _whole(count) or count < 1):
                raise InputError(
                    f"count of {split} images {shown(count)}: must be a whole number of at least 1, or left out for all"
                )
        if not _whole(self.seed) or self.seed < 0:
            raise InputError(f"seed {shown(self.seed)}: must be a whole number and not negative")


def left_out(
    every: Mapping[Split, Sequence[object]], taken: Mapping[Split, Sequence[object]]
) -> dict[str, dict[str, int]]:
    """Return the fact of how many images of each split limits leave out; nothing where they leave out none."""
    missing = {str(split): len(images) - len(taken[split]) for split, images in every.items()}
    missing = {split: number for split, number in missing.items() if number}
    return {LEFT_OUT: missing} if missing else {}


def _whole(value: object) -> bool:
    """Return whether a value is a whole number, Python's or numpy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset plugin: its name, one line about it, and the function that opens it.

    `free` names photographs of `segcam.datasets.free` that show what its own do: their maps are kept beside these.
    """

    name: str
    summary: str
    open: Callable[[DatasetOptions], Opened]
    needs_root: bool = True
    free: tuple[str, ...] = ()


DATASETS: Registry[Dataset] = Registry("dataset", "segcam.datasets")
