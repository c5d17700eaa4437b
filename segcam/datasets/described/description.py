"""Reads `classes.toml`: whatever is wrong with it goes into one error."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeGuard, get_args

import numpy as np

from segcam.channels import MEAN, RGB, STD, Channels
from segcam.datasets.described.known import LABELS, LAYOUTS, Colour, Place
from segcam.errors import DataError, InputError, first_of, shown
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
_MOST_VALUE = 2**16 - 1


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
    layout: str = ""
    place: Place = field(default_factory=Place)
    splits: Mapping[Split, list[str] | str] = field(default_factory=dict)
    exif: Exif = "refuse"
    channels: Channels = RGB
    ranged: bool = False
    slices: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """What photographs are kept as: uint8 or uint16 by their bits, float32 where their range was named."""
        if self.channels == RGB:
            return np.dtype(np.uint8)
        if self.ranged:
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if self.channels.high <= 255 else np.uint16)


def describe(file: Path) -> Description:
    """Read `classes.toml`.

    Raises:
        DataError: it is missing or cannot be used; lists all that is wrong.
    """
    if not os.path.lexists(file):
        raise DataError(f"{file} is missing: it names the classes; {EXAMPLE}")
    try:
        table = read_toml(file, "description", DataError)
    except DataError as error:
        raise DataError(f"{error}; {EXAMPLE}") from error
    reader = _Reader(table)
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


def alike(name: str) -> str:
    """Return what names have in common that look the same, or are the same file on some disks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class _Reader:
    """Reads the keys one by one and collects what is wrong with them."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
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
        splits, channels, place = self._splits(), self._channels(), self._place()
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
            return replace(labels_of(described, known), stated=True, asked=False)
        values, colours, by_value = self._meanings()
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

    def _meanings(self) -> tuple[dict[int, int], dict[Colour, int], bool]:
        """Read which class each value and each colour stands for."""
        count = len(self.classes)
        reduced = self.table.get("reduce_zero_label", False)
        if not isinstance(reduced, bool):
            self.problems.append(f"reduce_zero_label = {shown(reduced)}: wanted true or false")
        colours = self._colours()
        by_value = "colours" not in self.table or "values" in self.table
        if "values" in self.table:
            if reduced is True:
                self.problems.append("values and reduce_zero_label both say what values are: leave one of them out")
            values = self._values()
        elif by_value:
            values = {i + int(reduced is True): i for i in range(count)}
        else:
            values = {}
        self._ignored(values, colours, by_value, reduced is True)
        return values, colours, by_value

    def _values(self) -> dict[int, int]:
        """Read the table of values, `{0 = 0, 255 = "polyp"}`."""
        table = self.table["values"]
        if not isinstance(table, dict) or not table:
            self.problems.append(f"values = {shown(table)}: wanted a table such as {{0 = 0, 255 = 1}}, value = class")
            return {}
        values: dict[int, int] = {}
        for key, name in table.items():
            if not re.fullmatch("[0-9]{1,5}", key) or int(key) > _MOST_VALUE:
                self.problems.append(f"{shown(key)} in values: wanted a mask's value, 0 to {_MOST_VALUE}, = its class")
            elif (index := self._class(name)) is None:
                self.problems.append(f"{key} = {shown(name)} in values: no class; known are {self._listed()}")
            else:
                values[int(key)] = index
        self._all_have("values", set(values.values()))
        return values

    def _colours(self) -> dict[Colour, int]:
        """Read the colours, `{cat = [128, 0, 0]}`, or a list of them in the order of the classes."""
        table = self.table.get("colours", {})
        if isinstance(table, list) and len(table) == len(self.classes):
            table = {str(i): value for i, value in enumerate(table)}
        if not isinstance(table, dict) or ("colours" in self.table and not table):
            self.problems.append(
                f"colours = {shown(table)}: wanted a table such as {{{self.classes[1]} = [128, 0, 0]}}, or a list of "
                f"{len(self.classes)} colours, one a class"
            )
            return {}
        colours: dict[Colour, int] = {}
        for name, value in table.items():
            index = self._class(int(name)) if re.fullmatch("[0-9]{1,3}", name) else self._class(name)
            index = self._class(name) if index is None or name in self.classes else index
            listed = [value] if _is_colour(value) else value
            if index is None:
                self.problems.append(f"{shown(name)} in colours: no class; known are {self._listed()}")
            elif not isinstance(listed, list) or not listed or not all(map(_is_colour, listed)):
                self.problems.append(
                    f"{name} = {shown(value)} in colours: wanted [red, green, blue], or a list of such"
                )
            else:
                for colour in map(_colour, listed):
                    if colours.setdefault(colour, index) != index:
                        both = f"{self.classes[colours[colour]]!r} and {self.classes[index]!r}"
                        self.problems.append(f"{list(colour)} in colours is the colour of {both}: name it once")
        if table:
            self._all_have("colours", set(colours.values()))
        return colours

    def _ignored(self, values: dict[int, int], colours: dict[Colour, int], by_value: bool, reduced: bool) -> None:
        """Add what is ignored to the values and colours."""
        given = self.table.get("ignore", [] if not by_value or values.get(IGNORE) is not None else [IGNORE])
        one = not isinstance(given, list) or (not by_value and _is_colour(given))
        for entry in [given] if one else given:
            if _is_colour(entry) and colours:
                self._ignore(colours, _colour(entry), f"{entry}")
            elif type(entry) is int and 0 <= entry <= _MOST_VALUE and by_value:
                self._ignore(values, entry, f"{entry}", ask=entry == 0 and "values" not in self.table)
            elif type(entry) is int and 0 <= entry <= 255:
                self._ignore(colours, (entry, entry, entry), f"{entry}")
            else:
                where = "a whole number from 0 to 65535" + (", or a colour [red, green, blue]" if colours else "")
                self.problems.append(f"ignore = {shown(given)}: wanted {where}, or a list of such")
                break
        if reduced:
            values[0] = IGNORE

    def _ignore(self, meanings: dict[Any, int], entry: Any, text: str, ask: bool = False) -> None:
        index = meanings.setdefault(entry, IGNORE)
        if index != IGNORE:
            cure = ""
            if ask:
                cure = (
                    "; where masks count classes from 1 and 0 is 'not labelled', write reduce_zero_label = true, and "
                    "in classes the names from 1 on"
                )
            elif "values" not in self.table and "colours" not in self.table:
                cure = "; values = {0 = 0, ...} says what each value is where they are no indices of classes"
            self.problems.append(f"ignore = {text}: that is the class {shown(self.classes[index])}{cure}")

    def _all_have(self, key: str, present: set[int]) -> None:
        if self.problems:
            return
        if missing := [name for i, name in enumerate(self.classes) if i not in present]:
            names = ", ".join(map(shown, missing[:5])) + (", ..." if len(missing) > 5 else "")
            self.problems.append(f"{key}: none for {names}; each class has one, or is left out of classes")

    def _class(self, name: object) -> int | None:
        if isinstance(name, str):
            return self.classes.index(name) if name in self.classes else None
        return name if type(name) is int and 0 <= name < len(self.classes) else None

    def _listed(self) -> str:
        return ", ".join(f"{i} {name!r}" for i, name in enumerate(self.classes[:10])) + (
            ", ..." if len(self.classes) > 10 else ""
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

    def _channels(self) -> Channels | None:
        """Read `inputs = {channels = 1, bits = 16, mean = [0.5], std = [0.25]}`."""
        inputs = self.table.get("inputs", {})
        keys = {"channels", "bits", "range", "mean", "std"}
        if not isinstance(inputs, dict) or not inputs.keys() <= keys:
            self.problems.append(f"inputs = {shown(inputs)}: wanted a table with some of {', '.join(sorted(keys))}")
            return None
        before = len(self.problems)
        count = inputs.get("channels", len(inputs["mean"]) if isinstance(inputs.get("mean"), list) else 3)
        if type(count) is not int or not 1 <= count <= 1000:
            self.problems.append(f"channels = {shown(count)} in inputs: wanted a whole number from 1 to 1000")
            return None
        low, high = self._range(inputs)
        numbers = {}
        for key, usual in (("mean", MEAN), ("std", STD)):
            value = inputs.get(key, list(usual) if count == 3 else None)
            listed = [value] * count if _is_number(value) else value
            if not isinstance(listed, list) or len(listed) != count or not all(map(_is_number, listed)):
                self.problems.append(
                    f"{key} = {shown(value)} in inputs: wanted {count} number{'s' * (count > 1)}, one a channel, of "
                    f"values brought to 0..1, such as {key} = {[0.5 if key == 'mean' else 0.25] * min(count, 8)}"
                )
            else:
                numbers[key] = tuple(map(float, listed))
        if len(self.problems) > before:
            return None
        try:
            return Channels(numbers["mean"], numbers["std"], low, high)
        except InputError as error:
            self.problems.append(f"inputs: {error}")
            return None

    def _range(self, inputs: dict[str, Any]) -> tuple[float, float]:
        bits, limits = inputs.get("bits", 8), inputs.get("range")
        if "bits" in inputs and "range" in inputs:
            self.problems.append("bits and range in inputs both say which values there are: leave one of them out")
        if type(bits) is not int or not 1 <= bits <= 16:
            self.problems.append(
                f"bits = {shown(bits)} in inputs: wanted 1 to 16; for others range = [lowest, highest]"
            )
            bits = 8
        if limits is None:
            return 0.0, float(2**bits - 1)
        if not isinstance(limits, list) or len(limits) != 2 or not all(map(_is_number, limits)):
            self.problems.append(f"range = {shown(limits)} in inputs: wanted [lowest, highest], such as [0, 4095]")
            return 0.0, 255.0
        return float(limits[0]), float(limits[1])


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def _colour(value: list[int]) -> Colour:
    return value[0], value[1], value[2]
