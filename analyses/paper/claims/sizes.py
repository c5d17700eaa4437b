"""What tests at other sizes say of a network against another: what each gains or loses, and which is above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.paper.claims.registration import Part
from analyses.paper.claims.values import NotMeasuredError
from analyses.reading.arrays import Floats, counted
from analyses.reading.choices import at_highest, described, model_of
from analyses.reading.results import Results
from analyses.statistics.bootstrap import bootstrap_miou
from analyses.statistics.bounds import SHARE
from analyses.statistics.combined import Estimate
from analyses.statistics.jackknife import miou_table


@dataclass(frozen=True)
class SizeTests:
    """Confusion counts of two networks at the sizes of a part, on the seeds and images that both have at all of them.

    Attributes:
        part: what is compared.
        counts: (networks, sizes, seeds, images, truth, predicted).
        factors: the sizes, as multiples of the training's.
        cells: the networks, levels and sizes compared, in words.
        training_data: what the networks were trained on.
    """

    part: Part
    counts: Floats
    factors: Floats
    cells: str
    training_data: str

    def estimate(self, state: int, resamples: int) -> Estimate:
        """Return the difference of the first network from the second, with its resamples and pseudo-values.

        The least difference varies as that of the size where it is found.
        """
        miou, resampled = bootstrap_miou(self.counts, np.random.default_rng(state), resamples)
        tables, value = miou_table(self.counts), float(self._differ(miou))
        drawn = self._differ(np.moveaxis(resampled, 0, -1))
        if self.part.compare == "least":
            least = int(np.argmin(miou[0] - miou[1]))
            return Estimate(value, drawn, tables[0, least] - tables[1, least], SHARE.weighted([1, -1]))
        return Estimate(value, drawn, self._differ(tables), SHARE.weighted([1, -1, -1, 1]))

    def _differ(self, miou: Floats) -> Floats:
        """Return the difference from the mean IoU of (networks, sizes, ...)."""
        difference = miou[0] - miou[1]
        if self.part.compare == "least":
            least: Floats = difference.min(axis=0)
            return least
        own = np.isclose(self.factors, 1)
        change: Floats = difference[~own].mean(axis=0) - difference[own][0]
        return change


def tested(results: Results, part: Part) -> SizeTests:
    """Return the tests at the sizes that a part compares, each network at the highest level that was tested.

    Raises:
        NotMeasuredError: a network, or a size, was not tested.
    """
    counts = results.resolution()
    if counts is None or counts.empty:
        raise NotMeasuredError("no tests at other sizes")
    wanted = sorted({1.0, *part.factors})
    tables, names, sources = [], [], set[str]()
    for group in part.groups:
        model = model_of(results, group.model)
        rows = counts[counts["model"] == model]
        if model is None or rows.empty:
            raise NotMeasuredError(f"no {group.model} tested at other sizes")
        rows = at_highest(rows)
        rows = rows[[bool(np.isclose(factor, wanted).any()) for factor in rows["factor"]]]
        lacking = [f"{factor:g}" for factor in wanted if not np.isclose(rows["factor"].unique(), factor).any()]
        if lacking:
            raise NotMeasuredError(f"{group.model} was not tested at {', '.join(lacking)} times its size")
        tables.append(rows)
        names.append(described(results, model, int(rows["level"].max())))
        sources |= set(rows["training_data"].astype(str)) if "training_data" in rows else set()
    keys = ["factor", "seed", "image"]
    shared = set.intersection(*(set(map(tuple, rows[keys].astype({"image": str}).to_numpy())) for rows in tables))
    stacked, factors = [], np.zeros(0)
    for rows in tables:
        in_all = [tuple(row) in shared for row in rows[keys].astype({"image": str}).to_numpy()]
        if not any(in_all):
            raise NotMeasuredError("no image tested with all networks")
        cube, present, factors = counted(rows[in_all], results.counts)
        stacked.append(cube[:, :, present.all(axis=(0, 1))])
    sizes = ", ".join(f"{factor:g}" for factor in part.factors)
    cells = f"{' less '.join(names)}; sizes {sizes} x the training's"
    return SizeTests(part, np.stack(stacked).astype(np.float64), factors, cells, " / ".join(sorted(sources)))
