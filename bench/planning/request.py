"""What is asked of every image, found by the names in a profile: targets, layers, methods, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from bench.planning.sections import Explained, Score
from segcam.errors import InputError, ProbeError, unknown
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric
from segcam.metrics.attention import ATTENTION_METRICS, AttentionMetric
from segcam.models import Architecture
from segcam.models import architecture as network_of
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention.finding import NO_ATTENTION, NOT_BEHIND
from segcam.probe.layers import INPUT, Layer
from segcam.probe.placement import Placing
from segcam.probe.probe import Precision, Probe
from segcam.probe.targets import Target
from segcam.probe.targets.outputs import Output

HEAD = "head"
"""The point that stands for the last ReLU layer alone."""
FAMILY = "family:"
"""How what stands for all methods of a family begins."""
FAMILIES = {"gradient": "cam", "control": "control", "attention": "attention", "run": "perturbation"}
"""The family of methods that name none, by their kind."""


@dataclass(frozen=True, order=True, slots=True)
class Gap:
    """A map that there is not: a method, the layer ('' for a whole network), and the reason."""

    layer: str
    method: str
    reason: str


@dataclass(frozen=True)
class Request:
    """What is asked of every image: targets, layers, methods, metrics, and of transformers attention.

    Attributes:
        targets: what is explained.
        layers: by depth.
        methods: those that share the passes, and that the network has maps for.
        metrics: of maps.
        places: the blocks whose attention is read; none where nothing wants it.
        attention_metrics: of attention; none where the network has no attention or the profile does not want them.
        own_pass_methods: methods that take passes of their own.
        own_pass_targets: what they explain.
        gaps: what is known to be missing before anything is run.
        placement: how maps are laid over the images.
        output: what the network's output means.
        element: which part of what it returns is its output.
        explained: the class explained, as the network has it.
        class_id: that class as masks have it.
        lookup: the masks' class for each class of the network; None where they are the same.
    """

    targets: tuple[Target, ...]
    layers: tuple[Layer, ...]
    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    places: tuple[AttentionPlace, ...] = ()
    attention_metrics: tuple[AttentionMetric, ...] = ()
    own_pass_methods: tuple[Method, ...] = ()
    own_pass_targets: tuple[Target, ...] = ()
    gaps: tuple[Gap, ...] = ()
    placement: Placing = "stretched"
    output: Output | None = "logits"
    element: str | None = None
    explained: Explained = 1
    class_id: Explained = 1
    lookup: tuple[int, ...] | None = None

    @classmethod
    def of(cls, settings: Score, architecture: str, model: nn.Module) -> Request:
        """Find them by their names, for a network of an architecture of segcam's.

        Raises:
            InputError: one is unknown.
        """
        network = network_of(architecture)
        return cls.of_layers(settings, layers_of(network, model, settings.points), network.attentions(model))

    @classmethod
    def of_layers(
        cls,
        settings: Score,
        layers: tuple[Layer, ...],
        places: Sequence[AttentionPlace] = (),
        *,
        explained: Explained | None = None,
        output: Output | None = "logits",
        element: str | None = None,
        lookup: tuple[int, ...] | None = None,
    ) -> Request:
        """Find them by their names, for layers that are known.

        Args:
            settings: the profile's section.
            layers: by depth.
            places: the blocks whose attention can be read.
            explained: the network's class that is explained; that of the section unless given.
            output: what the network's output means.
            element: which part of what it returns is its output.
            lookup: the masks' class for each class of the network.

        Raises:
            InputError: one is unknown.
        """
        class_id = settings.explained if explained is None else explained
        true_class = None if explained is None else settings.explained  # masks have the data's classes
        methods = methods_of(settings)
        read = settings.attention or any(method.attention is not None for method in methods)
        behind = {place.layer for place in places}
        gaps = [(layer.label, NOT_BEHIND) for layer in layers if layer.label not in behind]
        gaps = gaps if places else [("", NO_ATTENTION)]
        return cls(
            targets=tuple(replace(Target.parse(name, class_id), true_class=true_class) for name in settings.targets),
            layers=layers,
            methods=tuple(m for m in methods if not m.own_passes and (m.attention is None or places)),
            metrics=tuple(METRICS.get(name) for name in settings.metrics),
            places=tuple(places) if read else (),
            attention_metrics=ATTENTION_METRICS if settings.attention and places else (),
            own_pass_methods=tuple(method for method in methods if method.own_passes),
            own_pass_targets=tuple(
                replace(Target.parse(name, class_id), true_class=true_class) for name in settings.own_targets()
            ),
            gaps=tuple(Gap(layer, m.name, why) for m in methods if m.attention is not None for layer, why in gaps),
            placement=settings.placement,
            output=output,
            element=element,
            explained=class_id,
            class_id=settings.explained,
            lookup=lookup,
        )

    def probe(
        self,
        model: nn.Module,
        layers: Sequence[Layer] | None = None,
        *,
        precision: Precision = "fp32",
        attention: bool = False,
    ) -> Probe:
        """Return the probe of a network.

        Args:
            model: the network.
            layers: those probed; all by default.
            precision: see `Probe`.
            attention: whether attention matrices are read, where something wants them.
        """
        return Probe(
            model,
            self.layers if layers is None else layers,
            precision=precision,
            channels_last=True,
            attention=self.places if attention else (),
            attention_gradients=any(m.attention is not None and m.needs_gradients for m in self.methods),
            output=self.output,
            element=self.element,
            placement=self.placement,
        )

    @property
    def fuses(self) -> bool:
        """Whether some method fuses the layers, so that the input has maps of all images."""
        return any(method.fuses for method in self.methods)

    @property
    def map_layers(self) -> tuple[Layer, ...]:
        """Where there are maps of all images: the layers, and behind them the input where some method fuses these."""
        return (*self.layers, INPUT) if self.fuses else self.layers

    @property
    def own_pass_maps(self) -> int:
        """How many maps methods with passes of their own make of an image, were there no gaps."""
        maps = sum(1 if method.scope == "input" else len(self.layers) for method in self.own_pass_methods)
        return maps * len(self.own_pass_targets)

    def blocks(self) -> dict[int, int]:
        """Return the block behind whose attention a layer lies, by the layer's index, where there is one."""
        order = {place.layer: n for n, place in enumerate(self.places)}
        return {i: order[layer.label] for i, layer in enumerate(self.layers) if layer.label in order}


