"""Samples and batches: what is not as it must be is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam import Batch, DataError, InputError, Sample
from segcam.channels import Channels
from segcam.metrics import METRICS, measure
from segcam.samples import IGNORE, with_border
from segcam.scoring.reference import Scenery

IMAGE, MASK = np.zeros((8, 6, 3), np.uint8), np.zeros((8, 6), np.uint8)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (IMAGE.astype(np.float32), MASK, r"image 'odd' is float32 \(8, 6, 3\): uint8 \(8, 6, 3\) is needed"),
        (IMAGE[..., 0], MASK, r"image 'odd' is uint8 \(8, 6\)"),
        (np.zeros((4, 6, 3), np.uint8), MASK, r"image 'odd' is uint8 \(4, 6, 3\)"),
        (IMAGE, MASK.astype(np.int64), r"mask 'odd' is int64"),
        (IMAGE.tolist(), MASK, r"image and mask 'odd' are list and ndarray: numpy arrays are needed"),
        (IMAGE, torch.from_numpy(MASK), r"image and mask 'odd' are ndarray and Tensor"),
        (IMAGE[:0], MASK[:0], r"image 'odd' is \(0, 6, 3\): it has no pixel"),
        (IMAGE, MASK[:4], r"mask 'odd' is uint8 \(4, 6\): uint8 \(8, 6\) is needed"),
    ],
)
def test_odd_samples_are_named(image: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Batch.of([Sample("fine", IMAGE, MASK), Sample("odd", image, mask)])


def test_an_empty_batch() -> None:
    with pytest.raises(DataError, match="at least one sample"):
        Batch.of([])


def test_borders() -> None:
    masks = torch.tensor([[[0, 1, IGNORE]]], dtype=torch.uint8)
    assert [with_border(masks, border)[0, 0, 2].item() for border in ("ignore", "pet", "background")] == [IGNORE, 1, 0]
    assert with_border(masks, "pet", 3)[0, 0, 2] == 3
    with pytest.raises(InputError, match="unknown border 'dog': known are background, ignore, pet"):
        with_border(masks, "dog")  # type: ignore[arg-type]


def test_inputs_and_luminance() -> None:
    white = Batch.of([Sample("white", IMAGE + 255, MASK)])
    assert torch.allclose(white.luminance(), torch.ones(1, 8, 6))
    assert torch.allclose(white.inputs()[0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.64]), atol=1e-3)


def test_slips_in_measuring_are_explained() -> None:
    reference = Scenery.of(Batch.of([Sample("a", IMAGE, MASK)])).on((4, 3))
    with pytest.raises(InputError, match=r"maps are \(1, 4, 3\)"):
        measure(torch.ones(1, 4, 3), reference, list(METRICS))
    with pytest.raises(InputError, match=r"unknown metric 'spred'.*did you mean 'spread'"):
        measure(torch.ones(1, 1, 4, 3), reference, ["spred"])


def test_padding_is_ignored_and_no_border() -> None:
    valid = np.zeros((8, 6), np.bool_)
    valid[:5] = True
    mask = MASK.copy()
    mask[0] = IGNORE
    batch = Batch.of([Sample("padded", IMAGE, mask, valid=valid), Sample("whole", IMAGE, MASK)])
    assert batch.valid is not None
    assert batch.valid.tolist() == [valid.tolist(), np.ones((8, 6)).astype(bool).tolist()]
    assert (batch.masks[0, 5:] == IGNORE).all()
    assert not batch.background(1)[0, 5:].any()
    assert batch.background(1)[1].all()
    assert not (mask[5:] == IGNORE).any(), "the sample's own mask stays as it was"
    as_pet = with_border(batch.masks, "pet", 1, batch.valid)
    assert (as_pet[0, 0] == 1).all()
    assert (as_pet[0, 5:] == IGNORE).all()
    assert Batch.of([Sample("whole", IMAGE, MASK)]).valid is None


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (np.ones((8, 6), np.uint8), r"valid region 'odd' is uint8 \(8, 6\): bool \(8, 6\) is needed"),
        (np.ones((6, 8), np.bool_), r"valid region 'odd' is bool \(6, 8\)"),
        (np.zeros((8, 6), np.bool_), "valid region 'odd' is empty"),
    ],
)
def test_odd_valid_regions_are_named(valid: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Batch.of([Sample("odd", IMAGE, MASK, valid=valid)])


def test_other_channels_than_rgb() -> None:
    grey = Channels((0.5,), (0.25,), 0, 65535)
    image = np.array([[[0], [65535]]], np.uint16)
    batch = Batch.of([Sample("grey", image, np.zeros((1, 2), np.uint8), channels=grey)])
    assert batch.inputs().tolist() == [[[[-2, 2]]]]
    assert batch.luminance().tolist() == [[[0, 1]]]
    assert batch.displayed()[0, :, 0].tolist() == [[0, 255]] * 3
    four = Channels((0.0,) * 4, (1.0,) * 4, -1, 1)
    pixel = np.array([[[-1, 0, 1, 0.5]]], np.float32)
    batch = Batch.of([Sample("four", pixel, MASK[:1, :1], channels=four)])
    assert batch.inputs().flatten().tolist() == [0, 0.5, 1, 0.75]
    assert batch.luminance().item() == pytest.approx(2.25 / 4)
    assert batch.displayed().flatten().tolist() == [0, 128, 255]
    two = Channels((0.0,) * 2, (1.0,) * 2, 0, 1)
    pixel = np.array([[[0.2, 1.5]]], np.float32)
    assert Batch.of([Sample("two", pixel, MASK[:1, :1], channels=two)]).displayed().flatten().tolist() == [51, 255, 0]
    with pytest.raises(DataError, match=r"'four' is float32 \(1, 1, 2\): uint8 or uint16 or float32 \(1, 1, 4\)"):
        Batch.of([Sample("four", pixel, MASK[:1, :1], channels=four)])
    pair = [Sample(f"{kind}", image.astype(kind), MASK[:1, :2], channels=grey) for kind in ("uint16", "float32")]
    with pytest.raises(DataError, match="images 'uint16' and 'float32' differ in dtype or channels"):
        Batch.of(pair)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((), ()), "0 means and 0 deviations"),
        (((0.5,), (0.2, 0.2)), "1 means and 2 deviations"),
        (((0.5,), (0.0,)), "each must be greater than 0"),
        (((float("nan"),), (0.1,)), "must be finite"),
        (((0.5,), (0.1,), 1, 1), "range 1 to 1"),
    ],
)
def test_channels_that_cannot_be(values: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Channels(*values)
