"""Opening a network of one's own: built, its weights in place, its classes counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segcam.errors import InputError, say_once, shown
from segcam.models.weights.loading import load_weights
from segcam.models.weights.names import cut_prefix
from segcam.models.weights.reading import digest_of, read_weights, weight_file
from segcam.networks.counting import classes_of, names_of_classes
from segcam.networks.forms import plain_form
from segcam.networks.inputs import NetworkInputs, read_inputs
from segcam.networks.passes import channels_of_output
from segcam.networks.queries import adapted
from segcam.networks.sources import SOURCES, Built, Request, Source
from segcam.probe.network.elements import OUTPUTS, Element
from segcam.probe.network.forms import check_form
from segcam.samples import IGNORE

WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".tar")
"""How the names of files of weights end."""


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """A network that segcam did not train, and what is known of it.

    Attributes:
        name: what tables and figures call it.
        source: what the user wrote.
        model: the network, in eval mode.
        classes: names of its classes, by index; of a network of one logit the class's name stands behind that of what
            is not the class.
        inputs: how it wants its images.
        output: what its output means, or which part of it is read, as the user said; None to find out.
        sha256: of the file of its weights; None where no file was named.
        facts: what is worth telling of it, JSON-ready.
    """

    name: str
    source: str
    model: nn.Module
    classes: tuple[str, ...]
    inputs: NetworkInputs
    output: Element | None = None
    sha256: str | None = None
    facts: Mapping[str, Any] | None = None


def open_network(
    source: str | Path | nn.Module,
    *,
    arguments: Mapping[str, Any] | None = None,
    weights: Path | str | None = None,
    prefix: str | None = None,
    ignore: Collection[str] = (),
    classes: Sequence[str] | str | int | None = None,
    output: Element | None = None,
    inputs: NetworkInputs | Mapping[str, Any] | Path | str | None = None,
) -> OwnNetwork:
    """Open a network from wherever it comes, with its weights, the names of its classes and what it wants its images.

    Args:
        source: 'FILE.py:FUNCTION', 'package.module:FUNCTION', 'torchvision:NAME', one of segcam's own models
            ('segformer:b1'), or any other that `segcam.networks.sources.SOURCES` has; or a network itself.
        arguments: what it is built with, by name.
        weights: a file of weights, or a folder with one, see `segcam.models.weights.load_weights`; of torchvision's
            networks also a word for weights that have been fetched ('DEFAULT').
        prefix: what the names of the weights' tensors begin with; found out by default.
        ignore: patterns of those names, without the prefix, that are left out or may be missing: 'head.*'.
        classes: their names, as a list or one text with commas, or their number; by default as the source names them,
            else 'class 0', 'class 1', ... for each channel of the output.
        output: what the output means, or which part of it is read, see `Probe`.
        inputs: how it wants its images, see `read_inputs`; what is not said there is as the source says.

    Raises:
        InputError: the source is unknown, cannot be built, its weights do not fit, it fails on images of every usual
            size, or its output has another number of channels than there are classes.

    >>> network = open_network(nn.Conv2d(3, 3, 1), classes="background,cat,dog", inputs={"multiple": 32})
    >>> network.classes, network.inputs.multiple
    (('background', 'cat', 'dog'), 32)
    """
    if not isinstance(source, (str, Path)):
        check_form(source)  # also tells what is no network at all
    if arguments is not None and not isinstance(arguments, Mapping):
        raise InputError(f"arguments are {shown(arguments)}: give names with values, as {{'classes': 3}}")
    names, count = _classes(classes)
    if inputs is not None:
        read_inputs(inputs)  # what is wrong is told before the network is built
    file = None if weights is None else _file(source, weights)
    reads = None if file is None else _reader(file, prefix)
    if isinstance(source, nn.Module):
        if arguments:
            raise InputError("arguments are given with a network that is built already: leave them out")
        text, built = type(source).__qualname__, Built(source, names_of_classes(source))
    else:
        text = str(source)
        request = Request(text, text, dict(arguments or {}), count, reads, None if file is None else str(file))
        built = build(request)
    own = not isinstance(source, nn.Module)
    model, said = plain_form(built.model, text, ours=own)
    for word in said:
        say_once(word)
    if file is not None:
        assert reads is not None  # as there is a file
        _check_count(reads(), model, count, names, str(file))
        load_weights(model, file, prefix=prefix, ignore=ignore)
    elif own and not built.weighted:
        say_once(f"network '{text}' has random weights: name the file of its own as weights")
    if output is None or output in OUTPUTS:  # else the user says how its own output is read
        model = adapted(model) or model
    if own:
        model.eval()
    found = built.inputs or NetworkInputs()
    if inputs is not None:
        found = read_inputs(inputs, found)
    random = own and file is None and not built.weighted
    facts = {**built.facts, "parameters": sum(p.numel() for p in model.parameters()), "random": random}
    named = names if names is not None else built.classes
    channels = channels_of_output(model, found, output, text)
    return OwnNetwork(
        name=_short(text),
        source=text,
        model=model,
        classes=_named(named, count, channels, text),
        inputs=found,
        output=output,
        sha256=built.sha256 if file is None else digest_of(file),
        facts={**facts, "channels_of_output": channels},
    )


def build(request: Request) -> Built:
    """Build what a text names; random weights are the same each time, and the global random state is left as it was.

    Raises:
        InputError: no source takes the text, or the one that does cannot build it.
    """
    source, rest = source_of(request.source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return source.build(replace(request, name=rest))


def source_of(text: str) -> tuple[Source, str]:
    """Return the source that a text is of, and the text without its prefix.

    Raises:
        InputError: there is none; the message lists how sources are written.

    >>> source_of("torchvision:fcn_resnet50")[1], source_of("unet")[0].name
    ('fcn_resnet50', 'segcam_model')
    """
    prefix, sign, rest = text.partition(":")
    if sign and prefix in SOURCES.names() and rest:
        return SOURCES.get(prefix), rest
    order = sorted(SOURCES, key=lambda source: source.name == "python")  # which takes any name with a colon
    for source in order:
        if source.takes(text):
            return source, text
    forms = "; ".join(source.form for source in SOURCES)
    raise InputError(f"{shown(text)} names no network{_meant(text)}: write one of {forms}")


def _meant(text: str) -> str:
    """Return what a text that names no network may be meant to say; '' where that is not seen."""
    path = Path(text)
    if path.suffix == ".onnx":
        return f", 'onnx:{text}' does"
    if path.suffix in WEIGHTS:
        return "; a file of weights stands beside one, as its weights"
    return f", 'hf:{text}' does" if (path / "config.json").is_file() else ""


def _file(source: str | Path | nn.Module, weights: Path | str) -> Path:
    """Return the file of the weights that are named, by its path or by the word under which a library publishes it."""
    if not isinstance(weights, (str, Path)):
        raise InputError(
            f"weights are a {type(weights).__name__}: name a file; tensors at hand are loaded into the network before "
            "it is opened, by segcam.models.weights.load_weights(network, tensors)"
        )
    published = None
    if not isinstance(source, nn.Module):
        origin, rest = source_of(str(source))
        published = origin.published(rest, str(weights))
    return published or weight_file(weights)


def _check_count(
    tensors: Mapping[str, Tensor], model: nn.Module, count: int | None, names: tuple[str, ...] | None, file: str
) -> None:
    """See that weights are of as many classes as were named.

    Raises:
        InputError: they are of others; says both numbers.
    """
    theirs = None if count is None else classes_of(tensors, model.state_dict(), count)
    if theirs is not None:
        listed = f" ({', '.join((names or ())[:3])}{', ...' if (names or ())[3:] else ''})" if names else ""
        raise InputError(
            f"{count} classes are named{listed}, and the weights {file} are of {theirs}: name {theirs}, background "
            "included, or choose other weights"
        )


def _reader(file: Path, prefix: str | None) -> Callable[[], Mapping[str, Tensor]]:
    return cache(lambda: read_weights(file) if prefix is None else cut_prefix(read_weights(file), prefix, str(file)))


def _short(text: str) -> str:
    """Return what tables call a network: its source without folders.

    >>> _short("nets/mine.py:build"), _short("hf:folder/of/mine"), _short("segformer:b1")
    ('mine.py:build', 'hf:mine', 'segformer:b1')
    """
    prefix, sign, rest = text.partition(":")
    if "/" in prefix or not sign:
        return text.rstrip("/").rpartition("/")[2]
    return f"{prefix}:{rest.rstrip('/').rpartition('/')[2]}"


def _classes(value: Sequence[str] | str | int | None) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the names of the classes and their number, as far as the user says.

    Raises:
        InputError: a name is empty or stands twice, or there are too many.
    """
    if value is None:
        return None, None
    if isinstance(value, int):
        if not 1 <= value <= IGNORE:
            raise InputError(f"{value} classes: a number from 1 to {IGNORE} is needed")
        return None, value
    if not isinstance(value, Sequence):
        raise InputError(f"classes are {shown(value)}: give a list of names, one text with commas, or their number")
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"classes are {shown(value)}: name each, background included, as 'background,cat,dog'")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"classes name '{twice}' twice: give each class a name of its own")
    if len(names) > IGNORE:
        raise InputError(f"{len(names)} classes are named: masks of 8 bits hold {IGNORE}")
    return tuple(names), len(names)


def _named(names: tuple[str, ...] | None, count: int | None, channels: int | None, source: str) -> tuple[str, ...]:
    """Return the names of the classes, if they are as many as the output has channels.

    Raises:
        InputError: they are not; or neither is known.
    """
    if channels is None and names is None and count is None:
        raise InputError(f"network '{source}' takes more than images, so its classes cannot be counted: name them")
    counts = {channels, 2} if channels == 1 else {channels}  # one logit tells class 1 from class 0
    wanted = len(names) if names is not None else count
    if channels is not None and wanted is not None and wanted not in counts:
        listed = f" ({', '.join(names[:3])}{', ...' if names[3:] else ''})" if names else ""
        raise InputError(
            f"{wanted} classes are named{listed}, and the output of '{source}' has {channels} "
            f"channel{'s' if channels > 1 else ''}: name {channels if channels > 1 else 'one or two'}, background "
            "included, or choose a network of as many"
        )
    if names is not None:
        return ("not " + names[0], *names) if channels == 1 and len(names) == 1 else names
    total = 2 if channels == 1 else (channels or count or 0)
    return tuple(f"class {i}" for i in range(total))
