"""The profile: what a run does, read from TOML, checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from bench.levels import BEST
from segcam.errors import InputError, first_of, unknown

FOLDER = files("bench") / "profiles"
DEFAULT = "quick"


def _level(value: Any) -> Any:
    return BEST if value == "best" else value


Level = Annotated[int, BeforeValidator(_level), Field(ge=1, le=BEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
T = TypeVar("T")
Value = bool | int | float | str
RUN_WIDE = ("seeds", "save_every")
"""Keys of the section train that no model has for itself."""


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each may be named once")
    return values


class Section(BaseModel):
    """A part of the profile: frozen, and an unknown key is an error, as are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Section):
    """Which images.

    `train`, `val` and `test` limit the numbers of images; without them all are taken, or the drawn data's default.
    `seed` is of drawn data and of the choice of validation images. `root` and `cache` say where files are and define
    nothing, so they are no part of a run's identity.
    """

    dataset: str
    size: Annotated[int, Field(ge=16, le=4096)] = 128
    border: Literal["ignore", "pet", "background"] = "ignore"
    seed: Seed = 0
    train: Whole | None = None
    val: Whole | None = None
    test: Whole | None = None
    val_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    root: str | None = None
    cache: str | None = None


class Augment(Section):
    """How far training images are moved and recoloured, see `bench.augment.Augmentation`."""

    flip: Share = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    scale: Annotated[float, Field(ge=1, le=4)] = 1.3
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.3


class Train(Section):
    """How networks are trained, and to which levels of validation mean IoU, in percent.

    The level "best" is the checkpoint with the highest validation mean IoU of the whole training; tables call it 100.

    `start` is what the untrained network answers. By chance it scores a mean IoU of about 0.33 on two classes, so that
    a level of 30 % would be passed by luck or not at all; from 'foreground' everywhere (0.16 on the pets) each level
    lies on the way up. 'random' leaves the first weights as they are.

    Training ends when all levels are reached and the highest is passed, and at the latest after `steps` steps;
    without `steps`, after `epochs` times the training images.

    `teacher` is a model of the profile, trained before, whose features the network learns to give as well (see
    `bench.hints`), with a loss of `teacher_weight`.
    """

    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = (30, 50, 70, 90)
    tolerance: Annotated[float, Field(gt=0, le=20)] = 2.0
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    start: Literal["foreground", "random"] = "foreground"
    epochs: Annotated[float, Field(gt=0)] = 60.0
    steps: Whole | None = None
    batch_size: Annotated[int, Field(ge=2)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    warmup: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    longest_interval: Whole = 32
    save_every: Annotated[float, Field(ge=0)] = 20.0
    teacher: str = ""
    teacher_weight: Annotated[float, Field(gt=0)] = 2.0
    augment: Augment = Augment()

    @field_validator("levels", "seeds")
    @classmethod
    def _once(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(_distinct(values)))


class Score(Section):
    """What is explained, with which methods, and measured how, on the test images.

    `attention` says whether the attention of networks that have it is measured, block by block and head by head.
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("best_pixel:logit",)
    class_id: Annotated[int, Field(ge=0)] = 1
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
        "spread",
        "edge_thickness",
        "blank",
    )
    points: Annotated[tuple[Literal["conv", "relu"], ...], Field(min_length=1)] = ("conv",)
    attention: bool = True
    batch_size: Whole = 16
    shard: Whole = 128
    precision: Literal["fp32", "bf16"] = "fp32"

    @field_validator("targets", "methods", "metrics", "points")
    @classmethod
    def _once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(values)


class Resolution(Section):
    """At which multiples of the training size each network is tested, at its highest level; none by default."""

    factors: tuple[Annotated[float, Field(gt=0, le=8)], ...] = ()

    @field_validator("factors")
    @classmethod
    def _once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return _distinct(values)


class Figures(Section):
    """What figures show: whether photographs are drawn under the maps, and of how many test images."""

    photographs: bool = True
    images: Annotated[int, Field(ge=1, le=12)] = 3
    dpi: Annotated[int, Field(ge=50, le=600)] = 200


class Profile(Section):
    """Everything that a run does.

    `models` names networks and their parameters; `recipes` says what of `train` is different for one of them.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    summary: str = ""
    data: Data
    models: Annotated[dict[str, dict[str, Value]], Field(min_length=1)]
    train: Train = Train()
    recipes: dict[str, dict[str, Any]] = {}
    score: Score = Score()
    resolution: Resolution = Resolution()
    figures: Figures = Figures()

    def recipe(self, model: str) -> Train:
        """Return how a model is trained: its recipe where it has one, and `train` for the rest."""
        return Train.model_validate(_tupled(_merged(self.train.model_dump(), self.recipes.get(model, {}))))

    def of(self, models: Sequence[str]) -> Profile:
        """Return the profile with some of its models alone, and their teachers.

        Raises:
            InputError: it has no such model.
        """
        for name in models:
            if name not in self.models:
                raise unknown(f"model of profile {self.name}", name, self.models)
        models = [*models, *(self.recipe(name).teacher for name in models)]
        return self.model_copy(
            update={
                "models": {name: parameters for name, parameters in self.models.items() if name in models},
                "recipes": {name: recipe for name, recipe in self.recipes.items() if name in models},
            }
        )

    def portable(self) -> dict[str, Any]:
        """Return the profile without the places of files on this machine, JSON-ready."""
        return self.model_dump(mode="json", exclude={"data": {"root", "cache"}})


def profiles() -> dict[str, str]:
    """Return the names of the profiles that come with the package, with a line on each."""
    found = {
        p.name.removesuffix(".toml"): p.read_text(encoding="utf-8")
        for p in FOLDER.iterdir()
        if p.name.endswith(".toml")
    }
    return {name: tomllib.loads(text).get("summary", "") for name, text in sorted(found.items())}


def read(wanted: str, settings: list[str] | None = None) -> Profile:
    """Read a profile by its name or file, and change what `settings` say.

    Args:
        wanted: a name from `profiles()`, or the path of a TOML file.
        settings: 'section.key=value' each, the value in TOML; a bare word counts as a string.

    Raises:
        InputError: no such profile, a broken file, an unknown key or a bad value; the message names all of them.
    """
    path = Path(wanted)
    if path.suffix == ".toml" or path.is_file():
        source, name = str(path), path.stem
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"profile {path} cannot be read: {error}") from error
    else:
        if wanted not in profiles():
            raise InputError(f"{unknown('profile', wanted, profiles())}; or give the path of a .toml file")
        source, name = f"profile {wanted}", wanted
        text = (FOLDER / f"{wanted}.toml").read_text(encoding="utf-8")
    try:
        values: dict[str, Any] = {"name": name, **tomllib.loads(text)}
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}") from error
    for setting in settings or []:
        _change(values, setting)
    return _checked(values, source)


