"""How much memory a pass takes, and how to split a batch and its layers so that it takes no more than is allowed.

Bytes are those of the tensors that are alive at once, of what the pass itself makes: parameters and the caller's images
are not counted, nor what single kernels take for themselves while they run, nor what an allocator keeps for later.

What an image takes is measured, on one or two of the batch. A pass that turns out to take more than is allowed is
stopped by the first operator that goes beyond, so that measuring exceeds the limit by what one operator makes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segcam.errors import ProbeError
from segcam.probe.layers import Layer


class _TooMuchError(Exception):
    """More bytes are alive than the meter allows; never seen outside."""


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors made within it that are alive, backward passes included.

    >>> with Meter() as meter:
    ...     total = (torch.ones(1000) + 1).sum()
    >>> meter.peak, meter.live
    (8000, 4)

    Args:
        limit: stop as soon as more bytes are alive; None for no limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit = limit
        self.live = 0
        self.peak = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], _types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and count the storages that are new in what it returns."""
        out = func(*args, **(kwargs or {}))
        given = {storage.data_ptr() for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if storage.data_ptr() not in given:
                self._count(storage)
        if self.limit is not None and self.live > self.limit:
            raise _TooMuchError
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._storages or not size:
            return

        def gone(_reference: object) -> None:
            del self._storages[place]
            self.live -= size

        self._storages[place] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


def _storages(values: object) -> Iterator[torch.UntypedStorage]:
    for value in tree_leaves(values):
        if isinstance(value, Tensor):
            yield value.untyped_storage()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job takes for one image, in bytes.

    Attributes:
        peak: of the tensors alive at once, at most.
        result: of those that are alive when it is done: what it returns.
    """

    peak: int
    result: int

    def images(self, batch: int, max_memory: int) -> int:
        """Return how many images of a batch a job may take at once, so that all results fit beside it; 0 for none."""
        return min(batch, (max_memory - batch * self.result) // max(1, self.peak))


def measure(job: Callable[[slice], object], batch: int, limit: int | None = None) -> Cost | None:
    """Return what a job takes for one image of a batch, or None if that is more than `limit` bytes.

    It runs for one image, and for two where those fit, since with a single one some operators need no copies. For n
    images a job takes at most n times the greater of the peak for one and half the peak for two.

    Args:
        job: works on some images of the batch; what it returns counts as its result.
        batch: the number of images there are.
        limit: the job is stopped where it takes more.
    """
    try:
        one = _measured(job, 1, limit)
        if batch < 2 or (limit is not None and 2 * one.peak > limit):
            return one
        two = _measured(job, 2, None)
    except _TooMuchError:
        return None
    return Cost(max(one.peak, -(-two.peak // 2)), max(one.result, -(-two.result // 2)))


def _measured(job: Callable[[slice], object], images: int, limit: int | None) -> Cost:
    with Meter(limit) as meter:
        result = job(slice(0, images))
        cost = Cost(meter.peak, meter.live)
    del result
    return cost


def images_at_once(job: Callable[[slice], object], batch: int, max_memory: int) -> int:
    """Return how many images of a batch a job may work on at once within `max_memory` bytes.

    The results of the whole batch count as well: a job whose results are not kept returns None.

    Raises:
        ProbeError: one image does not fit; the message names the smallest value that works.
    """
    cost = measure(job, batch, max_memory) or measure(job, batch)
    assert cost is not None  # without a limit there is no too much
    images = cost.images(batch, max_memory)
    if images < 1:
        raise _too_little(max_memory, cost.peak + batch * cost.result, "one image at a time")
    return images


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is split.

    Attributes:
        groups: layers that share a pass; all layers in one group where they fit.
        images: how many images go through the network at once.
    """

    groups: tuple[tuple[Layer, ...], ...]
    images: int

    def passes(self, batch: int) -> Iterator[tuple[tuple[Layer, ...], slice]]:
        """Yield the layers and the images of each pass."""
        for layers in self.groups:
            for start in range(0, batch, self.images):
                yield layers, slice(start, min(start + self.images, batch))


def plan(job: Callable[[Sequence[Layer], slice], object], layers: Sequence[Layer], batch: int, max_memory: int) -> Plan:
    """Split a batch so that a pass and the results of all passes together stay within `max_memory` bytes.

    The images are split first. Where one image with all layers does not fit, the layers are halved until it does: each
    group has a pass of its own, whose graph begins at the group's first layer.

    Raises:
        ProbeError: one image and one layer do not fit; the message names the smallest value that works.
    """
    size = len(layers)
    while True:
        groups = tuple(tuple(layers[start : start + size]) for start in range(0, len(layers), size))
        costs: list[Cost] = []
        for group in groups:
            cost = measure(partial(job, group), batch, max_memory if size > 1 else None)
            if cost is None:
                break
            costs.append(cost)
        else:
            total = Cost(max(cost.peak for cost in costs), sum(cost.result for cost in costs))
            if (images := total.images(batch, max_memory)) > 0:
                return Plan(groups, images)
            if size == 1:
                raise _too_little(max_memory, total.peak + batch * total.result, "one image and one layer at a time")
        size = -(-size // 2)


def _too_little(given: int, needed: int, what: str) -> ProbeError:
    return ProbeError(
        f"max_memory is {given} bytes, which does not do for {what}: give at least "
        f"{needed} ({needed / 2**20:.1f} MiB), or smaller images"
    )
