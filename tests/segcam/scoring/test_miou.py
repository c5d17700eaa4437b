"""Mean IoU: the one definition, against torchmetrics and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam.errors import InputError
from segcam.samples import IGNORE
from segcam.scoring.miou import confusion, iou, mean_iou

from torchmetrics.classification import MulticlassJaccardIndex  # isort: skip  (needs segcam imported first)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(seed: int, classes: int, images: int = 3, ignored: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random predictions and labels, a share of the labels ignored."""
    generator = seeded(seed)
    predictions = torch.randint(classes, (images, 7, 9), generator=generator)
    labels = torch.randint(classes, (images, 7, 9), generator=generator).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = IGNORE
    return predictions, labels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5), ignored=st.sampled_from([0.0, 0.2, 0.9]))
def test_equals_torchmetrics(seed: int, classes: int, ignored: float) -> None:
    predictions, labels = pair(seed, classes, ignored=ignored)
    present = labels[labels != IGNORE].unique()
    if len(present) < classes:  # torchmetrics also averages over classes that are predicted alone
        return
    peer = MulticlassJaccardIndex(num_classes=classes, ignore_index=IGNORE)
    for one, truth in zip(predictions, labels, strict=True):  # batch by batch, as it accumulates
        peer.update(one[None], truth[None].long())
    assert mean_iou(confusion(predictions, labels, classes).sum(0)) == pytest.approx(float(peer.compute()), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_counts_are_of_each_image(classes: int) -> None:
    predictions, labels = pair(1, classes, images=4)
    labels[2] = IGNORE
    counts = confusion(predictions, labels, classes)
    assert counts.shape == (4, classes, classes)
    for i in range(4):
        for truth in range(classes):
            for found in range(classes):
                expected = int(((labels[i] == truth) & (predictions[i] == found)).sum())
                assert int(counts[i, truth, found]) == expected
    assert int(counts[2].sum()) == 0


def test_ignored_pixels_do_not_count() -> None:
    predictions, labels = pair(2, 2, ignored=0.5)
    changed = torch.where(labels == IGNORE, 1 - predictions, predictions)
    assert not torch.equal(predictions, changed)
    assert torch.equal(confusion(predictions, labels, 2), confusion(changed, labels, 2))


def test_by_hand() -> None:
    counts = torch.tensor([[6, 2], [1, 3]])
    assert iou(counts).tolist() == pytest.approx([6 / 9, 3 / 6])
    assert mean_iou(counts) == pytest.approx((6 / 9 + 3 / 6) / 2)


def test_classes_absent_from_the_truth_are_left_out_even_where_predicted() -> None:
    counts = torch.tensor([[6, 0, 2], [0, 2, 0], [0, 0, 0]])
    found = iou(counts).tolist()
    assert found[:2] == pytest.approx([6 / 8, 1.0])
    assert math.isnan(found[2])
    assert mean_iou(counts) == pytest.approx((6 / 8 + 1) / 2)


def test_nothing_counted_is_undefined() -> None:
    assert math.isnan(mean_iou(torch.zeros(2, 2, dtype=torch.long)))


def test_means_of_other_orders_are_other_numbers() -> None:
    """A large image answered well and a small one answered badly: summed counts are not the mean over images."""
    large = torch.tensor([[900, 0], [10, 90]])
    small = torch.tensor([[4, 0], [3, 1]])
    summed = mean_iou(large + small)
    by_image = (mean_iou(large) + mean_iou(small)) / 2
    assert summed == pytest.approx((904 / 917 + 91 / 104) / 2)
    assert abs(summed - by_image) > 0.1


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.375), (0.5, 0.25), (0.4, 0.3)])
def test_answering_background_everywhere(share: float, expected: float) -> None:
    """Two classes: half of the background's share, so 0.30 is what a network scores that predicts no pet at all."""
    pet = round(1000 * share)
    labels = torch.zeros(1, 10, 100, dtype=torch.uint8)
    labels.view(-1)[:pet] = 1
    assert mean_iou(confusion(torch.zeros(1, 10, 100, dtype=torch.long), labels, 2)[0]) == pytest.approx(expected)


@pytest.mark.parametrize("value", [-1, -100, 255, 200, 2])
@pytest.mark.parametrize("kind", [torch.int64, torch.int16, torch.float32, np.int64, np.float64])
def test_labels_of_no_class_are_left_out_where_that_is_said_and_refused_else(value: int, kind: object) -> None:
    predictions, labels = pair(3, 2, ignored=0)
    perfect = labels.long().clone()
    perfect[1, 2, :4] = value
    given = perfect.to(kind) if isinstance(kind, torch.dtype) else perfect.numpy().astype(kind)
    counts = confusion(labels, given, 2, ignore=(value, 77))
    assert mean_iou(counts.sum(0)) == 1
    assert counts.sum((1, 2)).tolist() == [63, 59, 63]
    if value != IGNORE:
        with pytest.raises(InputError, match=rf"4 pixels have the label {value}, .*classes are 0 to 1.*ignore="):
            confusion(predictions, given, 2)


@pytest.mark.parametrize("value", [-1, 2, 200, 255])
def test_a_prediction_of_no_class_is_refused_unless_its_pixel_is_left_out(value: int) -> None:
    predictions, labels = pair(4, 2, ignored=0)
    predictions[0, 0, :3] = value
    with pytest.raises(InputError, match=rf"3 pixels have the prediction {value}, and the classes are 0 to 1"):
        confusion(predictions, labels, 2)
    labels[0, 0, :3] = IGNORE
    assert int(confusion(predictions.numpy(), labels.numpy(), 2).sum()) == 3 * 63 - 3


@pytest.mark.parametrize(
    "cut", [lambda p, y: (p[0], y[0]), lambda p, y: (p, y[:1]), lambda p, y: (p[:, None].float(), y)]
)
def test_shapes_that_do_not_fit_are_refused(cut: object) -> None:
    with pytest.raises(InputError, match=r"equal shapes, \(images, rows, columns\)"):
        confusion(*cut(*pair(5, 2)), 2)  # type: ignore[operator]
    with pytest.raises(InputError, match=r"over a split confusion"):
        iou(confusion(*pair(5, 2), 2))


def test_large_counts_are_exact() -> None:
    assert iou(torch.tensor([[2**30 + 1, 0], [1, 2**30]]))[1].item() == 2**30 / (2**30 + 1)
