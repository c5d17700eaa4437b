"""Sanity: how maps change when weights are made random, or were learned from masks of other images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool
from pydantic import Field, field_validator
from torch import Tensor, nn

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.made_maps import MadeMaps, attention_maps, control_maps, gradient_maps
from bench.measurements.material.selection import layers_like, methods_called, targets_called
from bench.measurements.material.shuffled_masks import Shuffled, train_shuffled
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.request import Request
from bench.planning.sections import MOST, FewImages, distinct
from segcam.checks.sanity import Step, cascading, evenly, execution_order, independent, randomised
from segcam.errors import InputError
from segcam.methods import Method
from segcam.probe.layers import Layer
from segcam.probe.probe import Capture
from segcam.probe.targets import Target
from segcam.scoring.agreement import spearman, ssim

LAYERS = 6
"""How many layers are examined where none is named."""
CASCADING, INDEPENDENT, SHUFFLED = "cascading", "independent", "shuffled_masks"
UNCHANGED = 1e-4
"""Activations that differ by no more than this share of the largest are the same up to rounding."""


class Sanity(FewImages):
    """How maps change with the network's weights, on `images` of the test images (0 for none).

    Without `targets` the first of the section score whose set is 'predicted' is explained, or else its first; without
    `methods` its gradient methods. `layers` are labels or patterns of them ('Encoder 5_*'); a network with none of
    them, or where none is given, has six examined, evenly spread over the depth.

    Weights are made random from the output to the input in at most `depths` steps, evenly spread over the modules, all
    modules behind and each alone, with each of `seeds` draws. A network trained for `shuffled_steps` steps (0 for none)
    by the same recipe, but without a teacher and on masks of other images, is compared as well.
    """

    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    depths: Annotated[int, Field(ge=2, le=10**4)] = 8
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    shuffled_steps: Annotated[int, Field(ge=0, le=MOST)] = 0

    _once = field_validator("targets", "methods", "layers")(distinct)


@dataclass(frozen=True)
class Randomisation:
    """What is different about a network.

    Attributes:
        kind: 'cascading', 'independent' or 'shuffled_masks'.
        modules: what has random weights.
        draw: number of the draw of these weights.
        step: number of the step, 0 at the output.
        share: how far from the output to the input the step is, in modules with weights; 1 at the input.
        module: the first module of the step.
    """

    kind: str
    modules: Step = ()
    draw: int = 0
    step: int = 0
    share: float = 1.0
    module: str = ""


def randomisations(order: Sequence[Step], settings: Sanity) -> Iterator[Randomisation]:
    """Yield what is made random in the networks that are examined.

    Args:
        order: the network's modules from the input to the output.
        settings: the profile's section.
    """
    single = independent(order)
    for draw in range(settings.seeds):
        for kind, steps in ((CASCADING, cascading(order)), (INDEPENDENT, single)):
            for step in evenly(len(order), settings.depths):
                yield Randomisation(kind, steps[step], draw, step, (step + 1) / len(order), single[step][0])


def methods_of(settings: Sanity, scored: Sequence[Method], attentive: bool) -> tuple[Method, ...]:
    """Return the methods examined: those that the section names, else the gradient methods of the section score.

    Args:
        settings: the profile's section.
        scored: methods of the section score, with their parameters.
        attentive: whether the network has attention that is read; else methods that need it are left out.

    Raises:
        InputError: one is unknown, takes passes of its own or fuses layers, or there is none.
    """
    named = methods_called(settings.methods, scored)
    for method in named:
        if method.run is not None:
            why = "fuses layers" if method.fuses else "takes passes of its own"
            raise InputError(f"sanity.methods names {method.name}, which {why}: leave it out")
    methods = named or [method for method in scored if method.kind == "gradient"]
    methods = [method for method in methods if method.attention is None or attentive]
    if not methods:
        raise InputError("score.methods names no gradient method: name in sanity.methods what is to be examined")
    return tuple(methods)


def layers_of(settings: Sanity, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers examined, by depth: those that the section names, else a few, evenly spread."""
    named = layers_like(settings.layers, layers)
    return tuple(named) or tuple(layers[i] for i in evenly(len(layers), LAYERS))


