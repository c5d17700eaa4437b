"""How many images are worked on at once: as the profile says, or fewer where it limits the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from weakref import WeakKeyDictionary

from torch import nn

from bench.planning.sections import Score
from segcam.probe.memory import images_at_once


def portions(
    rows: Sequence[int], settings: Score, model: nn.Module, work: Callable[[Sequence[int]], object]
) -> Iterator[Sequence[int]]:
    """Yield the images that are worked on together, `batch_size` or as many as `max_memory` allows.

    Args:
        rows: indices of images of one size.
        settings: the profile's section.
        model: the network. What an image takes is measured once for each network, work and number of images.
        work: what is done with some of them; it is tried on one and on two.

    Raises:
        ProbeError: one image does not fit; the message names the smallest value that works.
    """
    size = min(settings.batch_size, len(rows))
    if settings.max_memory is not None and size:
        sizes = _SIZES.setdefault(model, {})
        key = (getattr(work, "func", work).__qualname__, settings.model_dump_json(), size)
        if key not in sizes:
            sizes[key] = images_at_once(lambda few: work(rows[few]), size, settings.max_memory)
        size = sizes[key]
    for start in range(0, len(rows), max(1, size)):
        yield rows[start : start + size]


_SIZES: WeakKeyDictionary[nn.Module, dict[tuple[str, str, int], int]] = WeakKeyDictionary()
"""How many images fit; the cells of one checkpoint have one network."""
