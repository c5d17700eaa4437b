"""What tests of several analyses do: take runs apart, change them, and look at figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.text import Text

from analyses import Figure, Results, Table
from analyses.plots import style


def split(items: Iterable[Figure | Table]) -> tuple[Table, list[Figure]]:
    """Return the one table and the figures of an analysis."""
    items = list(items)
    (table,) = [item for item in items if isinstance(item, Table)]
    return table, [item for item in items if isinstance(item, Figure)]


def row(frame: pd.DataFrame, **where: Any) -> pd.Series:
    """Return the one row with these values."""
    rows = frame[(frame[list(where)] == pd.Series(where)).all(axis=1)]
    assert len(rows) == 1
    return rows.squeeze()


def rewrite(results: Results, change: Callable[[pd.DataFrame], pd.DataFrame], table: str = "") -> Results:
    """Change every file of the scores, or of another table, by a function of its frame; names are text there."""
    for path in (results.folder / "scores" / table).glob("*.parquet"):
        frame = pd.read_parquet(path)
        names = frame.select_dtypes("category").columns
        change(frame.astype(dict.fromkeys(names, str))).to_parquet(path, index=False)
    return Results(results.folder)


def edit_manifest(results: Results, change: Callable[[dict[str, Any]], Any]) -> Results:
    """Change the manifest in place, by a function of its values."""
    path = results.folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return Results(results.folder)


def texts(item: Figure) -> list[str]:
    """Return all that is written in a figure."""
    return [text.get_text() for text in item.figure.findobj(Text)]


def key_of(item: Figure) -> list[str]:
    """Return the entries of a figure's key."""
    return [text.get_text() for text in item.figure.legends[0].get_texts()]


def assert_on_page(item: Figure, slack: float = 1e-9) -> None:
    """Fail where something is drawn beyond the page's edge, or text is smaller than 6 points."""
    with style.context():  # in which it is saved
        item.figure.draw_without_rendering()
        box, (width, height) = item.figure.get_tightbbox(), item.figure.get_size_inches()
    assert min(box.x0, box.y0) >= -slack, item.name
    assert box.x1 <= width + slack, item.name
    assert box.y1 <= height + slack, item.name
    assert min(text.get_fontsize() for text in item.figure.findobj(Text) if text.get_text()) >= 6, item.name


def assert_labels_apart(item: Figure) -> None:
    """Fail where labels of an axis overlap; call `assert_on_page` first."""
    for axes in item.figure.axes:
        for labels, (start, end) in ((axes.get_xticklabels(), ("x0", "x1")), (axes.get_yticklabels(), ("y0", "y1"))):
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            spans = sorted((getattr(box, start), getattr(box, end)) for box in boxes)
            assert all(one[1] <= two[0] + 0.5 for one, two in pairwise(spans)), item.name


def assert_boxes_apart(item: Figure) -> None:
    """Fail where the texts of a page of maps, its key and its colour bar overlap."""
    boxes = [(text.get_window_extent(), text.get_text()) for text in item.figure.axes[0].texts if text.get_text()]
    boxes += [(legend.get_window_extent(), "key") for legend in item.figure.legends]
    boxes.append((item.figure.axes[1].get_tightbbox(), "colour bar"))
    for i, (one, name) in enumerate(boxes):
        for other, other_name in boxes[:i]:
            wide, high = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(wide, high) <= 0, (name, other_name)
