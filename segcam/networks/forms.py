"""Forms: what wraps a network is taken off, where hooks would be skipped otherwise; what cannot be read is refused."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from segcam.probe.network.forms import check_form


def plain_form(model: nn.Module, source: str, *, ours: bool) -> tuple[nn.Module, list[str]]:
    """Return a network whose layers can be read, and what is to be said of how it came to be.

    Args:
        model: the network.
        source: what messages call it.
        ours: whether it was built here, so that compiled parts of it may be replaced by what they were made from.

    Raises:
        ProbeError: it is scripted, traced, exported or quantised; the message says what to do.
    """
    said = []
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
        said.append(f"network '{source}' is wrapped for several devices: the network within is taken")
    plain = _uncompiled(model)
    if plain is not model or any(_uncompiled(child) is not child for child in plain.children()):
        said.append(f"network '{source}' is compiled, which skips hooks: what it was compiled from is taken")
    model = plain
    check_form(model)
    if not ours:
        return model, said
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _uncompiled(child) is not child:
                setattr(parent, name, _uncompiled(child))
        if getattr(parent, "_compiled_call_impl", None) is not None:
            parent._compiled_call_impl = None
    return model, said


def _uncompiled(model: nn.Module) -> nn.Module:
    """Return what a module was compiled from, or itself."""
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")  # it takes seconds to import
    while dynamo is not None and isinstance(model, dynamo.OptimizedModule):
        model = model._orig_mod
    return model
