"""What README and CITATION.cff say of the project is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import segcam
from analyses import printing
from segcam.methods import METHODS
from segcam.metrics import METRICS
from tests.docs import study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHODS_PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_methods_and_metrics_are_counted() -> None:
    counts = len(METHODS.names()), len(METRICS.names())
    assert "lists all {}, [which metric](which-metric.md) all {}.".format(*counts) in METHODS_PAGE
    assert f"**{len(METHODS.names())} methods**" in README
    assert f"**{len(METRICS.names())} metrics of each map**" in README


def test_the_finding_of_edges_quotes_the_table() -> None:
    found = study.energy_gains()
    gain = found[found["model"] == "segformer"].set_index("method")["estimate"]
    grad_cam, sobel = f"{gain['grad_cam']:.2f}", f"{gain['sobel']:.2f}"
    layers = study.table("heatmap")
    layers = layers[(layers["model"] == "segformer") & (layers["metric"] == "energy_gain")]["mean"]
    ends = " to ".join(printing.fixed(end, 2) for end in (layers.min(), layers.max()))
    said = f"Grad-CAM has {grad_cam}; the Sobel image, which knows no network, has {sobel}. Single layers have {ends}."
    assert said in README
    nets = found[found["method"] == "grad_cam"].set_index("model")["estimate"]
    pretrained = f"{nets['timm_unet:tf_efficientnet_lite0']:.2f}"
    assert f"On a U-Net it has {nets['unet']:.2f}, on a pretrained one {pretrained}." in README


def test_what_is_cited_is_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(cited) >= {"cff-version", "message", "title", "authors", "version", "license"}
    assert cited["version"] == segcam.__version__
    assert cited["references"][0]["title"] in README
    assert cited["license"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"[{cited['license']}](LICENSE)" in README
    assert cited["authors"]


def test_the_finding_of_sanity_quotes_the_table() -> None:
    rows = study.table("sanity_random").set_index(["model", "method"]).sort_index()
    kept, reached = (rows.loc["unet", name] for name in ("spearman", "spearman_reached"))
    assert {"element_wise", "layer_cam"} < set(kept.nlargest(3).index)
    first = f"{kept['element_wise']:.2f} with its maps ({reached['element_wise']:.2f} over cells that have a gradient)"
    others = f"LayerCAM {kept['layer_cam']:.2f} ({reached['layer_cam']:.2f}) and Grad-CAM {kept['grad_cam']:.2f}."
    assert f"gradient x activation keeps a rank correlation of {first}, {others}" in README
    assert not rows.loc["segformer", "fails"].any()
    assert "In SegFormer no method fails this check." in README


def test_the_verdicts_are_those_of_the_study() -> None:
    shown = dict(re.findall(r"^\| (C\d) \| .*? \| ([\w ]+) \|", README, re.MULTILINE))
    assert shown == {claim: verdict for claim, verdict in study.decided().items() if claim.startswith("C")}
