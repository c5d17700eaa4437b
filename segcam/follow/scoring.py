"""Scoring of one step: maps of a few images, measured where they are made, as columns with a row a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from segcam.checks.diagnosis import sign_balance
from segcam.classes import IGNORE, belonging, label
from segcam.errors import InputError, NotApplicableError, out_of_memory
from segcam.follow.scene import Scene
from segcam.maps import layer_maps
from segcam.methods import Method
from segcam.metrics import Metric, measure
from segcam.probe.captures import Capture
from segcam.probe.layers import Layer
from segcam.probe.network.inputs import Inputs, mapped, rows_of
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.scoring.grids import Placement
from segcam.scoring.reference import Scenery

AT_ONCE = 4
"""How many images go through the network at once: with fewer than a training's batch there is room for them."""
SIGN_BALANCE = "sign_balance"
MASK, PREDICTED = "mask", "predicted"
"""What the maps are measured against."""


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """What is drawn of one image.

    Attributes:
        maps: of the method that is drawn, by layer; on the layer's grid.
        placements: where the grids lie.
        predicted: the region that is predicted as the class.
        true: the region that is the class; None without masks.
    """

    maps: Mapping[str, Float[Tensor, "h w"]]
    placements: Mapping[str, Placement | None]
    predicted: Bool[Tensor, "h w"]
    true: Bool[Tensor, "h w"] | None


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """What a step gave.

    Attributes:
        rows: a row a map, by the columns' names.
        pictures: of the first images.
    """

    rows: list[dict[str, Any]]
    pictures: list[Picture]


