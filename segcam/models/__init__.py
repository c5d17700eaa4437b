"""Networks: one file an architecture; `MODELS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam.errors import InputError, shown, unknown
from segcam.memory import must_fit
from segcam.model_names import TAG, parsed
from segcam.probe.attention import AttentionPlace, no_attention
from segcam.probe.layers import Layer, Point
from segcam.registry import Registry

Value: TypeAlias = str | int | float | bool
Parameters: TypeAlias = Mapping[str, Value]


LARGEST = 2**31
"""No number that is a parameter is greater."""


def same_name(name: str) -> str:
    """Return a tensor's name as it is: the architecture has one spelling."""
    return name


def no_weights(_model: nn.Module, _parameters: Parameters) -> None:
    """Leave a network with its random weights: the architecture knows no others."""


def no_file(_parameters: Parameters) -> None:
    """Name no file: the architecture knows no pretrained weights."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network plugin.

    Attributes:
        name: the name users ask for.
        label: the name in figures.
        summary: one line about it.
        source: the paper.
        defaults: its parameters with their defaults; no others are accepted.
        build: `(number of classes, parameters) -> network` with random weights; its logits have the input's size.
        layers: `(network, point) -> its layers` in the order of execution.
        variant: the parameter that a name's part after ':' sets, as in 'segformer:b1'; '' where there is none.
        pretrain: `(network, parameters) -> None` loads the pretrained weights that the parameters name, if any.
        weights: `parameters -> the file` that `pretrain` reads, which may be fetched; None where it is no one file.
        attentions: `network -> the blocks whose attention can be read` in the order of execution; none by default.
        canonical: `name of a tensor -> its one spelling`, for networks of libraries that spell it by version.
        small: `variant -> parameters that make it small`, '' for the default one: contract tests run over these.
    """

    name: str
    label: str
    summary: str
    source: str
    defaults: Parameters
    build: Callable[[int, Parameters], nn.Module]
    layers: Callable[[nn.Module, Point], list[Layer]]
    variant: str = ""
    pretrain: Callable[[nn.Module, Parameters], None] = no_weights
    weights: Callable[[Parameters], Path | None] = no_file
    attentions: Callable[[nn.Module], list[AttentionPlace]] = no_attention
    canonical: Callable[[str], str] = same_name
    small: Mapping[str, Parameters] = field(default_factory=lambda: {"": {}})


MODELS: Registry[Architecture] = Registry("model", "segcam.models")


def architecture(name: str) -> Architecture:
    """Return the architecture of a model's name: 'segformer', 'segformer:b1', 'segformer@with-hints'.

    What stands behind the '@' tells trainings of one architecture apart; any words do, with '-' between them.

    Raises:
        InputError: an unknown architecture, a variant of one that has none, or a colon or an '@' with nothing behind
            it that names something.
    """
    family, variant, tag = parsed(name)
    plugin = MODELS.get(family)
    if ":" in name.partition("@")[0] and not (plugin.variant and variant):
        problem = "has no variants" if variant or not plugin.variant else f"is told no {plugin.variant} by '{name}'"
        raise InputError(f"model '{family}' {problem}: write '{family}' in place of '{name}'")
    if "@" in name and not TAG.fullmatch(tag):
        raise InputError(
            f"model '{name}': behind the '@' stands what tells this training from others, in letters, digits, '-' "
            f"and '_', for example '{family}@with-hints'"
        )
    return plugin


def label(name: str) -> str:
    """Return a model's name in figures: 'U-Net', 'SegFormer (b1)', 'SegFormer (with hints)'."""
    _, variant, tag = parsed(name)
    said = ", ".join(words for words in (variant, tag.replace("-", " ")) if words)
    return architecture(name).label + (f" ({said})" if said else "")


