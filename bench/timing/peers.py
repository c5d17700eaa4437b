"""Grad-CAM of all layers by segcam and by the tools in use today, each called as its documentation calls it.

Everything between the prepared images and the maps of all layers is timed: hooks, passes, maps. All networks have their
ReLU out of place, since two of the tools read overwritten activations otherwise.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from bench.timing.agreement import Agreement, agreement
from bench.timing.cases import Case, Ready, ready
from bench.timing.compare import Comparison, Sides, Timed
from bench.training.optimise import precision
from segcam._compat import mend_torchvision
from segcam.methods.grad_cam import grad_cam
from segcam.probe.probe import Precision, Probe

Cams = list[Tensor]
"""A map `(b, h, w)` a layer."""

Output = Literal["layer", "input", "mean", "none"]
"""Raw maps after ReLU on the layers' grids; scaled to 0..1 and upsampled to the input; the mean of these; no maps."""

INSTALL = "pip install .[peers]"
FLOOR = "not the same result: the floor, were maps to cost nothing"
AVERAGED = "not the same result: their maps are averaged over the layers"


@dataclass(frozen=True, slots=True)
class Side:
    """One way to the maps of all layers.

    Attributes:
        name: the name in benchmarks' ids and tables.
        make: `ready case -> what is timed`.
        output: what it gives.
        package: the module that it needs; '' for what is always there.
        slow: whether it calls the network once a layer.
        exact: whether it computes in float32.
    """

    name: str
    make: Callable[[Ready], Callable[[], Cams]]
    output: Output = "layer"
    package: str = ""
    slow: bool = False
    exact: bool = True

    def unable(self, device: torch.device) -> str:
        """Return why it cannot run; '' where it can."""
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"not installed: {INSTALL}"
        if not self.exact and precision("auto", device) != "bf16":
            return "no bf16 instructions: on this processor bf16 is emulated"
        return ""

    @property
    def scope(self) -> str:
        """What is timed."""
        if self.output == "none":
            return "forward, backward to the first layer"
        after = {"layer": "maps", "input": "maps, scaled and upsampled", "mean": "maps, scaled, upsampled and averaged"}
        each = "for each layer: " if self.slow else ""
        return f"{each}hooks, forward, backward, {after[self.output]}"


def segcam(*, channels_last: bool = False, precision: Precision = "fp32", output: Output = "layer") -> Any:
    """Return the way that segcam takes: one pass, on the network laid out as asked for."""

    def make(case: Ready) -> Callable[[], Cams]:
        model = case.channels_last if channels_last else case.model

        def work() -> Cams:
            probe = Probe(model, case.layers, channels_last=channels_last, precision=precision)
            capture = probe(case.images, case.target)
            maps = [capture.maps(grad_cam, layer) for layer in probe.layers]
            return maps if output == "layer" else [scaled(grid, capture.size) for grid in maps]

        return work

    return make


def bare(precision: Precision = "fp32") -> Any:
    """Return the floor: a forward pass, and one backward to the first layer's output, channels last; no map is made."""

    def make(case: Ready) -> Callable[[], Cams]:
        model, images = case.channels_last, case.images.contiguous(memory_format=torch.channels_last)
        first, half = model.get_submodule(next(iter(case.modules))), precision == "bf16"

        def work() -> Cams:
            starts: list[Tensor] = []

            def start(_: nn.Module, __: object, output: Tensor) -> Tensor:
                starts.append(output.detach().requires_grad_())
                return starts[0]

            with first.register_forward_hook(start), torch.autocast(images.device.type, torch.bfloat16, enabled=half):
                scores = case.scores(model(images))
            torch.autograd.grad(scores.float().sum(), starts)
            return []

        return work

    return make


