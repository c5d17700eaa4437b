"""Performance profiles: shares above a bar, areas and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Results
from analyses.comparisons import performance_profiles
from analyses.plots import style
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import rewrite
from tests.method_runs import IMAGES as TWELVE
from tests.method_runs import METHODS, enrich
from tests.reference.profiles import area_above, share_above

IMAGES = tuple(f"cat_{i}" for i in range(6))


def made(results):
    (table,) = performance_profiles.analyse(results)
    return table


def maps(results: Results, method: str, layers: list[str], level: int, metric: str = "energy_gain") -> dict:
    frame = results.scores().astype({"image": str, "layer": str, "method": str})
    frame = frame[(frame["method"] == method) & (frame["level"] == level) & frame["layer"].isin(layers)]
    return {(one["layer"], one["seed"], one["image"]): float(one[metric]) for one in frame.to_dict("records")}


def with_bounds(results: Results, **metrics: dict) -> Results:
    for name, entry in metrics.items():
        results.manifest.metrics[name] = results.manifest.metrics[name].model_copy(update=entry)
    return results


def within_bounds(frame: pd.DataFrame) -> pd.DataFrame:
    limits = {"energy_gain": (None, 1.0), "background_ratio": (0.0, None)}
    return frame.assign(**{name: frame[name].clip(*ends) for name, ends in limits.items()})


@pytest.fixture(scope="module")
def run(make_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles") / "run"
    results = make_in(folder, seeds=(0, 1, 2), stages=2, images=IMAGES)
    results = rewrite(results, within_bounds)
    return with_bounds(results, energy_gain={"upper": 1.0})


@pytest.fixture(scope="module")
def table(run):
    return made(run)


def test_areas_and_shares_above_chance_are_those_by_hand(run, table):
    layers = [layer.name for layer in run.main_layers("unet")]
    wanted = {"all layers": layers, "Encoder 2_2": ["Encoder 2_2"]}
    assert list(dict.fromkeys(table.frame["layers"])) == list(wanted)
    for row in table.frame[table.frame["method"].isin(["grad_cam", "random"])].to_dict("records"):
        found = maps(run, row["method"], wanted[row["layers"]], 90)
        assert row["above"] == pytest.approx(share_above(found, 0.0, 1), abs=1e-6)
        assert row["area"] == pytest.approx(area_above(found, 0.0, 1.0), abs=1e-3)
        assert row["share_undefined"] == pytest.approx(np.mean(np.isnan(list(found.values()))), abs=1e-6)
        assert row["n_maps"] == len(found)
        assert (row["n_layers"], row["n_images"], row["n_seeds"]) == (len(wanted[row["layers"]]), 6, 3)


def test_intervals_are_crossed_over_seeds_and_images(run, table):
    frame = table.frame
    row = frame[(frame["method"] == "random") & (frame["layers"] == "Encoder 2_2")].squeeze()
    scores = run.scores({"method": ["random"], "level": [90], "layer": ["Encoder 2_2"]}).astype({"image": str})
    matrix = scores.pivot(index="seed", columns="image", values="energy_gain").to_numpy(dtype=float)
    matrix = np.where(np.isnan(matrix), 0.0, matrix > 1e-6)
    wanted = bootstrap_interval(matrix, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    assert row["above"] == pytest.approx(float(wanted.estimate), abs=1e-6)
    assert row["above_low"] == pytest.approx(max(0.0, float(wanted.low)), abs=1e-6)
    assert row["above_high"] == pytest.approx(min(1.0, float(wanted.high)), abs=1e-6)
    assert row["above_low"] < row["above"] < 1


def test_a_blank_map_is_above_no_bar_and_one_at_chance_not_above_it(make):
    results = with_bounds(make(seeds=(0,), stages=1, levels=(90,), images=IMAGES), energy_gain={"upper": 1.0})

    def change(frame):
        blank = (frame["method"].astype(str) == "grad_cam") & frame["image"].astype(str).isin(IMAGES[:2])
        level = frame["method"].astype(str) == "uniform"
        gain = np.where(level, 3e-8, np.where(blank, np.nan, 0.5))
        return frame.assign(energy_gain=gain.astype(np.float32))

    changed = with_bounds(rewrite(results, change), energy_gain={"upper": 1.0})
    frame = made(changed).frame.query("layers == 'all layers'").set_index("method")
    assert frame.loc["grad_cam", "above"] == pytest.approx(4 / 6, abs=1e-6)
    assert frame.loc["grad_cam", "area"] == pytest.approx(0.5 * 4 / 6, abs=1e-6)
    assert frame.loc["grad_cam", "share_undefined"] == pytest.approx(2 / 6, abs=1e-6)
    assert (frame.loc["uniform", ["above", "area"]] == 0).all()
    assert (frame.loc["sobel", ["above", "area"]] == [1, 0.5]).all()


def test_methods_with_passes_of_their_own_are_left_out_and_counted(make):
    small = {"stages": 2, "seeds": (0,), "levels": (30, 90), "methods": METHODS, "images": TWELVE, "gallery": 0}
    results = enrich(make(**small))
    table = made(results)
    assert not set(table.frame["method"]) & set(results.own_passes)
    assert set(table.frame["kind"]) == {"method", "control"}
    assert (table.frame["level"] == 90).all()


def test_a_method_with_few_images_is_left_out_though_it_needs_no_own_passes(make):
    results = make(seeds=(0,), stages=1, levels=(90,), images=IMAGES, methods=("grad_cam", "hires_cam", "uniform"))

    def fewer(frame):
        return frame[(frame["method"].astype(str) != "hires_cam") | (frame["image"] == IMAGES[0])]

    table = made(rewrite(results, fewer))
    assert set(table.frame["method"]) == {"grad_cam", "uniform"}


def test_no_two_methods_look_alike():
    looks = style.method_lines([f"m{i}" for i in range(24)])
    assert len({(look.color, look.linestyle) for look in looks.values()}) == 24


def test_the_metric_is_energy_gain_or_one_with_a_better_side_and_a_number_for_chance(make):
    results = make(stages=1)
    chosen = performance_profiles.ranked_metric(results)
    assert chosen is not None
    assert chosen.name == "energy_gain"
    del results.manifest.metrics["energy_gain"]
    other = performance_profiles.ranked_metric(results)
    assert other is not None
    assert other.name == "background_ratio"
    for name in ("background_ratio", "edge_alignment", "edge_alignment_full"):
        del results.manifest.metrics[name]
    assert list(performance_profiles.analyse(results)) == []


def test_scores_of_one_value_below_chance_have_no_area(make):
    results = make(stages=1, levels=(90,), images=IMAGES)
    changed = rewrite(results, lambda frame: frame.assign(energy_gain=np.float32(-1)))
    assert (made(changed).frame[["area", "above"]] == 0).all(axis=None)


def test_nothing_where_the_metric_is_undefined_everywhere(make):
    assert list(performance_profiles.analyse(make(stages=1, undefined=("energy_gain",)))) == []
