"""Scores: every map once, right by a slow second way, and undefined only where it is said to be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from bench.measurements.scores import Scorer
from bench.planning.profile import Score
from bench.planning.request import Request
from segcam import InputError
from segcam.models import MODELS, create
from segcam.models.weights.checkpoints import load
from segcam.probe.memory import Meter
from segcam.samples import IGNORE, Batch, Images, Sample
from segcam.scoring.miou import confusion, mean_iou
from tests.bench.harness import IMAGES, LEVELS, TARGETS, manifest, tables
from tests.reference.grad_cam import grad_cam as slow_grad_cam
from tests.reference.metrics import TWINS
from tests.sceneries import scene_of

from torchmetrics.classification import MulticlassJaccardIndex  # isort: skip  (needs segcam imported first)

CLASSES = ("background", "pet")
SETTINGS = Score()
METRICS, METHODS = SETTINGS.metrics, SETTINGS.methods
CONTROLS = tuple(name for name in METHODS if name != "grad_cam")
RANKED = [
    "average_precision",
    "iou",
    "edge_thickness",
    "edge_recall",
]  # rounding may turn two pixels round, or one over a threshold
EDGES = ("edge_alignment", "edge_alignment_full", "edge_recall")
VARIED = (*EDGES, "iou", "fine_power")
"""Metrics that a map without any contrast has no value of."""


@pytest.fixture(scope="module")
def scores(finished: Path) -> pd.DataFrame:
    return tables(finished, "*.parquet")


@pytest.fixture(scope="module")
def predictions(finished: Path) -> pd.DataFrame:
    return tables(finished, "predictions/*.parquet")


@pytest.fixture(scope="module")
def batch(images: Images) -> Batch:
    return Batch.of([images[i] for i in range(len(images))])


def network(finished: Path, level: int) -> nn.Module:
    return load(finished / "checkpoints" / f"unet-s0-l{level}.safetensors")[0]


def table(
    model: nn.Module, images: Images, settings: Score | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[int]]:
    """Score without a run."""
    settings, done = settings or SETTINGS, []
    scorer = Scorer(model, Request.of(settings, "unet", model), settings, CLASSES, "ignore")
    maps, counts, *_ = scorer.score(images, range(len(images)), lambda n, _: done.append(n)).values()
    return pd.DataFrame(maps), pd.DataFrame(counts), done


def test_every_map_exactly_once(scores: pd.DataFrame, images: Images) -> None:
    labels = [layer.label for layer in MODELS.get("unet").layers(create("unet", 2, {"width": 2}), "conv")]
    ids = [images[i].id for i in range(IMAGES)]
    expected = pd.MultiIndex.from_product([LEVELS, labels, METHODS, ids, TARGETS])
    keys = pd.MultiIndex.from_frame(scores[["level", "layer", "method", "image", "target"]].astype(object))
    assert keys.is_unique
    assert len(keys) == len(expected) == 2 * 18 * 5 * 6 * 2
    assert set(keys) == set(expected)
    run = {"dataset": "scenes", "model": "unet", "seed": 0, "training_data": "60 drawn scenes"}
    assert all((scores[name] == value).all() for name, value in run.items())


def test_undefined_where_it_is_said_to_be_and_nowhere_else(scores: pd.DataFrame) -> None:
    empty = (scores["method"] == "grad_cam") & (scores["target_pixels"] == 0)
    blank, uniform = scores["blank"] == 1, scores["method"] == "uniform"
    coarse = scores["layer"].astype(str).str.contains(r" [45]_")  # cells of 8 px and more
    assert scores.loc[empty, list(METRICS)].isna().all(axis=None), "no map, no numbers"
    assert scores.loc[~empty, "blank"].isin([0, 1]).all()
    beside = "partial_edge_alignment"  # a map of the object alone, or of no contrast, tells nothing beyond it
    assert scores.loc[uniform | (scores["method"] == "mask_oracle"), beside].isna().all()
    for name in set(METRICS) - {"blank", beside}:
        undefined = empty | blank | (uniform & (name in VARIED)) | (coarse & (name == "fine_power"))
        assert scores.loc[~undefined, name].notna().all(), name
        assert scores.loc[blank, name].isna().all(), name
    assert scores.loc[uniform, list(VARIED)].isna().all(axis=None)
    assert scores.loc[coarse, "fine_power"].isna().all()
    assert not scores[["area", "target_pixels", "target_score"]].isna().any(axis=None)


def test_values_lie_within_their_bounds(scores: pd.DataFrame, finished: Path) -> None:
    described = manifest(finished)["metrics"]
    assert list(described) == list(METRICS)
    for name, entry in described.items():
        values = scores[name].dropna()
        assert entry["lower"] is None or values.min() >= entry["lower"] - 1e-5, name
        assert entry["upper"] is None or values.max() <= entry["upper"] + 1e-5, name
        assert values.nunique() > 1 or name == "blank"


def test_types_of_the_columns(finished: Path) -> None:
    words = ("dataset", "model", "training_data", "image", "target", "layer", "method")
    types = dict.fromkeys(words, "dictionary<values=string") | dict.fromkeys(("level", "seed"), "int64")
    types |= dict.fromkeys((*METRICS, "area", "target_score"), "float")
    types |= {"target_pixels": "int32", "target_predicted": "bool"}
    for file in (finished / "scores").glob("*.parquet"):
        schema = pq.read_schema(file)
        assert {name: str(schema.field(name).type).partition(",")[0] for name in types} == types


def test_what_is_said_of_targets(scores: pd.DataFrame, finished: Path, batch: Batch) -> None:
    areas = (batch.masks == 1).flatten(1).sum(1) / (batch.masks != IGNORE).flatten(1).sum(1)
    for level in LEVELS:
        with torch.no_grad():
            logits = network(finished, level)(batch.inputs())
        predicted = (logits.argmax(1) == 1).flatten(1).sum(1).tolist()
        best = logits[:, 1].flatten(1).amax(1).tolist()
        rows = scores[scores["level"] == level].set_index(["image", "target"]).sort_index()
        for i, image in enumerate(batch.ids):
            of_set, of_pixel = rows.loc[(image, "predicted:logit")], rows.loc[(image, "best_pixel:logit")]
            assert set(of_set["target_pixels"]) == {predicted[i]}
            assert set(of_set["target_predicted"]) == {predicted[i] > 0}
            assert set(of_pixel["target_pixels"]) == {1}
            assert of_pixel["target_score"].to_numpy() == pytest.approx(best[i], abs=1e-4)
            assert rows.loc[image, "area"].to_numpy() == pytest.approx(float(areas[i]), abs=1e-6)


def test_controls_know_neither_level_nor_target(scores: pd.DataFrame) -> None:
    words = scores.astype({"layer": str, "image": str, "method": str, "target": str})
    groups = words[words["method"].isin(CONTROLS)].groupby(["image", "layer", "method"])[list(METRICS)]
    assert (groups.size() == len(LEVELS) * len(TARGETS)).all()
    assert (groups.nunique(dropna=False) == 1).all(axis=None)
    grad_cam = words[words["method"] == "grad_cam"]
    varied = grad_cam.groupby(["image", "layer", "target"])["edge_alignment_full"].nunique()
    assert (varied == 2).sum() > 50


def test_controls_know_the_layer_by_its_grid_alone(scores: pd.DataFrame) -> None:
    rows = scores[(scores["level"] == LEVELS[0]) & (scores["target"] == TARGETS[0])].astype({"layer": str})
    for method in CONTROLS:
        one = rows[rows["method"] == method].set_index(["image", "layer"])[list(METRICS)].sort_index()
        finest, as_fine, coarse = (
            one.xs(name, level="layer") for name in ("Encoder 1_1", "Decoder 1_2", "Encoder 4_1")
        )
        pd.testing.assert_frame_equal(finest, as_fine)
        assert method == "uniform" or not finest.equals(coarse)


def test_the_oracle_is_best_and_the_uniform_map_is_chance(scores: pd.DataFrame) -> None:
    fine = scores[scores["layer"] == "Encoder 1_1"]
    oracle, uniform = (fine[fine["method"] == name] for name in ("mask_oracle", "uniform"))
    assert oracle["energy_inside"].to_numpy() == pytest.approx(1, abs=1e-5)
    assert oracle["background_ratio"].to_numpy() == pytest.approx(0, abs=1e-5)
    assert uniform["energy_inside"].to_numpy() == pytest.approx(uniform["area"].to_numpy(), abs=1e-5)
    assert uniform["energy_gain"].to_numpy() == pytest.approx(0, abs=1e-5)
    assert uniform["spread"].to_numpy() == pytest.approx(1, abs=1e-5)


def slow_map(model: nn.Module, module: str, image: torch.Tensor, target: str) -> np.ndarray:
    """Grad-CAM of one layer and one image by a hook and autograd, in float64."""
    model, outputs = model.double(), []
    handle = model.get_submodule(module).register_forward_hook(lambda _m, _i, out: outputs.append(out))
    logits = model(image.double()[None].requires_grad_())[0]
    handle.remove()
    pixels = logits.argmax(0) == 1 if target.startswith("predicted") else logits[1] == logits[1].max()
    (gradients,) = torch.autograd.grad(logits[1][pixels].mean(), outputs[0])
    return slow_grad_cam(outputs[0][0].detach().numpy(), gradients[0].numpy())


def clear(model: nn.Module, batch: Batch, target: str) -> list[int]:
    """The images where rounding does not decide which pixels are explained."""
    with torch.no_grad():
        logits = model(batch.inputs())
    margins, best = (logits[:, 1] - logits[:, 0]).flatten(1), logits[:, 1].flatten(1).topk(2).values
    if target.startswith("best_pixel"):
        sure = best[:, 0] - best[:, 1] > 1e-5
    else:
        sure = (margins.abs().amin(1) > 1e-5) & (margins > 0).any(1)
    indices: list[int] = sure.nonzero()[:, 0].tolist()
    return indices


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("label", ["Encoder 1_2", "Encoder 3_1", "Decoder 3_2", "Decoder 1_1"])
def test_rows_are_what_a_slow_second_way_gives(
    scores: pd.DataFrame, finished: Path, batch: Batch, target: str, label: str
) -> None:
    compared = 0
    for level in LEVELS:
        model = network(finished, level)
        module = next(layer.module for layer in MODELS.get("unet").layers(model, "conv") if layer.label == label)
        rows = scores[(scores["level"] == level) & (scores["target"] == target) & (scores["layer"] == label)]
        rows = rows[rows["method"] == "grad_cam"].set_index("image")
        for i in clear(model, batch, target)[:2]:
            slow = slow_map(network(finished, level), module, batch.inputs()[i], target)
            for name in METRICS:
                value = TWINS[name](slow, scene_of(batch, i))
                assert rows.loc[batch.ids[i], name] == pytest.approx(value, abs=2e-4, nan_ok=True), (level, i, name)
            compared += 1
    assert compared


def test_counts_give_the_test_mean_iou(predictions: pd.DataFrame, finished: Path, batch: Batch) -> None:
    levels = pd.read_csv(finished / "tables" / "levels.csv").set_index("level")
    for level in LEVELS:
        rows = predictions[predictions["level"] == level].set_index("image")
        assert sorted(rows.index) == sorted(batch.ids)
        rows = rows.loc[list(batch.ids)]
        with torch.no_grad():
            answers = network(finished, level)(batch.inputs()).argmax(1)
        counts = torch.tensor(rows[["n_0_0", "n_0_1", "n_1_0", "n_1_1"]].to_numpy()).view(-1, 2, 2)
        assert torch.equal(counts, confusion(answers, batch.masks, 2))
        assert rows["predicted"].tolist() == (answers == 1).flatten(1).any(1).tolist()
        shares = network(finished, level)(batch.inputs()).softmax(1).detach()
        sure = [float(share[1][answer == 1].mean()) for share, answer in zip(shares, answers, strict=True)]
        assert rows["confidence"].tolist() == pytest.approx(sure, abs=1e-5, nan_ok=True)
        entropy = -(shares * shares.log()).sum(1).mean((1, 2))
        assert rows["entropy"].tolist() == pytest.approx(entropy.tolist(), abs=1e-5)
        peer = MulticlassJaccardIndex(num_classes=2, ignore_index=IGNORE)
        assert mean_iou(counts.sum(0)) == pytest.approx(float(peer(answers, batch.masks.long())), abs=1e-6)
        assert levels.loc[level, "test_miou"] == pytest.approx(mean_iou(counts.sum(0)), abs=1e-5)


@pytest.fixture(scope="module")
def odd() -> tuple[pd.DataFrame, pd.DataFrame, list[int]]:
    """The scores of images at the edge of what is defined."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    half = np.zeros((32, 32), np.uint8)
    half[8:20, 4:16] = 1
    samples = [
        Sample("plain", noise, half),
        Sample("no pet", noise, np.zeros_like(half)),
        Sample("no background", noise, np.ones_like(half)),
        Sample("all ignored", noise, np.full_like(half, IGNORE)),
        Sample("one colour", np.full((32, 32, 3), 77, np.uint8), half),
    ]
    return table(create("unet", 2, {"width": 2}, seed=1), samples, Score(batch_size=2, targets=TARGETS))


