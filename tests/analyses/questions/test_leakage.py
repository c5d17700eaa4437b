"""Whose pixels, from made-up tables: means, chance, what is counted, and what the titles say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from analyses.questions import leakage, means
from analyses.reading.results import Results, ResultsError
from tests.analyses.checks import assert_on_page, row, texts

CLASSES = ("background", "cat", "dog")
IMAGES = tuple(f"pet_{i}" for i in range(8))
RUN = {"classes": CLASSES, "seeds": (0, 1), "levels": (90,), "gallery": 0, "images": IMAGES, "stages": 2}
METHODS = ("grad_cam", "uniform", "random", "mask_oracle")
TARGET = "predicted:logit"
LEAK = 0.3
"""What cat's maps have on dog; the rest is on their own pixels but for a tenth on the background."""
AREA = {"background": 0.7, "cat": 0.2, "dog": 0.1}


def energies(method: str, explained: str) -> dict[str, float]:
    if method in ("uniform", "random"):
        return AREA
    if method == "mask_oracle" or explained == "background":
        return {name: float(name == explained) for name in CLASSES}
    return {"background": 0.1, explained: 0.9 - LEAK * (explained == "cat")} | (
        {"dog": LEAK} if explained == "cat" else {"cat": 0.0}
    )


def maps(results: Results, models: tuple[str, ...] = ("unet",)) -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for model, seed, image, explained, method in product(models, (0, 1), IMAGES, CLASSES, METHODS):
        for layer in results.main_layers(model):
            for on, share in energies(method, explained).items():
                noise = rng.uniform(-0.02, 0.02) if method == "grad_cam" and 0 < share < 1 else 0.0
                rows.append(
                    {"dataset": "d", "model": model, "level": 90, "seed": seed, "training_data": "d", "image": image}
                    | {"explained": explained, "on_class": on, "target": TARGET, "layer": layer.name, "method": method}
                    | {"energy": np.float32(share + noise), "area": np.float32(AREA[on])}
                )
    return pd.DataFrame(rows)


def removals(models: tuple[str, ...] = ("unet",)) -> pd.DataFrame:
    change = {("cat", "dog"): -0.4, ("dog", "cat"): 0.1}
    return pd.DataFrame(
        [
            {"dataset": "d", "model": model, "level": 90, "seed": seed, "training_data": "d", "image": image}
            | {"explained": one, "on_class": on, "target": TARGET, "imputation": "mean", "area": AREA[on]}
            | {"score": 5.0, "score_change": change.get((one, on), -0.8 if one == on else 0.0), "explained_pixels": 9}
            for model, seed, image, one, on in product(models, (0, 1), IMAGES, CLASSES, CLASSES)
        ]
    )


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "RESAMPLES", 200)


def written(results: Results, energy: pd.DataFrame, removal: pd.DataFrame) -> Results:
    for name, frame in (("leakage", energy), ("leakage_removal", removal)):
        folder = results.folder / "scores" / name
        folder.mkdir(exist_ok=True)
        frame.to_parquet(folder / "all.parquet", index=False)
    return Results(results.folder)


@pytest.fixture
def run(make) -> Results:
    results = make(**RUN)
    return written(results, maps(results), removals())


def test_means_intervals_and_chance(run: Results) -> None:
    mean, removal, layers, *_ = leakage.analyse(run)
    found = row(mean.frame, explained="cat", on_class="dog", method="grad_cam")
    raw = maps(run)
    raw = raw[(raw["explained"] == "cat") & (raw["on_class"] == "dog") & (raw["method"] == "grad_cam")]
    assert found["energy"] == pytest.approx(raw["energy"].mean(), abs=1e-6)
    assert found["chance"] == pytest.approx(0.1)
    assert found["over_chance"] == pytest.approx(found["energy"] - 0.1, abs=1e-5)
    assert 0.25 < found["energy_low"] < found["energy"] < found["energy_high"] < 0.35
    assert (found["n_images"], found["n_seeds"], found["n_undefined"]) == (8, 2, 0)
    uniform = mean.frame[mean.frame["method"] == "uniform"]
    assert uniform["over_chance"].abs().max() == pytest.approx(0, abs=1e-6)
    assert row(removal.frame, explained="cat", on_class="dog")["score_change"] == pytest.approx(-0.4)
    assert row(removal.frame, explained="cat", on_class="dog")["area"] == pytest.approx(0.1)
    assert len(layers.frame) == 9 * 4 * len(run.main_layers("unet"))
    by_layer = raw.groupby("layer")["energy"].mean()
    own = layers.frame[
        (layers.frame["explained"] == "cat")
        & (layers.frame["on_class"] == "dog")
        & (layers.frame["method"] == "grad_cam")
    ]
    assert own.set_index("layer")["energy"].to_dict() == pytest.approx(by_layer.to_dict(), abs=1e-6)
    assert list(dict.fromkeys(mean.frame["explained"])) == list(CLASSES)  # in the data's order


def test_a_change_that_is_not_told_from_none_is_no_number(run: Results) -> None:
    removal = removals()
    leak = (removal["explained"] == "cat") & (removal["on_class"] == "dog")
    removal.loc[leak, "score_change"] = [0.2 if i % 2 else -0.1 for i in range(leak.sum())]
    *_, figure, _ = leakage.analyse(written(run, maps(run), removal))
    assert "(10 % by chance; without it the score may be the same)" in figure.caption.finding


