"""Methods that share the passes: what is told of each map's sign and of the other class, and of pairs of targets."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import bench.measurements.material.rows
from bench.measurements.scores import Scorer
from bench.planning.profile import Score
from bench.planning.request import Gap, Request, layers_of
from segcam import InputError, Probe, Target
from segcam.datasets import DATASETS, DatasetOptions
from segcam.errors import NotApplicableError
from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair
from segcam.models import MODELS, create
from segcam.probe.gradients.rounding import CANCELLED
from segcam.samples import Batch, Images
from tests.reference.agreement import agreement as slow_agreement
from tests.reference.grad_cam import grad_cam as slow_grad_cam

TARGETS = ("best_pixel:logit", "predicted:logit")
METRICS = ("energy_inside", "spread", "blank")
METHODS_ASKED = ("grad_cam", "hires_cam", "layer_cam", "eigen_cam", "activation", "uniform", "sobel")
COUNTED = ("grad_cam", "hires_cam", "layer_cam", "eigen_cam")
SETTINGS = Score(targets=TARGETS, methods=METHODS_ASKED, metrics=METRICS, batch_size=3)
HEAD = "Decoder 1_2 ReLU"
EVERYTHING: dict[str, Any] = {"counter": True, "points": ("conv", "head")}


@pytest.fixture(scope="module")
def images() -> Images:
    return DATASETS.get("scenes").open(DatasetOptions(size=32, counts=(1, 1, 5))).splits["test"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A network whose answers are mixed, so that some predicted sets are empty and some maps blank."""
    return create("unet", 3, {"width": 3}, seed=20)


def scored(model: nn.Module, images: Images, **changes: Any) -> tuple[list[pd.DataFrame], list[Gap]]:
    gaps: list[Gap] = []
    settings = SETTINGS.model_copy(update=changes)
    scorer = Scorer(model, Request.of(settings, "unet", model), settings, ("background", "pet", "other"), "ignore")
    tables = scorer.score(images, range(len(images)), note=gaps.append)
    return [pd.DataFrame(table) for table in tables.values()], gaps


@pytest.fixture(scope="module")
def tables(model: nn.Module, images: Images) -> list[pd.DataFrame]:
    """Scores, predictions and agreement with everything asked for."""
    tables, gaps = scored(model, images, **EVERYTHING)
    assert len(tables) == 3
    assert gaps == []
    return tables


def test_maps_before_relu_tell_for_and_against(tables: list[pd.DataFrame], model: nn.Module, images: Images) -> None:
    rows = tables[0].set_index(["image", "target", "layer", "method"])["sign_balance"]
    layers = MODELS.get("unet").layers(model, "conv")
    for i in (0, 3):
        batch = Batch.of([images[i]])
        capture = Probe(model, layers)(batch.inputs())
        for layer in (layers[1], layers[8], layers[15]):
            a, g = (x[layer.label][0].double().numpy() for x in (capture.activations, capture.gradients))
            signed = {
                "grad_cam": sum(g[k].mean() * a[k] for k in range(len(a))),
                "hires_cam": sum(g[k] * a[k] for k in range(len(a))),
                "activation": a.mean(0),
            }
            for method, values in signed.items():
                balance = values[values > 0].sum() / np.abs(values).sum()
                row = rows[batch.ids[0], "best_pixel:logit", layer.label, method]
                assert row == pytest.approx(balance, abs=1e-4), (i, layer.label, method)


def test_the_share_of_the_best_other_class(tables: list[pd.DataFrame], model: nn.Module, images: Images) -> None:
    """By hooks and autograd in float64: the same pixels, the other class's logit."""
    rows = tables[0].set_index(["image", "target", "layer", "method"])["counter_share"]
    layers = MODELS.get("unet").layers(model, "conv")
    again = create("unet", 3, {"width": 3}, seed=20).double().eval()
    compared = 0
    for i in (1, 4):
        batch = Batch.of([images[i]])
        for target in TARGETS:
            for layer in (layers[2], layers[12]):
                outputs: list[torch.Tensor] = []
                module = again.get_submodule(layer.module)
                handle = module.register_forward_hook(lambda _m, _i, out, outputs=outputs: outputs.append(out))
                logits = again(batch.inputs().double().requires_grad_())[0]
                handle.remove()
                explained, rival = logits[1], torch.maximum(logits[0], logits[2])
                pixels = logits.argmax(0) == 1 if target.startswith("predicted") else explained == explained.max()
                sums = []
                for score in (explained, rival):
                    (g,) = torch.autograd.grad(score[pixels].mean(), outputs[0], retain_graph=True)
                    sums.append(slow_grad_cam(outputs[0][0].detach().numpy(), g[0].numpy()).sum())
                share = sums[1] / sum(sums) if pixels.any() and sum(sums) else np.nan
                row = rows[batch.ids[0], target, layer.label, "grad_cam"]
                assert row == pytest.approx(share, abs=1e-4, nan_ok=True), (i, target, layer.label)
                compared += bool(0 < share < 1)
    assert compared


