"""Networks in other forms than plain modules: refused with the cure, or run so that all of their layers can be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
import torch.utils.checkpoint as recomputing
from torch import fx, nn
from torch.nn.modules.lazy import LazyModuleMixin

from segcam.errors import ProbeError
from segcam.probe.network.modules import Modules, walked

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


def check_form(model: object) -> None:
    """Refuse networks whose layers cannot be read, with the cure.

    Raises:
        ProbeError: the network is scripted, traced, exported, quantised or compiled for inference.
    """
    if isinstance(model, torch.export.ExportedProgram) or _is_exported(model):
        raise ProbeError(
            "the network was exported by torch.export, which leaves no modules whose outputs could be read: probe the "
            "network that was exported (network.load_state_dict(program.state_dict) brings its weights back)"
        )
    if not isinstance(model, nn.Module):
        raise ProbeError(f"a torch.nn.Module is needed, not a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        frozen = next(model.parameters(), None) is None
        raise ProbeError(
            "the network is TorchScript (scripted, traced, or loaded by torch.jit.load), whose layers cannot be read: "
            + (
                "its weights are frozen into the program; build the network in Python, load the weights that it was "
                "made from, and probe that"
                if frozen
                else "build the network in Python, network.load_state_dict(scripted.state_dict()), and probe that"
            )
        )
    for path, module in walked(model).items():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            raise ProbeError(
                f"'{path}' is a {type(module).__name__} that has not run yet, and has no weights: run the network "
                "once, network(images), before it is probed"
            )
        if any(tensor.is_meta for tensor in module._parameters.values() if tensor is not None):
            raise ProbeError(
                f"the weights of '{path or type(module).__name__}' are on the device 'meta', where they have no "
                "values: network.to_empty(device='cpu') and load them"
            )
        if type(module).__module__.startswith(_QUANTISED):
            raise ProbeError(
                f"the network is quantised ('{path}' is a {type(module).__name__}), and integers have no gradients: "
                "probe the network as it was before"
            )
        if type(module).__module__.startswith("torch.utils.mkldnn"):
            raise ProbeError(f"'{path}' is compiled for inference (mkldnn): probe the network as it was before")


def _is_exported(model: object) -> bool:
    if not isinstance(model, fx.GraphModule):
        return False
    return any(isinstance(node.target, torch._ops.OpOverload) for node in model.graph.nodes)


def scripted_part(modules: Modules, path: str) -> str | None:
    """Return the path of the TorchScript module that a module is, or lies in; None where it is plain."""
    parts = path.split(".")
    paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((path for path in paths if isinstance(modules[path], torch.jit.ScriptModule)), None)


@contextmanager
def without_checkpointing() -> Iterator[None]:
    """Run what is checkpointed as if it were not, in this thread.

    Gradient checkpointing runs blocks again in the backward pass, where no hook is left (the non-reentrant kind), or
    runs them without a graph at first (the reentrant kind): the layers in them then have no gradients. What it gives is
    the same without; it takes more memory.
    """
    thread = threading.get_ident()
    reentrant, generator = recomputing.CheckpointFunction, recomputing._checkpoint_without_reentrant_generator

    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        if threading.get_ident() == thread:
            return function(*args)
        return reentrant.apply(function, preserve, *args)  # type: ignore[no-untyped-call]

    def plain(*args: Any, **kwargs: Any) -> Iterator[None]:
        if threading.get_ident() != thread:
            yield from generator(*args, **kwargs)
        else:
            yield

    # `checkpoint` itself is bound by name in networks' own modules, so what it calls is replaced.
    recomputing.CheckpointFunction = SimpleNamespace(apply=apply)  # type: ignore[assignment,misc]
    recomputing._checkpoint_without_reentrant_generator = plain
    try:
        yield
    finally:
        recomputing.CheckpointFunction = reentrant  # type: ignore[misc]
        recomputing._checkpoint_without_reentrant_generator = generator


@contextmanager
def without_fast_paths() -> Iterator[None]:
    """Run torch's own transformer layers module by module, so that their hooks fire."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
