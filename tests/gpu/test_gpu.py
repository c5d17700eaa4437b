"""What a GPU must do as the processor does: maps, scores, training, a whole run.

`pytest -m gpu` runs them where torch finds a GPU; SEGCAM_GPU=cpu rehearses them without one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from analyses import Results
from bench.measurements.scores import Scorer
from bench.planning.request import Request
from bench.planning.sections import Score, Train
from bench.training.trainer import Trainer, TrainJob
from segcam.datasets import DATASETS, DatasetOptions
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.models import create
from segcam.probe.captures import Capture
from segcam.samples import Batch, Images
from tests.bench.harness import TINY, finish

pytestmark = pytest.mark.gpu

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"width": 8}),
    "segformer": ("segformer", {}),
    "segformer_position": ("segformer_position", {}),
    "timm_unet": ("timm_unet", {"encoder": "resnet18"}),
    "vit": ("vit", {}),
}
SHARED = tuple(method.name for method in METHODS if method.kind in ("gradient", "control", "attention"))
CLOSE = 1e-4
"""Of a map's maximum: what another order of sums makes of it."""
HALF = 0.2
"""Of a map's maximum: the median error, over maps, of eight bits, in networks without training, where much cancels."""


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    """The GPU, with products in full float32."""
    asked = os.environ.get("SEGCAM_GPU", "cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU; SEGCAM_GPU=cpu rehearses these tests on the processor")
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield torch.device(asked)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def images() -> Images:
    return DATASETS.get("scenes").open(DatasetOptions(size=64, counts=(16, 4, 4))).splits["test"]


def network(name: str) -> nn.Module:
    """Return a network whose normalisations do something."""
    torch.manual_seed(0)
    model = create(NETWORKS[name][0], 2, NETWORKS[name][1]).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model


def captured(
    name: str,
    where: torch.device,
    images: Images,
    precision: str = "fp32",
    targets: Sequence[str] = ("best_pixel:logit", "predicted:margin"),
) -> tuple[Request, Sequence[Capture]]:
    model = network(name).to(where)
    settings = Score(methods=SHARED, targets=tuple(targets))
    request = Request.of(settings, NETWORKS[name][0], model)
    batch = Batch.of([images[i] for i in range(len(images))], where)
    probe = request.probe(model, precision=precision)  # type: ignore[arg-type]
    return request, probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)


def maps(request: Request, captures: Sequence[Capture]) -> dict[str, Tensor]:
    """Return the gradient methods' maps of all layers and targets, on the processor."""
    methods = [method for method in request.methods if method.gradient is not None]
    found = {}
    for capture in captures:
        for layer in request.layers:
            try:
                _, stacked = layer_maps(capture, layer, methods)
            except Exception:
                continue
            for method, one in zip(methods, stacked.cpu().unbind(1), strict=True):
                found[f"{method.name} of {layer.label} for {capture.target.name}"] = one
    assert found
    return found


def errors(expected: dict[str, Tensor], found: dict[str, Tensor]) -> pd.Series:
    """Return by map the largest difference, over the map's maximum."""
    off = {}
    for key, one in expected.items():
        top = one.abs().amax((1, 2)).clamp_min(1e-30)
        assert torch.equal(one.isnan(), found[key].isnan()), key
        off[key] = float(((found[key] - one).abs().amax((1, 2)) / top).nan_to_num().max())
    return pd.Series(off)


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_are_the_processors(name: str, device: torch.device, images: Images) -> None:
    expected = maps(*captured(name, torch.device("cpu"), images))
    off = errors(expected, maps(*captured(name, device, images)))
    sure = off[~off.index.str.contains("eigen")]  # principal directions that nearly tie may turn
    assert sure.max() <= CLOSE, sure.sort_values().tail(5).to_dict()
    assert off.quantile(0.9) <= CLOSE, off.sort_values().tail(5).to_dict()


@pytest.mark.parametrize("name", ["unet", "segformer"])
def test_bf16_is_near(name: str, device: torch.device, images: Images, record_property: Callable[..., None]) -> None:
    truth = ["truth:logit"]  # rounding may choose another best pixel
    expected = maps(*captured(name, torch.device("cpu"), images, targets=truth))
    off = errors(expected, maps(*captured(name, device, images, "bf16", truth)))
    plain = off[off.index.str.startswith("grad_cam of")]
    record_property("median error of Grad-CAM in bf16, of the maximum", round(float(plain.median()), 4))
    assert plain.median() <= HALF, plain.sort_values().to_dict()


@pytest.mark.parametrize("name", ["unet", "segformer"])
def test_scores_are_the_processors(name: str, device: torch.device, images: Images) -> None:
    model = network(name)
    settings = Score(methods=SHARED, targets=("best_pixel:logit",))
    request = Request.of(settings, NETWORKS[name][0], model)

    def scored(where: torch.device) -> dict[str, pd.DataFrame]:
        scorer = Scorer(model.to(where), request, settings, ("background", "pet"), "ignore")
        return {key: pd.DataFrame(one) for key, one in scorer.score(images, range(len(images))).items()}

    expected, found = scored(torch.device("cpu")), scored(device)
    smooth = ["energy_inside", "energy_gain", "background_ratio", "edge_alignment", "spread", "gini"]
    rows = ~expected["scores"]["method"].astype(str).str.contains("eigen")
    for column in smooth:
        one, other = (tables["scores"].loc[rows, column] for tables in (expected, found))
        pd.testing.assert_series_equal(other, one, rtol=0, atol=1e-3)
    if "attention" in expected:
        pd.testing.assert_frame_equal(found["attention"], expected["attention"], rtol=1e-3)


@pytest.mark.parametrize("name", ["unet", "segformer"])
def test_twice_is_the_same_or_nearly(name: str, device: torch.device, images: Images) -> None:
    # Bilinear upsampling runs backwards with sums in any order on a GPU: torch has no deterministic form of it.
    once, again = (maps(*captured(name, device, images)) for _ in range(2))
    off = errors(once, again)
    assert off[~off.index.str.contains("eigen")].max() <= CLOSE


def test_more_layers_wait_no_more(device: torch.device, images: Images) -> None:
    if device.type != "cuda":
        pytest.skip("only a GPU is waited for; tests/segcam/test_waiting.py counts what would be")
    model = network("unet").to(device)
    settings = Score(methods=("grad_cam", "layer_cam", "eigen_cam", "xgrad_cam"))

    def waits(layers: int) -> int:
        whole = Request.of(settings, "unet", model)
        request = Request.of_layers(settings, whole.layers[:layers])
        scorer = Scorer(model, request, settings, ("background", "pet"), "ignore")
        scorer.score(images, range(len(images)))
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                scorer.score(images, range(len(images)))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(one.message) for one in told)

    assert waits(10) == waits(18)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_learns(name: str, device: torch.device) -> None:
    splits = DATASETS.get("scenes").open(DatasetOptions(size=64, counts=(16, 4, 4))).splits
    settings = Train(steps=30, batch_size=8, learning_rate=3e-3, levels=("best",))
    trainer = Trainer(TrainJob(network(name), splits["train"], splits["val"], 2, "ignore", 1, settings, 0, device))
    losses = []
    for step in range(1, 31):
        trainer.advance(step, lambda *_: None)
        losses.append(float(trainer._losses[-1]))
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_whole_run(device: torch.device, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "out"
    finish("all", tmp_path / "tiny.toml", out, more=["--device", device.type])
    results = Results(out)
    assert results.scores()["energy_gain"].notna().any()
    assert (out / "report" / "index.html").is_file()
