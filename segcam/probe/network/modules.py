"""Modules: those of a network by path, as one walk finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from torch import Tensor, nn

Modules: TypeAlias = Mapping[str, nn.Module]
"""A network's modules by path, from the network itself, ''; those that have several names by each of them."""


def walked(model: nn.Module) -> dict[str, nn.Module]:
    """Return a network's modules by path, as `named_modules(remove_duplicate=False)` gives them.

    That takes several times as long, in a network of hundreds of modules as long as some of its layers.

    >>> list(walked(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU()))))
    ['', '0', '1', '1.0']
    """
    found: dict[str, nn.Module] = {}

    def walk(module: nn.Module, path: str) -> None:
        found[path] = module
        for name, child in module._modules.items():
            if child is not None:
                walk(child, f"{path}.{name}" if path else name)

    walk(model, "")
    return found


def first_names(modules: Modules) -> dict[str, str]:
    """Return by each name of a module the first one, by which `named_modules` knows those that have several.

    >>> shared = nn.ReLU()
    >>> first_names(walked(nn.Sequential(shared, shared)))
    {'': '', '0': '0', '1': '0'}
    """
    first: dict[int, str] = {}
    return {path: first.setdefault(id(module), path) for path, module in modules.items()}


def tensors_of(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters and buffers of modules, without those of modules in them; each once."""
    held = (one for module in modules for one in (module._parameters, module._buffers))
    found = {id(tensor): tensor for tensors in held for tensor in tensors.values() if tensor is not None}
    return list(found.values())
