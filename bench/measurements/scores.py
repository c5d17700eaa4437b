"""The scores of all methods that share their passes: maps are measured where they are made, and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch import nn

from analyses.reading.files import CHANCE
from bench.measurements.material.columns import count_columns, joined, map_rows
from bench.measurements.material.fused_maps import fused_maps
from bench.measurements.material.made_maps import (
    MadeMaps,
    attention_maps,
    control_maps,
    gradient_maps,
)
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.networks.predictions import class_maps
from bench.planning.data import Data
from bench.planning.measurement import (
    MEASUREMENTS,
    Advance,
    CellPlan,
    Checkpoint,
    Columns,
    MeasureJob,
    Measurement,
    numbered,
    quiet,
)
from bench.planning.plan import score_settings, shared_methods
from bench.planning.profile import Profile
from bench.planning.request import Gap, Request
from bench.planning.sections import Score
from segcam.checks.confidence import certainty
from segcam.checks.diagnosis import bias_alone
from segcam.probe.probe import Capture
from segcam.samples import Batch, Border, Images, Sample
from segcam.scoring.agreement import agreement
from segcam.scoring.reference import Scenery

BIAS_ALONE = "the score is the last layer's bias alone"
RIVAL = "rival"
"""The score of the best other class."""


class Scorer:
    """Scores one checkpoint with the methods that share its passes.

    Args:
        model: the network, on its device.
        request: what is asked.
        settings: the profile's section.
        classes: names of the classes.
        border: the class of ignored pixels in the counts for mean IoU; no map's score counts them.
    """

    def __init__(
        self, model: nn.Module, request: Request, settings: Score, classes: Sequence[str], border: Border
    ) -> None:
        self.request = request
        self.settings = settings
        self.classes = tuple(classes)
        self.border = border
        self.device = next(model.parameters()).device
        self.model = model
        self.probe = request.probe(model, precision=settings.precision, attention=True)
        rivals = enumerate(request.targets if settings.counter else ())
        self._rivals = {t: replace(target, score=RIVAL) for t, target in rivals if target.score != RIVAL}

    def score(
        self,
        images: Images,
        rows: Sequence[int],
        advance: Advance = quiet,
        note: Callable[[Gap], None] = quiet,
    ) -> dict[str, Columns]:
        """Score images and return the columns of tables.

        Args:
            images: the split.
            rows: which of them.
            advance: told of the images that are done.
            note: told of every map that there is not.

        Returns:
            `scores`, a row a map; `predictions`, a row an image; where attention is measured `attention`, a row a
            block's head; and where there are several targets and a gradient method `agreement`, a row a layer, method
            and pair of targets.
        """
        tables: dict[str, list[Columns]] = {}
        for gap in self.request.gaps:
            note(gap)
        for few in portions(rows, self.settings, self.model, partial(self._tables, images, note=quiet)):
            for name, columns in self._tables(images, few, note).items():
                tables.setdefault(name, []).append(columns)
            advance(len(few), "")
        return {name: joined(columns) for name, columns in tables.items()}

    def placements(self, sample: Sample) -> Columns:
        """Return where the layers' grids lie on the images, a row a layer."""
        placed = self.probe.placements(Batch.of([sample], self.device).inputs())
        numbers = {
            "origin": [one.placement.origin for one in placed.values()],
            "step": [one.placement.step for one in placed.values()],
            "offset": [one.offset for one in placed.values()],
        }
        pairs = {name: np.array(values, np.float32).reshape(-1, 2) for name, values in numbers.items()}
        columns = {f"{name}_{axis}": values[:, n] for name, values in pairs.items() for n, axis in enumerate("yx")}
        agreed = np.array([one.agreed for one in placed.values()], bool)
        return {"layer": np.array(list(placed)), **columns, "agreed": agreed}

    def _tables(self, images: Images, rows: Sequence[int], note: Callable[[Gap], None]) -> dict[str, Columns]:
        """Return the tables of images that are worked on together."""
        request, counter = self.request, self.settings.counter
        batch = Batch.of([images[i] for i in rows], self.device)
        probed = self.probe.many(
            batch.inputs(), [*request.targets, *self._rivals.values()], masks=batch.masks, valid=batch.valid
        )
        captures = probed[: len(request.targets)]
        rivals = dict(zip(self._rivals, probed[len(captures) :], strict=True))
        for capture in captures:
            if bool(bias_alone(capture).any()):
                why = f"{capture.target.name}: in some images {BIAS_ALONE}, so that maps are blank"
                for method in (m for m in request.methods if m.gradient is not None and m.needs_gradients):
                    note(Gap("", method.name, why))
        scenery = Scenery.of(batch, self.settings.explained)
        pairs: list[Columns] = []
        scores = Rows(scenery, captures, request.map_layers, request.methods, request.metrics, counter=counter)

        def made() -> Iterator[MadeMaps]:
            yield from control_maps(request, scenery, captures[0])
            yield from attention_maps(request, captures, note)
            yield from fused_maps(self.probe, batch.inputs(), request, scenery, captures, note)
            for of_layer in gradient_maps(request, captures, rivals, note):
                yield from of_layer
                pairs.extend(self._pair_rows(scenery.ids, of_layer))

        scores.fill(made())
        predictions = class_maps(captures[0], request)
        counts = count_columns(batch, predictions, len(self.classes), self.border, self.settings.explained)
        sure = certainty(captures[0], batch.valid)
        counts |= {name: values.float().cpu().numpy() for name, values in sure._asdict().items()}
        tables = {"scores": scores.columns(), "predictions": counts}
        if request.attention_metrics:
            tables["attention"] = self._head_rows(scenery, captures[0])
        return tables | ({"agreement": joined(pairs)} if pairs else {})

    def _pair_rows(self, ids: Sequence[str], of_layer: Sequence[MadeMaps]) -> Iterator[Columns]:
        """Yield the agreement of one layer's maps, a pair of targets at a time."""
        request = self.request
        for one, two in combinations(of_layer, 2):
            columns = [n for n, m in enumerate(one.methods) if request.methods[m].kind == "gradient"]
            if not columns:
                continue
            agreed = agreement(one.maps[:, columns].relu(), two.maps[:, columns].relu())
            labels = {
                "layer": request.layers[one.layers[0]].label,
                "method": [request.methods[one.methods[n]].name for n in columns],
                "target": request.targets[one.targets[0]].name,
                "other": request.targets[two.targets[0]].name,
            }
            yield map_rows(ids, labels, {"correlation": agreed.correlation, "difference": agreed.difference})

    def _head_rows(self, scenery: Scenery, capture: Capture) -> Columns:
        """Measure the attention of every block and head; the same for all targets."""
        blocks = [(place, capture.attentions[place.label]) for place in self.request.places]
        heads = [(place, head) for place, attention in blocks for head in range(1, attention.heads + 1)]
        labels = {
            "block": [place.label for place, _ in heads],
            "stage": np.array([place.stage for place, _ in heads], np.int32),
            "depth": np.array([place.depth for place, _ in heads], np.int32),
            "head": np.array([head for _, head in heads], np.int32),
        }
        values = {
            metric.name: torch.cat([metric.compute(attention, scenery) for _, attention in blocks], 1)
            for metric in self.request.attention_metrics
        }
        for metric in self.request.attention_metrics:
            if metric.chance == "uniform":
                by_chance = [metric.by_chance(attention, scenery) for _, attention in blocks]
                values[f"{metric.name}{CHANCE}"] = torch.cat(by_chance, 1)
        return map_rows(scenery.ids, labels, values)


def plan(profile: Profile, data: Data, _: Checkpoint) -> list[CellPlan]:
    """Plan all test images, a shard a cell."""
    settings = score_settings(profile.score, shared_methods(profile.score))
    return numbered(range(len(data.test)), profile.score.shard, settings)


def run(job: MeasureJob) -> dict[str, Columns]:
    """Score the cell's images, and say where the layers lie on them; see `Scorer.score` and `Scorer.placements`."""
    classes, border = job.data.opened.info.classes, job.profile.data.border
    scorer = Scorer(job.model, job.request, job.profile.score, classes, border)
    tables = scorer.score(job.data.test, job.cell.rows, job.advance, job.note)
    if not job.data.opened.info.masked:  # against itself every prediction is right
        del tables["predictions"]
    return tables | {"placements": scorer.placements(job.data.test[job.cell.rows[0]])}


MEASUREMENT = MEASUREMENTS.add(Measurement("scores", run, plan, turn=0, cost=1.4))
