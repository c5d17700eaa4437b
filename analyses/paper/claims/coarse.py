"""Numbers of parts under other choices, coarse: small enough to publish, so that a study can be asked for all of them.

They are rounded to a part of the smallest effect, in a run as in what is published of it: so both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.reading import files
from analyses.reading.results import Results
from analyses.reading.variants import Variant

TABLE = "choices"
"""The table of them in a publication."""
STEPS = 16
"""Of a smallest effect: rounding moves the mean over a hundred images by less than its 500th part."""
NO_VALUE = -(2**15)
"""Stands for a map without a value."""
MOST = 2**15 - 1


class Choice(NamedTuple):
    """What tells the numbers of a network's maps from others: whose they are, of which part, and how they were made."""

    model: str
    part: str
    measure: str
    method: str
    target: str
    point: str
    placement: str
    border: str


KEYS = Choice._fields
"""Columns of the table; `seed`, `image` and `steps` are beside them."""


def steps(numbers: pd.DataFrame, smallest: float) -> NDArray[np.int16]:
    """Return numbers in steps of a smallest effect; `NO_VALUE` for NaN."""
    counts = np.clip(np.rint(numbers.to_numpy(dtype=np.float64) / smallest * STEPS), NO_VALUE + 1, MOST)
    return np.where(np.isnan(counts), NO_VALUE, counts).astype(np.int16)


def numbers(counts: NDArray[np.int16], smallest: float) -> NDArray[np.float64]:
    """Return the numbers of steps."""
    return np.where(counts == NO_VALUE, np.nan, counts.astype(np.float64) * (smallest / STEPS))


def rounded(frame: pd.DataFrame, smallest: float) -> pd.DataFrame:
    """Return numbers as a publication keeps them."""
    return pd.DataFrame(numbers(steps(frame, smallest), smallest), index=frame.index, columns=frame.columns)


def rows(choice: Choice, frame: pd.DataFrame, smallest: float) -> pd.DataFrame:
    """Return the rows of a choice's numbers, (seeds x images)."""
    seeds, images = np.repeat(frame.index.to_numpy(), frame.shape[1]), np.tile(frame.columns.to_numpy(), len(frame))
    told: dict[str, Any] = dict(choice._asdict())
    return pd.DataFrame(told | {"seed": seeds, "image": images, "steps": steps(frame, smallest).ravel()})


@dataclass(frozen=True)
class Kept:
    """The numbers that a publication keeps of other choices than the registered.

    Attributes:
        images: the names of all images, in their order.
        columns: `seed`, `image` (its place among these) and `steps`, sorted by choice.
        places: of each choice the rows, from the first to before the last.
    """

    images: list[str]
    columns: dict[str, NDArray[Any]]
    places: dict[Choice, slice]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Kept:
        """Return the rows of a table, in any order."""
        frame = frame.astype(dict.fromkeys((*KEYS, "image"), "category"))
        codes = np.stack([frame[name].cat.codes.to_numpy() for name in KEYS])
        order = np.lexsort(codes[::-1])
        codes = codes[:, order]
        starts = np.flatnonzero(np.r_[True, (np.diff(codes, axis=1) != 0).any(axis=0)][: len(order)])
        names = [frame[name].cat.categories.astype(str).tolist() for name in KEYS]
        places = {
            Choice(*(of[code] for of, code in zip(names, codes[:, first], strict=True))): slice(first, last)
            for first, last in zip(starts, [*starts[1:], len(order)], strict=True)
        }
        columns = {"seed": frame["seed"], "image": frame["image"].cat.codes, "steps": frame["steps"]}
        sorted_columns = {name: column.to_numpy()[order] for name, column in columns.items()}
        return cls(frame["image"].cat.categories.astype(str).tolist(), sorted_columns, places)

    def numbers(self, choice: Choice, smallest: float) -> pd.DataFrame | None:
        """Return those of a choice, (seeds x images); None where the network was not measured so."""
        if (place := self.places.get(choice)) is None:
            return None
        seeds, images, counts = (self.columns[name][place] for name in ("seed", "image", "steps"))
        (own_seeds, rows), (own_images, columns) = (np.unique(one, return_inverse=True) for one in (seeds, images))
        values = np.full((len(own_seeds), len(own_images)), np.nan)
        values[rows, columns] = numbers(counts, smallest)
        return pd.DataFrame(values, index=own_seeds.tolist(), columns=[self.images[at] for at in own_images])

    def variants(self) -> list[Variant]:
        """Return the ways in which maps were scored."""
        return sorted({Variant(choice.placement, choice.border) for choice in self.places})


@lru_cache(maxsize=4)
def kept(results: Results) -> Kept | None:
    """Return what a publication keeps of other choices; None of a run, which has all scores, and of older ones.

    Raises:
        ResultsError: the table is damaged.
    """
    if results.manifest.published is None or not (paths := results.parts(TABLE)):
        return None
    return Kept.of(files.frame(paths, [*KEYS, "seed", "image", "steps"]))
