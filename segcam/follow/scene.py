"""Scene: the few images that are followed, as the network takes them and as people see them, with or without masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from segcam.arrays import Numbers, integers
from segcam.channels import LUMA, MEAN, STD
from segcam.draw import given
from segcam.errors import InputError, say_once, shown
from segcam.files import one_line
from segcam.probe.network.inputs import as_images
from segcam.samples import IGNORE, Batch, Sample

Images: TypeAlias = Tensor | NDArray[np.floating] | Batch | Sequence[Sample]
"""What a network takes, float `(b, c, h, w)`, prepared; or samples, which segcam prepares by their channels."""
Photographs: TypeAlias = Tensor | NDArray[np.generic] | Sequence[given.Photograph]


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """The images that are followed, on the CPU.

    Attributes:
        names: of the images.
        inputs: what the network takes.
        photographs: to look at.
        luminance: in 0..1, that edges are found in.
        masks: the true class of each pixel, 255 where it belongs to none; None where there are no masks.
        valid: where the pictures are and not padding; None for everywhere.
    """

    names: tuple[str, ...]
    inputs: Float[Tensor, "b ch h w"]
    photographs: UInt8[Tensor, "b 3 h w"]
    luminance: Float[Tensor, "b h w"]
    masks: Int[Tensor, "b h w"] | None
    valid: Bool[Tensor, "b h w"] | None = None

    @classmethod
    def of(
        cls,
        images: Images,
        masks: Numbers | None = None,
        photographs: Photographs | None = None,
        names: Sequence[str] | None = None,
    ) -> Scene:
        """Take images in any of their forms.

        Args:
            images: see `Images`.
            masks: the class of each pixel `(b, h, w)`, 255 where it is to be ignored.
            photographs: the images to look at, uint8 `(b, h, w, 3)` or `(b, 3, h, w)`, or a list of pictures; unless
                given they are made from the input.
            names: of the images.

        Raises:
            InputError: images, masks, photographs and names do not belong together.
        """
        if not isinstance(images, (Batch, Tensor, np.ndarray)):
            if not isinstance(images, Sequence) or not all(isinstance(one, Sample) for one in images):
                raise InputError(
                    f"images are {shown(images)}: give what the network takes, a float tensor (b, c, h, w), or Samples"
                )
            images = Batch.of(images)
        if isinstance(images, Batch):
            return cls._of_batch(images, masks, photographs, names)
        inputs = as_images(images).detach().cpu().clone()
        pictures = _pictures(inputs) if photographs is None else _given(photographs, inputs)
        return cls(
            _names(names or [f"image {n}" for n in range(1, len(inputs) + 1)], len(inputs)),
            inputs,
            pictures,
            _luminance(pictures),
            None if masks is None else _classes(masks, inputs),
        )

    @classmethod
    def _of_batch(
        cls, batch: Batch, masks: Numbers | None, photographs: Photographs | None, names: Sequence[str] | None
    ) -> Scene:
        if photographs is not None:
            raise InputError("photographs are given beside samples, which hold them: leave them out")
        inputs = batch.inputs().cpu()
        own = None if bool((batch.masks == IGNORE).all()) else batch.masks.cpu().long()
        return cls(
            _names(names or batch.ids, len(inputs)),
            inputs,
            batch.displayed().cpu(),
            batch.luminance().cpu(),
            own if masks is None else _classes(masks, inputs),
            None if batch.valid is None else batch.valid.cpu(),
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def digest(self) -> str:
        """Return what tells these images and masks from others, in hexadecimal digits; rounding plays no part."""
        hashed = hashlib.sha256(self.photographs.numpy().tobytes())
        if self.masks is not None:
            hashed.update(self.masks.to(torch.uint8).numpy().tobytes())
        return hashed.hexdigest()[:16]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return int(self.inputs.shape[2]), int(self.inputs.shape[3])


def _names(names: Sequence[str], count: int) -> tuple[str, ...]:
    texts = tuple(str(name) for name in names)
    if isinstance(names, str) or len(texts) != count or len(set(texts)) != count:
        raise InputError(f"names are {shown(names)}: a name of its own for each of {count} images is needed")
    wrong = [text for text in texts if not text or not one_line(text)]
    if wrong:
        raise InputError(f"the image's name {wrong[0]!r} is no line of text: choose another")
    return texts


def _classes(masks: Numbers, inputs: Tensor) -> Int[Tensor, "b h w"]:
    labels = integers(masks, "masks").detach().cpu()
    if labels.ndim == 4 and labels.shape[1] == 1:
        labels = labels[:, 0]
    shape = (len(inputs), *inputs.shape[2:])
    if tuple(labels.shape) != shape:
        raise InputError(f"masks are {tuple(labels.shape)}: a class for each pixel of the input, {shape}, is needed")
    if int(labels.min()) < 0 or int(labels.max()) > IGNORE:
        raise InputError(f"masks hold {int(labels.min())} to {int(labels.max())}: classes from 0, and 255 to ignore")
    return labels


def _given(photographs: Photographs, inputs: Tensor) -> UInt8[Tensor, "b 3 h w"]:
    """Return photographs as bytes, channels first."""
    several = photographs if isinstance(photographs, (Tensor, np.ndarray)) else list(photographs)
    if len(several) != len(inputs):
        raise InputError(f"{len(several)} photographs are given for {len(inputs)} images: give one for each")
    pictures = [given.photograph(one) for one in several]
    size = tuple(inputs.shape[2:])
    for picture in pictures:
        if picture.shape[:2] != size:
            raise InputError(
                f"a photograph has {picture.shape[:2]} pixels and the network's input {size}: give it as the network "
                "sees it, resized and cut in the same way"
            )
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _pictures(inputs: Float[Tensor, "b ch h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Return photographs to look at, made from what the network takes: from 0..1, or by ImageNet's mean and deviation.

    Where neither fits each image's range is stretched, which is said once.
    """
    values = inputs.float()[:, :3]
    if values.shape[1] < 3:
        values = values[:, :1].expand(-1, 3, -1, -1)
    if not bool(values.isfinite().all()):
        raise InputError("the images hold NaN or infinity: give finite values")
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    for shares in (values, values * std + mean):
        if float(shares.min()) >= -0.01 and float(shares.max()) <= 1.01:
            return (255 * shares).round().clamp(0, 255).to(torch.uint8)
    say_once(
        "how the images were prepared is not known, so that their own range is shown and edges are found in it: give "
        "photographs=, uint8 (b, h, w, 3), beside them"
    )
    low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    return (255 * (values - low) / (high - low).clamp(min=1e-12)).round().to(torch.uint8)


def _luminance(pictures: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
    return (pictures.float() * torch.tensor(LUMA).view(1, 3, 1, 1) / 255).sum(1)
