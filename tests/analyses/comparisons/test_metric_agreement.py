"""Which metrics say the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from scipy.stats import spearmanr

from analyses.comparisons import metric_agreement
from analyses.comparisons.metric_agreement import OVERALL, WITHIN, CellMeans, MetricScores, compare, correlations
from tests.analyses.checks import rewrite, split
from tests.method_runs import IMAGES, METHODS, enrich

SMALL = {"stages": 2, "seeds": (0,), "levels": (30, 90), "methods": METHODS, "images": IMAGES, "gallery": 0}


@pytest.fixture
def run(make):
    return lambda **fields: enrich(make(**{**SMALL, **fields}))


def made(results):
    return split(metric_agreement.analyse(results))


def test_nothing_where_one_method_has_too_few_cells(make) -> None:
    results = make(stages=1, methods=("grad_cam", "uniform"), levels=(90,))
    assert list(metric_agreement.analyse(results)) == []


def test_correlations_are_scipys_over_all_cells_and_within_layers() -> None:
    rng = np.random.default_rng(0)
    means, layers = rng.random((2, 3, 12)), np.repeat([0, 1, 2], 4)
    overall, within = (correlations(means, layers, scope) for scope in (OVERALL, WITHIN))
    for r in range(2):
        np.testing.assert_allclose(overall[r], spearmanr(means[r], axis=1).statistic)
        parts = [spearmanr(means[r][:, layers == n], axis=1).statistic for n in range(3)]
        np.testing.assert_allclose(within[r], np.mean(parts, 0))
    assert np.isnan(correlations(means, np.arange(12), WITHIN)).all()  # one method a layer


def test_a_metric_that_repeats_another_is_redundant_and_told_so(run) -> None:
    results = rewrite(run(), lambda f: f.assign(edge_alignment=0.2 - f["energy_gain"] / 3))
    table, (figure,) = made(results)
    frame = table.frame
    pair = frame[(frame["metric"] == "energy_gain") & (frame["other"] == "edge_alignment")].squeeze()
    assert pair["redundant"]
    assert pair["rho"] < -0.9
    assert pair["rho_within"] < -0.9
    assert {"energy_gain", "edge_alignment"} <= set(
        frame.loc[frame["redundant"], ["metric", "other"]].to_numpy().ravel()
    )
    assert "Redundant are" in str(figure.caption)
    assert "Edge alignment" in str(figure.caption).partition("Redundant are")[2]
    framed = [patch for patch in figure.figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert len(framed) == 2 * frame["redundant"].sum()
    assert (frame["level"] == 90).all()


def test_metrics_that_have_nothing_to_do_with_each_other_are_not_redundant() -> None:
    rng = np.random.default_rng(1)
    metrics = [type("M", (), {"name": name})() for name in "ab"]
    means = tuple(CellMeans.of(values) for values in rng.random((2, 30, 1, 20)))
    frame = compare(MetricScores("t", tuple(metrics), np.repeat(np.arange(6), 5), means, n_seeds=1, n_images=20))
    row = frame.squeeze()
    assert not row["redundant"]
    assert abs(row["rho"]) < 0.6
    assert row["rho_low"] < row["rho"] < row["rho_high"]
    assert (row["n_cells"], row["n_images"], row["n_seeds"]) == (30, 20, 1)


def test_controls_and_cells_with_few_maps_take_no_part(run) -> None:
    results = run()
    plain, _ = made(results)
    layer = results.main_layers("unet")[0].name

    def thin(frame: pd.DataFrame) -> pd.DataFrame:
        gone = (frame["layer"] == layer) & (frame["method"] == "grad_cam") & (frame["image"] != IMAGES[0])
        names = [m.name for m in results.metrics if m.name in frame]
        return frame.assign(**{name: frame[name].mask(gone) for name in names})

    fewer, _ = made(rewrite(results, thin))
    assert (fewer.frame["n_cells"] == plain.frame["n_cells"] - 1).all()
    own = [name for name in results.methods if name not in (*results.controls, *results.own_passes)]
    assert (plain.frame["n_cells"] <= len(own) * len(results.main_layers("unet"))).all()


def test_of_several_targets_the_one_with_most_maps_is_taken(run) -> None:
    results = run(targets=("best_pixel:logit", "predicted:logit"))
    assert set(made(results)[0].frame["target"]) == {"best_pixel:logit"}  # the first of equals

    def blank(frame: pd.DataFrame) -> pd.DataFrame:
        gone = frame["target"].astype(str) == "best_pixel:logit"
        return frame.assign(**{m.name: frame[m.name].mask(gone) for m in results.metrics if m.name in frame})

    table, (figure,) = made(rewrite(results, blank))
    assert set(table.frame["target"]) == {"predicted:logit"}
    assert "target: predicted" in str(figure.caption).lower()
