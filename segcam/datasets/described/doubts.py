"""Doubts about masks that each can be read: palettes that differ, and what is ignored but may be a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segcam.datasets.decoded import SplitImages
from segcam.datasets.described.description import Description
from segcam.errors import DataError, first_of
from segcam.samples import IGNORE, SPLITS, Split


def see_that_masks_agree(
    splits: dict[Split, SplitImages], root: Path, described: Description, *, alone: bool = False
) -> None:
    """See that the masks' values can be classes.

    Args:
        splits: the images.
        root: the folder of the data.
        described: what their `classes.toml` says.
        alone: whether the data have no other splits; a few photographs may show no class at all then.

    Raises:
        DataError: palettes give one value several colours, or what is ignored may be a class.
    """
    first: dict[str, tuple[list[int], str]] = {}
    problems = []
    colours = set()
    for images in splits.values():
        for name, note in zip(images.ids, images.notes, strict=True):
            for value, colour in note["colours"].items():
                colours.add(tuple(colour))
                other, where = first.setdefault(value, (colour, name))
                if other != colour:
                    problems.append(
                        f"{value} is the colour {other} in the mask of {where}, and {colour} in that of {name}"
                    )
    masks = root / described.place.masks
    if problems:
        found = ", ".join(map(str, map(list, sorted(colours)[:10]))) + (", ..." if len(colours) > 10 else "")
        heading = (
            f"the palettes of the masks in {masks} differ, so that their values are no classes; save masks as "
            "greyscale PNG with the classes' indices as values, or name each class's colour in classes.toml, colours "
            f"= {{...}}, of {found}"
        )
        raise DataError(first_of(problems, heading))
    notes = [note["colours"] for images in splits.values() for note in images.notes]
    black = [value for value, (colour, _) in first.items() if colour == [0, 0, 0] and value != "0"]
    if all(notes) and "0" in first and black and first["0"][0] != [0, 0, 0] and not described.stated:
        raise DataError(
            f"in the palettes of the masks in {masks} 0 is the colour {first['0'][0]} and {black[0]} is black: is "
            f"'{described.classes[0]}' the black one? Then name each class's colour in classes.toml, colours = {{...}};"
            " where the palettes say nothing, name each value's class, values = {0 = 0, ...}"
        )
    whole = alone and any(note["ignored"] for images in splits.values() for note in images.notes)
    if (whole or set(splits) == set(SPLITS)) and not described.known:
        _ask(splits, masks, described)


def _ask(splits: dict[Split, SplitImages], masks: Path, described: Description) -> None:
    """Ask what the ignored value is where masks look as if it were a class.

    Raises:
        DataError: no mask holds a class but the background; or some masks hold classes, others nothing but background
            and what is ignored, as where some were saved in black and white.
    """
    named = [pair for images in splits.values() for pair in zip(images.ids, images.notes, strict=True)]
    pixels = np.array([note["pixels"] for _, note in named])
    background = described.values.get(0) != IGNORE  # as in ADE20K, where the first class is one like the others
    classes, ignored = pixels[:, int(background) : -1].sum(1), pixels[:, -1]
    if not ignored.any():
        if not classes.any():
            raise DataError(
                f"no mask in {masks} holds a class but the background, '{described.classes[0]}': all {len(named)} are "
                "blank; name the folder of the masks that are meant with folders = {...} in classes.toml"
            )
        return
    values = sorted({str(value) for _, note in named for value in note["ignored"]})
    listed_values, value, names = ", ".join(values[:10]), values[0], described.classes
    key = "values" if described.by_value else "colours"
    if not classes.any():
        raise DataError(
            f"no mask in {masks} holds a class but the background: {ignored.sum():,} pixels are {listed_values}, which "
            f"is ignored; where that is the class '{names[int(background)]}', say so in classes.toml, {key} = "
            + (f"{{{_example(names, value)}}}" if described.by_value else f"{{{names[-1]} = {value}, ...}}")
            + f", and leave {value} out of ignore"
        )
    bare = (classes == 0) & (ignored > 0)
    if described.stated or not bare.any() or not (described.asked or not ((classes > 0) & (ignored > 0)).any()):
        return
    usual = ", ".join(f"{i} = {i}" for i in range(len(names)))
    first = next(name for (name, _), is_bare in zip(named, bare, strict=True) if is_bare)
    raise DataError(
        f"{bare.sum()} of {len(bare)} masks in {masks}, such as that of {first}, hold the background and "
        f"{listed_values} alone, which is ignored, and {(classes > 0).sum()} others hold classes: is {value} a class? "
        f"Then say so in classes.toml, values = {{{usual}, {value} = 1}}, and leave {value} out of ignore; where it "
        f"belongs to none, say values = {{{usual}}} and ignore = {value}"
    )


def _example(names: Sequence[str], value: str) -> str:
    """Return what gives a value to class 1, and leaves the others as they are."""
    return ", ".join(["0 = 0", f"{value} = 1", *(f"{i} = {i}" for i in range(2, len(names)))])
