"""What works for which network, found out by probing every module of small ones: the table of docs/networks.md.

`python -m tests.segcam.foreign.table` prints it.
"""

from __future__ import annotations

import copy
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segcam import Probe, Target, grad_cam
from segcam.networks.queries import PromptedMask, adapted
from tests.segcam.foreign import test_libraries as libraries
from tests.segcam.foreign import test_networks as others
from tests.segcam.networks.queries import small
from tests.small_networks import seeded

HEADER = ("Network", "Read as", "Modules with a map", "Left out, and why")

REASONS: Mapping[str, str] = {
    r"did not run|gave [A-Z]\w+$|gave (tuple|list|dict)$": "",  # containers, and what gives no tensor
    r"those of \d+ grids": "tokens of several grids, unless `Layer(..., grid=...)` says which",
    r"lie nowhere on the image": "queries and prompts",
    r"holds all cells of a grid": "tokens for each prompt",
    r"runs \d+ times": "modules that run several times, unless `call=` says which",
    r"folded into the batch": "windows in the batch",
    r"regroups cells": "cells regrouped by patches",
    r"attention's heads": "attention matrices",
    r"cells do not lie row by row": "windows and other orders of cells",
    r"of no image|features of the": "tables of biases and positions, and what else is of no image",
    r"does not lead to the logits": "what leads to no logits",
    r"gave \([0-9, ]+\)$|gave torch": "other numbers than features",
    r"of another number of images|pass images of another size": "what the image's size leaves open",
    r"can be read|fit no grid|does not cover|nothing in the network shows|lies in windows": (
        "what fits no grid for certain"
    ),
}
"""Why a module is left out, as `Capture.skipped` says it, and in the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """A network of the table.

    Attributes:
        name: what the table calls it.
        build: gives the network, and images that it takes.
        reading: how its output is read.
        output: what its output means, where that needs be said.
        inputs: what it takes beside the images.
    """

    name: str
    build: Callable[[], tuple[nn.Module, Tensor]]
    reading: str = "logits"
    output: Any = None
    inputs: Mapping[str, Any] | None = None


def _library(name: str, key: str) -> Row:
    return Row(name, lambda: (libraries.network(key), libraries.images(key)))


def _queried(name: str, key: str) -> Row:
    return Row(name, lambda: (_dense(key), small.images(key)), "score of each class, from its queries")


def _dense(key: str) -> nn.Module:
    dense = adapted(small.network(key))
    assert dense is not None
    return dense


def _prompted(name: str, key: str) -> Row:
    points = torch.full((2, 1, 1, 2), 50.0).double()
    build = lambda: (PromptedMask(small.network(key)), small.images(key))  # noqa: E731
    return Row(name, build, "one mask of a prompt", inputs={"input_points": points})


def _smp(name: str) -> Row:
    def build() -> tuple[nn.Module, Tensor]:
        library = importlib.import_module("segmentation_models_pytorch")
        make = lambda: getattr(library, name)("resnet18", encoder_weights=None, classes=3)  # noqa: E731
        return seeded(make, 3), libraries.images()

    return Row(f"smp {name}", build)


def _unet(norm: Callable[[int], nn.Module], end: nn.Module | None = None) -> nn.Module:
    return seeded(lambda: others.Unet(norm, end=end), 3)


def _one_logit() -> nn.Module:
    model = _unet(nn.BatchNorm2d)
    model.head = seeded(lambda: nn.Conv2d(6, 1, 1), 3)
    return model


def _compiled() -> nn.Module:
    few = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))  # noqa: E731
    compiled = torch.compile(seeded(few), backend="eager")
    assert isinstance(compiled, nn.Module)
    return compiled


def _half() -> nn.Module:
    return copy.deepcopy(libraries.network("segformer")).half()


ROWS: tuple[Row, ...] = (
    _library("torchvision deeplabv3_mobilenet_v3_large", "deeplabv3"),
    _library("torchvision lraspp_mobilenet_v3_large", "lraspp"),
    _library("torchvision fcn_resnet50", "fcn"),
    _smp("Unet"),
    _smp("DeepLabV3Plus"),
    _smp("Segformer"),
    _smp("UPerNet"),
    _library("transformers SegFormer", "segformer"),
    _library("transformers UPerNet (Swin)", "upernet"),
    _library("transformers DPT", "dpt"),
    _library("transformers BEiT", "beit"),
    _library("transformers MobileViTV2", "mobilevitv2"),
    _queried("transformers Mask2Former", "mask2former"),
    _queried("transformers MaskFormer", "maskformer"),
    _queried("transformers OneFormer", "oneformer"),
    _queried("transformers EoMT", "eomt"),
    _queried("transformers EoMT (DINOv3)", "eomt dinov3"),
    _prompted("transformers SAM", "sam"),
    _prompted("transformers SAM 2", "sam 2"),
    Row("a network of one logit", lambda: (_one_logit(), others.images()), "class 1 against 0"),
    Row(
        "a network that ends in a sigmoid",
        lambda: (_unet(nn.BatchNorm2d, nn.Sigmoid()), others.images()),
        "what went into the sigmoid",
        "multilabel-probabilities",
    ),
    Row("a network with InstanceNorm", lambda: (_unet(lambda n: nn.InstanceNorm2d(n, affine=True)), others.images())),
    Row("a network under `torch.compile`", lambda: (_compiled(), others.images())),
    Row("a network in float16 (SegFormer)", lambda: (_half(), libraries.images().float())),
)


def line(row: Row) -> str:
    """Probe every module of a row's network, and return the row as Markdown."""
    model, batch = row.build()
    paths = [path for path, _ in model.named_modules() if path]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        capture = Probe(model, "*", output=row.output or (None if row.reading != "logits" else "logits"))(
            batch, Target(1, "image"), inputs=row.inputs
        )
        blank = sum(bool(capture.maps(grad_cam, label).isnan().all()) for label in capture.activations)
    assert {*capture.activations, *capture.skipped} == set(paths)
    why = _why(capture.skipped.values())
    if blank:
        why.append("Grad-CAM where mean gradients cancel: before norms over positions, and keys of attention")
    maps = len(capture.activations) - blank
    return f"| {row.name} | {row.reading} | {maps} of {len(paths)} | {'; '.join(why) or 'containers alone'} |"


def _why(reasons: Any) -> list[str]:
    """Return why modules were left out, each reason once."""
    found = set()
    for reason in reasons:
        kind = next((kind for pattern, kind in REASONS.items() if re.search(pattern, reason)), None)
        if kind is None:
            raise AssertionError(f"a reason of no kind: {reason}")
        found.add(kind)
    return [kind for kind in dict.fromkeys(REASONS.values()) if kind and kind in found]


def available(row: Row) -> bool:
    """Tell whether the library of a row is there."""
    return not row.name.startswith("smp") or importlib.util.find_spec("segmentation_models_pytorch") is not None


def lines() -> Iterator[str]:
    """Yield the table's lines."""
    yield f"| {' | '.join(HEADER)} |"
    yield "|---" * len(HEADER) + "|"
    for row in ROWS:
        if available(row):
            yield line(row)


if __name__ == "__main__":
    for text in lines():
        print(text)  # noqa: T201
