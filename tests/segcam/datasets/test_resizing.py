"""Images keep their aspect ratio where that is asked for: padded with a valid region, or left as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segcam.datasets import DatasetOptions
from segcam.datasets.resizing import resized
from segcam.errors import InputError
from segcam.samples import IGNORE, Batch
from tests.segcam.datasets.described.roots import Root

TWO = 'classes = ["background", "x"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.describe(TWO)
    return made


def wide(rows: int, columns: int) -> np.ndarray:
    mask = np.zeros((rows, columns), np.uint8)
    mask[:, : columns // 2] = 1
    return mask


def test_padding_is_around_the_picture(root: Root) -> None:
    root.fill({"wide": wide(16, 32), "high": wide(32, 16), "square": wide(24, 24), "thin": wide(1, 64)})
    samples = root.samples(resize="pad")
    valid = samples["wide"].valid
    assert valid is not None
    assert valid.any(1).tolist() == [False] * 4 + [True] * 8 + [False] * 4
    assert valid.all(1).sum() == 8
    assert samples["high"].valid is not None
    assert samples["high"].valid.any(0).tolist() == [False] * 4 + [True] * 8 + [False] * 4
    assert samples["square"].valid is None
    assert samples["thin"].valid is not None
    assert samples["thin"].valid.sum() == 16
    for sample in samples.values():
        inside = np.ones((16, 16), bool) if sample.valid is None else sample.valid
        assert (sample.mask[~inside] == IGNORE).all()
        assert (sample.image[~inside] == [124, 116, 104]).all(), "the mean, which networks see as about 0"
        assert not (sample.mask[inside] == IGNORE).any()
    np.testing.assert_array_equal(samples["wide"].mask[4:12], np.repeat([[1, 0]], 8, 1).repeat(8, 0))
    batch = Batch.of(list(samples.values()))
    assert batch.valid is not None
    assert batch.inputs()[~batch.valid[:, None].expand(-1, 3, -1, -1)].abs().max() < 0.01


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pixels_keep_their_places(dtype: str, channels: int) -> None:
    """Of a picture of blocks, each of which becomes a pixel."""
    small = np.arange(8 * 16 * channels).reshape(8, 16, channels).astype(dtype) % 200
    labels = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16) % 7
    image, mask = (array.repeat(4, 0).repeat(4, 1) for array in (small, labels))
    padded, padded_labels, box = resized(image, mask, 16, "pad", (9.0,) * channels)
    assert box == (4, 0, 8, 16)
    assert padded.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(padded_labels[4:12], labels)
    assert abs(padded[5:11, 1:15].astype(float) - small[1:7, 1:15]).max() <= 60  # antialiased with its neighbours
    assert (padded[[0, 3, 12, 15]] == 9).all()
    squashed, squashed_labels, none = resized(image, mask, 16, "squash", (9.0,) * channels)
    assert none is None
    np.testing.assert_array_equal(squashed_labels[::2], labels)
    assert squashed.shape == (16, 16, channels)


def test_as_they_are(root: Root) -> None:
    root.fill({f"{i}": wide(20, 36) for i in range(4)})
    for sample in root.samples(resize="none").values():
        assert sample.image.shape == (20, 36, 3)
        np.testing.assert_array_equal(sample.mask, wide(20, 36))
        assert sample.valid is None
    root.fill({"other": wide(36, 20)})
    text = root.error(
        "(1 in all)", "other is 20 x 36, 0 36 x 20: resize = 'none' needs images of one size", resize="none"
    )
    assert "take 'pad' or 'squash'" in text
    assert len(root.samples(resize="pad")) == 5


def test_ways_do_not_share_a_cache(root: Root) -> None:
    root.fill({f"{i}": wide(16, 32) for i in range(4)})
    shapes = {way: root.samples(resize=way)["0"].mask.sum() for way in ("squash", "pad", "none")}
    assert len(set(shapes.values())) == 3
    again = {way: root.samples(resize=way)["0"].mask.sum() for way in ("squash", "pad", "none")}
    assert again == shapes


def test_the_padding_has_the_mean_of_the_channels(root: Root) -> None:
    for i in range(4):
        root.save(f"images/{i}.npy", np.full((16, 32), 1000, np.uint16))
        root.save(f"masks/{i}.png", wide(16, 32))
    sizes = []
    for mean in (0.25, 0.5):
        root.describe(TWO + f"inputs = {{channels = 1, bits = 12, mean = {mean}, std = 0.1}}\n")
        sample = root.samples(resize="pad")["0"]
        assert sample.image[0, 0, 0] == round(mean * 4095)
        assert sample.image[8, 8, 0] == 1000
        sizes.append(Batch.of([sample]).inputs()[0, 0, 0, 0])
    torch.testing.assert_close(torch.stack(sizes), torch.zeros(2), atol=0.01, rtol=0)


def test_no_other_way() -> None:
    with pytest.raises(InputError, match="unknown resize 'crop': known are none, pad, squash"):
        DatasetOptions(resize="crop")  # type: ignore[arg-type]
