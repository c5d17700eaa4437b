"""Faithfulness: what becomes of the predicted set when the pixels that maps name go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, field_validator
from torch import Tensor

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.made_maps import MadeMaps, control_maps, gradient_maps
from bench.measurements.material.own_maps import OwnPasses
from bench.measurements.material.selection import end_layers, methods_called, targets_called
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.request import Request
from bench.planning.sections import FewImages, distinct
from segcam.checks.faithfulness import (
    OUTCOMES,
    Noise,
    Subjects,
    Subsets,
    area_matched,
    curves,
    infidelity,
    max_sensitivity,
    order,
    random_order,
    sensitivity_n,
)
from segcam.checks.faithfulness.curves import Kind
from segcam.errors import InputError
from segcam.methods import Method
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import Target
from segcam.samples import Batch

METHODS = ("grad_cam", "hires_cam", "layer_cam", "random", "gaussian", "sobel", "mask_oracle")
"""What is examined where nothing is said. `random`, noise on the layer's own grid that is upsampled as every map is, is
the blur-matched control: what a map scores beyond it, it does not owe to its smoothness."""

CONTEXT = "context_"
"""How the kinds of curves begin along which the predicted set stays."""

MAP, AREA_MATCHED, RANDOM = "map", "area_matched", "random"
SAMPLES_ON_DEVICE = 64


class Faithfulness(FewImages):
    """How faithful maps are, on `images` of the test images (0 for none), chosen like those that figures show.

    Without `targets` the first of the section score is explained; without `methods` those of its `METHODS`.
    `layers` are labels or patterns of them ('Encoder 5_*'); a network with none of them, or where none is given, has
    its first and last encoder layer and its last decoder layer examined.

    `kinds` are the curves, of `steps` points beside the first. The first of `imputations` serves all curves, random
    subsets and area-matched orders; any other deletion and insertion alone, along the maps' own and random orders:
    'noisy_linear' is ROAD. `samples` sets of tiles are taken away for each of four shares, for infidelity and
    sensitivity-n (0 for neither); `draws` noisy copies, of radius `radius` in standard deviations of the image, are
    explained for max-sensitivity (0 for none).
    """

    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    kinds: Annotated[
        tuple[Literal["deletion", "insertion", "context_deletion", "context_insertion"], ...], Field(min_length=1)
    ] = ("deletion", "insertion", "context_deletion", "context_insertion")
    steps: Annotated[int, Field(ge=2, le=1000)] = 5
    imputations: Annotated[tuple[Literal["blur", "mean", "noisy_linear"], ...], Field(min_length=1)] = (
        "blur",
        "noisy_linear",
    )
    outcomes: Annotated[tuple[Literal["probability", "dice", "iou"], ...], Field(min_length=1)] = (
        "probability",
        "dice",
        "iou",
    )
    samples: Annotated[int, Field(ge=0, le=10**4)] = 25
    draws: Annotated[int, Field(ge=0, le=10**4)] = 8
    radius: Annotated[float, Field(gt=0, le=1)] = 0.1

    _once = field_validator("targets", "methods", "layers", "kinds", "imputations", "outcomes")(distinct)

    @field_validator("samples")
    @classmethod
    def _enough(cls, value: int) -> int:
        if 0 < value < 3:
            raise ValueError("sensitivity-n is a correlation: at least 3 samples are needed, or 0 for none")
        return value


@dataclass(frozen=True)
class MapKey:
    """Where one map of an image stands in the tables: its index among all maps, its layer and method."""

    index: int
    layer: str
    method: str


WHOLE_IMAGE = (MapKey(0, "", ""),)
"""The place of an order that is no map's."""


def methods_of(settings: Faithfulness, scored: Sequence[Method] = ()) -> tuple[Method, ...]:
    """Return the methods examined.

    Args:
        settings: the profile's section.
        scored: methods with parameters of their own, which are taken where they are named.

    Raises:
        InputError: one is unknown, or makes no map of a layer from gradients, passes of its own or the image alone.
    """
    methods = methods_called(settings.methods or METHODS, scored)
    for method in methods:
        own_passes = method.own_passes and method.scope == "layer"
        if method.gradient is None and method.control is None and not own_passes:
            raise InputError(
                f"faithfulness.methods names {method.name}, which is no control, and makes no maps of layers from "
                "gradients or passes of its own: leave it out"
            )
    return tuple(methods)


