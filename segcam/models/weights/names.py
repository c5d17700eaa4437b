"""Names of tensors in files, beside those in a network: what wrappers and trainers put in front is taken off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from segcam.errors import InputError, say_once

WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""Parts of names that torch's own wrappers put in: `torch.compile`, sharding, checkpointing."""
AVERAGES = re.compile(r"(^|[^a-z])(ema|swa|avg|average|averaged|shadow|polyak)([^a-z]|$)", re.IGNORECASE)
"""What a part of a name holds that is about weights averaged over training."""
CUTS = 8
"""Parts of the longest prefix."""
COUNTER = "num_batches_tracked"
"""How names of BatchNorm's counters end: files of old lack them, and they play no part but in training."""

Value = TypeVar("Value")


def plain(name: str) -> str:
    """Return a name without the parts that torch's wrappers put in.

    >>> plain("encoder._orig_mod.conv.weight")
    'encoder.conv.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def same_name(name: str) -> str:
    """Return a name as it is: there is one spelling."""
    return name


def without_prefix(
    tensors: Mapping[str, Tensor],
    network: Mapping[str, Tensor],
    source: str,
    spelling: Callable[[str], str] = same_name,
) -> dict[str, Tensor]:
    """Return a file's tensors under the names that they have in a network: one prefix is taken off, which is said once.

    It is the prefix behind which most of the network's names stand, with the network's shapes; the shortest one, and
    none where that does. Where weights and their average over training stand side by side the weights are taken.
    What stands beside the prefix is left out.

    Args:
        tensors: of the file, by name.
        network: the network's own, by name.
        source: what messages call the file.
        spelling: a name's one spelling, for networks of libraries that spell it by version.

    Raises:
        InputError: several prefixes would do; the message lists them.
    """
    named = _plain(tensors, source)
    prefix = _prefix(named, {spelling(plain(name)): value for name, value in network.items()}, source, spelling)
    return _cut(named, prefix, source, said=named.keys() != tensors.keys())


def cut_prefix(tensors: Mapping[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it.

    Raises:
        InputError: there are none.
    """
    start = f"{prefix.rstrip('.')}." if prefix else ""
    found = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    if not found:
        names = sorted({name.partition(".")[0] for name in tensors})
        raise InputError(
            f"weights {source}: no tensor's name begins with '{start}': they begin with {', '.join(names)}"
        )
    return {plain(name): value for name, value in found.items()}


def _plain(tensors: Mapping[str, Value], source: str) -> dict[str, Value]:
    names: dict[str, str] = {}
    for name in tensors:
        if (other := names.setdefault(plain(name), name)) != name:
            raise InputError(f"weights {source} hold '{other}' and '{name}', which name the same tensor: leave one out")
    return {new: tensors[old] for new, old in names.items()}


def _starts(name: str) -> Iterator[int]:
    """Yield where a name goes on behind none, one, two, ... of its parts."""
    at = 0
    for _ in range(CUTS + 1):
        yield at
        if (dot := name.find(".", at)) < 0:
            return
        at = dot + 1


def covered(
    tensors: Mapping[str, Tensor], network: Mapping[str, Tensor], spelling: Callable[[str], str] = same_name
) -> dict[str, tuple[int, int]]:
    """Count, for each prefix of the tensors' names, how many of a network's names stand behind it.

    Returns:
        The number of names, and of those of them with the network's shape; no prefixes behind which none stands.
    """
    names: dict[str, set[str]] = {}
    shapes: dict[str, int] = {}
    for name, tensor in tensors.items():
        for at in _starts(name):
            own = spelling(name[at:])
            if own in network:
                names.setdefault(name[:at], set()).add(own)
                shapes[name[:at]] = shapes.get(name[:at], 0) + (tensor.shape == network[own].shape)
    return {prefix: (len(found), shapes[prefix]) for prefix, found in names.items()}


def _prefix(
    tensors: Mapping[str, Tensor], network: Mapping[str, Tensor], source: str, spelling: Callable[[str], str]
) -> str:
    if not (score := covered(tensors, network, spelling)):
        return ""
    best = max(score.values())
    tied = [prefix for prefix in score if score[prefix] == best]
    tied = [prefix for prefix in tied if not any(p != prefix and prefix.startswith(p) for p in tied)]
    if len(tied) > 1:
        tied = [prefix for prefix in tied if not AVERAGES.search(prefix)] or tied
    if len(tied) > 1 and 2 * best[0] >= len(network) and not _alike(tensors, tied):
        raise InputError(
            f"weights {source} hold the network's tensors more than once, behind {', '.join(map(repr, tied))}: name "
            "one as prefix= of load_weights, or save it alone, in Python: import torch; "
            "from segcam.models.weights.reading import read_weights; "
            f"p = {tied[0]!r}; torch.save({{k[len(p):]: v for k, v in read_weights({source!r}).items() if "
            "k.startswith(p)}, 'weights.pth')"
        )
    return tied[0]


def _alike(tensors: Mapping[str, Tensor], prefixes: list[str]) -> bool:
    """Return whether the same tensors stand behind all prefixes."""
    first, *others = ({k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in prefixes)
    return all(
        other.keys() == first.keys() and all(torch.equal(other[name], value) for name, value in first.items())
        for other in others
    )


def _cut(tensors: Mapping[str, Tensor], prefix: str, source: str, *, said: bool) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    beside = sorted({_first(name, prefix) for name in tensors if not name.startswith(prefix)})
    if prefix:
        also = f"; what stands beside it is left out: {', '.join(beside[:5])}" if beside else ""
        more = f" and {len(beside) - 5} more" if beside[5:] else ""
        say_once(f"weights {source}: the prefix '{prefix}' is taken off the tensors' names{also}{more}")
    elif said:
        say_once(f"weights {source}: what torch's wrappers put into the tensors' names is taken off")
    return found


def _first(name: str, prefix: str) -> str:
    """Return a name up to the first part in which it differs from a prefix."""
    parts, other = name.split("."), prefix.split(".")
    common = next((i for i, (a, b) in enumerate(zip(parts, other, strict=False)) if a != b), 0)
    return ".".join(parts[: common + 1])
