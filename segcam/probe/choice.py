"""Choice: which layers of a network give a map, and a few of them that stand for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from segcam.errors import InputError, ProbeError, shown
from segcam.probe.captures import Capture
from segcam.probe.layers import Layer, LayerChoice
from segcam.probe.network.inputs import Inputs
from segcam.probe.probe import Probe
from segcam.probe.stages import ends_of_stages
from segcam.probe.targets import Target

MOST = 24
"""How many layers stand for all of a network unless told: a figure can show them."""

_ROLES = {
    "decoder": re.compile(r"decod|decode_head|head|classif|neck|fpn|ppm|aspp|up\d*\b|upsampl|pixel_level|fuse|mask"),
    "encoder": re.compile(r"backbone|encod|stem|stages?\b|layers?\d*\b|features|embed|down|patch|blocks?\b|body"),
}
"""Words in a module's path that tell its role, those of decoders first: they may hold encoders' words as well."""


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """The layers of a network that are probed, and the others.

    Attributes:
        layers: in the order in which they run, with stride, stage and role as far as they can be told.
        left_out: why other modules have no maps, by path.
        repeated: modules that pass on what another one gave, by path: the path of that one.
        thinned: paths of modules that give a map and are not among `layers`, as they are many.
    """

    layers: tuple[Layer, ...]
    left_out: Mapping[str, str]
    repeated: Mapping[str, str]
    thinned: tuple[str, ...] = ()


def choose_layers(
    model: nn.Module,
    images: Float[Tensor, "b ch h w"],
    layers: LayerChoice | Sequence[LayerChoice] = "*",
    *,
    most: int | None = MOST,
    stages: bool = False,
    inputs: Inputs | None = None,
    **probing: Any,
) -> Choice:
    """Find the layers of a network that give a map, and choose some that stand for all.

    One image is run with its gradient. Of modules that hand on the same numbers, such as a block and its last
    activation, the outermost is taken; maps of a single cell say nothing of a place. Where more than `most` are left,
    the outermost modules stand for what is in them, and are opened, siblings together, as far as `most` allows.

    Args:
        model: the network.
        images: its input; the first image is run.
        layers: which may be chosen, as `Probe` takes them; patterns leave out what gives no map.
        most: how many are chosen at most; None for all.
        stages: whether the ends of stages are wanted and no more, see `segcam.probe.stages`.
        inputs: what the network takes beside the images.
        probing: more of `Probe`: `output`, `element`, `precision`.

    Returns:
        The layers in the order in which they run.

    Raises:
        ProbeError: see `Probe.many`; no layer gives a map.
        InputError: `most` is no positive number.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> [(layer.label, layer.stride) for layer in choose_layers(net, torch.rand(1, 3, 8, 8), output="logits").layers]
    [('0', 2), ('1', 2), ('2', 2)]
    """
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise InputError(f"most is {shown(most)}: a number of layers is needed, or None for all")
    order: list[str] = []
    probe = Probe(model, layers, **probing)
    handles = [
        model.get_submodule(layer.module).register_forward_hook(_noting(order, layer.label)) for layer in probe.layers
    ]
    seen = [int(images.shape[2])]
    handles.append(model.register_forward_pre_hook(_seeing(seen), with_kwargs=True))
    try:
        capture = probe(images[:1], Target(pixels="image", class_id=0), inputs=inputs)
    finally:
        for handle in handles:
            handle.remove()
    turns = {label: n for n, label in reversed(list(enumerate(order)))}
    ran = sorted(capture.layers, key=lambda layer: turns.get(layer.label, len(order)))
    one_cell = {x.label for x in ran if x.label in probe.chosen.matched and _cells(capture, x) == 1}
    kept, repeated = _outermost([layer for layer in ran if layer.label not in one_cell], capture)
    described = _described(kept, capture, seen[-1])
    if stages:
        chosen = ends_of_stages(model, described, repeated, capture, most or len(described))
    else:
        chosen = described if most is None or len(described) <= most else _thinned(model, described, repeated, most)
    thinned = tuple(layer.module for layer in described if layer not in chosen)
    if not chosen:
        raise ProbeError("no layer of the network gives a map: name layers, or see Capture.skipped for the reasons")
    numbered = tuple(replace(layer, depth=depth) for depth, layer in enumerate(chosen))
    left_out = {**capture.skipped, **dict.fromkeys(sorted(one_cell), "has a single cell")}
    return Choice(numbered, left_out, repeated, thinned)


def _noting(order: list[str], label: str) -> Callable[..., None]:
    def note(*_: object) -> None:
        order.append(label)

    return note


def _seeing(rows: list[int]) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    """Return a hook that notes the rows of the images as the network gets them: padded ones, where it wants them so."""

    def note(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        found = [one for one in (*args, *named.values()) if isinstance(one, Tensor) and one.ndim == 4]
        rows.extend(int(one.shape[2]) for one in found[:1])

    return note


def _outermost(layers: Sequence[Layer], capture: Capture) -> tuple[list[Layer], dict[str, str]]:
    """Leave out modules that pass on what another one gave; of these the one of the shortest path is kept."""
    first: dict[tuple[int, tuple[int, ...]], Layer] = {}
    for layer in layers:
        key = _key(capture, layer)
        if key not in first or len(layer.module) < len(first[key].module):
            first[key] = layer
    same = {layer.label: first[_key(capture, layer)] for layer in layers}
    kept = [layer for layer in layers if same[layer.label] is layer]
    return kept, {x.module: same[x.label].module for x in layers if same[x.label] is not x}


def _key(capture: Capture, layer: Layer) -> tuple[int, tuple[int, ...]]:
    values = capture.activations[layer.label]
    return values.untyped_storage().data_ptr(), tuple(values.shape)


def _cells(capture: Capture, layer: Layer) -> int:
    rows, columns = capture.activations[layer.label].shape[2:]
    return int(rows * columns)


def _described(layers: Sequence[Layer], capture: Capture, rows: int) -> list[Layer]:
    """Return the layers with stride on images of so many rows, stage and role; a `Layer` of the user's stays."""
    strides = [max(1, round(rows / capture.activations[layer.label].shape[2])) for layer in layers]
    stages = {stride: n for n, stride in enumerate(sorted(set(strides)), 1)}
    deepest = max(range(len(layers)), key=lambda i: (strides[i], i), default=0)
    described = []
    for i, (layer, stride) in enumerate(zip(layers, strides, strict=True)):
        role = layer.role or _role(layer.module) or ("encoder" if i <= deepest else "decoder")
        described.append(replace(layer, stride=stride, stage=layer.stage or stages[stride], role=role))
    return described


