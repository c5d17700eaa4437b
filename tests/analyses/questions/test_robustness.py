"""The four axes side by side, from a made-up run whose similarities, curves and seconds are planted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, Results, ResultsError, Table
from analyses.questions import axes, leads, robustness
from analyses.report.words import Words
from analyses.statistics.bootstrap import Interval
from analyses.statistics.decisions import end_errors
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import assert_on_page, rewrite, row, texts
from tests.published.ranges import outside

IMAGES = tuple(f"cat_{i}" for i in range(6))
METHODS = ("grad_cam", "other_cam", "uniform", "sobel")
LAYERS = ("Encoder 1_1", "Encoder 2_2", "Decoder 1_2")
TARGET = "best_pixel:logit"
SMALL = {"stages": 2, "levels": (30, 90), "images": IMAGES, "methods": METHODS, "gallery": 0}
SMALL |= {"input_methods": ("captum_saliency",)}
CHANGES = [("noise", 0.1), ("noise", 0.2), ("brightness", -0.2), ("brightness", 0.2), ("contrast", 0.2), ("blur", 0.01)]
ALIKE = {"grad_cam": 0.9, "other_cam": 0.5, "captum_saliency": 0.2}


def plant(results: Results, sobel: float = 0.25) -> Results:
    """Give each image and layer values that are known; weak changes leave maps more alike; `sobel`: its energy gain."""

    def keys(level: int, seed: int) -> dict[str, object]:
        same = {"dataset": "shapes", "model": "unet", "level": np.int32(level), "seed": np.int32(seed)}
        return same | {"target": TARGET, "training_data": "577 real"}

    for level, seed in itertools.product((30, 90), (0, 1)):
        rows, seconds = [], []
        for method, layer, image in itertools.product(ALIKE, (*LAYERS, "Input"), IMAGES):
            if (method == "captum_saliency") != (layer == "Input") or (layer == "Input" and image != IMAGES[0]):
                continue
            key = keys(level, seed) | {"image": image, "layer": layer, "method": method}
            for kind, strength in CHANGES:
                value = ALIKE[method] - 0.1 * LAYERS.index(layer) if layer in LAYERS else ALIKE[method]
                weak = (kind, strength) in {("noise", 0.1), ("brightness", -0.2)}
                value = np.nan if (method, image, layer) == ("other_cam", "cat_1", "Encoder 2_2") else value
                similar = {"spearman": 1.0 if weak else value, "cosine": value, "top": value / 2}
                rows.append(key | {"kind": kind, "strength": np.float32(strength)} | similar)
            if image == IMAGES[0]:
                seconds.append(key | {"seconds": {"grad_cam": 0.01, "other_cam": 0.02}.get(method, 3.0)})
        areas = []
        for method, layer, image in itertools.product(("grad_cam", "uniform"), LAYERS, IMAGES if level == 90 else ()):
            values = {"deletion": 0.3, "insertion": 0.7 if method == "grad_cam" else 0.3, "max_sensitivity_frozen": 0.4}
            for (measure, value), order in itertools.product(values.items(), ("map", "area_matched")):
                of = {"measure": measure, "outcome": "probability", "order": order, "imputation": "blur"}
                key = keys(level, seed) | {"image": image, "layer": layer, "method": method}
                areas.append(key | of | {"value": value + 9 * (order != "map")})
        for name, table in (("robustness", rows), ("robustness_seconds", seconds), ("faithfulness", areas)):
            if table:
                path = results.folder / "scores" / name / f"unet-s{seed}-l{level}-000.parquet"
                path.parent.mkdir(exist_ok=True)
                pd.DataFrame(table).to_parquet(path, index=False)

    def scored(frame: pd.DataFrame) -> pd.DataFrame:
        gain = frame["method"].map({"grad_cam": 0.4, "other_cam": 0.6, "uniform": 0.0, "sobel": sobel}).fillna(0.25)
        return frame.assign(energy_gain=gain.astype(np.float32))

    return rewrite(results, scored)


@pytest.fixture(scope="module")
def made(make_in, tmp_path_factory):
    results = plant(make_in(tmp_path_factory.mktemp("robust") / "run", **SMALL))
    items = list(robustness.analyse(results))
    return results, {item.name: item.frame for item in items if isinstance(item, Table)}, items


def test_each_axis_is_what_was_planted(made) -> None:
    frame = made[1]["robustness"]
    cam = row(frame, level=90, layers="all", method="grad_cam")
    assert cam["leakage"] == pytest.approx(0.6)
    assert cam["faithfulness"] == pytest.approx(0.4), "insertion less deletion, of the map's own order"
    assert cam["robustness"] == pytest.approx(0.8), "the strongest change of each kind, mean over three layers"
    assert (cam["cosine"], cam["top"]) == (pytest.approx(0.8), pytest.approx(0.4))
    assert cam["seconds"] == pytest.approx(0.01)
    assert cam["max_sensitivity"] == pytest.approx(0.4)
    assert (cam["n_images"], cam["n_robust"], cam["n_seeds"], cam["n_layers"]) == (6, 6, 2, 3)
    assert cam["n_faithful"] == 6
    other = row(frame, level=90, layers="all", method="other_cam")
    assert (other["leakage"], other["faithfulness"]) == (pytest.approx(0.4), pytest.approx(np.nan, nan_ok=True))


def test_layers_stand_by_their_role(made) -> None:
    frame = made[1]["robustness"]
    for layers, alike in (("encoder", 0.85), ("decoder", 0.7)):
        assert row(frame, level=30, layers=layers, method="grad_cam")["robustness"] == pytest.approx(alike)
    on_input = row(frame, level=90, layers="input", method="captum_saliency")
    assert (on_input["robustness"], on_input["n_robust"]) == (pytest.approx(0.2), 1)
    assert on_input["seconds"] == pytest.approx(3)


def test_a_control_that_does_not_look_at_the_network_has_no_robustness(made) -> None:
    uniform = row(made[1]["robustness"], level=90, layers="all", method="uniform")
    assert np.isnan(uniform["robustness"])
    assert uniform["n_robust"] == 0
    assert uniform["leakage"] == pytest.approx(1)
    assert uniform["faithfulness"] == pytest.approx(0)


def test_an_undefined_map_is_left_out_and_counted(made) -> None:
    changes = made[1]["robustness_changes"]
    one = row(changes, level=90, layers="encoder", method="other_cam", kind="blur", strength=0.01)
    assert one["n_undefined"] == 2, "one map a seed"
    assert one["spearman"] == pytest.approx((5 * 0.45 + 0.5) / 6)
    assert one["n_images"] == 6
    weak = row(changes, level=90, layers="all", method="grad_cam", kind="noise", strength=0.1)
    assert weak["spearman"] == 1


def test_tables_are_possible_and_told(made) -> None:
    words = Words.of(made[0])
    for name, frame in made[1].items():
        assert not outside(made[0].folder, name, frame)
        ends = [str(column) for column in frame if str(column).endswith(("_low", "_high"))]
        for column in frame.columns.difference(ends):
            assert words.meaning(str(column)).endswith("."), column
            assert "_" not in words.head(str(column)), column


def test_a_title_names_the_blind_control_that_beats_the_best_method(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL), sobel=0.7)
    (figure,) = [item for item in robustness.analyse(results) if isinstance(item, Figure)]
    assert "Other cam leaks least (0.40; the blind control Sobel is surely ahead with 0.30)" in figure.caption.finding


def test_the_figure_has_a_panel_an_axis_and_controls_apart(made) -> None:
    (figure,) = [item for item in made[2] if isinstance(item, Figure)]
    assert_on_page(figure)
    assert {"Methods", "Controls", "robustness of 1 image"} <= set(texts(figure))
    assert len([axes for axes in figure.figure.axes if axes.get_xlabel()]) == 4
    assert texts(figure).count("not measured") == 3, "leakage and faithfulness of Captum's, faithfulness of the other's"
    assert figure.caption.finding == (
        "U-Net, 2 methods of layers on the same images: Other cam leaks least (0.40), Grad-CAM alone has a "
        "faithfulness (0.40) and Grad-CAM is the most robust (0.80); none leads on all."
    )
    assert len(figure.caption.reading.split()) <= 60


def varied(values: dict[str, list[float]], seeds: int = 1) -> pd.DataFrame:
    """A row a map, a value an image; other seeds are a little off."""
    rows = [
        {"method": method, "seed": seed, "image": f"i{i}", "robustness": value + 0.001 * seed}
        for method, of_images in values.items()
        for seed in range(seeds)
        for i, value in enumerate(of_images)
    ]
    return pd.DataFrame(rows)


AXIS = next(axis for axis in axes.AXES if axis.name == "robustness")


def test_who_leads_rests_on_pairs_and_not_on_means() -> None:
    """Images differ far more than methods; within an image one method is always ahead, or is so by chance alone."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, 30)
    ahead = varied({"a": list(images), "b": list(images - 0.01)}, seeds=2)
    assert leads.lead(ahead, AXIS, ["a", "b"]) == leads.Lead("a", pytest.approx(images.mean(), abs=1e-3), (), 1, 30)
    chance = rng.normal(0, 0.2, 30)
    close = varied({"a": list(images), "b": list(images - 0.02 + chance - chance.mean()), "c": list(images - 0.3)})
    found = leads.lead(close, AXIS, ["a", "b", "c"])
    assert found is not None
    assert (found.method, found.untold, found.others) == ("a", ("b",), 2)
    least = leads.lead(close.rename(columns={"robustness": "leakage"}), axes.AXES[0], ["a", "b", "c"])
    assert least is not None
    assert (least.method, least.untold) == ("c", ())
    assert leads.lead(close.assign(robustness=np.nan), AXIS, ["a"]) is None


