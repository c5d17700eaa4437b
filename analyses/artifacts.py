"""What an analysis returns: figures and tables, in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from analyses import printing
from analyses.plots import style

Format = Literal["png", "svg", "pdf"]
DECIMALS = 6
MOST_PRINTED = 100
"""Rows of the longest table that is written for a page; longer ones are for machines, as CSV alone."""
COMPRESSION = 3
"""Of PNG: a few hundredths larger than with 6, in half of the time."""
MOVING = "webp"
"""The suffix of figures that move."""
FILM_DPI, QUALITY = 88, 38
"""Of figures that move: dots an inch, and WebP's quality."""
FRAME, REST = 350, 2500
"""Milliseconds of a frame, and of the last one."""
_UNDATED: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


MOST_WORDS = 60
"""Of what a caption says about reading a figure; what comes beyond is among the details."""


@dataclass(frozen=True)
class Caption:
    """What stands below a figure, in plain text; what is true of a whole run is said once, elsewhere.

    Attributes:
        finding: what is seen, a sentence made of the figure's own numbers: the title. '' where a figure shows what
            has no number.
        reading: how the figure is read, in at most `MOST_WORDS` words.
        details: how its numbers came about, which a page may fold away.
    """

    finding: str
    reading: str
    details: str = ""

    def __str__(self) -> str:
        """Return all of it, one after the other."""
        return " ".join(part for part in (self.finding, self.reading, self.details) if part)


@dataclass(frozen=True)
class Figure:
    """A drawn figure at its printed size.

    Attributes:
        name: of its files, without a suffix.
        figure: what is drawn; the title is written above it when all analyses of a run are drawn.
        caption: its title, how it is read, and how it was made.
        label: its name in print, such as 'Method ranks'.
        frames: where it moves, what turns it into each of its pictures; the last one is printed.
    """

    name: str
    figure: matplotlib.figure.Figure
    caption: Caption
    label: str = ""
    frames: Sequence[Callable[[], object]] = ()

    def render(self, kind: Format = "svg", dpi: int = 300) -> bytes:
        """Return the file's bytes: the same for the same figure, without date or version."""
        buffer = io.BytesIO()
        with style.context():
            if kind == "png":
                self._picture(dpi).save(buffer, "png", dpi=(dpi, dpi), compress_level=COMPRESSION)
            else:
                self.figure.savefig(buffer, format=kind, dpi=dpi, metadata=_UNDATED[kind])
        return buffer.getvalue()

    def _picture(self, dpi: int) -> Image.Image:
        """Return the figure as pixels without transparency, which has a quarter less to compress."""
        before = self.figure.get_dpi()
        canvas: Any = FigureCanvasAgg(self.figure)
        self.figure.set_dpi(dpi)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self.figure.set_dpi(before)
        return Image.fromarray(np.ascontiguousarray(pixels))

    def drawn(self, kinds: Sequence[Format], dpi: int) -> Drawn:
        """Return the figure as its files of these kinds, laid out once for all of them."""
        with style.context():
            self.figure.set_dpi(dpi)
            style.settle(self.figure, rounds=1)
        moving = {MOVING: self._moving()} if self.frames else {}
        return Drawn(self.name, self.caption, {kind: self.render(kind, dpi) for kind in kinds} | moving, self.label)

    def _moving(self) -> bytes:
        """Return the frames as an animation that begins again at its end, where it rests."""
        pictures = []
        for change in self.frames:
            change()
            with style.context():
                pictures.append(self._picture(FILM_DPI))
        times = [FRAME] * (len(pictures) - 1) + [REST]
        buffer = io.BytesIO()
        pictures[0].save(
            buffer, MOVING, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=QUALITY
        )
        return buffer.getvalue()


@dataclass(frozen=True)
class Drawn:
    """A figure as its files: what is left of it when it comes from another process.

    Attributes:
        name: of its files.
        caption: its title, how it is read, and how it was made.
        files: the bytes by suffix, 'png' among them.
        label: its name in print; '' for one made of `name`.
    """

    name: str
    caption: Caption
    files: Mapping[str, bytes]
    label: str = ""


@dataclass(frozen=True)
class Section:
    """What one analysis made: its name, its question in one line, and its figures and tables in their order."""

    name: str
    title: str
    items: Sequence[Drawn | Table]


@dataclass(frozen=True)
class Table:
    """A table with its file name (no suffix) and its caption (plain text).

    Attributes:
        name: of its files.
        frame: the rows.
        caption: plain text.
        best: for a column, whether higher or lower values are better: its best is printed in bold.
        within: the columns whose values make the groups of which each has a best; one group by default.
        shown: the columns printed for a page; all by default. The CSV has all.
    """

    name: str
    frame: pd.DataFrame
    caption: str
    best: Mapping[str, printing.Direction] = field(default_factory=dict)
    within: Sequence[str] = ()
    shown: Sequence[str] = ()

    def csv(self) -> str:
        """Return the table as CSV text: floats with at most six decimals, undefined values empty."""
        return self.frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown, its caption above: rounded by the intervals, the best in bold."""
        return printing.markdown(self._printed(), self.caption, self.best, self.within)

    def latex(self) -> str:
        """Return the table in LaTeX with booktabs' rules: rounded by the intervals, the best in bold."""
        return printing.latex(self._printed(), self.caption, self.name, self.best, self.within)

    def files(self) -> dict[str, str]:
        """Return the text of each file by its suffix: csv, and of tables of at most `MOST_PRINTED` rows md and tex."""
        printed = {"md": self.markdown(), "tex": self.latex()} if len(self.frame) <= MOST_PRINTED else {}
        return {"csv": self.csv()} | printed

    def _printed(self) -> pd.DataFrame:
        return self.frame[list(self.shown)] if self.shown else self.frame


def tidy(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return `frame` sorted by `keys`, floats rounded to six decimals, rows numbered anew; -0.0 becomes 0.0.

    >>> tidy(pd.DataFrame({"level": [50, 30], "miou": [0.12345678, -1e-9]}), ["level"]).to_dict("list")
    {'level': [30, 50], 'miou': [0.0, 0.123457]}
    """
    return rounded(frame.sort_values(list(keys), kind="stable").reset_index(drop=True))


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its numbers rounded as tables are written, and no negative zero."""
    out = frame.copy()
    for column in out.columns:
        if pd.api.types.is_float_dtype(out[column]):
            out[column] = out[column].astype("float64").round(DECIMALS) + 0.0
    return out
