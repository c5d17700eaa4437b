"""What the header of a file of weights may say, key by key; read and written by the same rules."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from segcam.errors import shown
from segcam.samples import IGNORE

MOST = 2**63
"""No integer of a header is as great."""
LONGEST = 1000
"""Characters of the longest text of a header."""

Check = tuple[Callable[[Any], bool], str]
"""Tells whether a value is all right, and what it must be."""


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable()


def _number(low: float, high: float, *, nan: bool = False) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if type(value) not in (int, float):
            return False
        return (nan and math.isnan(value)) or low <= value <= high

    return check


def _integer(low: int, high: int = MOST - 1) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _classes(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= IGNORE and all(map(_text, value)) and _distinct(value)


def _distinct(values: list[str]) -> bool:
    return len(set(values)) == len(values)


def _parameter(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST
    return isinstance(value, bool) or _number(-MOST, MOST)(value)


def _parameters(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value)) and all(map(_parameter, value.values()))


def _shares(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value)) and all(map(_number(0, 1, nan=True), value.values()))


def _numbers(low: float, counts: range) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) in counts and all(map(_number(low, 1e6), value))


TEXT: Check = (_text, "a text")
COUNT: Check = (_integer(0), "a number from 0")
SHARE: Check = (_number(0, 1, nan=True), "a number from 0 to 1")
FLAG: Check = (lambda value: isinstance(value, bool), "true or false")
KEYS: Mapping[str, Check] = {
    **dict.fromkeys(("architecture", "model", "dataset", "border", "cell", "training_data"), TEXT),
    **dict.fromkeys(("step", "images_seen", "seed"), COUNT),
    **dict.fromkeys(("miou", "best_miou", "nearest_miou", "baseline_miou", "predicted_share", "tolerance"), SHARE),
    **dict.fromkeys(("reached", "averaged"), FLAG),
    "classes": (_classes, f"1 to {IGNORE} different names"),
    "iou": (_shares, "a number from 0 to 1 a class"),
    "level": (_integer(1, 100), "a percentage"),
    "mean": (_numbers(-1e6, range(1, 1001)), "a number a channel"),
    "parameters": (_parameters, "names with a number, a text, true or false each"),
    "range": (_numbers(-1e6, range(2, 3)), "the lowest and the highest value of a pixel"),
    "seconds": (_number(0, 1e12), "a number from 0"),
    "size": (_integer(1, 2**16), "a number of pixels"),
    "std": (_numbers(1e-6, range(1, 1001)), "a number above 0 a channel"),
}
"""Keys that mean something to segcam; a header may say more."""


def problem(header: Any, needs: tuple[str, ...] = ()) -> str:
    """Say what is wrong with a header; '' where nothing is.

    Args:
        header: what was read.
        needs: the keys that it must have.
    """
    if not isinstance(header, dict):
        return f"the header is {shown(header)}, no names with values"
    for key in needs:
        if key not in header:
            return f"the header lacks '{key}'"
    for key, value in header.items():
        check, must = KEYS.get(key, (None, ""))
        if check and not check(value):
            return f"'{key}' of the header is {shown(value)}: it must be {must}"
    return ""


def as_text(header: Mapping[str, Any]) -> str:
    """Return a header as one JSON text, whatever the order of its keys."""
    return json.dumps(json.loads(json.dumps(header)), sort_keys=True)
