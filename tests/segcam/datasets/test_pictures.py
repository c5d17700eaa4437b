"""Image files: what is read, and that any bytes at all are a picture or one line that says what is wrong."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segcam.datasets.pictures import FORMATS, read_photograph, read_values
from segcam.errors import DataError

MAGIC = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff\xe0",
    "BMP": b"BM",
    "TIFF": b"II*\0",
    "WEBP": b"RIFF\x40\0\0\0WEBP",
    "GIF": b"GIF89a",
    "PPM": b"P5 ",
}
MODES = {"JPEG": ("L", "RGB", "CMYK"), "WEBP": ("RGB", "RGBA"), "GIF": ("L", "P"), "PPM": ("1", "L", "I;16", "RGB")}
MODES |= {"BMP": ("1", "L", "P", "RGB"), "PNG": ("1", "L", "P", "I;16", "LA", "RGB", "RGBA")}
MODES |= {"TIFF": ("1", "L", "P", "I;16", "I", "F", "LA", "RGB", "CMYK", "LAB")}
COLOURS = [[9, 9, 9], [200, 0, 0], [0, 0, 200]]


@cache
def saved(kind: str, mode: str) -> bytes:
    """A picture of 6 x 4 pixels."""
    values = np.arange(24, dtype=np.uint8).reshape(4, 6) % 3
    picture = Image.fromarray({"I;16": values.astype(np.uint16), "1": values > 0}.get(mode, values))
    if mode == "P":
        picture.putpalette(bytes(np.array(COLOURS, np.uint8)))
    elif mode not in ("1", "I;16"):
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, format=kind)
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of one of the formats in which some bytes were changed, doubled or lost."""
    kind = draw(st.sampled_from(FORMATS))
    content = bytearray(saved(kind, draw(st.sampled_from(MODES[kind]))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content) - 1))
        match draw(st.sampled_from(["byte", "bits", "double", "lose", "end"])):
            case "byte":
                content[at] = draw(st.sampled_from([0, 1, 127, 128, 255]))
            case "bits":
                content[at] ^= draw(st.integers(1, 255))
            case "double":
                content[at:at] = content[at : at + 8]
            case "lose":
                del content[at : at + draw(st.integers(1, 8))]
            case "end":
                del content[at:]
        if not content:
            break
    return bytes(content)


anything = st.one_of(
    damaged(), st.builds(lambda kind, more: MAGIC[kind] + more, st.sampled_from(FORMATS), st.binary(max_size=64))
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=anything)
def test_any_bytes_are_a_picture_or_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.png"
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # as the decoder of all does
        try:
            image = read_photograph(file).image
        except DataError as error:
            one_line(error, file)
        else:
            assert image.mode == "RGB"
            assert np.asarray(image).shape == (*image.size[::-1], 3)
        try:
            values, palette, _ = read_values(file, "mask")
        except DataError as error:
            one_line(error, file)
        else:
            assert values.ndim == 2
            assert np.issubdtype(values.dtype, np.integer)
            assert all(len(colour) == 3 for colour in palette)


def one_line(error: DataError, file: Path) -> None:
    text = str(error)
    assert str(file) in text
    assert len(text.splitlines()) == 1
    assert len(text) < len(str(file)) + 400


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in FORMATS for mode in MODES[kind]])
def test_masks_are_whole_numbers_of_one_channel_or_refused(tmp_path: Path, kind: str, mode: str) -> None:
    file = tmp_path / "mask"
    file.write_bytes(saved(kind, mode))
    if mode in ("CMYK", "LAB") or kind in ("JPEG", "WEBP"):
        lossy = kind in ("JPEG", "WEBP")
        with pytest.raises(DataError, match="which changes values" if lossy else rf"holds colours \(mode {mode}\)"):
            read_values(file, "mask")
        return
    values = np.arange(24).reshape(4, 6) % 3
    read = read_values(file, "mask")
    np.testing.assert_array_equal(read.values, values > 0 if mode == "1" else values)
    if kind != "GIF":  # which has a palette for grey values, too
        assert read.palette[:3] == (COLOURS if mode == "P" else [])


def test_a_flipped_byte_of_a_png_mask_is_never_another_mask(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, (12, 18), dtype=np.uint8)
    file = tmp_path / "mask.png"
    Image.fromarray(values).save(file)
    content = file.read_bytes()
    refused = 0
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1
        file.write_bytes(changed)
        try:
            read = read_values(file, "mask").values
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(read, values)
    assert refused > len(content) - 20


def test_a_picture_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(saved("PNG", "L"))

    def full(picture: Image.Image, mode: str) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", full)
    with pytest.raises(DataError, match=r"large.png does not fit into memory: save it smaller"):
        read_photograph(file)