def test_where_sign_and_share_are_undefined(tables: list[pd.DataFrame]) -> None:
    frame = tables[0]
    image_alone = frame["method"].isin(["uniform", "sobel"])
    assert frame.loc[image_alone, ["sign_balance", "counter_share"]].isna().all(axis=None)
    assert frame.loc[frame["method"] == "activation", "counter_share"].isna().all()
    empty = frame["target_pixels"] == 0
    assert empty.any()
    assert frame.loc[empty, ["sign_balance", "counter_share"]].isna().all(axis=None)
    rest = frame[~image_alone & ~empty]
    assert rest["sign_balance"].between(0, 1).all()
    shared = rest[rest["method"].isin(COUNTED) & (rest["blank"] == 0)]
    assert shared["counter_share"].between(0, 1).all()
    assert (rest.loc[rest["method"] == "grad_cam", "sign_balance"] == 0).sum() == (
        (rest["method"] == "grad_cam") & (rest["blank"] == 1)
    ).sum(), "blank is what speaks against alone"
    eigen = shared[shared["method"] == "eigen_cam"]["counter_share"]
    assert eigen.to_numpy() == pytest.approx(0.5), "its maps know no class"
    assert shared.loc[shared["method"] == "grad_cam", "counter_share"].nunique() > 20


def test_the_other_class_is_asked_for_or_there_is_no_column(model: nn.Module, images: Images) -> None:
    (plain, _, _), _ = scored(model, images)
    (counted, _, _), _ = scored(model, images, counter=True)
    assert "counter_share" not in plain
    pd.testing.assert_frame_equal(plain, counted.drop(columns="counter_share"))
    (rival, _), _ = scored(model, images, targets=("best_pixel:rival",), counter=True)
    assert rival["counter_share"].isna().all(), "it has no other class but the one explained"


def test_agreement_is_what_a_slow_second_way_gives(
    tables: list[pd.DataFrame], model: nn.Module, images: Images
) -> None:
    frame = tables[2]
    assert list(frame) == ["image", "layer", "method", "target", "other", "correlation", "difference"]
    assert not frame.duplicated(["image", "layer", "method", "target", "other"]).any()
    assert len(frame) == 5 * 19 * len(COUNTED)
    assert set(frame["method"]) == set(COUNTED), "controls explain no target"
    assert set(zip(frame["target"], frame["other"], strict=True)) == {TARGETS}
    rows = frame.set_index(["image", "layer", "method"])
    layers = MODELS.get("unet").layers(model, "conv")
    compared = 0
    for i in range(len(images)):
        batch = Batch.of([images[i]])
        captures = Probe(model, layers).many(batch.inputs(), [Target.parse(name) for name in TARGETS])
        for layer in (layers[0], layers[14]):
            for name in ("grad_cam", "layer_cam"):
                maps = [c.maps(METHODS.get(name).maps, layer)[0].double().numpy() for c in captures]
                row = rows.loc[(batch.ids[0], layer.label, name)]
                agreed = slow_agreement(*maps)
                assert (row["correlation"], row["difference"]) == pytest.approx(agreed, abs=2e-4, nan_ok=True)
                compared += not np.isnan(agreed[0])
    assert compared > 4


def test_before_the_last_convolution_all_pixel_sets_have_one_map(tables: list[pd.DataFrame]) -> None:
    rows = tables[2][(tables[2]["layer"] == HEAD) & (tables[2]["method"] == "grad_cam")].dropna()
    assert len(rows) > 0
    assert rows["correlation"].to_numpy() == pytest.approx(1, abs=1e-5)
    assert rows["difference"].to_numpy() == pytest.approx(0, abs=1e-5)
    others = tables[2][(tables[2]["layer"] == "Encoder 2_1") & (tables[2]["method"] == "grad_cam")].dropna()
    assert others["difference"].max() > 0.01


def test_pairs_of_targets_of_gradient_methods_agree(model: nn.Module, images: Images) -> None:
    assert len(scored(model, images, targets=TARGETS[:1])[0]) == 2
    assert len(scored(model, images, methods=("uniform", "activation"))[0]) == 2
    targets = (*TARGETS, "image:margin")
    (_, _, pairs), _ = scored(model, images, targets=targets)
    named = list(dict.fromkeys(zip(pairs["target"], pairs["other"], strict=True)))
    assert named == list(combinations(targets, 2))


def test_true_pixels_are_those_of_the_mask(model: nn.Module, images: Images) -> None:
    (frame, _), _ = scored(model, images, targets=("truth:logit",))
    batch = Batch.of([images[i] for i in range(len(images))])
    pixels = frame.groupby("image")["target_pixels"].unique().map(list).to_dict()
    assert pixels == {name: [int((mask == 1).sum())] for name, mask in zip(batch.ids, batch.masks, strict=True)}


