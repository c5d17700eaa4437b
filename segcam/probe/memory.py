"""How much memory a pass takes, and how to part a batch and its layers so that it takes no more than is allowed.

Bytes are those of the tensors that are alive at once, of what the pass itself makes: parameters and the caller's images
are not counted, nor what single kernels take for themselves while they run, nor what an allocator keeps for later.

What an image takes is measured, on one or two of the batch. A pass that turns out to take more than is allowed is
stopped by the first operator that goes beyond, so that measuring exceeds the limit by what one operator makes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], _types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and count the storages that are new in what it returns."""
        found = func(*args, **(kwargs or {}))
        given = {storage.data_ptr() for storage in _storages((args, kwargs))}
        for storage in _storages(found):
            if storage.data_ptr() not in given:
                self._count(storage)
        if self.limit is not None and self.live > self.limit:
            raise _TooMuchError
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._known or not size:
            return

        def gone(_reference: object) -> None:
            del self._known[place]
            self.live -= size

        self._known[place] = weakref.ref(storage, gone)
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
        kept: of those that are alive when it is done: what it returns.
    """

    peak: int
    kept: int


Job = Callable[[Sequence[Layer], slice], object]
"""A pass for some layers and some images of a batch."""


def measure(job: Job, layers: Sequence[Layer], batch: int, limit: int | None = None) -> Cost | None:
    """Return what a job takes for one image, or None if that is more than `limit`.

    It runs for one image, and for two where those fit, since with a single one some operators need no copies. For n
    images a job takes at most n times the greater of the peak for one and half the peak for two.

    Args:
        job: what is measured.
        layers: for which layers.
        batch: the number of images there are.
        limit: in bytes; the job is stopped where it takes more.
    """
    try:
        one = _measured(job, layers, 1, limit)
        if batch < 2 or (limit is not None and 2 * one.peak > limit):
            return one
        two = _measured(job, layers, 2, None)
    except _TooMuchError:
        return None
    return Cost(max(one.peak, -(-two.peak // 2)), max(one.kept, -(-two.kept // 2)))


def _measured(job: Job, layers: Sequence[Layer], images: int, limit: int | None) -> Cost:
    with Meter(limit) as meter:
        found = job(layers, slice(0, images))
    cost = Cost(meter.peak, meter.live)
    del found
    return cost


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is parted.

    Attributes:
        groups: layers that share a pass; all layers in one group where they fit.
        images: how many images go through the network at once.
    """

    groups: tuple[tuple[Layer, ...], ...]
    images: int

    def rows(self, batch: int) -> Iterator[slice]:
        """Yield the chunks of a batch."""
        for start in range(0, batch, self.images):
            yield slice(start, min(start + self.images, batch))


def plan_passes(job: Job, layers: Sequence[Layer], batch: int, max_memory: int) -> Plan:
    """Part a batch so that one pass's results and the next pass together stay within `max_memory` bytes.

    A batch that fits as a whole is not parted. Else either has half of the memory, and layers are parted into groups
    only where one image with all of them does not fit into that.

    Raises:
        ProbeError: one image and one layer do not fit; the message names the smallest value that works.
    """
    layers = tuple(layers)
    whole = measure(job, layers, batch, max_memory)
    if whole is not None and batch * whole.peak <= max_memory:
        return Plan((layers,), batch)
    half = max_memory // 2
    parts = _part(job, layers, batch, half)
    if parts is None:
        singly = max(_needed(job, [layer], 1).peak for layer in layers)
        raise _too_little(max_memory, min(batch * _needed(job, layers, batch).peak, 2 * singly))
    return _plan(parts, batch, half)


def plan_maps(job: Job, layers: Sequence[Layer], batch: int, max_memory: int) -> Plan:
    """Part a batch so that a pass and the results of all passes together stay within `max_memory` bytes.

    Raises:
        ProbeError: one image and one layer do not fit; the message names the smallest value that works.
    """
    layers, room = tuple(layers), max_memory
    parts = _part(job, layers, batch, room)
    while parts is not None:
        left = max_memory - batch * sum(cost.kept for _, cost in parts)
        if all(cost.peak <= left for _, cost in parts):
            return _plan(parts, batch, left)
        if left >= room:
            break
        room, parts = left, _part(job, layers, batch, left)
    singly = [_needed(job, [layer], 1) for layer in layers]
    raise _too_little(max_memory, max(cost.peak for cost in singly) + batch * sum(cost.kept for cost in singly))


def _part(job: Job, layers: tuple[Layer, ...], batch: int, room: int) -> list[tuple[tuple[Layer, ...], Cost]] | None:
    """Halve the layers until one image fits; None where one layer does not."""
    cost = measure(job, layers, batch, room)
    if cost is not None and cost.peak <= room:
        return [(layers, cost)]
    if len(layers) == 1:
        return None
    half = len(layers) // 2
    first, second = (_part(job, part, batch, room) for part in (layers[:half], layers[half:]))
    return None if first is None or second is None else [*first, *second]


def _plan(parts: Sequence[tuple[tuple[Layer, ...], Cost]], batch: int, room: int) -> Plan:
    return Plan(tuple(layers for layers, _ in parts), min(batch, room // max(cost.peak for _, cost in parts)))


def _needed(job: Job, layers: Sequence[Layer], batch: int) -> Cost:
    cost = measure(job, layers, batch)
    assert cost is not None  # without a limit there is no too much
    return cost


def _too_little(given: int, needed: int) -> ProbeError:
    return ProbeError(
        f"max_memory is {given} bytes, which does not do for one image and one layer at a time: give at least "
        f"{needed} ({needed / 2**20:.1f} MiB), or smaller images"
    )
