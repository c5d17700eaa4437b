"""Networks that are asked by prompts: SAM and SAM 2 of transformers, read as the logit of one mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segcam.arrays import Numbers, tensor
from segcam.errors import InputError, ProbeError, say_once, shown
from segcam.networks.queries.adapter import Adapter, field

FAMILIES = ("SamModel", "SamHQModel", "Sam2Model")
"""Classes of transformers that give masks for prompts."""

PROMPTS = ("input_points", "input_boxes", "input_masks")


class PromptedMask(Adapter):
    """A prompted network, read as the logit of one mask: class 1 against 0 for what is not in it.

    Prompts go by the names of the network's own inputs: `input_points` `(b, prompts, points, 2)`, x and y in pixels of
    the images, or `input_boxes` `(b, prompts, 4)`. Each batch takes its own, `probe(images, target, inputs={...})`, or
    all images the same, `prompts`. Without any, the point in the middle of the image is taken, and said once.

    Args:
        network: `SamModel` or `Sam2Model` of transformers, or any whose output has `pred_masks` and `iou_scores`.
        mask: which of a prompt's masks: its index, or 'best' for that of the largest predicted IoU, image by image. An
            index keeps the question the same where a method changes the images.
        prompt: which prompt.
        prompts: what all images are asked, by the names of the network's inputs, with one row: `{"input_boxes":
            [[[10, 20, 200, 180]]]}`.

    Raises:
        InputError: `mask` or `prompt` is no index, or `prompts` have other than one row.
        ProbeError: the network's output holds no such mask, when it runs.
    """

    def __init__(
        self,
        network: nn.Module,
        mask: int | Literal["best"] = "best",
        prompt: int = 0,
        prompts: Mapping[str, Numbers] | None = None,
    ) -> None:
        super().__init__(network)
        if mask != "best" and (type(mask) is not int or mask < 0):
            raise InputError(f"mask is {shown(mask)}: give an index from 0, or 'best'")
        if type(prompt) is not int or prompt < 0:
            raise InputError(f"prompt is {shown(prompt)}: give an index from 0")
        self.mask, self.prompt = mask, prompt
        self.prompts = {name: _row(value, name) for name, value in (prompts or {}).items()}

    def completed(self, images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the prompts of the batch, else those of all images, else the point in the middle of each."""
        if any(inputs.get(name) is not None for name in PROMPTS):
            return inputs
        if self.prompts:
            return {**{name: _rows(row, images, name) for name, row in self.prompts.items()}, **inputs}
        say_once(
            "no prompt was given, and the point in the middle of the image is taken: give inputs={'input_points':"
            " (b, prompts, points, 2)} or input_boxes"
        )
        middle = torch.tensor([[[[images.shape[3] / 2, images.shape[2] / 2]]]])
        return {**inputs, "input_points": _rows(middle, images, "input_points")}

    def read(self, output: Any, _size: tuple[int, int]) -> Tensor:
        """Return the mask's logits `(b, 1, h, w)`, on the network's own grid."""
        masks = field(output, "pred_masks", 5)
        prompts, count = int(masks.shape[1]), int(masks.shape[2])
        if self.prompt >= prompts:
            raise ProbeError(f"there is no prompt {self.prompt}: {prompts} were given, 0 to {prompts - 1}")
        if self.mask != "best":
            if self.mask >= count:
                raise ProbeError(f"there is no mask {self.mask}: the network gave {count} a prompt, 0 to {count - 1}")
            return masks[:, self.prompt, self.mask : self.mask + 1]
        best = field(output, "iou_scores", 3)[:, self.prompt].argmax(1)
        return masks[torch.arange(len(masks), device=masks.device), self.prompt, best][:, None]


def _row(value: Numbers, name: str) -> Tensor:
    row = tensor(value, f"prompts['{name}']")
    if row.ndim == 0 or len(row) != 1:
        raise InputError(
            f"prompts['{name}'] are {tuple(row.shape)}: one row is needed, which all images take; for another in each "
            "give inputs={...} with the images"
        )
    return row


def _rows(row: Tensor, images: Tensor, name: str) -> Tensor:
    """Return a prompt for each image, in the images' precision; labels stay whole numbers."""
    row = row.to(images.device, images.dtype if name in PROMPTS else row.dtype)
    return row.expand(len(images), *row.shape[1:])
