"""Means by layer and level, their colours and their signs."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from analyses import Figure
from analyses.depth import heatmap
from analyses.plots.heatmaps import FEW, HALF, scale
from tests.analyses.checks import key_of, rewrite, split
from tests.reference.profiles import over_seeds

IMAGES = tuple(f"cat_{i}" for i in range(5))


def made(results):
    return split(heatmap.analyse(results))


def panels(figure: Figure) -> dict[str, mpl.axes.Axes]:
    """The axes of the cells, by what stands at their colour bars."""
    bars = [axes for axes in figure.figure.axes if hasattr(axes, "_colorbar")]
    cells = [axes for axes in figure.figure.axes if axes.collections and axes not in bars and axes.axison]
    return {bar.get_xlabel(): axes for bar, axes in zip(bars, cells, strict=True)}


def numbers(axes: mpl.axes.Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text() not in ("Encoder", "Decoder")]


def test_each_cell_is_the_mean_over_images_of_the_mean_over_seeds(make):
    results = make(seeds=(0, 1, 2), stages=2, images=IMAGES, unreached=frozenset({(1, 90)}))
    table, _ = made(results)
    scores = results.scores().astype({"image": str, "layer": str, "method": str})
    scores = scores[scores["method"] == "grad_cam"]
    assert len(table.frame) == 7 * 4 * 6
    for row in table.frame.sample(40, random_state=0).to_dict("records"):
        part = scores[(scores["layer"] == row["layer"]) & (scores["level"] == row["level"])]
        seen: dict[str, dict[int, float]] = {}
        for one in part.to_dict("records"):
            seen.setdefault(one["image"], {})[one["seed"]] = float(one[row["metric"]])
        means = [over_seeds(values) for values in seen.values()]
        known = [mean for mean in means if not math.isnan(mean)]
        assert row["mean"] == pytest.approx(sum(known) / len(known), abs=1e-6)
        undefined = sum(math.isnan(value) for values in seen.values() for value in values.values())
        assert (row["n_images"], row["n_undefined"], row["n_maps"]) == (len(known), undefined, len(part))
        assert row["n_seeds"] == (2 if row["level"] == 90 else 3)


def test_chance_is_a_number_the_mean_area_or_nothing(make):
    chance = made(make(stages=1))[0].frame.groupby("metric")["chance"].first()
    assert (chance["background_ratio"], chance["energy_inside"]) == (0.5, 0.25)
    assert np.isnan(chance["spread"])


def test_colours_lie_around_chance_or_between_the_ends():
    means = np.array([[0.6], [0.5], [np.nan], [0.1]])
    places, low, middle, high = scale(means, 0.5)
    np.testing.assert_allclose(places.ravel(), [0.625, 0.5, np.nan, 0.0], atol=1e-12)
    np.testing.assert_allclose([low, middle, high], [0.1, 0.5, 0.9])
    places, low, middle, high = scale(means, math.nan)
    np.testing.assert_allclose(places.ravel(), [1, 0.8, np.nan, 0], atol=1e-12)
    assert (low, high) == (0.1, 0.6)
    assert math.isnan(middle)


@pytest.mark.parametrize("chance", [0.3, math.nan])
def test_means_that_print_alike_have_one_colour(chance):
    places, *_ = scale(np.array([[0.3], [0.301]]), chance)
    assert float(np.ptp(places)) < 0.01
    assert np.isnan(scale(np.array([[np.nan]]), chance)[0]).all()


def test_a_panel_a_metric_with_the_numbers_of_the_table(make):
    table, (figure,) = made(make(stages=2, images=IMAGES))
    found = panels(figure)
    assert list(found)[:3] == ["Energy inside ↑", "Energy gain ↑", "Background ratio ↓"]
    frame = table.frame[table.frame["metric"] == "energy_gain"]
    wanted = frame.pivot(index="depth", columns="level", values="mean").to_numpy().ravel()
    assert numbers(found["Energy gain ↑"]) == [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in wanted]
    assert [tick.get_text() for tick in found["Energy gain ↑"].get_xticklabels()] == ["30 %", "50 %", "70 %", "90 %"]
    assert any(text.get_text() == "Decoder" for text in figure.figure.findobj(Text))


def test_blue_is_the_better_side_of_chance(make):
    def shift(frame):
        return frame.assign(energy_gain=np.float32(0.4), background_ratio=np.float32(0.1))

    _, (figure,) = made(rewrite(make(stages=1, levels=(30, 90)), shift))
    for name in ("Energy gain ↑", "Background ratio ↓"):
        figure.figure.draw_without_rendering()
        red, _, blue, _ = panels(figure)[name].collections[0].get_facecolor()[0]
        assert blue > red


def test_cells_with_few_maps_are_hatched_and_those_with_some_marked(make):
    results = make(stages=1, levels=(30, 90), seeds=(0,), images=tuple(f"cat_{i}" for i in range(20)))

    def thin(frame):
        first = frame["image"].astype(str).isin(["cat_0"])
        half = frame["image"].astype(str).isin([f"cat_{i}" for i in range(6)])
        kept = np.where(frame["layer"].astype(str) == "Encoder 1_1", first, half)
        kept |= frame["level"] == 90
        gain = np.where(frame["energy_gain"].isna(), 0.1, frame["energy_gain"])
        return frame.assign(energy_gain=np.where(kept, gain, np.nan))

    table, (figure,) = made(rewrite(results, thin))
    share = 1 - table.frame["n_undefined"] / table.frame["n_maps"]
    few = table.frame[(table.frame["metric"] == "energy_gain") & (table.frame["level"] == 30)]
    np.testing.assert_allclose(share[few.index], [0.05, 0.3])
    assert 0.05 < FEW < 0.3 < HALF
    texts = numbers(panels(figure)["Energy gain ↑"])
    assert len([text for text in texts if text]) == 3
    key = key_of(figure)
    assert key == ["corner: fewer than half of the maps have a value", "fewer than 1 in 10 maps has a value"]


def test_a_level_that_no_seed_reached_keeps_its_column(make):
    _, (figure,) = made(make(stages=1, seeds=(0,), unreached=frozenset({(0, 50)})))
    axes = panels(figure)["Energy gain ↑"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["30 %", "50 %", "70 %", "90 %"]
    assert "not reached" in numbers(axes)


def test_a_model_of_one_level_has_a_column_a_metric(make):
    _, (figure,) = made(make(levels=(100,), stages=2))
    found = panels(figure)
    assert list(found) == ["Metrics with a better side", "No chance value"]
    names = [[tick.get_text() for tick in axes.get_xticklabels()] for axes in found.values()]
    assert names == [
        ["Energy inside ↑", "Energy gain ↑", "Background ratio ↓", "Edge alignment ↑", "Edge alignment, full size ↑"],
        ["Spread", "Blank maps (share) ↓"],
    ]
    assert "Level: best, 93.1 to 93.2 % mean IoU" in str(figure.caption)


def test_many_deep_layers_take_more_than_one_page(make):
    results = make(models=("vit",), levels=(90, 100), seeds=(0,), gallery=0)
    _, figures = made(results)
    assert [figure.name for figure in figures] == ["heatmap-vit-1", "heatmap-vit-2"]
    assert str(figures[1].caption).startswith("Part 2 of 2. ")
    assert sum(len(panels(figure)) for figure in figures) == 7


def test_the_target_is_the_first_with_values_for_half_of_the_maps(make):
    results = make(stages=2, targets=("best_pixel:logit", "predicted:logit"))
    assert set(made(results)[0].frame["target"]) == {"best_pixel:logit"}

    def blank(frame):
        gone = (frame["target"].astype(str) == "best_pixel:logit") & (np.arange(len(frame)) % 10 < 7)
        return frame.assign(**{m.name: frame[m.name].mask(gone) for m in results.metrics})

    table, (figure,) = made(rewrite(results, blank))
    assert set(table.frame["target"]) == {"predicted:logit"}
    assert "target: predicted, logit" in str(figure.caption)
