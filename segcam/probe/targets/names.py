"""Names of targets: 'predicted:margin', 'instance(40,62):logit', 'border(2):pair@output', and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segcam.classes import Classes, label
from segcam.errors import InputError, shown, unknown
from segcam.probe.targets.pixels import PIXEL_SETS
from segcam.probe.targets.regions import Region
from segcam.probe.targets.scores import SCORES

PLACED: Mapping[str, tuple[int, Callable[..., Region]]] = {"box": (4, Region.box), "pixel": (2, Region.pixel)}
"""Regions that a name can hold: how many numbers they take, and what makes them."""

_PLACES = {"box": "box(top,left,bottom,right)", "pixel": "pixel(row,column)"}
_NAME = re.compile(r"(?P<pixels>[^:@()]*(?:\([^()]*\))?)(?::(?P<score>[^:@()]*(?:\([^()]*\))?))?(?:@(?P<at>.*))?")
_NUMBER = re.compile(r" *([0-9]{1,9}) *", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """What a name, or a part of one, says.

    Attributes:
        what: the pixel set or score, or a region.
        fields: fields of `Target` beside it.
    """

    what: str | Region
    fields: Mapping[str, Any] = field(default_factory=dict)


def split(name: str) -> tuple[str, str, str]:
    """Return the pixel set, score and place of a target's name; '' for what it does not say.

    Raises:
        InputError: it is none.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise no_pixel_set(name.partition(":")[0])
    pixels, score, at = match.groups(default="")
    return pixels, score, at


def pixels_of(text: str) -> Named:
    """Read a pixel set with what it takes in parentheses.

    Raises:
        InputError: what stands there is not what it takes.
    """
    name, opened, rest = text.partition("(")
    given = rest.removesuffix(")")
    if name == "region":
        raise InputError(
            f"'{text}' names a region of one's own, which no name holds: give Target(class_id, Region(mask)), or "
            "name 'box(top,left,bottom,right)' or 'pixel(row,column)'"
        )
    if name in PLACED and not opened:
        raise InputError(f"region '{name}' needs its place: '{_PLACES[name]}', in pixels of the input")
    if not opened:
        return Named(text)
    if name in PLACED:
        count, make = PLACED[name]
        return Named(make(*_numbers(text, given, count)))
    takes = PIXEL_SETS[name].takes if name in PIXEL_SETS else None
    if takes == "other":
        return Named(name, {"other": class_of(given)})
    if takes == "point":
        return Named(name, {"point": tuple(_numbers(text, given, 2))})
    number = _NUMBER.fullmatch(given)
    if name not in PIXEL_SETS or number is None:
        raise no_pixel_set(text)
    return Named(name, {"distance": int(number[1])})


def score_of(text: str) -> Named:
    """Read a score with the other class in parentheses, where it takes one.

    Raises:
        InputError: it takes none.
    """
    name, opened, rest = text.partition("(")
    if not opened:
        return Named(text)
    if name != "pair":
        raise unknown("score", text, SCORES)
    return Named(name, {"other": class_of(rest.removesuffix(")"))})


def class_of(text: str) -> Classes:
    """Read a class from a name: an index, a name, or several that count as one, joined by '+'.

    Raises:
        InputError: there is none.
    """
    if not all(part.strip() for part in text.split("+")):
        raise InputError(
            f"the other class in the target's name is {shown(text)}: an index is needed, such as border(2)"
        )
    members = frozenset(int(part) if _NUMBER.fullmatch(part) else part.strip() for part in text.split("+"))
    return next(iter(members)) if len(members) == 1 else members


def no_pixel_set(name: str) -> InputError:
    """Return the error for an unknown pixel set."""
    return unknown("pixel set", name, (*PIXEL_SETS, *PLACED))


def of_set(pixels: str, fields: Mapping[str, Any]) -> str:
    """Return the name of a pixel set with what it was told: what `pixels_of` reads."""
    takes = PIXEL_SETS[pixels].takes
    value = None if takes is None else fields[takes]
    if value is None:
        return pixels
    if takes == "point":
        return f"{pixels}({value[0]},{value[1]})"
    return f"{pixels}({label(value) if takes == 'other' else value})"


def _numbers(text: str, given: str, count: int) -> list[int]:
    found = [_NUMBER.fullmatch(part) for part in given.split(",")]
    if len(found) != count or not all(found):
        raise InputError(f"{shown(text)}: {count} whole numbers of pixels are needed, separated by commas")
    return [int(one[1]) for one in found if one is not None]
