"""Scenes whose evidence is known: a network's answers, and how much of each map lies on what decides them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from bench.measurements.material.columns import count_columns, joined, predicted
from bench.measurements.material.made_maps import MadeMaps, control_maps, gradient_maps, named, shared_probe
from bench.measurements.material.own_maps import OwnPasses
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, Advance, Checkpoint, Columns, Job, Measurement, Part, quiet
from bench.planning.profile import Profile, Score
from bench.planning.request import Gap, Request, methods_of
from segcam.datasets.drawn.cues import CUES
from segcam.datasets.scenes_cues import CueSplit
from segcam.methods import Method
from segcam.metrics import METRICS
from segcam.probe.probe import Capture
from segcam.probe.targets import Target
from segcam.samples import IGNORE, Batch, Border, normalise
from segcam.scoring.reference import Scenery

ANIMAL = "animal"
REGIONS = (*CUES, ANIMAL)
"""What energy is measured on: the evidence of each cue, whether it decides or not, and the whole animal."""
ORACLE = "evidence_oracle"
SUMMARY = "the pixels that decide the class, averaged onto the layer's grid"
MEASURED = {"energy_inside": "inside", "energy_gain": "gain"}
"""The metrics, and what columns of them begin with."""
OWN_PASSES = "own-pass"
"""The part of methods that take passes of their own."""
SHOWN = 0
"""The test scene that the figure of examples shows: the first."""


@dataclass(frozen=True)
class Case:
    """A batch of scenes and all that is known of them.

    Attributes:
        scenes: their numbers in the split; they are the same images whichever cue decides.
        batch: the scenes.
        classes: the class of each one's animal.
        regions: the pixels of each of `REGIONS` as foreground and all others as background. The animal's outline is
            left out; evidence has no border, for it is known to the pixel.
        swapped: for each cue the same scenes with this cue the other way.
    """

    scenes: tuple[int, ...]
    batch: Batch
    classes: tuple[int, ...]
    regions: dict[str, Scenery]
    swapped: dict[str, Batch]

    @classmethod
    def of(cls, images: CueSplit, rows: Sequence[int], device: torch.device) -> Case:
        """Draw scenes, and each again with every cue the other way."""
        batch = Batch.of([images[i] for i in rows], device)
        counterparts = [images.known(i) for i in rows]
        swapped = {cue: Batch.of([one[cue] for one in counterparts], device) for cue in CUES}
        animal = _animal(batch.masks)
        sides = {ANIMAL: (animal, batch.masks == 0)}
        for cue, scenes in swapped.items():
            assert scenes.evidence is not None  # they are made of nothing else
            sides[cue] = (scenes.evidence, ~scenes.evidence)
        luminance = batch.luminance()
        return cls(
            scenes=tuple(rows),
            batch=batch,
            classes=_classes(batch.masks),
            regions={name: Scenery(luminance, *sides[name], ids=batch.ids) for name in REGIONS},
            swapped=swapped,
        )

    def targets(self, asked: Sequence[Target]) -> list[Target]:
        """Return targets about each image's own class."""
        return [replace(target, class_id=self.classes) for target in asked]

    def oracle(self, cue: str) -> Method:
        """Return the map that knows the evidence, as a control: what a perfect explanation scores on a layer's grid.

        It is no strict bound, for all energy in the one cell that holds most evidence would score more.
        """
        evidence = self.regions[cue]
        return Method(
            name=ORACLE,
            label="Evidence oracle",
            summary=SUMMARY,
            source="segcam",
            control=lambda reference: evidence.on(reference.grid).foreground_share,
            passes=0,
        )


