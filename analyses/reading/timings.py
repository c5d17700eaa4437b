"""The timings of a folder, `timing.json`: a row a ratio, and what the numbers hang on."""

from __future__ import annotations

from typing import ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

from analyses.reading.sealed import Document

FILE = "timing.json"


class Ratio(TypedDict):
    """Median and quartiles of the rounds' ratios."""

    median: float
    low: float
    high: float
    rounds: int


class TimingRow(TypedDict):
    """One ratio of ours over theirs; None and empty where it was not measured."""

    case: str
    label: str
    ours: str
    theirs: str
    scope: str
    quantity: Literal["time", "memory"]
    bar: float | None
    same: bool
    note: str
    ours_values: list[float]
    theirs_values: list[float]
    ratio: Ratio | None
    met: bool | None
    agreement: dict[str, bool | int | float | None] | None


class Hardware(TypedDict):
    """Where it was measured."""

    processor: str
    cores: int | None
    memory_gib: float
    threads: int
    device: str
    gpu: str | None
    system: NotRequired[str]


class Timings(Document):
    """All of it."""

    WHAT: ClassVar[str] = "timings"
    CURE: ClassVar[str] = "remove it and run timing again"

    hardware: Hardware
    versions: dict[str, str]
    rows: list[TimingRow]
