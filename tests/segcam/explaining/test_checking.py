"""Checks of what was explained, from Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import segcam
from segcam.checks.diagnosis import diagnose
from segcam.checks.faithfulness import Subjects, curves, order
from segcam.errors import InputError
from segcam.explaining import Explained
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.samples import Batch, Sample

DRAWN = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
MASKS = np.zeros((2, 32, 48), np.uint8)
MASKS[:, 8:20, 10:30] = 1


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def explain(**options: Any) -> Explained:
    return segcam.explain(network(), DRAWN, 1, methods=["grad_cam", "sobel"], **options)


@pytest.fixture(scope="module")
def masked() -> Explained:
    return explain(masks=MASKS)


def test_faithfulness_is_that_of_the_curves(masked: Explained) -> None:
    found = masked.faithfulness(2, ["2"], methods=["grad_cam"], steps=3)
    assert set(found["method"]) == {"random order", "grad_cam"}
    batch = Batch.of([Sample("image 2", DRAWN[1], MASKS[1])])
    images, size = batch.inputs(), (32, 48)
    mask = batch.masks == 1
    subjects = Subjects.of(network(), images, 1, (mask, ~mask), batch.ids)
    maps = torch.from_numpy(masked.grid(1, "2", "grad_cam"))[None, None]
    areas = curves(subjects, order(maps.relu(), batch.ids, size), "deletion", steps=3).areas[0, 0]
    row = found.query("image == 'image 2' and method == 'grad_cam' and kind == 'deletion'").iloc[0]
    np.testing.assert_allclose(row[["probability", "dice", "iou"]].astype(float), areas, rtol=1e-4)


def test_without_masks_there_is_no_truth() -> None:
    assert "iou" not in explain().faithfulness(steps=2, images=1).columns


def test_random_weights_change_maps_where_they_are_reached(masked: Explained) -> None:
    found = masked.sanity(layers=["0"], images=1)
    assert set(found["kind"]) == {"cascading", "independent"}
    assert found["spearman"].between(-1, 1).all()
    alone = found[found["kind"] == "independent"].sort_values("step")
    assert alone["module"].tolist() == ["4", "2", "0"]
    assert (found["spearman"] < 0.999).all()
    assert not masked.network.model[0]._forward_hooks
    assert torch.equal(masked.network.model[0].weight, network()[0].weight)


def test_diagnosis_is_that_of_diagnose(masked: Explained) -> None:
    found = masked.diagnosis()
    batch = Batch.of([Sample("image 1", DRAWN[0], MASKS[0])])
    told = diagnose(Probe(network(), list(masked.choice.layers)), batch.inputs(), Target(1, "predicted"))
    rows = found[found["image"] == "image 1"]
    assert rows["layer"].tolist() == [record.layer for record in told.layers]
    expected = torch.cat([record.sign_balance for record in told.layers])
    np.testing.assert_allclose(rows["sign_balance"], expected, rtol=1e-4)


def test_padding_is_not_examined() -> None:
    found = segcam.explain(network(), DRAWN[:1], 1, methods=["grad_cam"], size=48)
    assert found.faithfulness(steps=2)["probability"].notna().any()
    assert found.sanity(depths=2)["ssim"].notna().any()
    assert len(found.diagnosis()) == len(found.layers)


def test_one_image_alone(masked: Explained) -> None:
    one = masked["image 2"]
    assert one.images == ("image 2",)
    assert set(one.scores["image"]) == {"image 2"}
    np.testing.assert_array_equal(one.map(0, "2"), masked.map(1, "2"))
    assert [each.images for each in masked] == [("image 1",), ("image 2",)]
    assert set(one.diagnosis()["image"]) == {"image 2"}


def test_maps_of_a_layer(masked: Explained) -> None:
    stack = masked.maps("2", "grad_cam")
    assert [one.shape for one in stack] == [(32, 48)] * 2
    np.testing.assert_array_equal(stack[1], masked.map(1, "2", "grad_cam"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("faithfulness", {"methods": ["x"]}, "unknown method 'x'"),
        ("faithfulness", {"images": 0}, "images is 0"),
        ("faithfulness", {"kinds": "delete"}, "unknown kind of curve 'delete'"),
        ("sanity", {"methods": "x_cam"}, "unknown method 'x_cam'"),
        ("faithfulness", {"steps": 0}, "0 steps"),
        ("faithfulness", {"imputation": "x"}, "unknown imputation 'x'"),
        ("sanity", {"methods": ["sobel"]}, "sobel does not look at weights"),
        ("sanity", {"layers": ["x"]}, "unknown layer 'x'"),
        ("sanity", {"depths": 1}, "depths is 1"),
        ("diagnosis", {"method": "sobel"}, "no gradient method"),
        ("diagnosis", {"images": -1}, "images is -1"),
    ],
)
def test_what_cannot_be_checked_is_one_error(masked: Explained, name: str, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        getattr(masked, name)(**options)
