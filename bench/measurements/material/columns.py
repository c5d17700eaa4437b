"""Columns of tables: put under each other, and confusion counts an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.planning.measurement import Columns
from bench.planning.sections import Explained, members
from segcam.samples import Batch, Border, Images, with_border
from segcam.scoring.miou import confusion

PIXELS = 16 * 128**2
"""Pixels in a batch: large images come in small batches, so that memory is the same for all sizes."""


def joined(tables: Sequence[Columns]) -> Columns:
    """Put tables of the same columns under each other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def map_rows(ids: Sequence[str], labels: Mapping[str, Any], values: Mapping[str, Tensor]) -> Columns:
    """Return columns with a row for each map of each image.

    Args:
        ids: names of the `b` images.
        labels: what the other keys are: an item for each of an image's `m` maps, or one for all rows.
        values: numbers, `(b, m)` each.
    """
    count = next(iter(values.values())).shape[1]
    keys = {
        name: np.tile(label, len(ids)) if np.ndim(label) else np.full(len(ids) * count, label)
        for name, label in labels.items()
    }
    floats = {name: numbers.float() if numbers.is_floating_point() else numbers for name, numbers in values.items()}
    numbers = {name: column.cpu().numpy().reshape(-1) for name, column in floats.items()}
    return {"image": np.repeat(np.asarray(ids), count), **keys, **numbers}


def resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return logits `(b, k, h, w)` in float32, brought to `size` bilinearly."""
    logits = logits.float()
    if tuple(logits.shape[2:]) == size:
        return logits
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def predicted(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the class index a pixel, `(b, h, w)`, of logits brought to `size`."""
    return resized(logits, size).argmax(1)


def count_columns(batch: Batch, predictions: Tensor, classes: int, border: Border, class_id: Explained) -> Columns:
    """Return columns of confusion counts, a row an image.

    Args:
        batch: the images.
        predictions: class index a pixel, `(b, h, w)`.
        classes: number of classes.
        border: the class of ignored pixels.
        class_id: the class whose presence in the prediction is told, and that border pixels may count as.

    Returns:
        `image`, `predicted` (whether any pixel is predicted as the class), and `n_i_j`: pixels of true class i
        predicted as j.
    """
    labels = with_border(batch.masks, border, min(members(class_id)), batch.valid)
    counts = confusion(predictions, labels, classes).cpu().numpy()
    of_class = torch.isin(predictions, torch.tensor(sorted(members(class_id)), device=predictions.device))
    if batch.valid is not None:
        of_class &= batch.valid
    present = of_class.flatten(1).any(1).cpu().numpy()
    columns: Columns = {"image": np.array(batch.ids), "predicted": present}
    return columns | {f"n_{i}_{j}": counts[:, i, j] for i in range(classes) for j in range(classes)}


@torch.no_grad()
def counted(
    model: nn.Module,
    images: Images,
    classes: Sequence[str],
    border: Border,
    class_id: Explained,
    advance: Callable[[int], None],
    classify: Callable[[Tensor], Tensor] | None = None,
) -> Columns:
    """Predict images with a network and count.

    Args:
        model: the network in eval mode, on its device.
        images: images of one size.
        classes: names of the classes.
        border: the class of ignored pixels.
        class_id: see `count_columns`.
        advance: called with the number of images done since the last call.
        classify: gives the class index a pixel of the network's input; by default that of its largest logit.
    """
    device = next(model.parameters()).device
    size = images[0].mask.shape
    step = max(1, PIXELS // (size[0] * size[1]))
    tables: list[Columns] = []
    for first in range(0, len(images), step):
        batch = Batch.of([images[i] for i in range(first, min(first + step, len(images)))], device)
        inputs = batch.inputs().contiguous(memory_format=torch.channels_last)
        predictions = predicted(model(inputs), (size[0], size[1])) if classify is None else classify(inputs)
        tables.append(count_columns(batch, predictions, len(classes), border, class_id))
        advance(len(batch.ids))
    return joined(tables)
