"""Names that tables hold, in the words of the figures: labels of methods, metrics, targets, networks and layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from analyses.reading.catalogue import FAMILIES
from analyses.reading.results import Results
from analyses.report.glossary import HEADS, MEANINGS

_KINDS = {
    "model": ("models",),
    "method": ("methods",),
    "control": ("methods",),
    "against": ("methods",),
    "target": ("targets",),
    "metric": ("metrics",),
    "other": ("metrics", "targets", "models"),
    "family": ("families",),
}
"""What kind of name each column holds; of several, the first that knows it."""
_PLAIN = (
    "kind",
    "measure",
    "imputation",
    "outcome",
    "order",
    "against",
    "scope",
    "effect_kind",
    "metric",
    "cue",
    "fact",
)
"""Columns of names that no run describes: underscores become blanks."""


ELSEWHERE, _ELSEWHERE = "elsewhere", "the same where another cue decides"


@dataclass(frozen=True)
class Words:
    """What names stand for in one run.

    Attributes:
        labels: by kind ('models', 'methods', 'metrics', 'targets', 'families') and name.
        layers: the label of a layer, by model and name.
        levels: what a level is called, by model and number.
        metrics: what each metric measures, by name.
        classes: the names of the classes.
    """

    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    layers: Mapping[tuple[str, str], str] = field(default_factory=dict)
    levels: Mapping[tuple[str, int], str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Results) -> Words:
        """Return the words of a run, from its manifest."""
        manifest = results.manifest
        metrics = {**manifest.attention.metrics, **manifest.metrics}
        labels: dict[str, Mapping[str, str]] = {
            "models": {name: one.label for name, one in manifest.models.items()},
            "methods": {name: one.label for name, one in manifest.methods.items()},
            "targets": {name: one.label for name, one in manifest.targets.items()},
            "metrics": {name: one.label for name, one in metrics.items()},
            "families": FAMILIES,
        }
        return cls(
            labels,
            {(model, one.name): one.label for model, layers in manifest.layers.items() for one in layers},
            {(one.model, one.level): one.label for one in results.checkpoints},
            {name: one.summary for name, one in metrics.items()},
            results.classes,
        )

    def label(self, kind: str, name: str) -> str:
        """Return what a name of a kind is called; the name itself where the run does not know it."""
        return self.labels.get(kind, {}).get(name, name)

    def cells(self, frame: pd.DataFrame, column: str) -> list[str] | None:
        """Return the cells of a column in words; None where they are what the column holds."""
        values = [str(value) for value in frame[column]]
        if column == "layer" and "model" in frame:
            models = frame["model"].astype(str)
            shown = [self.layers.get(key, key[1]) for key in zip(models, values, strict=True)]
        elif column == "level" and "model" in frame:
            keys = zip(frame["model"].astype(str), frame["level"], strict=True)
            shown = [self.levels.get((model, int(level)), f"{level} %") for model, level in keys]
        elif column in _KINDS or column in _PLAIN:
            shown = [self._word(column, value) for value in values]
        else:
            return None
        return None if shown == values else shown

    def _word(self, column: str, value: str) -> str:
        for kind in _KINDS.get(column, ()):
            if value in self.labels.get(kind, {}):
                return self.labels[kind][value]
        return value.replace("_", " ") if column in _PLAIN else value

    def head(self, column: str) -> str:
        """Return the name of a column in words.

        >>> words = Words({"metrics": {"energy_gain": "Energy gain"}, "methods": {"sobel": "Sobel"}})
        >>> words.head("energy_gain"), words.head("energy_gain_n"), words.head("minus_sobel"), words.head("n_images")
        ('Energy gain', 'Energy gain: images', 'less Sobel', 'images')
        """
        return self._made[column][0] if column in self._made else HEADS.get(column, column.replace("_", " "))

    def meaning(self, column: str) -> str:
        """Return what a column holds, in a sentence; '' where nobody said."""
        return self._made[column][1] if column in self._made else MEANINGS.get(column, "")

    @cached_property
    def _made(self) -> dict[str, tuple[str, str]]:
        """The columns whose names hold a metric, a control or a class: what each is called, and what it holds."""
        columns = {}
        for name, label in self.labels.get("metrics", {}).items():
            summary = self.metrics.get(name) or label
            columns[name] = label, f"{summary[:1].upper()}{summary[1:]}: the mean over images, with its 95 % interval."
            columns[f"{name}_n"] = f"{label}: images", f"Images with a value of {label}."
        for name, label in {**self.labels.get("methods", {}), ELSEWHERE: _ELSEWHERE}.items():
            less = f"less {label}"
            columns[f"minus_{name}"] = less, f"Mean difference, paired by image: the method {less}; 95 % interval."
            columns[f"minus_{name}_n"] = f"{less}: images", f"Images with a value of the method and of {label}."
            for key, place in (("tested", "compared with"), ("above", "above"), ("below", "below")):
                by = "" if key == "tested" else ", the interval of the difference being on one side of zero"
                columns[f"layers_{key}_{name}"] = f"layers {place} {label}", f"Number of layers {place} {label}{by}."
        for name in self.classes:
            for split, where in (("val", "validation"), ("test", "test")):
                said = f"IoU of {name}, {where}", f"IoU of the class {name} on the {where} images."
                columns[f"{split}_iou_{name}"] = said
        return columns
