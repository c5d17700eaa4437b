"""Overlays and errors as pixels: whose pixels, whatever they are given as, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segcam import InputError
from segcam.draw import Display, display, errors, overlay
from segcam.draw.given import photograph
from segcam.scoring.grids import Placement, upsample

SIZE = (48, 64)
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
MAP = np.random.default_rng(1).random((6, 8)) ** 3
MASK = np.zeros(SIZE, bool)
MASK[10:30, 20:50] = True


def test_an_overlay_is_the_display_transform_of_the_upsampled_map() -> None:
    large = upsample(torch.from_numpy(MAP)[None, None], SIZE)[0, 0].numpy()
    wanted = display.blended(Display.of(MAP).values(large), display.dimmed(PHOTOGRAPH, SIZE))
    drawn = overlay(PHOTOGRAPH, MAP)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (*SIZE, 3))
    np.testing.assert_allclose(drawn, 255 * wanted, atol=0.51)


def test_whatever_a_picture_is_given_as_it_is_drawn_alike() -> None:
    wanted = overlay(PHOTOGRAPH, MAP, MASK, ~MASK)
    first = torch.from_numpy(PHOTOGRAPH).permute(2, 0, 1)
    pictures = (
        *(Image.fromarray(PHOTOGRAPH), Image.fromarray(PHOTOGRAPH).convert("RGBA"), first, first[None], first / 255),
        *(PHOTOGRAPH / 255, PHOTOGRAPH[None], np.dstack([PHOTOGRAPH, PHOTOGRAPH[..., 0]]), first.numpy()),
    )
    for given in pictures:
        np.testing.assert_array_equal(overlay(given, MAP, MASK, ~MASK), wanted)
    maps = (torch.from_numpy(MAP), torch.from_numpy(MAP)[None, None].requires_grad_(), MAP.tolist(), MAP[None])
    for values in maps:
        np.testing.assert_array_equal(overlay(PHOTOGRAPH, values, MASK, ~MASK), wanted)
    half = overlay(PHOTOGRAPH, torch.from_numpy(MAP).bfloat16(), MASK, ~MASK)
    assert np.abs(half.astype(int) - wanted).mean() < 1
    classes = np.where(MASK, 7, 3).astype(np.uint8)
    masks = (Image.fromarray(MASK), torch.from_numpy(MASK), MASK.astype(np.int64), MASK[None])
    for mask in masks:
        np.testing.assert_array_equal(overlay(PHOTOGRAPH, MAP, mask, ~MASK), wanted)
    as_classes = overlay(PHOTOGRAPH, MAP, Image.fromarray(classes), 10 - classes, class_id=7)
    np.testing.assert_array_equal(as_classes, wanted)


def test_grey_and_transparent_pictures_become_colours() -> None:
    grey = PHOTOGRAPH[..., 0]
    for given in (grey, grey[..., None], Image.fromarray(grey), torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(photograph(given), np.repeat(grey[..., None], 3, axis=-1))
    palette = Image.fromarray(PHOTOGRAPH).quantize(256)
    assert photograph(palette).shape == (*SIZE, 3)


def test_a_placed_map_has_its_peak_at_its_cells_centre() -> None:
    """Behind a 3 x 3 convolution of stride 2 and padding 1 cell i looks at pixel 2 i."""
    cells = np.zeros((24, 32))
    cells[5, 9] = 1
    placed = overlay(None, cells, placement=Placement((0, 0), (2, 2)), size=SIZE, mask=np.zeros(SIZE, bool))
    bright = placed.astype(int).sum(axis=-1)
    assert np.argwhere(bright == bright.max()).tolist() == [[10, 18]]
    stretched = overlay(None, cells, mask=np.zeros(SIZE, bool)).astype(int).sum(axis=-1)
    assert np.argwhere(stretched == stretched.max()).tolist() == [[y, x] for y in (10, 11) for x in (18, 19)]


def test_a_placement_follows_the_photograph_that_was_resized_for_the_network() -> None:
    cells = np.zeros((12, 16))
    cells[3, 5] = 1
    place = Placement((0, 0), (2, 2))  # on an input of half the photograph's size
    with pytest.raises(InputError, match=r"does not span a photograph of 48 x 64 pixels: .* size=\(rows, columns\)"):
        overlay(PHOTOGRAPH, cells, placement=place)
    bright = overlay(None, cells, np.zeros(SIZE, bool), placement=place, size=(24, 32)).astype(int).sum(axis=-1)
    peak = np.argwhere(bright == bright.max()).mean(axis=0)
    np.testing.assert_allclose(peak, [2 * 6 + 0.5, 2 * 10 + 0.5])


def test_outlines_lie_within_their_regions_and_are_thin() -> None:
    plain, drawn = overlay(PHOTOGRAPH, MAP), overlay(PHOTOGRAPH, MAP, MASK)
    line = (drawn == display.MASK).all(axis=-1)
    edge = MASK.copy()
    edge[11:29, 21:49] = False
    np.testing.assert_array_equal(line, edge)
    np.testing.assert_array_equal(drawn[~line], plain[~line])
    dashed = (overlay(PHOTOGRAPH, MAP, None, MASK) == display.PREDICTION).all(axis=-1)
    assert 0.4 * edge.sum() < (dashed & edge).sum() < 0.8 * edge.sum()
    assert not (dashed & ~edge).any()


@pytest.mark.parametrize("slope", [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_dashes_run_along_every_line(slope: tuple[int, int]) -> None:
    rows, columns = np.mgrid[:200, :200]
    region = slope[0] * rows + slope[1] * columns >= slope[0] * 100 + slope[1] * 100
    line = (overlay(None, MAP, None, region) == display.PREDICTION).all(axis=-1)[5:-5, 5:-5]
    along = line.any(axis=1) if slope[0] == 0 else line.any(axis=0)
    drawn = np.flatnonzero(along)
    assert 0.4 < len(drawn) / len(along) < 0.9
    assert np.diff(drawn).max() < 12


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), np.nan), -MAP, "left out: it has no grid"])
def test_what_has_no_map_is_hatched_with_the_reason(values: object) -> None:
    photograph = np.full((120, 160, 3), 90, np.uint8)
    drawn = overlay(photograph, values)
    hatched = display.to_bytes(display.hatched(display.dimmed(photograph, (120, 160))))
    words = (drawn != hatched).any(axis=-1)
    assert 0.02 < words.mean() < 0.5
    assert drawn[words].max() == 240, "letters are light"
    small = overlay(photograph[:12, :12], values)
    assert (small == display.to_bytes(display.hatched(display.dimmed(photograph[:12, :12], (12, 12))))).all()


def test_errors_are_hits_misses_and_false_alarms() -> None:
    prediction = np.roll(MASK, 5, axis=1)
    drawn = errors(prediction, MASK)
    for name, where in (("hit", prediction & MASK), ("miss", ~prediction & MASK), ("false alarm", prediction & ~MASK)):
        wanted = np.rint(0.7 * np.array(display.ERRORS[name]))
        assert where.any()
        assert (drawn[where] == wanted).all()
    assert not drawn[~prediction & ~MASK].any()
    classes = np.where(MASK, 1, 0)
    classes[:12] = 255
    counted = errors(np.where(prediction, 1, 0), classes, class_id=1)
    assert not counted[:12].any()
    np.testing.assert_array_equal(counted[12:], drawn[12:])


REFUSED = {
    "network's input": (
        lambda: overlay(np.full((8, 8, 3), -1.5), MAP),
        r"floats are from -1.5 to -1.5, not from 0 to 1",
    ),
    "floats to 255": (lambda: overlay(PHOTOGRAPH.astype(float), MAP), "of values up to 255 photograph / 255"),
    "integers": (lambda: overlay(PHOTOGRAPH.astype(int), MAP), "the photograph is int64: uint8, or floats"),
    "16 bits": (lambda: overlay(Image.new("I;16", (8, 8)), MAP), "the photograph has mode I;16: 8 bits"),
    "five channels": (lambda: overlay(np.zeros((8, 8, 5), np.uint8), MAP), "one, three or four channels are needed"),
    "two images": (lambda: overlay(torch.zeros(2, 3, 8, 8), MAP), "one image, .* is needed"),
    "a path": (lambda: overlay("cat.png", MAP), r"'cat.png': give an array, .*PIL.Image.open\(path\)"),
    "a Path": (lambda: overlay(Path("cat.png"), MAP), r"PIL.Image.open\(path\)"),
    "no pixel": (lambda: overlay(np.zeros((0, 8, 3), np.uint8), MAP), "it has no pixel"),
    "many maps": (lambda: overlay(PHOTOGRAPH, np.zeros((2, 8, 8))), r"one map, \(h, w\), is needed"),
    "words": (lambda: overlay(PHOTOGRAPH, np.array([["a"]])), "a tensor or an array of real numbers is needed"),
    "mask's size": (lambda: overlay(PHOTOGRAPH, MAP, MASK.T), r"the mask is \(64, 48\), .*\(are its axes swapped\?\)"),
    "prediction's size": (
        lambda: overlay(PHOTOGRAPH, MAP, MASK, MASK[:9]),
        "the prediction is .* photograph's size first",
    ),
    "classes": (
        lambda: overlay(PHOTOGRAPH, MAP, 7 * MASK),
        r"the mask holds 7: .*, such as mask == 7; of class indices .*",
    ),
    "0 and 255": (lambda: overlay(PHOTOGRAPH, MAP, 255 * MASK), r"the mask holds 255: .*, such as mask == 255;"),
    "a map that is none": (lambda: overlay(PHOTOGRAPH, None), "the map's values are None"),
    "placement": (lambda: overlay(PHOTOGRAPH, MAP, placement=2), "a placement is a segcam.scoring.grids.Placement"),
    "upper of words": (lambda: overlay(PHOTOGRAPH, MAP, upper="high"), "upper is 'high': a positive number is needed"),
    "fractions": (lambda: overlay(PHOTOGRAPH, MAP, 0.5 * MASK, class_id=1), "hold 0.5: whole numbers are needed"),
    "class": (lambda: overlay(PHOTOGRAPH, MAP, MASK, class_id="cat"), "the class is 'cat': a whole number is needed"),
    "nothing": (lambda: overlay(None, "no map"), "there is nothing to draw"),
    "upper": (lambda: overlay(PHOTOGRAPH, MAP, upper=0), "upper is 0: a positive number is needed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_one_error(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        call()


def test_without_a_photograph_the_ground_is_black() -> None:
    assert overlay(None, MAP).shape == (6, 8, 3)
    drawn = overlay(None, MAP, MASK)
    assert drawn.shape == (*SIZE, 3)
    np.testing.assert_array_equal(overlay(np.zeros_like(PHOTOGRAPH), MAP, MASK), drawn)