def scaled(maps: Float[Tensor, "b h w"], size: tuple[int, int]) -> Float[Tensor, "b h w"]:
    """Scale each map to 0..1, upsample it and scale it again, as pytorch-grad-cam always does, into main memory."""
    large = F.interpolate(_to_one(maps)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return _to_one(large).cpu()


def _to_one(maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    low = maps.amin((1, 2), keepdim=True)
    return (maps - low) / (maps.amax((1, 2), keepdim=True) - low + 1e-7)


def torch_cam(*, channels_last: bool = False) -> Any:
    """Return the way of torch-cam: one extractor for all layers, maps not normalised."""

    def make(case: Ready) -> Callable[[], Cams]:
        extractor = load("torchcam.methods").GradCAM
        model, images = case.model, case.images
        if channels_last:
            model, images = case.channels_last, images.contiguous(memory_format=torch.channels_last)

        def work() -> Cams:
            with extractor(model, case.modules) as extract:
                scores = case.scores(model(images))[:, None]
                maps: Cams = extract(class_idx=0, scores=scores, normalized=False)
                return maps

        return work

    return make


def captum_by_layer(case: Ready) -> Callable[[], Cams]:
    """Return the way of captum: a call a layer, with ReLU, which is not its default."""
    attribution = load("captum.attr").LayerGradCam

    def score(images: Tensor) -> Tensor:
        return case.scores(case.model(images))

    def work() -> Cams:
        return [
            attribution(score, case.model.get_submodule(path))
            .attribute(case.images, relu_attributions=True)[:, 0]
            .detach()
            for path in case.modules
        ]

    return work


def grad_cam_by_layer(case: Ready) -> Callable[[], Cams]:
    """Return the way of pytorch-grad-cam: a call a layer, each scaled to 0..1 and upsampled."""

    def work() -> Cams:
        return [_grad_cam(case, [case.model.get_submodule(path)]) for path in case.modules]

    return work


def grad_cam_at_once(case: Ready) -> Callable[[], Cams]:
    """Return pytorch-grad-cam's way with all layers in one call, which gives their mean alone."""

    def work() -> Cams:
        return [_grad_cam(case, [case.model.get_submodule(path) for path in case.modules])]

    return work


def _grad_cam(case: Ready, layers: list[nn.Module]) -> Tensor:
    def target(logits: Tensor) -> Tensor:
        return case.scores(logits[None])[0]

    with load("pytorch_grad_cam").GradCAM(model=case.model, target_layers=layers) as extract:
        maps = extract(input_tensor=case.images, targets=[target] * len(case.images))
    return torch.from_numpy(np.asarray(maps))


def load(name: str) -> Any:
    """Import another tool."""
    mend_torchvision()  # which other tools import
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' imports
        return importlib.import_module(name)


SIDES = {
    side.name: side
    for side in (
        Side("segcam", segcam()),
        Side("segcam, channels last", segcam(channels_last=True)),
        Side("segcam, channels last, bf16", segcam(channels_last=True, precision="bf16"), exact=False),
        Side("segcam, channels last, upsampled", segcam(channels_last=True, output="input"), "input"),
        Side("the bare passes", bare(), "none"),
        Side("the bare passes, bf16", bare("bf16"), "none", exact=False),
        Side("torch-cam", torch_cam(), package="torchcam"),
        Side("torch-cam, channels last", torch_cam(channels_last=True), package="torchcam"),
        Side("captum, a call a layer", captum_by_layer, package="captum", slow=True),
        Side("pytorch-grad-cam, a call a layer", grad_cam_by_layer, "input", "pytorch_grad_cam", slow=True),
        Side("pytorch-grad-cam, all layers averaged", grad_cam_at_once, "mean", "pytorch_grad_cam"),
    )
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides that are held against each other.

    Attributes:
        ours: a side of segcam, or the bare passes.
        theirs: a side of another tool.
        bar: the largest ratio of times that is wanted; None where there is none.
    """

    ours: str
    theirs: str
    bar: float | None = None

    @property
    def same(self) -> bool:
        """Whether both give the same result."""
        return SIDES[self.ours].output == SIDES[self.theirs].output


PAIRS = (
    Pair("segcam", "torch-cam"),
    Pair("segcam, channels last", "torch-cam", 0.85),
    Pair("segcam, channels last", "torch-cam, channels last"),
    Pair("segcam, channels last, bf16", "torch-cam", 0.5),
    Pair("the bare passes", "torch-cam"),
    Pair("the bare passes, bf16", "torch-cam"),
    Pair("segcam, channels last", "captum, a call a layer", 0.1),
    Pair("segcam, channels last, upsampled", "pytorch-grad-cam, a call a layer"),
    Pair("segcam, channels last, upsampled", "pytorch-grad-cam, all layers averaged"),
)


def comparisons(cases: Sequence[Case], device: torch.device) -> list[Comparison]:
    """Return a comparison a case and pair; cases without slow rounds leave slow tools out."""
    return [
        comparison(case, pair, device)
        for case in cases
        for pair in PAIRS
        if case.slow_rounds or not SIDES[pair.theirs].slow
    ]


def comparison(case: Case, pair: Pair, device: torch.device) -> Comparison:
    """Compare a pair of sides on one case."""
    ours, theirs = SIDES[pair.ours], SIDES[pair.theirs]

    def prepare() -> Sides:
        prepared = ready(case, device)
        first, second = (Timed(side.make(prepared), device) for side in (ours, theirs))
        return Sides(
            first, second, (lambda: compare_maps(pair, first.result, second.result, prepared)) if pair.same else None
        )

    return Comparison(
        case=case.name,
        label=case.label,
        ours=pair.ours,
        theirs=pair.theirs,
        scope=ours.scope if ours.scope == theirs.scope else f"{ours.scope}; against {theirs.scope}",
        prepare=prepare,
        rounds=case.slow_rounds if theirs.slow else case.rounds,
        bar=pair.bar,
        same=pair.same,
        note="" if pair.same else FLOOR if ours.output == "none" else AVERAGED,
        unable=ours.unable(device) or theirs.unable(device),
    )


def compare_maps(pair: Pair, ours: Cams, theirs: Cams, prepared: Ready) -> Agreement:
    """Compare the maps of a pair, and tell what rounding alone does to theirs where both compute in float32."""
    if not SIDES[pair.ours].exact:
        return agreement(ours, theirs)
    exact = in_float64(prepared)
    truth = exact["segcam"]
    if SIDES[pair.theirs].output == "input":
        size = (int(theirs[0].shape[1]), int(theirs[0].shape[2]))
        truth = [scaled(maps, size) for maps in truth]
    other = exact.get("torch-cam")
    return agreement(
        ours, theirs, agreement(theirs, truth).worst, None if other is None else agreement(exact["segcam"], other).worst
    )


@lru_cache(maxsize=1)
def in_float64(prepared: Ready) -> dict[str, Cams]:
    """Return the maps of segcam, and of torch-cam where it is installed, computed in float64."""
    double = prepared.double()
    names = [name for name in ("segcam", "torch-cam") if not SIDES[name].unable(double.device)]
    return {name: SIDES[name].make(double)() for name in names}