def test_the_leak_is_what_the_title_names(run: Results) -> None:
    *_, figure, of_layers = leakage.analyse(run)
    assert "energy for cat, 30 % lies on dog (10 % by chance" in figure.caption.finding
    assert "without it the score goes \N{MINUS SIGN}40 %" in figure.caption.finding
    assert figure.caption.finding.startswith("Of Grad-CAM's energy")
    assert of_layers.caption.finding.startswith("Maps for cat leak most at ")
    for item in (figure, of_layers):
        assert_on_page(item)
    assert {"30 %\n(chance\n10 %)", "\N{MINUS SIGN}40 %", "+10 %"} <= set(texts(figure))


def test_a_title_names_ties_and_what_may_be_chance(run: Results) -> None:
    names = [layer.name for layer in run.main_layers("unet")][:3]
    values = [(-0.5, -0.6, -0.4), (0.2, -0.1, 0.5), (-0.501, -0.6, -0.4)]
    rows = [
        {"model": "unet", "method": "grad_cam", "explained": "cat", "on_class": "cat", "layer": name}
        | {"over_chance": -value, "over_chance_low": -high, "over_chance_high": -low}
        | {"n_images": 6, "n_seeds": 1, "n_undefined": 0}
        for name, (value, low, high) in zip(names, values, strict=True)
    ]
    first, last = (next(one.label for one in run.layers("unet") if one.name == name) for name in (names[1], names[2]))
    assert leakage.layers_finding(run, pd.DataFrame(rows)) == (
        f"Maps for cat leak most at {first} (0.20, may be chance), least at {last} and 1 other (\N{MINUS SIGN}0.50)."
    )


def test_blank_maps_and_absent_classes_are_counted_and_not_zero(make) -> None:
    results = make(**RUN)
    frame, removal = maps(results), removals()
    blank = (frame["image"] == IMAGES[0]) & (frame["method"] == "grad_cam") & (frame["explained"] == "cat")
    frame.loc[blank, "energy"] = np.nan
    frame = frame[~((frame["image"] == IMAGES[1]) & (frame["on_class"] == "dog"))]  # no dog in truth
    removal.loc[(removal["image"] == IMAGES[0]) & (removal["explained"] == "cat"), "score_change"] = np.nan
    mean, change, layers, *_ = leakage.analyse(written(results, frame, removal))
    found = row(mean.frame, explained="cat", on_class="dog", method="grad_cam")
    count = len(results.main_layers("unet"))
    assert (found["n_images"], found["n_undefined"]) == (6, 2 * count)  # two seeds
    assert found["energy"] == pytest.approx(LEAK, abs=0.02)
    assert row(change.frame, explained="cat", on_class="dog")["n_undefined"] == 2
    one = layers.frame[(layers.frame["explained"] == "cat") & (layers.frame["method"] == "grad_cam")]
    assert set(one["n_undefined"]) == {2}


def test_a_class_of_which_no_map_has_a_value_is_crossed_out(make) -> None:
    results = make(**RUN)
    frame, removal = maps(results), removals()
    frame.loc[frame["explained"] == "dog", "energy"] = np.nan
    removal.loc[removal["explained"] == "dog", "score_change"] = np.nan
    mean, _, _, figure, of_layers = leakage.analyse(written(results, frame, removal))
    rows = mean.frame[mean.frame["explained"] == "dog"]
    assert rows[["energy", "energy_low", "over_chance", "chance"]].isna().all(axis=None)
    for item in (figure, of_layers):
        assert_on_page(item)


def test_of_many_classes_those_that_most_images_show_are_drawn(make) -> None:
    names = ("background", "pet", *(f"thing {i}" for i in range(18)))
    results = make(**{**RUN, "classes": names})
    rows = []
    for (i, one), on, image in product(enumerate(names), names, IMAGES):
        if i < 4 or image == IMAGES[0]:
            rows.append(
                {"dataset": "d", "model": "unet", "level": 90, "seed": 0, "training_data": "d", "image": image}
                | {"explained": one, "on_class": on, "target": TARGET, "layer": "Encoder 1_1", "method": "grad_cam"}
                | {"energy": 0.05, "area": 0.05}
            )
    frame = pd.DataFrame(rows)
    removal = frame.drop(columns=["layer", "method", "energy"]).assign(score_change=0.0, imputation="mean")
    _, _, _, figure, of_layers = leakage.analyse(written(results, frame, removal))
    labels = [label.get_text() for label in figure.figure.axes[0].get_yticklabels()]
    assert len(labels) == leakage.MOST_CLASSES
    assert labels[:4] == ["background", "pet", "thing 0", "thing 1"]
    for item in (figure, of_layers):
        assert_on_page(item)


def test_networks_stand_side_by_side(make) -> None:
    models = ("unet", "segformer", "vit")
    results = make(**{**RUN, "models": models})
    items = list(leakage.analyse(written(results, maps(results, models), removals(models))))
    assert [item.name for item in items[3:]] == ["leakage", "leakage_layers"]
    for name in ("U-Net", "SegFormer", "ViT"):
        assert name in items[3].caption.finding
    for item in items[3:]:
        assert_on_page(item)


def test_a_row_that_is_there_twice_is_refused(make) -> None:
    results = make(**RUN)
    frame = maps(results)
    removal = removals()
    with pytest.raises(ResultsError, match="leakage_removal: a row is there twice"):
        list(leakage.analyse(written(results, frame, pd.concat([removal, removal[:1]]))))


def test_nothing_without_the_measurement(make) -> None:
    assert list(leakage.analyse(make(**RUN))) == []
