"""All figures of a run like the published one: how many, how large, and whether they can be read in print."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

import analyses
from analyses import Figure
from analyses.plots import style
from tests.analyses.checks import assert_on_page, texts
from tests.method_runs import IMAGES, METHODS, enrich

NETWORKS = ("unet", "net2", "segformer", "vit")
MOST = 22
"""Figures of a run of four networks, with two images of which maps are drawn."""
MAPS = ("figure1", "figure2", "figure3")
"""What shows maps alone has no number to be said in a title."""


@pytest.fixture(scope="module")
def figures(make_in, tmp_path_factory):
    """The figures of a run of four networks, made as they are printed."""
    results = make_in(
        tmp_path_factory.mktemp("figures") / "run",
        models=NETWORKS,
        levels=(90, 100),
        seeds=(0,),
        methods=METHODS,
        images=IMAGES[:6],
        gallery=1,
        factors=(0.5, 1.0, 2.0),
        extra_metrics=("edge_thickness",),
        size=32,
    )
    return [item for item in analyses.run(enrich(results)) if isinstance(item, Figure)]


def test_they_are_few(figures):
    names = [figure.name for figure in figures]
    assert len(names) <= MOST, names
    kinds = {name.partition("-")[0] for name in names}
    assert kinds >= {"levels", "family", "curves", "methods", "methods_summary", "method_ranks", "distributions"}
    assert kinds >= {"metric_agreement", "diagnosis", "resolution", "figure1", "figure2", "figure3"}


def test_they_fit_a_journals_page_in_print(figures):
    for figure in figures:
        width, height = figure.figure.get_size_inches()
        assert min(abs(width - style.COLUMN), abs(width - style.WIDTH)) < 1e-6, figure.name
        assert height <= style.PAGE + 1e-6, figure.name
        assert_on_page(figure)


def test_they_say_what_is_seen_and_how_to_read_it_in_few_words(figures):
    for figure in figures:
        assert figure.label, figure.name
        assert 0 < len(figure.caption.reading.split()) <= analyses.artifacts.MOST_WORDS, figure.name
        if figure.name.startswith(MAPS):
            continue
        assert re.search(r"\d", figure.caption.finding), figure.name
        shown = " ".join(texts(figure)).replace("\n", " ").replace(r"\$", "$")
        assert figure.caption.finding.removesuffix(".") in shown, "the title"


def test_they_call_things_by_their_names_in_print(figures):
    code = re.compile(r"\b(?:[a-z]+_[a-z_]+|best_pixel:\w+)\b")
    for figure in figures:
        written = [*texts(figure), str(figure.caption)]
        found = [text for text in (*texts(figure), figure.caption.finding) if code.search(text)]
        assert not found, (figure.name, found)
        assert not [text for text in written if "100 %" in text], "the best level is never called by its number"


def test_numbers_on_cells_stand_out_from_them(figures):
    (agreement,) = [figure for figure in figures if figure.name == "metric_agreement"]
    drawn = replace(agreement)
    drawn.figure.draw_without_rendering()
    checked = 0
    for axes in drawn.figure.axes:
        for mesh in [found for found in axes.collections if isinstance(found, mpl.collections.QuadMesh)]:
            grounds = mesh.get_facecolors().reshape(*mesh.get_array().shape, 4)
            for text in [one for one in axes.texts if one.get_text()]:
                x, y = text.get_position()
                assert style.contrast(to_rgb(text.get_color()), grounds[int(y), int(x)][:3]) >= style.CONTRAST
                checked += 1
    assert checked > 50
