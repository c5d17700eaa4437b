"""Folder: where a training's scores go, a step at a time; every file is seen whole or not at all.

follow.json          what is followed
scores.csv           a row a map, sorted by step
steps/000012.json    a step's numbers, as the page takes them
overlays/000012.png  a step's picture
index.html           the page, which needs no other file
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segcam.errors import InputError, say_once, shown
from segcam.files import read_text, user_path, write_whole
from segcam.follow.page import page

FACTS, SCORES, PAGE, STEPS, OVERLAYS = "follow.json", "scores.csv", "index.html", "steps", "overlays"
SCHEMA = 1
MOST_PICTURES = 100
"""How many steps' pictures the page holds at most, evenly spread; all of them are in `overlays`."""


class Folder:
    """A folder that steps are written to.

    What is already there is continued if the same is followed.

    Args:
        out: the folder; it is made with the first step.

    Raises:
        InputError: the path is none, or there are files of these names that belong to something else.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = user_path(out, "out")
        self._owner = ""
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out {self.out} is no folder: choose another")
        others = [name for name in (SCORES, PAGE, STEPS, OVERLAYS) if (self.out / name).exists()]
        if others and not (self.out / FACTS).exists():
            raise InputError(f"out {self.out} has {others[0]} that segcam.follow did not write: choose another folder")

    def facts(self) -> dict[str, Any] | None:
        """Return what is followed in the folder; None for a new one.

        Raises:
            InputError: it cannot be read.
        """
        path = self.out / FACTS
        if not path.exists():
            return None
        try:
            facts = json.loads(read_text(path, "the folder's description"))
        except ValueError as error:
            raise InputError(f"{path} is damaged: choose another folder, or remove it with {SCORES}") from error
        if not isinstance(facts, dict) or facts.get("schema") != SCHEMA or not isinstance(facts.get("followed"), dict):
            raise InputError(f"{path} is of another version of segcam: choose another folder")
        return facts

    def check(self, followed: Mapping[str, Any]) -> None:
        """See that the folder is new, or that the same was followed in it.

        Raises:
            InputError: something else was; the message names the first difference.
        """
        facts = self.facts()
        before = {} if facts is None else facts["followed"]
        for name, value in json.loads(json.dumps(followed)).items() if facts is not None else ():
            if before.get(name) != value:
                raise InputError(
                    f"{self.out} follows other {name} ({shown(before.get(name))}, not {shown(value)}): choose another "
                    "out for these"
                )

    def write(self, step: int, rows: Sequence[Mapping[str, Any]], followed: Mapping[str, Any], picture: bytes) -> None:
        """Write a step; what was there of it is replaced.

        Args:
            step: its number.
            rows: a row a map.
            followed: what is followed; the page shows it.
            picture: a PNG.

        Raises:
            InputError: a file cannot be written, or another `Follow` has begun to write here.
        """
        self._own(step, followed)
        write_whole(self._file(OVERLAYS, step, "png"), [picture], "the picture")
        numbers = json.dumps(_numbers(step, rows, followed), allow_nan=False, separators=(",", ":"))
        write_whole(self._file(STEPS, step, "json"), [numbers.encode()], "the step")
        write_whole(self.out / SCORES, self._table(step, rows), "the table")
        steps = self.steps()
        pictured = _spread(steps, MOST_PICTURES)
        write_whole(self.out / PAGE, page(followed, (self._part(one, one in pictured) for one in steps)), "the page")

    def steps(self) -> list[int]:
        """Return the steps that are there, in their order."""
        return sorted(int(path.stem) for path in (self.out / STEPS).glob("*.json") if path.stem.isdecimal())

    def _own(self, step: int, followed: Mapping[str, Any]) -> None:
        """Be the one who writes here: the last one who has begun to."""
        facts = self.facts()
        if self._owner:
            if facts is None or facts.get("owner") != self._owner:
                raise InputError(f"another Follow has begun to write to {self.out}: give each training its own out")
            return
        self.check(followed)
        later = [one for one in self.steps() if one > step]
        if later:
            say_once(
                f"{self.out} has steps up to {later[-1]} of an earlier training: they stay until they are written again"
            )
        owner = secrets.token_hex(8)
        text = json.dumps({"schema": SCHEMA, "owner": owner, "followed": followed}, indent=1)
        write_whole(self.out / FACTS, [text.encode()], "the folder's description")
        self._owner = owner

    def _file(self, folder: str, step: int, suffix: str) -> Path:
        return self.out / folder / f"{step:06d}.{suffix}"

    def _part(self, step: int, pictured: bool) -> bytes:
        """Return a step as the page takes it."""
        numbers = self._file(STEPS, step, "json").read_bytes()
        picture = self._file(OVERLAYS, step, "png")
        if not pictured or not picture.exists():
            return numbers
        encoded = base64.b64encode(picture.read_bytes())
        return numbers.rstrip()[:-1] + b',"picture":"data:image/png;base64,' + encoded + b'"}'

    def _table(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
        """Yield the table line by line, with the step's rows where they belong and without those that it had."""
        columns = ["step", *rows[0]]
        new = _lines([columns])
        old = self._old_lines(new)
        yield new
        waiting = True
        for line in old:
            number = int(line.split(b",", 1)[0])
            if waiting and number > step:
                yield _lines([step, *row.values()] for row in rows)
                waiting = False
            if number != step:
                yield line
        if waiting:
            yield _lines([step, *row.values()] for row in rows)

    def _old_lines(self, head: bytes) -> Iterator[bytes]:
        path = self.out / SCORES
        if not path.exists():
            return
        with path.open("rb") as file:
            if file.readline() != head:
                raise InputError(f"{path} has other columns, of another version: choose another out")
            yield from file


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])
    return text.getvalue().encode()


def _numbers(step: int, rows: Sequence[Mapping[str, Any]], followed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's numbers by metric: layers, in them methods, in them images; None where undefined."""
    names = [metric["name"] for metric in followed["metrics"]]
    layers = {layer["label"]: n for n, layer in enumerate(followed["layers"])}
    methods = {name: n for n, name in enumerate(followed["methods"])}
    images = {name: n for n, name in enumerate(followed["images"])}
    size = len(layers) * len(methods) * len(images)
    values: dict[str, list[float | None]] = {name: [None] * size for name in names}
    of_images: dict[str, list[float | None]] = {name: [None] * len(images) for name in IMAGE_COLUMNS}
    for row in rows:
        image = images[row["image"]]
        at = (layers[row["layer"]] * len(methods) + methods[row["method"]]) * len(images) + image
        for name in names:
            values[name][at] = _rounded(row[name])
        for name in IMAGE_COLUMNS:
            of_images[name][image] = _rounded(row[name])
    return {"step": step, "values": values, "images": of_images}


IMAGE_COLUMNS = ("class_iou", "predicted_share", "target_score")
"""What a row says of its image, whatever the layer and the method."""


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _spread(steps: Sequence[int], most: int) -> set[int]:
    """Return at most so many of the steps, evenly between the first and the last."""
    if len(steps) <= most:
        return set(steps)
    return {steps[round(k * (len(steps) - 1) / (most - 1))] for k in range(most)}
