"""Scenes whose evidence is known: what a network predicts, and how much of each map lies on what decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from analyses.reading.files import PREDICTED
from bench.measurements.material.columns import count_columns, joined, predicted, resized
from bench.measurements.material.fused_maps import fused_maps
from bench.measurements.material.kept import image_arrays, map_arrays, npz
from bench.measurements.material.made_maps import MadeMaps, control_maps, gradient_maps
from bench.measurements.material.own_maps import OwnPasses
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.measurements.material.scene_batch import ANIMAL, REGIONS, SceneBatch, animal_of, classes_of
from bench.planning.data import Data
from bench.planning.measurement import (
    MEASUREMENTS,
    Advance,
    CellPlan,
    Checkpoint,
    Columns,
    MeasureJob,
    Measurement,
    quiet,
)
from bench.planning.profile import Profile
from bench.planning.request import Gap, Request, methods_of
from bench.planning.sections import Score
from segcam.datasets.scenes_cues import CueSplit
from segcam.metrics import METRICS
from segcam.probe.probe import Capture
from segcam.samples import Border

MEASURED = {"energy_inside": "inside", "energy_gain": "gain"}
"""The metrics that are measured on every region, and what columns of them begin with."""
OWN_PASSES = "own-pass"
"""The part of methods that take passes of their own."""
SHOWN = 0
"""The test scene that the figure of examples shows: the first."""
FINE = 128
"""Pixels of a side that it is drawn at, at least: a scene is the same at any size, and 64 are hard to look at."""


class EvidenceScorer:
    """Scores one network whose data set says what decides.

    Args:
        model: the network, on its device.
        request: what is asked; its metrics see the animal's mask alone, as they would where no evidence is known.
        settings: the profile's section.
        border: the class of ignored pixels in the counts for mean IoU.
    """

    def __init__(self, model: nn.Module, request: Request, settings: Score, border: Border) -> None:
        self.model = model
        self.request = request
        self.settings = settings
        self.border = border
        self.device = next(model.parameters()).device
        self.probe = request.probe(model, precision=settings.precision)

    def score(
        self, images: CueSplit, rows: Sequence[int], advance: Advance, note: Callable[[Gap], None]
    ) -> dict[str, Columns]:
        """Score methods that share their passes.

        Args:
            images: the split.
            rows: which of its scenes.
            advance: told of the scenes that are done.
            note: told of every map that there is not.

        Returns:
            `evidence`, a row a map, and `answers`, a row a scene with what the network predicts.
        """

        def tables(few: Sequence[int], note: Callable[[Gap], None] = quiet) -> tuple[Columns, Columns]:
            scenes = SceneBatch.of(images, few, self.device)
            captures = self._captures(scenes)
            request = self._with_oracle(scenes, images.cue)
            gradients = chain.from_iterable(gradient_maps(request, captures, note=note))
            scenery, inputs = scenes.regions[ANIMAL], scenes.batch.inputs()
            fused = fused_maps(self.probe, inputs, request, scenery, captures, note)
            maps = [*control_maps(request, scenery, captures[0]), *gradients, *fused]
            request = replace(request, layers=request.map_layers)
            predictions = self._predictions(scenes, captures[0])
            return self._rows(scenes, captures, request, maps, predictions), predictions

        pairs = []
        for few in portions(rows, self.settings, self.model, tables):
            pairs.append(tables(few, note))
            advance(len(few), "")
        maps, predictions = zip(*pairs, strict=True)
        return {"evidence": joined(maps), "answers": joined(predictions)}

    def score_own_passes(
        self, images: CueSplit, rows: Sequence[int], advance: Advance, note: Callable[[Gap], None]
    ) -> dict[str, Columns]:
        """Score methods that take passes of their own; see `score`."""

        def table(few: Sequence[int], advance: Advance = quiet, note: Callable[[Gap], None] = quiet) -> Columns:
            scenes = SceneBatch.of(images, few, self.device)
            request = self._with_oracle(scenes, images.cue)
            passes = OwnPasses(self.model, request, self.settings.max_memory)
            targets = scenes.targets(request.own_pass_targets)
            captures = passes.probe.many(scenes.batch.inputs(), targets, masks=scenes.batch.masks)
            scenery = scenes.regions[ANIMAL]
            maps = [*passes.maps(scenes.batch, scenery, captures, lambda _maps, step: advance(0, step), note)]
            request = replace(request, layers=tuple(passes.layers), methods=passes.methods)
            advance(len(few), "")
            return self._rows(scenes, captures, request, maps, self._predictions(scenes, captures[0]))

        portioned = portions(rows, self.settings, self.model, table)
        return {"evidence": joined([table(few, advance, note) for few in portioned])}

    def shown(self, images: CueSplit, row: int) -> bytes:
        """Return a scene, drawn either way, with all maps of gradient methods, as the bytes of an .npz file.

        It holds `ids`, `images`, `masks`, `predicted`, `other` (the scene with the cue the other way), `evidence`, all
        at `FINE` pixels a side or more, and the maps as `target|method|layer`, each with an axis of one image before
        the others. What is predicted, and the maps, are of the scene at the network's size.
        """
        scenes = SceneBatch.of(images, [row], self.device)
        size = max(FINE, images.size)
        fine = SceneBatch.of(images.at(size), [row], self.device)
        captures = self._captures(scenes)
        classes = predicted(captures[0].logits, (size, size))
        arrays = image_arrays(fine.batch) | {
            PREDICTED: classes.to(torch.uint8).cpu().numpy(),
            "other": image_arrays(fine.swapped[images.cue])["images"],
            "evidence": fine.regions[images.cue].foreground.cpu().numpy(),
        }
        maps = chain.from_iterable(gradient_maps(self.request, captures))
        return npz(arrays | map_arrays(self.request, maps, scenes.regions[ANIMAL].size))

    def _captures(self, scenes: SceneBatch) -> list[Capture]:
        targets = scenes.targets(self.request.targets)
        return self.probe.many(scenes.batch.inputs(), targets, masks=scenes.batch.masks)

    def _with_oracle(self, scenes: SceneBatch, cue: str) -> Request:
        return replace(self.request, methods=(*self.request.methods, scenes.oracle(cue)))

    def _rows(
        self,
        scenes: SceneBatch,
        captures: Sequence[Capture],
        request: Request,
        maps: Sequence[MadeMaps],
        predictions: Columns,
    ) -> Columns:
        """Measure maps on every region: the same rows each time, side by side; all metrics on the animal."""
        columns: Columns = {}
        energies = tuple(METRICS.get(name) for name in MEASURED)
        for region, scenery in scenes.regions.items():
            asked = [metric for metric in request.metrics if region == ANIMAL and metric.name not in MEASURED]
            table = Rows(scenery, captures, request.layers, request.methods, (*energies, *asked), counter=False)
            table.fill(maps)
            rows = table.columns()
            of_region = {f"area_{region}": rows.pop("area")}
            of_region |= {f"{short}_{region}": rows.pop(name) for name, short in MEASURED.items()}
            columns |= rows | of_region
        position = {image: i for i, image in enumerate(scenes.batch.ids)}
        indices = np.array([position[image] for image in columns["image"]])
        return columns | {name: predictions[name][indices] for name in ("scene", "class_id", "told")}

    @torch.no_grad()
    def _predictions(self, scenes: SceneBatch, capture: Capture) -> Columns:
        """Return what the network predicts, and whether it predicts otherwise where a cue is the other way."""
        classes = int(capture.logits.shape[1])
        predictions = predicted(capture.logits, capture.size)
        right = right_share(capture.logits, capture.size, scenes.batch.masks)
        columns = count_columns(scenes.batch, predictions, classes, self.border, self.settings.explained)
        columns.pop("predicted")
        columns |= {
            "scene": np.array(scenes.rows, np.int32),
            "class_id": np.array(scenes.classes, np.int32),
            "right_share": right.cpu().numpy(),
            "told": (right > 0.5).cpu().numpy(),
        }
        for cue, batch in scenes.swapped.items():
            logits = self.model(batch.inputs().contiguous(memory_format=torch.channels_last))
            share = right_share(logits, capture.size, batch.masks)
            same_class = torch.tensor(classes_of(batch.masks)) == torch.tensor(scenes.classes)
            changed = ((share > 0.5) == (right > 0.5)).cpu() ^ same_class
            columns[f"changed_by_{cue}"] = changed.numpy()
        return columns


def right_share(
    logits: Float[Tensor, "b 3 h w"], size: tuple[int, int], masks: UInt8[Tensor, "b H W"]
) -> Float[Tensor, " b"]:
    """Return the share of an animal's pixels whose logit of its class is above that of the other animal's.

    Args:
        logits: of background and two animals; at another resolution they are brought to `size` bilinearly.
        size: rows and columns of the masks.
        masks: the true class of each pixel.
    """
    logits = resized(logits, size)
    animal = animal_of(masks)
    right = (logits[:, 2] > logits[:, 1]) == (masks == 2)
    return (right & animal).flatten(1).sum(1) / animal.flatten(1).sum(1)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterator[CellPlan]:
    """Yield of each highest level all scenes, and the first ones for methods that take passes of their own.

    Of eight scenes each has other traits.
    """
    score = profile.score
    if not checkpoint.highest:
        return
    settings = score.model_dump(mode="json", exclude={"batch_size", "shard", "max_memory"})
    scenes = range(len(data.test))
    yield CellPlan("", tuple(scenes), [list(MEASURED), REGIONS, settings, FINE])
    if score.own_pass_images and any(method.own_passes for method in methods_of(score)):
        yield CellPlan(OWN_PASSES, tuple(scenes[: score.own_pass_images]), [list(MEASURED), REGIONS, settings])


def run(job: MeasureJob) -> dict[str, Columns | bytes]:
    """Score the cell's scenes, and keep the maps of one."""
    images = job.data.test
    assert isinstance(images, CueSplit)  # the data set is one of the stage's own
    scorer = EvidenceScorer(job.model, job.request, job.profile.score, job.profile.data.border)
    score = scorer.score_own_passes if job.cell.part == OWN_PASSES else scorer.score
    tables = score(images, job.cell.rows, job.advance, job.note)
    made: dict[str, Columns | bytes] = {
        name: {"cue": np.full(len(columns["image"]), images.cue)} | columns for name, columns in tables.items()
    }
    if job.cell.part != OWN_PASSES:
        for gap in job.request.gaps:
            job.note(gap)
        made["gallery"] = scorer.shown(images, SHOWN)
    return made


MEASUREMENT = MEASUREMENTS.add(Measurement("evidence", run, plan, stage="evidence"))
