"""Where two sets of settings differ."""

from __future__ import annotations

from typing import Any


def differences(before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Return the keys, with dots, that differ, and both values.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4})
    [('a.c', 2, 3), ('d', 'absent', 4)]
    """
    old, new = _flat(before), _flat(now)
    pairs = ((key, old.get(key, "absent"), new.get(key, "absent")) for key in sorted({*old, *new}))
    return [(key, a, b) for key, a, b in pairs if a != b]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".lstrip(".")).items()}
