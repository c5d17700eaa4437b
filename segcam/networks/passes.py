"""Passes: one of a network on an empty image, to count the channels of its output."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from segcam.errors import InputError, ProbeError, first_line, out_of_memory
from segcam.networks.inputs import NetworkInputs
from segcam.probe.network.elements import Element, select
from segcam.probe.network.held import FAILURES, frozen, run
from segcam.probe.targets.outputs import tensor_of, told

SIDES = (64, 128, 224, 256, 384, 512)
"""Pixels a side that networks are tried with where they do not say what they take."""


def channels_of_output(model: nn.Module, inputs: NetworkInputs, output: Element | None, source: str) -> int | None:
    """Return how many channels a network's dense output has; None where it takes more than images.

    Args:
        model: the network; it runs in eval mode, and is as before behind the call.
        inputs: how it wants its images.
        output: which part of its output is read, or what that means.
        source: what errors call it.

    Raises:
        InputError: it fails on images of all sizes that are tried, or returns nothing dense.
    """
    if _takes_more(model):
        return None
    failed: Exception | None = None
    channels = channels_of_images(model, inputs)
    for rows, columns in _sizes(inputs):
        images = torch.zeros(1, channels, rows, columns)
        try:
            with frozen(model, own_precision=True) as tensors, torch.no_grad(), torch.random.fork_rng(devices=[]):
                returned = run(model, images.to(_device(model)), tensors)
        except (*FAILURES, InputError) as error:
            if out_of_memory(error):
                raise
            failed = failed or error
            continue
        return int(_dense(returned, output).shape[1])
    assert failed is not None  # as there are sizes
    sizes = ", ".join(f"{rows} x {columns}" for rows, columns in _sizes(inputs))
    raise InputError(
        f"network '{source}' fails on images of {channels} channels and {sizes} pixels: {type(failed).__name__}: "
        f"{first_line(failed)}; say the size that it takes with --size, in Python inputs={{'size': ...}}, and of other "
        "images than RGB a mean and std for each channel"
    ) from failed


def channels_of_images(model: nn.Module, inputs: NetworkInputs) -> int:
    """Return how many channels a network's images have: as its inputs say, else as its first convolution does."""
    if inputs.channels is not None:
        return len(inputs.channels)
    return next((m.in_channels for m in model.modules() if isinstance(m, _ConvNd)), 3)


def _sizes(inputs: NetworkInputs) -> Iterator[tuple[int, int]]:
    sides = inputs.multiple
    sizes = [*([inputs.size] if inputs.size else []), *((side, side) for side in SIDES)]
    for rows, columns in sizes:
        yield rows + -rows % sides, columns + -columns % sides


def _takes_more(model: nn.Module) -> bool:
    """Return whether the network's forward needs more than its first argument."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    return any(p.default is kinds.empty for p in named[1:])


def _dense(returned: object, output: Element | None) -> Tensor:
    try:
        return tensor_of(select(returned, told(output)[1]))
    except ProbeError as error:  # users are told in this function's words
        raise ProbeError(str(error).replace("Probe(..., element=", "open_network(..., output=")) from error


def _device(model: nn.Module) -> torch.device:
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")
