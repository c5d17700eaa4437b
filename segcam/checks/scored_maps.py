"""Maps as scores take them: what speaks for the target, of several methods and controls, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError, NotApplicableError
from segcam.maps import layer_maps
from segcam.methods import METHODS, Method
from segcam.probe.captures import Capture
from segcam.probe.network.inputs import as_images
from segcam.samples import Batch
from segcam.scoring.reference import Reference, Scenery


def methods_named(methods: str | Method | Sequence[str | Method]) -> tuple[Method, ...]:
    """Return methods by their names: those that share the pass, and controls.

    Raises:
        InputError: one is unknown or named twice, takes passes of its own, attention or all layers, or there is none.
    """
    given = [methods] if isinstance(methods, (str, Method)) else list(methods)
    found = tuple(METHODS.get(one) if isinstance(one, str) else one for one in given)
    for method in found:
        if method.gradient is None and method.control is None:
            raise InputError(f"{method.name} is no gradient method and no control: leave it out")
    if not found or len({method.name for method in found}) < len(found):
        raise InputError("name each method once, and one at least, such as 'grad_cam'")
    return found


def pictures(batch: Batch, images: Float[Tensor, "b ch H W"] | None) -> Float[Tensor, "b ch H W"]:
    """Return the network's input, the batch's own unless given.

    Raises:
        InputError: they do not fit the masks.
    """
    given = as_images(batch.inputs() if images is None else images)
    if len(given) != len(batch.ids) or tuple(given.shape[2:]) != tuple(batch.masks.shape[1:]):
        raise InputError(f"images are {tuple(given.shape)} for masks {tuple(batch.masks.shape)}: they are to be alike")
    return given


def measured(layer: str, energy: Mapping[str, Tensor]) -> str:
    """Return a layer's label, of one that was measured.

    Raises:
        InputError: it was not.
    """
    if layer not in energy:
        raise InputError(f"no layer '{layer}' was measured: there are {', '.join(energy)}")
    return layer


def scored_maps(
    capture: Capture, methods: Sequence[Method], scenery: Scenery
) -> Iterator[tuple[str, Reference, Float[Tensor, "b m h w"]]]:
    """Yield each layer's label, what its maps are measured against, and the positive parts of all methods' maps.

    Maps are NaN where the target chose no pixel, and where a method has none for the layer.
    """
    shared = [i for i, method in enumerate(methods) if method.gradient is not None]
    for layer in capture.layers:
        b, _, h, w = capture.activations[layer.label].shape
        reference = scenery.on((int(h), int(w)), capture.placements[layer.label])
        maps = torch.full((b, len(methods), h, w), torch.nan, dtype=reference.dtype, device=reference.device)
        made = _gradient_maps(capture, layer.label, [methods[i] for i in shared])
        for i, one in zip(shared, made, strict=True):
            if one is not None:
                maps[:, i] = one.relu().to(maps)
        for i, method in enumerate(methods):
            if method.control is not None:
                maps[:, i] = method.control(reference).to(maps)
        yield layer.label, reference, maps


def _gradient_maps(capture: Capture, label: str, methods: Sequence[Method]) -> list[Float[Tensor, "b h w"] | None]:
    """Return a layer's maps, all of one computation; where a method has none for it, one by one, and None for that."""
    if not methods:
        return []
    try:
        return list(layer_maps(capture, label, methods)[1].unbind(1))
    except NotApplicableError:
        if len(methods) == 1:
            return [None]
        return [one for method in methods for one in _gradient_maps(capture, label, [method])]
