"""Networks of queries with a class and a mask each: Mask2Former, MaskFormer, OneFormer and EoMT of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from segcam.errors import ProbeError, unknown
from segcam.networks.queries.adapter import Adapter, field
from segcam.networks.queries.scores import class_scores, resized
from segcam.precision import without_autocast

MaskGrid = tuple[int, int] | Literal["own", "input"]

FAMILIES: Mapping[str, MaskGrid] = {
    "MaskFormerForInstanceSegmentation": "own",
    "OneFormerForUniversalSegmentation": "own",
    "Mask2FormerForUniversalSegmentation": (384, 384),
    "EomtForUniversalSegmentation": "input",
    "EomtDinov3ForUniversalSegmentation": "input",
}
"""Classes of transformers, and the grid that their post-processing brings mask logits to before it adds up scores."""

Task = Literal["semantic", "instance", "panoptic"]

_TASKS: Mapping[Task, tuple[int, ...]] = {"semantic": (29119, 1550), "instance": (34572,), "panoptic": (1072, 24755)}
"""The last word of 'the task is ...' in the vocabulary of CLIP, which OneFormer's processor writes its task in."""

_BEFORE, _END = (49406, 518, 10549, 533), 49407


class Semantic(Adapter):
    """A network of queries, read as a score for each class at each pixel.

    The score is `log sum_q p_q(c) m_q(x)`, see `class_scores`. It is declared as logits: 'logit' is this logarithm,
    the class of a pixel is that of the largest, and 'logprob' the logarithm of its share of the sum over classes.

    Args:
        network: Mask2Former, MaskFormer, OneFormer or EoMT of transformers, or any whose output has
            `class_queries_logits` and `masks_queries_logits`.
        at: 'input' for scores at the images' size, upsampled as by the network's own
            `post_process_semantic_segmentation`, so that the class of a pixel is the same; 'output' for scores on the
            grid of the mask logits, mostly a quarter of it, which takes less memory.

    Raises:
        InputError: `at` is unknown.
        ProbeError: the network's output holds no queries, when it runs.

    >>> import torch
    >>> from types import SimpleNamespace
    >>> class Queries(torch.nn.Conv2d):  # stands for a network of two queries and three classes
    ...     def forward(self, x):
    ...         masks = super().forward(x)
    ...         return SimpleNamespace(class_queries_logits=torch.randn(len(x), 2, 4), masks_queries_logits=masks)
    >>> Semantic(Queries(3, 2, 4, stride=4))(torch.rand(1, 3, 16, 24)).shape
    torch.Size([1, 3, 16, 24])
    """

    def __init__(self, network: nn.Module, at: Literal["input", "output"] = "input") -> None:
        super().__init__(network)
        if at not in ("input", "output"):
            raise unknown("resolution of scores", str(at), ("input", "output"))
        self.at = at
        self.grid = next((FAMILIES[name] for name in names_of(network) if name in FAMILIES), "own")
        self.config = getattr(network, "config", None)  # which names the classes

    def completed(self, images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the other inputs; OneFormer is told the task, unless it was."""
        return _with_task(self.network, "semantic", images, inputs)

    def read(self, output: Any, size: tuple[int, int]) -> Tensor:
        """Return the scores `(b, classes, h, w)`, float32 or wider."""
        classes, masks = queries_of(output)
        with without_autocast():
            grid = size if self.grid == "input" else self.grid
            if self.at == "input" and not isinstance(grid, str):
                masks = F.interpolate(
                    masks.to(torch.promote_types(masks.dtype, torch.float32)),
                    grid,
                    mode="bilinear",
                    align_corners=False,
                )
            scores = class_scores(classes, masks)
            return resized(scores, size) if self.at == "input" else scores


class EachQuery(Adapter):
    """A network of queries, read as the mask logits of each: what is explained is one query, as an instance.

    Queries stand where classes do: `Target(class_id=3, pixels="predicted")` is the mean mask logit of query 3 over its
    own mask, and a class for each image is a query for each. `list_queries` tells what they found.

    Args:
        network: see `Semantic`.
        task: what OneFormer is told, unless `task_inputs` are given; others do not ask.

    Raises:
        InputError: the task is unknown.
        ProbeError: the network's output holds no queries, when it runs.
    """

    output_meaning = "multilabel"

    def __init__(self, network: nn.Module, task: Task = "panoptic") -> None:
        super().__init__(network)
        if task not in get_args(Task):
            raise unknown("task", str(task), get_args(Task))
        self.task: Task = task

    def completed(self, images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the other inputs; OneFormer is told the task, unless it was."""
        return _with_task(self.network, self.task, images, inputs)

    def read(self, output: Any, _size: tuple[int, int]) -> Tensor:
        """Return the mask logits `(b, queries, h, w)`, on their own grid."""
        return queries_of(output)[1]


def queries_of(output: Any) -> tuple[Tensor, Tensor]:
    """Return what queries say: class logits `(b, q, classes + 1)`, the null class last, and mask logits `(b, q, h, w)`.

    Raises:
        ProbeError: the output holds none, or of another number of queries.
    """
    classes, masks = field(output, "class_queries_logits", 3), field(output, "masks_queries_logits", 4)
    if classes.shape[:2] != masks.shape[:2] or classes.shape[2] < 2:
        raise ProbeError(
            f"the queries' class logits are {tuple(classes.shape)} and their mask logits {tuple(masks.shape)}: "
            "(b, queries, classes + 1) and (b, queries, h, w) are needed"
        )
    return classes, masks


def names_of(network: nn.Module) -> list[str]:
    """Return the names of a network's class and of those that it is derived from; of a compiled one, what it was."""
    return [kind.__name__ for kind in type(getattr(network, "_orig_mod", network)).__mro__]


def _with_task(network: nn.Module, task: Task, images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
    if "task_inputs" in inputs or "OneFormerForUniversalSegmentation" not in names_of(network):
        return inputs
    length = int(getattr(getattr(network, "config", None), "task_seq_len", 77))
    words = [*_BEFORE, *_TASKS[task], _END][:length]
    tokens = torch.tensor([words + [0] * (length - len(words))], device=images.device)
    return {**inputs, "task_inputs": tokens.expand(len(images), -1)}
