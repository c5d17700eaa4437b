"""Tables of a run whose trainings differ as much as can be: every interval lies within what its quantity can be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Table, find
from tests.analyses.checks import edit_manifest, rewrite
from tests.method_runs import IMAGES, METHODS, enrich
from tests.published.ranges import outside

ENDS = {"energy_gain": (None, 1.0), "edge_alignment": (-1.0, 1.0), "edge_alignment_full": (-1.0, 1.0)}
SHARES = ("energy_inside", "background_ratio", "spread", "blank")


def end(column: str, values: pd.Series, seed: pd.Series) -> np.ndarray:
    """One training at each end of what a metric can be, but for a little that tells the images apart."""
    low, high = ENDS.get(column, (0.0, 1.0))
    little = 0.02 * (values.rank(pct=True).fillna(0.5) - 0.5).to_numpy()
    wide = np.where(seed % 2, 0.98 * high, -0.98 if low is None else low + 0.02)
    return np.clip(wide + little, low, high)


@pytest.fixture(scope="module")
def apart(make_in, tmp_path_factory):
    shape = {"stages": 2, "levels": (90,), "images": IMAGES[:6], "gallery": 0, "points": ("conv", "relu")}
    results = enrich(
        make_in(
            tmp_path_factory.mktemp("apart") / "run", methods=METHODS, seeds=(0, 1), factors=(0.5, 1.0, 2.0), **shape
        )
    )

    def bounded(manifest):
        for name, metric in manifest["metrics"].items():
            metric["lower"], metric["upper"] = ENDS.get(name, (0.0, 1.0))

    results = edit_manifest(results, bounded)
    names = [*ENDS, *SHARES[:-1]]
    return rewrite(results, lambda f: f.assign(**{n: end(n, f[n], f["seed"]) for n in names if n in f}))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("curves", "low"),
        ("diagnosis", ""),
        ("family", "high"),
        ("methods", "energy_gain_high"),
        ("metric_agreement", "rho_high"),
        ("performance_profiles", "area_high"),
        ("points", ""),
        ("resolution", ""),
    ],
)
def test_intervals_end_where_their_quantity_does(apart, name, column):
    tables = []
    for item in find()[name](apart):
        if not isinstance(item, Table):
            break
        tables.append(item)
    assert tables
    for table in tables:
        assert outside(apart.folder, table.name, table.frame) == []
    if column:
        assert tables[0].frame[column].abs().isin([0.0, 1.0]).any(), "some would have gone beyond"
