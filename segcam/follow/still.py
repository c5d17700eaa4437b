"""Still: a network in training is looked at, and everything that training depends on is as before."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from segcam.errors import ProbeError, shown

WRAPPERS = ("DistributedDataParallel", "DataParallel", "AveragedModel", "ModelEma", "ModelEmaV2", "ModelEmaV3")
"""Classes that run the network in their attribute `module`: torch's, and timm's moving averages."""
SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def unwrapped(network: object) -> nn.Module:
    """Return the network itself: of a compiled one, of one that several processes train, of a moving average.

    Raises:
        ProbeError: it is no network, or its weights are spread over processes.
    """
    while True:
        kinds = {kind.__name__ for kind in type(network).__mro__}
        inner = getattr(network, "_orig_mod", None)
        if inner is None and kinds.intersection(WRAPPERS):
            inner = getattr(network, "module", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    if not isinstance(network, nn.Module):
        raise ProbeError(f"the network is {shown(network)}: a torch.nn.Module is needed")
    for module in network.modules():
        kinds = {kind.__name__ for kind in type(module).__mro__}
        spread = (type(p).__name__ == "DTensor" or hasattr(p, "ds_id") for p in module.parameters(recurse=False))
        if kinds.intersection(SHARDED) or any(spread):
            raise ProbeError(
                "the network's weights are spread over processes (FSDP, DTensor or ZeRO-3), and none can run it alone: "
                "follow a whole copy, such as one that loads each full checkpoint"
            )
    return network


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode and run what is compiled as it is written; leave nothing changed.

    Behind the block every module's mode, the buffers and the random streams of Python, numpy and torch are as before.
    The probe sees to gradients, `requires_grad` and hooks.
    """
    with ExitStack() as stack:
        for restore in (*_streams(network), *_buffers(network)):
            stack.callback(restore)
        for module in network.modules():
            if module.training:
                stack.callback(_train, module)
                module.training = False  # eval() does more in some networks, such as merging weights
        compiled = "torch._dynamo" in sys.modules  # it takes seconds to import, and nothing is compiled without it
        stack.enter_context(torch.compiler.set_stance("force_eager") if compiled else nullcontext())
        yield


def _train(module: nn.Module) -> None:
    module.training = True


def _streams(network: nn.Module) -> Iterator[Callable[[], object]]:
    """Yield what sets random streams back to where they are."""
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())  # noqa: NPY002  (what others draw from)
    yield partial(torch.set_rng_state, torch.get_rng_state())
    for device in {tensor.device for tensor in network.parameters()} - {torch.device("cpu")}:
        if device.type in ("cuda", "xpu"):
            of_kind = torch.get_device_module(device)
            yield partial(of_kind.set_rng_state, of_kind.get_rng_state(device), device)
        elif device.type == "mps":
            yield partial(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _buffers(network: nn.Module) -> Iterator[Callable[[], object]]:
    """Yield what sets buffers back: some networks count or average in eval mode, too."""
    for module in network.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield partial(_restore, module, name, buffer, buffer.detach().clone())


def _restore(module: nn.Module, name: str, buffer: Tensor, values: Tensor) -> None:
    if module._buffers.get(name) is not buffer:
        module._buffers[name] = buffer
    same = buffer.dtype == values.dtype and torch.equal(_bits(buffer), _bits(values))
    if not same:  # a write where nothing changed would break a graph that training has saved the buffer for
        with torch.inference_mode(buffer.is_inference()), torch.no_grad():
            buffer.copy_(values)


def _bits(values: Tensor) -> Tensor:
    """Return values so that NaN equals NaN."""
    whole = values.detach()
    return whole.nan_to_num(nan=1.5e30) if whole.is_floating_point() else whole
