"""Sanity checks: networks whose weights are made random step by step.

A map that is to explain a network has to change when the network's weights do. Source: Adebayo et al., NeurIPS 2018,
'Sanity Checks for Saliency Maps'.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.errors import ProbeError, unknown
from segcam.probe.network.held import frozen, run
from segcam.probe.network.inputs import as_images

Step: TypeAlias = tuple[str, ...]
"""Paths of modules that are made random together."""


def execution_order(model: nn.Module, images: Float[Tensor, "b ch h w"]) -> list[Step]:
    """Return the modules that hold weights in the order in which they first run, so that the output's come last.

    A step is a module with parameters or running statistics of its own. Two kinds join another one's step:

    - a normalisation (a class with 'Norm' in its name) that of the module with weights that ran before it, since
      statistics of the old weights mean nothing behind new ones;
    - a module that does not run itself, because one around it uses its weights (the projection in
      `nn.MultiheadAttention`), that of the nearest one around it that runs.

    A module with weights of its own and modules inside counts from when it begins: a position embedding comes before
    the blocks.

    Args:
        model: the network; it runs once, in eval mode, and is as before afterwards.
        images: its input; one image is enough.

    Returns:
        The steps from the input to the output; together they are all modules with weights.

    Raises:
        ProbeError: the network has no weights.
    """
    began = _began(model, as_images(images))
    members: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if _holds_weights(module):
            members.setdefault(_running(name, began), []).append(name)
    if not members:
        raise ProbeError("the network has no weights, so that there are none to make random")
    steps: list[Step] = []
    for name in began:
        if name in members:
            joins = bool(steps) and "Norm" in type(model.get_submodule(name)).__name__
            before = steps.pop() if joins else ()
            steps.append((*before, *members[name]))
    return steps


def cascading(order: Sequence[Step]) -> list[Step]:
    """Return what is random after each step from the output to the input: its own modules and all behind them."""
    return [tuple(name for step in order[at:] for name in step) for at in range(len(order) - 1, -1, -1)]


def independent(order: Sequence[Step]) -> list[Step]:
    """Return what is random where one step at a time is, from the output to the input."""
    return list(reversed(order))


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 0 to `count - 1`, evenly spread, the first and the last among them.

    >>> evenly(19, 4), evenly(3, 8), evenly(5, 1)
    ([0, 6, 12, 18], [0, 1, 2], [4])
    """
    if most < 2 or count < 2:
        return [count - 1] if count and most else []
    number = min(count, most)
    return [round(i * (count - 1) / (number - 1)) for i in range(number)]


def randomised(model: nn.Module, modules: Iterable[str], seed: int = 0) -> nn.Module:
    """Return a copy of a network in which some modules have new weights; the network itself is not touched.

    New weights are those of the module's own `reset_parameters`, as before any training: of a normalisation ones,
    zeros and the running statistics it began with. Where a module has no such function, the values of each of its
    parameters are permuted; a parameter whose values are all equal then stays as it is.

    Args:
        model: the network.
        modules: their paths, as in `model.named_modules()`.
        seed: of the new weights. A module's depend on it and on the module's path alone, so that a module has the same
            new weights whichever others are random. Global random state is neither used nor changed.

    Raises:
        InputError: the network has no such module.
    """
    names = list(dict.fromkeys(modules))
    paths = dict(model.named_modules())
    for name in names:
        if name not in paths:
            raise unknown("module", name, paths)
    fresh = copy.deepcopy(model)
    for name in names:
        _renew(fresh.get_submodule(name), int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big"))
    return fresh


def _began(model: nn.Module, images: Float[Tensor, "b ch h w"]) -> list[str]:
    """Return the paths of the modules that run, in the order in which they first begin."""
    began: dict[str, None] = {}

    def noted(name: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _inputs: began.setdefault(name)

    handles = [module.register_forward_pre_hook(noted(name)) for name, module in model.named_modules()]
    try:
        with frozen(model) as copies, torch.no_grad():
            run(model, images.clone(), copies)  # the network may write into its input
    finally:
        for handle in handles:
            handle.remove()
    return list(began)


def _holds_weights(module: nn.Module) -> bool:
    parameter = next(module.parameters(recurse=False), None)
    return parameter is not None or getattr(module, "running_mean", None) is not None


def _running(name: str, began: Sequence[str]) -> str:
    """Return the module itself where it runs, else the nearest one around it that does."""
    while name and name not in began:
        name = name.rpartition(".")[0]
    return name


@torch.no_grad()
def _renew(module: nn.Module, seed: int) -> None:
    """Give a module new weights, drawn on the processor: the same ones on every device."""
    device = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    module.cpu()
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's alone: that of GPUs is not forked
        if reset is not None:
            reset()
        else:
            for values in module.parameters(recurse=False):
                values.copy_(values.flatten()[torch.randperm(values.numel())].view(values.shape))
    module.to(device)
