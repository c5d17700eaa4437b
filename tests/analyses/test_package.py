from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

import analyses
from analyses import Figure, Results, ResultsError, Table
from analyses.plots import style
from analyses.reading import captions
from tests.analyses.checks import assert_on_page, texts
from tests.method_runs import CONTROLS, IMAGES, enrich

ROOT = Path(analyses.__file__).parents[1]
FORBIDDEN = {"analyses": {"torch", "torchvision", "bench", "segcam"}, "segcam": {"bench", "analyses"}}
SHARED = {"segcam.draw.display", "segcam.draw.glyphs", "segcam.groups"}
"""What figures and library draw or group alike: without torch."""


def imported(path):
    """Yield the full name of each module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_one_way(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    imports = [(path, name) for path in files for name in imported(path) if not any(name.startswith(s) for s in SHARED)]
    assert not [(path, name) for path, name in imports if name.partition(".")[0] in FORBIDDEN[package]]


def test_no_analysis_imports_another():
    modules = {analysis.__module__ for analysis in analyses.find().values()}
    for module in modules:
        names = set(imported(ROOT / f"{module.replace('.', '/')}.py"))
        assert not {other for other in modules if any(f"{name}.".startswith(f"{other}.") for name in names)}, module


def test_the_analyses_run_without_the_network_library():
    code = (
        "import sys, analyses; analyses.find(); print(sorted({'torch', 'bench', 'segcam.arrays'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_analyses_are_found_by_their_function_and_have_docstrings():
    found = analyses.find()
    assert {"curves", "family", "figure1", "figure2", "figure3", "levels", "resolution"} <= set(found)
    assert not {"results", "stats", "style", "artifacts", "page", "tiles"} & set(found)
    assert all(analyses.question(name) != name for name in found)


def test_an_unknown_analysis_is_refused(make):
    with pytest.raises(ResultsError, match=r"unknown analysis 'curve': known are .*curves"):
        list(analyses.run(make(levels=(30,), seeds=(0,)), ["curve"]))


def test_the_order_is_that_of_the_names_or_as_asked(make):
    results = make(seeds=(0,), levels=(30,), stages=1)
    names = [item.name for item in analyses.run(results, ["levels", "figure1", "levels"])]
    assert names == ["levels", "levels", "figure1-unet"]


def shuffled(results):
    """Put the same rows into other files in another order."""
    for folder in (results.folder / "scores", results.folder / "scores" / "agreement"):
        paths = sorted(folder.glob("*.parquet"))
        rows = pd.concat([pd.read_parquet(path) for path in paths]).sample(frac=1, random_state=3)
        for path in paths:
            path.unlink()
        for i in range(3):
            rows.iloc[i::3].astype({"layer": "category"}).to_parquet(folder / f"part{9 - i}.parquet", index=False)
    return Results(results.folder)


def test_tables_and_figures_are_the_same_bytes_on_repeat_and_in_any_order_of_rows(make):
    methods = ("grad_cam", "layer_cam", "score_cam", "captum_saliency", *CONTROLS)
    targets = ("best_pixel:logit", "predicted:logit")
    run = {"stages": 1, "levels": (30, 90), "methods": methods, "images": IMAGES[:4], "targets": targets, "size": 24}
    results = enrich(make(**run), counter=True)
    first, other = list(analyses.run(results)), list(analyses.run(shuffled(results)))
    assert [item.name for item in first] == [item.name for item in other]
    names = {item.name.partition("-")[0] for item in first}
    assert {"curves", "diagnosis", "figure1", "heatmap", "method_ranks", "methods", "target_agreement"} <= names
    for one, two in zip(first, other, strict=True):
        assert one.caption == two.caption
        if isinstance(one, Table):
            assert one.csv() == two.csv()
            assert "training_data" in one.frame
        else:
            assert one.render("svg", 72) == two.render("svg", 72)
            if one.name.startswith(("curves", "figure1")):  # of lines and of pictures; all are written in one way
                assert one.render("pdf", 72) == two.render("pdf", 72)


@pytest.mark.parametrize("name", ["curves", "distributions", "family", "heatmap", "methods", "metric_agreement"])
def test_the_same_map_twice_is_refused(make, name):
    results = make(levels=(30,), seeds=(0,), stages=2, gallery=0)
    folder = results.folder / "scores"
    (folder / "copy.parquet").write_bytes((folder / "unet-s0-l30.parquet").read_bytes())
    with pytest.raises(ResultsError, match="a row is there twice"):
        list(analyses.run(results, [name]))


ODD = {
    "odd names": {
        "images": ("a$b_c^d", "<x>&y", "cost $1 and $2"),
        "classes": ("back$ground", "big_<cat>^2", "$dog$"),
        "gallery": 3,
        "methods": ("grad_cam", "random", "my$method_"),
        "targets": ("all:$x_1$", "b<c"),
    },
    "one image, one seed": {"images": ("only",), "seeds": (7,), "levels": (90, 100), "points": ("conv", "relu")},
    "no control": {"methods": ("grad_cam",)},
    "controls alone": {"methods": ("uniform", "random")},
    "another method alone": {"methods": ("seg_xres_cam", "uniform")},
    "extra metrics": {"extra_metrics": ("thick_$ness", "other", "third")},
    "no gallery": {"gallery": 0, "stages": 1},
    "no metric defined": {"undefined": ("energy_inside", "energy_gain", "background_ratio", "edge_alignment", "blank")},
    "nine levels": {"levels": tuple(range(10, 100, 10)), "seeds": (0,), "stages": 1},
    "methods of the input": {
        "input_methods": tuple(f"captum_{i}" for i in range(20)),
        "methods": ("grad_cam", *(f"cam_{i}" for i in range(20)), "uniform", "random", "sobel", "mask_oracle"),
        "points": ("conv", "head"),
        "targets": ("best_pixel:logit", "predicted:logit"),
        "agreement": True,
        "seeds": (0,),
    },
    "two models": {"models": ("unet", "net $2"), "unreached": frozenset({(0, 30), (1, 30)})},
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD.keys())
def test_odd_runs_are_drawn(make, fields):
    plan = {"stages": 2, "levels": (30, 90), "size": 24, **fields}
    items = list(analyses.run(make(**plan)))
    assert len({item.name for item in items if isinstance(item, Figure)}) == sum(isinstance(i, Figure) for i in items)
    for item in items:
        written = [str(item.caption)]
        assert "Data set shapes" not in str(item.caption), "said once a page"
        if isinstance(item, Figure):
            item.render("svg", 72)
            assert_on_page(item)
            written += texts(item)
            assert not [t for t in item.figure.findobj(mpl.text.Text) if mpl.cbook.is_math_text(t.get_text())]
        else:
            item.files()
        if 100 in plan["levels"]:  # the best level is never called by its number
            assert not [text for text in written if "100 %" in text or "100%" in text]


def test_a_run_is_read_alone_settings_stay_and_floats_have_six_decimals_at_most(make):
    results = make(stages=1, levels=(30, 90), seeds=(0,))
    files = {path: path.stat().st_mtime_ns for path in results.folder.rglob("*")}
    settings = dict(mpl.rcParams)
    for item in analyses.run(results):
        if isinstance(item, Figure):
            item.render("png", 50)
        else:
            for cell in item.csv().replace("\n", ",").split(","):
                assert len(cell.partition(".")[2]) <= 6 or not cell.replace(".", "").isdigit()
    assert {path: path.stat().st_mtime_ns for path in results.folder.rglob("*")} == files
    assert dict(mpl.rcParams) == settings


def test_a_run_that_reached_no_level_has_no_figures(make):
    results = make(levels=(30,), seeds=(0,), unreached=frozenset({(0, 30)}), stages=1)
    other = make(levels=(30,), seeds=(0,), stages=1).scores()
    other.assign(model="gone").to_parquet(results.folder / "scores" / "other.parquet")
    assert {item.name for item in analyses.run(results)} == {"claims", "curves", "levels"}


def test_levels_differ_by_more_than_colour():
    lines = style.level_lines([90, 30, 70, 50])
    assert list(lines) == [30, 50, 70, 90]
    for part in ("color", "marker", "linestyle"):
        assert len({getattr(line, part) for line in lines.values()}) == 4


def test_the_note_says_what_the_best_level_is(make):
    results = make(levels=(90, 100), seeds=(0,), stages=1)
    assert "best: the checkpoint of the highest validation mean IoU, level 100 in tables" in captions.note(results)
    assert "level 100" not in captions.note(make(levels=(30,)))
