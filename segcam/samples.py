"""Sample and Batch: an image, its mask and its id, and what every dataset must say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from segcam.channels import RGB, Channels, Pixels
from segcam.classes import IGNORE, Classes, belonging, class_ids
from segcam.errors import DataError, InputError, shown, unknown

__all__ = [
    "IGNORE",
    "SPLITS",
    "Batch",
    "Border",
    "DatasetInfo",
    "Images",
    "Opened",
    "Sample",
    "Split",
    "with_border",
]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Border = Literal["ignore", "pet", "background"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its mask.

    Attributes:
        id: name of the image, unique within its dataset.
        image: RGB, `(h, w, 3)` uint8; or `(h, w, c)` uint8, uint16 or float32 as `channels` says.
        mask: class index a pixel, `(h, w)` uint8; `IGNORE` where it belongs to no class.
        evidence: where that is known, the pixels that decide the class, `(h, w)` bool.
        valid: where the picture is and not the padding around it, `(h, w)` bool; None is everywhere.
        channels: what the image's channels hold; by default RGB of 8 bits.
    """

    id: str
    image: npt.NDArray[np.uint8 | np.uint16 | np.float32]
    mask: npt.NDArray[np.uint8]
    evidence: npt.NDArray[np.bool_] | None = None
    valid: npt.NDArray[np.bool_] | None = None
    channels: Channels = RGB

    def displayed(self) -> npt.NDArray[np.uint8]:
        """Return the image to look at, `(h, w, 3)`, RGB of 8 bits: see `Channels.displayed`."""
        picture: npt.NDArray[np.uint8] = Batch.of([self]).displayed()[0].permute(1, 2, 0).numpy()
        return picture


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one size with their masks, on one device.

    Attributes:
        ids: the images' names, `b` of them.
        images: RGB, `(b, 3, h, w)` uint8; or `(b, c, h, w)` uint8 or float32 as `channels` says.
        masks: class index a pixel, `(b, h, w)` uint8; `IGNORE` where it belongs to no class.
        evidence: where it is known of all images, the pixels that decide the class, `(b, h, w)`.
        valid: where the pictures are and not the padding around them, `(b, h, w)`; None is everywhere.
        channels: what the images' channels hold.
    """

    ids: tuple[str, ...]
    images: Pixels
    masks: UInt8[Tensor, "b h w"]
    evidence: Bool[Tensor, "b h w"] | None = None
    valid: Bool[Tensor, "b h w"] | None = None
    channels: Channels = RGB

    @classmethod
    def of(cls, samples: Sequence[Sample], device: torch.device | str = "cpu") -> Batch:
        """Stack samples of one size; masks are ignored outside the valid region.

        Raises:
            DataError: there is none, or one is not as `Sample` says or of another size; the message names it.
        """
        if not samples:
            raise DataError("a batch needs at least one sample")
        for sample in samples:
            _check(sample, samples[0])
        images = torch.from_numpy(np.stack([_held(s.image) for s in samples])).permute(0, 3, 1, 2)
        masks = torch.from_numpy(np.stack([s.mask for s in samples]))
        regions = [sample.evidence for sample in samples if sample.evidence is not None]
        evidence = torch.from_numpy(np.stack(regions)).to(device) if len(regions) == len(samples) else None
        valid = None
        if any(sample.valid is not None for sample in samples):
            everywhere = np.ones(samples[0].mask.shape, np.bool_)
            valid = torch.from_numpy(np.stack([everywhere if s.valid is None else s.valid for s in samples]))
            masks.masked_fill_(~valid, IGNORE)
            valid = valid.to(device)
        ids = tuple(s.id for s in samples)
        return cls(ids, images.to(device), masks.to(device), evidence, valid, samples[0].channels)

    def inputs(self) -> Float[Tensor, "b c h w"]:
        """Return the images as networks take them: float32, normalised with their channels' mean and deviation."""
        return self.channels.normalised(self.images)

    def luminance(self) -> Float[Tensor, "b h w"]:
        """Return the images' luminance in 0..1 (ITU-R BT.601 weights); of other channels than three, their mean."""
        return self.channels.luminance(self.images)

    def displayed(self) -> UInt8[Tensor, "b 3 h w"]:
        """Return the images to look at, RGB of 8 bits: see `Channels.displayed`."""
        return self.channels.displayed(self.images)

    def foreground(self, class_id: Classes | Sequence[Classes] = 1) -> Bool[Tensor, "b h w"]:
        """Return the pixels of the class, or of all classes of a set; ignored pixels belong to neither side.

        Args:
            class_id: an index, a set of indices that count as one class, or a list of these, one for each image.

        Raises:
            InputError: an index is none that masks may hold, or the list is of another number of images.
        """
        return belonging(self.masks, class_id)

    def background(self, class_id: Classes | Sequence[Classes] = 1) -> Bool[Tensor, "b h w"]:
        """Return the pixels of all other classes, see `foreground`; ignored pixels belong to neither side."""
        return ~belonging(self.masks, class_id) & (self.masks != IGNORE)


