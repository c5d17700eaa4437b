"""Where networks are wrong: maps and scores of hits, false alarms, misses and rejections, each explained for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from analyses.reading.error_maps import FOLDER, PIXELS, SETS
from analyses.reading.files import PREDICTED
from bench.measurements.material.columns import joined
from bench.measurements.material.kept import Arrays, image_arrays, map_arrays, npz
from bench.measurements.material.made_maps import MadeMaps, attention_maps, control_maps, gradient_maps
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.measurements.material.selection import first_and_last, narrowed, spread, with_controls
from bench.networks.predictions import class_maps
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement, numbered
from bench.planning.plan import score_settings
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.planning.sections import MOST, Count, Seeds, Settings, distinct
from segcam.checks.mistakes import KINDS, LEAST, LIKE, OWN, PICTURED, around, enough, likeness
from segcam.metrics import METRICS
from segcam.probe.probe import Capture
from segcam.probe.targets import Target
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

SECTION = "errors"
CONTROLS = ("random", "sobel", "mask_oracle")
"""What maps are compared with; of the last one the mask is that of the explained pixels: it knows their place alone."""
LEFT_OUT = ("target_predicted", "target_bias")
"""Columns of `scores` that the set's name answers."""
Key = tuple[str, str]
"""A layer and a method, by their names."""


class Errors(Settings):
    """Maps of hits, false alarms, misses and rejections of `images` of the test images (0 for none).

    They are evenly spread over the split. An image without the class has false alarms and rejections alone. Sets of
    fewer than `least` pixels are left out. Without `methods` Grad-CAM is scored, or else the first gradient method
    of the section score, beside the controls; `metrics` are measured against the class's mask. `score` says what of
    the pixels is explained. `levels` says whether every checkpoint is meant or that of each training's highest
    level, `training_seeds` of which training seeds: 'all', the 'first' or the lowest so many. The maps of `pictures`
    images are kept for people to look at (0 for none): of each cell, of `shard` images, those with the most pixels in
    the smaller set of errors, and one without the class.
    """

    images: Annotated[int, Field(ge=0, le=MOST)] = 0
    levels: Literal["all", "highest"] = "highest"
    training_seeds: Seeds = "all"
    methods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("energy_gain", "background_ratio", "edge_alignment", "spread")
    score: Literal["logit", "margin", "logprob"] = "logit"
    least: Count = LEAST
    pictures: Annotated[int, Field(ge=0, le=12)] = 3
    shard: Count = 100

    _once = field_validator("methods", "metrics")(distinct)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> list[CellPlan]:
    """Plan all test images, or as many as are wanted; none of data without masks."""
    section: Errors = profile.section(SECTION)
    methods = methods_of(section, profile)
    wanted = section.images and methods and data.opened.info.masked
    if not wanted or not checkpoint.among(section.levels, section.training_seeds):
        return []
    for name in section.metrics:
        METRICS.get(name)
    defined = score_settings(profile.score, methods)
    settings = {key: defined[key] for key in ("class_id", "points", "placement", "methods", "parameters")}
    settings |= section.model_dump(mode="json", exclude={"images", "levels", "training_seeds", "methods", "shard"})
    return numbered(spread(len(data.test), section.images), section.shard, settings)


def run(job: MeasureJob) -> dict[str, Columns | bytes]:
    """Return `errors`, a row a set of pixels, image, layer and method, and the maps of a few images as an .npz file.

    The rows have the columns of `scores`, without those that tell of the network alone, and `own_gain`, the energy gain
    on the explained pixels, `like_hits` and `like_rejections`, the correlations with the maps of the same image's hits
    and of its rejections, and `present`, whether the image shows the class.
    """
    section: Errors = job.profile.section(SECTION)
    request = _request(job, section)
    probe = request.probe(job.model, precision=job.profile.score.precision, attention=True)

    def explained(rows: Sequence[int]) -> Explained:
        batch = Batch.of([job.data.test[i] for i in rows], job.device)
        captures = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
        return Explained.of(request, Scenery.of(batch, job.profile.score.explained), batch, captures)

    tables, kept = [], list[Candidate]()
    for rows in portions(job.cell.rows, job.profile.score, job.model, explained):
        of_rows = explained(rows)
        tables.append(of_rows.columns(section.least))
        kept = _most([*kept, *of_rows.candidates(section.least)], section.pictures)
        job.advance(len(rows), "")
    pictures = {FOLDER: npz(joined([one.arrays for one in kept]))} if kept else {}
    return {SECTION: joined(tables)} | pictures


