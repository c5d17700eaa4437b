"""Names that tables hold, in the words of the figures: labels of methods, metrics, targets, networks and layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from analyses import printing
from analyses.reading.catalogue import FAMILIES
from analyses.reading.results import Results
from analyses.report.glossary import HEADS, MEANINGS, TABLES

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
_COMPOSED = ("measure", "measures")
"""Columns of what is reckoned from metrics and methods, as 'energy_gain / mask_oracle'."""
_RECKONED = re.compile(r"\w+")
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
    "placement",
    "measures",
)
"""Columns of names that no run describes: underscores become blanks."""
_CODE = re.compile(r"(?<![\w./-])[A-Za-z]\w*(?:-\w+)*(?![\w/(-]|\.\w)")
"""What may be a name in a sentence; parts of paths, modules and settings, and functions are none."""
_BARE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_BEFORE = ("", ". ", "; ")
"""What stands before a column that a caption tells of, with a colon behind."""


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
        image: what an image is called, by its name.
    """

    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    layers: Mapping[tuple[str, str], str] = field(default_factory=dict)
    levels: Mapping[tuple[str, int], str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    image: Callable[[str], str] = str

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
            results.image_label,
        )

    def label(self, kind: str, name: str) -> str:
        """Return what a name of a kind is called; the name itself where the run does not know it."""
        return self.labels.get(kind, {}).get(name, name)

    def cells(self, frame: pd.DataFrame, column: str) -> list[str] | None:
        """Return the cells of a column in words; None where they are what the column holds."""
        values = ["" if pd.isna(value) else str(value) for value in frame[column]]
        if column == "layer" and "model" in frame:
            models = frame["model"].astype(str)
            shown = [self.layers.get(key, key[1]) for key in zip(models, values, strict=True)]
        elif column == "level" and "model" in frame:
            keys = zip(frame["model"].astype(str), frame["level"], strict=True)
            shown = [self.levels.get((model, int(level)), f"{level} %") for model, level in keys]
        elif printing.numeric(frame[column]):
            return None
        else:
            words = {value: self._word(column, value) for value in dict.fromkeys(values)}
            shown = [words[value] for value in values]
        return None if shown == values else shown

    def _word(self, column: str, value: str) -> str:
        if column == "image":
            return self.image(value)
        for kind in _KINDS.get(column, ()):
            if value in self.labels.get(kind, {}):
                return self.labels[kind][value]
        if column in _COMPOSED:
            value = _RECKONED.sub(lambda found: self._label(found[0]) or found[0], value)
        if column in _PLAIN:
            return value.replace("_", " ")
        return value if column in _KINDS else self.text(value)

    def text(self, words: str) -> str:
        """Return a sentence with what the run calls its networks, methods, metrics, targets and images."""
        return _CODE.sub(lambda found: self._named(found[0]) or found[0], words)

    def caption(self, words: str) -> str:
        """Return a caption in words: as `text` does, and columns and tables as the page heads them.

        >>> words = Words({"methods": {"score_cam": "Score-CAM"}})
        >>> words.caption("n_above: images that score_cam puts above area_matched (run.toml: small_maps.images).")
        '“images above chance”: images that Score-CAM puts above area matched (run.toml: small_maps.images).'
        """
        return _CODE.sub(lambda found: self._named(found[0]) or self._headed(found), words)

    def _named(self, name: str) -> str:
        """Return what a name in a sentence is called, itself for a layer or a class; '' for what is no such name."""
        if "_" not in name and "-" not in name:
            return ""  # 'random' may be the word
        if label := self._label(name):
            return label
        if name in self._kept:
            return name
        label = self.image(name) if name[-1:].isdigit() and name not in self._heads else name
        return "" if label == name else label

    def _label(self, name: str) -> str:
        return next((of_kind[name] for of_kind in self.labels.values() if name in of_kind), "")

    def _headed(self, found: re.Match[str]) -> str:
        """Return how the page heads a column or table of this name, in quotes; of others without underscores."""
        name, code = found[0], _BARE.fullmatch(found[0])
        told = code or (found.string[found.end() :][:1] == ":" and found.string[: found.start()][-2:] in _BEFORE)
        head = self.head(name) if name in self._heads else TABLES.get(name) if code else None
        if told and head not in (None, name):
            return f"\N{LEFT DOUBLE QUOTATION MARK}{head}\N{RIGHT DOUBLE QUOTATION MARK}"
        return name.replace("_", " ") if code else name

    @cached_property
    def _heads(self) -> set[str]:
        """The names of the columns that are known."""
        return {*self._made, *HEADS, *MEANINGS}

    @cached_property
    def _kept(self) -> set[str]:
        """The names that stand for themselves: those of layers and classes."""
        return {*self.classes, *self.layers.values(), *(name for _, name in self.layers)}

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
            columns[name] = label, f"{printing.capital(summary)}: the mean over images, with its 95 % interval."
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