def targets_of(settings: Sanity, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return what is explained: what the section names, else the score's first target of all predicted pixels.

    Where it has none, its first target is taken. A single pixel's gradient is zero beyond its receptive field, and
    everywhere if no feature is active there, whatever the weights: a set of many pixels tells more.
    """
    named = targets_called(settings.targets, targets[0])
    return named or tuple(sorted(targets, key=lambda target: target.pixels != "predicted")[:1])


@dataclass(frozen=True, eq=False)
class Original:
    """What the trained network gave: the pixels explained, the maps and the activations that others are compared with.

    Attributes:
        job: the checkpoint and the images.
        request: targets, layers and methods that are examined.
        captures: one a target.
        maps: the maps.
    """

    job: MeasureJob
    request: Request
    captures: Sequence[Capture]
    maps: Sequence[MadeMaps]

    @classmethod
    def of(cls, job: MeasureJob, settings: Sanity) -> Original:
        """Explain the images with the trained network."""
        request = replace(
            job.request,
            targets=targets_of(settings, job.request.targets),
            layers=layers_of(settings, job.request.layers),
            methods=methods_of(settings, job.request.methods, bool(job.request.places)),
        )
        if not any(method.attention is not None for method in request.methods):
            request = replace(request, places=())  # fused kernels are faster where nobody looks at the matrices
        probe = request.probe(job.model, attention=True)
        captures = probe.many(job.batch.inputs(), request.targets, masks=job.batch.masks, valid=job.batch.valid)
        return cls(job, request, captures, list(_maps(request, job, captures)))

    def rows(self, model: nn.Module, change: Randomisation) -> list[Columns]:
        """Explain the same pixels with another network, and compare its maps with the trained one's, map by map."""
        explained = [capture.explained for capture in self.captures]
        images = self.job.batch.inputs()
        captures = self.request.probe(model, attention=True).many(images, self.request.targets, fixed=explained)
        moved = [self._moved(captures[0], layer) for layer in self.request.layers]
        tables = []
        for before, after in zip(self.maps, _maps(self.request, self.job, captures), strict=True):
            pair = before.maps.relu(), after.maps.relu()
            similarity = {"spearman": spearman(*pair), "ssim": ssim(*pair)}
            for t, i in ((t, i) for t in before.targets for i in before.layers):
                reached = self._reached(captures[t], t, self.request.layers[i])
                of_image = {"reached": reached.flatten(1).double().mean(1), "randomised": moved[i]}
                values = similarity | {"spearman_reached": spearman(*pair, reached)}
                values |= {name: v[:, None].expand(-1, len(before.methods)) for name, v in of_image.items()}
                tables.append(self._rows(change, t, i, before.methods, values))
        return tables

    def _reached(self, capture: Capture, target: int, layer: Layer) -> Bool[Tensor, "b h w"]:
        """Return the cells whose activations can change the score at all, in either network."""
        before, after = (c.gradients[layer.label].ne(0).any(1) for c in (self.captures[target], capture))
        return before | after

    def _moved(self, capture: Capture, layer: Layer) -> Bool[Tensor, " b"]:
        """Return in which images a layer's activations are not the trained network's."""
        before, after = (c.activations[layer.label].flatten(1) for c in (self.captures[0], capture))
        return (before - after).abs().amax(1) > UNCHANGED * before.abs().amax(1)

    def _rows(
        self, change: Randomisation, target: int, layer: int, methods: Sequence[int], values: dict[str, Tensor]
    ) -> Columns:
        labels = {
            "target": self.request.targets[target].name,
            "layer": self.request.layers[layer].label,
            "method": [self.request.methods[m].name for m in methods],
            "kind": change.kind,
            "draw": np.int32(change.draw),
            "step": np.int32(change.step),
            "share": np.float32(change.share),
            "module": change.module,
        }
        return map_rows(self.job.batch.ids, labels, values)


def examine(job: MeasureJob, settings: Sanity) -> dict[str, Columns]:
    """Compare the maps of a checkpoint with those of networks with random weights, for a few images.

    The pixels explained are those that the trained network chose.

    Args:
        job: the checkpoint and the images.
        settings: the profile's section.

    Returns:
        `sanity`, a row an image, target, layer, method and change of the network, with the similarity of the two maps;
        and `sanity_training`, a row for the training on shuffled masks, or none where it is not asked for. `randomised`
        says whether the layer's activations are other ones; `reached` is the share of cells with a gradient that is not
        zero in either network, and `spearman_reached` the correlation over these: where nothing but a receptive field's
        frame is common to two maps, it is what they do not owe to the frame.
    """
    original = Original.of(job, settings)
    order = execution_order(job.model, job.batch.inputs()[:1])
    tables: list[Columns] = []
    for change in randomisations(order, settings):
        job.advance(0, f"{change.kind}, {change.module}")
        tables += original.rows(randomised(job.model, change.modules, change.draw), change)
    networks = []
    if settings.shuffled_steps and job.cell.train.model in job.profile.models:  # others have no recipe
        networks.append(_shuffled(job, settings.shuffled_steps))
        tables += original.rows(networks[0].model, Randomisation(SHUFFLED))
    job.advance(len(job.batch.ids), "")
    return {"sanity": joined(tables), "sanity_training": _training_rows(networks)}


_LAST: dict[tuple[str, int, torch.device], Shuffled] = {}
"""The last network trained on shuffled masks: the jobs of one training come one after the other."""


def _shuffled(job: MeasureJob, steps: int) -> Shuffled:
    train = job.cell.train
    key = (train.id, steps, job.device)
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = train_shuffled(job.profile, train, job.data, job.device, steps, lambda text: job.advance(0, text))
    return _LAST[key]


def _training_rows(networks: Sequence[Shuffled]) -> Columns:
    numbers = ("loss", "miou_shuffled", "miou_own", "miou_validation")
    return {
        "steps": np.array([network.steps for network in networks], np.int32),
        **{name: np.array([getattr(network, name) for network in networks], np.float64) for name in numbers},
    }


def _maps(request: Request, job: MeasureJob, captures: Sequence[Capture]) -> Iterator[MadeMaps]:
    """Yield the maps; what a layer has no map for is left out, whatever the weights."""
    yield from control_maps(request, job.scenery, captures[0])
    yield from attention_maps(request, captures)
    yield from chain.from_iterable(gradient_maps(request, captures))


MEASUREMENT = MEASUREMENTS.add(
    Measurement("sanity", lambda job: examine(job, job.profile.section("sanity")), settings=Sanity, cost=30.0)
)
