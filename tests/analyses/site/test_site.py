"""The site over studies: what it finds, methods side by side, claims by studies, and pages that lead to each other."""

from __future__ import annotations

import io
import json
import os
import re
import shutil

import pandas as pd
import pytest
from PIL import Image

from analyses import report, site
from analyses.reading.files import ResultsError
from analyses.site import across, leaderboard, published
from tests.analyses.site.conftest import ALIKE, ENERGY


@pytest.fixture(scope="module")
def board(studies):
    return next(board for board in leaderboard.boards([studies["one"]]))


def line(board, method):
    return next(line for line in board.lines if line.method == method)


def test_studies_are_found_runs_first_and_what_is_not_drawn_is_said(studies_folder):
    found, left_out = site.find([studies_folder])
    assert [(study.name, study.kind) for study in found] == [
        *(("one", "run"), ("other", "run")),
        *(("evidence", "evidence"), ("timing", "timing")),
    ]
    assert len(left_out) == 1
    assert "run report --out" in left_out[0]
    named, _ = site.find([studies_folder / "other", studies_folder / "timing", studies_folder / "other"])
    assert [study.name for study in named] == ["other", "timing"]


def test_studies_of_one_name_are_told_apart(studies_folder, tmp_path):
    shutil.copytree(studies_folder / "timing", tmp_path / "timing")
    found, _ = site.find([studies_folder / "timing", tmp_path / "timing"])
    assert [study.name for study in found] == [f"{studies_folder.name}/timing", f"{tmp_path.name}/timing"]
    assert len({study.slug for study in found}) == 2


@pytest.mark.parametrize(("place", "said"), [("nowhere", "is no folder"), ("", "no study"), ("undrawn", "run report")])
def test_what_holds_no_study_is_an_error(studies_folder, tmp_path, place, said):
    folder = studies_folder / "undrawn" if place == "undrawn" else tmp_path / place
    with pytest.raises(ResultsError, match=said):
        site.find([folder])


def test_a_board_is_of_the_highest_level_and_puts_the_best_in_energy_first(board):
    assert [line.method for line in board.lines] == [
        *("layer_cam", "grad_cam", "eigen_cam", "captum_saliency"),
        *("sobel", "random"),
    ]
    assert {line.method: line.energy.value for line in board.lines} == ENERGY
    assert [(scope, len(lines)) for scope, lines in board.groups] == [("layers", 5), ("input", 1)]


def test_sanity_is_that_of_all_random_weights_and_fails_above_a_half(board):
    assert {line.method: line.sanity.value for line in board.lines if line.sanity} == ALIKE
    assert [line.method for line in board.lines if line.fails] == ["layer_cam", "eigen_cam"]
    assert board.contrary
    assert "Layer cam and Eigen cam fail the sanity check" in board.finding


def test_the_small_table_of_sanity_says_the_same(studies, board):
    tables = dict(studies["one"].tables)
    tables["sanity_random"] = leaderboard.randomised(tables)
    tables.pop("sanity")
    fails = leaderboard.randomised(tables).set_index("method")["fails"]
    assert fails.to_dict() == {"layer_cam": True, "grad_cam": False, "eigen_cam": True}
    pd.testing.assert_frame_equal(leaderboard.randomised(tables), leaderboard.randomised(studies["one"].tables))


def test_none_of_the_best_fails_where_the_others_do(studies, monkeypatch):
    monkeypatch.setattr(leaderboard, "BEST", 1)
    tables = dict(studies["one"].tables)
    alike = tables["sanity"].copy()
    low = alike["method"] == "layer_cam"
    alike.loc[low, ["spearman", "spearman_low"]] = 0.0
    one = site.Study(*(getattr(studies["one"], name) for name in ("folder", "name", "slug", "kind")))
    one.__dict__["tables"] = tables | {"sanity": alike}
    (board,) = leaderboard.boards([one])
    assert not board.contrary
    assert board.finding.startswith("None of the 1 best")


def test_without_intervals_no_method_is_said_to_pass(studies):
    tables = dict(studies["one"].tables)
    one = site.Study(*(getattr(studies["one"], name) for name in ("folder", "name", "slug", "kind")))
    ends = {"spearman_low": float("nan"), "spearman_high": float("nan")}
    one.__dict__["tables"] = tables | {"sanity": tables["sanity"].assign(**ends)}
    (board,) = leaderboard.boards([one])
    assert board.finding.endswith("The tables hold no interval of their sanity check.")


def test_faithfulness_counts_what_intervals_tell_better_being_positive(board):
    of_layers = line(board, "layer_cam").faithful
    assert (of_layers.better, of_layers.worse, of_layers.compared) == (2, 2, 4)
    assert of_layers.mean == pytest.approx(0.05)
    few = line(board, "grad_cam").faithful
    assert few.text == "+0.300, of 4 images"
    assert (few.better, few.worse) == (0, 0)