def _role(path: str) -> str:
    top = path.casefold().split(".")
    for part in (".".join(top[:1]), ".".join(top[:2])):
        for role, words in _ROLES.items():
            if words.search(part):
                return role
    return ""


def _thinned(model: nn.Module, layers: Sequence[Layer], repeated: Collection[str], most: int) -> list[Layer]:
    """Return the outermost modules, and what they are made of as far as `most` allows.

    Normalisations, activations and the like are no step of their own beside the convolution or block before them.
    """
    steps = {layer.module for layer in layers if not _pointwise(model.get_submodule(layer.module))}
    steps = steps or {layer.module for layer in layers}
    parts: dict[str, list[str]] = {}
    for path in sorted(steps | set(repeated)):
        outer = [other for other in (*steps, *repeated) if path.startswith(f"{other}.")]
        parts.setdefault(max(outer, key=len, default=""), []).append(path)
    chosen = [layer.module for layer in layers if layer.module in parts.get("", [])]
    if len(chosen) > most:
        chosen = [chosen[i] for i in _spread(len(chosen), most)]
    waiting = _siblings(chosen, parts)
    while waiting:
        outer_path = min(waiting, key=lambda path: (path.count("."), sum(len(parts[one]) for one in waiting[path])))
        inner = [part for one in waiting.pop(outer_path) for part in parts[one]]
        if len(chosen) + sum(one in steps for one in inner) <= most:
            chosen += [one for one in inner if one in steps]
            waiting |= _siblings(inner, parts)
    return [layer for layer in layers if layer.module in chosen]


def _siblings(paths: Iterable[str], parts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return those that have parts by what they are parts of: they are opened all or none, so that each is alike."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        if path in parts:
            groups.setdefault(path.rpartition(".")[0], []).append(path)
    return groups


def _pointwise(module: nn.Module) -> bool:
    """Tell whether a module without parts normalises, activates, drops or passes on."""
    name = type(module).__name__.casefold()
    words = ("norm", "dropout", "droppath", "identity", "activation", "scale")
    return not any(True for _ in module.children()) and (
        type(module).__module__.endswith(".activation") or any(word in name for word in words)
    )


def _spread(number: int, count: int) -> list[int]:
    """Return indices of `count` of a number of things, evenly spread, the last among them."""
    return sorted({number - 1 - int(i * number / count) for i in range(count)})
