"""Map quality against segmentation quality, from made-up runs with planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.questions import map_quality
from analyses.reading.image_facts import FACTS, image_facts
from analyses.reading.results import Results
from tests.analyses.checks import assert_on_page, row, split

IMAGES = tuple(f"pet_{i:02d}" for i in range(24))
RUN = {"images": IMAGES, "seeds": (0, 1), "levels": (50, 90), "gallery": 0, "stages": 2}
LAYERS = ("Encoder 1_1", "Encoder 2_2", "Decoder 1_2")


def planted(results: Results, *, sure: bool = True) -> Results:
    """Write predictions whose Dice rises with the energy gain of Grad-CAM at one layer, and confidence falls."""
    for path in (results.folder / "scores" / "predictions").glob("*.parquet"):
        frame = pd.read_parquet(path).set_index("image")
        scores = pd.read_parquet(results.folder / "scores" / path.name)
        of_map = scores[(scores["method"] == "grad_cam") & (scores["layer"] == LAYERS[1])]
        order = of_map.set_index(of_map["image"].astype(str))["energy_gain"].rank()
        place = order.reindex(frame.index).fillna(0).astype(int)
        frame["n_1_1"], frame["n_1_0"], frame["n_0_1"], frame["n_0_0"] = 10 + place, 40 - place, 5, 100
        frame["confidence"], frame["entropy"] = 0.99 - 0.01 * place, 0.3
        frame = frame if sure else frame.drop(columns=["confidence", "entropy"])
        frame.reset_index().to_parquet(path)
    return Results(results.folder)


def test_a_planted_correlation_is_found_at_its_layer(make) -> None:
    results = planted(make(**RUN))
    table, figures = split(map_quality.analyse(results))
    frame = table.frame
    of_gain = {"metric": "energy_gain", "method": "grad_cam"}
    found = row(frame, **of_gain, fact="dice", layer=LAYERS[1])
    assert found["rho"] > 0.99
    assert found["rho_low"] > 0.9
    assert row(frame, **of_gain, fact="confidence", layer=LAYERS[1])["rho"] < -0.99
    other = row(frame, **of_gain, fact="dice", layer=LAYERS[0])
    assert other["rho_low"] < 0 < other["rho_high"]
    assert found["n_seeds"] == 2
    assert found["n_images"] <= len(IMAGES)
    assert set(frame["level"]) == {90}
    assert set(frame["layer"]) == set(LAYERS)
    assert set(frame["method"]) == {"grad_cam", "sobel"}
    assert not (frame["fact"].isin(["area", "entropy"])).any()  # they do not vary
    assert "goes with Dice at 1 of 3 layers" in figures[0].caption.finding
    for figure in figures:
        assert_on_page(figure)


def test_what_a_run_did_not_keep_is_told(make) -> None:
    table, _ = split(map_quality.analyse(planted(make(**RUN), sure=False)))
    assert "before confidence and entropy were kept" in table.caption
    assert set(table.frame["fact"]) == {"dice"}
    assert "were kept" not in split(map_quality.analyse(planted(make(**RUN))))[0].caption


@pytest.mark.parametrize("images", [("cat_1", "dog_2"), IMAGES])
def test_nothing_of_few_images_or_without_predictions(make, images) -> None:
    results = make(**{**RUN, "images": images})
    if images == IMAGES:
        for path in (results.folder / "scores" / "predictions").glob("*.parquet"):
            path.unlink()
    assert list(map_quality.analyse(Results(results.folder))) == []


def test_an_image_that_shows_the_class_nowhere_has_no_dice(make) -> None:
    results = make(images=IMAGES[:3], seeds=(0,), levels=(90,), classes=("background", "cat", "dog"), gallery=0)
    (path,) = (results.folder / "scores" / "predictions").glob("*.parquet")
    frame = pd.read_parquet(path)
    for name in results.counts:
        frame[name] = [100 if name == "n_0_0" else 7 if name == "n_2_2" else 0, 10, 1]
    frame.drop(columns="confidence").to_parquet(path)
    facts = image_facts(Results(results.folder), "unet", 90).set_index("image")
    assert set(FACTS) <= set(facts)
    absent = facts.loc[IMAGES[0]]
    assert np.isnan(absent[["dice", "iou"]].astype(float)).all()
    assert absent["area"] == 0
    assert facts["confidence"].isna().all()
    assert facts["entropy"].notna().all()
    alike = facts.loc[IMAGES[1]]
    assert alike["dice"] == pytest.approx(1 / 3)
    assert alike["iou"] == pytest.approx(1 / 5)
    assert alike["area"] == pytest.approx(1 / 3)