def targets_of(settings: Faithfulness, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return what is explained: the targets that the section names, else the first of the section score."""
    return targets_called(settings.targets, targets[0]) or tuple(targets[:1])


@dataclass(frozen=True, eq=False)
class Examined:
    """One target's maps of a few images, all layers and methods, and what they are examined with.

    Attributes:
        settings: the profile's section.
        subjects: network, images, predicted sets.
        target: name of what is explained.
        maps: the maps.
        request: the layers and methods that `maps` counts.
        seed: of all that is drawn.
    """

    settings: Faithfulness
    subjects: Subjects
    target: str
    maps: Sequence[MadeMaps]
    request: Request
    seed: int

    @cached_property
    def map_keys(self) -> tuple[MapKey, ...]:
        """A place a map and layer: a control's map stands for all layers with its grid."""
        maps = [(made, m) for made in self.maps for m in made.methods]
        return tuple(
            MapKey(i, self.request.layers[layer].label, self.request.methods[m].name)
            for i, (made, m) in enumerate(maps)
            for layer in made.layers
        )

    @property
    def batch_size(self) -> int:
        """How many changed images the network gets at once."""
        return 8 if self.subjects.images.is_cpu else SAMPLES_ON_DEVICE

    def area_tables(self, advance: Callable[[str], None]) -> Iterator[tuple[Columns, Columns]]:
        """Yield a table of areas and one of curves for each kind, imputation and order."""
        subjects, seed = self.subjects, self.seed
        size = (int(subjects.chosen.shape[1]), int(subjects.chosen.shape[2]))
        map_orders = torch.cat([order(made.maps, subjects.ids, size, seed, made.placement) for made in self.maps], 1)
        random = random_order(subjects.ids, size, seed).to(map_orders.device)
        matched = area_matched(map_orders, subjects.chosen, subjects.ids, seed)
        first = self.settings.imputations[0]
        for imputation in self.settings.imputations:
            for kind in self.settings.kinds:
                context = kind.startswith(CONTEXT)
                if context and imputation != first:
                    continue
                orders = [(MAP, map_orders, self.map_keys), (RANDOM, random, WHOLE_IMAGE)]
                if imputation == first and not context:  # outside the set the two are the same
                    orders.append((AREA_MATCHED, matched, self.map_keys))
                for name, pixels, map_keys in orders:
                    advance(f"{kind}, {imputation}, {name} order")
                    yield self._curves(kind, imputation, name, pixels, map_keys)

    def _curves(
        self, kind: str, imputation: str, name: str, pixels: Int[Tensor, "b m n"], map_keys: Sequence[MapKey]
    ) -> tuple[Columns, Columns]:
        direction: Kind = "insertion" if kind.endswith("insertion") else "deletion"
        measured = curves(
            self.subjects,
            pixels,
            direction,
            context=kind.startswith(CONTEXT),
            steps=self.settings.steps,
            imputation=imputation,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        areas, points = [], []
        for outcome in self.settings.outcomes:
            keys = {"imputation": imputation, "outcome": outcome, "order": name}
            areas.append(self._rows(measured.area(outcome), map_keys, {"measure": kind} | keys))
            values = measured.values[..., OUTCOMES.index(outcome)]
            for t, share in enumerate(measured.shares.tolist()):
                rows = self._rows(values[:, :, t], map_keys, {"kind": kind} | keys)
                points.append(rows | {"share": np.full(len(rows["value"]), share, np.float32)})
        return joined(areas), joined(points)

    def subset_tables(self) -> Iterator[Columns]:
        """Yield the tables of infidelity and sensitivity-n."""
        first = self.settings.imputations[0]
        size = self.subjects.chosen.shape[1:]
        subsets = Subsets.draw(
            self.subjects,
            samples=self.settings.samples,
            tiles=min(16, *size),
            imputation=first,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        for name, measure in (("infidelity", infidelity), ("sensitivity_n", sensitivity_n)):
            values = torch.cat([measure(made.maps, subsets, made.placement) for made in self.maps], 1)
            keys = {"measure": name, "imputation": first, "outcome": "probability", "order": MAP}
            yield self._rows(values, self.map_keys, keys)

    def stability_tables(self, probe: Probe, capture: Capture, batch: Batch) -> Iterator[Columns]:
        """Yield the tables of max-sensitivity; there is none of controls, which the network plays no part in."""
        explaining = [made for made in self.maps if len(made.layers) == 1 and self._explains(made)]
        if not explaining:
            return

        def maps_of(noisy: Capture) -> dict[str, Tensor]:
            maps = chain.from_iterable(gradient_maps(self.request, [noisy]))
            return {self.request.layers[made.layers[0]].label: made.maps for made in maps}

        subjects = self.subjects
        sensitivity = max_sensitivity(
            probe,
            subjects.images,
            capture,
            maps_of,
            subjects.ids,
            masks=batch.masks,
            valid=batch.valid,
            noise=Noise(self.settings.draws, self.settings.radius, self.seed),
            batch_size=self.batch_size,
        )
        for name, values in (("frozen", sensitivity.frozen), ("repicked", sensitivity.repicked)):
            keys = {"measure": f"max_sensitivity_{name}", "imputation": "", "outcome": "", "order": MAP}
            for made in explaining:
                label = self.request.layers[made.layers[0]].label
                map_keys = [MapKey(i, label, self.request.methods[m].name) for i, m in enumerate(made.methods)]
                yield self._rows(values[label], map_keys, keys)

    def _explains(self, made: MadeMaps) -> bool:
        return all(self.request.methods[m].gradient is not None for m in made.methods)

    def _rows(self, values: Float[Tensor, "b m"], map_keys: Sequence[MapKey], keys: dict[str, str]) -> Columns:
        """Return a row an image and place; NaN where nothing is predicted, to which a map may well exist."""
        values = values.masked_fill(self.subjects.empty[:, None], torch.nan)[:, [key.index for key in map_keys]]
        labels = {
            "target": self.target,
            "layer": [key.layer for key in map_keys],
            "method": [key.method for key in map_keys],
            **keys,
        }
        return map_rows(self.subjects.ids, labels, {"value": values})


def run(job: MeasureJob) -> dict[str, Columns]:
    """Examine the maps of one checkpoint for a few images.

    Returns:
        `faithfulness`, a row an image, target, layer, method, measure, imputation, outcome and order; and
        `faithfulness_curves`, a row a point of each curve. Rows of random orders name no layer and no method. Values
        are NaN where nothing is predicted.
    """
    settings: Faithfulness = job.profile.section("faithfulness")
    images, masks = job.batch.inputs(), job.batch.masks
    request = replace(
        job.request,
        layers=end_layers(settings.layers, job.request.layers),
        methods=methods_of(settings, [*job.request.methods, *job.request.own_pass_methods]),
        targets=targets_of(settings, job.request.targets),
    )
    own = tuple(method for method in request.methods if method.own_passes)
    request = replace(request, own_pass_methods=own)
    passes = OwnPasses(job.model, request, job.profile.score.max_memory)
    probe = passes.probe
    captures = probe.many(images, request.targets, masks=masks, valid=job.batch.valid)
    sides = (job.scenery.foreground, job.scenery.background)
    subjects = Subjects.of(job.model, images, request.explained, sides, job.batch.ids, captures[0].target)
    areas, points = [], []
    for capture in captures:
        of_one = replace(request, targets=(capture.target,))
        gradients = chain.from_iterable(gradient_maps(of_one, [capture]))
        maps = [*gradients, *control_maps(of_one, job.scenery, capture), *_own_maps(job, passes, request, capture)]
        examined = Examined(settings, subjects, capture.target.name, maps, of_one, job.scenery.seed)
        for area_rows, point_rows in examined.area_tables(lambda text: job.advance(0, text)):
            areas.append(area_rows)
            points.append(point_rows)
        if settings.samples:
            job.advance(0, "infidelity and sensitivity-n")
            areas += examined.subset_tables()
        if settings.draws:
            job.advance(0, "max-sensitivity")
            areas += examined.stability_tables(probe, capture, job.batch)
    job.advance(len(job.batch.ids), "")
    return {"faithfulness": joined(areas), "faithfulness_curves": joined(points)}


def _own_maps(job: MeasureJob, passes: OwnPasses, request: Request, capture: Capture) -> Iterator[MadeMaps]:
    """Yield the maps of methods that take passes of their own, which count as `request` counts methods."""
    if request.own_pass_methods:
        places = [request.methods.index(method) for method in request.own_pass_methods]
        told = lambda _done, step: job.advance(0, step)  # noqa: E731  (its maps are no images done)
        for made in passes.maps(job.batch, job.scenery, [capture], told, job.note):
            yield replace(made, methods=[places[m] for m in made.methods])


MEASUREMENT = MEASUREMENTS.add(Measurement("faithfulness", run, settings=Faithfulness, cost=25.0))
