"""Maps of right and wrong pixels, from a made-up table with planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.questions import when_wrong
from analyses.reading.choices import at_highest
from analyses.reading.error_maps import PIXELS, PLACE, SETS
from analyses.reading.results import Results
from tests.analyses.checks import assert_on_page, key_of, row, split, texts
from tests.analyses.conftest import Plan, drawn_image

IMAGES = tuple(f"pet_{i:02d}" for i in range(16))
WITHOUT = IMAGES[12:]
"""Images that do not show the class."""
RUN = {"images": IMAGES, "seeds": (0, 1), "levels": (90,), "gallery": 0, "stages": 2}
SHIFT = {"hit": 0.0, "false_positive": -0.4, "false_negative": 0.1, "rejection": -0.2}
LIKE = {"hit": 1.0, "false_positive": 0.9, "false_negative": 0.5, "rejection": 0.7}


def measured(results: Results, *, alarms: int = 16) -> Results:
    """Write scores that lie so far from those of hits in the same image; so many images have false alarms."""
    rng = np.random.default_rng(5)
    base = dict(zip(IMAGES, rng.normal(0.3, 0.2, len(IMAGES)), strict=True))
    rows = []
    for image in IMAGES:
        kinds = ["false_positive", "rejection"] if image in WITHOUT else list(SHIFT)
        for kind in kinds if IMAGES.index(image) < alarms or image in WITHOUT else ["hit", "rejection"]:
            for layer in results.main_layers("unet"):
                for method in ("grad_cam", "mask_oracle"):
                    for seed in RUN["seeds"]:
                        keys = {"dataset": "d", "model": "unet", "level": 90, "seed": seed, "image": image}
                        keys |= {"target": f"{kind}:logit", "layer": layer.name, "method": method}
                        keys |= {"training_data": "d", "present": image not in WITHOUT, "target_pixels": 40}
                        shift = SHIFT[kind] if method == "grad_cam" else 0.0
                        gain = np.nan if image in WITHOUT else base[image] + shift + rng.normal(0, 0.01)
                        like = np.nan if image in WITHOUT else LIKE[kind] if method == "grad_cam" else -0.2
                        like += 0.3 * base[image] * (kind != "hit")  # of one image all are more alike, or less
                        other = {"own_gain": 0.2, "like_hits": like, "like_rejections": 1 - abs(SHIFT[kind] + 0.2)}
                        rows.append(keys | {"energy_gain": gain} | other)
    folder = results.folder / "scores" / "errors"
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "unet.parquet")
    return Results(results.folder)


def kept(results: Results) -> Results:
    """Write the maps of three images, the last of which lacks the class."""
    photos, masks = map(np.stack, zip(*(drawn_image_of(n) for n in range(3)), strict=True))
    masks[2] = 0
    predicted = np.roll(masks, 4, axis=2)
    predicted[2, 5:9, 5:9] = 1
    sets = np.where((predicted == 1) & (masks == 1), 1, np.where((predicted == 1) & (masks == 0), 2, 0))
    sets = np.where((predicted != 1) & (masks == 1), 3, sets).astype(np.uint8)
    counts = np.stack([(sets == n).sum((1, 2)) for n in (1, 2, 3)], 1)
    arrays = {"ids": np.array([*IMAGES[:2], WITHOUT[0]]), "images": photos, "masks": masks, "predicted": predicted}
    arrays |= {SETS: sets, PIXELS: counts}
    hits = np.random.default_rng(1).random((3, 6, 6)).astype(np.float32)
    maps = {"hit": hits, "false_positive": 2 * hits, "false_negative": 1 - hits}
    for kind, of_kind in maps.items():
        empty = counts[:, list(SHIFT).index(kind)] == 0
        arrays[f"{kind}:logit|grad_cam|Encoder 2_2"] = np.where(empty[:, None, None], np.nan, of_kind)
    place = results.folder / PLACE
    place.mkdir(exist_ok=True)
    np.savez_compressed(place / "unet-s0-l90-000.npz", **arrays)
    return Results(results.folder)


def drawn_image_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    return drawn_image(Plan(), number)


def test_planted_differences_are_found_within_images(make) -> None:
    table, (figure,) = split(when_wrong.analyse(measured(make(**RUN))))
    frame = table.frame
    at = {"layer": "Encoder 2_2", "method": "grad_cam"}
    for group, kind in (("false alarms", "false_positive"), ("misses", "false_negative")):
        found = row(frame, **at, errors=group, measure="energy_gain")
        assert found["difference"] == pytest.approx(SHIFT[kind], abs=0.01)
        assert found["difference_low"] < found["difference"] < found["difference_high"]
        assert found["difference_high"] - found["difference_low"] < 0.1 < found["high"] - found["low"]  # of pairs
        assert (found["n_images"], found["n_pairs"], found["n_seeds"]) == (12, 12, 2)
        like = row(frame, **at, errors=group, measure="like_hits")
        assert like["estimate"] == pytest.approx(LIKE[kind], abs=0.12)
        assert like["difference"] == pytest.approx(LIKE[kind] - LIKE["rejection"])  # from the rejections of the image
        assert like["difference_high"] - like["difference_low"] < 1e-6 < like["high"] - like["low"]
    chance = row(frame, **at, errors="rejections", measure="like_hits")
    assert np.isnan(chance["difference"])
    assert (chance["n_images"], chance["n_pairs"]) == (12, 0), "of images with the class"
    assert row(frame, **at, errors="rejections", measure="energy_gain")["difference"] == pytest.approx(-0.2, abs=0.01)
    nearer = row(frame, **at, errors="false alarms", measure="like_rejections")
    assert nearer["estimate"] == pytest.approx(0.8)
    hits = row(frame, **at, errors="hits", measure="energy_gain")
    assert np.isnan(hits["difference"])
    assert hits["n_pairs"] == 0
    alone = row(frame, **at, errors="false alarms, class absent", measure="own_gain")
    assert alone["n_images"] == len(WITHOUT)
    assert np.isnan(alone["difference"])
    assert not ((frame["errors"] == "false alarms, class absent") & (frame["measure"] == "energy_gain")).any()
    said = figure.caption.finding
    base = chance["estimate"] - LIKE["rejection"]
    alike = f"false alarms ({0.9 + base:.2f}), misses ({0.5 + base:.2f}) and rejections ({0.7 + base:.2f})"
    assert said == f"At Encoder 2_2, maps of {alike} correlate with those of hits."
    assert "of false alarms more than rejections, of misses less than rejections." in figure.caption.details
    assert "rejections" in key_of(figure)
    assert len(figure.caption.reading.split()) <= 60
    assert_on_page(figure)


def test_differences_without_an_interval_tell_nothing(make) -> None:
    results = measured(make(**RUN))
    frame = at_highest(when_wrong.tabulate(results))
    frame.loc[frame["errors"] == "misses", ["difference_low", "difference_high"]] = np.nan
    said = when_wrong._against_rejections(results, frame, ["unet"])
    assert said.endswith("of hits: of false alarms more than rejections.")


def test_pixels_alone_that_lie_far_off_leave_the_axis_and_are_said_to(make) -> None:
    results = measured(make(**RUN))
    frame = at_highest(when_wrong.tabulate(results))
    far = (frame["method"] == "mask_oracle") & (frame["measure"] == "energy_gain") & (frame["errors"] == "misses")
    assert far.any()
    frame.loc[far, "difference"] = -40.0
    drawn = when_wrong.draw(results, frame, ["unet"])
    said = [text.get_text() for text in drawn.axes[0].texts]
    assert said == ["beyond the axis: misses, pixels alone, \N{MINUS SIGN}40.00"]
    assert drawn.axes[0].get_ylim()[0] > -5
    assert not drawn.axes[1].texts


def test_few_pairs_are_called_so(make) -> None:
    _, (figure,) = split(when_wrong.analyse(measured(make(**RUN), alarms=4)))
    assert "At Encoder 2_2, fewer than 6 images" in figure.caption.finding


def test_the_picture_shows_sets_and_maps_and_says_which_images(make) -> None:
    results = kept(measured(make(**RUN)))
    figures = [item for item in when_wrong.analyse(results) if item.name.startswith("when_wrong_maps")]
    (figure,) = figures
    said = texts(figure)
    assert {"truth", "prediction", "errors", "map of hits", "map of misses"} <= set(said)
    assert sum("no such" in text for text in said) == 2  # of the image without the class: no hits and no misses
    table = results.table("errors")
    table = table[(table["layer"] == "Encoder 2_2") & (table["method"] == "grad_cam") & (table["seed"] == 0)]
    alike = table[table["image"].isin(IMAGES[:2])].set_index(["target", "image"])["like_hits"]  # as it was measured
    alarms, misses = (
        " to ".join(dict.fromkeys(f"{value:.2f}" for value in sorted(alike[f"{kind}:logit"])))
        for kind in ("false_positive", "false_negative")
    )
    assert figure.caption.finding == (
        f"Maps of Encoder 2_2 correlate with those of the same image's hits: of false alarms by {alarms} in 2 images "
        f"and of misses by {misses} in 2 images."
    )
    assert WITHOUT[0] in figure.caption.details
    assert "no average images" in figure.caption.details
    assert_on_page(figure)


def test_photographs_that_may_not_be_shown_are_not(make) -> None:
    results = kept(measured(make(**RUN, photographs=False)))
    (gallery,) = results.error_maps("unet", 0, 90)
    assert gallery.photographs == {}
    (figure,) = (item for item in when_wrong.analyse(results) if item.name.startswith("when_wrong_maps"))
    assert "may not be shown" in figure.caption.details


def test_nothing_without_the_measurement(make) -> None:
    assert list(when_wrong.analyse(make(**RUN))) == []


def test_a_run_without_rejections_says_nothing_of_chance(make) -> None:
    results = measured(make(**RUN))
    path = results.folder / "scores" / "errors" / "unet.parquet"
    frame = pd.read_parquet(path)
    frame[frame["target"] != "rejection:logit"].drop(columns="like_rejections").to_parquet(path)
    table, (figure,) = split(when_wrong.analyse(Results(results.folder)))
    assert table.frame.loc[table.frame["measure"] == "like_hits", "difference"].isna().all()
    assert "rejection" not in figure.caption.finding
    assert "rejections" not in key_of(figure)
