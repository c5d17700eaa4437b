"""The manifest of a run, `manifest.json`: what was asked for, what ran, and what stands behind the names in tables.

`bench` builds it from these classes, where an unknown key is an error; the reader passes over them, so that a newer
version may add some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from analyses.reading.files import ResultsError
from analyses.reading.sealed import Document, Entry

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


def _share(value: float) -> float:
    if value < 0 or value > 1:  # NaN is neither
        raise ValueError(f"{value:g} is no share from 0 to 1")
    return value


def _profile(values: dict[str, Any]) -> dict[str, Any]:
    """See that a profile has what readers of results ask of it; the rest is the harness's."""
    if not isinstance(values.get("name", ""), str):
        raise ValueError("'name' is no text")
    figures = values.get("figures", {})
    if not isinstance(figures, dict) or not isinstance(figures.get("photographs", False), bool):
        raise ValueError("'figures' is no table with 'photographs' = true or false")
    return values


def _named(entries: Any) -> Any:
    """Write the key of each entry into it as its name."""
    if not isinstance(entries, dict):
        return entries
    return {key: {**entry, "name": key} if isinstance(entry, dict) else entry for key, entry in entries.items()}


Number = Annotated[float, _number_or(math.nan)]
Share = Annotated[float, AfterValidator(_share), _number_or(math.nan)]


