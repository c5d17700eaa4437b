"""What every public function of tensors holds: numbers of any kind, or one error of ours; no change by autocast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Batch, Probe, Sample, SegcamError, Target, grad_cam
from segcam.checks import faithfulness as faith
from segcam.checks.diagnosis import counter_share, diagnose, sign_balance
from segcam.checks.sanity import execution_order
from segcam.maps import all_maps, together
from segcam.methods import METHODS
from segcam.methods.material.superpixels import superpixels
from segcam.metrics import METRICS, measure
from segcam.metrics.attention import ATTENTION_METRICS
from segcam.probe.attention import Attention
from segcam.scoring.agreement import agreement, ranks, spearman, ssim
from segcam.scoring.grids import edge_strength, pull_back, to_grid, upsample
from segcam.scoring.miou import confusion, mean_iou
from segcam.scoring.reference import Scenery

SIZE, GRID = (16, 24), (8, 12)


def _made() -> dict[str, tuple[Callable[[Any], object], Tensor]]:
    """Return by name a function of one argument and an argument that it takes."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    mask = np.zeros(SIZE, np.uint8)
    mask[4:12, 4:16] = 1
    samples = [Sample(str(i), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), mask) for i in range(2)]
    batch = Batch.of(samples)
    sides, ids, images = (batch.foreground(), batch.background()), batch.ids, batch.inputs()
    scenery = Scenery.of(batch)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 2, 1)
    )
    probe = Probe(net.eval(), ["0", "2"])
    maps, a, g = torch.rand(2, 3, *GRID), torch.randn(2, 4, *GRID), torch.randn(2, 4, *GRID)
    subjects = faith.Subjects.of(net, images, 1, sides, ids)
    orders = faith.order(maps, ids, SIZE)
    subsets = faith.Subsets.draw(subjects, samples=3, tiles=4, shares=(0.2,))
    gradient = [method for method in METHODS if method.gradient is not None]
    return {
        "measure": (lambda x: measure(x, scenery.on(GRID), METRICS.names()), maps),
        "agreement": (lambda x: agreement(x, maps), maps),
        "spearman": (lambda x: spearman(x, maps), maps),
        "spearman where": (lambda x: spearman(maps, maps, x), maps[:, 0] > 0.5),
        "ssim": (lambda x: ssim(maps, x), maps),
        "ranks": (ranks, maps),
        "infidelity": (lambda x: faith.infidelity(x, subsets), maps),
        "sensitivity_n": (lambda x: faith.sensitivity_n(x, subsets), maps),
        "undefined": (faith.undefined, maps),
        "order": (lambda x: faith.order(x, ids, SIZE), maps),
        "curves": (lambda x: faith.curves(subjects, x, steps=2).areas, orders),
        "area_matched": (lambda x: faith.area_matched(x, subjects.chosen, ids), orders),
        "area_matched set": (lambda x: faith.area_matched(orders, x, ids), subjects.chosen),
        "impute": (lambda x: faith.impute(x, sides[0], ids), images),
        "impute road": (lambda x: faith.impute(x, sides[0], ids, "noisy_linear"), images),
        "impute gone": (lambda x: faith.impute(images, x, ids), sides[0]),
        "noise": (lambda x: faith.Noise(2).on(x, ids), images),
        "subjects": (lambda x: faith.Subjects.of(net, x, 1, sides, ids).unchanged, images),
        "subjects masks": (lambda x: faith.Subjects.of(net, images, 1, (x, sides[1]), ids).unchanged, sides[0]),
        "subjects classes": (lambda x: faith.Subjects.of(net, images, x, sides, ids).unchanged, torch.tensor([1, 0])),
        "probe": (lambda x: probe(x).maps(grad_cam, "2"), images),
        "probe masks": (lambda x: probe(images, Target(1, "truth"), masks=x).maps(grad_cam, "2"), batch.masks),
        "all_maps": (lambda x: all_maps(probe, x, [Target()], ["grad_cam"])[0]["2"], images),
        "diagnose": (lambda x: [record.counter_map for record in diagnose(probe, x).layers], images),
        "execution_order": (lambda x: len(execution_order(net, x)), images),
        "sign_balance": (sign_balance, a[:, 0]),
        "counter_share": (lambda x: counter_share(x, a[:, 0]), a[:, 0]),
        "confusion": (lambda x: confusion(x, batch.masks, 2), batch.masks.long()),
        "confusion labels": (lambda x: confusion(batch.masks, x, 2), batch.masks),
        "mean_iou": (mean_iou, torch.tensor([[5, 1], [2, 7]])),
        "upsample": (lambda x: upsample(x, SIZE), maps),
        "pull_back": (lambda x: pull_back(x, (4, 6)), maps),
        "to_grid": (lambda x: to_grid(x, (3, 5)), maps),
        "edge_strength": (edge_strength, maps[:, 0]),
        "superpixels": (lambda x: superpixels(x, 8), images),
        "attention": (
            lambda x: [metric.compute(Attention(x, (4, 6)), scenery) for metric in ATTENTION_METRICS],
            torch.rand(2, 2, 24, 24).softmax(-1),
        ),
        "scenery": (lambda x: measure(maps, Scenery(x, *sides, ids).on(GRID), ["edge_alignment"]), batch.luminance()),
        "activations": (lambda x: [method.maps(x, g) for method in gradient if "eigen" not in method.name], a),
        "gradients": (lambda x: [method.maps(a, x) for method in gradient if "eigen" not in method.name], g),
        "together": (lambda x: together(x, g, [method for method in gradient if "eigen" not in method.name]), a),
    }


