"""Names in any script: drawn by a font that has their signs, or numbers in their place, which the caption explains."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from analyses import artifacts
from analyses.plots import style
from segcam.draw import glyphs

NAMES = {"背景": "class 0", "猫": "class 1", "新 聞": "class 2", "बिल्ली": "class 3", "dog": "class 4", "🦩": "class 5"}
CLEAR = ("背景", "猫", "新 聞")


def font(file: Path, signs: str, *, drawn: bool = True) -> Path:
    """Write a font of squares for some signs; invisible ones as of fonts of coloured pictures unless `drawn`."""
    pen = TTGlyphPen(None)
    if drawn:
        for i, point in enumerate(((0, 0), (0, 700), (700, 700), (700, 0))):
            (pen.lineTo if i else pen.moveTo)(point)
        pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(sign):x}" for sign in signs)]
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(names)
    made.setupCharacterMap({ord(sign): f"u{ord(sign):x}" for sign in signs})
    made.setupGlyf(dict.fromkeys(names, square))
    made.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": file.stem, "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(file)
    return file


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose fonts are the only ones beside matplotlib's own."""
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own_fonts())
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path) for path in sorted(tmp_path.iterdir())])
    for cached in (glyphs.families, glyphs._fonts):
        cached.cache_clear()
    yield tmp_path
    for cached in (glyphs.families, glyphs._fonts):
        cached.cache_clear()


def own_fonts() -> list[font_manager.FontEntry]:
    return [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname]


def figure() -> Figure:
    with style.context():
        made = style.figure(2)
        axes = made.subplots()
        axes.set_title("outline of the mask, 猫 and 新\n聞")
        axes.set_ylabel("dog, बिल्ली, 🦩 and ☃")
        axes.set_xticks([0, 0.5, 1], ["猫", "b", "背景"])
    return made


def texts(made: Figure) -> list[str]:
    made.canvas.draw()
    axes = made.axes[0]
    return [axes.get_title(), axes.get_ylabel(), *(label.get_text() for label in axes.get_xticklabels())]


def rendered(made: Figure) -> list[bytes]:
    """The figure's files; a sign that no font draws is a warning of matplotlib's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [artifacts.Figure("a", made, "c").render(kind, 60) for kind in ("png", "svg", "pdf")]


def test_without_a_font_names_give_way_to_numbers(fonts: Path) -> None:
    made = figure()
    gone = glyphs.legible(made, NAMES)
    assert texts(made) == [
        *("outline of the mask, class 1 and class 2", "dog, class 3, class 5 and ☃"),
        *("class 1", "b", "class 0"),
    ]
    assert gone == {name: NAMES[name] for name in NAMES if name != "dog"}
    rendered(made)
    assert glyphs.legible(made, NAMES) == {}, "there is nothing left to do"
    assert "no font here has the signs of 背景, 猫, 新 聞, बिल्ली, 🦩:" in glyphs.note(NAMES)


def test_a_font_that_has_the_signs_is_fallen_back_on(fonts: Path) -> None:
    font(fonts / "Some.ttf", "猫背")
    font(fonts / "Most Sans.ttf", "猫背景新聞")
    font(fonts / "Pictures.ttf", "🦩", drawn=False)
    (fonts / "damaged.ttf").write_bytes(b"no font")
    made = figure()
    before = texts(made)
    gone = glyphs.legible(made, NAMES)
    assert gone == {"बिल्ली": "class 3", "🦩": "class 5"}, "an invisible sign is none"
    assert texts(made) == [before[0], "dog, class 3, class 5 and ☃", *before[2:]]
    assert made.axes[0].title.get_fontfamily() == ["DejaVu Sans", "Most Sans"]
    rendered(made)
    assert glyphs.note(CLEAR) == ""
    assert "the signs of बिल्ली, 🦩: figures show numbers" in glyphs.note(NAMES)


def test_a_font_that_is_installed_later_is_found(fonts: Path) -> None:
    assert glyphs.note(["猫"])
    font(fonts / "Later.ttf", "猫")
    for cached in (glyphs.families, glyphs._fonts):  # as in the next process
        cached.cache_clear()
    assert not glyphs.note(["猫"])


def test_signs_of_no_name_give_way_to_codes(fonts: Path) -> None:
    with style.context():
        made = style.figure(2)
        made.text(0.1, 0.5, "a 猫")
        made.text(0.1, 0.2, "plain ☃️ ü")
    assert glyphs.legible(made, {}) == {}
    assert [text.get_text() for text in made.texts] == ["a U+732B", "plain ☃️ ü"]
    rendered(made)


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("U-Net of 照片_\nof a cat", ["照片_ of a cat"], "U-Net of number 0"),
        (r"of a\$猫\$", ["a$猫$", "猫"], "of number 0"),
        ("Grad-CAM of 照片_2024_0…", ["照片_2024_01_02", "other"], "Grad-CAM of number 0"),
        ("照片_2024_0…", ["照片_2024_01", "照片_2024_02"], "U+7167U+7247_2024_0…"),
    ],
    ids=["broken", "marked", "cut", "cut where two begin alike"],
)
def test_names_as_figures_write_them(fonts: Path, text: str, names: list[str], wanted: str) -> None:
    with style.context():
        made = style.figure(2)
        made.text(0.1, 0.5, text)
    gone = glyphs.legible(made, {name: f"number {i}" for i, name in enumerate(names)})
    assert made.texts[0].get_text() == wanted
    assert gone == ({names[0]: "number 0"} if "number" in wanted else {})


def test_what_needs_joined_letters(fonts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older matplotlib has the letters of Arabic, and neither joins nor orders them."""
    for shapes, wanted in ((True, "\N{LEFT-TO-RIGHT MARK}2: قطة"), (False, "2: class 2")):
        monkeypatch.setattr(glyphs, "SHAPES", shapes)
        with style.context():
            made = style.figure(2)
            made.text(0.1, 0.5, "2: قطة")
        glyphs.legible(made, {"قطة": "class 2"})
        assert made.texts[0].get_text() == wanted
        assert bool(glyphs.note(["قطة"])) == (not shapes)


def test_what_latin_letters_write_is_left_as_it_is(fonts: Path) -> None:
    with style.context():
        made = style.figure(2)
        made.text(0.1, 0.5, "Straße, œuvre ↑ \N{MINUS SIGN}1.0 Ω кот")
    before = rendered(made)
    assert glyphs.legible(made, NAMES) == {}
    assert rendered(made) == before