@dataclass(frozen=True, eq=False)
class Candidate:
    """An image whose maps may be kept: how many pixels speak for it, whether it shows the class, and its arrays."""

    pixels: int
    present: bool
    arrays: Arrays


@dataclass(frozen=True, eq=False)
class Explained:
    """The maps of a few images, by set of pixels.

    Attributes:
        request: with the target of each of `KINDS`.
        scenery: the images, with the class's mask.
        batch: the same.
        captures: one a target.
        regions: of each target the images with the explained pixels as the object.
        maps: of each target.
    """

    request: Request
    scenery: Scenery
    batch: Batch
    captures: Sequence[Capture]
    regions: Sequence[Scenery]
    maps: Sequence[Sequence[MadeMaps]]

    @classmethod
    def of(cls, request: Request, scenery: Scenery, batch: Batch, captures: Sequence[Capture]) -> Explained:
        """Make the maps."""
        regions = [around(scenery, capture) for capture in captures]
        maps = [
            list(_maps(replace(request, targets=(target,)), region, capture))
            for target, region, capture in zip(request.targets, regions, captures, strict=True)
        ]
        return cls(request, scenery, batch, captures, regions, maps)

    def columns(self, least: int) -> Columns:
        """Return the rows of sets with so many pixels."""
        return joined([self._of_target(t, least) for t in range(len(self.captures))])

    def _of_target(self, t: int, least: int) -> Columns:
        capture, made, request = self.captures[t], self.maps[t], self.request
        on_object = self._rows(self.scenery, capture, made, request.metrics)
        own = self._rows(self.regions[t], capture, made, [METRICS.get(OWN)])
        like = {name: self._like(t, KINDS.index(other), least) for name, other in LIKE.items()}
        place = {name: i for i, name in enumerate(self.batch.ids)}
        keys = list(zip(on_object["image"], on_object["layer"], on_object["method"], strict=True))
        present = (self.scenery.foreground_pixels > 0).cpu().numpy()
        at = np.array([place[image] for image in on_object["image"]], dtype=np.int64)
        columns = {name: values for name, values in on_object.items() if name not in LEFT_OUT}
        columns |= {
            "own_gain": own[OWN],
            **{
                name: np.array([of_maps[layer, method][place[image]] for image, layer, method in keys], np.float32)
                for name, of_maps in like.items()
            },
            "present": present[at],
        }
        there = enough(capture, least).cpu().numpy()[at]
        return {name: values[there] for name, values in columns.items()}

    def _rows(self, scenery: Scenery, capture: Capture, made: Sequence[MadeMaps], metrics: Sequence[Any]) -> Columns:
        rows = Rows(scenery, [capture], self.request.layers, self.request.methods, metrics, counter=False)
        rows.fill(made)
        return rows.columns()

    def _like(self, t: int, other: int, least: int) -> dict[Key, NDArray[np.float32]]:
        """Return the correlation of each map with another set's, an item an image; NaN where that has few pixels."""
        few = enough(self.captures[other], least).logical_not()[:, None]
        found: dict[Key, NDArray[np.float32]] = {}
        for one, beside in zip(self.maps[t], self.maps[other], strict=True):
            reference = self.scenery.on(one.grid, one.placement)
            values = likeness(one.maps.relu(), beside.maps.relu(), reference).masked_fill(few, torch.nan)
            for layer in one.layers:
                for n, method in enumerate(one.methods):
                    key = (self.request.layers[layer].label, self.request.methods[method].name)
                    found[key] = values[:, n].float().cpu().numpy()
        return found

    def candidates(self, least: int) -> list[Candidate]:
        """Return the images that show all sets, and those without the class that show false alarms."""
        pictured = len(PICTURED)  # the picture is of what is predicted; rejections are for the table
        counts = torch.stack([capture.target_pixels for capture in self.captures[:pictured]], 1).cpu()
        present = (self.scenery.foreground_pixels > 0).cpu()
        pixels = torch.where(present, counts[:, 1:].amin(1), counts[:, 1])
        wanted = (pixels >= least) & (~present | (counts[:, 0] >= least))
        if not bool(wanted.any()):
            return []
        first = next(m for m, method in enumerate(self.request.methods) if method.kind != "control")
        shown = first_and_last(self.request.layers)
        layers = [i for i, layer in enumerate(self.request.layers) if layer in shown]
        arrays = image_arrays(self.batch) | {PREDICTED: self._predicted(), PIXELS: counts.numpy()}
        sets = sum(
            (n + 1) * capture.explained.chosen.to(torch.uint8) for n, capture in enumerate(self.captures[:pictured])
        )
        assert isinstance(sets, torch.Tensor)
        arrays[SETS] = sets.cpu().numpy()
        for target, made in zip(self.request.targets[:pictured], self.maps[:pictured], strict=True):
            few = [part for one in made for part in _only(one, first, layers)]
            arrays |= map_arrays(replace(self.request, targets=(target,)), few, self.scenery.size)
        return [
            Candidate(int(pixels[i]), bool(present[i]), {name: values[[i]] for name, values in arrays.items()})
            for i in wanted.nonzero().flatten().tolist()
        ]

    def _predicted(self) -> NDArray[np.uint8]:
        return class_maps(self.captures[0], self.request).to(torch.uint8).cpu().numpy()


