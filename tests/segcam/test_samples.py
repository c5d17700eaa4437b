"""Samples and batches: what is not as it must be is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam import Batch, DataError, InputError, Sample
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
    with pytest.raises(InputError, match="'spread' is not a Metric"):
        measure(torch.ones(1, 1, 4, 3), reference, ["spread"])