def figures(settings: list[str], current: Figures) -> Figures:
    """Change the settings of figures alone.

    Raises:
        InputError: a setting is of another section, unknown or bad.
    """
    values: dict[str, Any] = {"figures": current.model_dump()}
    for setting in settings:
        if not setting.strip().startswith("figures."):
            raise InputError(f"--set {setting}: only figures.* can be changed when a report is drawn again")
        if setting.strip().startswith("figures.images"):
            raise InputError(f"--set {setting}: maps are kept of the run's own images alone; run score with it instead")
        _change(values, setting)
    try:
        return Figures.model_validate(_tupled(values["figures"]))
    except ValidationError as error:
        raise InputError(first_of([_problem(dict(e), Figures) for e in error.errors()], "--set figures")) from error


def _change(values: dict[str, Any], setting: str) -> None:
    path, sign, text = setting.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys) or "\n" in text.strip():
        raise InputError(f"--set {setting}: write it as section.key=value, for example train.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if any(sign in text for sign in "[]{}\"'\n"):
            raise InputError(f"--set {setting}: the value is not valid TOML") from None
        value = text.strip()
    section = values
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise InputError(f"--set {setting}: '{key}' is a value, not a section")
    section[keys[-1]] = value
    if keys[0] == "train":  # what is said of all models on the command line holds for those with a recipe, too
        for recipe in values.get("recipes", {}).values():
            _forget(recipe, keys[1:])


def _forget(section: Any, keys: list[str]) -> None:
    for key in keys[:-1]:
        section = section.get(key) if isinstance(section, dict) else None
    if isinstance(section, dict):
        section.pop(keys[-1], None)


def _checked(values: dict[str, Any], source: str) -> Profile:
    values = _tupled(values)
    problems: list[str] = []
    profile = None
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        problems = [_problem(dict(e)) for e in error.errors()]
    else:
        problems = [
            text for name, recipe in profile.recipes.items() for text in _recipe_problems(profile, name, recipe)
        ]
    if problems or profile is None:
        heading = f"{source} has wrong keys or values"
        raise InputError(f"{source}: {problems[0]}" if len(problems) == 1 else first_of(problems, heading))
    return profile


def _recipe_problems(profile: Profile, name: str, recipe: dict[str, Any]) -> list[str]:
    """Say what is wrong with a model's recipe, whose keys are those of the section train."""
    if name not in profile.models:
        return [str(unknown("model of section [recipes]", name, profile.models))]
    if kept := [key for key in RUN_WIDE if key in recipe]:
        return [f"key 'recipes.{name}.{kept[0]}' is one for the whole run: set train.{kept[0]}"]
    try:
        teacher = profile.recipe(name).teacher
    except ValidationError as error:
        return [_problem(dict(e), Train, f"recipes.{name}.") for e in error.errors()]
    if teacher and teacher not in profile.models:
        return [f"key 'recipes.{name}.teacher': {unknown('model of the profile', teacher, profile.models)}"]
    if teacher and (teacher == name or profile.recipes.get(teacher, {}).get("teacher")):
        return [f"key 'recipes.{name}.teacher' is '{teacher}': a teacher must be another model, without a teacher"]
    return []


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], v) for key, v in changes.items() if isinstance(v, dict) and key in base}
    return {**base, **changes, **both}


def _tupled(value: Any) -> Any:
    """Turn lists into tuples, and ints into floats' place are left to pydantic: strict mode takes tuples alone."""
    if isinstance(value, dict):
        return {key: _tupled(v) for key, v in value.items()}
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def _problem(error: dict[str, Any], section: Any = None, prefix: str = "") -> str:
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        section = section or Profile
        for part in path[:-1]:
            section = section.model_fields[part].annotation
        within = f"{prefix}{'.'.join(path[:-1])}".rstrip(".")
        inside = f" of section [{within}]" if within else ""
        return str(unknown(f"key{inside}", path[-1], section.model_fields))
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] == "missing" else f" is {error['input']!r}:"
    return f"key '{prefix}{'.'.join(path)}'{given} {message[0].lower()}{message[1:]}"
