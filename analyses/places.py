"""Where the rows of a table belong in an array: its keys as numbers, fast for keys that are stored as categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    return looked_up(held, names), names


def among(column: pd.Series, names: Sequence[str], what: str) -> Codes:
    """Return each row's place among `names`.

    Raises:
        ResultsError: a row has another name; the message calls them `what`.
    """
    held = column.astype("category").cat.remove_unused_categories()
    if unknown := sorted(set(map(str, held.cat.categories)) - set(names)):
        raise ResultsError(f"scores: {what} {', '.join(unknown)} are not in manifest.json; run the benchmark again")
    return looked_up(held, names)


def looked_up(column: pd.Series, names: Sequence[Any]) -> Codes:
    """Return each row's place among `names`, -1 for any other; of categories each is looked up once, not in each row.

    >>> looked_up(pd.Series(["b", "c", "b"]).astype("category"), ["a", "b"]).tolist()
    [1, -1, 1]
    """
    index = pd.Index(list(names))
    coded = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Index(column.cat.categories.astype(str) if coded else column)
    found: Codes = index.get_indexer(values).astype(np.int64)
    return np.append(found, -1)[column.cat.codes] if coded else found


def sources(frame: pd.DataFrame) -> str:
    """Return what the networks behind the rows were trained on, in words; '' where it was not recorded."""
    names = frame["training_data"].unique() if "training_data" in frame else ()
    return " / ".join(sorted(map(str, names)))
