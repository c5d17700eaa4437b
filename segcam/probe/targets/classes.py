"""Classes: by index or name, one for all images or one for each, as people give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from torch import Tensor, nn

from segcam.arrays import whole
from segcam.errors import InputError, ProbeError, shown, unknown

ClassId: TypeAlias = int | str
"""A class by its index or its name."""


def class_ids(given: object) -> ClassId | tuple[ClassId, ...]:
    """Return indices as Python's own integers, and names as they are.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(given, str):
        return given
    values = given.tolist() if isinstance(given, (Tensor, np.ndarray, np.generic)) else given
    if isinstance(values, (list, tuple)) and values:
        return tuple(_class_id(value) for value in values)
    return _class_id(values)


def _class_id(value: object) -> ClassId:
    if isinstance(value, (list, tuple, set, frozenset, range, dict)):
        raise InputError(
            f"the target's class is {shown(value)}: one class an image is explained; for several at once wrap the "
            "network in a Module that joins their logits, torch.logsumexp(logits[:, [1, 2]], 1), in one channel"
        )
    return value if isinstance(value, str) else whole(value, "the target's class")


def indices(given: ClassId | tuple[ClassId, ...], names: Mapping[str, int]) -> ClassId | tuple[ClassId, ...]:
    """Return the classes with indices for names.

    Raises:
        ProbeError: a name is none of the network's; the message lists those.
    """
    ids = given if isinstance(given, tuple) else (given,)
    if not any(isinstance(one, str) for one in ids):
        return given
    wrong = [one for one in ids if isinstance(one, str) and one not in names]
    if wrong and not names:
        raise ProbeError(
            f"class {wrong[0]!r} is a name, and the network tells none: give its index, or the names with "
            "Probe(..., classes=[...])"
        )
    if wrong:
        raise ProbeError(str(unknown("class", wrong[0], names)))
    found = tuple(names[one] if isinstance(one, str) else one for one in ids)
    return found if isinstance(given, tuple) else found[0]


def names_of(model: nn.Module) -> dict[str, int]:
    """Return the indices of the classes' names, where a transformers network tells them."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return {str(name): int(i) for i, name in names.items()} if isinstance(names, dict) else {}
