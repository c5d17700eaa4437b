"""Dispatch: modes that see every operation, without what torch does about them for its compiler."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class PlainDispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that torch calls as it is.

    Around each call of other modes torch switches its compiler off, and imports it for that, which takes seconds. So
    this is for passes in which nothing is compiled: backward ones, and those of compiled networks run as written.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