@dataclass(eq=False, slots=True)
class Scorer:
    """Scores the network as it is, again and again.

    Args:
        probe: of the network and its layers.
        scene: the images.
        target: what is explained.
        methods: gradient methods, and controls; the first gradient method is drawn.
        metrics: of maps.
        inputs: what the network takes beside the images.
        pictures: how many images are drawn.
    """

    probe: Probe
    scene: Scene
    target: Target
    methods: Sequence[Method]
    metrics: Sequence[Metric]
    inputs: Inputs = field(default_factory=dict)
    pictures: int = 4
    _at_once: int = AT_ONCE
    _sceneries: dict[int, Scenery] = field(default_factory=dict)
    _controls: dict[tuple[int, str, str], dict[str, Tensor]] = field(default_factory=dict)

    @property
    def drawn(self) -> str:
        """The name of the method whose maps are drawn: the first that looks at the network."""
        return next(method.name for method in self.methods if method.gradient is not None)

    @property
    def region(self) -> str:
        """What the maps are measured against: 'mask' or 'predicted'."""
        return PREDICTED if self.scene.masks is None else MASK

    def __call__(self) -> Scores:
        """Score all images; where memory does not do, again with fewer at once."""
        while True:
            try:
                return self._score()
            except Exception as error:
                if self._at_once == 1 or not out_of_memory(error):
                    raise
            self._at_once //= 2
            self._forget()

    def check(self) -> Capture:
        """Look at one image, return what is seen, and raise what is wrong with what is asked.

        Raises:
            InputError: no mask holds the class.
            ProbeError: see `Probe.many`.
        """
        capture, masks = self._capture(slice(0, 1)), self.scene.masks
        ids = capture.target.class_id
        one = ids[0] if isinstance(ids, tuple) else ids
        each = isinstance(self.target.class_id, tuple)
        if masks is not None and not each and not bool(belonging(masks, one).any()):
            held = ", ".join(str(int(value)) for value in np.unique(masks.numpy()) if value != IGNORE) or "none"
            raise InputError(
                f"no mask holds class {label(one)}, so that nothing can be measured against it; they hold {held}: name "
                "a class that they hold, or leave masks out"
            )
        return capture

    def _forget(self) -> None:
        self._sceneries.clear()
        self._controls.clear()

    def _score(self) -> Scores:
        rows: list[dict[str, Any]] = []
        pictures: list[Picture] = []
        for first in range(0, len(self.scene), self._at_once):
            some = slice(first, min(first + self._at_once, len(self.scene)))
            capture = self._capture(some)
            predicted = self._predicted(capture, some)
            scenery = self._scenery(capture, predicted, some)
            drawn: list[dict[str, Tensor]] = [{} for _ in scenery.ids]
            keys = self._keys(capture, scenery, predicted)
            for layer in capture.layers:
                of_methods, maps = self._measured(capture, layer, scenery, first)
                grid = tuple(capture.activations[layer.label].shape[2:])
                place = {"layer": layer.label, "rows": grid[0], "columns": grid[1], "placement": self.probe.placement}
                for name, values in of_methods.items():
                    for i, key in enumerate(keys):
                        numbers = {column: float(values_of[i]) for column, values_of in values.items()}
                        rows.append({**key, **place, "method": name, **numbers})
                if maps is not None:
                    for of_image, one in zip(drawn, maps.float().cpu(), strict=True):
                        of_image[layer.label] = one
            for i in range(max(0, min(len(keys), self.pictures - first))):
                true = None if self.scene.masks is None else scenery.foreground[i].cpu()
                pictures.append(Picture(drawn[i], capture.placements, predicted[i].cpu(), true))
        order = {name: n for n, name in enumerate(self.scene.names)}
        return Scores(sorted(rows, key=lambda row: order[row["image"]]), pictures)

    def _capture(self, some: slice) -> Capture:
        scene, device = self.scene, device_of(self.probe.model)
        masks, valid = (None if one is None else one[some].to(device) for one in (scene.masks, scene.valid))
        inputs = on_device(rows_of(self.inputs, some, len(scene)), device)
        images = scene.inputs[some].to(device)
        return self.probe(images, self.target.of(some), masks=masks, valid=valid, inputs=inputs)

    def _predicted(self, capture: Capture, some: slice) -> Bool[Tensor, "b h w"]:
        """Return the region predicted as the class, on the images' pixels."""
        valid = None if self.scene.valid is None else self.scene.valid[some].to(capture.logits.device)
        region = predicted_target(capture.target)
        return region.explain(capture.logits, capture.size, None, valid).chosen

    def _scenery(self, capture: Capture, predicted: Bool[Tensor, "b h w"], some: slice) -> Scenery:
        """Return what maps are measured against: true masks, which stay the same, or the prediction."""
        scene, device = self.scene, capture.logits.device
        known = self._sceneries.get(some.start)
        if known is not None and known.luminance.device == device:
            return known
        valid = None if scene.valid is None else scene.valid[some].to(device)
        if scene.masks is None:
            foreground, background = predicted, ~predicted
            if valid is not None:
                background = background & valid
        else:
            labels = scene.masks[some].to(device)
            foreground = belonging(labels, capture.target.class_id)
            background = ~foreground & (labels != IGNORE)
        scenery = Scenery(scene.luminance[some].to(device), foreground, background, scene.names[some], valid=valid)
        if scene.masks is not None:
            self._forget_other_devices(device)
            self._sceneries[some.start] = scenery
        return scenery

    def _forget_other_devices(self, device: torch.device) -> None:
        if any(scenery.luminance.device != device for scenery in self._sceneries.values()):
            self._forget()

    def _measured(
        self, capture: Capture, layer: Layer, scenery: Scenery, first: int
    ) -> tuple[dict[str, dict[str, Tensor]], Float[Tensor, "b h w"] | None]:
        """Return each method's numbers `(b,)` by column, and the maps `(b, h, w)` of the one that is drawn."""
        rows, columns = capture.activations[layer.label].shape[2:]
        reference = scenery.on((int(rows), int(columns)), capture.placements[layer.label])
        made = self._made(capture, layer)
        drawn = next((maps for name, _, maps in made if name == self.drawn), None)
        known = {
            name: values for (at, label, name), values in self._controls.items() if (at, label) == (first, layer.label)
        }
        for method in self.methods:
            if method.control is not None and method.name not in known:
                maps = method.control(reference)
                made.append((method.name, torch.full_like(maps, torch.nan), maps))
        numbers: dict[str, dict[str, Tensor]] = {}
        if made:
            stack = torch.stack([maps for _, _, maps in made], 1).relu()  # metrics are of what speaks for the class
            values = measure(stack, reference, self.metrics)
            signs = sign_balance(torch.stack([signed for _, signed, _ in made], 1))
            table = {name: column.float().cpu() for name, column in {SIGN_BALANCE: signs, **values}.items()}
            numbers = {name: {k: column[:, n] for k, column in table.items()} for n, (name, _, _) in enumerate(made)}
        for method in self.methods:
            if method.control is not None and method.name in numbers and self.scene.masks is not None:
                self._controls[first, layer.label, method.name] = numbers[method.name]  # as long as masks stay
        return {method.name: one for method in self.methods if (one := {**known, **numbers}.get(method.name))}, drawn

    def _made(self, capture: Capture, layer: Layer) -> list[tuple[str, Tensor, Tensor]]:
        """Return names and maps of gradient methods, before ReLU and after; without those that have none."""
        methods = [method for method in self.methods if method.gradient is not None]
        try:
            signed, maps = layer_maps(capture, layer, methods)
            return [(method.name, signed[:, n], maps[:, n]) for n, method in enumerate(methods)]
        except NotApplicableError:
            made: list[tuple[str, Tensor, Tensor]] = []
            for method in methods:
                with suppress(NotApplicableError):
                    signed, maps = layer_maps(capture, layer, [method])
                    made.append((method.name, signed[:, 0], maps[:, 0]))
            return made

    def _keys(self, capture: Capture, scenery: Scenery, predicted: Bool[Tensor, "b h w"]) -> list[dict[str, Any]]:
        """Return what all rows of an image have in common."""
        area = scenery.on(scenery.size).area
        valid = scenery.foreground | scenery.background
        shares = (predicted & valid).flatten(1).sum(1) / valid.flatten(1).sum(1)
        overlaps = torch.full_like(area, torch.nan)
        if self.scene.masks is not None:
            both = (predicted & scenery.foreground).flatten(1).sum(1)
            overlaps = both / (predicted & valid | scenery.foreground).flatten(1).sum(1)
        return [
            {
                "image": name,
                "target": capture.target.name,
                "region": self.region,
                "area": float(area[i]),
                "predicted_share": float(shares[i]),
                "class_iou": float(overlaps[i]),
                "target_pixels": int(capture.target_pixels[i]),
                "target_predicted": bool(capture.target_predicted[i]),
                "target_score": float(capture.scores[i]),
            }
            for i, name in enumerate(scenery.ids)
        ]


def predicted_target(target: Target) -> Target:
    """Return the target of all pixels that are predicted as the class, on the input's pixels."""
    return Target(
        target.class_id, "predicted", output=target.output, argument=target.argument, placement=target.placement
    )


def on_device(inputs: Inputs, device: torch.device) -> Inputs:
    """Return what the network takes beside the images, where its weights are."""

    def moved(value: Any) -> Any:
        return value.to(device) if isinstance(value, Tensor) else mapped(value, moved)

    return {name: moved(value) for name, value in inputs.items()}


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are; the processor for one without."""
    return next((tensor.device for tensor in (*network.parameters(), *network.buffers())), torch.device("cpu"))
