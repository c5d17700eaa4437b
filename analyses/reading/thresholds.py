"""Overlaps of maps cut at thresholds: what the columns of the table are called."""

from __future__ import annotations

from collections.abc import Iterable

TABLE = "thresholds"
START = "iou_"
OTSU = "otsu"
CHOOSE, TEST = "choose", "test"
"""The images that a threshold is chosen on, and those that it is judged on."""


def column(threshold: float) -> str:
    """Return the column of a threshold.

    >>> column(0.05)
    'iou_0.05'
    """
    return f"{START}{threshold:g}"


def thresholds(columns: Iterable[object]) -> dict[str, float]:
    """Return the thresholds by their columns, rising.

    >>> thresholds(["image", "otsu", "iou_0.5", "iou_0.05"])
    {'iou_0.05': 0.05, 'iou_0.5': 0.5}
    """
    found = {str(name): float(str(name).removeprefix(START)) for name in columns if str(name).startswith(START)}
    return dict(sorted(found.items(), key=lambda item: item[1]))
