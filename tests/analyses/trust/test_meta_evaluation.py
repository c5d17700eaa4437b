"""Scores that are made to be right, wrong, or nothing: what the meta-evaluation says of them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analyses import Figure, Results, Table
from analyses.trust import meta_evaluation
from analyses.trust.evidence import networks
from analyses.trust.evidence.planted import rank_correlation
from tests.analyses.checks import row, texts

CUES = ("shape", "context")
TARGET = "predicted:contrast"
METHODS = ("a", "b", "c", "d", "e", "f")
LAYERS = ("Encoder 1_1", "Decoder 1_1")
SEEDS, SCENES, STEPS = (0, 1), 6, 11
UNUSED = ("context", 1)  # a network whose answer follows another cue, too
METRICS = {
    "energy_gain": {"label": "Energy gain", "direction": "higher", "masks": True},
    "background_ratio": {"label": "Background ratio", "direction": "lower", "masks": True},
    "iou": {"label": "IoU", "direction": "higher", "masks": True},
    "spread": {"label": "Spread", "direction": "none", "masks": False},
    "blank": {"label": "Blank", "direction": "lower", "masks": False},
}


def maps(cue: str, seed: int) -> pd.DataFrame:
    """Truth rises from method a to f; background ratio, turned, agrees; IoU has it the other way; spread is constant.

    Of the network that is not used all is the other way.
    """
    rows = pd.DataFrame(list(product(METHODS, LAYERS, range(SCENES))), columns=["method", "layer", "scene"])
    rng = np.random.default_rng([CUES.index(cue), seed])
    place = rows["method"].map({name: i for i, name in enumerate(METHODS)}).to_numpy(float)
    noise = rng.normal(0, 0.01, len(rows))
    truth = (-1 if (cue, seed) == UNUSED else 1) * place / 10 + noise
    rows = rows.assign(cue=cue, model="unet_he", seed=seed, level=100, target=TARGET, told=True, spread=0.5)
    rows["image"] = cue + "-" + rows["scene"].astype(str)
    return rows.assign(
        **{f"gain_{cue}": truth, "gain_animal": place / 10, "background_ratio": 1 - truth, "iou": -truth}
    )


def faithfulness(cue: str, seed: int) -> pd.DataFrame:
    """Of the first two scenes at one layer: deletion, of which less is better, agrees with the truth."""
    rows = maps(cue, seed).query("scene < 2 and layer == @LAYERS[0]")
    shown = rows[["cue", "model", "seed", "level", "target", "image", "scene", "layer", "method"]].assign(dataset="")
    deletion = shown.assign(measure="deletion", value=1 - rows[f"gain_{cue}"])
    return pd.concat([deletion, deletion.assign(measure="insertion", value=deletion["value"])])


def planted(cue: str) -> pd.DataFrame:
    keys = [("noise", "shifted"), (1, 8), range(SCENES), range(STEPS)]
    rows = pd.DataFrame(list(product(*keys)), columns=["plant", "cell", "scene", "step"])
    share = 1 - rows["step"] / 10
    coarse = (rows["cell"] == 8) & (rows["step"] == 3)
    rows = rows.assign(
        cue=cue, model="unet_he", seed=0, level=100, dataset="", share=share, energy_gain=share, spread=0.5
    )
    return rows.assign(background_ratio=1 - share, iou=share.mask(coarse))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("meta")
    tables = {"evidence": maps, "evidence_faithfulness": faithfulness}
    for name in (*tables, "planted"):
        (folder / "scores" / name).mkdir(parents=True)
    variants = {}
    for cue in CUES:
        planted(cue).to_parquet(folder / "scores" / "planted" / f"{cue}.parquet")
        answers = []
        for seed in SEEDS:
            for name, make in tables.items():
                make(cue, seed).to_parquet(folder / "scores" / name / f"{cue}-{seed}.parquet")
            other = 0.2 if (cue, seed) == UNUSED else 0.0
            changed = {**dict.fromkeys(CUES, other), cue: 1.0}
            answer = {"model": "unet_he", "seed": seed, "level": 100, "images_told": 1.0, "pixels_told": 1.0}
            answers.append({**answer, "miou": 0.9, "changed_by": changed, "told_apart": True})
        variants[cue] = {"dataset": f"scenes_{cue}", "classes": ["background", "one", "other"], "answers": answers}
        variants[cue] |= {"training_data": "300 drawn scenes", "scored_images": SCENES, "own_pass_images": 0}
    method = {"label": "M", "kind": "gradient", "family": "cam", "scope": "layer", "own_passes": False}
    manifest = {
        "schema": 1,
        "profile": {},
        "kind": "evidence",
        "models": {"unet_he": {"label": "U-Net (He)"}},
        "layers": {"unet_he": [{"layer": n, "label": n, "depth": i, "point": "conv"} for i, n in enumerate(LAYERS)]},
        "targets": {TARGET: {"label": "predicted, contrast", "class": None}},
        "methods": dict.fromkeys(METHODS, method),
        "metrics": METRICS,
        "variants": variants,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Results(folder)


@pytest.fixture(scope="module")
def made(results: Results) -> tuple[dict[str, pd.DataFrame], Figure]:
    items = list(meta_evaluation.analyse(results))
    (figure,) = (item for item in items if isinstance(item, Figure))
    return {item.name: item.frame for item in items if isinstance(item, Table)}, figure


def test_nothing_for_other_runs(make) -> None:
    assert list(meta_evaluation.analyse(make(stages=1))) == []


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (5, 7)).astype(float), rng.normal(size=7)
    wanted = [float(stats.spearmanr(values, other).statistic) for values in one]
    np.testing.assert_allclose(rank_correlation(one, other), wanted)
    one[0, 2] = np.nan
    assert np.isnan(rank_correlation(one, other)[0])


def test_planted_order(made) -> None:
    table = made[0]["meta_evaluation_planted"]
    assert len(table) == 4 * 2, "metrics and sizes of cells; blank says nothing of place"
    for metric in ("energy_gain", "background_ratio"):
        of_metric = table[table["metric"] == metric]
        assert of_metric[["rho", "rho_low", "rho_noise", "rho_shifted"]].eq(1).all(axis=None)
        assert of_metric["in_order"].all()
    flat = row(table, metric="spread", cell=1)
    assert (flat["rho"], flat["judges_place"], flat["in_order"]) == (0, False, False), "a constant orders nothing"
    undefined = row(table, metric="iou", cell=8)
    assert np.isnan(undefined["rho"])
    assert undefined["undefined_share"] == 1
    assert row(table, metric="iou", cell=1)["rho"] == 1


@pytest.mark.parametrize(("score", "rho"), [("energy_gain", 1), ("background_ratio", 1), ("iou", -1), ("spread", 0)])
def test_scores_that_rank_as_the_evidence_does(made, score: str, rho: int) -> None:
    """Of the networks that use their cue: of the others all is the other way, and would undo it."""
    tables = made[0]
    for cue in (*CUES, "all"):
        found = row(tables["meta_evaluation"], score=score, cue=cue)
        assert found[["rho", "rho_low", "rho_high"]].to_list() == pytest.approx([rho] * 3, abs=1e-6)
        assert (found["n_methods"], found["n_layers"]) == (6, 2)
        assert found["n_seeds"] == (2 if cue == "shape" else 1)
    assert len(tables["meta_evaluation_layers"].query("score == @score")) == len(CUES) * len(LAYERS)


def test_faithfulness_is_ranked_on_its_own_maps(made) -> None:
    table = made[0]["meta_evaluation"]
    for score, rho in (("deletion", 1), ("insertion", -1)):
        found = row(table, score=score, cue="shape")
        assert (found["kind"], found["n_images"], found["n_layers"]) == ("faithfulness", 2, 1)
        assert found["rho"] == pytest.approx(rho)


def test_the_figure_says_what_is_seen(made) -> None:
    figure = made[1]
    assert "2 of 3 metrics that judge place keep the planted order on every grid" in figure.caption.finding
    assert "where ball decides (1.00)" in figure.caption.finding
    written = texts(figure)
    assert {"Ears decide", "Ball decides", "All cues", "Deletion", "Background ratio"} <= set(written)
    assert "rank correlation with\nthe planted share" in written, "the colour bar's label"
    assert figure.render("png", 72)


@pytest.mark.parametrize(
    ("changed", "uses"),
    [
        ({"shape": 0.95, "context": 0.02}, True),
        ({"shape": 0.94, "context": 0.0}, False),
        ({"shape": 1.0, "context": 0.03}, False),
    ],
)
def test_a_network_uses_its_cue_and_no_other(changed: dict[str, float], uses: bool) -> None:
    assert networks.uses_cue("shape", changed) is uses


def test_networks_that_follow_other_cues_too_are_left_out(results: Results) -> None:
    table = networks.tabulate(results)
    assert row(table, cue="context", seed=1)[["told_apart", "uses_cue", "used"]].to_list() == [True, False, False]
    assert table["used"].sum() == 3


def test_runs_without_planted_maps_have_none(results: Results, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((results.folder / "manifest.json").read_bytes())
    (tmp_path / "scores" / "evidence").mkdir(parents=True)
    maps("shape", 0).to_parquet(tmp_path / "scores" / "evidence" / "shape-0.parquet")
    assert list(meta_evaluation.analyse(Results(tmp_path))) == []
