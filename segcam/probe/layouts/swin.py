"""Windows of Swin transformers: which blocks cut their input, how, and what lies in windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segcam.probe.layouts.layout import Windows
from segcam.probe.network.modules import Modules
from segcam.scoring.grids import Grid


def _of_maps(x: Tensor, *_args: object, **_kwargs: object) -> Grid:
    return int(x.shape[1]), int(x.shape[2])


def _of_tokens(_hidden_states: Tensor, input_dimensions: tuple[Any, Any], *_args: object, **_kwargs: object) -> Grid:
    return int(input_dimensions[0]), int(input_dimensions[1])


_BLOCKS: dict[tuple[str, str], tuple[Callable[..., Grid], str, bool]] = {
    ("timm.", "SwinTransformerBlock"): (_of_maps, "attn", False),
    ("timm.", "SwinTransformerV2Block"): (_of_maps, "attn", False),
    ("transformers.", "SwinLayer"): (_of_tokens, "attention", True),
    ("transformers.", "Swinv2Layer"): (_of_tokens, "attention", True),
    ("transformers.", "MaskFormerSwinLayer"): (_of_tokens, "attention", True),
    ("transformers.", "DonutSwinLayer"): (_of_tokens, "attention", True),
}
"""By library and class: how to read the grid off its arguments, what runs on windows, and whether it pads first."""


def block_of(modules: Modules, path: str) -> str | None:
    """Return the path of the block in whose windows a module runs; None where it does not."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        inside = _BLOCKS.get(_key(modules[".".join(parts[:end])]))
        if inside is not None and parts[end] == inside[1]:
            return ".".join(parts[:end])
    return None


def grid_reader(block: nn.Module) -> Callable[..., Grid]:
    """Return what reads rows and columns off a block's arguments."""
    return _BLOCKS[_key(block)][0]


def windows_of(block: nn.Module) -> Windows:
    """Return how a block cuts its grid."""
    size, shift = (_pair(getattr(block, name)) for name in ("window_size", "shift_size"))
    return Windows(size, shift, _BLOCKS[_key(block)][2])


def _pair(value: Any) -> Grid:
    first, second = value if isinstance(value, (tuple, list)) else (value, value)
    return int(first), int(second)


def _key(module: nn.Module) -> tuple[str, str]:
    kind = type(module)
    return f"{kind.__module__.partition('.')[0]}.", kind.__name__
