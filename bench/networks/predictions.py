"""Predictions: a network's classes in the data's words, and what it predicts in the place of masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor, nn

from bench.planning.request import Request
from bench.planning.sections import Explained, members
from bench.planning.views import Pixels, pixels_of
from segcam.probe.network.elements import OVERLAPPING
from segcam.probe.probe import Capture
from segcam.probe.targets import Target
from segcam.probe.targets.dense import predicted
from segcam.samples import IGNORE, Batch, Images, Sample


def lookup(
    classes: Sequence[str], named: Sequence[str], explained: Collection[int], class_id: Explained
) -> tuple[int, ...] | None:
    """Return the data's class for each of a network's; None where they are the same.

    Args:
        classes: the network's.
        named: the data's; the first is the background.
        explained: which of the network's are the class explained.
        class_id: that class among the data's.

    >>> lookup(["background", "cat", "sofa", "dog"], ["background", "pet"], {1, 3}, 1)
    (0, 1, 0, 1)
    """
    if tuple(classes) == tuple(named) or len(classes) == len(named):
        return None
    index = {name: i for i, name in enumerate(named)}
    one = min(members(class_id))
    return tuple(index.get(name, one if i in explained else 0) for i, name in enumerate(classes))


class PredictedMasks:
    """Images with the classes that a network predicts in the place of masks.

    Args:
        images: the split.
        model: the network, on its device.
        request: its layers, and what its output means.
    """

    def __init__(self, images: Images, model: nn.Module, request: Request) -> None:
        self.images = images
        self._probe = request.probe(model, request.layers[-1:])
        self._request = request
        self._device = next(model.parameters()).device
        self._masks: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def __getitem__(self, index: int, /) -> Sample:
        """Return an image with what is predicted of it."""
        sample = self.images[index]
        if index not in self._masks:
            self._masks[index] = self._predicted(sample)
        return replace(sample, mask=self._masks[index])

    def pixels(self, classes: int, indices: Sequence[int] | None = None) -> Pixels:
        """Return how many pixels of each image show each class; of classes that overlap a pixel may show several.

        Args:
            classes: how many the data have.
            indices: of the images; all unless given.
        """
        chosen = range(len(self)) if indices is None else indices
        if self._request.output not in OVERLAPPING:
            return pixels_of([self[index] for index in chosen], classes)
        found = np.zeros((len(chosen), classes), np.int64)
        for row, index in enumerate(chosen):
            sample = self.images[index]
            capture = self._probe(Batch.of([sample], self._device).inputs(), self._request.targets[0])
            dense = replace(capture.target, at="input").dense(capture.logits, capture.size, None)
            there = (dense.logits[0] > 0).cpu().numpy()
            there = there if sample.valid is None else there & sample.valid
            names = self._request.lookup or range(len(there))
            for c, region in zip(names, there, strict=True):
                found[row, c] += region.sum()
        return found

    def _predicted(self, sample: Sample) -> npt.NDArray[np.uint8]:
        capture = self._probe(Batch.of([sample], self._device).inputs(), self._request.targets[0])
        classes = class_maps(capture, self._request)[0].to(torch.uint8).cpu().numpy()
        if sample.valid is not None:
            classes[~sample.valid] = IGNORE
        return classes


def class_maps(capture: Capture, request: Request) -> Int[Tensor, "b h w"]:
    """Return the data's class that a network predicts at each pixel of the input.

    Of classes that overlap, the one explained where it is predicted, and the background elsewhere.
    """
    target = replace(capture.target, at="input")
    dense = target.dense(capture.logits, capture.size, None)
    if dense.overlapping:
        return predicted(dense).long() * min(members(request.class_id))
    classes = dense.logits.argmax(1)
    return classes if request.lookup is None else torch.tensor(request.lookup, device=classes.device)[classes]


def classifier(model: nn.Module, request: Request) -> Callable[[Tensor], Tensor]:
    """Return what gives the data's class at each pixel of a network's input, whatever its output means."""
    probe = request.probe(model, request.layers[-1:])
    return lambda images: class_maps(probe(images, Target(class_id=0, pixels="image")), request)
