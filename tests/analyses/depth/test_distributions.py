"""Quantiles over images, and how many are better than chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyses import Results
from analyses.depth import distributions
from analyses.plots.violins import places, window
from tests.analyses.checks import key_of, rewrite, split
from tests.reference.profiles import over_seeds, quantile

IMAGES = tuple(f"cat_{i}" for i in range(14))


def made(results):
    return split(distributions.analyse(results))


def values(results: Results, row: dict) -> list[float]:
    """Each image's mean over seeds, by hand."""
    frame = results.scores().astype({"image": str, "layer": str, "method": str, "target": str})
    keys = ("layer", "level", "method", "target", "model")
    seen: dict[str, dict[int, float]] = {}
    for one in frame.to_dict("records"):
        if all(one[key] == row[key] for key in keys):
            seen.setdefault(one["image"], {})[one["seed"]] = float(one[row["metric"]])
    return [over_seeds(found) for found in seen.values()]


def test_quantiles_and_counts_are_those_by_hand(make):
    results = make(seeds=(0, 1), stages=2, images=IMAGES)
    table, _ = made(results)
    assert set(table.frame["layer"]) == {"Encoder 1_1", "Encoder 2_2", "Decoder 1_2"}
    assert set(table.frame["metric"]) == {"energy_gain", "background_ratio", "edge_alignment"}
    assert len(table.frame) == 3 * 3 * 4
    for row in table.frame.sample(9, random_state=1).to_dict("records"):
        known = [value for value in values(results, row) if not math.isnan(value)]
        shares = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
        for name, share in shares.items():
            assert row[name] == pytest.approx(quantile(known, share), abs=1e-6)
        chance = {"background_ratio": 0.5}.get(row["metric"], 0.0)
        better = sum(value < 0.5 if row["metric"] == "background_ratio" else value > chance for value in known)
        assert (row["n_images"], row["n_better"]) == (len(known), better)
        assert row["n_above"] == sum(value > chance for value in known)
        assert row["share_better"] == pytest.approx(better / len(known), abs=1e-6)
        assert row["mean"] == pytest.approx(sum(known) / len(known), abs=1e-6)


def test_the_share_of_undefined_maps_is_of_maps_not_of_images(make):
    results = make(seeds=(0, 1), stages=1, levels=(90,), images=IMAGES)

    def thin(frame):
        gone = frame["image"].astype(str).isin(IMAGES[:4]) | ((frame["seed"] == 0) & (frame["image"] == IMAGES[5]))
        return frame.assign(energy_gain=np.where(gone, np.nan, 0.3).astype(np.float32))

    row = made(rewrite(results, thin))[0].frame.query("metric == 'energy_gain'").iloc[0]
    assert (row["n_images"], row["n_maps"]) == (10, 28)
    assert row["share_undefined"] == pytest.approx(9 / 28, abs=1e-6)


def test_chance_of_a_metric_may_be_each_images_own():
    found = distributions.summary(np.array([0.3, 0.3, np.nan]), np.array([0.2, 0.4, 0.1]), "higher")
    assert (found["n_above"], found["n_better"], found["n_images"]) == (1, 1, 2)
    assert found["chance"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("chance", "direction", "above", "better"),
    [
        (0.0, "higher", 2, 2),
        (0.0, "lower", 2, 1),
        (0.0, "none", 2, None),
        (0.0, None, 2, None),
        (math.nan, "higher", None, None),
    ],
)
def test_only_what_has_a_better_side_and_chance_is_better(chance, direction, above, better):
    found = distributions.summary(np.array([0.5, 0.2, -0.1, 0.0]), np.full(4, chance), direction)
    assert (found["n_above"], found["n_better"]) == (above, better)
    assert math.isnan(found["share_better"]) == (better is None)


def test_nothing_defined_is_empty_and_not_an_error():
    found = distributions.summary(np.full(3, np.nan), np.zeros(3), "higher")
    assert found["n_images"] == 0
    assert found["n_better"] is None
    assert math.isnan(found["q50"])


