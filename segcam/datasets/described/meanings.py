"""What `classes.toml` says of the values and colours of masks: the class of each, and what is ignored."""

from __future__ import annotations

import re
from typing import Any

from segcam.datasets.described.known import Colour
from segcam.errors import shown
from segcam.samples import IGNORE

_MOST_VALUE = 2**16 - 1


class Meanings:
    """Reads `values`, `colours`, `ignore` and `reduce_zero_label`, and adds what is wrong with them to `problems`.

    Args:
        table: of `classes.toml`.
        classes: their names by index.
        problems: what is wrong.
        whole: whether each class must have a value or colour, as where the file itself names the classes.
    """

    def __init__(self, table: dict[str, Any], classes: list[str], problems: list[str], *, whole: bool = True) -> None:
        self.table = table
        self.classes = classes
        self.problems = problems
        self.whole = whole

    def read(self) -> tuple[dict[int, int], dict[Colour, int], bool]:
        """Return which class each value and each colour stands for, and whether grey masks hold values, not colours."""
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
                ignored = f"; a value that is ignored stands in ignore = [{key}]" if name == IGNORE else ""
                self.problems.append(f"{key} = {shown(name)} in values: no class; known are {self._listed()}{ignored}")
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
        if self.problems or not self.whole:
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


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def _colour(value: list[int]) -> Colour:
    return value[0], value[1], value[2]
