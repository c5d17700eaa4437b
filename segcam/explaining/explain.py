"""Explain: maps of a network's layers for photographs of any kind, scored where they are made."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from tqdm import TqdmWarning

from segcam.channels import RGB
from segcam.checks.sanity import evenly
from segcam.classes import IGNORE, Classes, class_ids, members
from segcam.datasets.resizing import Resize, filling, resized
from segcam.errors import InputError, SegcamWarning, unknown
from segcam.explaining.asked import (
    level_names,
    methods_of,
    metrics_of,
    see_class,
    see_masks,
    see_number,
    see_sizes,
)
from segcam.explaining.explained import Explained
from segcam.explaining.kept import Prepared
from segcam.explaining.passes import Passes, running
from segcam.explaining.photographs import Photograph, collected
from segcam.explaining.scored import Scorer
from segcam.methods import Method
from segcam.networks import NetworkInputs, OwnNetwork, open_network
from segcam.probe.attention.finding import find_attention
from segcam.probe.choice import MOST, choose_layers
from segcam.probe.layers import LayerChoice
from segcam.probe.network.elements import Element
from segcam.probe.placement import Placing
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.samples import Batch, Sample

with warnings.catch_warnings():  # in a notebook without ipywidgets the bar is one of text, which is no news
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

METHODS_SHOWN = ("grad_cam", "hires_cam", "layer_cam", "uniform", "random", "sobel", "mask_oracle")
"""Methods and controls that are compared unless told."""
CLASSES = 3
"""How many of the predicted classes are explained where none is named."""


def explain(  # noqa: PLR0913  (all but two have defaults)
    network: nn.Module | OwnNetwork | str,
    images: Any,
    class_id: Classes | Sequence[Classes] | None = None,
    *,
    masks: Any = None,
    target: Target | str = "predicted:logit",
    layers: LayerChoice | Sequence[LayerChoice] = "*",
    most_layers: int | None = MOST,
    methods: str | Method | Sequence[str | Method] = METHODS_SHOWN,
    metrics: Sequence[str] | None = None,
    size: int | None = None,
    resize: Resize | None = None,
    placement: Placing = "stretched",
    output: Element | None = None,
    inputs: NetworkInputs | Mapping[str, Any] | Path | str | None = None,
    classes: Sequence[str] | str | int | None = None,
    weights: Path | str | Sequence[Path | str] | None = None,
    own_pass_images: int = 2,
    max_memory: int | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Explained:
    """Explain a network on photographs: maps of its layers, their scores, pictures and a page.

    Args:
        network: a module that gives a dense output, what `open_network` gave, or what that opens, such as
            'torchvision:fcn_resnet50'.
        images: files, a folder, PIL images, uint8 arrays or tensors, which are prepared as `inputs` says; float tensors
            `(c, h, w)`, which the network takes as they are; a Dataset or DataLoader of these, alone or with masks.
        class_id: the class explained, by index or name; a set counts as one; a list holds one for each image. None for
            those that are predicted most.
        masks: class indices a pixel, 255 where there is none, in any form that images have. Without, what the network
            predicts stands for them, and the scores say so.
        target: which pixels and which score of them; its class is `class_id`.
        layers: paths, patterns or modules; patterns leave out what gives no map.
        most_layers: of more some stand for all; None takes all.
        methods: any of `segcam.methods.METHODS`.
        metrics: names; all unless given. One that looks at the mask needs masks where it is named.
        size: pixels of the side that photographs are brought to; their own size, or the network's, unless given.
        resize: how: 'pad' keeps the aspect ratio and leaves the padding out of all scores, 'squash' does not; the
            network's way, or else 'pad', unless given.
        placement: where maps lie on the image, see `Probe`.
        output: what the output means, or which part of it is read, see `Probe`.
        inputs: how the network wants photographs, see `segcam.networks.read_inputs`.
        classes: names of the network's classes, where it does not tell.
        weights: a file of weights, where the network is opened here; several are levels, such as epochs of a training,
            which get the last one's classes and layers, see `Explained.levels`.
        own_pass_images: how many images, evenly spread, methods that take passes of their own explain.
        max_memory: bytes of tensors that a pass may have alive at once: layers that do not fit get passes of their own,
            and methods that run the network many times run fewer samples at once. None for all in one.
        device: where it runs; where it is, unless given.
        progress: whether a bar shows what is done; where there is a terminal or a notebook, unless told.

    Raises:
        InputError: images, masks, classes, methods or metrics cannot be taken; the message names which, and why.
        ProbeError: the network cannot take the images, or no layer gives a map.

    >>> import numpy as np
    >>> photographs = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    >>> explained = explain(net, photographs, methods=["grad_cam"])
    >>> explained.scores[["image", "layer", "method"]].head(2).values.tolist()
    [['image 1', '0', 'grad_cam'], ['image 1', '1', 'grad_cam']]
    """
    files = None if weights is None or isinstance(weights, (str, Path)) else list(weights)
    labels = [] if files is None else level_names(files)
    *earlier, opened = [
        _opened(network if files is None else copy.deepcopy(network), one, classes, output, inputs)
        for one in ([weights] if files is None else files)
    ]
    photographs = collected(images, masks, opened.inputs.channels or RGB)
    masked = photographs[0].mask is not None
    named = metrics_of(metrics, masked)
    asked = methods_of(methods)
    way = resize or opened.inputs.resize or "pad"
    see_sizes(size, way, photographs)
    see_number("own_pass_images", own_pass_images, 0)
    if max_memory is not None:
        see_number("max_memory", max_memory, 1)
    side = size or _side(opened.inputs)
    prepared = [_prepared(one, side, way) for one in photographs]
    parsed = Target.parse(target) if isinstance(target, str) else target

    def run(
        network: OwnNetwork, layers: LayerChoice | Sequence[LayerChoice], most: int | None, known: Explained | None
    ) -> Explained:
        with running(network, prepared[0], device) as where:
            first = Batch.of([prepared[0].sample], where)
            choice = choose_layers(network.model, first.inputs(), layers, most=most, output=network.output)
            names = list(network.classes)
            see_masks(photographs, len(names))
            passes = Passes(network, prepared, masked, parsed, [], choice.layers, placement, device)
            looked = any(method.attention is not None for method in asked)
            found = find_attention(network.model, first.inputs(), choice.layers).places if looked else ()
            differentiated = any(method.attention is not None and method.needs_gradients for method in asked)
            probe = passes.probe(network.model, found, gradients=differentiated)
            wanted = known.passes.classes if known else _classes(class_id, probe, prepared, where, names)
            see_class(parsed, wanted, photographs, names)
            passes = replace(passes, classes=wanted)
            explained = Explained(passes, choice, tuple(asked))
            quiet = None if progress is None else not progress  # None: where there is no terminal
            few = evenly(len(prepared), own_pass_images)
            with tqdm(passes.turns(where), network.name, len(prepared), unit="image", disable=quiet) as turns:
                scorer = Scorer(explained, named, few, max_memory, turns.set_postfix_str)
                explained.scores = pd.DataFrame([row for turn in turns for row in scorer.rows(probe, turn)])
            if explained.scores.empty:
                _refuse(explained)
            _say_what_has_no_pixels(explained.scores, network.name)
        return explained

    last = run(opened, layers, most_layers, None)
    if labels:
        every = [*(run(one, last.choice.layers, None, last) for one in earlier), last]
        for level, one in zip(labels, every, strict=True):
            one.scores.insert(0, "level", level)
        last.scores = pd.concat([one.scores for one in every], ignore_index=True)
        last.levels = dict(zip(labels, every, strict=True))
    return last


def _refuse(explained: Explained) -> NoReturn:
    """Say that no method has a map of any layer, and why.

    Raises:
        InputError: always.
    """
    names = ", ".join(method.name for method in explained.methods)
    why = dict.fromkeys(f"{method}: {reason}" for (_, method), reason in explained.skipped.items())
    own = [method.name for method in explained.methods if method.own_passes]
    reasons = "; ".join(why) or (f"own_pass_images leaves {', '.join(own)} no photograph" if own else "no layer fits")
    raise InputError(f"methods {names} have no map of {explained.network.name} ({reasons}): add another, as 'grad_cam'")


def _say_what_has_no_pixels(scores: pd.DataFrame, network: str) -> None:
    """Say of a class that has no pixel to explain in any image, and so neither maps nor scores."""
    for name, rows in scores.groupby("class", sort=False):
        if not rows["target_pixels"].any():
            warnings.warn(
                f"no image has a pixel of class '{name}' to explain by target '{rows['target'].iloc[0]}' of {network}: "
                "its maps and scores are undefined; target='best_pixel:logit' explains one pixel of each image",
                SegcamWarning,
                stacklevel=4,
            )


def _opened(network: Any, weights: Any, classes: Any, output: Element | None, inputs: Any) -> OwnNetwork:
    if isinstance(network, OwnNetwork):
        if weights is not None or classes is not None or inputs is not None:
            raise InputError("weights, classes and inputs are those of the network that was opened: give them there")
        return network if output is None else replace(network, output=output)
    if not isinstance(network, (nn.Module, str, Path)):
        raise InputError(f"the network is a {type(network).__name__}: a torch.nn.Module, or the name of one, is needed")
    return open_network(network, weights=weights, classes=classes, output=output, inputs=inputs)


def _side(inputs: NetworkInputs) -> int | None:
    """Return the side of the square that photographs are brought to; None where they keep their size."""
    if inputs.size is None:
        return None
    side = max(inputs.size)
    if min(inputs.size) < side:
        warnings.warn(
            f"the network wants {inputs.size[0]} x {inputs.size[1]}, and photographs are brought to squares: it gets "
            f"{side} x {side}; give arrays of its own size and inputs without one to have them as they are",
            SegcamWarning,
            stacklevel=3,
        )
    return side


def _prepared(one: Photograph, side: int | None, resize: Resize) -> Prepared:
    """Bring a photograph to the size in which the network sees it; numbers that it takes as they are stay."""
    mask = np.full(one.size, IGNORE, np.uint8) if one.mask is None else one.mask
    if side is None or one.values.dtype != np.uint8:
        return Prepared(one, Sample(one.name, one.values, mask, channels=one.channels), None)
    image = one.values if one.values.shape[2] != 3 else Image.fromarray(one.values)
    values, labels, box = resized(image, mask, side, resize, filling(one.channels))
    valid = None
    if box is not None:
        top, left, height, width = box
        valid = np.zeros(labels.shape, np.bool_)
        valid[top : top + height, left : left + width] = True
    return Prepared(one, Sample(one.name, values, labels, valid=valid, channels=one.channels), box)


def _classes(
    given: Any, probe: Probe, prepared: Sequence[Prepared], where: torch.device, names: Sequence[str]
) -> list[list[Classes]]:
    """Return the classes that are explained in each image, as indices.

    Raises:
        InputError: one is unknown, or there are more or fewer than images.
    """
    if given is None:
        found = _predicted_most(probe, prepared, where)
        return [list(found) for _ in prepared]
    wanted = class_ids(given, "class_id")
    if not isinstance(wanted, tuple):
        return [[_indices(wanted, names)] for _ in prepared]
    if len(wanted) != len(prepared):
        raise InputError(f"{len(wanted)} classes are given for {len(prepared)} images: give one, or one for each")
    return [[_indices(one, names)] for one in wanted]


def _indices(classes: Classes, names: Sequence[str]) -> Classes:
    found = set()
    for one in members(classes):
        if isinstance(one, str) and one not in names:
            raise unknown("class", one, names)
        index = list(names).index(one) if isinstance(one, str) else one
        if not 0 <= index < len(names):
            raise InputError(f"class {index} does not exist: the network has classes 0 to {len(names) - 1}")
        found.add(index)
    return found.pop() if len(found) == 1 else frozenset(found)


def _predicted_most(probe: Probe, prepared: Sequence[Prepared], where: torch.device) -> list[int]:
    """Return the classes predicted at most pixels; the first, the background, only where no other is."""
    last = Probe(probe.model, probe.layers[-1:], output=probe.meanings.declared, element=probe.meanings.element)
    pixels: dict[int, int] = {}
    for one in prepared:
        capture = last(Batch.of([one.sample], where).inputs(), Target(0, "image"))
        dense = capture.target.dense(capture.logits, capture.size, None)
        counted = (dense.logits > 0).sum((0, 2, 3)) if dense.overlapping else None
        counts = torch.bincount(dense.logits.argmax(1).flatten()) if counted is None else counted
        for index, count in enumerate(counts.tolist()):
            pixels[index] = pixels.get(index, 0) + count
    ranked = sorted((index for index, count in pixels.items() if count), key=lambda index: -pixels[index])
    return [index for index in ranked if index][:CLASSES] or ranked[:1]
