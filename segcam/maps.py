"""The maps of all layers, and nothing beside them: for batches whose activations and gradients do not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.errors import InputError
from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair, combined
from segcam.precision import in_full_precision
from segcam.probe.layers import Layer
from segcam.probe.memory import Plan, plan
from segcam.probe.network.inputs import Inputs, checked_inputs, rows_of
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import Target


def all_maps(
    probe: Probe,
    images: Float[Tensor, "b ch h w"],
    targets: Sequence[Target],
    methods: Sequence[str | Method],
    *,
    masks: Int[Tensor, "b h w"] | None = None,
    valid: Bool[Tensor, "b h w"] | None = None,
    max_memory: int | None = None,
    inputs: Inputs | None = None,
) -> list[dict[str, Float[Tensor, "b m h w"]]]:
    """Compute the maps of several gradient methods for all layers, and keep the maps alone.

    >>> import torch
    >>> from torch import nn
    >>> from segcam import Probe, Target
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    >>> probe, images = Probe(net, ["0", "1"]), torch.rand(16, 3, 64, 64)
    >>> (maps,) = all_maps(probe, images, [Target(pixels="predicted")], ["grad_cam"], max_memory=4_000_000)
    >>> {label: tuple(stack.shape) for label, stack in maps.items()}
    {'0': (16, 1, 64, 64), '1': (16, 1, 64, 64)}

    Args:
        probe: the network and its layers.
        images: the network's input.
        targets: what is explained; they share a forward pass.
        methods: names of gradient methods, or methods with parameters of their own; `m` of them.
        masks: the true class of each pixel, for targets that look at it.
        valid: where the pictures are and not padding; see `Probe.many`.
        max_memory: bytes of tensors that may be alive at once, the maps of the whole batch included and beside the
            network's parameters and the images; None for the whole batch in one pass. The batch is split for it, and
            where one image does not fit the layers as well; see `segcam.probe.memory`.
        inputs: what the network takes beside the images, see `Probe.many`.

    Returns:
        For each target the maps by layer label, on the layer's own grid, float32 or wider; NaN for images whose pixel
        set is empty, and where a method's weights cancel. Layers that only a pattern of the probe matched and that have
        no maps are left out.

    Raises:
        InputError: a method is unknown or no gradient method.
        ProbeError: one image and one layer do not fit into `max_memory`; the message names the smallest value that
            works; else see `Probe.many`.
        NotApplicableError: a method has no map for a layer.
    """
    given = checked_inputs(inputs)
    recipes = [METHODS.get(method) if isinstance(method, str) else method for method in methods]

    def maps_of(captures: list[Capture]) -> list[dict[str, Tensor]]:
        return [
            {layer.label: layer_maps(capture, layer, recipes)[1] for layer in capture.layers} for capture in captures
        ]

    def job(layers: Sequence[Layer], rows: slice) -> list[dict[str, Tensor]]:
        of_rows = [target.of(rows) for target in targets]
        of_masks, of_valid = (None if one is None else one[rows] for one in (masks, valid))
        some = rows_of(given, rows, len(images), vectors=vectors)
        known = probe.restricted(layers)
        return maps_of(known.many(images[rows], of_rows, masks=of_masks, valid=of_valid, inputs=some))

    if max_memory is None:
        return maps_of(probe.many(images, targets, masks=masks, valid=valid, inputs=inputs))
    names = (*(repr((recipe.name, *recipe.parameters.items())) for recipe in recipes), *(t.name for t in targets))
    key = (names, probe.layers, images.shape, images.dtype, images.device, max_memory)
    vectors = probe.cuts_vectors(images, inputs)
    plans = _PLANS.setdefault(probe, {})
    if key not in plans:
        plans[key] = plan(job, probe.layers, len(images), max_memory)
    maps: list[dict[str, Tensor]] = [{} for _ in targets]
    for layers, rows in plans[key].passes(len(images)):
        _place(maps, job(layers, rows), rows, len(images))
    return maps


def _place(maps: list[dict[str, Tensor]], of_rows: list[dict[str, Tensor]], rows: slice, batch: int) -> None:
    """Write the maps of some images into those of the batch; what they held is free before the next pass."""
    for stacks, row_stacks in zip(maps, of_rows, strict=True):
        for label, stack in row_stacks.items():
            if label not in stacks:
                stacks[label] = stack.new_empty(batch, *stack.shape[1:])
            stacks[label][rows] = stack


_PLANS: WeakKeyDictionary[Probe, dict[object, Plan]] = WeakKeyDictionary()
"""How batches are split, measured once for images of one size and number."""

BLOCK = 2**20
"""How many activations to take at once on a processor: with temporaries of more, its memory sets the pace."""


@in_full_precision
def together(
    activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"], methods: Sequence[Method]
) -> tuple[Float[Tensor, "b m h w"], Float[Tensor, "b m h w"]]:
    """Compute the maps of several gradient methods for one layer, sharing what they have in common.

    Args:
        activations: `A`, a layer's output.
        gradients: `G`, the score's derivatives by it, of the same shape.
        methods: gradient methods, `m` of them.

    Returns:
        The maps before ReLU, signed, and the maps, in the order of `methods`; each is the method's own up to rounding.

    Raises:
        InputError: a method is no gradient method, or the tensors are not as `Pair` takes them.
    """
    whole = Pair(activations, gradients)
    activations, gradients = whole.activations, whole.gradients
    wrong = [method.name for method in methods if method.gradient is None]
    if wrong:
        raise InputError(f"method {wrong[0]} is made from more than activations and gradients: leave it out")
    b, c, h, w = activations.shape
    signed, maps = (activations.new_empty(b, len(methods), h, w) for _ in range(2))
    images = max(1, BLOCK // max(1, c * h * w)) if activations.is_cpu else b
    for at in range(0, b, images):
        block = slice(at, at + images)
        _fill(Pair(activations[block], gradients[block]), methods, signed[block], maps[block])
    return signed, maps


def layer_maps(
    capture: Capture, layer: str | Layer, methods: Sequence[Method]
) -> tuple[Float[Tensor, "b m h w"], Float[Tensor, "b m h w"]]:
    """Return `together` of one captured layer, float32 or wider.

    NaN for images whose pixel set is empty, and where what a method sums cancels, see `Capture.cancels`.
    """
    label = layer.label if isinstance(layer, Layer) else layer
    activations, gradients = (at_least_float32(s[label]) for s in (capture.activations, capture.gradients))
    signed, maps = together(activations, gradients, methods)
    empty = (capture.explained.pixels == 0).view(-1, 1, 1, 1)
    for sums in {method.sums for method in methods if method.sums is not None}:
        affected = torch.tensor([method.sums == sums for method in methods], device=empty.device)
        empty = empty | (capture.cancels(label, sums)[:, None] & affected)[:, :, None, None]
    return signed.masked_fill_(empty, torch.nan), maps.masked_fill_(empty, torch.nan)


def _fill(
    pair: Pair, methods: Sequence[Method], signed: Float[Tensor, "b m h w"], maps: Float[Tensor, "b m h w"]
) -> None:
    """Write all methods' maps of a pair."""
    weights: dict[int, Tensor] = {}
    rectified: dict[int, Tensor] = {}
    # Those that need no gradients first: what they derive from the activations makes others cheaper.
    for i in sorted(range(len(methods)), key=lambda i: methods[i].needs_gradients):
        formula = methods[i].gradient
        assert formula is not None  # checked before
        result = formula(pair)
        if isinstance(result, tuple):
            signed[:, i], rectified[i] = result
        elif result.ndim == 2:
            weights[i] = result
        else:
            signed[:, i] = result
    if weights:
        sums = combined(pair.activations, torch.stack(list(weights.values()), 1))
        for n, i in enumerate(weights):
            signed[:, i] = sums[:, n]
    torch.clamp_min(signed, 0, out=maps)
    for i, method in enumerate(methods):
        if method.signed:
            maps[:, i] = signed[:, i]
        elif i in rectified:
            maps[:, i] = rectified[i]
