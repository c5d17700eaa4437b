"""The sections of a profile, and what each key may be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, field_validator

from analyses.reading.manifest import BEST


def _level(value: Any) -> Any:
    return BEST if value == "best" else value


def _limit(value: Any) -> Any:
    return None if value in ("all", "null") else value


def _class_id(value: Any) -> Any:
    """Take an index, or a list of several that count as one class.

    Raises:
        ValueError: it is neither.
    """
    indices = value if isinstance(value, (list, tuple)) else (value,)
    if not indices or any(type(one) is not int or not 0 <= one < 255 for one in indices):
        raise ValueError("an index from 0 to 254 is needed, or a list of several that count as one class")
    return tuple(sorted(set(indices))) if len(set(indices)) > 1 else indices[0]


def _classes(value: Any) -> Any:
    """Take 'all', or a list of names, indices, and lists of these that count as one class each.

    Raises:
        ValueError: it is neither.
    """
    listed = [value] if isinstance(value, (int, str)) else value
    parts = [part for one in listed for part in (one if isinstance(one, (list, tuple)) else [one])] if listed else []
    if not isinstance(listed, (list, tuple)) or any(type(part) not in (int, str) for part in parts):
        raise ValueError(
            "'all' or 'most' is needed, or a list of names, indices, and lists of these that count as one class"
        )
    for word in ("all", "most"):
        if word in parts:
            return (word,)
    return tuple(tuple(one) if isinstance(one, list) else one for one in listed)


Level = Annotated[int, BeforeValidator(_level), Field(ge=1, le=BEST)]
Share = Annotated[float, Field(ge=0, le=1)]
MOST = 10**9
"""No number of images, steps or the like is greater: it would never end."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Seeds = Literal["all", "first"] | Count
"""Which of a model's training seeds: all, the first, or a number for the lowest so many."""
Limit = Annotated[Annotated[int, Field(ge=1, le=MOST)] | None, BeforeValidator(_limit)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
T = TypeVar("T")
Value = bool | int | float | str
Explained: TypeAlias = int | frozenset[int]
"""A class by its index, or the indices of several that count as one."""


def of_seeds(seeds: Seeds, place: int) -> bool:
    """Return whether the seed at a place among its model's, from 0, is one of those meant."""
    return place < seeds if isinstance(seeds, int) else seeds == "all" or place == 0


def most_seeds(settings: Iterable[Seeds]) -> Seeds:
    """Return the setting of several that means the most seeds; whatever their order, of equals the same one."""
    numbers = {"first": 1.0, "all": math.inf}
    return max(settings, key=lambda one: (one if isinstance(one, int) else numbers[one], str(one)))


def members(explained: Explained) -> frozenset[int]:
    """Return the indices of a class or of several that count as one."""
    return frozenset({explained}) if isinstance(explained, int) else explained


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Check that no value of a key is named twice."""
    if len(set(values)) < len(values):
        raise ValueError("each may be named once")
    return values


class Settings(BaseModel):
    """A part of the profile: frozen, and an unknown key is an error, as are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Which images.

    `train`, `val` and `test` limit the numbers of images; without them, or with 'all' (`null` on the command line), all
    are taken, or the drawn data's default.
    `resize` says how photographs come to `size`: 'squash' gives up their aspect ratio; 'pad' keeps it, and nothing is
    measured in the padding; 'none' takes those that have the size already.
    `seed` is of drawn data and of the choice of validation images. `root`, `masks` (of the data set photographs, where
    there are any) and `cache` say where files are and define nothing, so they are no part of a run's identity.
    `classes` names the classes of data that do not tell.
    """

    dataset: str
    size: Annotated[int, Field(ge=16, le=4096)] = 128
    resize: Literal["squash", "pad", "none"] = "squash"
    border: Literal["ignore", "pet", "background"] = "ignore"
    seed: Seed = 0
    train: Limit = None
    val: Limit = None
    test: Limit = None
    val_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    classes: Annotated[tuple[str, ...], Field(max_length=255)] = ()
    root: str | None = None
    masks: str | None = None
    cache: str | None = None


class Augment(Settings):
    """How far training images are moved and recoloured, see `bench.training.augment.Augmentation`."""

    flip: Share = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    scale: Annotated[float, Field(ge=1, le=4)] = 1.3
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.3


class Train(Settings):
    """How networks are trained, and to which levels of validation mean IoU, in percent.

    The level "best" is the checkpoint with the highest validation mean IoU of the whole training; tables call it 100.

    `initial_answer` is what the untrained network answers. 'random' leaves the first weights as they are. By chance
    they score a mean IoU of about 0.33 on two classes, so that a level of 30 % would be passed by luck or not at all;
    from 'foreground' everywhere (0.16 on the pets) each level lies on the way up. It has its price: the last layer may
    unlearn the object's features, so that its bias alone gives the score of a best pixel, and maps are blank. 'auto'
    therefore takes it for those levels alone that are not above a trivial answer (see
    `bench.training.levels.trivial`): a training finds these first and then begins anew, from random weights, for the
    others.

    Whatever the levels, the best checkpoint is kept; where a level was not reached it is scored as 'best' beside them.

    Training ends when all levels are reached and the highest is passed, and at the latest after `steps` steps;
    without `steps`, after `epochs` times the training images.

    `teacher` is a model of the profile, trained before, whose features the network learns to give as well (see
    `bench.training.distillation`), with a loss of `teacher_weight`.
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (30, 50, 70, 90)
    tolerance: Annotated[float, Field(gt=0, le=20)] = 2.0
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)] = (0,)
    initial_answer: Literal["auto", "foreground", "random"] = "auto"
    epochs: Annotated[float, Field(gt=0, le=1e6)] = 60.0
    steps: Count | None = None
    batch_size: Annotated[int, Field(ge=2, le=MOST)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    warmup: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    longest_interval: Count = 32
    save_every: Annotated[float, Field(ge=0, le=1e9)] = 20.0
    teacher: str = ""
    teacher_weight: Annotated[float, Field(gt=0, le=1e4)] = 2.0
    augment: Augment = Augment()

    @field_validator("levels", "seeds")
    @classmethod
    def _once(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(distinct(values)))


class Score(Settings):
    """What is explained, with which methods, and measured how, on the test images.

    `methods` may hold 'family:cam' and the like for all methods of a family, as `bench list methods` shows it, and
    `metrics` may be 'all'.

    `class_id` is the class explained, or a list of several that count as one. `classes` names several that are
    explained one after the other, each with tables and a page of its own; 'all' takes each but the first that an image
    shows, 'most' that of the most pixels.

    `placement` is where a layer's cells lie on the image: 'stretched' over it, as the paper's upsampling has them, or
    at the centres of what they see ('receptive_field'), see docs/own-network.md.

    Of `points`, 'head' is the last layer of 'relu' alone, the input of the 1x1 convolution that classifies.

    `attention` says whether the attention of networks that have it is measured, block by block and head by head.
    `counter` compares each gradient method's map with that of the best other class, at a backward pass a target.

    Methods that take passes of their own explain `own_pass_images` of the test images (0 for none), chosen like those
    that figures show, for `own_pass_targets` (all targets where none is named), with every checkpoint or, where
    `own_pass_levels` is 'highest', with that of each training's highest level; of 'all' training seeds, of the 'first'
    alone or of the lowest so many (`own_pass_seeds`). `parameters` holds what methods are to do otherwise than by
    default.

    `batch_size` images are worked on together, or fewer where they would take more than `max_memory`, in bytes or as
    a text such as "4 GB".
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("best_pixel:logit",)
    class_id: Annotated[int | tuple[int, ...], BeforeValidator(_class_id)] = 1
    classes: Annotated[tuple[int | str | tuple[int | str, ...], ...], BeforeValidator(_classes)] = ()
    methods: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "grad_cam",
        "uniform",
        "random",
        "sobel",
        "mask_oracle",
    )
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "energy_inside",
        "energy_gain",
        "background_ratio",
        "edge_alignment",
        "edge_alignment_full",
        "partial_edge_alignment",
        "spread",
        "edge_recall",
        "edge_thickness",
        "fine_power",
        "boundary_energy",
        "gini",
        "pointing_game",
        "iou",
        "average_precision",
        "blank",
    )
    points: Annotated[tuple[Literal["conv", "relu", "head"], ...], Field(min_length=1)] = ("conv",)
    placement: Literal["stretched", "receptive_field"] = "stretched"
    parameters: dict[str, dict[str, Value]] = Field(default_factory=dict)
    attention: bool = True
    counter: bool = False
    own_pass_images: Annotated[int, Field(ge=0, le=MOST)] = 6
    own_pass_targets: tuple[str, ...] = ()
    own_pass_levels: Literal["all", "highest"] = "all"
    own_pass_seeds: Seeds = "all"
    batch_size: Count = 16
    shard: Count = 128
    max_memory: Annotated[ByteSize, Field(ge=1, lt=2**63)] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"

    _once = field_validator("targets", "methods", "metrics", "points", "own_pass_targets")(distinct)

    @property
    def explained(self) -> Explained:
        """The class explained, or the classes that count as one."""
        return self.class_id if isinstance(self.class_id, int) else frozenset(self.class_id)

    @property
    def foreground(self) -> int:
        """The class that an untrained network answers, and that border pixels may count as."""
        return min(members(self.explained))

    def own_targets(self) -> tuple[str, ...]:
        """Return the targets that methods with passes of their own explain."""
        return self.own_pass_targets or self.targets


class FewImages(Settings):
    """What a measurement looks at: `images` of the test images (0 for none), chosen like those that figures show.

    `levels` says whether every checkpoint is looked at or that of each training's highest level, `training_seeds`
    those of which training seeds: 'all', the 'first' or the lowest so many; `batch_size` images are worked on together.
    """

    images: Annotated[int, Field(ge=0, le=MOST)] = 0
    levels: Literal["all", "highest"] = "highest"
    training_seeds: Seeds = "all"
    batch_size: Count = 4


class Film(Settings):
    """The film of a training: maps of a few images at `frames` steps (0 for none), spaced by their logarithm.

    Of each model's first seed. `images` are those that figures show, free photographs first. A film changes nothing of
    the training, so that trainings that are finished have none until they are made anew.
    """

    frames: Annotated[int, Field(ge=0, le=100)] = 24
    images: Annotated[int, Field(ge=1, le=12)] = 3


class Figures(Settings):
    """What figures show: whether photographs are drawn under the maps, and of how many test images; and their files.

    `raw` draws maps linearly up to their maxima, without percentile and gamma. `columns` of a journal's page, 1 (8.5
    cm) or 2 (17.4 cm), is what Figures 1 to 3 take; others are as wide as what they show.
    `kinds` are the files of each figure: 'png', which the page shows, and any of 'svg' and 'pdf'. `dpi` is of PNG.
    """

    photographs: bool = True
    raw: bool = False
    columns: Literal[1, 2] = 2
    images: Annotated[int, Field(ge=1, le=12)] = 3
    dpi: Annotated[int, Field(ge=50, le=600)] = 300
    kinds: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg")

    @field_validator("kinds", mode="before")
    @classmethod
    def _listed(cls, values: Any) -> Any:
        return tuple(values) if isinstance(values, list) else values  # as a manifest holds them

    @field_validator("kinds")
    @classmethod
    def _with_png(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if "png" not in values:
            raise ValueError("'png' must be among the kinds, as the page shows it; for PDF as well: ['png', 'pdf']")
        return distinct(values)
