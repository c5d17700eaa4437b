"""Names in words: labels in cells, heads that are no code, a meaning for every column, and links to maps."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
import pytest

from analyses import Results, printing
from analyses.report import glossary
from analyses.report.links import Kept
from analyses.report.words import Words

PUBLISHED = Path(__file__).parents[3] / "results"
TABLES = sorted(PUBLISHED.glob("*/tables/*.csv"))
SOURCES = sorted((PUBLISHED.parent / "analyses").rglob("*.py"))
SMALL = {"stages": 2, "levels": (30, 90), "seeds": (0, 1), "size": 24}


def words_of(folder):
    return Words.of(Results(folder)) if (folder / "manifest.json").exists() else Words()


@pytest.mark.parametrize("run", sorted({path.parents[1].name for path in TABLES}))
def test_every_column_of_what_is_published_has_a_meaning_and_a_name_in_words(run):
    words = words_of(PUBLISHED / run)
    for path in (PUBLISHED / run).glob("tables/*.csv"):
        names = list(pd.read_csv(path, nrows=0))
        bounds = {end for ends in printing.intervals(names).values() for end in ends}
        for name in (one for one in names if one not in bounds):
            assert words.meaning(name).endswith("."), f"{path.name}: {name}"
            assert "_" not in words.head(name), f"{path.name}: {name}"


def test_every_table_has_a_name_in_words_of_its_own():
    published = {path.stem for path in TABLES}
    made = set(re.findall(r'Table\(\s*"([a-z_]+)"', " ".join(path.read_text() for path in SOURCES)))
    assert len(made) > 20
    assert published | made <= glossary.TABLES.keys()
    assert len(set(glossary.TABLES.values())) == len(glossary.TABLES)
    assert not [name for name in glossary.TABLES.values() if "_" in name]


def test_cells_are_labels_and_unknown_names_stay(make):
    words = Words.of(make(targets=("best_pixel:logit",), **SMALL))
    frame = pd.DataFrame(
        {
            "model": ["unet", "other"],
            "level": [90, 90],
            "method": ["grad_cam", "my_own"],
            "other": ["energy_gain", "best_pixel:logit"],
            "measure": ["context_deletion", "deletion"],
            "note": ["a_b", "c"],
        }
    )
    assert words.cells(frame, "model") == ["U-Net", "other"]
    assert words.cells(frame, "level") == ["90 %", "90 %"]
    assert words.cells(frame, "method") == ["Grad-CAM", "my_own"]
    assert words.cells(frame, "other") == ["Energy gain", "best pixel, logit"]
    assert words.cells(frame, "measure") == ["context deletion", "deletion"]
    assert words.cells(frame, "note") is None


def test_names_in_sentences_are_told_as_the_page_calls_them(make):
    results = make(
        images=("scenes-0-test-000054", "cat_1"), targets=("best_pixel:logit",), classes=("back", "my_cat"), **SMALL
    )
    words = Words.of(results)
    said = (
        "n_above of scenes-0-test-000054 and cat_1 by grad_cam's energy_gain - random on my_cat, conv1_2 (run_all())."
    )
    assert words.text(said) == (
        "n_above of scene 54 and cat_1 by Grad-CAM's Energy gain - random on my_cat, conv1_2 (run_all())."
    )
    assert words.caption("q05: low. Here iou and q05: not.") == "“5 %”: low. Here iou and q05: not."
    told = "n_above, the table map_threshold_curves, area_matched, figures/a_b.png, small_maps.images, half-distance."
    assert words.caption(told) == (
        "“images above chance”, the table “Overlap over thresholds”, area matched, "
        "figures/a_b.png, small_maps.images, half-distance."
    )


def test_cells_that_name_measures_and_images_are_in_words(make):
    words = Words.of(make(images=("scenes-0-test-000054", "cat_1"), methods=("grad_cam", "mask_oracle"), **SMALL))
    frame = pd.DataFrame(
        {
            "image": ["scenes-0-test-000054", "cat_1"],
            "measures": ["energy_gain / mask_oracle", "edge_alignment; a_b"],
            "placement": ["receptive_field", "stretched"],
            "reason": ["not measured (maps of grad_cam)", float("nan")],
            "value": [1.0, 2.0],
        }
    )
    assert words.cells(frame, "image") == ["scene 54", "cat_1"]
    assert words.cells(frame, "measures") == ["Energy gain / Mask oracle", "Edge alignment; a b"]
    assert words.cells(frame, "placement") == ["receptive field", "stretched"]
    assert words.cells(frame, "reason") == ["not measured (maps of Grad-CAM)", ""]
    assert words.cells(frame, "value") is None


def test_rows_lead_to_maps_that_are_kept_and_no_others(make):
    results = make(methods=("grad_cam", "random"), unreached=frozenset({(0, 90)}), **SMALL)
    kept = Kept.of(results)
    row = {"model": "unet", "level": 90, "target": "best_pixel:logit", "method": "random", "layer": "Encoder 1_1"}
    rows = [row, row | {"layer": "all"}, row | {"method": "cam"}, row | {"level": 30, "metric": "energy_gain"}]
    found = kept.addresses(pd.DataFrame(rows))
    states = [{k: v[0] for k, v in parse_qs(address.partition("?")[2]).items()} for address in found]
    first = {"model": "unet", "seed": "1", "level": "90", "target": "best_pixel:logit", "method": "random"}
    assert states[0] == first | {"point": "all", "layer": "Encoder 1_1"}
    assert states[1] == first
    assert states[2] == {}
    assert (states[3]["seed"], states[3]["metric"]) == ("0", "energy_gain")
    assert kept.addresses(pd.DataFrame([row | {"method": "cam"}])) is None
    assert kept.addresses(pd.DataFrame([{"claim": "C1"}])) is None
    assert Kept.of(make(gallery=0, **SMALL)).addresses(pd.DataFrame(rows)) is None
