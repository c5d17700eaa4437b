"""Asked: whether what is asked for can be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from segcam.classes import IGNORE, Classes, label, members
from segcam.datasets.resizing import Resize
from segcam.errors import InputError, shown, unknown
from segcam.explaining.photographs import Photograph
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric
from segcam.probe.targets import Target


def methods_of(given: str | Method | Sequence[str | Method]) -> list[Method]:
    """Return the methods asked for.

    Raises:
        InputError: there is none, or one stands twice.
    """
    listed = [given] if isinstance(given, (str, Method)) else given
    found = [METHODS.get(one) if isinstance(one, str) else one for one in listed]
    if not found:
        raise InputError("methods are empty: name at least one, such as grad_cam")
    if len({method.name for method in found}) < len(found):
        raise InputError(f"methods are {', '.join(method.name for method in found)}: name each once")
    return found


def listed(given: str | Sequence[Any] | None) -> Sequence[Any]:
    """Return one name as a list of one, and nothing as none."""
    return [given] if isinstance(given, str) else given or []


def see_masks(photographs: Sequence[Photograph], classes: int) -> None:
    """See that masks hold no class that the network does not have.

    Raises:
        InputError: one does.
    """
    for one in photographs:
        if one.mask is None:
            continue
        odd = [int(index) for index in np.unique(one.mask) if classes <= index < IGNORE]
        if odd:
            raise InputError(
                f"the mask of '{one.name}' holds {', '.join(map(str, odd[:8]))}: the network has classes 0 to "
                f"{classes - 1}, and {IGNORE} is ignored; renumber the masks"
            )


def see_class(
    target: Target, wanted: Sequence[Sequence[Classes]], photographs: Sequence[Photograph], names: Sequence[str]
) -> None:
    """See that some mask holds a class that is explained.

    Raises:
        InputError: none does.
    """
    if target.pixels == "false_positive" or photographs[0].mask is None:
        return
    there = [set(np.unique(one.mask).tolist()) for one in photographs]  # type: ignore[arg-type]  # all have one
    if not any(set(members(each)) & held for of_image, held in zip(wanted, there, strict=True) for each in of_image):
        every = sorted(set().union(*there))
        held = ", ".join(f"{number} (ignored)" if number == IGNORE else str(number) for number in every)
        explained = " or ".join(dict.fromkeys(label(one, names) for of_image in wanted for one in of_image))
        raise InputError(
            f"no mask holds the class that is explained, {explained}: they hold {held}. Renumber the masks, name "
            "another class_id, or leave masks out, which measures against what the network predicts"
        )


def metrics_of(names: Sequence[str] | None, masked: bool) -> list[Metric]:
    """Return the metrics asked for.

    Raises:
        InputError: one that is named looks at masks, and there are none.
    """
    if names is None:
        return list(METRICS)
    found = [METRICS.get(name) for name in ([names] if isinstance(names, str) else names)]
    if not masked and (needing := next((metric.name for metric in found if metric.masks), None)):
        raise InputError(
            f"metric '{needing}' measures against masks: give masks, or leave metrics out, which measures against what "
            "the network predicts"
        )
    return found


def see_sizes(size: int | None, resize: Resize, photographs: Sequence[Photograph]) -> None:
    """See that photographs can be brought to a size.

    Raises:
        InputError: size or way have no meaning, or an image is taken as it is.
    """
    if resize not in get_args(Resize):
        raise unknown("resize", resize, get_args(Resize))
    if size is None:
        return
    if type(size) is not int or size < 1:
        raise InputError(f"size is {shown(size)}: the pixels of a side, a whole number from 1, are needed")
    if plain := [one.name for one in photographs if one.values.dtype != np.uint8]:
        raise InputError(
            f"size is {size}, and image '{plain[0]}' holds floating-point numbers, which go into the network as they "
            "are: resize it, or give it as uint8"
        )


def see_number(name: str, value: object, least: int) -> None:
    """See that a number is a whole one, and no less than a least one.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {shown(value)}: a whole number from {least} is needed")


def level_names(files: Sequence[Path | str]) -> list[str]:
    """Return what levels are called: their files' names without endings, or where these are alike the whole paths.

    >>> level_names(["e05.pt", "e10.pt"]), level_names(["e05/w.pt", "e10/w.pt"])
    (['e05', 'e10'], ['e05/w.pt', 'e10/w.pt'])

    Raises:
        InputError: there is none, or a file stands twice.
    """
    if not files:
        raise InputError("weights are empty: name a file, or leave them out")
    names = [Path(file).stem for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"weights name {twice} twice: name each file once")
    return names
