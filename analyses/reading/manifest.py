"""The manifest of a run, `manifest.json`: what was asked for, what ran, and what stands behind the names in tables.

`bench` builds it from these classes, where an unknown key is an error; the reader passes over them, so that a newer
version may add some.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from analyses.reading import files
from analyses.reading.files import ResultsError

SCHEMA = 1
"""The version of the manifest's format."""

BEST = 100
"""The level that stands for the checkpoint of the highest validation mean IoU."""

ATTENTION = ("before attention", "after attention")
"""The roles of layers on the attention branch of a transformer block."""

INPUT = "input"
"""The role of what stands for the input's pixels beside a network's layers."""


def level_name(level: int, reached: Sequence[float] = ()) -> str:
    """Return a level in words; the best one with the mean IoUs `reached` by its checkpoints, where they are given.

    >>> level_name(30), level_name(100), level_name(100, [0.934]), level_name(100, [0.934, 0.912])
    ('30 %', 'best', 'best, 93.4 %', 'best, 91.2 to 93.4 %')
    """
    if level != BEST:
        return f"{level} %"
    ends = [f"{100 * end(reached):.1f}" for end in (min, max)] if reached else []
    return ", ".join(["best", *([f"{' to '.join(dict.fromkeys(ends))} %"] if ends else [])])


def _number_or(absent: float) -> BeforeValidator:
    """Read null, which JSON has in place of NaN and infinity, as `absent`."""
    return BeforeValidator(lambda value: absent if value is None else value)


def _named(entries: Any) -> Any:
    """Write the key of each entry into it as its name."""
    if not isinstance(entries, dict):
        return entries
    return {key: {**entry, "name": key} if isinstance(entry, dict) else entry for key, entry in entries.items()}


Number = Annotated[float, _number_or(math.nan)]