def create(
    name: str, classes: int, parameters: Parameters | None = None, seed: int = 0, *, pretrained: bool = True
) -> nn.Module:
    """Build a network with random weights that depend on the seed alone; the global random state is left as it was.

    Args:
        name: an architecture of the registry, with its variant after a colon where it has some.
        classes: number of classes, the background included.
        parameters: what differs from the architecture's defaults.
        seed: seed of the weights.
        pretrained: whether pretrained weights are loaded where the parameters name some.

    Raises:
        InputError: an unknown architecture, variant or parameter, a value of another type than the default's, or
            pretrained weights that cannot be had or do not fit; or the network is too large for the memory.
    """
    values = complete(name, parameters or {})
    plugin = architecture(name)
    if not _modest(plugin, values):
        _fits(name, classes, tuple(values.items()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = plugin.build(classes, values)
        if pretrained:
            plugin.pretrain(model, values)
    return model


def _modest(plugin: Architecture, values: Parameters) -> bool:
    """Return whether a network is about as large as by default, so that its size need not be looked into."""
    return all(
        value <= 2 * default if type(default) is int else key != plugin.variant or value == default  # type: ignore[operator]
        for (key, value), default in zip(values.items(), plugin.defaults.values(), strict=True)
    )


def _fits(name: str, classes: int, values: tuple[tuple[str, Value], ...]) -> None:
    """See that a network's weights fit into memory, before any is made.

    Raises:
        InputError: they do not; or the parameters cannot be had, as `build` says it.
    """
    plugin = architecture(name)
    chosen = [key for key, value in values if plugin.defaults[key] != value]
    cure = f"choose a smaller {' or '.join(chosen)}"
    size = weight_bytes(name, classes, values)
    if size is not None:
        must_fit(f"model '{name}' with {dict(values)}", size, cure)


@lru_cache(maxsize=256)
def weight_bytes(name: str, classes: int, values: tuple[tuple[str, Value], ...]) -> int | None:
    """Return how many bytes a network's weights take, without making any; None where it cannot be told beforehand.

    Args:
        name: the model's name, with its variant.
        classes: number of classes.
        values: all parameters, as `complete` gives them.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = architecture(name).build(classes, dict(values))
    except Exception as error:
        if "overflowed" in str(error):  # torch's own word, for more bytes than it can count
            return 2**63
        if isinstance(error, InputError):
            raise
        return None  # a network that cannot be made without data
    return sum(int(t.numel() * t.element_size()) for t in network.state_dict().values())


def complete(name: str, parameters: Parameters) -> dict[str, Value]:
    """Return an architecture's parameters, its defaults where neither `parameters` nor the name's variant says more.

    Raises:
        InputError: an unknown architecture or parameter, a value of another type than the default's, or a parameter
            that says otherwise than the variant.
    """
    plugin = architecture(name)
    values = dict(plugin.defaults)
    variant = parsed(name).variant
    if variant:
        given = parameters.get(plugin.variant, variant)
        if given != variant:
            raise InputError(
                f"model '{name}' names its {plugin.variant} already: leave out parameter '{plugin.variant}' ({given!r})"
            )
        values[plugin.variant] = variant
    for key, value in parameters.items():
        if key not in values:
            raise unknown(f"parameter of model '{name}'", key, values)
        kind = type(values[key])
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InputError(
                f"parameter '{key}' of model '{name}' is {shown(value)}: it must be of type {kind.__name__}"
            )
        if kind in (int, float) and not -LARGEST <= value <= LARGEST:  # type: ignore[operator]
            raise InputError(f"parameter '{key}' of model '{name}' is {shown(value)}: no network has such a number")
        values[key] = value
    return values


def wrong_value(model: str, parameter: str, value: Value, must: str) -> InputError:
    """Return the error for a parameter's value of the right type that a model cannot have."""
    return InputError(f"parameter '{parameter}' of model '{model}' is {value}: it must be {must}")


def to_input(logits: Float[Tensor, "b k h w"], size: tuple[int, int], stride: int) -> Float[Tensor, "b k height width"]:
    """Upsample logits bilinearly by their stride; crop what lies beyond the input, stretch what falls short of it.

    Args:
        logits: of `ceil(side / stride)` cells a side, or of `floor(side / stride)`, whichever the network gives.
        size: height and width of the input, in pixels.
        stride: input pixels a cell.
    """
    rows, columns = (max(cells * stride, side) for cells, side in zip(logits.shape[2:], size, strict=True))
    if (rows, columns) != tuple(logits.shape[2:]):
        logits = F.interpolate(logits, size=(rows, columns), mode="bilinear", align_corners=False)
    return logits[:, :, : size[0], : size[1]]
