"""A cloud of points cut into groups, how far apart these are, and how well random halves find them again."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np

from segcam.errors import InputError
from segcam.groups.kinds import Floats, Labels

SMALLEST = 5
"""Things that a group needs."""
FEWEST = 4 * SMALLEST
"""Things without which there is one group alone."""


class Cut(NamedTuple):
    """Points in groups, the largest first, with their silhouettes."""

    labels: Labels
    silhouettes: Floats

    @property
    def mean(self) -> float:
        """The mean silhouette."""
        return float(self.silhouettes.mean())


def cuts_of(cloud: Floats, most: int, seed: int) -> dict[int, Cut]:
    """Return points cut into each number of groups that leaves every one large enough."""
    if len(cloud) < FEWEST or not cloud.any():
        return {}
    distances, cuts = _distances(cloud), {}
    for count in range(2, min(most, len(cloud) // SMALLEST) + 1):
        labels = by_size(_split(cloud, count, seed))
        sizes = np.bincount(labels)
        if len(sizes) == count and sizes.min() >= SMALLEST:
            cuts[count] = Cut(labels, _silhouettes(distances, labels))
    return cuts


def _split(cloud: Floats, count: int, seed: int) -> Labels:
    """Return at most `count` groups by k-means."""
    try:
        from sklearn.cluster import KMeans  # noqa: PLC0415  (heavy, and not needed by others)
    except ImportError as error:
        raise InputError("grouping needs scikit-learn: pip install scikit-learn") from error
    with warnings.catch_warnings():  # of fewer different points than groups there are fewer groups
        warnings.simplefilter("ignore")
        labels: Labels = KMeans(count, n_init=4, random_state=seed).fit_predict(cloud).astype(np.int64)
    return labels


def by_size(labels: Labels) -> Labels:
    """Number groups by their sizes, the largest first; of equal ones by their first point."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    renumbered: Labels = place[inverse]
    return renumbered


def _distances(cloud: Floats) -> Floats:
    squares = np.square(cloud).sum(1)
    distances: Floats = np.sqrt(np.maximum(squares[:, None] + squares - 2 * cloud @ cloud.T, 0))
    np.fill_diagonal(distances, 0)
    return distances


def _silhouettes(distances: Floats, labels: Labels) -> Floats:
    """Return each point's silhouette, (b - a) / max(a, b): a to the others of its own group, b to the nearest other.

    Source: Rousseeuw, Journal of Computational and Applied Mathematics 20, 1987.
    """
    members = labels[:, None] == np.arange(labels.max() + 1)
    sums, sizes = distances @ members, members.sum(0)
    own = np.arange(len(labels)), labels
    inside = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[own] = math.inf
    outside = means.min(1)
    largest = np.maximum(inside, outside)
    silhouettes: Floats = np.divide(outside - inside, largest, out=np.zeros(len(labels)), where=largest > 0)
    return silhouettes


def found_in_halves(cloud: Floats, labels: Labels, halves: int, seed: int) -> tuple[float, Floats]:
    """Return how far as many groups of random halves agree with these, all and each of them."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415  (as above)

    rng, count = np.random.default_rng(seed), int(labels.max()) + 1
    agreed, alike = [], []
    for _ in range(halves):
        rows = np.sort(rng.permutation(len(cloud))[: (len(cloud) + 1) // 2])
        found = _split(cloud[rows], count, int(rng.integers(2**31)))
        agreed.append(float(adjusted_rand_score(labels[rows], found)))
        before = (labels[rows, None] == np.arange(count)).astype(np.float64)
        after = (found[:, None] == np.arange(count)).astype(np.float64)
        common = before.T @ after
        either = before.sum(0)[:, None] + after.sum(0) - common
        of_half = np.divide(common, either, out=np.zeros_like(common), where=either > 0).max(1)
        alike.append(np.where(before.any(0), of_half, math.nan))  # a group may have nothing in a half
    shares = [of[~np.isnan(of)] for of in np.array(alike).T]
    found_again = [float(of.mean()) if len(of) else 0.0 for of in shares]
    return float(np.mean(agreed)), np.array(found_again)


def typical_first(cloud: Floats, labels: Labels) -> Labels:
    """Return the points by group, in it the nearest to its mean first."""
    away = np.zeros(len(cloud))
    for one in range(labels.max(initial=-1) + 1):
        rows = labels == one
        away[rows] = np.square(cloud[rows] - cloud[rows].mean(0)).sum(1)
    order: Labels = np.lexsort((np.arange(len(cloud)), away.round(9), labels))
    return order
