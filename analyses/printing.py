"""A table as Markdown and LaTeX: values rounded by their intervals, the best in bold, nothing left unescaped."""

from __future__ import annotations

import math
import re
import textwrap
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Direction = Literal["higher", "lower"]
MINUS = "\N{MINUS SIGN}"
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    MINUS: r"$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
}


def intervals(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the columns that have bounds: `x` with `x_low` and `x_high`, or what stands before `low` and `high`.

    >>> intervals(["level", "miou", "low", "high", "change", "change_low", "change_high"])
    {'miou': ('low', 'high'), 'change': ('change_low', 'change_high')}
    """
    bounds = {}
    for before, name in zip(["", *columns], columns, strict=False):
        if name == "low" and "high" in columns and before:
            bounds[before] = ("low", "high")
        elif f"{name}_low" in columns and f"{name}_high" in columns:
            bounds[name] = (f"{name}_low", f"{name}_high")
    return bounds


def decimals(low: float, high: float) -> int:
    """Return the decimals at which half the interval has two digits that count, from 0 to 6; 3 without an interval.

    >>> decimals(0.71, 0.75), decimals(3.0, 91.0), decimals(0.5, 0.5)
    (3, 0, 3)
    """
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return 3
    return int(np.clip(1 - math.floor(math.log10(half)), 0, 6))


def cells(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the printed columns, each as its cells from top to bottom.

    A value with bounds is printed as 'value [low, high]' in one column. Undefined values are empty.
    """
    bounds = intervals(list(frame.columns))
    ends = {end for pair in bounds.values() for end in pair}
    return {str(name): _cells(frame, name, bounds.get(name)) for name in frame.columns if name not in ends}


def best_cells(
    frame: pd.DataFrame, best: Mapping[str, Direction], within: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Return for columns of `frame` which rows have the best value of their group; none where nothing is compared.

    Args:
        frame: the table.
        best: for a column, whether higher or lower values are better.
        within: the columns whose values make the groups of which each has a best.
    """
    groups = [frame[key] for key in within] or [pd.Series(0, index=frame.index)]
    marks = {}
    for name in frame.columns.intersection(list(best), sort=False):
        values = frame[name].astype("float64") * (1.0 if best[name] == "higher" else -1.0)
        grouped = values.groupby(groups, dropna=False)
        marks[name] = ((values == grouped.transform("max")) & grouped.transform("count").gt(1)).to_numpy()
    return marks


def markdown(
    frame: pd.DataFrame, caption: str, best: Mapping[str, Direction] | None = None, within: Sequence[str] = ()
) -> str:
    """Return a table in GitHub's Markdown, its caption above; numbers to the right. See `cells` and `best_cells`."""
    table = _printed(frame, best or {}, within, _markdown, "**{}**")
    rules = ["---:" if numeric(frame[name]) else "---" for name in table]
    heads = [_markdown(head(str(name), best or {})) for name in table]
    lines = "\n".join(f"| {' | '.join(line)} |" for line in [heads, rules, *table.to_numpy().tolist()])
    return f"{_markdown(caption)}\n\n{lines}\n"


def latex(
    frame: pd.DataFrame,
    caption: str,
    label: str,
    best: Mapping[str, Direction] | None = None,
    within: Sequence[str] = (),
) -> str:
    r"""Return a table in LaTeX with the rules of booktabs (\usepackage{booktabs}), caption above. See `markdown`."""
    table = _printed(frame, best or {}, within, escape, r"\textbf{{{}}}")
    text: str = (
        table.style.hide(axis="index")
        .format_index(lambda name: escape(head(str(name), best or {})), axis=1)
        .to_latex(
            hrules=True,
            position_float="centering",
            column_format="".join("r" if numeric(frame[name]) else "l" for name in table),
            caption=escape(caption),
            label=f"tab:{slug(label)}",
        )
    )
    return text


def _printed(
    frame: pd.DataFrame, best: Mapping[str, Direction], within: Sequence[str], escape: Callable[[str], str], bold: str
) -> pd.DataFrame:
    """Return the printed columns with their cells escaped, the best in bold."""
    marks = best_cells(frame, best, within)
    columns = {name: list(map(escape, texts)) for name, texts in cells(frame).items()}
    for name in columns.keys() & marks.keys():
        pairs = zip(columns[name], marks[name], strict=True)
        columns[name] = [bold.format(text) if mark and text else text for text, mark in pairs]
    return pd.DataFrame(columns, dtype=object)


def escape(text: str) -> str:
    r"""Return text so that LaTeX prints it as it is, on one line.

    >>> escape("50 % of a_b & $c$")
    '50 \\% of a\\_b \\& \\$c\\$'
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def p_value(value: float) -> str:
    """Return a p-value in print.

    >>> p_value(2e-9), p_value(0.0123), p_value(1.0)
    ('<0.001', '0.012', '1.000')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(text: str) -> str:
    text = " ".join(text.split())
    for sign in "\\|*_`<>":
        text = text.replace(sign, f"\\{sign}")
    return text


def head(name: str, best: Mapping[str, Direction]) -> str:
    """Return a column's name in print, with an arrow to its better values."""
    return name.replace("_", " ") + arrow(name, best)


def arrow(name: str, best: Mapping[str, Direction]) -> str:
    """Return the arrow to a column's better values, behind a blank; '' where none are better."""
    arrows = {"higher": " \N{UPWARDS ARROW}", "lower": " \N{DOWNWARDS ARROW}"}
    return arrows[best[name]] if name in best else ""


def numeric(column: pd.Series) -> bool:
    """Return whether a column holds numbers; truth values are none."""
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _cells(frame: pd.DataFrame, name: str, bounds: tuple[str, str] | None) -> list[str]:
    if bounds is None:
        return [_plain(value, name) for value in frame[name]]
    return [_interval(*row) for row in zip(*(frame[key].astype("float64") for key in (name, *bounds)), strict=True)]


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
    digits = decimals(low, high)
    if math.isnan(low + high):
        return fixed(value, digits)
    return f"{fixed(value, digits)} [{fixed(low, digits)}, {fixed(high, digits)}]"


def _plain(value: Any, name: str) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if math.isnan(number):
            return ""
        if name == "p" or name.startswith("p_"):
            return p_value(number)
        return _significant(number) if abs(number) < 1e3 else fixed(number, 0)
    return "" if value is None or value is pd.NA else str(value)


def _significant(number: float) -> str:
    """Return a number with three digits that count; whole ones, such as shares of 0 and 1, without decimals."""
    if number == int(number):
        return str(int(number)).replace("-", MINUS)
    text = f"{number:.1e}" if abs(number) < 1e-3 else f"{number:#.3g}".rstrip(".")
    return MINUS + text[1:] if number < 0 else text


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals; zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if not float(text) else text.replace("-", MINUS)


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def capital(text: str) -> str:
    """Return a text with a capital letter at its start, the rest as it is.

    >>> capital("mean IoU"), capital("")
    ('Mean IoU', '')
    """
    return text[:1].upper() + text[1:]


def images(counts: Iterable[float]) -> str:
    """Return how many images stand behind some numbers.

    >>> images([1]), images([40.0, 40.0]), images([12, 40])
    ('1 image', '40 images', '12 to 40 images')
    """
    ends = sorted({round(count) for count in counts})
    text = " to ".join(dict.fromkeys((str(ends[0]), str(ends[-1]))))
    return f"{text} image{'s' * (ends[-1] != 1)}"


def within(label: str) -> str:
    """Return a label as it stands within a sentence: an abbreviation stays one.

    >>> within("Energy gain"), within("IoU with the mask"), within("ROAD")
    ('energy gain', 'IoU with the mask', 'ROAD')
    """
    first = label.partition(" ")[0]
    return label[:1].lower() + label[1:] if first[1:].islower() else label


def short(value: float) -> str:
    """Return a score in a sentence: two decimals below ten, one below a hundred; '' for NaN.

    >>> short(-0.104), short(-0.001), short(47.23), short(float("nan"))
    ('\N{MINUS SIGN}0.10', '0.00', '47.2', '')
    """
    if math.isnan(value):
        return ""
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return fixed(value, digits)


def plain(text: str, width: int | None = None) -> str:
    r"""Return `text` so that matplotlib prints it as it is; wrapped to `width` characters where that is given.

    What is longer than a line, as a module's path, is broken behind its dots and underscores.

    >>> plain("cat_$1$ <a>"), plain("the encoder.stages.0.patch_embed", 12)
    ('cat_\\$1\\$ <a>', 'the encoder.\nstages.0.\npatch_embed')
    """
    text = " ".join(text.split())
    if width is not None:
        text = "\n".join(_wrapped(text, width)) or text
    return text.replace("$", r"\$")


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        parts = re.findall(r"[^._/]*[._/]+|[^._/]+", word) if len(word) > width else [word]
        for number, part in enumerate(parts):
            joint = " " if lines[-1] and not number else ""
            if len(lines[-1] + joint + part) <= width:
                lines[-1] += joint + part
            else:
                lines += textwrap.wrap(part, width, break_on_hyphens=False)
    return [line for line in lines if line]


def slug(name: str) -> str:
    """Return `name` as part of a file name; where characters had to go, a checksum keeps different names apart.

    >>> slug("best_pixel:logit"), slug("Abyssinian_12"), slug("a<b") == slug("a>b")
    ('best_pixel-logit', 'Abyssinian_12', False)
    """
    clean = re.sub(r"[^A-Za-z0-9_.@-]+", "-", name).strip("-.")[:80]
    return clean if clean == name.replace(":", "-") else f"{clean}-{zlib.crc32(name.encode()):08x}".strip("-")
