"""The display transform: what becomes bright, what is said of it, and that it needs no torch."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from segcam import InputError
from segcam.draw import display
from segcam.draw.display import Display

MAP = np.abs(np.random.default_rng(0).standard_normal((40, 50))) ** 4


def test_neither_torch_nor_matplotlib_is_imported() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['matplotlib'] = None\n"
        "import numpy, segcam.draw\n"
        "from segcam.draw import Display\n"
        "print(Display.of(numpy.eye(3)).upper)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"


def test_colours_are_those_of_inferno() -> None:
    wanted = 255 * mpl.colormaps["inferno"](np.arange(256))[:, :3]
    assert np.abs(display.COLOURS - wanted).max() <= 1.2


def test_the_upper_end_is_the_percentile_of_the_positive_values() -> None:
    shown = Display.of(np.where(MAP > 1, MAP, -MAP))
    positive = np.sort(MAP[MAP > 1])
    place = 0.995 * (len(positive) - 1)
    low = int(place)
    wanted = positive[low] + (place - low) * (positive[low + 1] - positive[low])
    assert shown.upper == pytest.approx(wanted)
    assert shown.peak == MAP.max()
    assert shown.share == pytest.approx(wanted / MAP.max())


def test_values_are_lifted_by_the_gamma_and_cut_at_the_upper_end() -> None:
    shown = Display.of(MAP)
    given = np.array([-1.0, 0.0, shown.upper / 100, shown.upper / 2, shown.upper, shown.peak])
    np.testing.assert_allclose(shown.values(given), [0, 0, 0.01**0.6, 0.5**0.6, 1, 1])


def test_one_cell_does_not_darken_all_others() -> None:
    """What the figures were faint of: a map with one cell of 100 times the others."""
    odd = MAP.copy()
    odd[3, 4] = 100 * MAP.max()
    assert Display.of(odd).values(odd).mean() == pytest.approx(Display.of(MAP).values(MAP).mean(), rel=0.05)
    assert Display.of(odd, raw=True).values(odd).mean() < 0.1 * Display.of(MAP, raw=True).values(MAP).mean()


def test_raw_is_linear_up_to_the_maximum() -> None:
    shown = Display.of(MAP, raw=True)
    np.testing.assert_allclose(shown.values(MAP), MAP / MAP.max())
    assert shown.words == "brightest colour: a map's maximum; linear"


def test_a_common_scale_is_said() -> None:
    halves = MAP / MAP.max()
    shown = [Display.of(factor * halves, upper=0.5) for factor in (1, 2)]
    np.testing.assert_allclose(shown[1].values(halves), (2 * halves).clip(max=1) ** 0.6)
    assert display.in_words(shown) == "brightest colour: 0.5 (0.25 to 0.50 of a map's maximum); gamma 0.6"


@pytest.mark.parametrize("upper", [0, -1.0, float("nan"), float("inf")])
def test_an_upper_end_that_is_none_is_refused(upper: float) -> None:
    with pytest.raises(InputError, match=f"upper is {upper}: a positive number is needed"):
        Display.of(MAP, upper=upper)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((3, 3)), "blank: zero everywhere"),
        (-MAP - 1, "blank: negative everywhere"),
        (np.array([0.0, -1.0]), "blank: no value above zero"),
        (np.full((2, 2), np.nan), "undefined: NaN"),
        (np.array([1.0, np.nan]), "undefined: some values are NaN"),
        (np.array([1.0, np.inf]), "undefined: infinite values"),
        (np.zeros((0, 3)), "no map: it has no cell"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_what_cannot_be_drawn_says_why(values: np.ndarray, reason: str, raw: bool) -> None:
    shown = Display.of(values, raw=raw)
    assert shown.reason == shown.words == reason
    assert not shown.values(np.ones((2, 2))).any()
    assert np.isnan(shown.upper)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_the_scale_of_a_map_changes_nothing(scale: float) -> None:
    np.testing.assert_allclose(Display.of(scale * MAP).values(scale * MAP), Display.of(MAP).values(MAP), rtol=1e-9)


def test_nothing_gets_darker_where_the_map_is_higher() -> None:
    steps = np.linspace(0, 1, 256)[None]
    for grey in (0, 128, 255):
        ground = display.dimmed(np.full((1, 256, 3), grey, np.uint8), (1, 256))
        luminance = display.blended(steps, ground) @ [0.299, 0.587, 0.114]
        assert np.diff(luminance[0]).min() > -0.004, "but for steps of 8 bits"
        assert luminance[0, -1] > luminance[0, 0] + 0.4


def test_the_photograph_is_seen_beneath_where_the_map_is_zero() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    ground = display.dimmed(photograph, (20, 30))
    wanted = 0.45 * (photograph @ [0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(ground, np.repeat(wanted[..., None], 3, axis=-1), atol=0.45 / 255)
    np.testing.assert_allclose(display.blended(np.zeros((20, 30)), ground), ground, atol=4.1 / 255)
