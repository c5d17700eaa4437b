"""Reads `classes.toml`: whatever is wrong with it goes into one error."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeGuard, get_args

import numpy as np

from segcam.channels import RGB, Channels
from segcam.datasets.described.inputs import read_inputs
from segcam.datasets.described.known import LABELS, LAYOUTS, Colour, Place
from segcam.datasets.described.meanings import Meanings
from segcam.errors import DataError, first_of, shown
from segcam.files import one_line, read_toml
from segcam.samples import IGNORE, SPLITS, Split

EXAMPLE = """an example of classes.toml:
  classes = ["background", "cat", "dog"]   # the values 0, 1, 2 of the masks
  ignore = 255                             # optional: the value of pixels that belong to no class
  [splits]                                 # optional: names of photographs, without their endings
  val = ["img_007"]
  test = ["img_008", "img_009"]
values, colours, patterns of names, known data sets: docs/data.md"""

Exif = Literal["refuse", "apply"]

_KNOWN = {
    *("classes", "values", "colours", "ignore", "reduce_zero_label"),
    *("layout", "folders", "stems", "splits", "exif", "inputs", "slices"),
}
_ELSEWHERE = {"resize": "it is chosen where the images' size is: data.resize of a profile, DatasetOptions.resize"}
_LONGEST = 100  # characters of a class's name: it stands in captions and columns


@dataclass(frozen=True, slots=True)
class Description:
    """What `classes.toml` says.

    Attributes:
        classes: their names by index.
        values: the class of each value of a mask of one channel, `IGNORE` for what belongs to none.
        colours: the class of each colour of a coloured mask, alike; where there are any, palettes count as colours.
        by_value: whether masks of one channel hold `values`; else they hold greys that are colours.
        stated: whether the file says what each value is, so that nothing is to be asked.
        asked: whether 255 is ignored because nothing else was said.
        known: whether values or colours are those of a known data set, whose first class is one like the others.
        layout: the known layout; '' for one's own.
        place: where the files are, of one's own layout.
        splits: names of photographs of each split, or one text: a file that lists them, or a folder of them.
        exif: what is done with files that a tag turns: 'refuse' or 'apply'.
        channels: what photographs hold.
        ranged: whether their range was named, so that it may be of fractions.
        slices: the axis across which volumes are taken slice by slice; None where they are refused.
    """

    classes: tuple[str, ...]
    values: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[Colour, int] = field(default_factory=dict)
    by_value: bool = True
    stated: bool = False
    asked: bool = True
    known: bool = False
    layout: str = ""
    place: Place = field(default_factory=Place)
    splits: Mapping[Split, list[str] | str] = field(default_factory=dict)
    exif: Exif = "refuse"
    channels: Channels = RGB
    ranged: bool = False
    slices: int | None = None

    @property
    def key(self) -> dict[str, Any]:
        """What of it defines how photographs and masks are decoded, JSON-ready."""
        return {
            "classes": len(self.classes),
            "values": sorted(self.values.items()),
            "colours": sorted(self.colours.items()),
            "by_value": self.by_value,
            "exif": self.exif,
            "channels": [len(self.channels), self.channels.low, self.channels.high, str(self.dtype)],
        }

    @property
    def dtype(self) -> np.dtype[Any]:
        """What photographs are kept as: uint8 or uint16 by their bits, float32 where their range was named."""
        if self.channels == RGB:
            return np.dtype(np.uint8)
        if self.ranged:
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if self.channels.high <= 255 else np.uint16)


def describe(file: Path, classes: Sequence[str] = ()) -> Description:
    """Read `classes.toml`.

    Args:
        file: its path.
        classes: their names where the file names none, neither itself nor by a known data set.

    Raises:
        DataError: it is missing or cannot be used; lists all that is wrong.
    """
    if not os.path.lexists(file):
        raise DataError(f"{file} is missing: it names the classes; {EXAMPLE}")
    try:
        table = read_toml(file, "description", DataError)
    except DataError as error:
        raise DataError(f"{error}; {EXAMPLE}") from error
    whole = True
    if classes and "layout" not in table and not any(isinstance(table.get(key), str) for key in ("values", "colours")):
        whole = "classes" in table
        table.setdefault("classes", list(classes))
    reader = _Reader(table, whole=whole)
    described = reader.read()
    if reader.problems or described is None:
        raise DataError(f"{first_of(reader.problems, f'{file} cannot be used')}\n{EXAMPLE}")
    return described


def labels_of(described: Description, name: str) -> Description:
    """Return a description whose masks hold the values and colours of a known data set, `LABELS[name]`."""
    labels = LABELS[name]
    index = {c: i for i, c in enumerate(described.classes)}
    values = {v: index.get(c, IGNORE) for c, listed in labels.values.items() for v in listed}
    colours = {v: index.get(c, IGNORE) for c, listed in labels.colours.items() for v in listed}
    return replace(
        described,
        values={**dict.fromkeys(labels.ignored, IGNORE), **values},
        colours={**dict.fromkeys(labels.ignored_colours, IGNORE), **colours},
    )


def among(described: Description, classes: Sequence[str]) -> Description:
    """Return a description with its classes as they are numbered among others, which hold all of them by name."""
    index = {i: classes.index(name) for i, name in enumerate(described.classes)} | {IGNORE: IGNORE}
    values = {value: index[i] for value, i in described.values.items()}
    colours = {colour: index[i] for colour, i in described.colours.items()}
    return replace(described, classes=tuple(classes), values=values, colours=colours)


def alike(name: str) -> str:
    """Return what names have in common that look the same, or are the same file on some disks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class _Reader:
    """Reads the keys one by one and collects what is wrong with them."""

    def __init__(self, table: dict[str, Any], *, whole: bool) -> None:
        self.table = table
        self.whole = whole
        self.problems: list[str] = []
        self.classes: list[str] = []

    def read(self) -> Description | None:
        for key in sorted(self.table.keys() - _KNOWN):
            known = _ELSEWHERE.get(key, f"known are {', '.join(sorted(_KNOWN))}")
            self.problems.append(f"unknown key {shown(key)}: {known}")
        layout = self._one_of("layout", "", tuple(LAYOUTS))
        exif = self._one_of("exif", "refuse", get_args(Exif))
        known = self._known_labels(layout)
        self._read_classes(known)
        splits, channels, place = self._splits(), read_inputs(self.table, self.problems), self._place()
        slices = self.table.get("slices")
        if slices is not None and not (type(slices) is int and 0 <= slices <= 2):
            self.problems.append(f"slices = {shown(slices)}: wanted the axis across which slices lie, 0, 1 or 2")
        if layout:
            for key in ("values", "colours", "ignore", "reduce_zero_label", "folders", "stems", "splits"):
                if key in self.table:
                    self.problems.append(f"{key}: the layout {layout!r} says it already; leave one of them out")
        if self.problems:
            return None
        described = Description(
            tuple(self.classes),
            layout=layout,
            place=place,
            splits=splits,
            exif=exif,
            channels=channels or RGB,
            ranged="range" in self.table.get("inputs", {}),
            slices=slices,
        )
        if known:
            described = replace(labels_of(described, known), stated=True, asked=False, known=True)
            if layout:
                return described
            if "colours" not in self.table:  # a palette's colours say nothing where the values are ids
                return replace(described, colours={})
            return described if "values" in self.table else replace(described, values={}, by_value=False)
        values, colours, by_value = Meanings(self.table, self.classes, self.problems, whole=self.whole).read()
        stated = any(key in self.table for key in ("values", "colours", "reduce_zero_label"))
        asked = not stated and "ignore" not in self.table
        return replace(described, values=values, colours=colours, by_value=by_value, stated=stated, asked=asked)

    def _one_of(self, key: str, default: str, choices: tuple[str, ...]) -> Any:
        value = self.table.get(key, default)
        if value == default or (isinstance(value, str) and value in choices):
            return value
        self.problems.append(f"{key} = {shown(value)}: known are {', '.join(choices)}")
        return default

    def _known_labels(self, layout: str) -> str:
        """Return whose values or colours the masks hold: the layout's, or those that a name stands for."""
        if layout:
            return LAYOUTS[layout][0].labels
        named = {key: self.table[key] for key in ("values", "colours") if isinstance(self.table.get(key), str)}
        for key, value in named.items():
            fitting = [name for name, labels in LABELS.items() if key == "values" or labels.colours]
            if value not in fitting:
                self.problems.append(f"{key} = {shown(value)}: known are {', '.join(fitting)}, or a table")
        if len(set(named.values())) > 1:
            self.problems.append("values and colours name two data sets: leave one of them out")
        for key in ("ignore", "reduce_zero_label", *{"values", "colours"} - set(named)):
            if named and key in self.table:
                which = next(iter(named))
                self.problems.append(f"{key}: {which} = {shown(named[which])} says it already; leave one of them out")
        return "" if self.problems or not named else next(iter(named.values()))

    def _read_classes(self, known: str) -> None:
        own = list(LABELS[known].values) if known else []
        classes = self.table.get("classes", own)
        least = 1 if known else 2
        if not are_names(classes) or not least <= len(classes) <= IGNORE:
            self.problems.append(
                f"classes = {shown(classes)}: wanted 2 to {IGNORE} different names, the background's first"
            )
            return
        self.classes = classes
        self.problems += _unfit(classes)
        if known and (strange := [name for name in classes if name not in own]):
            self.problems.append(
                f"classes: {', '.join(map(shown, strange[:5]))} not among the classes of {known!r}, which are "
                f"{', '.join(own)}"
            )

    def _splits(self) -> dict[Split, list[str] | str]:
        splits = self.table.get("splits", {})
        if not isinstance(splits, dict):
            self.problems.append(
                f"splits = {shown(splits)}: wanted a table [splits] with train, val, test or some of them"
            )
            return {}
        for key, names in splits.items():
            if key not in SPLITS:
                self.problems.append(f"unknown key {shown(key)} in [splits]: known are {', '.join(SPLITS)}")
            elif isinstance(names, str):
                if not below(names):
                    self.problems.append(
                        f"{key} = {shown(names)} in [splits]: wanted a list of names, or a file or folder below the "
                        "root"
                    )
            elif not are_names(names):
                self.problems.append(
                    f"{key} = {shown(names)} in [splits]: wanted a list of different names, at least one"
                )
        return splits

    def _place(self) -> Place:
        folders, stems = self.table.get("folders", {}), self.table.get("stems", {})
        if isinstance(stems, str):
            stems = {"masks": stems}
        place = {"images": "images", "masks": "masks", "image": "{name}", "mask": "{name}"}
        for key, table, what in (("folders", folders, "folder"), ("stems", stems, "pattern")):
            if not isinstance(table, dict) or not table.keys() <= {"images", "masks"}:
                self.problems.append(
                    f"{key} = {shown(table)}: wanted a table with images, masks or both, a {what} each"
                )
                continue
            for name, value in table.items():
                if key == "folders":
                    if not isinstance(value, str) or not below(value):
                        self.problems.append(
                            f"{name} = {shown(value)} in folders: wanted a folder below the root, such as 'images'"
                        )
                        continue
                    place[name] = value
                elif not isinstance(value, str) or value.count("{name}") != 1 or "/" in value or not one_line(value):
                    self.problems.append(
                        f"{name} = {shown(value)} in stems: wanted a name without its ending with {{name}} once, such "
                        "as '{name}_mask'"
                    )
                else:
                    place[name[:-1]] = value
        if (
            not self.problems
            and PurePosixPath(place["images"]) == PurePosixPath(place["masks"])
            and place["image"] == place["mask"]
        ):
            self.problems.append(
                "folders and stems are the same for images and masks: nothing tells one from the other"
            )
        return Place(place["images"], place["masks"], place["image"], place["mask"])


def are_names(value: object) -> TypeGuard[list[str]]:
    """Return whether `value` is a list of different, non-empty strings, at least one."""
    return (
        isinstance(value, list) and all(isinstance(v, str) and v for v in value) and 0 < len(set(value)) == len(value)
    )


def below(name: str) -> bool:
    """Return whether a text names something below the root, and not elsewhere."""
    path = PurePosixPath(name)
    return bool(name) and one_line(name) and "\\" not in name and not path.is_absolute() and ".." not in path.parts


def _unfit(classes: list[str]) -> list[str]:
    """Say which names no caption, column or file could bear, and which look the same."""
    problems = []
    seen: dict[str, str] = {}
    for name in classes:
        if not one_line(name) or name != name.strip() or len(name) > _LONGEST:
            problems.append(
                f"class {shown(name)}: wanted a name on one line, at most {_LONGEST} characters, no space at its ends"
            )
        if (other := seen.setdefault(alike(name), name)) != name:
            problems.append(f"classes {shown(other)} and {shown(name)} differ in case or in how they are encoded alone")
    return problems
