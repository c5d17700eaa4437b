"""How far, from made-up tables: densities, sums from the inside, half-distances, and the figure."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from analyses.questions import distance, means
from analyses.reading.results import Results, ResultsError
from tests.analyses.checks import assert_on_page, key_of, row, texts

IMAGES = tuple(f"pet_{i}" for i in range(8))
RUN = {"seeds": (0, 1), "levels": (90,), "gallery": 0, "images": IMAGES, "stages": 2}
EDGES = (-4.0, 0.0, 4.0, 16.0)
INNER, OUTER = (np.nan, *EDGES), (*EDGES, np.nan)
AREA = (0.1, 0.2, 0.2, 0.2, 0.3)
ENERGY = {"grad_cam": (0.3, 0.4, 0.2, 0.1, 0.0), "uniform": AREA, "random": AREA, "gaussian": (0.2, 0.3, 0.2, 0.2, 0.1)}
ENERGY |= {"sobel": AREA, "mask_oracle": (0.4, 0.6, 0.0, 0.0, 0.0)}
HALF = {"grad_cam": 5.0, "uniform": 12.0, "random": 11.5, "gaussian": 8.0, "sobel": 5.0, "mask_oracle": 1.0}
TARGET = "predicted:logit"
LOST = (-0.1, -0.5, -0.05, 0.0, 0.02)


def made(results: Results, models: tuple[str, ...] = ("unet",)) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    rings, halves, removal = [], [], []
    for model, seed, image in product(models, (0, 1), IMAGES):
        keys = {"dataset": "d", "model": model, "level": 90, "seed": seed, "training_data": "d", "image": image}
        keys |= {"target": TARGET}
        ends = [{"ring": r, "inner": INNER[r], "outer": OUTER[r]} for r in range(5)]
        for r in range(5):
            number = {"ring_pixels": int(1000 * AREA[r]), "score": 4.0, "score_change": LOST[r] + rng.normal(0, 0.01)}
            removal.append(keys | ends[r] | {"imputation": "mean"} | number)
        own = 3.0 * np.sin(IMAGES.index(image))  # objects differ more than methods do: they are compared within one
        for layer, method in product(results.main_layers(model), ENERGY):
            of_map = keys | {"layer": layer.name, "method": method}
            halves.append(of_map | {"half_distance": HALF[method] + own + rng.normal(0, 0.1)})
            rings += [of_map | ends[r] | {"energy": ENERGY[method][r], "area": AREA[r]} for r in range(5)]
    return {
        name: pd.DataFrame(rows) for name, rows in zip(("", "_half", "_removal"), (rings, halves, removal), strict=True)
    }


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "RESAMPLES", 200)


def written(results: Results, frames: dict[str, pd.DataFrame]) -> Results:
    for end, frame in frames.items():
        folder = results.folder / "scores" / f"distance{end}"
        folder.mkdir(exist_ok=True)
        frame.to_parquet(folder / "all.parquet", index=False)
    return Results(results.folder)


def test_density_sums_and_effects(make) -> None:
    results = make(**RUN)
    rings, removal, half, beside, figure = distance.analyse(written(results, made(results)))
    for r, (inner, outer) in enumerate(zip(INNER, OUTER, strict=True)):
        same = (rings.frame["inner"].isna() if r == 0 else rings.frame["inner"] == inner) & (
            rings.frame["outer"].isna() if r == 4 else rings.frame["outer"] == outer
        )
        found = row(rings.frame[same], layer="all", method="grad_cam")
        assert found["density"] == pytest.approx(ENERGY["grad_cam"][r] / AREA[r], abs=1e-6)
        assert found["cumulative"] == pytest.approx(sum(ENERGY["grad_cam"][: r + 1]), abs=1e-6)
        assert found["cumulative_low"] <= found["cumulative"] <= found["cumulative_high"]
        assert row(rings.frame[same], layer="all", method="uniform")["density"] == pytest.approx(1)
    assert removal.frame["score_change"].to_numpy() == pytest.approx(np.array(LOST), abs=0.01)
    assert removal.frame["area"].to_numpy() == pytest.approx(np.array(AREA))
    found = row(half.frame, layer="all", method="grad_cam")
    middle = 3 * np.sin(np.arange(len(IMAGES))).mean()
    assert found["half_distance"] == pytest.approx(5 + middle, abs=0.1)
    assert set(beside.frame["method"]) == {"grad_cam"}
    for control in ("uniform", "random", "gaussian", "sobel", "mask_oracle"):
        pair = row(beside.frame, method="grad_cam", control=control)
        assert pair["half_difference"] == pytest.approx(5 - HALF[control], abs=0.1)
        wide = found["half_distance_high"] - found["half_distance_low"]
        assert pair["half_difference_high"] - pair["half_difference_low"] < 0.5 * wide
        assert (pair["n_images"], pair["n_seeds"]) == (8, 2)
    said = figure.caption.details.partition("Half of the energy lies ")[2].partition(" in U-Net.")[0]
    nearer, rest = said.split("; not told from ")
    untold, further = rest.split("; further than ")
    assert all(name in nearer.lower() for name in ("uniform", "random", "gaussian"))
    assert "sobel" in untold.lower()
    assert "mask" in further.lower()
    assert found["beyond_chance"] == pytest.approx(-7, abs=0.1)
    assert found["half_distance_low"] < found["half_distance"] < found["half_distance_high"]
    assert f"within {found['half_distance']:.1f} px of its outline (" in figure.caption.finding
    assert "not told apart" not in figure.caption.finding
    assert "U-Net, 8 images" in texts(figure)
    assert {"\N{MINUS SIGN}4", "0", "4", "16"} <= set(texts(figure))
    assert_on_page(figure)


def test_rings_that_an_image_lacks_and_blank_maps_have_no_value(make) -> None:
    results = make(**RUN)
    frames = made(results)
    rings = frames[""]
    lacking = (rings["image"] == IMAGES[0]) & (rings["ring"] == 0)
    rings.loc[lacking, ["energy", "area"]] = [np.nan, 0.0]
    blank = (rings["image"] == IMAGES[1]) & (rings["method"] == "grad_cam")
    rings.loc[blank, "energy"] = np.nan
    half = frames["_half"]
    half.loc[(half["image"] == IMAGES[1]) & (half["method"] == "grad_cam"), "half_distance"] = np.nan
    table, _, halves, _, figure = distance.analyse(written(results, frames))
    own = table.frame[(table.frame["layer"] == "all") & (table.frame["method"] == "grad_cam")]
    assert own["n_images"].tolist() == [6, 7, 7, 7, 7]
    assert own["n_undefined"].tolist() == [4, 2, 2, 2, 2]
    assert own["density"].notna().all()
    assert own["cumulative"].iloc[0] == pytest.approx(0.3 * 6 / 7)  # nothing of image 0 lies that far inside
    found = row(halves.frame, layer="all", method="grad_cam")
    assert (found["n_images"], found["n_undefined"]) == (7, 2 * len(results.main_layers("unet")))
    assert_on_page(figure)


def test_rings_that_most_images_lack_are_not_drawn(make) -> None:
    results = make(**RUN)
    frames = made(results)
    rings = frames[""]
    rings.loc[(rings["ring"] == 0) & (rings["image"] != IMAGES[0]), ["energy", "area"]] = [np.nan, 0.0]
    *_, figure = distance.analyse(written(results, frames))
    whole = [line for line in figure.figure.axes[0].lines if line.get_marker() not in ("None", None)]
    assert whole
    for line in whole:
        assert np.isnan(line.get_ydata()).tolist() == [True, False, False, False, False]


def test_controls_are_in_the_key_and_networks_side_by_side(make) -> None:
    models = ("unet", "segformer")
    results = make(**{**RUN, "models": models})
    *_, figure = distance.analyse(written(results, made(results, models)))
    assert "Random" in " ".join(key_of(figure)).title()
    assert "Grad-CAM, first layer" in " ".join(key_of(figure))
    for name in ("U-Net", "SegFormer"):
        assert name in figure.caption.finding
    assert_on_page(figure)


def test_a_row_that_is_there_twice_is_refused(make) -> None:
    results = make(**RUN)
    frames = made(results)
    frames["_removal"] = pd.concat([frames["_removal"], frames["_removal"][:1]])
    with pytest.raises(ResultsError, match="distance_removal: a row is there twice"):
        list(distance.analyse(written(results, frames)))


def test_nothing_without_the_measurement(make) -> None:
    assert list(distance.analyse(make(**RUN))) == []
