"""Names in any script: a figure's text falls back on a font that has its signs, else names give way to numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from functools import cache

import matplotlib.figure
from matplotlib import font_manager, ft2font
from matplotlib.axis import Axis
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

SHAPES = hasattr(ft2font, "__libraqm_version__")
"""Whether matplotlib joins letters and orders them from right to left; before 3.11 it does neither."""
JOINED = ((0x0590, 0x08FF), (0x0900, 0x109F), (0x1780, 0x17FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFF))
"""Scripts whose letters are joined or run from right to left, Hebrew and Arabic to Burmese and Khmer."""
IGNORED = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Categories of signs that are not seen."""
SELECTORS = range(0xFE00, 0xFE10)
"""Signs that choose between forms of the one before, such as an emoji's."""
TO_THE_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
"""Before a line that holds names written to the left: without it all of the line would run as they do."""
UNFIT = ("Last Resort", "Math", "STIX", "cm", "Display", "Mono", "Serif", "Italic", "Oblique")
"""In names of fonts that are no text's, or whose look does not go with the figures'."""


def legible(figure: matplotlib.figure.Figure, names: Mapping[str, str]) -> dict[str, str]:
    """Let a figure's text be drawn with the signs that it holds, in place.

    Text whose signs its own font lacks get further fonts to fall back on. Where none has them names give way to their
    numbers, and other signs to their code.

    Args:
        figure: the figure, drawn or not.
        names: what may stand for a name.

    Returns:
        The names that gave way, with what stands for them.
    """
    gone: dict[str, str] = {}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        if lacking := _lacking(text.get_text(), _file(text)):
            text.set_fontfamily([*text.get_fontfamily(), *families(lacking)])
            text.set_text(_replaced(text.get_text(), names, lacking, gone))
        if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in text.get_text()):
            text.set_text("\n".join(f"{TO_THE_RIGHT}{line}" for line in text.get_text().split("\n")))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        _ticks(axis, names, gone)
    return gone


def note(names: Collection[str]) -> str:
    """Return the line on names for which there is no font; '' where there is one for all of them."""
    file = font_manager.findfont("DejaVu Sans")
    lost = [name for name in names if (lacking := _lacking(name, file)) and not _has(families(lacking), lacking)]
    if not lost:
        return ""
    shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if lost[5:] else "")
    return (
        f"no font here has the signs of {shown}: figures show numbers in their place; install one (Noto Sans has most "
        "scripts), and draw them anew"
    )


@cache
def families(signs: frozenset[str]) -> tuple[str, ...]:
    """Return the families of fonts here that have the most of some signs, the best first; none where none has any."""
    found: list[str] = []
    left = frozenset() if not SHAPES and any(map(_joined, signs)) else signs
    while left:
        best = max(_fonts(), key=lambda entry: (len(_drawn(entry.fname, left)), *_liking(entry)), default=None)
        if best is None or not (had := _drawn(best.fname, left)):
            break
        found.append(best.name)
        left -= had
    return tuple(found)


@cache
def _fonts() -> tuple[font_manager.FontEntry, ...]:
    """Return the fonts of upright text here, those that were installed since matplotlib last looked among them."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                font_manager.fontManager.addfont(path)
            except Exception:  # a file that is no font, or none that matplotlib can use
                continue
    return tuple(e for e in font_manager.fontManager.ttflist if not any(word in e.name for word in UNFIT))


def _liking(entry: font_manager.FontEntry) -> tuple[bool, bool, bool, str]:
    regular = entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
    return regular, "Sans" in entry.name, "Noto" in entry.name, entry.name


@cache
def _drawn(path: str, signs: frozenset[str]) -> frozenset[str]:
    """Return the signs that a font has an outline for: those of fonts of coloured pictures would be invisible."""
    had = frozenset(sign for sign in signs if ord(sign) in _charmap(path))
    if not had:
        return had
    try:
        font = FT2Font(path)
        font.set_size(10, 72)
        return frozenset(sign for sign in had if _has_outline(font, sign))
    except Exception:  # of a format that matplotlib cannot draw
        return frozenset()


def _has_outline(font: FT2Font, sign: str) -> bool:
    font.load_char(ord(sign))
    return len(font.get_path()[0]) > 0 or unicodedata.category(sign).startswith("M")


@cache
def _charmap(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except Exception:  # damaged, or of a format that matplotlib does not read
        return frozenset()


def _file(text: Text) -> str:
    return str(font_manager.findfont(text.get_fontproperties()))


def _joined(sign: str) -> bool:
    return any(low <= ord(sign) <= high for low, high in JOINED)


def _lacking(text: str, path: str) -> frozenset[str]:
    """Return the signs of a text that a font does not draw, or not as they are written."""
    if text.isascii():
        return frozenset()
    signs = {s for s in text if unicodedata.category(s) not in IGNORED and ord(s) not in SELECTORS}
    return frozenset(s for s in signs if ord(s) not in _charmap(path) or (not SHAPES and _joined(s)))


def _has(fonts: Iterable[str], signs: frozenset[str]) -> bool:
    files = [font_manager.findfont(name) for name in fonts]
    return all(any(_drawn(file, frozenset((sign,))) for file in files) for sign in signs)


def _replaced(text: str, names: Mapping[str, str], lacking: frozenset[str], gone: dict[str, str]) -> str:
    """Return a text in which names give way whose signs no font has; then the signs that are left give way to codes."""
    fonts = families(lacking)
    lost = frozenset(sign for sign in lacking if not _has(fonts, frozenset((sign,))))
    for name in sorted(names, key=len, reverse=True) if lost else ():
        if lost & set(name):
            text, times = re.subn(_pattern(name), names[name], text)
            if times or (cut := _cut(name, names, text)):
                text = text if times else text.replace(cut, names[name])
                gone[name] = names[name]
    return "".join(f"U+{ord(sign):04X}" if sign in lost else sign for sign in text)


def _pattern(name: str) -> str:
    """Return what a name looks like in a text: a line may break within it, and signs of formulas are marked."""
    return r"\s+".join(re.escape(part).replace(r"\$", r"\\?\$") for part in name.split())


def _cut(name: str, names: Collection[str], text: str) -> str:
    """Return how a text ends in the beginning of a name, cut for lack of room; '' where another name begins so, too."""
    if not text.endswith("…"):
        return ""
    starts = (name[:length] for length in range(len(name) - 1, 0, -1))
    start = next((start for start in starts if text.removesuffix("…").endswith(start)), "")
    return f"{start}…" if start and sum(other.startswith(start) for other in names) == 1 else ""


def _ticks(axis: Axis, names: Mapping[str, str], gone: dict[str, str]) -> None:
    """Change the labels of ticks, which are written anew whenever a figure is drawn."""
    formatter = axis.get_major_formatter()
    if not isinstance(formatter, FixedFormatter | FuncFormatter):
        return  # numbers alone
    places = axis.get_ticklocs()
    labels = formatter.format_ticks(places.tolist())
    path = str(font_manager.findfont(axis.get_label().get_fontproperties()))
    if lacking := frozenset[str]().union(*(_lacking(label, path) for label in labels)):
        axis.set_ticks(places, [_replaced(label, names, lacking, gone) for label in labels])
        axis.set_tick_params(labelfontfamily=[*axis.get_label().get_fontfamily(), *families(lacking)])
