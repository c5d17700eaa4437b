"""Networks that are asked by prompts: SAM and SAM 2 of transformers, read as the logit of one mask."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from segcam.errors import InputError, ProbeError, say_once, shown
from segcam.networks.queries.adapter import Adapter, field

FAMILIES = ("SamModel", "SamHQModel", "Sam2Model")
"""Classes of transformers that give masks for prompts."""

PROMPTS = ("input_points", "input_boxes", "input_masks")


class PromptedMask(Adapter):
    """A prompted network, read as the logit of one mask: class 1 against 0 for what is not in it.

    Prompts are given as the network's own inputs: `probe(images, target, inputs={"input_points": points})`, with
    points `(b, prompts, points, 2)` as x and y in pixels of the images, or `input_boxes` `(b, prompts, 4)`.

    Args:
        network: `SamModel` or `Sam2Model` of transformers, or any whose output has `pred_masks` and `iou_scores`.
        mask: which of a prompt's masks: its index, or 'best' for that of the largest predicted IoU, image by image.
        prompt: which prompt.

    Raises:
        InputError: `mask` or `prompt` is no index.
        ProbeError: the network's output holds no such mask, when it runs.
    """

    def __init__(self, network: nn.Module, mask: int | Literal["best"] = "best", prompt: int = 0) -> None:
        super().__init__(network)
        if mask != "best" and (type(mask) is not int or mask < 0):
            raise InputError(f"mask is {shown(mask)}: give an index from 0, or 'best'")
        if type(prompt) is not int or prompt < 0:
            raise InputError(f"prompt is {shown(prompt)}: give an index from 0")
        self.mask, self.prompt = mask, prompt

    def completed(self, images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the prompts; without any, the point in the middle of each image."""
        if any(inputs.get(name) is not None for name in PROMPTS):
            return inputs
        say_once(
            "no prompt was given, and the point in the middle of the image is taken: give inputs={'input_points':"
            " (b, prompts, points, 2)} or input_boxes"
        )
        middle = images.new_tensor([images.shape[3] / 2, images.shape[2] / 2])
        return {**inputs, "input_points": middle.expand(len(images), 1, 1, 2)}

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
