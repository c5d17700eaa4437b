"""docs/formats.md names every table of a run and its columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from segcam.metrics import METRICS

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
KEYS = set(re.findall(r"`(\w+)`", PAGE.partition("## Keys of a row")[2].partition("\n## ")[0]))
OF_CLASSES = re.compile(r"iou_.+|n_\d+_\d+")


def test_tables_and_their_columns(finished: Path) -> None:
    files = sorted((finished / "scores").rglob("*.parquet"))
    assert {file.parent.name for file in files} > {"scores", "predictions", "placements", "training"}
    for file in files:
        heading = "## `scores/*.parquet`" if file.parent.name == "scores" else f"| `{file.parent.name}/` |"
        text = PAGE.partition(heading)[2].partition("\n## " if file.parent.name == "scores" else "\n")[0]
        told = KEYS | set(re.findall(r"`(\w+)`", text))
        columns = {name for name in pq.read_schema(file).names if not OF_CLASSES.fullmatch(name)}
        assert columns - set(METRICS.names()) <= told, file


def test_kept_maps(finished: Path) -> None:
    file = next((finished / "scores" / "gallery").glob("*.npz"))
    with np.load(file) as arrays:
        assert set(arrays) > {"ids", "images", "masks", "predicted"}
        for name, values in arrays.items():
            kind = "pixels:TARGET" if name.startswith("pixels:") else r"TARGET\|METHOD\|LAYER" if "|" in name else name
            assert f"`{kind}`" in PAGE, name
            if "|" in name:
                assert len(values) == len(arrays["masks"])
                assert values.dtype == np.float32
