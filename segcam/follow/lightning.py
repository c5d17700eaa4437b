"""A callback for Lightning: `Trainer(callbacks=[FollowCallback(...)])`, of `lightning` or `pytorch_lightning`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from segcam._compat import mend_torchvision
from segcam.errors import InputError
from segcam.follow.follower import Follow

_PACKAGES = ("lightning", "pytorch_lightning")


def _base() -> Any:
    """Return the class of callbacks, of the package that is in use; `object` where there is none."""
    installed = [name for name in _PACKAGES if name in sys.modules or find_spec(name) is not None]
    for name in sorted(installed, key=lambda name: name not in sys.modules):
        mend_torchvision()
        return import_module(f"{name}.pytorch" if name == "lightning" else name).Callback
    return object


class FollowCallback(_base()):  # type: ignore[misc]
    """Follows a network that Lightning trains: before the first epoch and behind each.

        follow = segcam.follow.Follow(network, images, class_id="cat", out="runs/mine")
        Trainer(max_epochs=50, callbacks=[FollowCallback(follow)])

    Steps are epochs that are done, 0 the network before them.

    Args:
        follow: a `Follow` of the network, which may be a part of the module; or what makes one of the LightningModule
            when training begins: `lambda module: Follow(module.net, images)`.

    Raises:
        InputError: Lightning is not installed.
    """

    def __init__(self, follow: Follow | Callable[[nn.Module], Follow]) -> None:
        if FollowCallback.__mro__[1] is object:
            raise InputError("the callback needs Lightning: pip install lightning")
        super().__init__()
        self.follow = follow

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Look at the network before its first epoch, or where a training is resumed."""
        if not isinstance(self.follow, Follow):
            self.follow = self.follow(pl_module)
        self.follow(int(trainer.current_epoch))

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:  # noqa: ARG002  (Lightning's signature)
        """Look at the network behind an epoch."""
        if isinstance(self.follow, Follow):
            self.follow(int(trainer.current_epoch) + 1)
