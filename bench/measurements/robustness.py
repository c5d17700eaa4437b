"""Robustness: how alike maps stay under changes of the image that leave what it shows, and what a map takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.made_maps import MadeMaps, attention_maps, gradient_maps
from bench.measurements.material.selection import end_layers, methods_called, targets_called
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.request import Request
from bench.planning.sections import MOST, FewImages, distinct
from segcam.arrays import at_least_float32
from segcam.checks.robustness import (
    PERTURBATIONS,
    Kind,
    Perturbation,
    Similarity,
    perturbation_robustness,
    with_pixels_kept,
)
from segcam.errors import InputError, NotApplicableError
from segcam.methods import Method
from segcam.methods.material.subject import examining
from segcam.probe.layers import INPUT, Layer
from segcam.probe.probe import Capture, Probe
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

TOGETHER = 8
"""Changed images that the network gets at once on a processor."""


def _usual(kind: Kind) -> tuple[float, ...]:
    return tuple(one.strength for one in PERTURBATIONS if one.kind == kind)


class Robustness(FewImages):
    """How alike maps stay when `images` of the test images (0 for none) are changed a little.

    `noise` and `brightness` are in standard deviations of the image, `contrast` is the share of it that goes, `blur` a
    deviation in shares of the shorter side; an empty list leaves a kind out. Without `targets` the first of the section
    score is explained, without `methods` its gradient methods and those of attention; `layers` are labels or patterns
    of them, by default those that faithfulness looks at, and the last one behind attention where its maps are examined.
    Methods of the section score with passes of their own are examined on the first `own_pass_images` of the images,
    with the strongest change of each kind.
    """

    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    noise: tuple[float, ...] = _usual("noise")
    brightness: tuple[float, ...] = _usual("brightness")
    contrast: tuple[float, ...] = _usual("contrast")
    blur: tuple[float, ...] = _usual("blur")
    own_pass_images: Annotated[int, Field(ge=0, le=MOST)] = 0

    _once = field_validator("targets", "methods", "layers", "noise", "brightness", "contrast", "blur")(distinct)

    @model_validator(mode="after")
    def _possible(self) -> Robustness:
        try:
            wanted = self.perturbations()
        except InputError as error:
            raise ValueError(str(error)) from error
        if not wanted:
            raise ValueError("no change is left: name a strength of noise, brightness, contrast or blur")
        return self

    def perturbations(self) -> tuple[Perturbation, ...]:
        """Return what is done to the images."""
        kinds: dict[Kind, tuple[float, ...]] = {
            "noise": self.noise,
            "brightness": self.brightness,
            "contrast": self.contrast,
            "blur": self.blur,
        }
        return tuple(Perturbation(kind, strength) for kind, strengths in kinds.items() for strength in strengths)


def strongest(perturbations: Sequence[Perturbation]) -> tuple[Perturbation, ...]:
    """Return the strongest change of each kind; of two alike the last one."""
    of_kind: dict[str, Perturbation] = {}
    for one in perturbations:
        if one.kind not in of_kind or abs(one.strength) >= abs(of_kind[one.kind].strength):
            of_kind[one.kind] = one
    return tuple(of_kind.values())


def methods_of(settings: Robustness, scored: Sequence[Method], attentive: bool) -> tuple[Method, ...]:
    """Return the methods that share the pass: those that the section names, else those of the section score.

    Args:
        settings: the profile's section.
        scored: methods of the section score, with their parameters.
        attentive: whether the network has attention that is read; else methods that need it are left out.

    Raises:
        InputError: one is unknown, or makes no maps from the shared pass.
    """
    named = methods_called(settings.methods, scored)
    for method in named:
        if method.gradient is None and method.attention is None:
            raise InputError(
                f"robustness.methods names {method.name}, which makes no map from the pass that methods share: leave "
                "it out (own_pass_images is for methods that run the network themselves)"
            )
    methods = named or [one for one in scored if one.gradient is not None or one.attention is not None]
    return tuple(method for method in methods if method.attention is None or attentive)


def layers_of(settings: Robustness, request: Request, methods: Sequence[Method]) -> tuple[Layer, ...]:
    """Return the layers examined: those named, else those of faithfulness, and the last one that attention maps are of.

    Args:
        settings: the profile's section.
        request: of the section score.
        methods: those examined.
    """
    ends = end_layers(settings.layers, request.layers)
    if settings.layers or not any(method.attention is not None for method in methods):
        return ends
    last = [request.layers[i] for i in request.blocks()][-1:]
    return tuple(layer for layer in request.layers if layer in (*ends, *last))


@dataclass(frozen=True, eq=False)
class Examined:
    """One target's maps of a few images under changes.

    Attributes:
        job: the checkpoint and the images.
        request: target, layers and methods that are examined.
        probe: of the network.
        capture: what it gave for the unchanged images.
    """

    job: MeasureJob
    request: Request
    probe: Probe
    capture: Capture

    def shared(self, perturbations: Sequence[Perturbation]) -> Iterator[Columns]:
        """Yield the rows of the methods that share the pass, a change each."""
        batch, made = self.job.batch, dict[str, MadeMaps]()

        def maps_of(capture: Capture) -> dict[str, Tensor]:
            gradients = chain.from_iterable(gradient_maps(self.request, [capture]))
            made.clear()  # by number: maps of attention may have a grid of their own
            made.update(
                (str(n), one) for n, one in enumerate(chain(gradients, attention_maps(self.request, [capture])))
            )
            return {number: one.maps for number, one in made.items()}

        explain = with_pixels_kept(self.probe, self.capture, maps_of, valid=batch.valid)
        size = TOGETHER if batch.images.is_cpu else 64
        for perturbation in perturbations:
            self.job.advance(0, f"{perturbation.kind} {perturbation.strength:g}")
            (found,) = perturbation_robustness(
                batch.inputs(),
                batch.ids,
                explain,
                [perturbation],
                valid=batch.valid,
                placement=lambda number: made[number].placement,
                seed=self.seed,
                batch_size=size,
            )
            for number, similarity in found.items():
                layer = self.request.layers[made[number].layers[0]].label
                names = [self.request.methods[m].name for m in made[number].methods]
                yield self._rows(batch.ids, perturbation, layer, names, similarity)

    def own(self, perturbations: Sequence[Perturbation], count: int) -> Iterator[Columns]:
        """Yield the rows of the methods with passes of their own, of the first `count` images."""
        batch = Batch.of([self.job.data.test[i] for i in self.job.cell.rows[:count]], self.job.device)
        scenery = Scenery.of(batch, self.job.profile.score.explained)
        rows = torch.arange(count, device=self.job.device)
        capture = self._kept(batch.inputs(), rows, batch)
        for method in self.request.own_pass_methods:
            for layer in (INPUT,) if method.scope == "input" else self.request.layers:
                self.job.advance(0, f"{method.name}, {layer.label}")

                def explain(
                    images: Float[Tensor, "n ch H W"],
                    of: Int[Tensor, " n"],
                    method: Method = method,
                    layer: Layer = layer,
                ) -> Mapping[str, Float[Tensor, "n m h w"]]:
                    return {layer.label: self._run(method, layer, images, self._kept(images, of, batch), scenery)}

                try:
                    self._run(method, layer, batch.inputs(), capture, scenery)
                except NotApplicableError:
                    continue  # the scores say why
                found = perturbation_robustness(
                    batch.inputs(),
                    batch.ids,
                    explain,
                    perturbations,
                    valid=batch.valid,
                    placement=capture.placements.get,
                    seed=self.seed,
                    batch_size=count,
                )
                for perturbation, similarities in zip(perturbations, found, strict=True):
                    yield self._rows(batch.ids, perturbation, layer.label, [method.name], similarities[layer.label])

    def seconds(self, count: int) -> Iterator[Columns]:
        """Yield the seconds that a map of one image takes, by method: a pass, and what is made of it for one layer.

        Each is timed on one image after it has run once; of methods that serve all layers with one pass it is what one
        layer's map would take alone.
        """
        batch = Batch.of([self.job.data.test[self.job.cell.rows[0]]], self.job.device)
        scenery = Scenery.of(batch, self.job.profile.score.explained)
        first = torch.zeros(1, dtype=torch.long, device=self.job.device)
        shared = _timed(lambda: self._kept(batch.inputs(), first, batch), self.job.device)
        capture = self._kept(batch.inputs(), first, batch)
        for layer in self.request.layers:
            for method in self.request.methods:
                one = replace(self.request, methods=(method,), layers=(layer,))

                def make(one: Request = one) -> list[MadeMaps]:
                    gradients = chain.from_iterable(gradient_maps(one, [capture]))
                    return [*gradients, *attention_maps(one, [capture])]

                if make():  # a layer may have no map of a method
                    yield self._second(batch.ids, layer, method, shared + _timed(make, self.job.device, warm=False))
        for method in self.request.own_pass_methods if count else ():
            for layer in (INPUT,) if method.scope == "input" else self.request.layers:

                def run(method: Method = method, layer: Layer = layer) -> object:
                    return self._run(method, layer, batch.inputs(), capture, scenery)

                try:
                    yield self._second(batch.ids, layer, method, shared + _timed(run, self.job.device, warm=False))
                except NotApplicableError:
                    continue

    @property
    def seed(self) -> int:
        """Of the noise."""
        return int(self.job.scenery.seed)

    def _kept(self, images: Float[Tensor, "n ch H W"], rows: Int[Tensor, " n"], batch: Batch) -> Capture:
        """Return what the probe gives for copies of images, with the pixels of the unchanged ones."""
        valid = None if batch.valid is None else batch.valid[rows]
        fixed = [self.capture.explained.of(rows)]
        (capture,) = self.probe.many(images, [self.capture.target.of(rows)], valid=valid, fixed=fixed)
        return capture

    def _run(
        self, method: Method, layer: Layer, images: Float[Tensor, "n ch H W"], capture: Capture, scenery: Scenery
    ) -> Float[Tensor, "n 1 h w"]:
        assert method.run is not None  # it takes passes of its own
        with examining(self.probe, images, capture, scenery) as subject:
            maps = at_least_float32(method.run(subject, layer).detach())
        return maps.masked_fill((capture.target_pixels == 0).view(-1, 1, 1), torch.nan)[:, None]

    def _rows(
        self, ids: Sequence[str], change: Perturbation, layer: str, methods: Sequence[str], found: Similarity
    ) -> Columns:
        labels = {
            "target": self.request.targets[0].name,
            "layer": layer,
            "method": list(methods),
            "kind": change.kind,
            "strength": np.float32(change.strength),
        }
        return map_rows(ids, labels, {"spearman": found.spearman, "cosine": found.cosine, "top": found.top})

    def _second(self, ids: Sequence[str], layer: Layer, method: Method, seconds: float) -> Columns:
        labels = {"target": self.request.targets[0].name, "layer": layer.label, "method": [method.name]}
        return map_rows(ids, labels, {"seconds": torch.tensor([[seconds]])})


def _timed(run: Callable[[], object], device: torch.device, *, warm: bool = True) -> float:
    """Return the seconds that a call takes, after one that does not count."""
    if warm:
        run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - began


def run(job: MeasureJob) -> dict[str, Columns]:
    """Examine the maps of one checkpoint for a few images.

    Returns:
        `robustness`, a row an image, target, layer, method and change with the similarities of the two maps; and
        `robustness_seconds`, a row a layer and method of the cell's first image.
    """
    settings: Robustness = job.profile.section("robustness")
    methods = methods_of(settings, job.request.methods, bool(job.request.places))
    request = replace(
        job.request,
        layers=layers_of(settings, job.request, methods),
        methods=methods,
        targets=targets_called(settings.targets, job.request.targets[0]) or job.request.targets[:1],
    )
    if not methods and not (settings.own_pass_images and request.own_pass_methods):
        raise InputError(
            "score.methods names no method that robustness can examine: name one in robustness.methods, or set "
            "robustness.own_pass_images for those that run the network themselves"
        )
    if not any(method.attention is not None for method in request.methods):
        request = replace(request, places=())  # fused kernels are faster where nobody looks at the matrices
    probe = request.probe(job.model, attention=True)
    captures = probe.many(job.batch.inputs(), request.targets, masks=job.batch.masks, valid=job.batch.valid)
    chosen, _ = job.data.choose(settings.images)
    own_pass = len(set(chosen[: settings.own_pass_images]) & set(job.cell.rows))
    tables, seconds = list[Columns](), list[Columns]()
    for target, capture in zip(request.targets, captures, strict=True):
        examined = Examined(job, replace(request, targets=(target,)), probe, capture)
        tables += examined.shared(settings.perturbations())
        if own_pass and request.own_pass_methods:
            tables += examined.own(strongest(settings.perturbations()), own_pass)
        seconds += examined.seconds(own_pass)
    job.advance(len(job.batch.ids), "")
    if not tables:
        raise InputError("no method of robustness.methods has a map of any of robustness.layers: name other ones")
    return {"robustness": joined(tables), "robustness_seconds": joined(seconds)}


MEASUREMENT = MEASUREMENTS.add(Measurement("robustness", run, settings=Robustness, cost=25.0))