class AnswerScorer:
    """Scores one network whose data set says what decides.

    Args:
        model: the network, on its device.
        request: what is asked; the metrics are this module's own.
        settings: the profile's section.
        border: the class of ignored pixels in the counts for mean IoU.
    """

    def __init__(self, model: nn.Module, request: Request, settings: Score, border: Border) -> None:
        self.model = model
        self.request = replace(request, metrics=tuple(METRICS.get(name) for name in MEASURED))
        self.settings = settings
        self.border = border
        self.device = next(model.parameters()).device
        self.probe = shared_probe(model, replace(request, places=()), settings)

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
            `evidence`, a row a map, and `answers`, a row a scene with the network's answers.
        """

        def scored(scenes: Sequence[int], note: Callable[[Gap], None] = quiet) -> tuple[Columns, Columns]:
            case = Case.of(images, scenes, self.device)
            captures = self.probe.many(case.batch.inputs(), case.targets(self.request.targets), masks=case.batch.masks)
            answered = self._answers(case, captures[0])
            request = replace(self.request, methods=(*self.request.methods, case.oracle(images.cue)))
            made = [*control_maps(request, case.regions[ANIMAL], captures[0])]
            for of_layer in gradient_maps(request, captures, {}, note):
                made += of_layer
            return self._rows(case, captures, request, made, answered), answered

        pairs = []
        for scenes in portions(rows, self.settings, self.model, scored):
            pairs.append(scored(scenes, note))
            advance(len(scenes), "")
        maps, answers = zip(*pairs, strict=True)
        return {"evidence": joined(maps), "answers": joined(answers)}

    def score_own_passes(
        self, images: CueSplit, rows: Sequence[int], advance: Advance, note: Callable[[Gap], None]
    ) -> dict[str, Columns]:
        """Score methods that take passes of their own; see `score`."""

        def scored(scenes: Sequence[int], advance: Advance = quiet, note: Callable[[Gap], None] = quiet) -> Columns:
            case = Case.of(images, scenes, self.device)
            request = replace(self.request, methods=(*self.request.methods, case.oracle(images.cue)))
            passes = OwnPasses(self.model, request)
            targets = case.targets(request.own_pass_targets)
            captures = passes.probe.many(case.batch.inputs(), targets, masks=case.batch.masks)
            scenery = case.regions[ANIMAL]
            made = [*passes.maps(case.batch, scenery, captures, lambda _maps, step: advance(0, step), note)]
            request = replace(request, layers=tuple(passes.layers), methods=passes.methods)
            advance(len(scenes), "")
            return self._rows(case, captures, request, made, self._answers(case, captures[0]))

        portioned = portions(rows, self.settings, self.model, scored)
        return {"evidence": joined([scored(scenes, advance, note) for scenes in portioned])}

    def shown(self, images: CueSplit, row: int) -> bytes:
        """Return a scene, drawn either way, with all maps of gradient methods, as the bytes of an .npz file.

        It holds `ids`, `images`, `masks`, `other` (the scene with the cue the other way), `evidence`, and the maps as
        `target|method|layer`, each with an axis of one image before the others.
        """
        case = Case.of(images, [row], self.device)
        swapped, masks = case.swapped[images.cue], case.batch.masks
        captures = self.probe.many(case.batch.inputs(), case.targets(self.request.targets), masks=masks)
        arrays: dict[str, Any] = {
            "ids": np.array(case.batch.ids),
            "images": case.batch.images.permute(0, 2, 3, 1).cpu().numpy(),
            "masks": masks.cpu().numpy(),
            "other": swapped.images.permute(0, 2, 3, 1).cpu().numpy(),
            "evidence": case.regions[images.cue].foreground.cpu().numpy(),
        }
        for made in chain.from_iterable(gradient_maps(self.request, captures, {}, lambda _: None)):
            arrays |= dict(named(self.request, made))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    def _rows(
        self,
        case: Case,
        captures: Sequence[Capture],
        request: Request,
        made: Sequence[MadeMaps],
        answered: Columns,
    ) -> Columns:
        """Measure maps on every region: the same rows each time, side by side."""
        columns: Columns = {}
        for region, scenery in case.regions.items():
            table = Rows(scenery, captures, request.layers, request.methods, request.metrics, counter=False)
            table.fill(made)
            rows = table.columns()
            of_region = {f"area_{region}": rows.pop("area")}
            of_region |= {f"{short}_{region}": rows.pop(name) for name, short in MEASURED.items()}
            columns = columns or rows
            columns |= of_region
        position = {image: i for i, image in enumerate(case.batch.ids)}
        indices = np.array([position[image] for image in columns["image"]])
        return columns | {name: answered[name][indices] for name in ("scene", "class_id", "told")}

    @torch.no_grad()
    def _answers(self, case: Case, capture: Capture) -> Columns:
        """Return what the network answers, and whether it answers otherwise where a cue is the other way."""
        classes = int(capture.logits.shape[1])
        predictions = predicted(capture.logits, capture.size)
        right = told_share(capture.logits, capture.size, case.batch.masks)
        columns = count_columns(case.batch, predictions, classes, self.border, self.settings.class_id)
        columns.pop("predicted")
        columns |= {
            "scene": np.array(case.scenes, np.int32),
            "class_id": np.array(case.classes, np.int32),
            "right_share": right.cpu().numpy(),
            "told": (right > 0.5).cpu().numpy(),
        }
        for cue, scenes in case.swapped.items():
            logits = self.model(normalise(scenes.images).contiguous(memory_format=torch.channels_last))
            share = told_share(logits, capture.size, scenes.masks)
            same_class = torch.tensor(_classes(scenes.masks)) == torch.tensor(case.classes)
            changed = ((share > 0.5) == (right > 0.5)).cpu() ^ same_class
            columns[f"changed_by_{cue}"] = changed.numpy()
        return columns


def told_share(
    logits: Float[Tensor, "b 3 h w"], size: tuple[int, int], masks: UInt8[Tensor, "b H W"]
) -> Float[Tensor, " b"]:
    """Return the share of an animal's pixels whose logit of its class is above that of the other animal's.

    Args:
        logits: of background and two animals; at another resolution they are brought to `size` bilinearly.
        size: rows and columns of the masks.
        masks: the true class of each pixel.
    """
    logits = logits.float()
    if tuple(logits.shape[2:]) != size:
        logits = nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    animal = _animal(masks)
    right = (logits[:, 2] > logits[:, 1]) == (masks == 2)
    return (right & animal).flatten(1).sum(1) / animal.flatten(1).sum(1)


def _animal(masks: Tensor) -> Bool[Tensor, "b h w"]:
    return (masks != 0) & (masks != IGNORE)


def _classes(masks: Tensor) -> tuple[int, ...]:
    return tuple(2 if (mask == 2).any() else 1 for mask in masks)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterator[Part]:
    """Yield of each highest level all scenes, and the first ones for methods that take passes of their own.

    Of eight scenes each has other traits.
    """
    score = profile.score
    if not checkpoint.highest:
        return
    settings = score.model_dump(mode="json", exclude={"batch_size", "shard", "max_memory"})
    scenes = range(len(data.test))
    yield Part("", tuple(scenes), [list(MEASURED), REGIONS, settings])
    if score.own_pass_images and any(method.costly for method in methods_of(score)):
        yield Part(OWN_PASSES, tuple(scenes[: score.own_pass_images]), [list(MEASURED), REGIONS, settings])


def run(job: Job) -> dict[str, Columns | bytes]:
    """Score the cell's scenes, and keep the maps of one."""
    images = job.data.test
    assert isinstance(images, CueSplit)  # the data set is one of the stage's own
    scorer = AnswerScorer(job.model, job.request, job.profile.score, job.profile.data.border)
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
