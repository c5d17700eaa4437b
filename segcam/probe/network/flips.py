"""Flips: whether a network mirrors or turns what it is given, seen while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.overrides import TorchFunctionMode


class Flips(TorchFunctionMode):
    """Sees whether anything is put in reverse order; what a compiled network does is not seen.

    Attributes:
        seen: whether it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and take note of its name."""
        self.seen |= getattr(func, "__name__", "") in _FLIPPING
        return func(*args, **(kwargs or {}))


_FLIPPING = ("flip", "fliplr", "flipud", "rot90")
