"""What is published of known evidence says one thing: the tables, and the numbers in its README."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.trust.evidence.ranking import MEASURES
from segcam.metrics import METRICS

EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"
CUES = {"shape": "ears", "texture": "coat", "context": "ball"}
TARGET = "predicted:contrast"


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(EVIDENCE / "tables" / f"{name}.csv", keep_default_na=True)


def number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def network_rows() -> Iterator[str]:
    """A row a cue: how many networks use it and nothing else, and how often the answer follows each cue."""
    networks = table("known_evidence_networks")
    for cue, name in CUES.items():
        own = networks[networks["cue"] == cue]
        others = own[[f"changed_by_{other}" for other in CUES if other != cue]].to_numpy()
        ends = [f"{100 * value:.0f}" for value in (own[f"changed_by_{cue}"].min(), own[f"changed_by_{cue}"].max())]
        told = f"{100 * own['images_told'].min():.0f} %"
        flips = f"{' to '.join(dict.fromkeys(ends))} %"
        yield f"| {name} | {own['uses_cue'].sum()} of {len(own)} | {told} | {flips} | {100 * others.max():.0f} % |"


def gain_rows() -> Iterator[str]:
    """A row a cue: the area of its evidence, and what the best layers, the input and the mask score."""
    summary = table("known_evidence_summary")
    summary = summary[summary["target"] == TARGET]
    for cue, name in CUES.items():
        rows = summary[summary["cue"] == cue].set_index(["scope", "method"])
        cells = [number(rows.loc[("layer", "grad_cam"), "area"])]
        for method in ("grad_cam", "eigen_grad_cam"):
            row = rows.loc[("layer", method)]
            cells += [number(row["gain"]), f"{number(row['best'])} ({row['best_layer']})"]
        cells += [number(rows.loc[place, "gain"]) for place in (("input", "captum_integrated_gradients"),)]
        cells += [number(rows.loc[("layer", method), "gain"]) for method in ("mask_oracle", "evidence_oracle")]
        yield f"| {name} | {' | '.join(cells)} |"


def score_rows() -> Iterator[str]:
    """A row a score: the order of planted maps on the finest and the coarsest grid, and of methods, cue by cue."""
    planted, ranks = table("meta_evaluation_planted"), table("meta_evaluation").set_index(["score", "cue"])
    orders = planted.set_index(["metric", "cell"])["rho"]
    sizes = sorted(planted["cell"].unique())
    mean = ranks.xs("all", level="cue")
    for score in sorted(mean.index, key=lambda name: (mean.loc[name, "kind"] != "metric", -mean.loc[name, "rho"])):
        label = MEASURES[score][0] if score in MEASURES else METRICS.get(score).label
        ends = [orders.get((score, size), np.nan) for size in (sizes[0], sizes[-1])]
        cells = ["" if np.isnan(value) else number(value) for value in ends]
        for cue in (*CUES, "all"):
            row = ranks.loc[(score, cue)]
            cells.append(f"{number(row['rho'])} [{number(row['rho_low'])}, {number(row['rho_high'])}]")
        yield f"| {label} | {' | '.join(cells)} |"


@pytest.mark.parametrize("rows", [network_rows, gain_rows, score_rows])
def test_the_findings_quote_the_tables(rows) -> None:
    text = (EVIDENCE / "README.md").read_text()
    for row in rows():
        assert row in text, row


def test_networks_that_count_use_their_cue() -> None:
    networks = table("known_evidence_networks")
    assert len(networks) == 9, "three seeds a cue"
    own = [row[f"changed_by_{row['cue']}"] for row in networks.to_dict("records")]
    others = [max(row[f"changed_by_{cue}"] for cue in CUES if cue != row["cue"]) for row in networks.to_dict("records")]
    uses = (np.array(own) >= 0.95) & (np.array(others) <= 0.02)
    np.testing.assert_array_equal(networks["uses_cue"], uses)
    used = networks[networks["used"]]
    assert (used["uses_cue"] & used["told_apart"]).all()
    listed = json.loads((EVIDENCE / "manifest.json").read_text())["profile"]["train"]["seeds"]
    assert sorted(set(networks["seed"])) == listed


def test_energies_put_planted_maps_in_order() -> None:
    """A metric that is published as one of place, and gets the simplest order wrong, is none."""
    planted = table("meta_evaluation_planted")
    energies = planted[planted["metric"].isin(["energy_inside", "energy_gain", "background_ratio"])]
    assert energies["in_order"].all()
    assert energies.loc[energies["cell"] == 1, "rho"].min() == pytest.approx(1, abs=1e-5)