def test_odd_images_are_undefined_not_zero(odd: tuple[pd.DataFrame, pd.DataFrame, list[int]]) -> None:
    rows, counts, done = odd
    rows, counts = rows.set_index("image"), counts.set_index("image")
    for image in ("no pet", "no background", "all ignored"):
        assert rows.loc[image, "background_ratio"].isna().all(), image
    assert rows.loc["all ignored", ["energy_inside", "energy_gain", "background_ratio"]].isna().all(axis=None)
    assert rows.loc["one colour", list(EDGES)].isna().all(axis=None)
    for image, method in (("one colour", "sobel"), ("no pet", "mask_oracle")):
        assert (rows.loc[image].set_index("method").loc[method, "blank"] == 1).all()
    always = [name for name in METRICS if name not in ("fine_power", "partial_edge_alignment")]
    assert not rows.loc["plain"].query("method == 'random'")[always].isna().any(axis=None)
    columns = ["n_0_0", "n_0_1", "n_1_0", "n_1_1"]
    assert counts.loc["all ignored", columns].sum() == 0
    assert (counts.drop(index="all ignored")[columns].sum(axis=1) == 32 * 32).all()
    assert counts.loc["no pet", ["n_1_0", "n_1_1"]].sum() == 0
    assert done == [2, 2, 1], "progress is told image by image"


