"""The profile: what a run does, read from TOML, checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, create_model

from bench.planning.measurement import MEASUREMENTS
from bench.planning.sections import Augment, DataSettings, Figures, Score, Settings, Train, Value
from bench.planning.shipped import DEFAULT, FOLDER, profiles
from segcam.errors import InputError, first_of, unknown

__all__ = [
    "DEFAULT",
    "Augment",
    "DataSettings",
    "Figures",
    "Profile",
    "Score",
    "Settings",
    "Train",
    "figures",
    "name_of",
    "profile_class",
    "profiles",
    "read",
]

UNION = ("bool", "int", "float", "str")
"""What pydantic adds to the place of a value of several kinds."""
RUN_WIDE = ("save_every",)
"""Keys of the section train that no model has for itself."""
BESIDE = ("seeds", *RUN_WIDE)
"""Keys of the section train that do not define a training: how many there are, and how often they are saved."""


class Profile(Settings):
    """Everything that a run does.

    `models` names networks and their parameters; `recipes` says what of `train` is different for one of them. Sections
    of measurements stand in their own files; `profile_class` has them as well.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    summary: str = ""
    data: DataSettings
    models: Annotated[dict[str, dict[str, Value]], Field(min_length=1)]
    train: Train = Train()
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    score: Score = Score()
    figures: Figures = Figures()

    def recipe(self, model: str) -> Train:
        """Return how a model is trained: its recipe where it has one, and `train` for the rest."""
        return Train.model_validate(_tupled(_merged(self.train.model_dump(), self.recipes.get(model, {}))))

    def section(self, name: str) -> Any:
        """Return a measurement's section."""
        return getattr(self, name)

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


def profile_class() -> type[Profile]:
    """Return the profile with the section of every measurement that has one."""
    return _with_sections(tuple((m.name, m.settings) for m in MEASUREMENTS if m.settings))


@cache
def _with_sections(sections: tuple[tuple[str, type[Settings]], ...]) -> type[Profile]:
    fields: dict[str, Any] = {name: (section, section()) for name, section in sections}
    return create_model("Profile", __base__=Profile, **fields)


def read(name_or_file: str, settings: list[str] | None = None) -> Profile:
    """Read a profile by its name or file, and change what `settings` say.

    Args:
        name_or_file: a name from `profiles()`, or the path of a TOML file.
        settings: 'section.key=value' each, the value in TOML; a bare word counts as a string.

    Raises:
        InputError: no such profile, a broken file, an unknown key or a bad value; the message names all of them.
    """
    from bench.planning.request import spelled_out  # noqa: PLC0415  (needs torch, which a report does not)

    values, source = _parsed(name_or_file)
    for setting in settings or []:
        _change(values, setting)
    if isinstance(score := values.get("score"), dict):
        values["score"] = spelled_out(score)
    return _checked(values, source)


def name_of(name_or_file: str) -> str:
    """Return the name that a profile gives its runs; nothing else of it is checked.

    Raises:
        InputError: no such profile, or a broken file.
    """
    return str(_parsed(name_or_file)[0]["name"])


def _parsed(name_or_file: str) -> tuple[dict[str, Any], str]:
    """Return what a profile's file says, and what to call the file."""
    path = Path(name_or_file)
    if path.suffix == ".toml" or path.is_file():
        source, name = str(path), path.stem
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"profile {path} cannot be read: {error}") from error
    else:
        if name_or_file not in profiles():
            raise InputError(f"{unknown('profile', name_or_file, profiles())}; or give the path of a .toml file")
        source, name = f"profile {name_or_file}", name_or_file
        text = (FOLDER / f"{name_or_file}.toml").read_text(encoding="utf-8")
    try:
        return {"name": name, **tomllib.loads(text)}, source
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}") from error


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
        profile = profile_class().model_validate(values)
    except ValidationError as error:
        problems = list(dict.fromkeys(_problem(dict(e)) for e in error.errors()))
    else:
        problems = [
            text for name, recipe in profile.recipes.items() for text in _recipe_problems(profile, name, recipe)
        ]
        problems += _measurement_problems(profile) + _target_problems(profile)
        if not problems:  # recipes that can be read
            problems = list(dict.fromkeys(text for name in profile.models for text in _teacher_problems(profile, name)))
    if problems or profile is None:
        heading = f"{source} has wrong keys or values"
        raise InputError(f"{source}: {problems[0]}" if len(problems) == 1 else first_of(problems, heading))
    return profile


def _recipe_problems(profile: Profile, name: str, recipe: dict[str, Any]) -> list[str]:
    """Say what is wrong with a model's recipe, whose keys are those of the section train."""
    if name not in profile.models:
        return [str(unknown("model of section [recipes]", name, profile.models))]
    if fixed := [key for key in RUN_WIDE if key in recipe]:
        return [f"key 'recipes.{name}.{fixed[0]}' is one for the whole run: set train.{fixed[0]}"]
    try:
        profile.recipe(name)
    except ValidationError as error:
        return [_problem(dict(e), Train, f"recipes.{name}.") for e in error.errors()]
    return []


def _measurement_problems(profile: Profile) -> list[str]:
    """Say what of measurements' sections does not fit the rest."""
    problems = []
    for measurement in MEASUREMENTS:
        try:
            measurement.sizes(profile)
        except InputError as error:
            problems.append(str(error))
    return problems


def _target_problems(profile: Profile) -> list[str]:
    """Say which targets of methods that take passes of their own are not among the targets."""
    score = profile.score
    wrong = [name for name in score.own_pass_targets if name not in score.targets]
    return [
        f"key 'score.own_pass_targets': {unknown('target of score.targets', name, score.targets)}" for name in wrong
    ]


def _teacher_problems(profile: Profile, name: str) -> list[str]:
    """Say what is wrong with a model's teacher, be it the recipe's or the one of section train."""
    teacher = profile.recipe(name).teacher
    key = f"recipes.{name}.teacher" if "teacher" in profile.recipes.get(name, {}) else "train.teacher"
    if teacher and teacher not in profile.models:
        return [f"key '{key}': {unknown('model of the profile', teacher, profile.models)}"]
    if teacher and (teacher == name or profile.recipe(teacher).teacher):
        return [f"key '{key}' is '{teacher}': a teacher must be another model, without a teacher"]
    if teacher and (lacking := set(profile.recipe(name).seeds) - set(profile.recipe(teacher).seeds)):
        seed = min(lacking)
        return [f"key '{key}' is '{teacher}', which has no seed {seed}: add it to its seeds, or take it from {name}'s"]
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
    path = [str(key) for key in error["loc"]]
    if error["type"] == "extra_forbidden":
        section = section or profile_class()
        for key in path[:-1]:
            section = section.model_fields[key].annotation
        within = f"{prefix}{'.'.join(path[:-1])}".rstrip(".")
        inside = f" of section [{within}]" if within else ""
        return str(unknown(f"key{inside}", path[-1], section.model_fields))
    message = error["msg"].removeprefix("Value error, ")
    if path[-1] in UNION:  # one problem, told once for each of the kinds that it could have been
        path, message = path[:-1], "a number, a text, true or false is needed"
    given = "" if error["type"] == "missing" else f" is {error['input']!r}:"
    return f"key '{prefix}{'.'.join(path)}'{given} {message[0].lower()}{message[1:]}"
