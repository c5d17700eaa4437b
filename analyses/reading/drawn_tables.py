"""Tables that were drawn, read back: of a publication they are what is left of scores that it lacks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analyses.reading.files import ResultsError
from analyses.reading.results import Results


def table(csv: Path | io.BytesIO) -> pd.DataFrame:
    """Return a table from its file; empty cells of words are ''.

    Raises:
        ResultsError: it is missing or damaged.
    """
    try:
        frame = pd.read_csv(csv)
    except (ValueError, OSError) as error:  # of pandas, too
        raise ResultsError(f"table {csv} cannot be read ({error}): draw or fetch it again") from error
    words = frame.columns[[not pd.api.types.is_numeric_dtype(frame[name]) for name in frame]]
    return frame.assign(**{name: frame[name].fillna("") for name in words})


def published_or(results: Results, name: str, compute: Callable[[Results], pd.DataFrame]) -> pd.DataFrame:
    """Return the table of an analysis: as published, where its scores were not, else computed from them.

    Args:
        results: the run, or a publication.
        name: of the analysis and of its table.
        compute: makes the table of a run, rounded as it is written, so that both draw the same figure.
    """
    published = results.manifest.published
    if published and name in published.from_tables:
        place = results.folder / (results.view.folder if results.view else "")
        return table(place / "tables" / f"{name}.csv")
    return compute(results)