def _maps(request: Request, region: Scenery, capture: Capture) -> chain[MadeMaps]:
    """Return the maps of one target; those of controls are of the explained pixels, not of the object."""
    gradient = chain.from_iterable(gradient_maps(request, [capture]))
    return chain(control_maps(request, region, capture), attention_maps(request, [capture]), gradient)


def _only(made: MadeMaps, method: int, layers: Sequence[int]) -> list[MadeMaps]:
    """Return the maps of one method, of some layers."""
    kept = [layer for layer in made.layers if layer in layers]
    if method not in made.methods or not kept:
        return []
    n = list(made.methods).index(method)
    return [MadeMaps(made.targets, kept, [method], made.maps[:, [n]], placement=made.placement)]


def _most(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return the images with the most pixels, and one without the class where there is one."""
    ordered = sorted(candidates, key=lambda one: (-one.pixels, str(one.arrays["ids"][0])))
    absent = [one for one in ordered if not one.present][: min(1, count)]
    return [one for one in ordered if one.present][: count - len(absent)] + absent


def methods_of(section: Errors, profile: Profile) -> list[str]:
    """Return the methods that are measured, controls behind them; see `with_controls`."""
    return with_controls(SECTION, section.methods, profile.score.methods, CONTROLS)


def _request(job: MeasureJob, section: Errors) -> Request:
    """Return what is asked: a target a set of pixels, the layers of the first point, the section's methods."""
    like = job.request.targets[0]
    return replace(
        narrowed(job.request, methods_of(section, job.profile)),
        targets=tuple(Target(like.class_id, kind, section.score, true_class=like.true_class) for kind in KINDS),
        metrics=tuple(METRICS.get(name) for name in section.metrics),
    )


MEASUREMENT = MEASUREMENTS.add(Measurement(SECTION, run, plan, settings=Errors, cost=0.25))
