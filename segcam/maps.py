"""The maps of all layers, and nothing beside them: for batches whose activations and gradients do not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from segcam.cams import layer_maps
from segcam.layers import Layer
from segcam.memory import plan_maps
from segcam.methods import METHODS, Method
from segcam.probe import Capture, Probe
from segcam.targets import Target


def all_maps(
    probe: Probe,
    images: Float[Tensor, "b ch h w"],
    targets: Sequence[Target],
    methods: Sequence[str | Method],
    *,
    masks: Int[Tensor, "b h w"] | None = None,
    max_memory: int | None = None,
) -> list[dict[str, Float[Tensor, "b m h w"]]]:
    """Compute the maps of several gradient methods for all layers, and keep the maps alone.

    >>> import torch
    >>> from torch import nn
    >>> from segcam import Probe, Target
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    >>> probe, images = Probe(net, ["0", "1"]), torch.rand(16, 3, 64, 64)
    >>> (maps,) = all_maps(probe, images, [Target(pixels="predicted")], ["grad_cam"], max_memory=4_000_000)
    >>> {label: tuple(found.shape) for label, found in maps.items()}
    {'0': (16, 1, 64, 64), '1': (16, 1, 64, 64)}

    Args:
        probe: the network and its layers.
        images: the network's input.
        targets: what is explained; they share a forward pass.
        methods: names of gradient methods, or methods with parameters of their own; `m` of them.
        masks: the true class of each pixel, for targets that look at it.
        max_memory: bytes of tensors that may be alive at once, the maps of the whole batch included and beside the
            network's parameters and the images; None for the whole batch in one pass. The batch, and where one image
            does not fit the layers as well, is parted for it.

    Returns:
        For each target the maps by layer label, on the layer's own grid, float32 or wider; NaN for images whose pixel
        set is empty.

    Raises:
        InputError: a method is unknown or no gradient method.
        ProbeError: one image and one layer do not fit into `max_memory`; the message names the smallest value that
            works; else see `Probe.many`.
        NotApplicableError: a method has no map for a layer.
    """
    chosen = [METHODS.get(method) if isinstance(method, str) else method for method in methods]

    def maps_of(captures: list[Capture]) -> list[dict[str, Tensor]]:
        return [
            {layer.label: layer_maps(capture, layer, chosen)[1] for layer in capture.layers} for capture in captures
        ]

    def job(layers: Sequence[Layer], rows: slice) -> list[dict[str, Tensor]]:
        return maps_of(probe.part(images, targets, layers, rows, masks))

    if max_memory is None:
        return maps_of(probe.many(images, targets, masks=masks))
    what = ("maps", *(repr((method.name, *method.parameters.items())) for method in chosen))
    plan = probe.planned(what, plan_maps, job, images, targets, max_memory)
    found: list[dict[str, Tensor]] = [{} for _ in targets]
    for layers in plan.groups:
        for rows in plan.rows(len(images)):
            _place(found, job(layers, rows), rows, len(images))
    return found


def _place(found: list[dict[str, Tensor]], parts: list[dict[str, Tensor]], rows: slice, batch: int) -> None:
    """Write the maps of some images to where they belong."""
    for whole, part in zip(found, parts, strict=True):
        for label, maps in part.items():
            if label not in whole:
                whole[label] = maps.new_empty(batch, *maps.shape[1:])
            whole[label][rows] = maps