class Dataset(Entry):
    """The data set; the first class is the background. `self_trained` counts masks predicted by another network.

    Where it is not `masked`, scores are against the region that each network predicts.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, int] = {}
    size: int
    training_data: str
    self_trained: int = 0
    facts: dict[str, Any] = {}
    source: str = ""
    digest: str = ""
    masked: bool = True


_NO_DATASET = Dataset(name="", classes=(), size=0, training_data="")


class Images(Entry):
    """Images set aside, and how they were chosen."""

    rule: str
    ids: tuple[str, ...]


class Gallery(Images):
    """The test images that figures show, and the photographs beside them that anyone may show, with their credits."""

    free: dict[str, str] = {}


class OwnPasses(Images):
    """The images, targets, levels and seeds of methods that take passes of their own."""

    targets: tuple[str, ...]
    levels: str = ""
    seeds: int | str = ""


class Model(Entry):
    """A network: its `settings`, its number of parameters, and where its weights and its training came from.

    One that is `given` was there already, and not trained here.
    """

    label: str
    source: str = ""
    settings: dict[str, Any] = {}
    pretrained: str = "none"
    teacher: str = ""
    parameters: int = 0
    given: bool = False


class Layer(Entry):
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


class Block(Entry):
    """A transformer block whose attention was measured; `layer` is the layer behind the attention."""

    name: str = Field(validation_alias=AliasChoices("block", "label"), serialization_alias="block")
    module: str = ""
    label: str
    stage: int
    depth: int
    stride: int = 0
    reduction: int = 1
    layer: str = ""


class Target(Entry):
    """A target: the class explained (None: each image's own), which pixels, and which of their scores."""

    label: str
    class_id: int | tuple[int, ...] | None = Field(default=None, alias="class")
    pixels: str = ""
    score: str = ""
    resolution: str = ""


class Method(Entry):
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


class Metric(Entry):
    """A metric: its wording, chance value (a number, a word, or none) and bounds.

    Words for chance: 'area', the mask's share of the image, or 'uniform', that of uniform attention on the same grid.
    `masks` says whether the mask plays a part.
    """

    name: str = Field(exclude=True)
    label: str
    summary: str = ""
    direction: str | None = None
    lower: Annotated[float, _number_or(-math.inf)] = -math.inf
    upper: Annotated[float, _number_or(math.inf)] = math.inf
    chance: float | str | None = None
    unit: str = ""
    source: str = ""
    masks: bool = True


Metrics = Annotated[dict[str, Metric], BeforeValidator(_named)]


class Attention(Entry):
    """What was measured of attention itself: the blocks of each model, and the metrics."""

    blocks: dict[str, tuple[Block, ...]]
    metrics: Metrics


class Checkpoint(Entry):
    """One level of one training run, or one file of weights of a network that was given, whose levels have a `name`.

    The values of a level that was not reached are NaN, but for the best seen. `initial_answer` is what the untrained
    network answered: 'foreground' everywhere or at 'random'; '' where it was not trained here, or nobody said it.
    """

    model: str
    seed: int
    level: int
    reached: bool
    tolerance: Number = math.nan
    best_miou: Share = math.nan
    nearest_miou: Share = math.nan
    baseline_miou: Share = math.nan
    training_data: str = ""
    file: str | None = None
    initial_answer: str = ""
    step: int | None = None
    images_seen: int | None = None
    miou: Share = math.nan
    iou: dict[str, Share] = {}
    predicted_share: Share = math.nan
    sha256: str = ""
    seconds: Number = math.nan
    name: str = ""

    @property
    def label(self) -> str:
        """The level in words: its own name, as of a network that was given, or the mean IoU that was asked for."""
        return self.name or level_name(self.level)


class Gap(Entry):
    """Maps that there are not, of a method at a layer ('' for the whole network), and the cells that miss them."""

    model: str = ""
    layer: str
    method: str
    reason: str
    cells: int = 0


class Variant(Entry):
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


class File(Entry):
    """A file of tables or kept maps: which cell made it ('' for none alone), its number of rows, and its hash."""

    cell: str = ""
    rows: Annotated[int, Field(ge=0)] = 0
    sha256: str


class Cell(Entry):
    """A finished piece of work; `level`, `part` and `images` are of measurements, `steps` of trainings."""

    id: str = ""
    level: int | None = None
    part: str = ""
    images: int = 0
    steps: int = 0
    seconds: Number = math.nan


class Planned(Entry):
    """How many cells there are to train and to score; the latter is known once all is trained."""

    train: int = 0
    score: int | None = None


class Explained(Entry):
    """A class, or several that count as one, of the several that a run explains.

    Its files' names begin with `prefix`; its tables, figures and page lie in `folder`, '' for those of the run. Images
    are chosen for it.
    """

    label: str
    ids: tuple[int, ...]
    prefix: str
    folder: str = ""
    gallery: Gallery = Gallery(rule="", ids=())
    own_passes: OwnPasses = OwnPasses(rule="", ids=(), targets=())
    studies: dict[str, Images] = {}


class Published(Entry):
    """What was published of a run: with photographs or without, the analyses that can be redrawn, the main target.

    `analyses` are made anew from published scores; of those in `from_tables` the figures are, from published tables.
    `joined` says whether publications of parts of a study were joined.
    """

    photographs: bool = False
    analyses: tuple[str, ...] = ()
    from_tables: tuple[str, ...] = ()
    main_target: str | None = None
    joined: bool = False


class Manifest(Document):
    """All of it; `kind` is 'evidence' for a run of known evidence, which has `variants` in place of some sections.

    `files` are the tables and kept maps that the run holds, by their names; no others are read. None where a folder
    was made by hand: then all that lies in it is read. `registration` is the hash of the claims' registration when
    scoring started; '' for scores from before there was one.
    """

    WHAT: ClassVar[str] = "manifest"
    CURE: ClassVar[str] = (
        "remove it and run the same command again, which writes it anew and keeps what is finished; what was published "
        "is fetched again, or published into an empty folder"
    )

    kind: str = ""
    profile: Annotated[dict[str, Any], AfterValidator(_profile)]
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
    gallery: Gallery = Gallery(rule="", ids=())
    own_passes: OwnPasses = OwnPasses(rule="", ids=(), targets=())
    metrics: Metrics = {}
    attention: Attention = Attention(blocks={}, metrics={})
    checkpoints: tuple[Checkpoint, ...] = ()
    skipped: tuple[Gap, ...] = ()
    studies: dict[str, Images] = {}
    views: tuple[Explained, ...] = ()
    cells: dict[str, Cell] = {}
    planned: Planned = Planned()
    registration: str = ""
    files: dict[str, File] | None = None
    published: Published | None = None

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
        """See that what is named somewhere is described."""
        for model in (*self.layers, *(checkpoint.model for checkpoint in self.checkpoints)):
            if model not in self.models:
                raise ValueError(f"it names the model {model!r}, which 'models' lacks")
        for name in self.files or ():
            if name.startswith("/") or ".." in name.split("/") or "\\" in name:
                raise ValueError(f"'files' names {name!r}, which lies outside")
        return self


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ResultsError: it is missing, damaged, of another schema, or lacks what it needs; names the first field.
    """
    manifest = Manifest.read(path)
    for section in () if manifest.kind else SECTIONS:
        if section not in manifest.model_fields_set:
            raise ResultsError(f"manifest {path}: {section!r} is missing; {Manifest.CURE}")
    return manifest
