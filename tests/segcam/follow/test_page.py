"""The page: one file without anything beside it, with every step's numbers, and no more pictures than it can hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcam.follow import Follow, folder
from segcam.follow.sheet import SIDE, cell_of
from tests.segcam.follow.test_follow import plain
from tests.segcam.follow.trainings import IMAGES, MASKS

NAMES = ["</script><b>one", "{{steps}} & two"]


def follower(out: Path, **options: Any) -> Follow:
    return Follow(plain(), IMAGES[:2], masks=MASKS[:2], names=NAMES, out=out, strict=True, **options)


def parts(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    text = (out / "index.html").read_text(encoding="utf-8")
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', text, re.DOTALL)
    facts, steps = map(json.loads, found)
    return facts, steps, text


def test_the_page_holds_all_numbers_and_needs_no_other_file(tmp_path: Path) -> None:
    follow = follower(tmp_path)
    for step in (0, 5, 2):
        follow(step)
    facts, steps, text = parts(tmp_path)
    assert facts["images"] == NAMES
    assert [step["step"] for step in steps] == [0, 2, 5]
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)|\bfetch\(|\bimport\b", text)
    assert "{{" not in text.replace(NAMES[1], "")
    layers, methods = [layer["label"] for layer in facts["layers"]], facts["methods"]
    for row in follow.rows:  # of step 2
        at = (layers.index(row["layer"]) * len(methods) + methods.index(row["method"])) * 2 + NAMES.index(row["image"])
        for metric in facts["metrics"]:
            value = steps[1]["values"][metric["name"]][at]
            if value is None:
                assert np.isnan(row[metric["name"]])
            else:
                assert value == pytest.approx(row[metric["name"]], rel=1e-3)
    assert all(step["picture"].startswith("data:image/png;base64,") for step in steps)


def test_pictures_of_some_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_PICTURES", 3)
    follow = follower(tmp_path)
    for step in range(7):
        follow(step)
    assert [step["step"] for step in parts(tmp_path)[1] if "picture" in step] == [0, 3, 6]
    assert len(list((tmp_path / "overlays").iterdir())) == 7


def test_the_picture_has_a_row_an_image_and_a_column_a_layer(tmp_path: Path) -> None:
    follow = follower(tmp_path, layers=["0", "2"], pictures=1)
    follow(0)
    rows, columns = cell_of((16, 24))
    assert (rows, columns) == (round(SIDE * 2 / 3), SIDE)
    with Image.open(tmp_path / "overlays" / "000000.png") as picture:
        assert picture.size == (3 * columns, rows)
    assert parts(tmp_path)[0]["pictures"] == 1
