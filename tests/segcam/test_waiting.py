"""How often scoring waits for a device: never once a layer or map, for each wait leaves a GPU idle.

A machine without a GPU is told to do as with one: nothing is at hand, and operations that would wait are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.measurements.scores import Scorer
from bench.planning.request import Request
from bench.planning.sections import Score
from segcam.methods import eigen
from segcam.methods.eigen import eigen_cam, eigen_grad_cam
from segcam.methods.material import pair as pairs
from segcam.methods.material.pair import Pair
from segcam.models import create
from segcam.probe.gradients import rounding
from segcam.samples import Sample

WAITING = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_unique2")
METHODS = (
    *("grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam", "layer_cam", "element_wise", "seg_xres_cam"),
    *("eigen_cam", "eigen_grad_cam", "uniform", "random", "gaussian", "sobel", "activation", "mask_oracle"),
)


class Waits(TorchDispatchMode):
    """Counts the operations whose results depend on values, which a GPU's queue has to come to."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func).split(".")[1]
        places = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(isinstance(one, Tensor) and one.dtype == torch.bool for one in places)
        if name in WAITING or by_mask:
            self.counted[name] += 1
        return func(*args, **(kwargs or {}))


class Drawn:
    """Two images with a square."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        mask = np.pad(np.ones((16, 16), np.uint8), 8)
        return Sample(id=f"image {index}", image=rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), mask=mask)


def waits(layers: int) -> int:
    """Return how often scoring waits, with the first layers of a U-Net alone."""
    model = create("unet", 2, {"width": 2}).eval()
    settings = Score(methods=METHODS)
    request = Request.of(settings, "unet", model)
    request = Request.of_layers(settings, request.layers[:layers])
    scorer = Scorer(model, request, settings, ("background", "pet"), "ignore")
    scorer.score(Drawn(), range(2))  # what is asked once a network
    with Waits() as counting:
        scorer.score(Drawn(), range(2))
    return counting.counted.total()


def nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (eigen, pairs, rounding):
        monkeypatch.setattr(module, "at_hand", lambda _: False)


def test_layers_cost_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_at_hand(monkeypatch)
    assert waits(10) == waits(18) > 0, "the decoder's grids are those of the encoder: what waits does so once a grid"


@pytest.mark.parametrize("shape", [(3, 5, 6, 7), (2, 40, 4, 4), (1, 3, 1, 1)])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e25])
def test_what_asks_nothing_is_the_same(shape: tuple[int, ...], scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(7)
    activations = torch.randn(shape, generator=generator) * scale
    activations[0] = 0 if shape[0] > 2 else activations[0]  # a blank sample
    gradients = torch.randn(shape, generator=generator)

    def found() -> list[Tensor]:
        pair = Pair(activations, gradients)
        norms = pair.activation_norms
        return [norms, *pair.gram, eigen_cam(pair), eigen_grad_cam(Pair(activations, gradients))]

    asked = found()
    nothing_at_hand(monkeypatch)
    for one, other in zip(asked, found(), strict=True):
        top = one.abs().max()
        torch.testing.assert_close(other / top.clamp_min(1e-38), one / top.clamp_min(1e-38), atol=2e-5, rtol=1e-4)
