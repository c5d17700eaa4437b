"""What `explain` is asked for, and the profile that this makes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.planning import profile as profiles
from bench.planning.given import in_order
from bench.planning.profile import Profile
from bench.planning.views import ALL, MOST
from segcam.errors import InputError, shown, unknown
from segcam.files import one_line, read_toml, user_path
from segcam.metrics import METRICS
from segcam.networks import OwnNetwork, open_network, read_inputs
from segcam.probe.network.elements import OUTPUTS

DEFAULTS = "defaults.toml"
SIZE = 384
"""Pixels of the side that photographs are brought to where neither the user nor the network says."""
LONGEST = 60
"""Letters of a network's name in the names of files."""
SET = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Asked:
    """The command line of `explain`, see `bench.cli.commands.explain`."""

    source: str
    images: Path
    masks: Path | None = None
    arguments: Sequence[str] = ()
    weights: Sequence[str] = ()
    levels: Sequence[str] = ()
    prefix: str | None = None
    ignore: Sequence[str] = ()
    element: str | None = None
    classes: Sequence[str] = ()
    names: Sequence[str] = ()
    layers: Sequence[str] = ()
    most_layers: str = ""
    metrics: Sequence[str] = ()
    output: str | None = None
    inputs: Sequence[str] = ()
    size: int | None = None
    resize: str | None = None
    name: str = ""
    settings: Sequence[str] = field(default_factory=tuple)


def profile_of(asked: Asked) -> tuple[Profile, list[str]]:
    """Return the profile that explains a network of the user's, and what is to be said of how it was read.

    The network is opened, with its first weights, for the names of its classes and the size of its images.

    Raises:
        InputError: an argument cannot be read, the network cannot be opened, a class is none of its, or a metric is
            named that measures against masks, and there are none.
    """
    inputs = _inputs(asked.inputs)
    inputs |= {"size": asked.size} if asked.size is not None and "size" not in inputs else {}  # it may fail on others
    output, element = (asked.output, asked.element) if asked.output in OUTPUTS else (None, asked.output)
    if element and asked.element and element != asked.element:
        raise InputError(f"--output {shown(element)} means nothing: with --element it is one of {', '.join(OUTPUTS)}")
    element = asked.element or element
    arguments = dict(map(_argument, asked.arguments))
    weights = in_order(asked.weights, asked.levels)
    network = open_network(
        asked.source,
        arguments=arguments,
        weights=weights[0] if weights else None,
        prefix=asked.prefix,
        ignore=tuple(asked.ignore),
        classes=_listed(asked.names) or None,
        output=element or output,
        inputs=inputs or None,
    )
    names, said = _named(network, asked)
    if weights != tuple(asked.weights):
        said.append(f"levels are in the order of their numbers: {', '.join(weights)}")
    size = asked.size or (max(network.inputs.size) if network.inputs.size else SIZE)
    if network.inputs.size and asked.size is None and min(network.inputs.size) < size:
        rows, columns = network.inputs.size
        said.append(f"the network wants {rows} x {columns}, and photographs are brought to squares: {size} x {size}")
    sets = _sets(asked.classes)
    explained = [ALL] if sets == [ALL] else [_class_of(text, names) for text in sets]
    label = asked.name or network.name
    if not one_line(label):
        raise InputError(f"--name {shown(label)}: give it in one line")
    name = _slug(label)
    given: dict[str, Any] = {
        "source": asked.source,
        "arguments": arguments,
        "weights": list(weights),
        "levels": list(asked.levels),
        "classes": list(names),
        "inputs": inputs,
        "label": label,
    }
    given |= {"prefix": asked.prefix} if asked.prefix is not None else {}
    given |= {"ignore": list(asked.ignore)} if asked.ignore else {}
    given |= {"output": output} if output else {}
    given |= {"element": element} if element else {}
    given |= {"layers": list(asked.layers)} if asked.layers else {}
    given |= {"most_layers": _most(asked.most_layers)} if asked.most_layers else {}
    values = tomllib.loads((files("bench.explaining") / DEFAULTS).read_text(encoding="utf-8"))
    values["name"] = name
    values["data"] |= _data(asked, network, names, size)
    values["networks"] = {name: given}
    values["score"]["classes"] = explained or [MOST]
    if asked.metrics:
        values["score"]["metrics"] = _metrics(asked)
    return profiles.of_values(values, "explain", list(asked.settings)), said


