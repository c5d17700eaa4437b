"""JSON files of a run: each holds its schema and the hash of the rest, so that what was changed or damaged is seen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyses.reading.files import ResultsError, plain_file, unreadable

SEAL = "sha256"
"""The key of the hash of all other keys."""


class Entry(BaseModel):
    """A part of such a file; an unknown key is an error where it is built, and passed over where it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class Document(Entry):
    """One kind of such a file, written and read by the same class.

    Attributes:
        schema: the version of the kind's format.
        WHAT: how errors call such a file.
        SCHEMA: the version that is written, and read.
        CURE: what to do with a damaged one.
    """

    WHAT: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    CURE: ClassVar[str]

    version: int = Field(default=1, alias="schema")

    def values(self) -> dict[str, Any]:
        """Return what is written, with the keys that were set and null for NaN and infinity."""
        values: dict[str, Any] = json.loads(self.model_dump_json(by_alias=True, exclude_unset=True))
        return {"schema": self.SCHEMA, **values}

    def written(self) -> bytes:
        """Return the bytes of the file."""
        return sealed(self.values())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            ResultsError: it is missing, damaged, changed by hand, or of another schema; names the first field.
        """
        values = cls.read_values(path)
        try:
            return cls.model_validate(values, extra="ignore")
        except (ValidationError, RecursionError) as error:
            raise ResultsError(f"{cls.WHAT} {path}: {first_problem(error)}; {cls.CURE}") from error

    @classmethod
    def read_values(cls, path: Path) -> dict[str, Any]:
        """Read a file's values, of which schema and seal are seen to be right.

        Raises:
            ResultsError: as `read`, but for wrong fields.
        """
        try:
            values: Any = json.loads(plain_file(path, cls.WHAT, cls.CURE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise unreadable(path, cls.WHAT, error, cls.CURE) from error
        schema = values.get("schema") if isinstance(values, dict) else None
        if type(schema) is not int:
            raise ResultsError(f"{cls.WHAT} {path}: 'schema' is missing; {cls.CURE}")
        if schema != cls.SCHEMA:
            cure = "update segcam" if schema > cls.SCHEMA else "use the version that wrote it"
            raise ResultsError(
                f"{cls.WHAT} {path}: it has schema {str(schema)[:20]}, but this version of segcam reads schema "
                f"{cls.SCHEMA}: {cure}"
            )
        if SEAL in values and values.pop(SEAL) != _digest(values):
            raise ResultsError(f"{cls.WHAT} {path}: it was changed or damaged after it was written; {cls.CURE}")
        checked: dict[str, Any] = values
        return checked


def sealed(values: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON file with its seal; NaN and infinity become null, which JSON has and they are not in.

    >>> json.loads(sealed({"a": float("nan")}))["a"]
    """
    plain = {key: value for key, value in _plain(values).items() if key != SEAL}
    text = json.dumps({**plain, SEAL: _digest(plain)}, indent=1, allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode()


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def first_problem(error: ValidationError | RecursionError) -> str:
    """Return the first field that is wrong, and what is wrong with it."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    first = error.errors()[0]
    field, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{field!r} is missing" if first["type"] == "missing" else f"{field}: {message}".removeprefix(": ")