@pytest.fixture
def trained(finished: Path) -> nn.Module:
    return network(finished, LEVELS[-1])


@pytest.mark.parametrize(
    ("changes", "most"), [({"batch_size": 1}, 1), ({"batch_size": 4}, 4), ({"max_memory": 3_000_000}, 5)]
)
def test_the_batch_size_changes_nothing(images: Images, changes: dict[str, int], most: int) -> None:
    model = create("unet", 2, {"width": 4}, seed=3)  # untrained: no two pixels are near a tie
    settings = Score(batch_size=6, targets=TARGETS)
    one, other = (table(model, images, settings.model_copy(update=update)) for update in ({}, changes))
    assert one[0]["target_pixels"].nunique() == 7
    assert max(other[2]) <= most
    for first, second in zip(one[:2], other[:2], strict=True):
        ranked = first.columns.intersection(RANKED)
        # kernels sum in another order by the size of a batch: 1.0e-5 of a correlation on one processor
        pd.testing.assert_frame_equal(first.drop(columns=ranked), second.drop(columns=ranked), rtol=1e-5, atol=5e-5)
        pd.testing.assert_frame_equal(first[ranked], second[ranked], rtol=5e-3, atol=5e-3)


def test_scoring_stays_within_its_memory(images: Images) -> None:
    model = create("unet", 2, {"width": 4}, seed=3)
    with pytest.raises(InputError, match=r"max_memory is 1000 bytes, .*: give at least \d+ ") as caught:
        table(model, images, Score(max_memory=1000))
    least = int(re.findall(r"at least (\d+)", str(caught.value))[0])
    assert table(model, images, Score(max_memory=least))[2] == [1] * 6
    with Meter(least) as meter:  # which stops what takes more
        table(model, images, Score(max_memory=least))
    assert meter.peak > least / 2
    with pytest.raises(InputError, match="give at least"):
        table(model, images, Score(max_memory=least - 1))


