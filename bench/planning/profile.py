"""The profile: what a run does, read from TOML, checked key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model

from bench import endings
from bench.planning.given import Network
from bench.planning.measurement import MEASUREMENTS
from bench.planning.sections import Augment, DataSettings, Figures, Film, Score, Settings, Train, Value
from bench.planning.shipped import DEFAULT, FOLDER, profiles
from segcam.errors import InputError, first_of, shown, unknown
from segcam.files import one_line, read_toml, user_path
from segcam.model_names import parsed

__all__ = [
    "DEFAULT",
    "Augment",
    "DataSettings",
    "Figures",
    "Film",
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
WORDS = {
    "tuple_type": "a list is needed",
    "dict_type": "a section is needed",
    "model_type": "a section is needed",
    "too_short": "name at least one",
    "string_type": "a text is needed",
}
"""What is needed, in the words of TOML rather than of Python, by pydantic's type of the error."""
RUN_WIDE = ("save_every",)
"""Keys of the section train that no model has for itself."""
BESIDE = ("seeds", *RUN_WIDE)
"""Keys of the section train that do not define a training: how many there are, and how often they are saved."""
DEEPEST = 8
"""Parts of the longest key."""
PART = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s.="']+"""
"""Of a key: in quotes as TOML has them, or bare, which here may hold a colon, too."""
KEYS = re.compile(rf"[ \t]*((?:{PART})(?:[ \t]*\.[ \t]*(?:{PART}))*)[ \t]*=")
NAME = r"^\w[\w.-]*$"
"""What a profile may be called: its runs' folder has the name."""
LETTERS = "begin with a letter or a digit, and use letters, digits, '_', '.' and '-', 100 at most"


class Profile(Settings):
    """Everything that a run does.

    `models` names networks that are trained, and their parameters; `recipes` says what of `train` is different for one
    of them. `networks` are those that are there already. Sections of measurements stand in their own files;
    `profile_class` has them as well.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=100)]
    summary: str = ""
    data: DataSettings
    models: dict[str, dict[str, Value]] = Field(default_factory=dict)
    networks: dict[Annotated[str, Field(pattern=NAME, max_length=100)], Network] = Field(default_factory=dict)
    train: Train = Train()
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    score: Score = Score()
    film: Film = Film()
    figures: Figures = Figures()
    _named: frozenset[str] = PrivateAttr(frozenset())  # the models that --set speaks of

    def recipe(self, model: str) -> Train:
        """Return how a model is trained: its recipe where it has one, and `train` for the rest."""
        return Train.model_validate(_tupled(_merged(self.train.model_dump(), self.recipes.get(model, {}))))

    def section(self, name: str) -> Any:
        """Return a measurement's section."""
        return getattr(self, name)

    def of(self, models: Sequence[str]) -> Profile:
        """Return the profile with some of its models alone, and their teachers.

        Raises:
            InputError: it has no such model, or `--set` speaks of one that is left out.
        """
        for name in models:
            if name not in (*self.models, *self.networks):
                raise unknown(f"model of profile {self.name}", name, (*self.models, *self.networks))
        models = [*models, *(self.recipe(name).teacher for name in models if name in self.models)]
        if idle := sorted(self._named - set(models)):
            raise InputError(f"--set speaks of model '{idle[0]}', which --model leaves out: leave out one of the two")
        return self.model_copy(
            update={
                "models": {name: parameters for name, parameters in self.models.items() if name in models},
                "recipes": {name: recipe for name, recipe in self.recipes.items() if name in models},
                "networks": {name: network for name, network in self.networks.items() if name in models},
            }
        )

    def portable(self) -> dict[str, Any]:
        """Return the profile without the places of files on this machine, JSON-ready."""
        values = self.model_dump(mode="json", exclude={"data": {"root", "cache", "masks"}})
        for network in values["networks"].values():
            network["source"] = re.sub(r"^(hf:|onnx:)?.*[/\\]", r"\1", network["source"])
            network["weights"] = [Path(file).name for file in network["weights"]]
        return values


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
    return of_values(*_parsed(name_or_file), settings)


