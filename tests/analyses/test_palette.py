"""Pictures in few colours: plain areas keep theirs, and how far any is off is told."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from analyses import palette


def few(pixels, colours):
    """Return a picture in few colours, (rows, columns, 3), and what is told of its plain areas."""
    made = palette.reduced(Image.fromarray(pixels), colours)
    shown = np.array(made.picture.convert("RGB")).astype(int)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= colours
    return shown, made.off


def test_those_of_a_key_are_kept():
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    noise[5:15, 5:25] = (243, 159, 228)
    shown, off = few(noise, 64)
    assert (shown[10, 10] == (243, 159, 228)).all()
    assert off == 0


@pytest.mark.parametrize("upright", [False, True])
def test_a_colour_bar_keeps_its_colours_be_they_never_so_rare(upright):
    """Of a bar whose red half no cell has: a median cut makes it grey."""
    page = np.full((400, 400, 3), 255, np.uint8)
    page[:300] = np.random.default_rng(0).integers(0, 256, (300, 400, 1), dtype=np.uint8) // 4 * (0, 1, 3)
    bar = np.linspace((150, 0, 0), (255, 255, 255), 40).astype(np.uint8)
    page[350:360, 100:180] = np.repeat(bar, 2, axis=0)
    if upright:
        page = np.ascontiguousarray(page.transpose(1, 0, 2))
    shown, off = few(page, 96)
    whole = page.astype(int)
    assert (shown[380, 380] == 255).all()
    part = (slice(100, 180), slice(350, 360)) if upright else (slice(350, 360), slice(100, 180))
    assert off == abs(shown[part] - whole[part]).max() <= palette.NEAR


def test_where_plain_areas_have_more_colours_than_there_are_how_far_they_are_off_is_told():
    areas = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    shown, off = few(areas, 32)
    assert off == abs(shown - areas.astype(int)).max() > palette.NEAR


def test_a_picture_smaller_than_any_plain_area_is_nearly_as_it_was():
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    shown, off = few(pixels, 16)
    assert abs(shown - pixels.astype(int)).max() <= 8
    assert off == 0