def test_the_order_of_targets_methods_and_metrics_changes_no_value(trained: nn.Module, images: Images) -> None:
    settings = Score(targets=TARGETS[::-1], methods=METHODS[::-1], metrics=METRICS[::-1])
    keys = ["image", "target", "layer", "method"]
    one, other = (
        table(trained, images, s)[0].sort_values(keys, ignore_index=True) for s in (Score(targets=TARGETS), settings)
    )
    assert list(other.columns)[-len(METRICS) :] == list(METRICS[::-1])
    pd.testing.assert_frame_equal(one, other[one.columns], rtol=1e-6, atol=1e-6)


def test_both_points_are_scored(trained: nn.Module, images: Images) -> None:
    frame, _, _ = table(trained, images, Score(points=("conv", "relu"), methods=("grad_cam",)))
    labels = list(dict.fromkeys(frame["layer"]))
    assert len(labels) == 36
    assert labels.index("Encoder 1_1 ReLU") == 1, "by depth, the convolution first"
    plain = table(trained, images, Score(methods=("grad_cam",)))[0]
    again = frame[~frame["layer"].str.endswith("ReLU")].reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, again, rtol=1e-5, atol=1e-5)


def test_scoring_leaves_the_network_as_it_was(trained: nn.Module, images: Images) -> None:
    trained.train()
    before = {n: t.clone() for n, t in trained.state_dict().items()}
    table(trained, images)
    assert trained.training
    assert all(torch.equal(t, before[n]) for n, t in trained.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in trained.parameters())
    assert not any(m._forward_hooks for m in trained.modules())