def test_a_study_without_a_table_says_so(studies):
    (board,) = leaderboard.boards([studies["other"]])
    assert "Sanity: no table in this folder." in board.notes
    assert "no sanity check" in board.finding
    assert not board.contrary


def test_claims_stand_side_by_side_and_the_contrary_is_said(studies):
    matrix = across.matrix(list(studies.values()))
    assert [study.name for study in matrix.studies] == ["one", "other"]
    assert [(row.claim, [cell.state for cell in row.cells]) for row in matrix.rows] == [
        ("C1", ["supported", "opposite"]),
        ("C5", ["not measured", "not measured"]),
    ]
    assert matrix.findings == ["C1, “deep layers see objects”, is supported in one and opposite in other."]
    assert across.matrix([studies["one"]]).findings == []
    assert across.matrix([studies["timing"]]).rows == []


def test_known_evidence_is_of_networks_that_tell_it(studies):
    (cues,) = across.cues(list(studies.values()))
    assert cues.cues == ["context"]
    assert [(row.control, row.cells[0].value) for row in cues.rows] == [(False, 0.5), (False, 0.2), (True, 0.7)]
    assert "(0.50)" in cues.finding


def test_timings_are_counted(studies):
    assert "less time in 1 and more in 1" in across.timing(studies["timing"])
    assert "1 of 2 bars" in across.timing(studies["timing"])
    assert across.timing(studies["one"]) == ""


def test_every_link_of_the_site_leads_to_a_file(written):
    pages = sorted(written.rglob("index.html"))
    assert [page.relative_to(written).as_posix() for page in pages] == [
        *("evidence/report/index.html", "index.html", "one/report/index.html"),
        *("other/report/index.html", "timing/report/index.html"),
    ]
    for page in pages:
        for name in re.findall(r'(?:src|href)="((?!#|data:|https:)[^"#]+)', page.read_text()):
            assert (page.parent / name).is_file(), (page, name)
        if page.parent != written:
            text = (page.parent / "data" / "site.js").read_text()
            home = json.loads(re.fullmatch(r'segcam\.receive\("site", (.*)\);\n', text)[1])
            assert os.path.normpath(page.parent / home["address"]) == str(written / "index.html")
            assert all((page.parent / one["address"]).is_file() for one in home["studies"] if one["address"])
            assert home["docs"] == "https://docs.example"
    listed = json.loads((written / site.LIST).read_text())
    assert [(written / one["page"]).is_file() for one in listed["studies"]] == [True] * 4


def test_figures_and_tables_of_a_folder_have_their_captions(studies):
    made = {one.name: one for one in published.sections(studies["one"].folder, studies["one"].tables)}
    (figure,) = made["figure1"].items
    assert (figure.label, figure.caption.finding) == ("The maps", "Deep layers see more.")
    assert (figure.caption.reading, figure.caption.details) == ("One row a level.", "Made so.")
    assert made["claims"].items[0].caption == "It holds rows."
    assert {"claims", "methods_summary", "sanity", "faithfulness", "figure1"} == made.keys()


def test_a_figure_may_be_a_still_or_a_moving_webp(tmp_path):
    (tmp_path / "figures").mkdir()
    still, first, last = (Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue"))
    still.save(tmp_path / "figures" / "figure1-unet.webp", lossless=True)
    first.save(tmp_path / "figures" / "film-unet.webp", save_all=True, append_images=[last], lossless=True)
    found = published.pictures(tmp_path)
    assert {name: set(files) for name, files in found.items()} == {
        "figure1-unet": {"png"},
        "film-unet": {"png", "webp"},
    }
    shown = Image.open(io.BytesIO(found["film-unet"]["png"])).convert("RGB")
    assert shown.getpixel((5, 5)) == (0, 0, 255), "the last frame is printed"
    (tmp_path / "figures" / "levels.png").write_bytes(b"no picture")
    with pytest.raises(ResultsError, match=r"levels\.png cannot be read"):
        published.pictures(tmp_path)


def test_a_page_that_is_there_is_taken_as_it_is(studies, studies_folder, tmp_path):
    folder = shutil.copytree(studies_folder / "one", tmp_path / "one")
    for name, content in report.build(studies["one"].results, [], maps=False):
        (folder / "report" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "report" / name).write_bytes(content)
    (folder / "report" / "index.html").write_text("mine")
    (study,), _ = site.find([folder])
    files = dict(study.files([study]))
    assert files["one/report/index.html"] == b"mine"
    assert b'"studies"' in files["one/report/data/site.js"]
    assert len(files) == sum(path.is_file() for path in (folder / "report").rglob("*"))


def test_the_same_studies_give_the_same_site(studies):
    one = [studies["timing"]]
    assert list(site.build(one)) == list(site.build(one))