def _named(network: OwnNetwork, asked: Asked) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of a network's classes, and what is to be said where `--classes` tells them.

    Raises:
        InputError: names are asked for that cannot be told apart from others.
    """
    names = network.classes
    if _sets(asked.classes) == [ALL]:
        return names, []
    wanted = [one for text in _sets(asked.classes) for one in (text if isinstance(text, list) else [text])]
    nameless = all(name == f"class {i}" for i, name in enumerate(names))
    unknown_names = [one for one in wanted if one not in names and not one.isdecimal()]
    if not nameless or not unknown_names:
        return names, []
    if len(wanted) == len(names):
        found = tuple(wanted)
    elif len(wanted) == len(names) - 1:
        found = ("background", *wanted)
    else:
        raise InputError(
            f"--classes names {', '.join(wanted)}, and the network has {len(names)} classes whose names are not known: "
            "name all of them, in their order, with --names background,cat,dog,..."
        )
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(found))
    return found, [f"the network's classes are taken for {listed}; if that is wrong, name all with --names"]


def _class_of(wanted: str | list[str], names: Sequence[str]) -> int | list[int]:
    """Return the index of a class, or the indices of a set of classes.

    Raises:
        InputError: there is no such class.
    """
    if isinstance(wanted, list):
        return [index for one in wanted if isinstance(index := _class_of(one, names), int)]
    if wanted in names:
        return list(names).index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise unknown("class", wanted, names, "--classes")


def _sets(texts: Sequence[str]) -> list[str | list[str]]:
    """Return the classes that `--classes` names, by commas or several times; `{cat, dog}` is a set, explained as one.

    Raises:
        InputError: a set is empty or has no end.

    >>> _sets(["cat,dog", "{cat, dog}"])
    ['cat', 'dog', ['cat', 'dog']]
    """
    found: list[str | list[str]] = []
    for text in texts:
        at = 0
        for match in SET.finditer(text):
            found += _listed([text[at : match.start()]])
            found.append(_listed([match[1]]))
            at = match.end()
        found += _listed([text[at:]])
    for one in found:
        if not one or (isinstance(one, str) and set(one) & set("{}")):
            raise InputError(
                f"--classes {shown(', '.join(texts))}: write a set that counts as one class as '{{cat, dog}}'"
            )
    return found


def _listed(texts: Sequence[str]) -> list[str]:
    """Return the words of texts with commas."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _argument(text: str) -> tuple[str, Any]:
    """Read `name=value`, the value in TOML; a bare word is a text, and None, which TOML lacks, is None.

    Raises:
        InputError: it is none.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip().isidentifier() or not one_line(text):
        raise InputError(f"--arg {shown(text)}: write it as name=value, such as --arg encoder_name=resnet18")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), None if value.strip() == "None" else value.strip()


def _inputs(texts: Sequence[str]) -> dict[str, Any]:
    """Return what `--preprocess` says: a file, or `key=value` of mean, std, range, order, size, resize, multiple.

    Raises:
        InputError: it cannot be read.
    """
    if len(texts) == 1 and "=" not in texts[0]:
        path = user_path(texts[0], "--preprocess")
        if path.suffix == ".toml":
            table = read_toml(path, "--preprocess")
            return dict(table.get("inputs", table))
        inputs = read_inputs(path)
        return _table(inputs)
    return dict(_argument(text) for text in texts)


def _table(inputs: Any) -> dict[str, Any]:
    """Return inputs that were read from a library's file as a table."""
    table: dict[str, Any] = {"multiple": inputs.multiple, "order": "bgr" if inputs.bgr else "rgb"}
    if inputs.channels is not None:
        table |= {"mean": list(inputs.channels.mean), "std": list(inputs.channels.std)}
    else:
        del table["order"]
    table |= {"size": list(inputs.size)} if inputs.size else {}
    return table | ({"resize": inputs.resize} if inputs.resize else {})


def _data(asked: Asked, network: OwnNetwork, names: Sequence[str], size: int) -> dict[str, Any]:
    data: dict[str, Any] = {"root": str(asked.images), "classes": list(names), "size": size}
    if resize := asked.resize or network.inputs.resize:
        data["resize"] = resize
    return data | ({"masks": str(asked.masks)} if asked.masks else {})


def _metrics(asked: Asked) -> list[str]:
    """Return the metrics that are named.

    Raises:
        InputError: one measures against masks, and there are none.
    """
    names = _listed(asked.metrics)
    for name in names:
        if METRICS.get(name).masks and asked.masks is None:
            free = ", ".join(metric.name for metric in METRICS if not metric.masks)
            raise InputError(
                f"--metric {name} measures against masks: add --masks FOLDER, or leave --metric out, which measures "
                f"against what the network predicts. Without masks there are {free}"
            )
    return names


def _most(text: str) -> Any:
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise InputError(f"--most-layers {shown(text)}: a number of layers is needed, or 'all'")
    return int(text)


def _slug(name: str) -> str:
    """Return a network's name as files may have it.

    >>> _slug("mine.py:build"), _slug("torchvision:fcn_resnet50")
    ('mine-build', 'fcn_resnet50')
    """
    name = re.sub(r"^(torchvision|hf|smp|onnx|timm):", "", name).replace(".py:", "-")
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:LONGEST] or "network"
