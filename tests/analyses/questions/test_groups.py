"""Groups of maps of a made-up run: a planted corner is the odd group, and a run without one has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, Results, Table
from analyses.questions import groups
from analyses.questions.grouped import grouped
from analyses.reading.small_maps import FOLDER, SmallMap, arrays_of
from analyses.report.words import Words
from tests.analyses.checks import assert_on_page, edit_manifest, key_of, rewrite, texts
from tests.published.ranges import outside

N, SIDE = 80, 24
IMAGES = tuple(f"cat_{i:03d}" for i in range(N))
ABSENT = (7, 50)
"""Images without the class."""
SMALL = {"stages": 2, "levels": (90,), "seeds": (0,), "images": IMAGES, "gallery": 0, "small": N, "size": SIDE}
LAYERS = ["Encoder 1_1", "Encoder 1_2", "Encoder 2_1", "Encoder 2_2"]


def tagged(i: int) -> bool:
    return i % 4 == 1


def plant(results: Results, *, cue: bool, seed: int = 0) -> Results:
    """Give each image an object somewhere and maps on it; with the cue every fourth looks at a corner as well."""
    rng = np.random.default_rng(seed)
    masks, photographs, by_layer = [], [], {name: [] for name in [*LAYERS, "Decoder 1_1", "Decoder 1_2"]}
    for i in range(N):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        y, x = rng.integers(6, SIDE - 8, 2)
        mask[y : y + 7, x : x + 7] = i not in ABSENT
        masks.append(mask)
        photographs.append(np.full((SIDE, SIDE, 3), 200, np.uint8))
        for name, maps in by_layer.items():
            values = mask * (0.5 + rng.random(mask.shape)) + 0.05 * rng.random(mask.shape)
            if cue and tagged(i) and name in LAYERS:
                values[:5, :5] += 1
            if name == "Encoder 1_2" and i == 3:
                values[:] = 0
            maps.append(SmallMap.of(values, 12))
    arrays = {"ids": np.array(IMAGES), "masks": np.stack(masks), "predicted": np.stack(masks)}
    target, method = results.targets[0], results.main_method
    arrays |= arrays_of({f"{target}|{method}|{name}": maps for name, maps in by_layer.items()}, photographs)
    (path,) = (results.folder / FOLDER).glob("*.npz")
    np.savez_compressed(path, **arrays)

    def scored(frame: pd.DataFrame) -> pd.DataFrame:
        number = frame["image"].str[4:].astype(int)
        low = np.where((number % 4 == 1) & cue, 0.5, 0.0) * frame["layer"].isin(LAYERS)
        return frame.assign(energy_gain=np.float32(0.7) - low + 0.01 * np.sin(number))

    return rewrite(results, scored)


@pytest.fixture(scope="module")
def made(make_in, tmp_path_factory):
    run = make_in(tmp_path_factory.mktemp("groups") / "run", **SMALL)
    results = plant(run, cue=True)
    items = list(groups.analyse(results))
    return results, {item.name: item.frame for item in items if isinstance(item, Table)}, items


def test_the_planted_corner_is_the_odd_group(made) -> None:
    frame = made[1]["groups"]
    assert frame["odd"].tolist() == [False, True]
    assert frame["n_images"].tolist() == [58, 20]
    assert set(frame["n_without"]) == {len(ABSENT)}
    assert set(frame["n_layers"]) == {len(LAYERS)}, "where the decoder looks is where the object is"
    assert (frame["p_chance"] <= 1 / 40).all()
    assert (frame["p_valley"] <= 1 / 40).all()
    images = made[1]["groups_images"]
    found = {int(name[4:]) for name in images.loc[images["odd"], "image"]}
    assert found == {i for i in range(N) if tagged(i) and i not in ABSENT}


def test_what_sets_it_apart_is_said(made) -> None:
    scores = made[1]["groups_scores"]
    row = scores[(scores["group"] == 2) & (scores["metric"] == "energy_gain")].squeeze()
    assert row["mean"] == pytest.approx(0.2, abs=0.01)
    assert row["others"] == pytest.approx(0.7, abs=0.01)
    assert row["away"] == pytest.approx(row["mean"] - row["others"], abs=2e-6)
    assert row["away_low"] <= row["away"] <= row["away_high"] < 0
    assert row["n_images"] == 20
    area = scores[(scores["group"] == 1) & (scores["metric"] == groups.AREA)].squeeze()
    assert area["mean"] == pytest.approx(49 / SIDE**2, abs=1e-6)
    assert groups.IOU in set(scores["metric"])
    first = scores[(scores["group"] == 1) & (scores["metric"] == "energy_gain")].squeeze()
    assert first["away"] == pytest.approx(-row["away"], abs=2e-6), "of two groups each is the other's others"
    assert not outside(made[0].folder, "groups_scores", scores)


def test_the_figure_shows_a_row_a_group(made) -> None:
    figure, places = [item for item in made[2] if isinstance(item, Figure)]
    assert_on_page(figure)
    written = " ".join(texts(figure))
    assert "Group 2, odd" in written
    assert "energy gain 0.20, others 0.70" in written
    assert "the maps of 20 of 78 images form a group apart: energy gain 0.20, others 0.70" in figure.caption.finding
    assert len(figure.caption.reading.split()) <= 60
    assert_on_page(places)
    assert len(places.caption.reading.split()) <= 60


def test_a_dot_an_image_is_drawn_where_its_map_lies_and_the_odd_group_is_named(made) -> None:
    places = next(item for item in made[2] if item.name.startswith("groups_places"))
    assert "Group 2" in texts(places)
    assert key_of(places) == ["Group 1: 58 images", "Group 2, odd: 20 images"]
    images = made[1]["groups_images"]
    dots = [np.asarray(one.get_offsets()) for one in places.figure.axes[0].collections]
    for group, of_group in enumerate(dots):
        rows = images[images["group"] == group + 1][["axis_1", "axis_2"]].to_numpy()
        np.testing.assert_allclose(np.sort(of_group[:, 0]), np.sort(rows[:, 0]), atol=1e-5)
    assert abs(np.median(dots[0][:, 0]) - np.median(dots[1][:, 0])) > 3 * dots[0][:, 0].std(), "they are seen apart"


def test_the_corner_is_where_the_odd_group_has_more(made) -> None:
    (one,) = grouped(made[0])
    odd = one.groups.labels == 1
    more = one.mean(odd) - one.mean(~odd)
    assert np.unravel_index(more.argmax(), more.shape) < (8, 8)
    assert one.mean(odd).sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", [1, 2])
def test_without_the_cue_no_group_is_odd(make_in, tmp_path, seed) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL), cue=False, seed=seed)
    items = list(groups.analyse(results))
    assert not any(item.frame["odd"].any() for item in items if isinstance(item, Table))
    figure, _ = [item for item in items if isinstance(item, Figure)]
    assert "no odd group among the maps of 78 images" in figure.caption.finding


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"gap": 0.0, "chance": np.ones(39)}, "the best cut is no further apart than by chance"),
        ({"stability": 0.5}, "the best cut is not found again in halves of them"),
        ({"sizes": np.array([40, 38])}, "the groups are of like size"),
        ({"found_again": np.array([1.0, 0.5])}, "no small group is found again in halves"),
        ({"valley": np.array([0.2, 0.2])}, "no valley parts a small group from the others"),
    ],
)
def test_why_no_group_is_odd_is_said(made, changed, why) -> None:
    (one,) = grouped(made[0])
    assert one.groups.odd.any()
    other = replace(one, groups=replace(one.groups, **changed))
    assert not other.groups.odd.any()
    said = groups.finding(made[0], other, groups.scores_of(made[0], other))
    assert said == f"U-Net: no odd group among the maps of 78 images; {why}."


def test_photographs_that_may_not_be_shown_are_not(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL, photographs=False), cue=True)
    (one,) = grouped(results)
    assert not any(one.photographs)
    *_, figure, _ = groups.analyse(results)
    assert "photographs may not be shown" in texts(figure)


def test_a_class_that_counts_with_others_is_grouped_as_one(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL), cue=True)
    (path,) = (results.folder / FOLDER).glob("*.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["masks"][::2] *= 2  # every other image's object is of the other class
    np.savez_compressed(path, **arrays)
    alone = edit_manifest(results, lambda m: m["targets"]["best_pixel:logit"].update({"class": 1}))
    both = [len(one.images) for one in grouped(alone)]
    assert both == [N // 2 - 1]
    together = edit_manifest(results, lambda m: m["targets"]["best_pixel:logit"].update({"class": [1, 2]}))
    assert [len(one.images) for one in grouped(together)] == [N - len(ABSENT)]


def test_every_column_has_a_meaning(made) -> None:
    words = Words.of(made[0])
    for frame in made[1].values():
        for name in frame.columns.difference(["away_low", "away_high"]):
            assert words.meaning(str(name)).endswith("."), name
            assert "_" not in words.head(str(name)), name


def test_a_run_without_small_maps_has_no_section(make) -> None:
    assert not list(groups.analyse(make(levels=(90,), stages=1)))
