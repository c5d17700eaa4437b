"""Reading a network's attention matrices as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import ProbeError
from segcam.probe.attention.matrices import Attention, AttentionPlace
from segcam.probe.layouts.grids import of_tokens
from segcam.probe.network.modules import Modules
from segcam.scoring.grids import Grid


@contextmanager
def recording_attention(modules: Modules, places: Sequence[AttentionPlace]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the matrices that the places compute in forward passes, by label and in the order of the calls.

    Fused kernels never hold the matrix, so the places compute step by step meanwhile (transformers' 'eager', timm's
    `fused_attn = False`); switches and hooks are as before in the end, exception or not.

    Raises:
        ProbeError: the network has no such module, or two places share a label.
    """
    matrices: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for place in places:
            if place.module not in modules or place.label in matrices:
                wrong = "two places share the label" if place.label in matrices else f"there is no '{place.module}' for"
                raise ProbeError(f"{wrong} '{place.label}': take the places from the network's own architecture")
            matrices[place.label] = []
            module = modules[place.module]
            for owner, name, value in _switches(module):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            for child in module.modules():
                if child is module or isinstance(child, nn.Dropout):
                    stack.callback(child.register_forward_hook(_recorder(matrices[place.label])).remove)
        yield matrices


def on_grids(
    places: Sequence[AttentionPlace], matrices: Mapping[str, Sequence[Tensor]], size: Grid
) -> dict[str, Attention]:
    """Lay the matrices that `recording_attention` gave on their grids, by label; float32 or wider.

    Raises:
        ProbeError: a place gave no matrix, more than one, or one that fits no grid.
    """
    attentions: dict[str, Attention] = {}
    for place in places:
        calls = matrices[place.label]
        if len(calls) != 1:
            raise ProbeError(
                f"'{place.label}' ({place.module}) gave {len(calls) or 'no'} attention matrices in one forward "
                "pass; only a module that runs once and returns its weights, or has a dropout of them, can be read"
            )
        grid = of_tokens(calls[0].shape[-2], size, place.stride)
        if grid is None:
            raise ProbeError(
                f"'{place.label}' has {calls[0].shape[-2]} queries, which fit no grid of stride {place.stride} for "
                f"an input of {size[0]} x {size[1]}: correct the stride of its AttentionPlace"
            )
        attentions[place.label] = Attention(at_least_float32(calls[0].detach()), grid, place.reduction)
    return attentions


def with_gradients(
    attentions: Mapping[str, Attention], gradients: Mapping[str, Tensor | None]
) -> Mapping[str, Attention]:
    """Return the attentions with the score's derivatives by their matrices, float32 or wider, where they are known."""
    if not gradients:
        return attentions
    known = {label: at_least_float32(one) for label, one in gradients.items() if one is not None}
    return {label: replace(one, gradients=known.get(label)) for label, one in attentions.items()}


def _switches(module: nn.Module) -> Iterator[tuple[object, str, object]]:
    """Yield owner, attribute and value of what makes a module compute its matrix."""
    for child in module.modules():
        if isinstance(getattr(child, "fused_attn", None), bool):
            yield child, "fused_attn", False
        config = getattr(child, "config", None)
        if hasattr(config, "_attn_implementation"):
            yield config, "_attn_implementation", "eager"


def _recorder(matrices: list[Tensor]) -> Callable[[nn.Module, object, object], None]:
    def hook(module: nn.Module, _inputs: object, output: object) -> None:
        # A dropout hands the weights on; transformers 5 has none and returns them beside the output. Where both
        # happen (transformers 4 with output_attentions), it is the same tensor.
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else output
        if not isinstance(weights, Tensor) or weights.ndim != 4 or any(weights is matrix for matrix in matrices):
            return
        if weights is not output or isinstance(module, nn.Dropout) or _rows_are_shares(weights):
            matrices.append(weights)

    return hook


def _rows_are_shares(values: Tensor) -> bool:
    """Tell attention weights from feature maps, which modules return as well."""
    sums = values.detach().float().sum(-1)
    return bool((values >= 0).all()) and bool(((sums - 1).abs() < 0.05).all())
