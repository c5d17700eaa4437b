"""Classes of a network: the indices of their names."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from torch import nn

from segcam.classes import Classes, class_ids, members
from segcam.errors import ProbeError, unknown


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


def names_of(model: nn.Module) -> dict[str, int]:
    """Return the indices of the classes' names, where a transformers network tells them."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return {str(name): int(i) for i, name in names.items()} if isinstance(names, dict) else {}
