"""Layer: where a network is probed, and what tables call the place; finding layers in any network."""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from torch import nn

from segcam.errors import ProbeError, shown
from segcam.probe.network.modules import Modules, first_names, walked

Point = Literal["conv", "relu"]
"""Where the hook sits: the convolution's own output (signed, the paper's choice) or the activation after ReLU."""

POINTS: tuple[Point, ...] = ("conv", "relu")


Form = Literal["NCHW", "NHWC", "NLC", "LNC", "NCL"]
"""The order of an output's dimensions: batch N, channels C, rows H and columns W, or tokens L."""

FORMS: tuple[Form, ...] = ("NCHW", "NHWC", "NLC", "LNC", "NCL")


@dataclass(frozen=True, slots=True)
class Layer:
    """A place in a network whose output is a stack of feature maps, or tokens that lie on a grid.

    Attributes:
        module: path of the module, as in `model.named_modules()`.
        label: the name in tables and figures, unique within a network.
        stage: resolution level, 1 the finest; 0 where unknown.
        depth: position in the order of execution, from 0.
        role: 'encoder', 'decoder', ... ; '' where unknown.
        stride: input pixels a cell; 0 where unknown.
        point: which output of the layer is read.
        form: the order of the output's dimensions: feature maps 'NCHW' (b, c, h, w) or 'NHWC' (b, h, w, c), or tokens
            'NLC' (b, n, c), 'LNC' (n, b, c) or 'NCL' (b, c, n); '' where the network tells.
        call: which of the module's calls in one forward pass is read, for modules that fire more than once; None
            for modules that fire once.
        prefix: how many tokens come before the image's own (class, registers); None where the network tells.
        grid: which grid is read, from 0, of layers that hold the tokens of several, as the encoders of multi-scale
            deformable attention do; None for layers of one.
    """

    module: str
    label: str
    stage: int = 0
    depth: int = 0
    role: str = ""
    stride: int = 0
    point: str = "conv"
    form: Literal["", "NCHW", "NHWC", "NLC", "LNC", "NCL"] = ""
    call: int | None = None
    prefix: int | None = None
    grid: int | None = None

    def __post_init__(self) -> None:
        if self.form not in ("", *FORMS):
            raise ProbeError(f"form of layer '{self.label}' is '{self.form}': choose one of {', '.join(FORMS)}")


INPUT = Layer(module="", label="Input", depth=-1, role="input", stride=1, point="")
"""Where methods that attribute to the input's pixels have their maps: before every layer, with a cell a pixel."""

LayerChoice: TypeAlias = str | nn.Module | Layer
"""A layer by its module path, by a shell-style pattern of paths, by the module itself, or described."""


def find_layers(
    model: nn.Module, wanted: LayerChoice | Iterable[LayerChoice], kind: type[nn.Module] | None = None
) -> list[Layer]:
    """Find the layers of any network.

    Args:
        model: the network.
        wanted: module paths ('layer1.0.conv1'), shell-style patterns of them ('layer*.conv2'), modules, or layers; a
            pattern that begins with '!' leaves out what it matches ('!aux*').
        kind: where given, patterns match modules of this class alone, for example `nn.Conv2d`.

    Returns:
        The layers in the order asked for, a pattern's in the order of `model.named_modules()`, each once. Labels are
        module paths unless a `Layer` was given.

    Raises:
        ProbeError: a name, pattern or module is not in the network or left out by another, or two layers share a label.
    """
    if not isinstance(model, nn.Module):
        raise ProbeError(f"a torch.nn.Module is needed, not a {type(model).__name__}")
    return _found(walked(model), _choices(wanted), kind)


def chosen_layers(
    modules: Modules, wanted: LayerChoice | Iterable[LayerChoice], kind: type[nn.Module] | None = None
) -> tuple[tuple[Layer, ...], frozenset[str]]:
    """Return the layers of `find_layers`, and the labels of those that no name but a pattern alone asked for."""
    choices = _choices(wanted)
    layers, first = tuple(_found(modules, choices, kind)), first_names(modules)
    given = {id(choice) for choice in choices if isinstance(choice, nn.Module)}
    names = {first[choice] for choice in choices if isinstance(choice, str) and choice in first}
    names |= {first[path] for path, module in modules.items() if id(module) in given}
    described = {choice.label for choice in choices if isinstance(choice, Layer)}
    return layers, frozenset(x.label for x in layers if x.label not in described and x.module not in names)


