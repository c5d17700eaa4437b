"""Checks of what was explained: faithfulness, randomised weights, and why maps are blank; each a table, a row a map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn

from segcam.checks.diagnosis import LayerDiagnosis, diagnose
from segcam.checks.faithfulness import OUTCOMES, Curves, Subjects, order, random_order
from segcam.checks.sanity import cascading, evenly, execution_order, independent, randomised
from segcam.errors import InputError, NotApplicableError
from segcam.explaining.asked import see_number
from segcam.explaining.scored import scenery_of
from segcam.maps import layer_maps
from segcam.methods import Method
from segcam.metrics.attention import ATTENTION_METRICS
from segcam.probe.attention.finding import NO_ATTENTION, find_attention
from segcam.probe.layers import Layer
from segcam.probe.probe import Capture
from segcam.samples import Batch
from segcam.scoring.agreement import spearman, ssim
from segcam.scoring.reference import Scenery

if TYPE_CHECKING:
    from segcam.checks.faithfulness.curves import Kind
    from segcam.explaining.explained import Explained
    from segcam.explaining.passes import Turn

RANDOM_ORDER = "random order"


def faithfulness(
    explained: Explained,
    methods: Sequence[str],
    layers: Sequence[str],
    images: int,
    kinds: Sequence[Kind],
    draw: Callable[[Subjects, Tensor, Kind], Curves],
) -> pd.DataFrame:
    """Return the areas under deletion and insertion curves; see `Explained.faithfulness`."""
    see_number("images", images, 1)
    rows: list[dict[str, Any]] = []
    with explained.passes.open() as (probe, where):
        for turn in explained.passes.turns(where, images):
            captures = probe.many(turn.batch.inputs(), turn.targets, masks=turn.masks, valid=turn.batch.valid)
            for name, class_id, capture in zip(explained.seen_in(turn.number), turn.classes, captures, strict=True):
                subjects = _subjects(probe.model, turn, class_id, capture)
                facts = {"image": turn.batch.ids[0], "class": name, "target": capture.target.name}
                size = capture.size
                ordered = [("", RANDOM_ORDER, random_order(turn.batch.ids, size))]
                for layer in layers:
                    kept = explained.kept(turn.number, name, layer, methods)
                    for method, values, place in kept:
                        maps = torch.from_numpy(values)[None, None].relu()
                        ordered.append((layer, method, order(maps, turn.batch.ids, size, placement=place)))
                for layer, method, one in ordered:
                    for kind in kinds:
                        areas = dict(
                            zip(OUTCOMES, draw(subjects, one.to(where), kind).areas[0, 0].tolist(), strict=True)
                        )
                        if not turn.masked:
                            del areas["iou"]  # it is with the truth
                        rows.append({**facts, "layer": layer, "method": method, "kind": kind, **areas})
    return pd.DataFrame(rows)


def _subjects(model: nn.Module, turn: Turn, class_id: Any, capture: Capture) -> Subjects:
    """Return the image with what is predicted in it; what is predicted in the padding is left out."""
    batch = turn.batch
    if turn.masked:
        scenery = Scenery.of(batch, class_id)
        sides = (scenery.foreground, scenery.background)
    else:
        nowhere = torch.zeros_like(batch.masks, dtype=torch.bool)
        sides = (nowhere, nowhere)
    subjects = Subjects.of(model, batch.inputs(), class_id, sides, batch.ids, capture.target)
    return subjects if batch.valid is None else replace(subjects, chosen=subjects.chosen & batch.valid)


def sanity(
    explained: Explained, methods: Sequence[Method], layers: Sequence[str], *, images: int, depths: int, seed: int
) -> pd.DataFrame:
    """Return how like maps stay where weights are made random; see `Explained.sanity`."""
    passes = explained.passes
    see_number("images", images, 1)
    see_number("depths", depths, 2)
    chosen = [layer for layer in explained.choice.layers if layer.label in layers]
    with passes.open() as (probe, where):
        turns = list(passes.turns(where, images))
        ran = execution_order(probe.model, turns[0].batch.inputs())
        before = []
        for turn in turns:
            captures = probe.many(turn.batch.inputs(), turn.targets, masks=turn.masks, valid=turn.batch.valid)
            before.append([(capture.explained, list(_maps(capture, chosen, methods))) for capture in captures])
    rows: list[dict[str, Any]] = []
    for kind, changed in (("cascading", cascading(ran)), ("independent", independent(ran))):
        for step in evenly(len(ran), depths):
            facts = {"kind": kind, "step": step, "share": (step + 1) / len(ran), "module": ran[-1 - step][0]}
            with passes.open(randomised(passes.network.model, changed[step], seed)) as (other, _):
                for turn, known in zip(turns, before, strict=True):
                    fixed = [pixels for pixels, _ in known]
                    captures = other.many(turn.batch.inputs(), turn.targets, fixed=fixed)
                    for number, capture in enumerate(captures):
                        name = explained.seen_in(turn.number)[number]
                        of_class = {"image": turn.batch.ids[0], "class": name, "target": capture.target.name}
                        own, after = dict(known[number][1]), dict(_maps(capture, chosen, methods))
                        for layer, method in (key for key in own if key in after):
                            pair = own[layer, method], after[layer, method]
                            alike = {"spearman": float(spearman(*pair)), "ssim": float(ssim(*pair))}
                            rows.append({**of_class, "layer": layer, "method": method, **facts, **alike})
    return pd.DataFrame(rows)


def _maps(
    capture: Capture, layers: Sequence[Layer], methods: Sequence[Method]
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for layer in layers:
        for method in methods:
            try:
                yield (layer.label, method.name), layer_maps(capture, layer, [method])[1].relu()
            except NotApplicableError:  # `Explained.skipped` has the reason
                continue


def diagnosis(explained: Explained, method: Method, images: int | None) -> pd.DataFrame:
    """Return why maps are blank or negative; see `Explained.diagnosis`."""
    rows: list[dict[str, Any]] = []
    names = explained.network.classes
    if images is not None:
        see_number("images", images, 1)
    with explained.passes.open() as (probe, where):
        for turn in explained.passes.turns(where, images):
            for name, target in zip(explained.seen_in(turn.number), turn.targets, strict=True):
                inputs = turn.batch.inputs()
                told = diagnose(probe, inputs, target, method, masks=turn.masks, valid=turn.batch.valid)
                rival = int(told.counter_classes[0])
                facts: dict[str, Any] = {
                    "image": turn.batch.ids[0],
                    "class": name,
                    "target": target.name,
                    "method": method.name,
                }
                facts |= {"counter_class": names[rival] if rival >= 0 else "", "bias_alone": bool(told.bias_alone[0])}
                rows += [{**facts, **_record(record)} for record in told.layers]
    return pd.DataFrame(rows)


def attention(explained: Explained, images: int | None) -> pd.DataFrame:
    """Return how far, and how much at the background, each head looks; see `Explained.attention`."""
    if images is not None:
        see_number("images", images, 1)
    passes, rows = explained.passes, list[dict[str, Any]]()
    with passes.open() as (plain, where):
        first = Batch.of([passes.prepared[0].sample], where)
        found = find_attention(plain.model, first.inputs(), passes.layers)
        if not found.places:
            why = "; ".join(f"{path} {reason}" for path, reason in found.left_out.items()) or NO_ATTENTION
            raise InputError(f"no attention of {explained.network.name} can be read: {why}")
        probe = passes.probe(plain.model, found.places)
        for turn in passes.turns(where, images):
            captures = probe.many(turn.batch.inputs(), turn.targets, masks=turn.masks, valid=turn.batch.valid)
            for name, class_id, capture in zip(explained.seen_in(turn.number), turn.classes, captures, strict=True):
                region = torch.from_numpy(explained.region(turn.number, name))[None].to(where)
                scenery = scenery_of(turn, class_id, region)
                for place in found.places:
                    block = capture.attentions[place.label]
                    values = {one.name: one.compute(block, scenery)[0].tolist() for one in ATTENTION_METRICS}
                    of_block = {"block": place.label, "layer": place.layer, "stage": place.stage, "depth": place.depth}
                    for head in range(block.heads):
                        measured = {metric: numbers[head] for metric, numbers in values.items()}
                        facts = {"image": turn.batch.ids[0], "class": name, **of_block, "head": head + 1}
                        rows.append({**facts, **measured})
    return pd.DataFrame(rows)


def _record(record: LayerDiagnosis) -> dict[str, Any]:
    return {
        "layer": record.layer,
        "blank": bool(record.blank),
        "undefined": bool(record.undefined),
        "sign_balance": float(record.sign_balance[0]),
        "counter_share": float(record.counter_share[0]),
        "reason": record.text,
    }
