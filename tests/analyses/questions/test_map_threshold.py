"""Thresholds of maps, from a made-up table with a planted best one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Figure
from analyses.questions import map_threshold
from analyses.reading.results import Results
from analyses.reading.thresholds import column
from tests.analyses.checks import assert_on_page, row

SHARES = (0.1, 0.3, 0.5, 0.7)
RUN = {"seeds": (0, 1, 2), "levels": (90,), "gallery": 0, "stages": 2}
CURVE = {0.1: 0.2, 0.3: 0.6, 0.5: 0.4, 0.7: 0.1}
"""IoU of the images to choose on; the test images have their best one at 0.5, which nobody can know."""
ON_TEST = {0.1: 0.2, 0.3: 0.5, 0.5: 0.55, 0.7: 0.1}


def measured(results: Results, *, splits: tuple[str, ...] = ("choose", "test"), blank: int = 2) -> Results:
    """Write overlaps of twelve images a split; some test images have none."""
    rng = np.random.default_rng(4)
    rows = []
    for split in splits:
        for n in range(12):
            for layer in results.main_layers("unet"):
                for method, factor in (("grad_cam", 1.0), ("uniform", 0.5), ("mask_oracle", 1.5)):
                    for seed in RUN["seeds"]:
                        row = {"dataset": "d", "model": "unet", "level": 90, "seed": seed, "training_data": "d"}
                        row |= {"split": split, "image": f"{split}_{n}", "target": "best_pixel:logit"}
                        row |= {"layer": layer.name, "method": method}
                        curve, nothing = (CURVE if split == "choose" else ON_TEST), split == "test" and n < blank
                        noise = rng.normal(0, 0.01)
                        row |= {column(t): np.nan if nothing else factor * v + noise for t, v in curve.items()}
                        rows.append(row | {"otsu": np.nan if nothing else 0.4 * factor + noise})
    folder = results.folder / "scores" / "thresholds"
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "unet.parquet")
    return Results(results.folder)


def test_the_threshold_is_chosen_on_other_images_than_it_is_judged_on(make) -> None:
    table, curves, *figures = map_threshold.analyse(measured(make(**RUN)))
    found = row(table.frame, layer="Encoder 2_2", method="grad_cam")
    assert found["threshold"] == 0.3
    assert found["cut_iou"] == pytest.approx(0.5, abs=0.01)
    assert found["cut_dice"] == pytest.approx(2 * 0.5 / 1.5, abs=0.01)
    assert found["otsu_iou"] == pytest.approx(0.4, abs=0.01)
    assert found["difference"] == pytest.approx(0.1, abs=1e-6)
    assert (found["optimum_threshold"], found["optimum_iou"]) == (0.5, pytest.approx(0.55, abs=0.01))
    assert (found["n_images"], found["n_seeds"], found["n_chosen_on"], found["n_undefined"]) == (10, 3, 12, 6)
    assert not found["at_end"]
    for name in ("cut_iou", "cut_dice", "otsu_iou", "otsu_dice", "difference"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    point = row(curves.frame, layer="Encoder 2_2", method="grad_cam", threshold=0.5)
    assert point["cut_iou"] == pytest.approx(0.55, abs=0.01)
    assert "not attainable" in table.caption
    assert "(at 0.3 of the maximum; Otsu's 0.40)" in figures[0].caption.finding
    count = len(table.frame["layer"].unique())
    own = table.frame[table.frame["method"] == "grad_cam"].set_index("layer")["cut_iou"]
    low, high = (f"{own[name]:.2f} ({name})" for name in (own.idxmin(), own.idxmax()))
    assert figures[1].caption.finding == (
        f"IoU of Grad-CAM maps goes from {low} to {high}, above Otsu's at {count} of {count} layers."
    )
    assert f"higher than the whole image's at {count} layers." in figures[1].caption.details
    assert not hollow(figures[1])
    assert (
        "they lose to Otsu's at 0 layers (each layer is judged by its own interval), and come within 0.05"
        in figures[1].caption.details
    )
    assert "pointwise" in figures[0].caption.reading
    assert found["choose_iou"] == pytest.approx(0.6, abs=0.01)
    for figure in figures:
        assert_on_page(figure)


def hollow(figure: Figure) -> list[float]:
    """Return the places of the hollow marks."""
    marks = [line for line in figure.figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    return [float(x) for line in marks for x in np.asarray(line.get_xdata(), float) if np.isfinite(x)]


def test_a_threshold_at_the_end_of_those_tried_is_called_so(make) -> None:
    results = measured(make(**RUN))
    path = results.folder / "scores" / "thresholds" / "unet.parquet"
    frame = pd.read_parquet(path)
    frame.loc[frame["method"] == "grad_cam", column(0.1)] = 0.9
    frame.loc[frame["method"] == "uniform", list(map(column, SHARES))] = 0.95
    frame.to_parquet(path)
    table, _, _, layers = map_threshold.analyse(Results(results.folder))
    of_method = table.frame[table.frame["method"] == "grad_cam"]
    assert of_method["at_end"].all()
    count = len(of_method)
    assert layers.caption.finding.endswith(f"at {count} of {count} layers.")
    assert "higher than the whole image's at 0 layers." in layers.caption.details
    assert len(hollow(layers)) == len(results.main_layers("unet"))


@pytest.mark.parametrize("splits", [("test",), ("choose",)])
def test_nothing_without_images_to_choose_on_and_others_to_judge(make, splits) -> None:
    assert list(map_threshold.analyse(measured(make(**RUN), splits=splits))) == []
    assert list(map_threshold.analyse(make(**RUN))) == []


def test_where_no_test_image_has_an_overlap_nothing_is_said(make) -> None:
    assert list(map_threshold.analyse(measured(make(**RUN), blank=12))) == []


def test_the_layer_of_the_title_is_chosen_on_other_images_too(make) -> None:
    """On the test images another layer is better, which nobody can know."""
    results = measured(make(**RUN))
    path = results.folder / "scores" / "thresholds" / "unet.parquet"
    frame = pd.read_parquet(path)
    own = frame["method"] == "grad_cam"
    lucky, chosen = (own & (frame["layer"] == name) for name in ("Encoder 1_1", "Encoder 2_1"))
    frame.loc[lucky & (frame["split"] == "test"), column(0.3)] += 0.3
    frame.loc[chosen & (frame["split"] == "choose"), column(0.3)] += 0.1
    frame.to_parquet(path)
    table, _, curves, _ = map_threshold.analyse(Results(results.folder))
    assert row(table.frame, layer="Encoder 1_1", method="grad_cam")["cut_iou"] > 0.75
    found = row(table.frame, layer="Encoder 2_1", method="grad_cam")
    ends = f"[{found['cut_iou_low']:.2f}, {found['cut_iou_high']:.2f}]"
    assert f"an IoU of {found['cut_iou']:.2f} {ends} at Encoder 2_1" in curves.caption.finding
    assert "Encoder 2_1" in [axes.get_title(loc="left") for axes in curves.figure.axes]


def test_a_network_without_the_method_of_the_others_is_not_judged_by_one_of_its_own(make) -> None:
    results = measured(make(**RUN))
    table, *_ = map_threshold.analyse(results)
    other = table.frame[table.frame["method"] == "uniform"].assign(model="vit")
    both = pd.concat([table.frame, other])
    assert map_threshold.finding(results, both, ["unet", "vit"]).count("of the maximum") == 1
    assert map_threshold.finding(results, table.frame, ["unet", "vit"]).count("of the maximum") == 1
