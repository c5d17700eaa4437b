"""The page of what was explained: one file, opened from disk."""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import io
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from segcam.probe.layers import INPUT

if TYPE_CHECKING:
    from segcam.explaining.explained import Explained

DPI = 110
QUALITY = 85
ERRORS = 480
"""Pixels of the longer side of a picture of errors."""
HITS = "Green: predicted, and in the mask. Blue: missed. Orange: predicted, and not in the mask."
SCRIPT = """
for (const head of document.querySelectorAll("th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const down = head.dataset.down = head.dataset.down ? "" : "1";
  const value = row => row.cells[column].textContent, number = text => text === "" ? -Infinity : Number(text);
  const rows = [...body.rows].sort((a, b) => isNaN(number(value(a))) || isNaN(number(value(b)))
    ? value(a).localeCompare(value(b), "en", {numeric: true}) : number(value(b)) - number(value(a)));
  body.append(...(down ? rows : rows.reverse()));
});
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
"""
"""Sorts a table by the column whose head is clicked, and prints all that can be unfolded."""
STYLE = """
:root { color-scheme: light dark; --ink: #1d2226; --muted: #5a6570; --paper: #fcfcfa; --line: #d5dadd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --muted: #9aa5ae; --paper: #15181b; --line: #343a40; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.hint, figcaption { color: var(--muted); font-size: 0.92rem; }
figure { margin: 0.8rem 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { cursor: pointer; }
summary { cursor: pointer; color: var(--muted); }
@media print { .scroll { overflow: visible; } section { break-inside: avoid; } }
"""


def html(explained: Explained, method: str) -> str:
    """Return the page: a strip of layers for each image and class, and the mean scores of the layers.

    Args:
        explained: what was explained.
        method: whose maps are shown.
    """
    say = escaping.escape
    region = "masks" if explained.masked else "what the network predicts, as there are no masks"
    parts = [
        f"<h1>{say(explained.network.name)}</h1>",
    ]
    counts = f"{len(explained.images)} images; {len(explained.layers)} layers; scores are against {region}."
    parts.append(f'<p class="hint">{counts} Maps shown: {say(method)}.</p>')
    for number, name in enumerate(explained.images):
        for class_name in explained.seen_in(number):
            parts.append(f"<section><h2>{say(name)}: {say(class_name)}</h2>")
            parts.append(f"<figure>{picture(explained, number, method, class_name)}</figure>")
            parts += _errors(explained, number, class_name)
            parts += [
                _others(explained, number, other, class_name) for other in _pictured(explained) if other != method
            ]
            parts.append("</section>")
    parts.append('<h2>Scores, means over the images</h2><p class="hint">A click on a head sorts.</p>')
    parts += [_table(explained, class_name) for class_name in explained.classes]
    parts += [_levels(explained, class_name, method) for class_name in explained.classes if explained.levels]
    body = "\n".join(parts)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()  # no other script may run
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{say(explained.network.name)} · segcam</title><style>{STYLE}</style></head><body>\n{body}\n"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def picture(explained: Explained, number: int, method: str, class_name: str) -> str:
    """Return an image's strip of layers, the picture in the text."""
    buffer = io.BytesIO()
    explained.show(number, method, class_name=class_name).savefig(buffer, format="png", dpi=DPI)
    return _image(Image.open(buffer).convert("RGB"), f"{method} of {explained.images[number]} for {class_name}")


def _image(pixels: Image.Image, what: str) -> str:
    """Return a picture as a tag: WebP is a quarter of PNG where photographs are in it."""
    buffer = io.BytesIO()
    pixels.save(buffer, format="webp", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{data}" alt="{escaping.escape(what, quote=True)}" loading="lazy">'


def _pictured(explained: Explained) -> list[str]:
    """Return the methods whose maps are shown: controls look at no network, and are in the table alone."""
    return [method.name for method in explained.methods if method.kind != "control"]


def _others(explained: Explained, number: int, method: str, class_name: str) -> str:
    strip = picture(explained, number, method, class_name)
    return f"<details><summary>{escaping.escape(method)}</summary><figure>{strip}</figure></details>"


def _errors(explained: Explained, number: int, class_name: str) -> list[str]:
    """Return the picture of hits, misses and false alarms; none where there are no masks."""
    pixels = explained.errors(number, class_name)
    if pixels is None:
        return []
    small = Image.fromarray(pixels)
    small.thumbnail((ERRORS, ERRORS))
    drawn = _image(small, f"Errors in {explained.images[number]} for {class_name}")
    figure = f"<figure>{drawn}<figcaption>{HITS}</figcaption></figure>"
    return [f"<details open><summary>prediction against mask</summary>{figure}</details>"]


def _table(explained: Explained, class_name: str) -> str:
    rows = explained.scores[explained.scores["class"] == class_name]
    if explained.levels:
        rows = rows[rows["level"] == list(explained.levels)[-1]]
    return f"<h3>{escaping.escape(class_name)}</h3>{_means(explained, rows, 'layer', 'method')}"


def _levels(explained: Explained, class_name: str, method: str) -> str:
    """Return the scores of a method by layer and level."""
    rows = explained.scores[(explained.scores["class"] == class_name) & (explained.scores["method"] == method)]
    head = f"<h3>{escaping.escape(f'{class_name}: {method}, level by level')}</h3>"
    return head + _means(explained, rows, "layer", "level")


def _means(explained: Explained, rows: pd.DataFrame, *by: str) -> str:
    numbers = rows.select_dtypes("number").columns.difference(["target_pixels", "target_score", "area"], sort=False)
    order = {layer: n for n, layer in enumerate((INPUT.label, *explained.layers))}
    means = rows.groupby(list(by), sort=False)[list(numbers)].mean().reset_index()
    means = means.sort_values("layer", key=lambda names: names.map(order), kind="stable")
    formatted = means.apply(lambda column: column.map(_number) if pd.api.types.is_numeric_dtype(column) else column)
    return f"<div class='scroll'>{formatted.to_html(index=False, border=0, escape=True)}</div>"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"  # noqa: PLR0124  (NaN alone differs from itself)
