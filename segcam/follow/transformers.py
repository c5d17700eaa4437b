"""A callback for the `Trainer` of transformers: `Trainer(..., callbacks=[FollowCallback(...)])`."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from segcam._compat import mend_torchvision
from segcam.errors import InputError
from segcam.follow.follower import Follow


def _base() -> Any:
    """Return the class of callbacks; `object` where transformers is not installed."""
    if find_spec("transformers") is None:
        return object
    mend_torchvision()
    return import_module("transformers").TrainerCallback


class FollowCallback(_base()):  # type: ignore[misc]
    """Follows a network that transformers' `Trainer` trains: before the first epoch and behind each.

        follow = segcam.follow.Follow(network, images, class_id="cat", out="runs/mine")
        Trainer(model=network, ..., callbacks=[FollowCallback(follow)])

    Steps are epochs that are done, 0 the network before them; one that is cut short by `max_steps` counts as done.

    Args:
        follow: a `Follow` of the network; or what makes one of the Trainer's model when training begins.

    Raises:
        InputError: transformers is not installed.
    """

    def __init__(self, follow: Follow | Callable[[nn.Module], Follow]) -> None:
        if FollowCallback.__mro__[1] is object:
            raise InputError("the callback needs transformers: pip install 'segcam[models]'")
        super().__init__()
        self.follow = follow

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:  # noqa: ARG002
        """Look at the network before its first epoch, or where a training is resumed."""
        if not isinstance(self.follow, Follow):
            self.follow = self.follow(others["model"])
        self.follow(_epochs(state.epoch))

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:  # noqa: ARG002
        """Look at the network behind an epoch."""
        if isinstance(self.follow, Follow):
            self.follow(_epochs(state.epoch))


def _epochs(epoch: float | None) -> int:
    """Return how many epochs are done: the state counts in shares of one.

    >>> _epochs(None), _epochs(1.9999999), _epochs(2.0), _epochs(2.4)
    (0, 2, 2, 3)
    """
    return math.ceil((epoch or 0.0) - 1e-6)
