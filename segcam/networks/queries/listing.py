"""Listing: what each query of a network found in images, so that one can be chosen and explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.networks.queries.adapter import Adapter
from segcam.networks.queries.masks import EachQuery, Task, queries_of
from segcam.probe.layouts import size_of
from segcam.probe.network.held import Network, frozen, told
from segcam.probe.network.inputs import Inputs, checked_images, checked_inputs
from segcam.probe.targets.classes import names_of
from segcam.scoring.grids import upsample


@dataclass(frozen=True, slots=True)
class Query:
    """What a query found in an image.

    Attributes:
        index: which query it is, as `Target(class_id=index)` of `EachQuery` takes it.
        class_id: its likeliest class but the null class.
        class_name: that class's name; its index as text where the network tells none.
        score: the class's probability times the mean of the mask's probability over its mask, as for instances in
            Mask2Former's post-processing; 0 for an empty mask.
        area: the number of pixels of the input at which its mask logit is above 0.
    """

    index: int
    class_id: int
    class_name: str
    score: float
    area: int


def list_queries(
    network: nn.Module,
    images: Float[Tensor, "b ch h w"],
    *,
    task: Task = "panoptic",
    inputs: Inputs | None = None,
) -> list[list[Query]]:
    """List what each query found in each image, the best score first.

    The network is run once in eval mode, in float32; it is left as it was.

    Args:
        network: Mask2Former, MaskFormer, OneFormer or EoMT of transformers, or an adapter of one.
        images: its input, prepared as it takes it.
        task: what OneFormer is told, unless `task_inputs` are given.
        inputs: what it takes beside the images.

    Raises:
        ProbeError: it fails on the images, or its output holds no queries.
    """
    plain = network.network if isinstance(network, Adapter) else network
    reading = _Both(plain, task)
    images, given = checked_images(plain, images), checked_inputs(inputs)
    with frozen(reading) as tensors, torch.no_grad(), told(plain, images):
        held = Network(reading, tensors, given)
        held(held.prepared(images))
    classes, masks = reading.last
    names = {i: name for name, i in names_of(plain).items()}
    masks = upsample(masks.float(), size_of(images))
    inside = masks > 0
    area = inside.flatten(2).sum(2)
    likely = (masks.sigmoid() * inside).flatten(2).sum(2) / area.clamp(min=1)
    best = classes.float().softmax(-1)[..., :-1].max(-1)
    scores = best.values * likely
    return [_listed(best.indices[n].tolist(), scores[n].tolist(), area[n].tolist(), names) for n in range(len(images))]


class _Both(EachQuery):
    """Keeps the class logits too, which no dense output has room for."""

    last: tuple[Tensor, Tensor]

    def read(self, output: object, _size: tuple[int, int]) -> Tensor:
        self.last = queries_of(output)
        return self.last[1]


def _listed(
    classes: Sequence[int], scores: Sequence[float], areas: Sequence[int], names: dict[int, str]
) -> list[Query]:
    found = [
        Query(index, class_id, names.get(class_id, str(class_id)), score, area)
        for index, (class_id, score, area) in enumerate(zip(classes, scores, areas, strict=True))
    ]
    return sorted(found, key=lambda query: -query.score)
