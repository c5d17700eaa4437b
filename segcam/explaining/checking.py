"""Can the maps be trusted? Diagnosis, faithfulness and randomised weights of what was explained, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn

from segcam.checks.diagnosis import diagnose
from segcam.checks.faithfulness import OUTCOMES, Subjects, curves, order
from segcam.checks.faithfulness.curves import Kind
from segcam.checks.sanity import cascading, evenly, execution_order, randomised
from segcam.classes import belonging
from segcam.errors import InputError, shown
from segcam.maps import layer_maps
from segcam.networks import prepare
from segcam.probe.probe import Probe
from segcam.probe.targets import Explained as Pixels
from segcam.probe.targets import Target
from segcam.samples import IGNORE, Batch
from segcam.scoring.agreement import spearman, ssim

if TYPE_CHECKING:
    from segcam.explaining.explained import Explained

LAYERS = 3
"""Layers that are examined unless named: the first, one in the middle and the last."""


@dataclass(frozen=True, slots=True)
class Case:
    """An image and a class, as the network sees them.

    Attributes:
        number: of the image.
        class_name: of the class.
        batch: the image alone.
        target: what was explained, with what is known of the network.
        pixels: that were chosen.
    """

    number: int
    class_name: str
    batch: Batch
    target: Target
    pixels: Pixels

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that every table begins with."""
        return {"image": self.batch.ids[0], "class": self.class_name, "target": self.target.name}


def diagnosis(explained: Explained, method: str) -> pd.DataFrame:
    """Return why maps are blank or negative: a row an image, class and layer; see `segcam.checks.diagnose`."""
    rows = []
    for case in _cases(explained, None):
        with _ready(explained, case) as (model, inputs):
            probe = Probe(model, explained.choice.layers, output=explained.network.output)
            found = diagnose(probe, inputs, case.target, method, masks=case.batch.masks, valid=case.batch.valid)
        for one in found.layers:
            numbers = {"blank": one.blank, "undefined": one.undefined, "sign_balance": float(one.sign_balance[0])}
            rows.append({**case.keys, "layer": one.layer, **numbers, "reason": one.text})
    return pd.DataFrame(rows)


def faithfulness(
    explained: Explained,
    images: int,
    layers: Sequence[str] | None,
    kinds: Sequence[Kind],
    steps: int,
    imputation: str,
) -> pd.DataFrame:
    """Return the areas under deletion and insertion curves: a row an image, class, layer, method and kind."""
    rows = []
    for case in _cases(explained, images):
        size = (int(case.batch.masks.shape[1]), int(case.batch.masks.shape[2]))
        with _ready(explained, case) as (model, inputs):
            inside = belonging(case.batch.masks, case.target.class_id)
            beside = ~inside & (case.batch.masks != IGNORE)
            if not explained.masked:
                region = torch.from_numpy(explained.region(case.number, case.class_name))[None].to(inputs.device)
                inside, beside = region, ~region
            subjects = Subjects.of(
                model,
                inputs,
                case.target.class_id,
                (inside, beside),
                case.batch.ids,
                case.target,
            )
            for layer in _layers(explained, layers):
                for method in explained.methods:
                    kept = explained.kept(case.number, case.class_name, layer, method.name)
                    if kept is None:
                        continue
                    maps = torch.from_numpy(kept[0])[None, None].to(inputs.device).relu()
                    orders = order(maps, case.batch.ids, size, 0, kept[1])
                    for kind in kinds:
                        areas = curves(subjects, orders, kind, steps=steps, imputation=imputation).areas[0, 0]
                        values = dict(zip(OUTCOMES, areas.tolist(), strict=True))
                        rows.append({**case.keys, "layer": layer, "method": method.name, "kind": kind, **values})
    return pd.DataFrame(rows)


def sanity(explained: Explained, images: int, layers: Sequence[str] | None, depths: int, seed: int) -> pd.DataFrame:
    """Return how maps change as weights are made random from the output on: a row an image, layer, method and step."""
    rows = []
    methods = [method for method in explained.methods if method.gradient is not None]
    chosen = [layer for layer in explained.choice.layers if layer.label in _layers(explained, layers)]
    for case in _cases(explained, images):
        with _ready(explained, case) as (model, inputs):
            steps = execution_order(model, inputs)
            before = _maps(model, explained, case, inputs, chosen, methods)
            for step in evenly(len(steps), depths):
                changed = randomised(model, cascading(steps)[step], seed)
                after = _maps(changed, explained, case, inputs, chosen, methods)
                for layer in chosen:
                    pair = before[layer.label], after[layer.label]
                    alike = {"spearman": spearman(*pair)[0], "ssim": ssim(*pair)[0]}
                    for m, method in enumerate(methods):
                        numbers = {name: float(values[m]) for name, values in alike.items()}
                        share = (step + 1) / len(steps)
                        keys = {"layer": layer.label, "method": method.name, "share": share}
                        rows.append({**case.keys, **keys, **numbers})
    return pd.DataFrame(rows)


def _maps(
    model: nn.Module, explained: Explained, case: Case, inputs: Tensor, layers: Sequence[Any], methods: Sequence[Any]
) -> dict[str, Tensor]:
    probe = Probe(model, layers, output=explained.network.output)
    (capture,) = probe.many(inputs, [case.target], masks=case.batch.masks, valid=case.batch.valid, fixed=[case.pixels])
    return {layer.label: layer_maps(capture, layer, methods)[1].relu() for layer in layers}


def _cases(explained: Explained, images: int | None) -> Iterator[Case]:
    """Yield the images and classes that are examined: of the first few images, evenly spread.

    Raises:
        InputError: the number of images is none.
    """
    count = len(explained.images)
    if images is not None and (type(images) is not int or images < 1):
        raise InputError(f"images is {shown(images)}: a number of images from 1 is needed")
    chosen = range(count) if images is None else [round(i) for i in evenly(count, images)] or [0]
    for number in chosen:
        for class_name in explained.seen_in(number):
            seen = explained.seen(number, class_name)
            device = next(explained.network.model.parameters(), torch.empty(0)).device
            batch = Batch.of([explained.prepared[number].sample], device)
            yield Case(number, class_name, batch, seen.target, seen.pixels)


@contextmanager
def _ready(explained: Explained, case: Case) -> Iterator[tuple[nn.Module, Tensor]]:
    """Prepare the network for a case, and yield it with its input."""
    model = explained.network.model
    with prepare(model, explained.network.inputs, case.batch.channels):
        yield model, case.batch.inputs()


def _layers(explained: Explained, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        return [explained.layers[i] for i in evenly(len(explained.layers), LAYERS)]
    return [explained.layer(layer) for layer in layers]