DOORS = _made()
EVERY = pytest.mark.parametrize("name", DOORS)
NO_LISTS = ("probe", "all_maps", "diagnose", "execution_order", "noise", "subjects")
"""Images as a network takes them: tensors or arrays of floating-point numbers."""
INTEGERS = ("probe masks", "subjects classes", "curves", "area_matched")
"""Classes, and numbers of pixels, which half precision cannot hold."""


def _numbers(result: object) -> list[Tensor]:
    if isinstance(result, dict):
        return _numbers(list(result.values()))
    if isinstance(result, (list, tuple)):
        return [number for one in result for number in _numbers(one)]
    return [torch.as_tensor(result).double()]


def _kinds(x: Tensor) -> Iterator[object]:
    yield from (x.half(), x.bfloat16(), x.double(), x.numpy(), x.numpy().astype(">f8"), x.tolist())
    yield x.transpose(-1, -2).contiguous().transpose(-1, -2) if x.ndim > 1 else x
    yield x.clone().requires_grad_() if x.is_floating_point() else x


@EVERY
@pytest.mark.filterwarnings("error")
def test_numbers_of_any_kind_give_the_same(name: str) -> None:
    function, x = DOORS[name]
    wanted = _numbers(function(x))
    for given in _kinds(x):
        rounded = torch.as_tensor(given.astype(float) if isinstance(given, np.ndarray) else given).dtype != x.dtype
        if (name in INTEGERS and rounded) or (name in NO_LISTS and isinstance(given, list)) or name == "order":
            continue  # of rounded maps an order is another one
        for one, other in zip(_numbers(function(given)), wanted, strict=True):
            close = 0.05 * max(0.2, float(other.nan_to_num(0).abs().max()))
            torch.testing.assert_close(one, other, rtol=0.05, atol=close, equal_nan=True)


@EVERY
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_is_refused_and_never_a_traceback(name: str) -> None:
    function, x = DOORS[name]
    wide = x.double().contiguous()
    strange: list[object] = [torch.full_like(wide, torch.nan), x * 0, x[:0], x[:1], x[None], x[0], wide + 0j]
    strange += ["abc", None, {"a": x}, x.numpy().astype(object), x.to(torch.int8), x != 0, x[..., :0]]
    for value in (torch.nan, torch.inf, -torch.inf, -1.0, 255.0, 1e30, 1e-30):
        changed = wide.clone()
        changed.view(-1)[3 % changed.numel()] = value
        strange += [changed, changed.half()]
    for given in strange:
        try:
            function(given)
        except SegcamError as error:
            assert len(str(error)) > 20  # noqa: PT017  (some are fine, some refused: what counts is that nothing else comes)


@EVERY
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_an_autocast_changes_nothing(name: str, half: torch.dtype) -> None:
    _, x = DOORS[name]
    wanted = _numbers(_made()[name][0](x))
    function = _made()[name][0]  # a new one: what a scenery has made is kept
    with torch.autocast("cpu", half):
        rounded = _numbers(function(x))
    for one, other in zip(rounded, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7, equal_nan=True)
