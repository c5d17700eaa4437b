"""Energy on known evidence: means, differences and what they are of, from made-up numbers."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text

import analyses
from analyses import Figure, Results, Table
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval
from analyses.trust import known_evidence
from tests.analyses.checks import edit_manifest, row, texts

CUES = {"shape": ("pointed ears", "hanging ears"), "texture": ("stripes", "spots"), "context": ("pink", "green")}
REGIONS = (*CUES, "animal")
TARGET = "predicted:contrast"
LAYERS = ("Encoder 1_1", "Encoder 1_2", "Decoder 1_2")
CONTROLS = ("random", "gaussian", "sobel", "activation", "mask_oracle", "evidence_oracle")
SCENES, FEW = 16, 7
LOST = (3, 11)  # scenes of which the shape network gives the wrong answer
BLANK = 5  # a scene of which Grad-CAM has a blank map at the first layer, of every network
AREA = 0.1


def gain(cue: str, method: str, layer: int, region: str) -> float:
    """The mean gain that a method is made to have: Grad-CAM finds what decides, LayerCAM the coat always."""
    if method == "grad_cam":
        return 0.2 * (layer + 1) if region == cue else 0.05
    if method == "layer_cam":
        return 0.5 if region == "texture" else 0.0
    if method == "captum_saliency":
        return 0.4 if region == cue else 0.1
    if method == "evidence_oracle":
        return 1.0 - 0.1 * layer if region == cue else 0.0
    return {"sobel": 0.1, "gaussian": 0.03, "activation": 0.05, "mask_oracle": 0.15}.get(method, 0.0)


def frame(cue: str, methods: tuple[str, ...], layers: tuple[str, ...], scenes: range) -> pd.DataFrame:
    rng = np.random.default_rng([list(CUES).index(cue), len(methods)])
    rows = pd.DataFrame(list(product(methods, layers, scenes)), columns=["method", "layer", "scene"])
    rows = rows.assign(cue=cue, model="unet_he", seed=0, level=100, training_data="300 drawn scenes", target=TARGET)
    rows["image"] = cue + "-" + rows["scene"].astype(str)
    rows["told"] = ~((cue == "shape") & rows["scene"].isin(LOST))
    blank = (rows["method"] == "grad_cam") & (rows["layer"] == LAYERS[0]) & (rows["scene"] == BLANK)
    places = rows["layer"].map({name: i for i, name in enumerate(layers)})
    for region in REGIONS:
        means = [gain(cue, method, i, region) for method, i in zip(rows["method"], places, strict=True)]
        rows[f"gain_{region}"] = (pd.Series(means) + rng.normal(0, 0.01, len(rows))).mask(blank).astype(np.float32)
        rows[f"inside_{region}"] = rows[f"gain_{region}"] * np.float32(1 - AREA) + np.float32(AREA)
        rows[f"area_{region}"] = np.float32(AREA)
    return rows


def write_gallery(folder: Path, cue: str, size: int = 16) -> None:
    """The kept maps of scene 0: of the first layer blank, of the others highest in row 3, column 5."""
    picture = np.full((1, size, size, 3), 120, np.uint8)
    there = np.zeros((1, size, size), bool)
    there[:, 2:6, 4:8] = True
    arrays = {"ids": np.array([f"{cue}-0"]), "images": picture, "other": picture, "evidence": there}
    arrays["masks"] = there.astype(np.uint8)
    for i, layer in enumerate(LAYERS):
        values = np.zeros((1, size, size), np.float32)
        values[0, 3, 5] = i
        for method in ("layer_cam", "grad_cam"):
            arrays[f"{TARGET}|{method}|{layer}"] = values
    np.savez_compressed(folder / f"{cue}-unet_he-s0-l100.npz", **arrays)


def entry(name: str) -> dict[str, object]:
    family = "control" if name in CONTROLS else "captum" if name.startswith("captum") else "cam"
    return {
        "label": name.replace("_", " ").capitalize(),
        "kind": "control" if family == "control" else "run" if family == "captum" else "gradient",
        "family": family,
        "scope": "input" if family == "captum" else "layer",
        "own_passes": family == "captum",
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "scores" / "evidence").mkdir(parents=True)
    (folder / "scores" / "gallery").mkdir()
    methods = ("grad_cam", "layer_cam", "captum_saliency", *CONTROLS)
    layers = [
        {"layer": name, "label": name, "depth": i, "role": name.split()[0].lower(), "point": "conv" if i >= 0 else ""}
        for i, name in enumerate(("Input", *LAYERS), -1)
    ]
    variants = {}
    for cue, classes in CUES.items():
        shared = tuple(name for name in methods if name != "captum_saliency")
        frame(cue, shared, LAYERS, range(SCENES)).to_parquet(folder / "scores" / "evidence" / f"{cue}-unet_he.parquet")
        some = frame(cue, ("captum_saliency", *CONTROLS), ("Input",), range(FEW))
        some.to_parquet(folder / "scores" / "evidence" / f"{cue}-unet_he-own-pass.parquet")
        write_gallery(folder / "scores" / "gallery", cue)
        told = {"shape": 0.875, "texture": 1.0, "context": 1.0}[cue]
        answer = {"model": "unet_he", "seed": 0, "level": 100, "images_told": told, "pixels_told": told, "miou": 0.8}
        answer |= {"changed_by": {other: float(other == cue) for other in CUES}, "told_apart": told >= 0.9}
        variants[cue] = {"dataset": f"scenes_{cue}", "classes": ["background", *classes], "answers": [answer]}
        variants[cue] |= {"training_data": "300 drawn scenes", "scored_images": SCENES, "own_pass_images": FEW}
    manifest = {
        "schema": 1,
        "kind": "evidence",
        "profile": {"figures": {"photographs": True}},
        "models": {"unet_he": {"label": "U-Net (He)"}},
        "layers": {"unet_he": layers},
        "targets": {TARGET: {"label": "predicted, contrast", "class": None}},
        "methods": {name: entry(name) for name in methods},
        "variants": variants,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Results(folder)


@pytest.fixture(scope="module")
def made(results):
    items = list(known_evidence.analyse(results))
    tables = {item.name: item.frame for item in items if isinstance(item, Table)}
    return tables, {item.name: item for item in items if isinstance(item, Figure)}


def values(results, cue, method, layer, region, *, told=True):
    """Gains by scene of a network on a region, of the scenes that it told right, or of all."""
    all_rows = results.evidence()
    some = all_rows[(all_rows["cue"] == cue) & (all_rows["method"] == method) & (all_rows["layer"] == layer)]
    some = some[some["told"]] if told else some
    return some.set_index("scene")[f"gain_{region}"].astype(float).reindex(range(SCENES))


def test_nothing_for_other_runs(make):
    assert list(known_evidence.analyse(make(stages=1))) == []
    assert "known_evidence" in analyses.find()


def test_a_row_a_cue_method_and_layer(made):
    table = made[0]["known_evidence"]
    assert not table.duplicated(["cue", "method", "layer"]).any()
    assert len(table) == 3 * ((2 + 6) * 3 + (1 + 6))
    assert list(table["cue"].drop_duplicates()) == list(CUES)


def test_means_and_intervals_are_of_the_images_that_were_told(made, results):
    for cue, layer in (("shape", "Encoder 1_1"), ("texture", "Decoder 1_2")):
        found = row(made[0]["known_evidence"], cue=cue, method="grad_cam", layer=layer)
        own = values(results, cue, "grad_cam", layer, cue)
        matrix = own[own.notna()].to_numpy()[None]
        assert found["gain"] == pytest.approx(matrix.mean(), abs=1e-6)
        assert found["inside"] == pytest.approx(matrix.mean() * (1 - AREA) + AREA, abs=1e-6)
        assert found["area"] == pytest.approx(AREA)
        assert found["inside_low"] < found["inside"] < found["inside_high"]
        assert found["n_images"] == SCENES - len(LOST) * (cue == "shape"), "maps, defined or not, of images told"
    undefined = row(made[0]["known_evidence"], cue="shape", method="grad_cam", layer="Encoder 1_1")
    assert undefined["undefined_share"] == pytest.approx(1 / (SCENES - len(LOST)), abs=1e-6)
    full = row(made[0]["known_evidence"], cue="texture", method="grad_cam", layer="Decoder 1_2")
    matrix = values(results, "texture", "grad_cam", "Decoder 1_2", "texture").to_numpy()[None]
    # The scenes are sorted as text, as the table's are, so that the resamples draw the same ones.
    matrix = matrix[:, sorted(range(SCENES), key=str)]
    wanted = bootstrap_interval(matrix, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    assert full[["gain_low", "gain_high"]].to_list() == pytest.approx([float(wanted.low), float(wanted.high)], abs=1e-5)


def test_differences_are_paired_by_scene(made, results):
    found = row(made[0]["known_evidence"], cue="context", method="grad_cam", layer="Encoder 1_1")
    own = values(results, "context", "grad_cam", "Encoder 1_1", "context")
    others = [values(results, c, "grad_cam", "Encoder 1_1", "context", told=False) for c in ("shape", "texture")]
    elsewhere = own - (others[0] + others[1]) / 2
    sobel = own - values(results, "context", "sobel", "Encoder 1_1", "context")
    assert found["minus_elsewhere"] == pytest.approx(elsewhere.mean(), abs=1e-6)
    assert found["minus_elsewhere_n"] == SCENES - 1, "no map blank; what other networks told plays no part"
    assert found["minus_sobel"] == pytest.approx(sobel.mean(), abs=1e-6)
    assert found["minus_sobel_n"] == SCENES - 1


def test_what_finds_the_evidence_finds_it_where_it_decides(made):
    """LayerCAM is made to look at the coat whatever decides: that is much energy, and no finding."""
    table = made[0]["known_evidence"].set_index(["cue", "method", "layer"])
    assert table.loc[("texture", "layer_cam", "Encoder 1_1"), "gain"] == pytest.approx(0.5, abs=0.02)
    assert table.loc[("texture", "layer_cam", "Encoder 1_1"), "minus_elsewhere"] == pytest.approx(0, abs=0.02)
    assert not table.loc[("texture", "layer_cam", "Encoder 1_1"), "finds_it"]
    assert not table.xs("shape")["finds_it"].any(), "what is not learned is not found"
    for cue in ("texture", "context"):
        assert table.loc[(cue, "grad_cam", "Encoder 1_2"), "finds_it"]
        assert table.loc[(cue, "captum_saliency", "Input"), "finds_it"]
        assert not table.loc[(cue, "sobel", "Encoder 1_1"), "finds_it"]


def test_the_summary_is_over_layers(made):
    means, summary = (made[0][name] for name in ("known_evidence", "known_evidence_summary"))
    found = row(summary, cue="texture", method="grad_cam", scope="layer")
    own = means[(means["cue"] == "texture") & (means["method"] == "grad_cam")]
    assert found["gain"] == pytest.approx(own["gain"].mean(), abs=1e-5)
    assert (found["best_layer"], found["n_layers"]) == ("Decoder 1_2", 3)
    assert found["best"] == pytest.approx(0.6, abs=0.01)
    assert found["layers_above_mask_oracle"] == 3
    oracle = summary[(summary["scope"] == "layer") & (summary["cue"] == "context")].set_index("method")["gain"]
    assert oracle.idxmax() == "evidence_oracle"


def test_the_networks(made):
    table = made[0]["known_evidence_networks"]
    assert table.set_index("cue")["told_apart"].to_dict() == {"shape": False, "texture": True, "context": True}
    assert row(table, cue="context")["changed_by_context"] == 1


def test_figures_say_what_they_are_of(made):
    kinds = ("known_evidence_layers", "known_evidence_scene")
    assert set(made[1]) == {f"{kind}-unet_he-predicted-contrast" for kind in kinds}
    for name, item in made[1].items():
        written = texts(item)
        assert not [text for text in written if mpl.cbook.is_math_text(text)]
        assert item.render("png", 72)
        assert f"{SCENES} test images" in str(item.caption)
        assert "95 % intervals" in str(item.caption)
        assert "Not told apart, and so no evidence of anything: shape" in str(item.caption)
        if "scene" not in name:
            titles = {"Ears decide\n88 % of the animals told: not apart", "Coat decides\n100 % of the animals told"}
            assert titles < set(written)


def test_dots_stand_where_the_evidence_is_found(made):
    figure = made[1]["known_evidence_layers-unet_he-predicted-contrast"].figure
    panels = [axes for axes in figure.axes if axes.get_title()]
    marks = [[item for item in axes.collections if isinstance(item, PathCollection)] for axes in panels]
    dots = [sum(len(item.get_offsets()) for item in items) for items in marks]
    # Grad-CAM at all layers where the animals are told; LayerCAM looks at the coat, but where it does not decide, too.
    assert dots == [0, 3, 3]
    assert [axes.get_title().split()[0] for axes in panels] == ["Ears", "Coat", "Ball"]


def test_the_scene_shows_each_map_with_its_own_score(made, results):
    written = texts(made[1]["known_evidence_scene-unet_he-predicted-contrast"])
    blank = [text for text in written if text.replace("\n", " ") == "blank: zero everywhere"]
    assert len(blank) == 3, "the first layer's map, of each network"
    frame = results.evidence().query("scene == 0 and method == 'grad_cam'")
    for cue in CUES:
        for layer in LAYERS[1:]:
            (gain,) = frame[(frame["cue"] == cue) & (frame["layer"] == layer)][f"gain_{cue}"]
            assert f"{gain:+.2f}" in written
    assert {"Ears\ndecide", "Coat\ndecides", "Ball\ndecides"} <= set(written)


def test_pictures_are_left_out_where_the_run_says_so(results, tmp_path):
    copied = Results(Path(shutil.copytree(results.folder, tmp_path / "run")))
    hidden = edit_manifest(copied, lambda manifest: manifest["profile"]["figures"].update(photographs=False))
    items = {item.name: item for item in known_evidence.analyse(hidden)}
    figure = items["known_evidence_scene-unet_he-predicted-contrast"].figure
    first = next(image for axes in figure.axes for image in axes.images)
    assert not np.asarray(first.get_array())[..., :3].any(), "black"


def test_networks_that_did_not_learn_their_cue_are_left_out(made, results, tmp_path):
    """A second seed whose texture network did not learn: its maps count in no mean, and the caption says so."""
    folder = Path(shutil.copytree(results.folder, tmp_path / "run"))

    def untold(manifest):
        answers = manifest["variants"]["texture"]["answers"]
        answers.append({**answers[0], "seed": 1, "images_told": 0.5, "told_apart": False})

    edit_manifest(Results(folder), untold)
    other = pd.read_parquet(folder / "scores" / "evidence" / "texture-unet_he.parquet").assign(seed=1)
    columns = [name for name in other if name.startswith(("gain_", "inside_"))]
    other[columns] = np.float32(0.99)
    other.to_parquet(folder / "scores" / "evidence" / "texture-unet_he-s1.parquet")
    items = list(known_evidence.analyse(Results(folder)))
    tables = {item.name: item.frame for item in items if isinstance(item, Table)}
    where = {"cue": "texture", "method": "grad_cam", "layer": "Decoder 1_2"}
    before, now = row(made[0]["known_evidence"], **where), row(tables["known_evidence"], **where)
    assert now["gain"] == pytest.approx(before["gain"], abs=1e-6)
    assert now["n_seeds"] == before["n_seeds"] == 1
    assert now["finds_it"]
    assert list(tables["known_evidence_networks"].query("cue == 'texture'")["used"]) == [True, False]
    for item in items:
        assert "Left out, since the animals were not told apart, or by other cues, too: texture, seed 1." in str(
            item.caption
        )
    written = [text.get_text() for item in items if isinstance(item, Figure) for text in item.figure.findobj(Text)]
    assert "Coat decides\n100 % of the animals told\n(1 of 2 networks)" in written


def test_the_title_counts_the_methods_that_find_what_decides(made):
    table = made[0]["known_evidence"]
    finding = made[1]["known_evidence_layers-unet_he-predicted-contrast"].caption.finding
    rows = table[(table["family"] != "control") & table["told_apart"] & table["layer"].isin(LAYERS)]
    assert set(rows["method"]) < set(table.loc[table["family"] != "control", "method"]), "some are of the input"
    found = rows.groupby(["cue", "method"])["finds_it"].any().groupby("cue").agg(["sum", "size"])
    assert list(found.index.sort_values()) == ["context", "texture"], "the ears were not learned"
    for cue, name in (("texture", "coat decides"), ("context", "ball decides")):
        assert f"{found.loc[cue, 'sum']} of {found.loc[cue, 'size']} where {name}" in finding
