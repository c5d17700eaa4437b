"""Classes of a network: the indices of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from torch import nn

from segcam.arrays import whole
from segcam.classes import Classes, class_ids, members
from segcam.errors import InputError, ProbeError, shown, unknown


def indices(given: Classes | tuple[Classes, ...], names: Mapping[str, int]) -> Classes | tuple[Classes, ...]:
    """Return the classes with indices for names.

    Raises:
        ProbeError: a name is none of the network's; the message lists those.
    """
    of_images = given if isinstance(given, tuple) else (given,)
    ids = [one for classes in of_images for one in members(classes)]
    wrong = [one for one in ids if isinstance(one, str) and one not in names]
    if wrong and not names:
        raise ProbeError(
            f"class {wrong[0]!r} is a name, and the network tells none: give its index, or the names with "
            "Probe(..., classes=[...])"
        )
    if wrong:
        raise ProbeError(str(unknown("class", wrong[0], names)))

    def index(classes: Classes) -> Classes:
        found = frozenset(names[one] if isinstance(one, str) else one for one in members(classes))
        return found if isinstance(classes, AbstractSet) else next(iter(found))

    return class_ids([index(one) for one in given] if isinstance(given, tuple) else index(given))


def by_name(given: object) -> dict[str, int]:
    """Return the indices of classes whose names are listed in their order, or given with their indices.

    >>> by_name(["background", "cat"]), by_name({1: "cat"}), by_name({"cat": 1})
    ({'background': 0, 'cat': 1}, {'cat': 1}, {'cat': 1})

    Raises:
        InputError: they are no names, of no known order, or two are the same.
    """
    pairs: list[tuple[object, object]]
    if isinstance(given, Mapping):
        turned = all(isinstance(key, str) for key in given)
        pairs = [(key, value) if turned else (value, key) for key, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        pairs = [(name, i) for i, name in enumerate(given)]
    else:
        raise InputError(f"classes are {shown(given)}: a list of their names in order, or a dict of indices, is needed")
    wrong = [name for name, _ in pairs if not isinstance(name, str)]
    if wrong:
        raise InputError(f"classes hold {shown(wrong[0])}: names are needed, such as classes=['background', 'cat']")
    named = {str(name): whole(index, f"the index of class {name!r}") for name, index in pairs}
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two classes are named {double!r}: give each a name of its own")
    return named


def names_of(model: nn.Module) -> dict[str, int]:
    """Return the indices of the classes' names, where a transformers network tells them."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return {str(name): int(i) for i, name in names.items()} if isinstance(names, dict) else {}
