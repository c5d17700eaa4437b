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

from segcam.errors import DataError, unknown

IGNORE = 255
"""The mask value of pixels that belong to no class: a trimap's border, or what a user's masks leave out."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Border = Literal["ignore", "pet", "background"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its mask.

    Attributes:
        id: name of the image, unique within its dataset.
        image: RGB, `(h, w, 3)` uint8.
        mask: class index a pixel, `(h, w)` uint8; `IGNORE` where it belongs to no class.
        evidence: where that is known, the pixels that decide the class, `(h, w)` bool.
    """

    id: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    evidence: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one size with their masks, on one device.

    Attributes:
        ids: the images' names, `b` of them.
        images: RGB, `(b, 3, h, w)` uint8.
        masks: class index a pixel, `(b, h, w)` uint8; `IGNORE` where it belongs to no class.
        evidence: where it is known of all images, the pixels that decide the class, `(b, h, w)`.
    """

    ids: tuple[str, ...]
    images: UInt8[Tensor, "b 3 h w"]
    masks: UInt8[Tensor, "b h w"]
    evidence: Bool[Tensor, "b h w"] | None = None

    @classmethod
    def of(cls, samples: Sequence[Sample], device: torch.device | str = "cpu") -> Batch:
        """Stack samples of one size.

        Raises:
            DataError: there is none, or one is not as `Sample` says or of another size; the message names it.
        """
        if not samples:
            raise DataError("a batch needs at least one sample")
        for sample in samples:
            if not isinstance(sample.image, np.ndarray) or not isinstance(sample.mask, np.ndarray):
                kinds = f"{type(sample.image).__name__} and {type(sample.mask).__name__}"
                raise DataError(f"image and mask '{sample.id}' are {kinds}: numpy arrays are needed")
        size = samples[0].image.shape[:2]
        for sample in samples:
            image, mask = sample.image, sample.mask
            if 0 in image.shape:
                raise DataError(f"image '{sample.id}' is {image.shape}: it has no pixel")
            if image.dtype != np.uint8 or image.shape != (*size, 3):
                raise DataError(f"image '{sample.id}' is {image.dtype} {image.shape}: uint8 {(*size, 3)} is needed")
            if mask.dtype != np.uint8 or mask.shape != size:
                raise DataError(f"mask '{sample.id}' is {mask.dtype} {mask.shape}: uint8 {size} is needed")
            region = sample.evidence
            if region is not None and (region.dtype != np.bool_ or region.shape != size):
                raise DataError(f"evidence '{sample.id}' is {region.dtype} {region.shape}: bool {size} is needed")
        images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
        masks = torch.from_numpy(np.stack([s.mask for s in samples]))
        regions = [sample.evidence for sample in samples if sample.evidence is not None]
        evidence = torch.from_numpy(np.stack(regions)).to(device) if len(regions) == len(samples) else None
        return cls(tuple(s.id for s in samples), images.to(device), masks.to(device), evidence)

    def inputs(self) -> Float[Tensor, "b 3 h w"]:
        """Return the images as networks take them: float32, normalised with ImageNet's mean and deviation."""
        return normalise(self.images)

    def luminance(self) -> Float[Tensor, "b h w"]:
        """Return the images' luminance in 0..1 (ITU-R BT.601 weights)."""
        weights = torch.tensor(LUMA, device=self.images.device).view(1, 3, 1, 1) / 255
        return (self.images.float() * weights).sum(1)

    def foreground(self, class_id: int = 1) -> Bool[Tensor, "b h w"]:
        """Return the pixels of the class; ignored pixels belong to neither side."""
        return self.masks == class_id

    def background(self, class_id: int = 1) -> Bool[Tensor, "b h w"]:
        """Return the pixels of all other classes; ignored pixels belong to neither side."""
        return (self.masks != class_id) & (self.masks != IGNORE)


def normalise(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Scale uint8 RGB to 0..1, then subtract ImageNet's mean and divide by its deviation."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def with_border(masks: UInt8[Tensor, "b h w"], border: Border, class_id: int = 1) -> UInt8[Tensor, "b h w"]:
    """Give the trimap's border the class that `border` names; 'ignore' leaves it out of loss and IoU.

    Raises:
        InputError: `border` is none of the three.
    """
    if border not in get_args(Border):
        raise unknown("border", str(border), get_args(Border))
    if border == "ignore":
        return masks
    return masks.masked_fill(masks == IGNORE, class_id if border == "pet" else 0)


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
    """

    name: str
    classes: tuple[str, ...]
    training_data: str
    self_trained: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    source: str = ""


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