def _check(sample: Sample, first: Sample) -> None:
    """See that a sample is as `Sample` says, and like the first of its batch.

    Raises:
        DataError: it is not.
    """
    image, mask, name, channels = sample.image, sample.mask, sample.id, sample.channels
    if not isinstance(image, np.ndarray) or not isinstance(mask, np.ndarray):
        kinds = f"{type(image).__name__} and {type(mask).__name__}"
        raise DataError(f"image and mask '{name}' are {kinds}: numpy arrays are needed")
    if 0 in image.shape:
        raise DataError(f"image '{name}' is {image.shape}: it has no pixel")
    size, kinds = first.image.shape[:2], ("uint8",) if channels == RGB else ("uint8", "uint16", "float32")
    if str(image.dtype) not in kinds or image.shape != (*size, len(channels)):
        other = "" if channels != RGB else "; what else an image may hold is said by Sample's channels"
        raise DataError(
            f"image '{name}' is {image.dtype} {image.shape}: {' or '.join(kinds)} {(*size, len(channels))} is needed"
            + other
        )
    if (channels, image.dtype) != (first.channels, first.image.dtype):
        raise DataError(f"images '{first.id}' and '{name}' differ in dtype or channels: a batch holds one kind")
    if mask.dtype != np.uint8 or mask.shape != size:
        raise DataError(f"mask '{name}' is {mask.dtype} {mask.shape}: uint8 {size} is needed")
    for what, region in (("evidence", sample.evidence), ("valid region", sample.valid)):
        if region is not None and (region.dtype != np.bool_ or region.shape != size):
            raise DataError(f"{what} '{name}' is {region.dtype} {region.shape}: bool {size} is needed")
    if sample.valid is not None and not sample.valid.any():
        raise DataError(f"valid region '{name}' is empty: no pixel would be a picture's")


def _held(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image as a batch holds it: torch knows next to no operation on uint16, and float32 holds it exactly."""
    return image.astype(np.float32) if image.dtype == np.uint16 else image


def with_border(
    masks: UInt8[Tensor, "b h w"],
    border: Border,
    class_id: Classes = 1,
    valid: Bool[Tensor, "b h w"] | None = None,
) -> UInt8[Tensor, "b h w"]:
    """Give the trimap's border the class that `border` names; 'ignore' leaves it out of loss and IoU.

    Padding, outside `valid`, is no border and stays ignored.

    Raises:
        InputError: `border` is none of the three, or is 'pet' where that is a set of classes: pixels have one.
    """
    if border not in get_args(Border):
        raise unknown("border", str(border), get_args(Border))
    if border == "ignore":
        return masks
    unclear = masks == IGNORE if valid is None else (masks == IGNORE) & valid
    if border == "background":
        return masks.masked_fill(unclear, 0)
    filled = class_ids(class_id, "the class")
    if not isinstance(filled, int):
        raise InputError(
            f"border pixels cannot count as {shown(class_id)}, several classes at once: take border = 'ignore' or "
            "'background', or one class"
        )
    return masks.masked_fill(unclear, filled)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What a dataset says of itself; it travels into the manifest, the tables and the captions.

    Attributes:
        name: the dataset's name.
        classes: names by class index; index 0 is the background.
        training_data: one phrase on what the masks trained on are, such as '577 real + 2377 self-trained masks'.
        self_trained: how many of the training masks were predicted by another network.
        facts: counts worth reporting (odd files, masks without the class, ...), JSON-ready.
        source: where the images come from and under which licence.
        masked: whether there are masks; without, what a network predicts stands for them.
    """

    name: str
    classes: tuple[str, ...]
    training_data: str
    self_trained: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    masked: bool = True


@runtime_checkable
class Images(Protocol):
    """One split: a sequence of samples of one size."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Return one sample."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset ready for use: what it says of itself, and its splits."""

    info: DatasetInfo
    splits: dict[Split, Images]
