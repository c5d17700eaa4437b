"""Mean IoU at other sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, ResultsError
from analyses.paper import resolution
from analyses.reading.choices import at_highest
from analyses.statistics.bootstrap import bootstrap_miou, mean_iou, percentiles
from tests.analyses.checks import assert_on_page, key_of

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
RUN = {"models": ("unet", "segformer", "vit"), "levels": (90, 100), "factors": FACTORS, "gallery": 0}
IMAGES = tuple(f"image_{n}" for n in range(9))


def test_nothing_for_a_run_of_one_size(make):
    results = make(levels=(30,), seeds=(0,), stages=1)
    assert results.resolution() is None
    assert list(resolution.analyse(results)) == []


@pytest.fixture(scope="module")
def results(make_in, tmp_path_factory):
    return make_in(tmp_path_factory.mktemp("sizes") / "run", **RUN, seeds=(0, 1, 2), images=IMAGES)


@pytest.fixture(scope="module")
def counts(results):
    return results.resolution()


@pytest.fixture(scope="module")
def frame(results, counts):
    return resolution.summarise(results, counts)


def test_mean_iou_is_that_of_counts_summed_over_images(results, counts, frame):
    assert list(frame.columns) == resolution.COLUMNS
    assert list(frame["model"].unique()) == list(RUN["models"])
    assert len(frame) == 3 * 2 * len(FACTORS)
    part = counts[(counts["model"] == "vit") & (counts["level"] == 100) & (counts["factor"] == 1.5)]
    own = [mean_iou(rows[list(results.counts)].sum().to_numpy().reshape(2, 2)) for _, rows in part.groupby("seed")]
    row = frame[(frame["model"] == "vit") & (frame["level"] == 100) & (frame["factor"] == 1.5)].iloc[0]
    assert row["miou"] == pytest.approx(np.mean(own), abs=1e-6)
    assert row["low"] < row["miou"] < row["high"]
    assert (row["n_images"], row["n_seeds"], row["size"], row["training_data"]) == (9, 3, 72, "577 real")


def test_the_change_is_paired_and_nothing_at_the_training_size(frame):
    same = frame[frame["factor"] == 1]
    assert (same[["change", "change_low", "change_high"]] == 0).all(axis=None)
    wide = frame.pivot_table(index=["model", "level"], columns="factor", values="miou")
    change = frame.pivot_table(index=["model", "level"], columns="factor", values="change")
    np.testing.assert_allclose(change, wide.sub(wide[1.0], axis=0), atol=2e-6)
    assert frame.loc[frame["factor"] == 2, "change_high"].lt(0).all()


def test_without_the_training_size_there_is_no_change(make):
    results = make(**{**RUN, "factors": (0.5, 2.0)}, seeds=(0,))
    table, *others = resolution.analyse(results)
    assert table.frame["change"].isna().all()
    assert not [item for item in others if isinstance(item, Figure)]


def test_contrasts_are_differences_of_changes_on_the_same_images(results, counts, frame):
    pairs = resolution.contrasts(results, counts)
    assert list(pairs.columns) == list(resolution.PAIRED)
    assert len(pairs) == 3 * (len(FACTORS) - 1)
    changes = at_highest(frame).set_index(["model", "factor"])["change"]
    for row in pairs.itertuples():
        wanted = changes[row.model, row.factor] - changes[row.other, row.factor]
        assert row.contrast == pytest.approx(wanted, abs=3e-6)
        assert row.low <= row.contrast <= row.high
    assert (pairs["n_images"] == len(IMAGES)).all()
    alone = counts[~((counts["model"] == "vit") & (counts["image"] == IMAGES[0]))]
    fewer = resolution.contrasts(results, alone)
    assert (fewer.loc[fewer["other"] == "vit", "n_images"] == len(IMAGES) - 1).all()


def test_a_line_a_model_at_its_highest_level(make):
    table, pairs, item = resolution.analyse(make(**RUN, seeds=(0, 1)))
    assert (table.name, pairs.name, item.name) == ("resolution", "resolution_contrasts", "resolution")
    (change,) = item.figure.axes
    assert change.get_ylabel() == "Change of mean IoU (points)"
    lines = [line for line in change.lines if line.get_marker() != "None"]
    assert len(lines) == 3
    for part in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, part)() for line in lines}) == 3
    ticks = [tick.get_text() for tick in change.get_xticklabels()]
    assert ticks == ["0.5\n24", "0.75\n36", "1\n48", "1.25\n60", "1.5\n72", "2\n96"]
    assert "C8" in str(item.caption)
    top = at_highest(table.frame)
    training = top[top["factor"] == 1].set_index("model")["miou"]
    assert f"SegFormer ({100 * training['segformer']:.1f} %)" in key_of(item)
    assert_on_page(item)


def test_the_title_is_of_the_size_at_which_networks_differ_most(make) -> None:
    (*_, item) = resolution.analyse(make(**RUN, seeds=(0, 1)))
    top = at_highest(next(iter(resolution.analyse(make(**RUN, seeds=(0, 1))))).frame)
    apart = top[top["factor"] != 1].groupby("factor")["change"].agg(lambda one: one.max() - one.min())
    assert item.caption.finding.startswith(f"At {apart.idxmax():g} times the size of the training ")
    there = top[top["factor"] == apart.idxmax()].set_index("model")["change"]
    for model, name in (("unet", "U-Net"), ("segformer", "SegFormer"), ("vit", "ViT")):
        assert f"\N{MINUS SIGN}{-100 * there[model]:.1f} in {name}" in item.caption.finding
    (*_, alone) = resolution.analyse(make(**RUN | {"models": ["unet"]}, seeds=(0, 1)))
    assert alone.caption.finding.startswith("At 2 times the size of the training ")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_seed_is_called_an_observation(make, seeds):
    for item in resolution.analyse(make(**RUN | {"factors": (0.5, 1.0)}, seeds=seeds)):
        assert ("with one seed all this is an observation" in str(item.caption)) == (len(seeds) == 1)


def test_the_order_of_rows_is_nothing_and_an_image_twice_is_refused(results, counts, frame):
    pd.testing.assert_frame_equal(resolution.summarise(results, counts.sample(frac=1, random_state=0)), frame)
    with pytest.raises(ResultsError, match="a row is there twice"):
        resolution.summarise(results, pd.concat([counts, counts]))


def plain_twin(counts, generator, resamples):
    """The crossed bootstrap of mean IoU as one would say it."""
    seeds, images = counts.shape[:2]
    seed_draws = generator.integers(seeds, size=(resamples, seeds))
    image_draws = generator.integers(images, size=(resamples, images))
    found = []
    for r in range(resamples):
        values = [mean_iou(sum(counts[s, i] for i in image_draws[r])) for s in seed_draws[r]]
        found.append(np.mean(values))
    return found


@pytest.mark.parametrize("shape", [(1, 6), (3, 5), (2, 1)])
def test_the_bootstrap_agrees_with_the_plain_loop(shape):
    counts = np.random.default_rng(5).integers(1, 20, (*shape, 3, 3))
    counts[..., 2, :] = 0  # a class that no image holds
    counts[:, -1, 1, :] = 0  # and one that the last image does not
    estimate, found = bootstrap_miou(counts, np.random.default_rng(1), 300)
    np.testing.assert_allclose(found, plain_twin(counts, np.random.default_rng(1), 300))
    assert estimate == pytest.approx(np.mean(mean_iou(counts.sum(1))))


def test_leading_axes_share_the_resamples():
    counts = np.random.default_rng(0).integers(1, 20, (4, 2, 5, 2, 2))
    estimate, found = bootstrap_miou(counts, np.random.default_rng(1), 300)
    assert (estimate.shape, found.shape) == ((4,), (300, 4))
    alone = bootstrap_miou(counts[2], np.random.default_rng(1), 300)
    np.testing.assert_allclose(found[:, 2], alone[1])
    low, high = percentiles(found, 0.9)
    np.testing.assert_allclose([low[2], high[2]], np.quantile(alone[1], [0.05, 0.95]))


def test_counts_of_nothing_have_no_mean_iou():
    estimate, found = bootstrap_miou(np.zeros((2, 3, 2, 2)), np.random.default_rng(0), 10)
    assert np.isnan(estimate)
    assert np.isnan(found).all()
