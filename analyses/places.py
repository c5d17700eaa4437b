"""Where the rows of a table belong in an array: its keys as numbers, fast for keys that are stored as categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.results import ResultsError

Codes = NDArray[np.int64]


def numbered(column: pd.Series) -> tuple[Codes, list[str]]:
    """Return each row's place among the names of a column, and these names: as text, sorted, each once.

    >>> codes, names = numbered(pd.Series(["b", "a", "b"]))
    >>> codes.tolist(), names
    ([1, 0, 1], ['a', 'b'])
    """
    held = column.astype("category").cat.remove_unused_categories()
    names = sorted(map(str, held.cat.categories))
    return _moved(held, {name: i for i, name in enumerate(names)}), names


def among(column: pd.Series, names: Sequence[str], what: str) -> Codes:
    """Return each row's place among `names`.

    Raises:
        ResultsError: a row has another name; the message calls them `what`.
    """
    held = column.astype("category").cat.remove_unused_categories()
    if unknown := sorted(set(map(str, held.cat.categories)) - set(names)):
        raise ResultsError(f"scores: {what} {', '.join(unknown)} are not in manifest.json; run the benchmark again")
    return _moved(held, {name: i for i, name in enumerate(names)})


def sources(frame: pd.DataFrame) -> str:
    """Return what the networks behind the rows were trained on, in words; '' where it was not recorded."""
    names = frame["training_data"].unique() if "training_data" in frame else ()
    return " / ".join(sorted(map(str, names)))


def _moved(held: pd.Series, order: dict[str, int]) -> Codes:
    places = np.array([order[str(name)] for name in held.cat.categories], dtype=np.int64)
    codes: Codes = places[held.cat.codes.to_numpy()] if len(places) else np.zeros(0, dtype=np.int64)
    return codes
