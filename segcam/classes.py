"""Classes as people give them: an index or a name, or a set of them as one; one for all images or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from segcam.arrays import whole
from segcam.errors import InputError, shown

IGNORE = 255
"""The mask value of pixels that belong to no class: a trimap's border, or what a user's masks leave out."""

ClassId: TypeAlias = int | str
"""A class by its index or its name."""

Classes: TypeAlias = ClassId | AbstractSet[ClassId]
"""What one image is asked about: a class, or a set of classes that counts as one."""


def class_ids(given: object, what: str = "the target's class") -> Classes | tuple[Classes, ...]:
    """Return indices as Python's own integers, names as they are, and sets of them as frozen sets.

    A list, a tuple or a tensor of one axis holds one for each image. A set of one class is that class.

    >>> class_ids({8, 12}) == frozenset({8, 12}), class_ids([1, {2}, "dog"])
    (True, (1, 2, 'dog'))

    Raises:
        InputError: it is none of these.
    """
    values = given.tolist() if isinstance(given, (Tensor, np.ndarray, np.generic)) else given
    if isinstance(values, (list, tuple)) and values:
        return tuple(_classes(value, what) for value in values)
    return _classes(values, what)


def _classes(value: object, what: str) -> Classes:
    if isinstance(value, AbstractSet):
        members = frozenset(one if isinstance(one, str) else whole(one, what) for one in value)
        if not members:
            raise InputError(f"{what} is an empty set: name at least one class")
        return next(iter(members)) if len(members) == 1 else members
    if isinstance(value, (list, tuple, range, dict)):
        raise InputError(
            f"{what} is {shown(value)}: several classes that count as one are a set, such as {{1, 2}}; for one an "
            "image give a list with a class or a set for each"
        )
    return value if isinstance(value, str) else whole(value, what)


def members(classes: Classes) -> tuple[ClassId, ...]:
    """Return the classes of a set, or the one class; indices in their order before names in theirs.

    >>> members(frozenset({12, 8})), members("dog")
    ((8, 12), ('dog',))
    """
    if not isinstance(classes, AbstractSet):
        return (classes,)
    return tuple(sorted(classes, key=lambda one: (isinstance(one, str), str(one) if isinstance(one, str) else one)))


def label(classes: Classes, names: Sequence[str] = ()) -> str:
    """Return a class's name in print, those of a set joined by '+'; the index where it has no name.

    >>> label(frozenset({2, 1}), ["background", "cat", "dog"]), label(3)
    ('cat+dog', '3')
    """
    named = [names[one] if isinstance(one, int) and one < len(names) else str(one) for one in members(classes)]
    return "+".join(named)


def class_index(class_id: object) -> int:
    """Return the index of a class as masks may hold it.

    Raises:
        InputError: it is no whole number from 0 to 254; 255 marks ignored pixels.
    """
    index = whole(class_id, "the class")
    if not 0 <= index < IGNORE:
        raise InputError(
            f"the class is {index}: an index from 0 to {IGNORE - 1} is needed ({IGNORE} marks what is ignored)"
        )
    return index


def belonging(masks: Integer[Tensor, "b h w"], class_id: Classes | Sequence[Classes]) -> Bool[Tensor, "b h w"]:
    """Return the pixels that belong to a class, to any class of a set, or to each image's own.

    Raises:
        InputError: an index is none that masks may hold, or there are classes for another number of images.
    """
    classes = class_ids(class_id, "the class")
    if not isinstance(classes, tuple):
        return _of(masks, classes)
    if len(classes) != len(masks):
        raise InputError(f"{len(classes)} classes are given for {len(masks)} images: give one, or one an image")
    return torch.stack([_of(mask, one) for mask, one in zip(masks, classes, strict=True)])


def _of(masks: Integer[Tensor, "*b h w"], classes: Classes) -> Bool[Tensor, "*b h w"]:
    indices = [class_index(one) for one in members(classes)]
    if len(indices) == 1:
        return masks == indices[0]
    return torch.isin(masks, torch.tensor(indices, device=masks.device, dtype=masks.dtype))
