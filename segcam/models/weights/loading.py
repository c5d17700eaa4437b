"""Weights into a network: each tensor in its place, or an error that says which one does not fit; then nothing is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from itertools import accumulate, takewhile
from pathlib import Path

from torch import Tensor, nn

from segcam.errors import InputError, shown
from segcam.models.weights.names import COUNTER, covered, cut_prefix, plain, without_prefix
from segcam.models.weights.reading import FETCH, read_weights, weight_file
from segcam.models.weights.values import wrong_values

SHOWN = 3
"""Names of each kind that an error shows."""


def load_weights(
    network: nn.Module,
    source: Path | str | Mapping[str, Tensor],
    *,
    prefix: str | None = None,
    ignore: Collection[str] = (),
) -> nn.Module:
    """Load weights into any network, whoever saved them: every tensor must find its place.

    Taken are safetensors, what torch saved (a state dict, or one within a trainer's dictionary, as Lightning and timm
    write it), shards by their index, and a folder with such a file. No code that a file brings is run. One prefix of
    the tensors' names ('module.', 'model.', 'state_dict.model.') is taken off, which is said once as a
    `SegcamWarning`; see `segcam.models.weights.names.without_prefix` for the rule.

    Args:
        network: the network; it keeps its device and number formats.
        source: a file, a folder, or tensors by name.
        prefix: what the names begin with, dictionaries' keys included ('ema.model'); found out by default.
        ignore: patterns of names, without the prefix, that are left out or may be missing: 'head.*'.

    Returns:
        The network.

    Raises:
        InputError: the file cannot be read; tensors are missing, too many, or of other shapes or kinds; or hold what
            is no weight. Names them; nothing is loaded then.

    >>> import torch
    >>> saved = {f"module.{name}": value for name, value in nn.Linear(2, 3).state_dict().items()}
    >>> load_weights(nn.Linear(2, 3), saved, prefix="module")
    Linear(in_features=2, out_features=3, bias=True)
    """
    if isinstance(source, Mapping):
        tensors, where = _tensors(source), "given"
    else:
        file = weight_file(source)
        tensors, where = read_weights(file), str(file)
    state = network.state_dict()
    if any(tensor.is_meta for tensor in state.values()):
        raise InputError(f"{type(network).__name__} has tensors without data (device 'meta'): build it on the CPU")
    own = {plain(name): name for name in state}
    outer = _outer({name: state[full] for name, full in own.items()}, tensors) if prefix is None else ""
    spelled = {name.removeprefix(outer): state[full] for name, full in own.items()}
    if prefix is None:
        wanted = {name: value for name, value in spelled.items() if not _any(name, ignore)}
        found = without_prefix(tensors, wanted, where)
    else:
        found = cut_prefix(tensors, prefix, where)
    found = {name: value for name, value in found.items() if not _any(name, ignore)}
    may_lack = {name for name in spelled if name.endswith(COUNTER) or _any(name, ignore)} | _tied(spelled, found)
    _fits(type(network).__name__, found, spelled, may_lack, where)
    given = {own[f"{outer}{name}"]: tensor for name, tensor in found.items()}
    fill(network, {name: given.get(name, tensor) for name, tensor in state.items()}, where)
    return network


def fill(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a network of exactly the same tensors.

    Args:
        model: the network.
        weights: a tensor for each of its own, by name.
        source: what the error calls them.

    Raises:
        InputError: a tensor is missing, one too many, of another shape or kind, or holds what is no weight (NaN,
            infinity, numbers out of all proportion; zeros alone); nothing is copied then.
    """
    state = model.state_dict()
    for name in [*state, *(n for n in weights if n not in state)]:
        have = tuple(weights[name].shape) if name in weights else "absent"
        want = tuple(state[name].shape) if name in state else "absent"
        if have != want:
            raise InputError(
                f"pretrained weights {source} do not fit {type(model).__name__}: tensor '{name}' is {have} there and "
                f"{want} in the network; choose weights of the same size of network"
            )
        if problem := wrong_values(weights[name], state[name]):
            raise InputError(f"pretrained weights {source}: tensor '{name}' {problem}; {FETCH}, or choose another")
    if not any(tensor.is_floating_point() and _any_number(tensor) for tensor in weights.values()):
        raise InputError(f"pretrained weights {source} hold nothing but zeros; {FETCH}, or choose another")
    model.load_state_dict({name: tensor.to(state[name].dtype) for name, tensor in weights.items()})


def _any_number(tensor: Tensor) -> bool:
    wide = tensor.float() if tensor.element_size() == 1 else tensor  # of one byte torch counts nothing
    return bool(wide.count_nonzero())


def _tensors(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for name, value in source.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"weights given hold {shown(name)} of type {type(value).__name__}: give tensors by name")
    return dict(source)


def _outer(network: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return what all the network's own names begin with and the file's lack, as of a network within a wrapper."""
    columns = zip(*(name.split(".")[:-1] for name in network), strict=False)
    shared = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
    outers = ["", *accumulate(f"{part}." for part in shared)]
    named = {plain(name): tensor for name, tensor in tensors.items()}
    scores = {}
    for outer in outers:
        own = {name.removeprefix(outer): tensor for name, tensor in network.items()}
        scores[outer] = max(covered(named, own).values(), default=(0, 0))
    return max(outers, key=lambda outer: scores[outer])  # the shortest of those that do equally well


def _any(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _tied(state: Mapping[str, Tensor], found: Collection[str]) -> set[str]:
    """Return the names of tensors that are one with another one that is there: files often hold such once."""
    there = {(state[name].data_ptr(), state[name].shape) for name in found if name in state and state[name].numel()}
    return {name for name, tensor in state.items() if (tensor.data_ptr(), tensor.shape) in there}


def _fits(
    network: str, found: Mapping[str, Tensor], state: Mapping[str, Tensor], may_lack: Collection[str], source: str
) -> None:
    """See that names and shapes are the network's.

    Raises:
        InputError: they are not; says how many of each kind differ, and the first ones.
    """
    missing = [f"'{name}'" for name in state if name not in found and name not in may_lack]
    extra = [f"'{name}'" for name in found if name not in state]
    other = [
        f"'{name}' {tuple(found[name].shape)} there, {tuple(state[name].shape)} in the network"
        for name in state
        if name in found and found[name].shape != state[name].shape
    ]
    kinds = (("missing", missing), ("not in the network", extra), ("of another shape", other))
    if told := [f"{len(names)} {words} ({_few(names)})" for words, names in kinds if names]:
        prefix = "name what their names begin with as prefix=, " if extra or missing else ""
        raise InputError(
            f"weights {source} do not fit {network}: {'; '.join(told)}: choose weights of this network, {prefix}or "
            "leave names out by patterns in ignore="
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if names[SHOWN:] else "")