def _found(modules: Modules, choices: Sequence[LayerChoice], kind: type[nn.Module] | None) -> list[Layer]:
    first = first_names(modules)
    modules = {path: module for path, module in modules.items() if first[path] == path}
    layers: list[Layer] = []
    without = [choice[1:] for choice in choices if isinstance(choice, str) and choice.startswith("!")]
    for out in without:
        _match(modules, out, None)
    for choice in choices:
        if isinstance(choice, str) and choice.startswith("!"):
            continue
        matched = _match(modules, _renamed(choice, first), kind)
        if isinstance(choice, str) and choice != matched[0].module and not any(sign in choice for sign in "*?["):
            matched = [replace(matched[0], label=choice)]
        left = [x for x in matched if not any(fnmatch.fnmatchcase(x.module, out) for out in without)]
        if not left:
            named = repr(choice) if isinstance(choice, str) else f"layer '{matched[0].label}'"
            raise ProbeError(f"{named} is left out again by a pattern with '!': name one of the two alone")
        layers = list(dict.fromkeys([*layers, *left]))
    if not layers:
        raise ProbeError("no layer was asked for: name at least one, for example find_layers(model, '*', nn.Conv2d)")
    twice = sorted(label for label, times in Counter(layer.label for layer in layers).items() if times > 1)
    if twice:
        raise ProbeError(f"layers share the label '{twice[0]}': give each Layer a label of its own")
    if not any(isinstance(choice, Layer) for choice in choices):
        layers = [replace(layer, depth=depth) for depth, layer in enumerate(layers)]
    return layers


def _choices(wanted: Any) -> Sequence[LayerChoice]:
    single = isinstance(wanted, (str, nn.Module, Layer, type)) or not isinstance(wanted, Iterable)
    choices: list[Any] = [wanted] if single else list(wanted)
    for choice in choices:
        if not isinstance(choice, (str, nn.Module, Layer)):
            of_class = isinstance(choice, type) and issubclass(choice, nn.Module)
            cure = f"; for all of a class '*' with kind={choice.__name__}" if of_class else ""
            raise ProbeError(
                f"{shown(choice)} names no layer: give paths of modules ('layer4', patterns such as '*.conv2' too), "
                f"modules of the network, or Layers{cure}"
            )
    return choices


def _renamed(choice: LayerChoice, first: Mapping[str, str]) -> LayerChoice:
    """Return a choice with the first of its module's names."""
    if isinstance(choice, Layer):
        name = first.get(choice.module, choice.module)
        return choice if name == choice.module else replace(choice, module=name)
    return first.get(choice, choice) if isinstance(choice, str) else choice


def _match(modules: Modules, choice: LayerChoice, kind: type[nn.Module] | None) -> list[Layer]:
    if isinstance(choice, Layer):
        if choice.module not in modules:
            raise _no_module(choice.module, modules)
        return [choice]
    if isinstance(choice, nn.Module):
        names = [name for name, module in modules.items() if module is choice]
        if not names:
            raise ProbeError(f"the module {type(choice).__name__} is not part of the network: pass one of its modules")
        return [Layer(names[0], names[0])]
    if choice in modules and choice:
        return [Layer(choice, choice)]
    if not any(sign in choice for sign in "*?["):
        raise _no_module(choice, modules)
    names = [
        name
        for name, module in modules.items()
        if name and fnmatch.fnmatchcase(name, choice) and (kind is None or isinstance(module, kind))
    ]
    if not names:
        of = f" of class {kind.__name__}" if kind else ""
        near = difflib.get_close_matches(choice, [m for m in modules if m], n=3, cutoff=0.4) or list(modules)[1:4]
        raise ProbeError(f"no module{of} matches '{choice}': paths look like {', '.join(near) or '(none)'}")
    return [Layer(name, name) for name in names]


def _no_module(name: str, modules: Modules) -> ProbeError:
    wrapped = [m for m in modules if name and m.endswith(f".{name}")]  # of compiled networks and other wrappers
    near = wrapped[:3] or difflib.get_close_matches(name, [m for m in modules if m], n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "see model.named_modules()"
    return ProbeError(f"the network has no module '{name}': {hint}")