def test_models_of_one_level_show_their_layers_at_most_sixteen(make):
    results = make(models=("unet", "segformer", "vit"), levels=(100,), seeds=(0,), gallery=0)
    frame = made(results)[0].frame
    layers = frame.groupby("model", sort=False)["layer"].unique()
    assert all(len(found) <= distributions.MOST_LAYERS for found in layers)
    assert not any("attention" in name for name in [*layers["segformer"], *layers["vit"]])
    assert {"Encoder 1_1", "Decoder 1_2"} <= set(layers["unet"])
    depths = frame[(frame["model"] == "unet") & (frame["metric"] == "energy_gain")]["depth"]
    assert depths.is_monotonic_increasing


def test_counts_stand_above_each_violin(make):
    table, (figure,) = made(make(seeds=(0,), stages=1, levels=(30, 90), images=IMAGES))
    panel = next(axes for axes in figure.figure.axes if axes.get_ylabel() == "Energy gain ↑")
    texts = [text.get_text() for text in panel.texts]
    rows = table.frame[table.frame["metric"] == "energy_gain"]
    shares = {f"{100 * share:.0f}" for share in rows["share_better"]}
    assert shares <= set(texts)
    assert "% better than chance:" in texts
    assert len(panel.texts) == len(rows) + 1


def test_few_images_are_dots_and_many_a_density(make):
    few, many = (
        made(make(seeds=(0,), stages=1, levels=(30, 90), images=IMAGES[:n]))[1][0].figure.axes[0] for n in (4, 14)
    )
    assert all(sum(len(c.get_offsets()) for c in axes.collections if len(c.get_offsets()) > 1) for axes in (few, many))
    shapes = [[c for c in axes.collections if type(c).__name__ == "FillBetweenPolyCollection"] for axes in (few, many)]
    assert len(shapes[0]) == 0
    assert len(shapes[1]) == 2 * 2 * 2  # a density and a bar for each level and layer


def test_an_axis_ends_before_what_lies_far_out_and_says_so(make):
    np.testing.assert_allclose(window(np.array([0.0, 1.0, np.nan])), (0, 1))
    assert window(np.array([np.nan])) == (0.0, 0.0)
    assert window(np.concatenate([[-90.0], np.linspace(0, 1, 999)]))[0] > -1
    results = make(seeds=(0,), stages=1, levels=(30, 90), images=tuple(f"cat_{i}" for i in range(300)))

    def far(frame):
        return frame.assign(energy_gain=frame["energy_gain"].mask(frame["image"] == "cat_7", np.float32(-50)))

    changed = rewrite(results, far)
    table, (figure,) = made(changed)
    panel = figure.figure.axes[0]
    low, high = panel.get_ylim()
    assert low > -2
    rows = table.frame[table.frame["metric"] == "energy_gain"].to_dict("records")
    found = [value for row in rows for value in values(changed, row)]
    beyond = sum(value < low or value > high for value in found)
    assert f"{beyond} beyond" in [text.get_text() for text in panel.texts]
    assert beyond >= 3


def test_violins_of_levels_stand_side_by_side():
    found = places(4, 3)
    assert found.shape == (3, 4)
    assert (np.diff(found.ravel()) > 0.2).all()
    np.testing.assert_allclose(found.mean(axis=1), [0, 1, 2])


def test_a_run_without_the_wanted_metrics_takes_its_own_first(make):
    results = make(stages=1)
    manifest = results.manifest
    for name in ("energy_gain", "edge_alignment", "background_ratio"):
        del manifest.metrics[name]
    assert [metric.name for metric in distributions.shown_metrics(results)] == [
        "energy_inside",
        "edge_alignment_full",
        "spread",
    ]
    assert len(made(results)[1]) == 1


def test_nothing_where_no_map_has_a_value(make):
    assert list(distributions.analyse(make(stages=1, undefined=distributions.WANTED))) == []


def test_the_title_says_how_many_images_are_better_than_chance(make):
    table, (figure,) = made(make(seeds=(0,), stages=2, levels=(30, 90), images=IMAGES))
    rows = table.frame[(table.frame["metric"] == "energy_gain") & (table.frame["level"] == 90)]
    share = rows.set_index("layer").loc["Encoder 2_2", "share_better"]
    said = "all" if share == 1 else f"{100 * share:.0f} %"
    where = "at Encoder 2_2 in U-Net, at its highest level"
    assert figure.caption.finding == f"Energy gain of single images is better than chance for {said} {where}."
    assert key_of(figure)[-3:] == ["quartiles", "median", "chance"]
    assert not any("Background ratio" in axes.get_ylabel() for axes in figure.figure.axes), "energy gain's mirror"