def test_kept_maps_are_those_that_were_scored(
    finished: Path, scores: pd.DataFrame, images: Images, batch: Batch
) -> None:
    rule = manifest(finished)["gallery"]
    i = batch.ids.index(rule["ids"][0])
    for level in LEVELS:
        with np.load(finished / "scores" / "gallery" / f"unet-s0-l{level}.npz") as file:
            arrays = dict(file)
        assert arrays["ids"].tolist() == rule["ids"]
        assert (arrays["images"][0] == images[i].image).all()
        assert (arrays["masks"][0] == images[i].mask).all()
        assert sum("|" in name for name in arrays) == len(TARGETS) * len(METHODS) * 18
        rows = scores[(scores["level"] == level) & (scores["image"] == batch.ids[i])]
        rows = rows.set_index(["target", "method", "layer"]).sort_index()
        for name in ("best_pixel:logit|grad_cam|Encoder 2_1", "best_pixel:logit|sobel|Encoder 5_2"):
            for metric in ("energy_inside", "spread", "blank"):
                value = TWINS[metric](np.maximum(arrays[name][0].astype(float), 0), scene_of(batch, i))
                assert rows.loc[tuple(name.split("|")), metric] == pytest.approx(value, abs=1e-4, nan_ok=True)
        with torch.no_grad():
            logits = network(finished, level)(batch.inputs()[i : i + 1])[0]
        best = logits[1]
        assert (arrays["predicted"][0] == logits.argmax(0).numpy()).all()
        assert arrays["pixels:best_pixel:logit"][0].tolist() == list(divmod(int(best.argmax()), 32))
