"""The dry run: how a network and its photographs are read, and one photograph with its prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.patches import Patch

from bench.networks.given import Given
from bench.networks.predictions import PredictedMasks
from bench.output.terminal import counted
from bench.planning.data import Data, open_data
from bench.planning.profile import Profile
from bench.planning.views import Pixels, View, pixels_of, shown_in, views
from segcam.channels import RGB
from segcam.errors import InputError
from segcam.networks import OwnNetwork
from segcam.probe.attention import AttentionPlace
from segcam.probe.choice import Choice
from segcam.probe.network.elements import OVERLAPPING
from segcam.probe.placement import Placed
from segcam.samples import IGNORE, Batch, Sample

LOOKED_AT = 8
"""Photographs of which the shares of the predicted classes are told."""
REASONS = 3
"""Modules that are named with each reason for which they give no map."""
Labels = npt.NDArray[np.uint8]


def lines(read: Profile, out: Path | None, device: torch.device) -> Iterator[str]:
    """Yield what a dry run tells, and draw one photograph with its prediction.

    Args:
        read: the profile, of one network.
        out: folder of the picture; that of the run by default.
        device: where the network runs.
    """
    (name,) = read.networks
    data = open_data(read, root=None, download=False)
    given = Given(read, data, device)
    cell = given.cells[0]
    network, looked = given.opened(name, 1), given.looked(name)
    yield from _of_network(name, network)
    yield from _of_inputs(read, data, network)
    rows, columns = looked.grid
    yield f"output: {looked.channels} x {rows} x {columns} (classes, rows, columns), read as {looked.output}"
    predictions = PredictedMasks(data.test, network.model, given.request(cell, read.score))
    count = min(LOOKED_AT, len(data.test))
    chosen = sorted({round(i * (len(data.test) - 1) / max(1, count - 1)) for i in range(count)})
    info = data.opened.info
    pixels = predictions.pixels(len(info.classes), chosen)
    labels = {i: predictions[i].mask for i in chosen}
    yield from _of_classes(info.classes, pixels, sum(int((one != IGNORE).sum()) for one in labels.values()))
    if info.masked:
        pixels = pixels_of([data.test[i] for i in chosen], len(info.classes))
        yield f"masks: {', '.join(_shares(info.classes, pixels, int(pixels.sum()))) or 'ignored alone'}"
    explained = views(read, info.classes, lambda: pixels)[0]
    yield from _of_views(explained, pixels, masked=info.masked)
    requests = [given.request(cell, view.of(read).score) for view in explained]  # refuses what cannot be explained
    if looked.output in OVERLAPPING:  # the picture is of the class that is explained
        predictions = PredictedMasks(data.test, network.model, requests[0])
        labels = {i: predictions[i].mask for i in chosen}
    placed = given.request(cell, read.score).probe(network.model).placements(Batch.of([data.test[0]], device).inputs())
    yield from _of_layers(looked.choice, looked.places, placed)
    folder = out or Path("runs") / read.name
    picture = folder.with_name(f"{folder.name}-check.png")  # beside it: a run's folder holds its own files alone
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = f"cannot write to {picture.parent}: {error.strerror}"
        raise InputError(f"{where}; choose another folder with --out") from error
    shown = max(chosen, key=lambda i: int((labels[i][labels[i] != IGNORE] > 0).sum()))
    figure = draw(data.test[shown], labels[shown], data.opened.info.classes, masked=data.opened.info.masked)
    figure.savefig(picture, dpi=150)
    yield f"drew photograph '{data.test[shown].id}' with its prediction: {picture}"


def _of_network(name: str, network: OwnNetwork) -> Iterator[str]:
    facts = network.facts or {}
    weights = f"weights sha256 {network.sha256[:12]}" if network.sha256 else "no file of weights"
    yield f"{name}: {network.source}, {facts.get('parameters', 0):,} parameters, {weights}"


def _of_inputs(read: Profile, data: Data, network: OwnNetwork) -> Iterator[str]:
    sample, inputs = data.test[0], network.inputs
    rows, columns = sample.mask.shape
    channels = inputs.channels or sample.channels
    mean, std = (", ".join(f"{v:.3g}" for v in values) for values in (channels.mean, channels.std))
    order = "BGR" if inputs.bgr else "RGB" if len(channels) == 3 else counted(len(channels), "channel")
    whose = "ImageNet's" if (channels.mean, channels.std) == (RGB.mean, RGB.std) else "classes.toml's"
    padded = f", padded to multiples of {inputs.multiple}" if inputs.multiple > 1 else ""
    photographs = counted(len(data.test), "photograph")
    yield (
        f"input: {photographs}, brought to {rows} x {columns} ({read.data.resize}){padded}; {order}, "
        f"mean {mean}, std {std}" + ("" if inputs.channels else f" ({whose}: the network does not say)")
    )
    if not data.opened.info.masked:
        yield "masks: none; what the network predicts stands for them"


def _shares(classes: Sequence[str], pixels: Pixels, total: int) -> list[str]:
    shares = pixels.sum(0) / max(1, total)
    return [f"{i} {classes[i]} {100 * shares[i]:.1f} %" for i in np.argsort(-shares, kind="stable") if shares[i] > 0]


def _of_views(explained: Sequence[View], pixels: Pixels, *, masked: bool) -> Iterator[str]:
    """Yield which classes would be explained, and in how many of some photographs they are."""
    where = "mask" if masked else "prediction"
    for view in explained:
        shown = shown_in(pixels, view.explained)
        yield f"explained: {view.label}, in {shown} of {counted(len(pixels), where)}"
        if not shown and masked:
            yield "  what else the masks' values mean is said by classes.toml beside them, see docs/data.md"


def _of_classes(classes: Sequence[str], pixels: Pixels, total: int) -> Iterator[str]:
    found = _shares(classes, pixels, total)
    yield f"classes: {len(classes)}; predicted in {counted(len(pixels), 'photograph')}: {', '.join(found) or 'none'}"
    if len(found) == 1:
        yield "one class is predicted everywhere: are these the right weights, mean and std?"


def _of_layers(choice: Choice, places: Sequence[AttentionPlace], placed: Mapping[str, Placed]) -> Iterator[str]:
    yield f"layers: {len(choice.layers)} are probed"
    width = max(len(layer.label) for layer in choice.layers)
    for layer in choice.layers:
        place = placed.get(layer.label)
        lies = "" if place is None else f"offset {place.offset[0]:+.1f}, {place.offset[1]:+.1f} px"
        sure = "" if place is None or (place.agreed and place.exact) else " (not on all ways)"
        yield f"  {layer.label:{width}}  stride {layer.stride:3d}  {layer.role:8} {lies}{sure}"
    if places:
        yield f"  attention is read of {len(places)} blocks"
    if choice.thinned:
        yield f"  {len(choice.thinned)} more give a map: --most-layers all takes them, --layers names some"
    if choice.repeated:
        yield f"  {len(choice.repeated)} hand on what another gave"
    reasons: dict[str, list[str]] = defaultdict(list)
    for module, reason in choice.left_out.items():
        reasons[reason].append(module)
    for reason, modules in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(modules) - REASONS} more" if len(modules) > REASONS else ""
        yield f"  no map: {', '.join(modules[:REASONS])}{more}: {reason}"


def draw(sample: Sample, predicted: Labels, classes: Sequence[str], *, masked: bool) -> matplotlib.figure.Figure:
    """Draw a photograph, the classes that are predicted in it, and its mask where there is one."""
    pictures = [("photograph", None), ("prediction", predicted), *([("mask", sample.mask)] if masked else [])]
    photograph = sample.displayed()
    shown = sorted({int(c) for _, labels in pictures if labels is not None for c in np.unique(labels)} - {IGNORE})
    colours = _colours(shown)
    figure = matplotlib.figure.Figure(figsize=(3 * len(pictures), 3.4), layout="constrained")
    for axes, (title, labels) in zip(np.atleast_1d(figure.subplots(1, len(pictures))), pictures, strict=True):
        axes.set(title=title, xticks=[], yticks=[])
        axes.imshow(photograph if labels is None else _over(photograph, labels, colours))
    handles = [Patch(color=colours[c], label=classes[c]) for c in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, max(1, len(handles))), frameon=False)
    return figure


def _colours(shown: Sequence[int]) -> dict[int, tuple[float, float, float]]:
    """Return a colour for each class; the background, class 0, stays as the photograph is."""
    palette = matplotlib.colormaps["tab10" if len(shown) <= 10 else "tab20"]
    colours = {c: tuple(map(float, palette(i % palette.N)[:3])) for i, c in enumerate(c for c in shown if c)}
    return {c: (0.6, 0.6, 0.6) if c == 0 else colours[c] for c in shown}  # type: ignore[misc]


def _over(
    photograph: npt.NDArray[np.uint8], labels: Labels, colours: Mapping[int, tuple[float, float, float]]
) -> Labels:
    grey = photograph.astype(float).mean(2, keepdims=True).repeat(3, 2) * 0.8 + 40
    for c, colour in colours.items():
        if c:
            grey[labels == c] = 0.45 * grey[labels == c] + 0.55 * 255 * np.array(colour)
    over: Labels = grey.clip(0, 255).astype(np.uint8)
    return over
