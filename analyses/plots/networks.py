"""Small multiples: a column a network, at most four beside each other, and the words for what they have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.plots import lines, style
from analyses.reading.manifest import BEST
from analyses.reading.results import Results

MOST = 4
"""Networks beside each other."""
LETTER = 5.0  # points: of a title's letters, on average
FEW = 10
"""Images: of fewer, a figure says how many."""


def pages(models: Sequence[str], most: int = MOST) -> Iterator[tuple[str, list[str]]]:
    """Yield the networks of each figure, with the ending of its name: as few figures as hold all of them.

    >>> list(pages(["a", "b", "c"], 2))
    [('', ['a', 'b']), ('-2', ['c'])]
    """
    for number, start in enumerate(range(0, len(models), most), 1):
        yield "" if number == 1 else f"-{number}", list(models[start : start + most])


def width(count: int) -> float:
    """Return the width in inches of a figure of this many columns of panels."""
    return style.COLUMN if count == 1 else style.WIDTH


def title(results: Results, model: str, count: int, level: int | None = None, images: int = FEW) -> str:
    """Return a network's name above one of `count` panels side by side, with its level where one stands for it.

    Of few images it says how many.
    """
    room = int(72 * (width(count) - 0.7) / count / LETTER)
    name = printing.plain(f"{name_of(results, model)}{few(images)}", room)
    return name if level is None else f"{name}\n{printing.plain(results.level(model, level), room)}"


def few(images: int) -> str:
    """Return how many images a figure is of, behind a comma, where they are few; '' else.

    >>> few(1), few(4), few(60)
    (', 1 image', ', 4 images', '')
    """
    return f", {printing.images([images])}" if 0 < images < FEW else ""


def looks(results: Results, models: Sequence[str]) -> dict[int, style.Line]:
    """Return a line style for each level of any of the networks."""
    return style.level_lines([level for model in models for level in results.levels(model)])


def level_key(results: Results, models: Sequence[str], looks: Mapping[int, style.Line]) -> list[Artist]:
    """Return the key's entry of each level, with the networks that did not reach it."""
    key: list[Artist] = []
    for level, look in looks.items():
        having = [model for model in models if level in results.levels(model)]
        alone = len(having) == 1
        words = [results.level_phrase(model, level, measured=alone or level != BEST) for model in having]
        missed = [model for model in having if not results.reached(model, level)]
        text = " or ".join(dict.fromkeys(words))
        if missed:
            of = "" if len(models) == 1 else f" in {printing.listed([results.label('models', m) for m in missed])}"
            text += f": not reached{of}"
        key.append(lines.line_key(look, printing.plain(text)))
    return key


def name_of(results: Results, model: str) -> str:
    """Return a network's name in a title: its label without what stands behind a comma or in brackets.

    It is the whole label where two networks of the run would have one name, and of a variant (`timm_unet:ENCODER`).
    """
    labels = {name: results.label("models", name) for name in results.models}
    names = {name: label if ":" in name else re.split(r", | \(", label)[0] for name, label in labels.items()}
    return names[model] if list(names.values()).count(names[model]) == 1 else results.label("models", model)


def where(results: Results, model: str) -> str:
    """Return in which network, as the end of a sentence; '' for a run's only one, which its panel names."""
    return f" in {name_of(results, model)}" if len(results.models) > 1 else ""


def label_of(results: Results, model: str, layer: str) -> str:
    """Return a layer's label; its name where the manifest lacks it."""
    return next((one.label for one in results.layers(model) if one.name == layer), layer)


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of which half of the maps or more have a value: those that a title may speak of.

    Args:
        frame: with `estimate`, `n_images`, `n_seeds` and `n_undefined`.
    """
    few = frame["n_undefined"] > 0.5 * frame["n_images"] * frame["n_seeds"]
    return frame[frame["estimate"].notna() & ~few]


def peaks(results: Results, frame: pd.DataFrame) -> str:
    """Return at which layer each network scores highest, in words; '' where none has a value.

    Args:
        results: the run.
        frame: rows of one method and metric, each model's of one level, with `model`, `layer` and as in `measured`.
    """
    defined = measured(frame)
    words = []
    for model in results.models:
        of_model = defined[defined["model"] == model]
        if len(of_model):
            top = of_model.sort_values("estimate", ascending=False, kind="stable")
            value = printing.short(float(top["estimate"].iloc[0]))
            words.append(f"{first(results, model, top)}{where(results, model)} ({value})")
    return printing.listed(words) if words else ""


def first(results: Results, model: str, ordered: pd.DataFrame) -> str:
    """Return the label of the first layer of rows, and how many others have the same `estimate` in print."""
    printed = [printing.short(float(value)) for value in ordered["estimate"]]
    same = printed.count(printed[0]) - 1
    others = f" and {same} other{'s' * (same > 1)}" if same else ""
    return f"{label_of(results, model, str(ordered['layer'].iloc[0]))}{others}"