def test_the_more_rivals_the_surer_a_lead_must_be() -> None:
    rng = np.random.default_rng(1)
    off = rng.normal(0, 1, 40)
    off = 0.4 + (off - off.mean()) / off.std()  # an interval of 95 % lies above zero by more than its noise
    alone = {"a": [0.0] * 40, "b": list(-off)}
    many = alone | {f"r{i}": [-5.0 - i] * 40 for i in range(20)}
    one, several = (leads.lead(varied(v), AXIS, list(v)) for v in (alone, many))
    assert one is not None
    assert several is not None
    assert (one.untold, several.untold) == ((), ("b",))


def test_a_lead_has_the_mean_of_the_table_where_trainings_lack_maps() -> None:
    frame = varied({"a": [0.9, 0.1], "b": [0.3, 0.3]}, seeds=3)
    frame = frame[~((frame["image"] == "i1") & (frame["seed"] > 0))]
    found = leads.lead(frame, AXIS, ["a", "b"])
    assert found is not None
    assert found.value == pytest.approx(frame.loc[frame["method"] == "a", "robustness"].mean())
    assert found.value > 0.6, "not the mean over images of their means"


def test_five_images_tell_no_method_from_another() -> None:
    few, enough = (leads.lead(varied({"a": [0.9] * n, "b": [0.1] * n}), AXIS, ["a", "b"]) for n in (5, 6))
    assert few is not None
    assert enough is not None
    assert ((few.untold, few.images), (enough.untold, enough.images)) == ((("b",), 5), ((), 6))


