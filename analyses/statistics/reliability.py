"""Reliability: how far a value, or an order of methods, would come out again with other trainings and images."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analyses.reading.arrays import Floats
from analyses.statistics import variance
from analyses.statistics.intervals import mean_squares

ENOUGH = 0.8
"""A dependability that is called enough."""


class Components(NamedTuple):
    """Variance components of two-way tables of seeds x images, (...); those below zero are zero.

    Attributes:
        seed: of the trainings.
        image: of the images.
        rest: of what is neither's.
    """

    seed: Floats
    image: Floats
    rest: Floats


def components(matrix: ArrayLike) -> Components:
    """Return variance components of tables, (..., seeds, images), over the images defined for every seed.

    NaN with fewer than two seeds or images: one seed cannot tell an image's part from the rest.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, section 4.4 (analysis of variance).
    """
    return Components(*(np.maximum(part, 0.0) for part in _estimated(matrix)))


def _estimated(matrix: ArrayLike) -> Components:
    """Return `components` as they are estimated, some of which may be below zero."""
    squares = mean_squares(matrix)
    seed = (squares.seed - squares.rest) / squares.images
    image = (squares.image - squares.rest) / squares.seeds
    several = squares.seeds > 1  # with fewer than two images the squares are NaN already
    return Components(*(np.where(several, part, math.nan) for part in (seed, image, squares.rest)))


def icc(matrix: ArrayLike) -> Floats:
    """Return ICC(A,1) of an image's value over seeds: two-way random, absolute agreement, of a single training.

        ICC = image / (seed + image + rest)

    of the variance components as they are estimated. 1: every training gives each image the same value; 0: a value says
    nothing of the image. It may be below 0, where `components` has 0.

    Args:
        matrix: (..., seeds, images); NaN is undefined, and images with any are left out.

    Returns:
        (...); NaN with fewer than two seeds or images, or where nothing varies.

    Source: McGraw and Wong, Psychological Methods 1(1), 1996, case 2A; Shrout and Fleiss 1979, ICC(2,1).
    """
    parts = _estimated(matrix)
    total = parts.seed + parts.image + parts.rest
    share = np.full(np.shape(total), math.nan)
    np.divide(parts.image, total, out=share, where=total > 0)
    return share


def trainings_needed(parts: Components, enough: float = ENOUGH) -> Floats:
    """Return of how many trainings the mean of an image has a dependability of `enough`; infinite where of none.

    With S trainings it is image / (image + (seed + rest) / S).

    Source: Brennan, Generalizability Theory, 2001, section 2.3 (D study, absolute error).
    """
    error = parts.seed + parts.rest
    needed = np.full(np.shape(error), math.inf)
    np.divide(error * (enough / (1 - enough)), parts.image, out=needed, where=parts.image > 0)
    needed = np.maximum(1.0, np.ceil(needed - 1e-9))
    return np.where(np.isnan(error), math.nan, needed)


def kendall_w(orders: ArrayLike) -> float:
    """Return Kendall's W of raters, (raters, subjects): 1 where all have one order; m raters by chance reach 1 / m.

    Raters with NaN are left out; NaN with fewer than two raters or three subjects, or where all is tied.

    Source: Kendall and Babington Smith 1939, with its correction for ties, from SciPy's `friedmanchisquare`.
    """
    values = np.asarray(orders, dtype=np.float64)
    values = values[~np.isnan(values).any(axis=1)]
    raters, subjects = values.shape
    if raters < 2 or subjects < 3 or np.ptp(values, axis=1).max() == 0:
        return math.nan
    agreement: float = stats.friedmanchisquare(*values.T).statistic / (raters * (subjects - 1))
    return agreement


class MethodStudy(NamedTuple):
    """Variance components of methods x seeds x images; those below zero are zero.

    Attributes:
        method: of the methods, which are to be told apart.
        by_seed, by_image: of a method's standing that changes with the training, and with the image.
        rest: of its standing that changes with both, or with neither.
    """

    method: float
    by_seed: float
    by_image: float
    rest: float

    def dependability(self, seeds: float, images: float) -> float:
        """Return how far methods' differences of means over so many trainings and images would come out again."""
        if math.isnan(self.method):
            return math.nan
        error = self.by_seed / seeds + self.by_image / images + self.rest / (seeds * images)
        return self.method / (self.method + error) if self.method + error > 0 else math.nan

    def images_needed(self, seeds: int, enough: float = ENOUGH) -> float:
        """Return how many images give `enough` with so many trainings; infinite where none do."""
        room = self.method * (1 - enough) / enough - self.by_seed / seeds
        return self._needed(self.by_image + self.rest / seeds, room)

    def trainings_needed(self, images: int, enough: float = ENOUGH) -> float:
        """Return how many trainings give `enough` with so many images; infinite where none do."""
        room = self.method * (1 - enough) / enough - self.by_image / images
        return self._needed(self.by_seed + self.rest / images, room)

    @staticmethod
    def _needed(error: float, room: float) -> float:
        if math.isnan(room):
            return math.nan
        return float(max(1, math.ceil(error / room - 1e-9))) if room > 0 else math.inf


def method_study(values: ArrayLike) -> MethodStudy:
    """Return the variance components of a table, (methods, seeds, images), over images defined everywhere.

    With one seed they are of methods x images, so that what changes with the training counts as the methods' own.
    NaN with fewer than two methods or images.

    Source: Brennan, Generalizability Theory, 2001, section 3.2 (p x i x h design, relative error).
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[..., ~np.isnan(table).any(axis=(0, 1))]
    methods, seeds, images = table.shape
    if methods < 2 or images < 2:
        return MethodStudy(*(math.nan,) * 4)
    found = variance.components(table)
    if seeds < 2:
        return MethodStudy(found[0,], 0.0, 0.0, found[0, 2])
    return MethodStudy(found[0,], found[0, 1], found[0, 2], found[0, 1, 2])
