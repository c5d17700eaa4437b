"""What an analysis returns: figures and tables, in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.figure
import pandas as pd

from analyses import style

DECIMALS = 6
_UNDATED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure at its printed size, with its file name (no suffix) and its caption (plain text)."""

    name: str
    figure: matplotlib.figure.Figure
    caption: str

    def render(self, kind: Literal["png", "svg", "pdf"] = "svg", dpi: int = 300) -> bytes:
        """Return the file's bytes: the same for the same figure, without date or version."""
        buffer = io.BytesIO()
        with style.context():
            self.figure.savefig(buffer, format=kind, dpi=dpi, metadata=_UNDATED[kind])
        return buffer.getvalue()


@dataclass(frozen=True)
class Table:
    """A table with its file name (no suffix) and its caption (plain text)."""

    name: str
    frame: pd.DataFrame
    caption: str

    def csv(self) -> str:
        """Return the table as CSV text: floats with at most six decimals, undefined values empty."""
        return self.frame.to_csv(index=False, lineterminator="\n")


def tidy(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return `frame` sorted by `keys`, floats rounded to six decimals, rows numbered anew; -0.0 becomes 0.0.

    >>> tidy(pd.DataFrame({"level": [50, 30], "miou": [0.12345678, -1e-9]}), ["level"]).to_dict("list")
    {'level': [30, 50], 'miou': [0.0, 0.123457]}
    """
    out = frame.sort_values(list(keys), kind="stable").reset_index(drop=True)
    for column in out.columns:
        if pd.api.types.is_float_dtype(out[column]):
            out[column] = out[column].astype("float64").round(DECIMALS) + 0.0
    return out
