"""Sources: one file a place that networks come from; `SOURCES` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segcam.networks.inputs import NetworkInputs
from segcam.registry import Registry


@dataclass(frozen=True, slots=True)
class Request:
    """What a source is asked for.

    Attributes:
        source: what the user wrote.
        name: the part of it that names the network, without the source's prefix.
        arguments: what the network is built with.
        classes: how many classes it is to have; None to find out.
        tensors: reads the weights that will be loaded, by name; None where none were given.
        weights: where those are, as the user wrote it.
    """

    source: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    classes: int | None = None
    tensors: Callable[[], Mapping[str, Tensor]] | None = None
    weights: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What a source gives.

    Attributes:
        model: the network.
        classes: names of its classes, where the source has them.
        inputs: how it wants its images, where the source knows.
        sha256: of its weights, where the source has loaded some.
        weighted: whether the network has weights other than random ones by now.
        facts: what is worth telling of it, JSON-ready.
    """

    model: nn.Module
    classes: tuple[str, ...] | None = None
    inputs: NetworkInputs | None = None
    sha256: str | None = None
    weighted: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A place that networks come from.

    Attributes:
        name: its name; where texts begin with it and a colon, they are of this source.
        form: how users write it.
        summary: one line about it.
        build: gives the network that is asked for.
        takes: whether a text without a known prefix is of this source; none by default.
        published: `(network's name, word) -> file` of weights that the library publishes under that word; None where it
            knows no such word.
    """

    name: str
    form: str
    summary: str
    build: Callable[[Request], Built]
    takes: Callable[[str], bool] = lambda _: False
    published: Callable[[str, str], Path | None] = lambda _, __: None


SOURCES: Registry[Source] = Registry("source", "segcam.networks.sources")
