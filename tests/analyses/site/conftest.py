"""Studies of made-up numbers: two runs, known evidence and timings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analyses import site
from analyses.reading.manifest import Manifest
from analyses.reading.timings import Timings
from tests.analyses.report.test_page import contrast, unmeasured

METHODS = ("grad_cam", "layer_cam", "eigen_cam", "captum_saliency", "sobel", "random")
ENERGY = {"layer_cam": 0.8, "grad_cam": 0.6, "eigen_cam": 0.4, "captum_saliency": 0.9, "sobel": 0.1, "random": 0.0}
ALIKE = {"layer_cam": 0.8, "grad_cam": 0.1, "eigen_cam": 0.7}
WHERE = {"model": "unet", "level": 90}


def summary():
    """Layers of 90 images, and a method of the input of two; the mean over layers is 0.1 off at each end."""
    rows = [
        WHERE
        | {"target": "best_pixel:logit", "method": name, "scope": "input" if name == "captum_saliency" else "layer"}
        | {"metric": "energy_gain", "estimate": energy, "low": energy - 0.1, "high": energy + 0.1, "n_layers": 3}
        | {"n_images": 2 if name == "captum_saliency" else 90, "n_seeds": 2}
        for name, energy in ENERGY.items()
    ]
    lower = [row | {"level": 30, "estimate": 0.99} for row in rows]
    other = [row | {"metric": "edge_alignment", "estimate": 0.98} for row in rows]
    return pd.DataFrame([*lower, *rows, *other])


def sanity_table():
    """With all weights random maps are as alike as `ALIKE` says, 0.1 off at each end; with fewer all are alike."""
    rows = [
        WHERE
        | {"target": "predicted:logit", "kind": kind, "step": step, "share": share, "module": "m", "layer": layer}
        | {"method": name, "n_images": 8, "n_seeds": 2, "n_undefined": 0, "training_data": "scenes"}
        | {
            f"{measure}{end}": value + by
            for measure in ("spearman", "spearman_reached", "ssim")
            for end, by in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
        }
        for name, alike in ALIKE.items()
        for kind, step, share, layer, value in (
            ("cascading", 0, 0.2, "all", 0.95),
            ("cascading", 1, 1.0, "all", alike),
            ("cascading", 1, 1.0, "Encoder 1_1", 0.97),
            ("independent", 1, 1.0, "all", 0.96),
        )
    ]
    return pd.DataFrame(rows)


def faithfulness_table():
    """Layer-CAM is better by both measures at one layer and worse at another; of Grad-CAM there are few images."""
    rows = []
    for name, layer, gain, pairs in (
        ("layer_cam", "a", 0.2, 8),
        ("layer_cam", "b", -0.1, 8),
        ("grad_cam", "a", 0.3, 4),
    ):
        for measure, sign in (("insertion", 1), ("deletion", -1)):
            difference = {"difference": sign * gain, "n_pairs": pairs}
            ends = sorted([sign * gain - 0.05, sign * gain + 0.05])
            for imputation, outcome in (("blur", "probability"), ("blur", "dice")):
                rows.append(
                    WHERE
                    | {"target": "predicted:logit", "layer": layer, "method": name, "measure": measure, "order": "map"}
                    | {"imputation": imputation, "outcome": outcome, **difference}
                    | {"difference_low": ends[0], "difference_high": ends[1]}
                )
    return pd.DataFrame(rows)


def claims_table(overall):
    rows = [
        contrast(verdict=overall, overall=overall, sentence="Deep layers see objects."),
        unmeasured(claim="C5", sentence="Attention sees widely."),
    ]
    return pd.DataFrame(rows)


def write(folder, tables, pictures=("figure1-unet",)):
    for name, frame in tables.items():
        (folder / "tables").mkdir(exist_ok=True)
        frame.to_csv(folder / "tables" / f"{name}.csv", index=False)
    for name in pictures:
        (folder / "figures").mkdir(exist_ok=True)
        Image.fromarray(np.full((30, 90, 3), 200, np.uint8)).save(folder / "figures" / f"{name}.png")
    said = [f"**The maps ({name}).** Deep layers see more. One row a level.\n\nMade so.\n" for name in pictures]
    (folder / "captions.md").write_text(
        "\n".join(["A note.\n", *(f"**{name}.** It holds rows.\n" for name in tables), *said])
    )


@pytest.fixture(scope="session")
def studies_folder(make_in, tmp_path_factory):
    """A folder of four studies, and of one that is not drawn; look, do not touch."""
    around = tmp_path_factory.mktemp("studies")
    shape = {"stages": 1, "levels": (30, 90), "seeds": (0, 1), "size": 24, "methods": METHODS, "gallery": 1}
    for name, overall in (("one", "supported"), ("other", "opposite"), ("undrawn", "")):
        make_in(around / name, **shape, input_methods=("captum_saliency",))
        if overall:
            tables = {"claims": claims_table(overall), "methods_summary": summary()}
            more = {"sanity": sanity_table(), "faithfulness": faithfulness_table()} if name == "one" else {}
            write(around / name, tables | more)
    shutil.rmtree(around / "undrawn" / "tables", ignore_errors=True)
    evidence(around / "evidence", around / "one" / "manifest.json")
    timings(around / "timing")
    return around


def evidence(folder, manifest):
    folder.mkdir()
    values = {key: value for key, value in json.loads(manifest.read_text()).items() if key not in ("schema", "sha256")}
    variant = {"dataset": "s", "classes": ["background", "pink ball", "green ball"], "training_data": "scenes"}
    variant |= {"scored_images": 9, "own_pass_images": 1, "answers": []}
    kept = {key: values[key] for key in ("models", "layers", "targets", "methods")}
    whole = Manifest.model_validate(
        {"kind": "evidence", "profile": {"name": "evidence"}, "variants": {"context": variant}, **kept}
    )
    (folder / "manifest.json").write_bytes(whole.written())
    rows = [
        {"cue": cue, "model": "unet", "target": "predicted:logit", "scope": "layer", "method": name, "family": family}
        | {"gain": gain, "gain_low": gain - 0.1, "gain_high": gain + 0.1, "told_apart": cue != "shape"}
        for cue in ("context", "shape")
        for name, family, gain in (("grad_cam", "cam", 0.2), ("layer_cam", "cam", 0.5), ("sobel", "control", 0.7))
    ]
    write(folder, {"known_evidence_summary": pd.DataFrame(rows)}, ("known_evidence-unet", "known_evidence_scene-unet"))


def timings(folder):
    folder.mkdir()
    row = {"case": "a", "label": "A", "ours": "segcam", "theirs": "torch-cam", "scope": "all", "quantity": "time"}
    row |= {"bar": 0.9, "same": True, "note": "", "ours_values": [1.0], "theirs_values": [2.0], "met": True}
    row |= {"ratio": {"median": 0.5, "low": 0.4, "high": 0.6, "rounds": 3}, "agreement": None}
    slow = row | {"met": False, "ratio": {"median": 1.5, "low": 1.4, "high": 1.6, "rounds": 3}}
    machine = {"processor": "P", "cores": 2, "memory_gib": 4.0, "threads": 1, "device": "cpu", "gpu": None}
    whole = Timings.model_validate({"hardware": machine, "versions": {"torchcam": "1"}, "rows": [row, slow]})
    (folder / "timing.json").write_bytes(whole.written())
    write(folder, {"timing": pd.DataFrame({"case": ["a"], "ratio": [0.5]})}, ("timing",))


@pytest.fixture(scope="session")
def studies(studies_folder):
    found, _ = site.find([studies_folder])
    return {study.name: study for study in found}


@pytest.fixture(scope="session")
def written(studies, tmp_path_factory):
    """A site of all studies on the disk."""
    folder = Path(tmp_path_factory.mktemp("site"))
    for name, content in site.build(list(studies.values()), "https://docs.example"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
