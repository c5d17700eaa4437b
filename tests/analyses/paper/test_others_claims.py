"""What others claim of maps, put to made-up rows of faithfulness."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from analyses.paper.claims.claims import decide
from analyses.reading.results import Results
from analyses.reading.states import NOT_MEASURED

RUN = {"seeds": (10, 11, 12), "levels": (90,), "gallery": 0}
IMAGES = tuple(f"pet_{i}" for i in range(12))
METHODS = ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "xgrad_cam", "score_cam", "random")
LAYERS = ("Encoder 1_1", "Encoder 5_2", "Decoder 1_2")
TARGETS = ("predicted:logit", "best_pixel:logit")


def written(results: Results, s: float, methods: tuple[str, ...] = METHODS) -> Results:
    """Write rows in which the claims hold (s 1), the contrary (s -1) or nothing (s 0); of another target nonsense."""
    rng = np.random.default_rng(11)
    keys = {"dataset": "d", "model": "unet", "level": 90, "training_data": "d", "imputation": "blur", "order": "map"}
    areas, points = [], []
    for seed, image, layer, method, target in itertools.product(RUN["seeds"], IMAGES, LAYERS, methods, TARGETS):
        row = {**keys, "seed": seed, "image": image, "layer": layer, "method": method, "target": target}
        row["outcome"] = "probability"
        noise = rng.normal(0, 0.001) + (target == "best_pixel:logit") * rng.normal(0, 9)
        place = METHODS.index(method)
        left = 0.5 - s * 0.1 * (method == "score_cam") + 0.02 * (place - 1.5) * (method not in ("score_cam", "random"))
        areas.append({**row, "measure": "deletion", "value": left + noise})
        areas.append({**row, "measure": "insertion", "value": 0.5 + noise})
        if method not in ("score_cam", "random"):
            unstable = 0.3 - s * 0.05 * place if s else rng.uniform()
            areas.append(
                {**row, "measure": "max_sensitivity_frozen", "imputation": "", "outcome": "", "value": unstable}
            )
        for share in np.linspace(0, 1, 6, dtype=np.float32):
            value = 0.6 + s * 0.2 * min(share, 0.2) / 0.2 * (method == "grad_cam") + noise / 9
            points.append({**row, "kind": "context_insertion", "share": share, "value": value})
    for name, rows in (("faithfulness", areas), ("faithfulness_curves", points)):
        folder = results.folder / "scores" / name
        folder.mkdir(exist_ok=True)
        frame = pd.DataFrame(rows).astype({"layer": "category", "method": "category", "target": "category"})
        frame.assign(value=frame["value"].astype(np.float32)).to_parquet(folder / "unet.parquet", index=False)
    return Results(results.folder)


def decided(results: Results) -> dict[str, object]:
    return {one.judged.claim.id: one for one in decide(results, "predicted:logit")}


@pytest.mark.parametrize(("s", "verdict"), [(1, "supported"), (-1, "opposite"), (0, "negligible")])
def test_what_was_put_in_comes_out(make, s, verdict) -> None:
    found = decided(written(make(**RUN, targets=TARGETS), s))
    told = {name: found[name].overall for name in ("H1", "H2", "D1")}
    random_ranks = {"D1"} if s == 0 else set()  # of five methods they are wide, and may stay undecided
    assert {name: told[name] for name in told if name not in random_ranks} == dict.fromkeys(
        sorted(set(told) - random_ranks), verdict
    )
    part = found["H1"].judged.parts[0]
    assert part.estimate == pytest.approx(s * 0.1 - 0.03, abs=0.005)
    assert found["D1"].judged.parts[0].estimate == pytest.approx(s, abs=0.4 if s == 0 else 0.05)
    assert part.n_images == len(IMAGES)
    control = [one for one in found["H2"].judged.parts if not one.part.decides]
    assert [one.estimate for one in control] == pytest.approx([s * 0.2] * 2, abs=0.01)


def test_what_lacks_is_said(make) -> None:
    found = decided(make(**RUN, targets=TARGETS))
    assert {found[name].reason for name in ("H1", "D1")} == {"not measured (no table faithfulness)"}
    few = decided(written(make(**RUN, targets=TARGETS), 1, ("grad_cam", "hires_cam", "layer_cam", "random")))
    assert few["H1"].overall == few["D1"].overall == NOT_MEASURED
    assert "maps of score_cam" in few["H1"].reason
    assert "3 methods with both, where 5 are needed" in few["D1"].reason
    assert few["H2"].overall == "supported"


def test_a_curve_of_other_steps_is_not_measured(make) -> None:
    results = written(make(**RUN, targets=TARGETS), 1)
    path = results.folder / "scores" / "faithfulness_curves" / "unet.parquet"
    frame = pd.read_parquet(path)
    frame[~np.isclose(frame["share"], 0.2)].to_parquet(path, index=False)
    assert "no rows of faithfulness_curves with" in decided(Results(results.folder))["H2"].reason


def test_a_level_that_predicts_nothing_decides_nothing(make) -> None:
    results = written(make(**RUN, targets=TARGETS), 1)
    path = results.folder / "scores" / "faithfulness" / "unet.parquet"
    frame = pd.read_parquet(path)
    frame.loc[frame["measure"] == "deletion", "value"] = np.nan
    frame.to_parquet(path, index=False)
    assert {one.overall for name, one in decided(Results(results.folder)).items() if name in ("H1", "D1")} == {
        "undecided"
    }


def test_a_blank_map_has_no_rank(make) -> None:
    results = written(make(**RUN, targets=TARGETS), 1)
    path = results.folder / "scores" / "faithfulness" / "unet.parquet"
    frame = pd.read_parquet(path)
    frame.loc[(frame["image"] == IMAGES[0]) & (frame["method"] == "grad_cam"), "value"] = np.nan
    frame.to_parquet(path, index=False)
    found = decided(Results(results.folder))
    assert found["D1"].judged.parts[0].n_images == len(IMAGES) - 1
    assert found["H1"].judged.parts[0].n_images == len(IMAGES) - 1
    assert found["H1"].judged.parts[1].n_images == len(IMAGES)
