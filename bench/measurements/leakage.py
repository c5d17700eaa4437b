"""Whose pixels: each class that an image shows is explained, and its maps and score are measured on every class."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.measurements.material.columns import joined
from bench.measurements.material.regional import Regional, cells, layers_of, methods_of, targets_of
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.request import Request
from segcam.checks.leakage import leakage
from segcam.classes import Classes, label, members
from segcam.samples import Batch

SECTION = "leakage"
METHODS = ("grad_cam", "hires_cam", "layer_cam", "uniform", "random", "mask_oracle")
"""What is measured where nothing is said, as far as it is scored."""


class Leakage(Regional):
    """Whose pixels maps lie on: each class that an image shows, in truth or prediction, is explained.

    `targets` are what is explained of each class, all predicted pixels unless told otherwise. Without `methods` those
    of `METHODS` that are scored are measured. `layers` are labels or patterns of them ('Encoder 5_*'); a network with
    none of them, or where none is given, has all measured of the first of the score's points. `imputation` is what
    takes a removed class's place: the picture's mean colour, a blur of it, or what its neighbours give.
    """


def run(job: MeasureJob) -> dict[str, Columns]:
    """Measure whose pixels maps of every class lie on, and whose removal changes the class's score.

    Returns:
        `leakage`, a row an image, class explained, class of the pixels, target, layer and method, with `energy` and
        `area`, the shares of the map and of the pixels; and `leakage_removal`, a row an image, class explained, class
        removed and target, with the `score`, its `score_change`, `area`, and how many pixels were explained.
    """
    section: Leakage = job.profile.section(SECTION)
    methods = methods_of(SECTION, section, METHODS, job.request.methods)
    layers = layers_of(section, job.request.layers)
    probe = job.request.probe(job.model, layers)
    theirs = classes_of(job.request, len(job.data.opened.info.classes))
    names = np.array([label(one, job.data.opened.info.classes) for one in theirs])
    maps, removals = [], []
    for target in targets_of(section, job):
        job.advance(0, target.name)
        found = leakage(
            probe,
            job.batch,
            methods,
            classes=list(theirs),
            network=list(theirs.values()),
            target=target,
            imputation=section.imputation,
            seed=job.scenery.seed,
        )
        truth = shown_in(job.batch, list(theirs))
        pairs = np.argwhere(found.shown.cpu().numpy()[:, :, None] & truth[:, None])
        keys = _keys(job.batch, names, pairs, target.name)
        b, i, j = pairs.T
        whole = truth_area(job.batch, list(theirs))
        removals.append(
            keys
            | {
                "imputation": np.full(len(b), section.imputation),
                "area": whole[b, j],
                "explained_pixels": found.pixels.cpu().numpy()[b, i].astype(np.int32),
                "score": found.scores.float().cpu().numpy()[b, i],
                "score_change": found.change.float().cpu().numpy()[b, i, j],
            }
        )
        for layer, energy in found.energy.items():
            shares, area = energy.float().cpu().numpy(), found.area[layer].float().cpu().numpy()
            for m, method in enumerate(found.methods):
                labels = {"layer": np.full(len(b), layer), "method": np.full(len(b), method)}
                maps.append(keys | labels | {"energy": shares[b, i, m, j], "area": area[b, j]})
    job.advance(len(job.batch.ids), "")
    return {SECTION: joined(maps), "leakage_removal": joined(removals)}


def classes_of(request: Request, count: int) -> dict[Classes, Classes | None]:
    """Return the data's classes, those that count as the one explained as one, each with what the network calls it.

    Args:
        request: which class is explained, and how the network's classes are the data's.
        count: of the data's classes.

    Returns:
        The network's class or set of classes, by the data's; None where it has none.
    """
    own = set(members(request.class_id))
    taken = set(members(request.explained))
    found: dict[Classes, Classes | None] = {}
    for one in range(count):
        if one in own:
            found.setdefault(request.class_id, request.explained)
        elif request.lookup is None:
            found[one] = one
        else:
            alike = frozenset(n for n, named in enumerate(request.lookup) if named == one) - taken
            found[one] = (next(iter(alike)) if len(alike) == 1 else alike) if alike else None
    return found


def shown_in(batch: Batch, classes: list[Classes]) -> Any:
    """Return whether masks show each class, `(b, k)`."""
    return np.stack([batch.foreground(one).flatten(1).any(1).cpu().numpy() for one in classes], 1)


def truth_area(batch: Batch, classes: list[Classes]) -> Any:
    """Return each class's share of the labelled pixels, `(b, k)`; NaN where there are none."""
    pixels = np.stack([batch.foreground(one).flatten(1).sum(1).cpu().numpy() for one in classes], 1)
    total = pixels.sum(1, keepdims=True)
    return np.divide(pixels, total, out=np.full(pixels.shape, np.nan), where=total > 0).astype(np.float32)


def _keys(batch: Batch, names: Any, pairs: Any, target: str) -> Columns:
    b, i, j = pairs.T
    ids = np.array(batch.ids)
    return {"image": ids[b], "explained": names[i], "on_class": names[j], "target": np.full(len(b), target)}


MEASUREMENT = MEASUREMENTS.add(Measurement(SECTION, run, partial(cells, SECTION, METHODS), settings=Leakage, cost=0.5))