@pytest.mark.parametrize("others", [1, 9, 49, 70])
def test_ends_further_out_are_no_noisier_than_the_border_allows(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(values: np.ndarray, generator: np.random.Generator, resamples: int, confidence: float) -> Interval:
        asked.append((resamples, confidence))
        return bootstrap_interval(values, generator, 50)

    rng = np.random.default_rng(4)
    monkeypatch.setattr(leads, "bootstrap_interval", noted)
    names = [f"m{i}" for i in range(others + 1)]
    leads.lead(varied({name: list(rng.normal(size=4)) for name in names}), AXIS, names)
    ((resamples, confidence),) = asked
    values = rng.normal(size=(3, 60)) + rng.normal(size=(3, 1))
    ends = np.array(
        [bootstrap_interval(values, np.random.default_rng(n), resamples, confidence)[1:] for n in range(40)]
    )
    allowed = end_errors(values.mean(), *ends.mean(axis=0))
    assert (ends.std(axis=0) < allowed).all()


def test_a_lead_that_is_not_told_is_said_to_be_none(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL))
    rng = np.random.default_rng(3)

    def noisy(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(spearman=np.clip(0.5 + 0.3 * rng.normal(size=len(frame)), -1, 1))

    *_, figure = robustness.analyse(rewrite(results, noisy, "robustness"))
    assert "most robust" in figure.caption.finding
    assert "not told from" in figure.caption.finding


def test_curves_that_are_there_twice_are_refused(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL))
    twice = rewrite(results, lambda frame: pd.concat([frame, frame]), "faithfulness")
    with pytest.raises(ResultsError, match="faithfulness: a row is there twice"):
        list(robustness.analyse(twice))


def test_curves_have_a_row_a_map_and_none_that_is_not_there(made) -> None:
    found = axes.faithfulness_of(made[0])
    assert len(found["faithfulness"]) == 2 * 3 * len(IMAGES) * 2, "methods, layers, images, seeds"
    assert found["faithfulness"]["faithfulness"].notna().all()


def test_it_needs_neither_curves_nor_seconds(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL))
    for name in ("faithfulness", "robustness_seconds"):
        for path in (results.folder / "scores" / name).glob("*.parquet"):
            path.unlink()
    table, *_, figure = robustness.analyse(Results(results.folder))
    assert table.frame[["faithfulness", "seconds", "max_sensitivity"]].isna().all(axis=None)
    assert "faithful" not in figure.caption.finding


def test_a_row_that_is_there_twice_is_refused(make_in, tmp_path) -> None:
    results = plant(make_in(tmp_path / "run", **SMALL))
    twice = rewrite(results, lambda frame: pd.concat([frame, frame]), "robustness")
    with pytest.raises(ResultsError, match="a row is there twice"):
        list(robustness.analyse(twice))


def test_a_run_that_did_not_look_at_it_has_no_section(make) -> None:
    assert not list(robustness.analyse(make(levels=(90,), stages=1)))
