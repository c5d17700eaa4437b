"""The study of sanity: which networks are examined, and what its tables say of their maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench.measurements.material.shuffled_masks import ShuffledMasks
from bench.measurements.sanity import MEASUREMENT, Sanity, examine, layers_of, methods_of, randomisations, targets_of
from bench.planning import plan
from bench.planning import profile as profiles
from bench.planning.cells import MeasureCell
from bench.planning.data import open_data
from bench.planning.measurement import MeasureJob, quiet
from bench.planning.request import Request
from segcam import InputError, Probe
from segcam.checks.sanity import execution_order, randomised
from segcam.methods import METHODS
from segcam.models import create
from segcam.samples import Sample
from segcam.scoring.agreement import spearman, ssim

CAMS = ("grad_cam", "hires_cam")
ORDER = [(name,) for name in "abcdefghij"]
KEYS = ["image", "target", "layer", "method", "kind", "draw", "step"]
TARGETS = ("best_pixel:logit",)
SMALL = Sanity(images=3, depths=3, targets=TARGETS, layers=("Encoder 1_1", "Decoder 4_1", "Decoder 1_2"))


@pytest.fixture(scope="module")
def job(tiny: Path) -> MeasureJob:
    """A network with its first weights and three photographs."""
    settings = [f'score.methods=["{CAMS[0]}", "{CAMS[1]}", "sobel", "activation"]', "train.steps=8"]
    profile = profiles.read(str(tiny), settings)
    data = open_data(profile, root=None, download=False)
    (cell,) = plan.training(profile, data.digest)
    model = create("unet", 2, {"width": 2}, seed=1).eval()
    request = Request.of(profile.score, "unet", model)
    measured = MeasureCell("sanity", cell, 40, "000", (0, 1, 2), "id")
    return MeasureJob(profile, data, measured, model, request, quiet, quiet)


def examined(job: MeasureJob, settings: Sanity) -> tuple[pd.DataFrame, pd.DataFrame]:
    steps: list[int] = []
    tables = examine(replace(job, advance=lambda by, _text: steps.append(by)), settings)
    assert sum(steps) == 3
    return pd.DataFrame(tables["sanity"]), pd.DataFrame(tables["sanity_training"])


@pytest.fixture(scope="module")
def table(job: MeasureJob) -> pd.DataFrame:
    return examined(job, SMALL)[0]


def test_the_networks_examined() -> None:
    networks = list(randomisations(ORDER, Sanity(depths=4, seeds=2)))
    assert len(networks) == 2 * 2 * 4
    first = networks[:8]
    assert [x.kind for x in first] == ["cascading"] * 4 + ["independent"] * 4
    assert [x.step for x in first] == [0, 3, 6, 9] * 2
    assert [x.share for x in first] == pytest.approx([0.1, 0.4, 0.7, 1.0] * 2)
    assert [x.module for x in first] == ["j", "g", "d", "a"] * 2
    assert [len(x.modules) for x in first] == [1, 4, 7, 10, 1, 1, 1, 1]
    assert first[1].modules == ("g", "h", "i", "j")
    assert [replace(x, draw=1) for x in first] == networks[8:]


def test_layers_and_methods(job: MeasureJob) -> None:
    layers = job.request.layers
    labels = [layer.label for layer in layers_of(Sanity(), layers)]
    assert labels == [layers[i].label for i in (0, 3, 7, 10, 14, 17)]
    assert [x.label for x in layers_of(Sanity(layers=("*coder 1_2",)), layers)] == ["Encoder 1_2", "Decoder 1_2"]
    assert layers_of(Sanity(layers=("Stage 1",)), layers) == layers_of(Sanity(), layers)
    scored = job.request.methods
    assert [method.name for method in methods_of(Sanity(), scored, False)] == [*CAMS]
    named = Sanity(methods=("layer_cam", "sobel", "attention_rollout"))
    assert [method.name for method in methods_of(named, scored, False)] == ["layer_cam", "sobel"]
    assert [method.name for method in methods_of(named, scored, True)][2:] == ["attention_rollout"]
    with pytest.raises(InputError, match="score_cam, which takes passes of its own"):
        methods_of(Sanity(methods=("score_cam",)), scored, False)
    with pytest.raises(InputError, match="unknown method 'cam_grad'"):
        methods_of(Sanity(methods=("cam_grad",)), scored, False)
    with pytest.raises(InputError, match="no gradient method"):
        methods_of(Sanity(), [METHODS.get("sobel")], False)


def test_all_predicted_pixels_are_explained_unless_told_otherwise(job: MeasureJob) -> None:
    targets = job.request.targets
    assert [target.name for target in targets] == ["best_pixel:logit", "predicted:logit"]
    assert targets_of(Sanity(), targets) == targets[1:]
    assert targets_of(Sanity(), targets[:1]) == targets[:1]
    assert [x.name for x in targets_of(Sanity(targets=("image:margin",)), targets)] == ["image:margin"]


def test_a_row_an_image_layer_method_and_change(job: MeasureJob, table: pd.DataFrame) -> None:
    assert len(table) == 3 * 3 * 2 * (3 + 3)
    assert not table.duplicated(KEYS).any()
    assert set(table["image"]) == set(job.batch.ids)
    assert set(table["target"]) == {"best_pixel:logit"}
    assert set(table["method"]) == set(CAMS)
    modules = table.drop_duplicates(["kind", "step"]).set_index(["kind", "step"])["module"]
    for kind in ("cascading", "independent"):
        assert modules[kind].to_dict() == {0: "head", 11: "decoders.0.conv1", 22: "encoders.0.conv1"}
    for name in ("spearman", "ssim", "spearman_reached"):
        assert table[name].dropna().between(-1, 1).all()
        assert table[name].notna().mean() > 0.5
    assert MEASUREMENT.settings is Sanity
    assert job.profile.section("sanity") == Sanity()


def test_activations_are_other_ones_behind_what_is_random(table: pd.DataFrame) -> None:
    """Decoder 4_1 is `decoders.0.conv1`, the module of step 11: its own output changes, that of layers before not."""
    moved = table.groupby(["kind", "step", "layer"])["randomised"].agg(["min", "max"])
    assert (moved["min"] == moved["max"]).all()
    found = moved["max"].unstack("layer")[["Encoder 1_1", "Decoder 4_1", "Decoder 1_2"]]
    for kind in ("cascading", "independent"):
        assert found.loc[kind].to_numpy().tolist() == [[False] * 3, [False, True, True], [True] * 3]


def test_the_numbers_are_those_of_the_two_networks(job: MeasureJob, table: pd.DataFrame) -> None:
    layers = [layer for layer in job.request.layers if layer.label == "Decoder 4_1"]
    images, (target, *_) = job.batch.inputs(), job.request.targets
    first = Probe(job.model, layers)(images, target)
    order = execution_order(job.model, images)
    fresh = randomised(job.model, [name for step in order[11:] for name in step], 0)
    (second,) = Probe(fresh, layers).many(images, [target], fixed=[first.explained])
    for name in CAMS:
        one, two = (capture.maps(METHODS.get(name).maps)[:, None] for capture in (first, second))
        rows = table.query("layer == 'Decoder 4_1' and kind == 'cascading' and step == 11 and method == @name")
        for column, measure in (("spearman", spearman), ("ssim", ssim)):
            np.testing.assert_allclose(rows[column], measure(one, two)[:, 0], atol=1e-4)
    reached = (first.gradients["Decoder 4_1"] != 0).any(1) | (second.gradients["Decoder 4_1"] != 0).any(1)
    np.testing.assert_allclose(rows["reached"], reached.float().mean((1, 2)), atol=1e-6)


def test_the_same_seed_gives_the_same_table_and_another_one_another(job: MeasureJob, table: pd.DataFrame) -> None:
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    torch.rand(3)  # whatever the global state
    again, _ = examined(job, SMALL.model_copy(update={"seeds": 2}))
    first = again[again["draw"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, table, check_exact=True)
    second = again[again["draw"] == 1].reset_index(drop=True)
    keys = [key for key in KEYS if key != "draw"]
    assert second[keys].equals(first[keys])
    changed = first["spearman"].notna() & (first["spearman"] != second["spearman"])
    assert changed.groupby(first["step"]).any().all()
    assert all(torch.equal(value, before[name]) for name, value in job.model.state_dict().items())
    assert not job.model.training


def test_maps_that_ignore_the_weights_stay(job: MeasureJob) -> None:
    settings = Sanity(depths=2, targets=TARGETS, methods=("sobel", "activation", "grad_cam"), layers=("Encoder 1_1",))
    found, training = examined(job, settings)
    assert len(training) == 0
    sobel = found[found["method"] == "sobel"]
    np.testing.assert_allclose(sobel[["spearman", "ssim"]], 1, atol=1e-6)
    last = found[(found["share"] == 1) & (found["kind"] == "cascading")].groupby("method")["spearman"].mean()
    assert last["sobel"] > last["activation"]
    before = found[~found["randomised"] & (found["method"] == "activation")]
    assert len(before)
    np.testing.assert_allclose(before["ssim"].dropna(), 1, atol=1e-6)  # it knows no gradient


def test_several_targets(job: MeasureJob) -> None:
    settings = Sanity(depths=2, targets=("predicted:logit", "best_pixel:margin"), layers=("Encoder 1_1",))
    found, _ = examined(job, settings)
    assert set(found["target"]) == {"predicted:logit", "best_pixel:margin"}
    assert len(found) == 2 * 3 * 2 * 4


def numbered(count: int) -> list[Sample]:
    return [Sample(str(i), np.full((4, 4, 3), i, np.uint8), np.full((4, 4), i, np.uint8)) for i in range(count)]


@pytest.mark.parametrize("count", [2, 3, 50])
def test_no_image_keeps_its_mask(count: int) -> None:
    images, orders = numbered(count), []
    for seed in (0, 1, 2, 2):
        samples = [ShuffledMasks(images, seed)[i] for i in range(count)]
        assert [(x.id, int(x.image[0, 0, 0])) for x in samples] == [(str(i), i) for i in range(count)]
        orders.append([int(x.mask[0, 0]) for x in samples])
        assert sorted(orders[-1]) == list(range(count))
        assert all(mask != i for i, mask in enumerate(orders[-1]))
    assert orders[2] == orders[3]
    assert count < 50 or orders[0] != orders[2]


def test_one_image_cannot_be_shuffled() -> None:
    with pytest.raises(InputError, match="one training image"):
        ShuffledMasks(numbered(1), 0)


def test_a_network_trained_on_shuffled_masks(job: MeasureJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.measurements import sanity

    trained: list[Any] = []
    original = sanity.train_shuffled
    monkeypatch.setattr(sanity, "train_shuffled", lambda *a: trained.append(original(*a)) or trained[-1])
    settings = Sanity(depths=2, targets=TARGETS, layers=("Decoder 4_1",), shuffled_steps=6)
    tables = [examined(job, settings) for _ in range(2)]
    assert len(trained) == 1  # one for all jobs of a training
    found, training = tables[0]
    rows = found[found["kind"] == "shuffled_masks"]
    assert len(rows) == 3 * 2
    assert rows["randomised"].all()
    assert (rows["spearman"].dropna() < 0.999).all()
    pd.testing.assert_frame_equal(found, tables[1][0], check_exact=True)
    assert len(training) == 1
    row = training.iloc[0]
    assert row["steps"] == 6
    assert row["loss"] > 0
    assert all(0 <= row[name] <= 1 for name in ("miou_shuffled", "miou_own", "miou_validation"))
    sanity._LAST.clear()
    other = examined(job, settings)
    assert len(trained) == 2
    pd.testing.assert_frame_equal(other[0], found, check_exact=True)
    pd.testing.assert_frame_equal(other[1], training, check_exact=True)
    fresh = create("unet", 2, {"width": 2}, seed=0).state_dict()
    assert not torch.equal(trained[0].model.state_dict()["head.weight"], fresh["head.weight"])
    sanity._LAST.clear()