def of_values(values: dict[str, Any], source: str, settings: list[str] | None = None) -> Profile:
    """Return the profile that values as of a TOML file make, changed as `settings` say.

    Args:
        values: by section and key.
        source: what errors call them.
        settings: see `read`.

    Raises:
        InputError: an unknown key or a bad value; the message names all of them.
    """
    from bench.planning.request import spelled_out  # noqa: PLC0415  (needs torch, which a report does not)

    with _not_too_deep(source):
        keys = _changed(values, settings or [])
        if isinstance(score := values.get("score"), dict):
            values["score"] = spelled_out(score)
        profile = _checked(values, source, keys)
    profile._named = frozenset(key[1] for key in keys if key[0] in ("models", "recipes") and len(key) > 1)
    return profile


@contextmanager
def _not_too_deep(source: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise InputError(f"{source} is nested too deeply: no key has more than {DEEPEST} parts") from error


def name_of(name_or_file: str) -> str:
    """Return the name that a profile gives its runs; nothing else of it is checked.

    Raises:
        InputError: no such profile, or a broken file.
    """
    values, source = _parsed(name_or_file)
    name = values["name"]
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or len(name) > 100:
        raise InputError(f"{source}: {_bad_name(name)}")
    return name


def _bad_name(name: object) -> str:
    return f"key 'name' is {shown(name)}: {LETTERS}; without the key it is the file's name"


def _parsed(name_or_file: str) -> tuple[dict[str, Any], str]:
    """Return what a profile's file says, and what to call the file."""
    if name_or_file in profiles() and not Path(name_or_file).is_file():
        values = tomllib.loads((FOLDER / f"{name_or_file}.toml").read_text(encoding="utf-8"))
        return {"name": name_or_file, **values}, f"profile {name_or_file}"
    if not (name_or_file.endswith(".toml") or "/" in name_or_file or _there(name_or_file)):
        raise InputError(f"{unknown('profile', name_or_file, profiles())}; or give the path of a .toml file")
    path = user_path(name_or_file, "--profile")
    return {"name": path.stem, **read_toml(path, "profile")}, str(path)


def _there(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long a name
        return False


def figures(settings: list[str], current: Figures) -> Figures:
    """Change the settings of figures alone.

    Raises:
        InputError: a setting is of another section, unknown or bad.
    """
    values: dict[str, Any] = {"figures": current.model_dump()}
    for setting in settings:
        keys = _setting(setting)[0]
        if keys[0] != "figures" or len(keys) == 1:
            raise InputError(f"--set {_cut(setting)}: only figures.* can be changed when a report is drawn again")
        if keys[1] == "images":
            raise InputError(
                f"--set {_cut(setting)}: maps are kept of the run's own images alone; run score with it instead"
            )
    with _not_too_deep("--set"):
        _changed(values, settings)
    try:
        return Figures.model_validate(_tupled(values["figures"]))
    except ValidationError as error:
        raise InputError(_told(_problems(error, Figures, "figures."), "--set")) from error


def _changed(values: dict[str, Any], settings: Sequence[str]) -> set[tuple[str, ...]]:
    """Change what the settings say, and return their keys; later ones win, which is said.

    Raises:
        InputError: one cannot be read.
    """
    given: dict[tuple[str, ...], Any] = {}
    for setting in settings:
        keys, value = _setting(setting)
        for other, before in given.items():
            shared = min(len(keys), len(other))
            if keys[:shared] != other[:shared] or len(other) < len(keys):
                continue  # of another place, or a part of a section that was set before
            if (other, _comparable(before)) != (keys, _comparable(value)):
                endings.say(
                    f"note: --set {_cut(setting)} takes the place of '{'.'.join(other)}', which was set before, to "
                    f"{shown(before)}"
                )
        given[keys] = value
        _change(values, keys, value, setting)
    return set(given)


def _comparable(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"  # 1, 1.0 and true are equal otherwise, and NaN is not


def _cut(setting: str) -> str:
    text = setting if one_line(setting) else repr(setting)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _setting(setting: str) -> tuple[tuple[str, ...], Any]:
    """Return the parts of a setting's key, and its value.

    Raises:
        InputError: it is no setting.
    """
    written = KEYS.match(setting)
    text = setting[written.end() :] if written else ""
    try:
        keys = tuple(map(_part, re.findall(PART, written[1]))) if written else ()
    except tomllib.TOMLDecodeError:  # an escape that TOML has not
        keys = ()
    if not keys or not all(keys) or not all(map(one_line, keys)) or "\n" in text.strip():
        raise InputError(
            f"--set {_cut(setting)}: write it as section.key=value, for example train.epochs=5, and a part of the key "
            "that holds a dot, a space, '=' or a quote in quotes"
        )
    if len(keys) > DEEPEST:
        raise InputError(f"--set {_cut(setting)}: no key has more than {DEEPEST} parts")
    try:
        return keys, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if any(sign in text for sign in "[]{}\"'\n"):
            raise InputError(f"--set {_cut(setting)}: the value is not valid TOML") from None
        return keys, text.strip()
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets without end
        raise InputError(f"--set {_cut(setting)}: the value is too long or nested too deeply") from error


def _part(text: str) -> str:
    """Return a part of a key without the quotes that it may be in."""
    return next(iter(tomllib.loads(f"{text} = 0"))) if text[0] in "'\"" else text


def _change(values: dict[str, Any], keys: tuple[str, ...], value: Any, setting: str) -> None:
    section = values
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise InputError(f"--set {_cut(setting)}: '{key}' is a value, not a section")
    section[keys[-1]] = value
    recipes = values.get("recipes")
    if keys[0] == "train" and isinstance(recipes, dict):
        # what is said of all models on the command line holds for those with a recipe, too
        for recipe in recipes.values():
            _forget(recipe, keys[1:])


def _forget(section: Any, keys: tuple[str, ...]) -> None:
    for key in keys[:-1]:
        section = section.get(key) if isinstance(section, dict) else None
    if isinstance(section, dict) and keys:
        section.pop(keys[-1], None)


def _checked(values: dict[str, Any], source: str, set_: Collection[tuple[str, ...]]) -> Profile:
    values = _tupled(values)
    problems: list[str] = []
    profile = None
    try:
        profile = profile_class().model_validate(values)
    except ValidationError as error:
        problems = _problems(error)
    else:
        problems = [
            text for name, recipe in profile.recipes.items() for text in _recipe_problems(profile, name, recipe)
        ]
        problems += _measurement_problems(profile) + _target_problems(profile) + _method_problems(profile.score)
        problems += _network_problems(profile)
        if not problems:  # recipes that can be read
            problems = list(dict.fromkeys(text for name in profile.models for text in _teacher_problems(profile, name)))
            problems += _twin_problems(profile) + _idle_problems(profile, set_)
    if problems or profile is None:
        raise InputError(_told(problems, source))
    return profile


def _told(problems: list[str], source: str) -> str:
    if len(problems) == 1:
        return f"{source}: {problems[0]}"
    return first_of(problems, f"{source} has wrong keys or values")


def _recipe_problems(profile: Profile, name: str, recipe: dict[str, Any]) -> list[str]:
    """Say what is wrong with a model's recipe, whose keys are those of the section train."""
    if name not in profile.models:
        return [str(unknown("model of section [recipes]", name, profile.models))]
    if fixed := [key for key in RUN_WIDE if key in recipe]:
        return [f"key 'recipes.{name}.{fixed[0]}' is one for the whole run: set train.{fixed[0]}"]
    try:
        profile.recipe(name)
    except ValidationError as error:
        return _problems(error, Train, f"recipes.{name}.")
    return []


def _network_problems(profile: Profile) -> list[str]:
    """Say where there is no network at all, or a network that is given has the name of one that is trained."""
    if not profile.models and not profile.networks:
        return ["no network is named: add a section [models.NAME] of one to train, or [networks.NAME] of one you have"]
    files = {name.replace(":", "-") for name in profile.models}
    return [
        f"key 'networks.{name}': a model that is trained is called so, too; choose another name"
        for name in profile.networks
        if name in files
    ]


def _measurement_problems(profile: Profile) -> list[str]:
    """Say what of measurements' sections does not fit the rest."""
    problems = []
    for measurement in MEASUREMENTS:
        try:
            measurement.sizes(profile)
        except InputError as error:
            problems.append(str(error))
    return problems


def _method_problems(score: Score) -> list[str]:
    """Say which of the methods' parameters are wrong; unknown methods are told elsewhere."""
    from bench.planning.request import methods_of  # noqa: PLC0415  (needs torch, which a report does not)
    from segcam.methods import METHODS  # noqa: PLC0415

    if not {*score.methods, *score.parameters} <= set(METHODS.names()):
        return []
    try:
        methods_of(score)
    except InputError as error:
        return [str(error)]
    return []


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


def _twin_problems(profile: Profile) -> list[str]:
    """Say which models are the same network under two spellings, trained alike."""
    from segcam.models import MODELS, complete  # noqa: PLC0415  (needs torch, which a report does not)

    networks = {}
    for name, parameters in profile.models.items():
        if (family := parsed(name).family) in MODELS.names():  # unknown names and values are told elsewhere
            with suppress(InputError):
                networks[name] = (family, complete(name, parameters), profile.recipe(name))
    return [
        f"models '{one}' and '{other}' are the same network, trained alike: leave one of them out"
        for one, other in combinations(networks, 2)
        if networks[one] == networks[other]
    ]


def _idle_problems(profile: Profile, set_: Collection[tuple[str, ...]]) -> list[str]:
    """Say which keys about methods with passes of their own stand there without any such method."""
    from segcam.methods import METHODS  # noqa: PLC0415  (as above)

    score, known = profile.score, METHODS.names()
    if any(name not in known or METHODS.get(name).own_passes for name in score.methods):
        return []
    keys = [("score", key) for key in sorted(score.model_fields_set) if key.startswith("own_pass_")]
    if ("score", "methods") in set_:  # then the file's own keys are for its own methods
        keys = [key for key in keys if key in set_]
    return [
        f"key '{'.'.join(key)}' is about methods with passes of their own, and score.methods names none: add one, such "
        "as captum_occlusion, or leave the key out"
        for key in keys[:1]
    ]


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], v)
        for key, v in changes.items()
        if isinstance(v, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **both}


def _tupled(value: Any) -> Any:
    """Turn lists into tuples, and ints into floats' place are left to pydantic: strict mode takes tuples alone."""
    if isinstance(value, dict):
        return {key: _tupled(v) for key, v in value.items()}
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def _problems(error: ValidationError, section: type[BaseModel] | None = None, prefix: str = "") -> list[str]:
    """Put pydantic's errors into words, each once; a list whose members are wrong is not told to be empty as well."""
    errors: list[dict[str, Any]] = [dict(e) for e in error.errors()]
    within = {tuple(e["loc"])[:n] for e in errors for n in range(len(e["loc"]))}
    told = [e for e in errors if e["type"] != "too_short" or tuple(e["loc"]) not in within]
    return list(dict.fromkeys(_problem(e, section, prefix) for e in told))


def _problem(error: dict[str, Any], section: type[BaseModel] | None = None, prefix: str = "") -> str:
    """Put one of pydantic's errors into words; whatever it is of, there are some."""
    path = [str(key) if one_line(str(key)) else repr(key) for key in error["loc"]]
    if error["type"] == "extra_forbidden":
        fields = _fields(section or profile_class(), path[:-1])
        within = f"{prefix}{'.'.join(path[:-1])}".rstrip(".")
        inside = f" of section [{within}]" if within else ""
        return str(unknown(f"key{inside}", path[-1], fields))
    if path == ["name"] and not prefix:
        return _bad_name(error["input"])
    if path[-1:] == ["[key]"]:  # the name of a section
        return f"section [{'.'.join(path[:-2])}.{shown(error['input'])}]: {LETTERS}"
    message = WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ") or "it is wrong"
    if path and path[-1] in UNION:  # one problem, told once for each of the kinds that it could have been
        path, message = path[:-1], "a number, a text, true or false is needed"
    given = "" if error["type"] == "missing" else f" is {shown(error['input'])}:"
    return f"key '{prefix}{'.'.join(path)}'{given} {message[0].lower()}{message[1:]}"


def _fields(section: Any, path: Sequence[str]) -> Collection[str]:
    """Return the keys that there are at a place of a section; none where it is no section."""
    for key in path:
        if get_origin(section) is dict:  # any key has a section
            section = get_args(section)[1]
            continue
        field = getattr(section, "model_fields", {}).get(key)
        section = field.annotation if field else None
    return getattr(section, "model_fields", {})