def check_target(target: Target, classes: int, size: int) -> None:
    """See that a target fits the run's images and classes, so that no training ends in an error.

    Args:
        target: what a profile names.
        classes: number of classes.
        size: side of the images, in pixels.

    Raises:
        InputError: another class does not exist or is the one explained, or a region or a point lies outside.
    """
    logits, masks = torch.zeros(1, max(2, classes), 1, 1), torch.zeros(1, size, size, dtype=torch.uint8)
    try:  # on one cell, which takes no memory: pixels are of the images in any case
        replace(target, at="output").explain(logits, (size, size), masks)
    except ProbeError as error:
        text = str(error).replace("@output'", "'")
        raise InputError(f"target '{target.name}' does not fit images of {size} x {size} pixels: {text}") from error


def family_of(method: Method) -> str:
    """Return the group in which tables, figures and lists show a method."""
    return method.family or FAMILIES[method.kind]


def spelled_out(score: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section score as it was written, with names in the place of `family:NAME` and of all metrics, 'all'.

    What is named by itself stands where it is named.

    Raises:
        InputError: there is no such family.
    """
    values = dict(score)
    if values.get("metrics") == "all":
        values["metrics"] = METRICS.names()
    if isinstance(values.get("methods"), list):
        values["methods"] = [name for entry in values["methods"] for name in _named(entry, values["methods"])]
    return values


def _named(entry: Any, entries: Sequence[Any]) -> list[Any]:
    if not (isinstance(entry, str) and entry.startswith(FAMILY)):
        return [entry]
    families = {family_of(method) for method in METHODS}
    if (family := entry.removeprefix(FAMILY)) not in families:
        raise InputError(f"key 'score.methods': {unknown('family of methods', family, sorted(families))}")
    return [method.name for method in METHODS if family_of(method) == family and method.name not in entries]


def methods_of(settings: Score) -> tuple[Method, ...]:
    """Return the methods asked for, each with its parameters.

    Raises:
        InputError: a method or a parameter is unknown, a value is of the wrong kind, or parameters are given for a
            method that is not asked for.
    """
    methods = [METHODS.get(name) for name in settings.methods]
    for name in settings.parameters:
        METHODS.get(name)
        if name not in settings.methods:
            raise InputError(
                f"[score.parameters.{name}]: score.methods does not name '{name}': add it there, or leave its "
                "parameters out; --set 'score.parameters={}' leaves out those of all methods"
            )
    parameters = settings.parameters
    return tuple(m.configured(parameters[m.name]) if parameters.get(m.name) else m for m in methods)


def layers_of(network: Architecture, model: nn.Module, points: Sequence[str]) -> tuple[Layer, ...]:
    """Return a network's layers at the points asked for, by depth, each once.

    Args:
        network: its architecture.
        model: the network.
        points: 'conv', 'relu', and 'head' for the last layer of 'relu' alone.

    Raises:
        InputError: 'head' is asked for, and the network has no layer of 'relu'.
    """
    layers: list[Layer] = []
    for point in points:
        if point != HEAD:
            layers += network.layers(model, "relu" if point == "relu" else "conv")
        elif not (behind := network.layers(model, "relu")):
            raise InputError(f"score.points names 'head', but {network.name} has no layer of 'relu': leave 'head' out")
        else:
            layers.append(behind[-1])
    return tuple(sorted(dict.fromkeys(layers), key=lambda layer: layer.depth))