def test_the_head_is_the_last_layer_behind_relu(model: nn.Module) -> None:
    unet = MODELS.get("unet")
    labels = [layer.label for layer in layers_of(unet, model, ("conv", "head"))]
    assert labels == [layer.label for layer in unet.layers(model, "conv")] + [HEAD]
    assert [layer.label for layer in layers_of(unet, model, ("head",))] == [HEAD]
    assert list(layers_of(unet, model, ("relu", "head"))) == unet.layers(model, "relu")
    without = replace(unet, layers=lambda net, point: unet.layers(net, "conv") if point == "conv" else [])
    with pytest.raises(InputError, match="unet has no layer of 'relu': leave 'head' out"):
        layers_of(without, model, ("conv", "head"))


def test_maps_are_measured_alike_however_few_wait(
    tables: list[pd.DataFrame], model: nn.Module, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.measurements.material.rows, "WAITING", 1)
    for one, other in zip(scored(model, images, **EVERYTHING)[0], tables, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-6)


def test_more_methods_change_no_row_of_the_others(tables: list[pd.DataFrame], model: nn.Module, images: Images) -> None:
    (alone, _, _), _ = scored(model, images, points=("conv", "head"), methods=("sobel", "grad_cam"))
    keys = ["image", "target", "layer", "method"]
    among = tables[0].set_index(keys).loc[pd.MultiIndex.from_frame(alone[keys])].reset_index()
    pd.testing.assert_frame_equal(alone, among[alone.columns], rtol=1e-5, atol=1e-6)


def test_parameters_reach_the_method(model: nn.Module, images: Images) -> None:
    methods = ("seg_xres_cam", "hires_cam", "gaussian")
    parameters = {"seg_xres_cam": {"pool": 1}, "gaussian": {"width": 0.1}}
    (plain, *_), _ = scored(model, images, methods=methods)
    (changed, *_), _ = scored(model, images, methods=methods, parameters=parameters)
    before, after = (frame.set_index("method")[list(METRICS)] for frame in (plain, changed))
    pooled, unpooled, hires = before.loc["seg_xres_cam"], after.loc["seg_xres_cam"], after.loc["hires_cam"]
    assert not pooled.reset_index(drop=True).equals(hires.reset_index(drop=True))
    np.testing.assert_allclose(unpooled, hires, rtol=1e-4, atol=1e-5)
    assert after.loc["gaussian", "spread"].mean() < before.loc["gaussian", "spread"].mean()


def test_gradient_methods_may_have_no_map_of_a_layer(model: nn.Module, images: Images, registry: None) -> None:
    def fine_layers_alone(pair: Pair) -> torch.Tensor:
        if pair.activations.shape[-1] < 8:
            raise NotApplicableError("the grid is too coarse")
        return pair.attribution

    METHODS.add(Method("fine", "Fine", "for fine layers", "segcam", gradient=fine_layers_alone))
    (frame, _, pairs), gaps = scored(model, images, methods=("grad_cam", "fine", "sobel"))
    coarse = {"Encoder 4_1", "Encoder 4_2", "Encoder 5_1", "Encoder 5_2", "Decoder 4_1", "Decoder 4_2"}
    for table in (frame, pairs):
        layers = table.groupby("method")["layer"].unique()
        assert coarse.isdisjoint(layers["fine"])
        assert len(layers["fine"]) == 18 - len(coarse)
        assert len(layers["grad_cam"]) == 18
    assert set(gaps) == {Gap(layer, "fine", "the grid is too coarse") for layer in coarse}
    plain = scored(model, images, methods=("grad_cam", "sobel"))[0][0]
    others = frame[frame["method"] != "fine"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, plain, rtol=1e-5, atol=1e-6)


def test_maps_of_both_signs_agree_by_what_speaks_for_the_class(
    model: nn.Module, images: Images, registry: None
) -> None:
    METHODS.add(Method("signed", "Signed", "both signs", "segcam", gradient=lambda pair: pair.attribution, signed=True))
    (_, _, pairs), _ = scored(model, images, methods=("hires_cam", "signed"))
    of = {name: rows.drop(columns="method").reset_index(drop=True) for name, rows in pairs.groupby("method")}
    assert of["signed"]["correlation"].notna().any()
    pd.testing.assert_frame_equal(of["signed"], of["hires_cam"], rtol=1e-4, atol=1e-5)


def test_methods_whose_weights_cancel_are_told(images: Images) -> None:
    """In front of norms with a group a channel, as all of up to eight channels are here."""
    grouped = create("unet", 3, {"width": 4, "norm": "group"}, seed=1)
    (frame, *_), gaps = scored(grouped, images, methods=("grad_cam", "hires_cam"))
    without = {gap.layer for gap in gaps}
    assert {"Encoder 1_1", "Encoder 2_2", "Decoder 1_2"} <= without
    assert "Encoder 5_1" not in without
    assert {(gap.method, gap.reason) for gap in gaps} == {("grad_cam", CANCELLED)}
    energies = frame[frame["target"] == TARGETS[0]].pivot(index="image", columns=["method", "layer"])["energy_inside"]
    assert energies["grad_cam"][sorted(without)].isna().all(axis=None)
    assert energies["hires_cam"].notna().any(axis=None)
