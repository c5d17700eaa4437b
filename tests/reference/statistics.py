"""Tests of ranks and the crossed mean, in plain loops, each written from its paper."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, ties at their mean."""
    return [sum(y < x for y in values) + (sum(y == x for y in values) + 1) / 2 for x in values]


def page_statistic(matrix: Sequence[Sequence[float]]) -> float:
    """L: the sum over columns of their place times their rank sum (Page 1963)."""
    return sum((j + 1) * r for row in matrix for j, r in enumerate(ranks(row)))


def page(matrix: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Exact p over all orders of every row, twice the smaller side, and the mean of Spearman's correlations."""
    columns, found = len(matrix[0]), page_statistic(matrix)
    orders = list(itertools.permutations(range(1, columns + 1)))
    totals = [
        sum((j + 1) * r for row in rows for j, r in enumerate(row))
        for rows in itertools.product(orders, repeat=len(matrix))
    ]
    above, below = (sum(sign * t >= sign * found for t in totals) / len(totals) for sign in (1, -1))
    middle = (columns + 1) / 2
    spread = sum((j + 1 - middle) ** 2 for j in range(columns))
    rho = [sum((j + 1 - middle) * (r - middle) for j, r in enumerate(ranks(row))) / spread for row in matrix]
    return min(1.0, 2 * min(above, below)), sum(rho) / len(rho)


def holm(values: Sequence[float]) -> list[float]:
    """Holm 1979: the i-th smallest of m times m - i + 1, never below one before, at most 1."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, last = [0.0] * len(values), 0.0
    for place, i in enumerate(order):
        last = max(last, min(1.0, (len(values) - place) * values[i]))
        adjusted[i] = last
    return adjusted


def friedman(matrix: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Mean ranks, 1 the highest value, and the chi-square without ties (Friedman 1937)."""
    n, k = len(matrix), len(matrix[0])
    of = [ranks([-x for x in row]) for row in matrix]
    mean = [sum(row[j] for row in of) / n for j in range(k)]
    return mean, 12 * n / (k * (k + 1)) * sum((r - (k + 1) / 2) ** 2 for r in mean)


def crossed_variance(matrix: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Components of seed, image and rest by the expected mean squares (Searle et al. 1992, chapter 4)."""
    s, i = len(matrix), len(matrix[0])
    mean = sum(map(sum, matrix)) / (s * i)
    rows = [sum(row) / i for row in matrix]
    columns = [sum(row[b] for row in matrix) / s for b in range(i)]
    seed = i * sum((r - mean) ** 2 for r in rows) / (s - 1)
    image = s * sum((c - mean) ** 2 for c in columns) / (i - 1)
    rest = sum((matrix[a][b] - rows[a] - columns[b] + mean) ** 2 for a in range(s) for b in range(i))
    rest /= (s - 1) * (i - 1)
    return (seed - rest) / i, (image - rest) / s, rest


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation of the ranks (Spearman 1904); NaN where one does not vary."""
    x, y = ranks(one), ranks(other)
    mean = (len(x) + 1) / 2
    covariance = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    spread = sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y)
    return covariance / spread**0.5 if spread else float("nan")


def crossed_spearman(
    one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], seeds: Sequence[int], images: Sequence[int]
) -> float:
    """The mean over the seeds drawn of the correlation over the images drawn, each as often as it was drawn."""
    found = []
    for s in seeds:
        both = [(one[s][i], other[s][i]) for i in images if one[s][i] == one[s][i] and other[s][i] == other[s][i]]
        found.append(spearman([a for a, _ in both], [b for _, b in both]))
    return sum(found) / len(found)
