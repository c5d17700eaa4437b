"""The four axes side by side, from a made-up run whose similarities, curves and seconds are planted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, Results, ResultsError, Table
from analyses.questions import robustness
from analyses.report.words import Words
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


def plant(results: Results) -> Results:
    """Give each image and layer values that are known; weak changes leave maps more alike."""

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
        gain = frame["method"].map({"grad_cam": 0.4, "other_cam": 0.6, "uniform": 0.0}).fillna(0.25)
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


def test_the_figure_has_a_panel_an_axis_and_controls_apart(made) -> None:
    (figure,) = [item for item in made[2] if isinstance(item, Figure)]
    assert_on_page(figure)
    assert {"Methods", "Controls", "robustness of few images"} <= set(texts(figure))
    assert len([axes for axes in figure.figure.axes if axes.get_xlabel()]) == 4
    assert figure.caption.finding == (
        "U-Net: Other cam leaks least (0.40), Grad-CAM is the most faithful (0.40, of 1 measured) "
        "and Grad-CAM is the most robust (0.80); none leads on all."
    )
    assert len(figure.caption.reading.split()) <= 60


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