class ManifestEntry(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class Dataset(ManifestEntry):
    """The data set; the first class is the background. `self_trained` counts masks predicted by another network."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, int] = {}
    size: int
    training_data: str
    self_trained: int = 0
    facts: dict[str, Any] = {}
    source: str = ""
    digest: str = ""


_NO_DATASET = Dataset(name="", classes=(), size=0, training_data="")


class Images(ManifestEntry):
    """Images set aside, and how they were chosen."""

    rule: str
    ids: tuple[str, ...]


class OwnPasses(Images):
    """The images, targets, levels and seeds of methods that take passes of their own."""

    targets: tuple[str, ...]
    levels: str = ""
    seeds: str = ""


class Model(ManifestEntry):
    """A network: its `settings`, its number of parameters, and where its weights and its training came from."""

    label: str
    source: str = ""
    settings: dict[str, Any] = {}
    pretrained: str = "none"
    teacher: str = ""
    parameters: int = 0


class Layer(ManifestEntry):
    """A probed layer of a model; `point` is where its output is taken (`conv`: the convolution's own output)."""

    name: str = Field(validation_alias=AliasChoices("layer", "label"), serialization_alias="layer")
    module: str = ""
    label: str
    stage: int = 0
    depth: int
    role: str = ""
    stride: int = 0
    point: str = ""
    form: str = ""


class Block(ManifestEntry):
    """A transformer block whose attention was measured; `layer` is the layer behind the attention."""

    name: str = Field(validation_alias=AliasChoices("block", "label"), serialization_alias="block")
    module: str = ""
    label: str
    stage: int
    depth: int
    stride: int = 0
    reduction: int = 1
    layer: str = ""


class Target(ManifestEntry):
    """A target: the class explained (None: each image's own), which pixels, and which of their scores."""

    label: str
    class_id: int | None = Field(default=None, alias="class")
    pixels: str = ""
    score: str = ""
    resolution: str = ""


class Method(ManifestEntry):
    """A method; `scope` tells maps of layers from maps of the input, some run the network themselves (`own_passes`)."""

    kind: str
    family: str
    label: str
    summary: str = ""
    source: str = ""
    scope: str
    signed: bool = False
    needs_gradients: bool = False
    own_passes: bool = False
    passes: int = 0
    each: str = ""
    parameters: dict[str, Any] = {}


class Metric(ManifestEntry):
    """A metric: its wording, chance value (a number, `"area"`: the mask's share of the image, or none) and bounds."""

    name: str = Field(exclude=True)
    label: str
    summary: str = ""
    direction: str | None = None
    lower: Annotated[float, _number_or(-math.inf)] = -math.inf
    upper: Annotated[float, _number_or(math.inf)] = math.inf
    chance: float | str | None = None
    unit: str = ""
    source: str = ""

    def within(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values cut off at the metric's bounds: intervals widened for few seeds may reach beyond them."""
        cut: NDArray[np.float64] = np.clip(values, self.lower, self.upper)
        return cut


Metrics = Annotated[dict[str, Metric], BeforeValidator(_named)]


class Attention(ManifestEntry):
    """What was measured of attention itself: the blocks of each model, and the metrics."""

    blocks: dict[str, tuple[Block, ...]]
    metrics: Metrics


class Checkpoint(ManifestEntry):
    """One level of one training run. The values of a level that was not reached are NaN, but for the best seen."""

    model: str
    seed: int
    level: int
    reached: bool
    tolerance: Number = math.nan
    best_miou: Number = math.nan
    nearest_miou: Number = math.nan
    baseline_miou: Number = math.nan
    training_data: str = ""
    file: str | None = None
    step: int | None = None
    images_seen: int | None = None
    miou: Number = math.nan
    iou: dict[str, Number] = {}
    predicted_share: Number = math.nan
    sha256: str = ""
    seconds: Number = math.nan


class Gap(ManifestEntry):
    """Maps that there are not, of a method at a layer ('' for the whole network), and the cells that miss them."""

    model: str = ""
    layer: str
    method: str
    reason: str
    cells: int = 0


class Variant(ManifestEntry):
    """What a run of known evidence says of one cue; `answers` is a row a network."""

    dataset: str
    classes: tuple[str, ...]
    training_data: str
    scored_images: int
    own_pass_images: int
    checkpoints: tuple[Checkpoint, ...] = ()
    answers: tuple[dict[str, Any], ...]
    skipped: tuple[Gap, ...] = ()
    seconds: dict[str, float] = {}


SECTIONS = ("dataset", "border", "scored_images", "gallery", "metrics", "checkpoints")
"""Sections that every run has but one of known evidence."""


class Manifest(ManifestEntry):
    """All of it; `kind` is 'evidence' for a run of known evidence, which has `variants` in place of some sections."""

    version: int = Field(alias="schema")
    kind: str = ""
    profile: dict[str, Any]
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    models: dict[str, Model]
    layers: dict[str, tuple[Layer, ...]]
    targets: dict[str, Target]
    methods: dict[str, Method]
    variants: dict[str, Variant] = {}
    definition: dict[str, Any] = {}
    dataset: Dataset = _NO_DATASET
    border: str = ""
    scored_images: int = 0
    gallery: Images = Images(rule="", ids=())
    own_passes: OwnPasses = OwnPasses(rule="", ids=(), targets=())
    metrics: Metrics = {}
    attention: Attention = Attention(blocks={}, metrics={})
    checkpoints: tuple[Checkpoint, ...] = ()
    skipped: tuple[Gap, ...] = ()
    studies: dict[str, Images] = {}
    cells: dict[str, dict[str, Any]] = {}
    planned: dict[str, int | None] = {}
    published: dict[str, Any] | None = None

    def written(self) -> dict[str, Any]:
        """Return the manifest as it is written, with the keys that were set and null for NaN and infinity."""
        values: dict[str, Any] = json.loads(self.model_dump_json(by_alias=True, exclude_unset=True))
        return values


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ResultsError: it is missing, damaged, of another schema, or lacks what it needs; names the first field.
    """
    with files.reading(path):
        values = json.loads(path.read_text(encoding="utf-8"))
        schema = values["schema"]
    if schema != SCHEMA:
        raise ResultsError(
            f"{path}: schema {schema}, but this version reads schema {SCHEMA}; "
            "use the version that wrote the run, or run it again"
        )
    try:
        manifest = Manifest.model_validate(values, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        field, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        wrong = f"{field!r} is missing" if first["type"] == "missing" else f"{field}: {message}".removeprefix(": ")
        raise ResultsError(f"{path}: {wrong}; the run is unfinished or of another version: run it again") from error
    with files.reading(path):
        for section in () if manifest.kind else SECTIONS:
            values[section]
    return manifest
