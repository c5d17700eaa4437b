"""Profiles: every wrong key and value is told at once, with its place and the nearest right one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.planning import profile as profiles
from bench.planning.manifest import of_method
from segcam import InputError
from segcam.datasets import DATASETS
from segcam.methods import METHODS
from segcam.metrics import METRICS
from segcam.models import complete, create
from segcam.probe.targets import Target

SMALL = '[data]\ndataset = "scenes"\n[models.unet]\nwidth = 4\n'


RECIPES = f"""{SMALL}
[models.segformer]
[models.vit]
[train]
steps = 50
[train.augment]
flip = 0.25
[recipes.segformer]
levels = ["best"]
learning_rate = 0.001
teacher = "unet"
[recipes.segformer.augment]
colour = 0.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "several.toml"
    path.write_text(RECIPES)
    return path


def refused(name_or_file: str | Path, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        profiles.read(str(name_or_file), list(settings))
    return str(caught.value)


def test_the_profiles_that_texts_name_are_shipped() -> None:
    assert {profiles.DEFAULT, "smoke", "quick", "pets", "paper"} <= set(profiles.profiles())


@pytest.mark.parametrize("name", sorted(profiles.profiles()))
def test_shipped_profiles_are_valid_and_name_what_exists(name: str) -> None:
    profile = profiles.read(name)
    assert profile.name == name
    assert profile.summary == profiles.profiles()[name] != ""
    assert profile.data.dataset in DATASETS.names()
    for model, parameters in profile.models.items():
        narrow = {"width": 2} if "width" in complete(model, {}) else {}
        create(model, 2, {**parameters, **narrow}, pretrained=False)
    assert set(profile.score.methods) <= set(METHODS.names())
    assert set(profile.score.metrics) <= set(METRICS.names())
    for target in profile.score.targets:
        Target.parse(target)


def test_defaults_of_the_sections(file: Path) -> None:
    profile = profiles.read(str(file))
    assert profile.name == "mine"
    assert profile.train == profiles.Train()
    assert profile.score == profiles.Score()
    assert profile.train.levels == (30, 50, 70, 90)
    assert profile.train.tolerance == 2.0
    assert profile.data.border == "ignore"
    assert profile.score.targets == ("best_pixel:logit",)


def test_profiles_are_frozen(file: Path) -> None:
    profile = profiles.read(str(file))
    with pytest.raises(ValueError, match="frozen"):
        profile.train.epochs = 3.0  # type: ignore[misc]


UNKNOWN = "unknown key of section "
FORM = "write it as section.key=value, for example train.epochs=5"
TEACHER = "a teacher must be another model, without a teacher"
REFUSED = {
    "trian.epochs=4": "{file}: unknown key 'trian': did you mean 'train'?",
    "train.epohcs=4": f"{UNKNOWN}[train] 'epohcs': did you mean 'epochs'?",
    "score.metrcs=4": f"{UNKNOWN}[score] 'metrcs': did you mean 'metrics'?",
    "train.augment.flop=0.2": f"{UNKNOWN}[train.augment] 'flop': did you mean 'flip'?",
    "figures.photograph=true": f"{UNKNOWN}[figures] 'photograph': did you mean 'photographs'?",
    "data.bordr=pet": f"{UNKNOWN}[data] 'bordr': did you mean 'border'?",
    "train.epochs=0": "{file}: key 'train.epochs' is 0: input should be greater than 0",
    "train.epochs=many": "'train.epochs' is 'many': input should be a valid number",
    "train.levels=[30, 30]": "'train.levels' is (30, 30): each may be named once",
    "train.levels=[30, 101]": "'train.levels.1' is 101: input should be less than or equal to 100",
    "train.schedule=step": "'train.schedule' is 'step': input should be 'onecycle' or 'cosine'",
    "score.max_memory=much": "'score.max_memory' is 'much': could not parse value and unit from byte string",
    "figures.kinds=['svg', 'pdf']": "'png' must be among the kinds, as the page shows it",
    "recipes.segfomer.steps=7": "unknown model of section [recipes] 'segfomer'",
    "recipes.vit.stepps=7": f"{UNKNOWN}[recipes.vit] 'stepps'",
    "recipes.vit.steps=0": "key 'recipes.vit.steps' is 0",
    "recipes.vit.augment.flip=2": "key 'recipes.vit.augment.flip' is 2",
    "recipes.vit.save_every=1.0": "key 'recipes.vit.save_every' is one for the whole run: set train.save_every",
    "recipes.segformer.seeds=[0, 4]": "is 'unet', which has no seed 4",
    "recipes.vit.seeds=[]": "key 'recipes.vit.seeds'",
    "recipes.vit.teacher=vti": "unknown model of the profile 'vti'",
    "recipes.vit.teacher=vit": TEACHER,
    "recipes.vit.teacher=segformer": TEACHER,
    "train.teacher=unet": f"key 'train.teacher' is 'unet': {TEACHER}",
    "train.teacher=unt": "key 'train.teacher': unknown model of the profile 'unt'",
    **dict.fromkeys(("train.epochs", "=4", ".epochs=4", "train.=4", "train..epochs=4", ""), FORM),
    "train.levels=[30,": "--set train.levels=[30,: the value is not valid TOML",
    "data.root='open": "--set data.root='open: the value is not valid TOML",
    "models.unet={width": "--set models.unet={width: the value is not valid TOML",
    "data.dataset.name=3": "'dataset' is a value, not a section",
}


@pytest.mark.parametrize(("setting", "words"), REFUSED.items())
def test_what_is_said_of_wrong_settings(several: Path, setting: str, words: str) -> None:
    message = refused(several, setting)
    for text in words.replace("{file}", str(several)).split(": did you"):
        assert text in message
    assert refused("smoke", "train.epochs=0").startswith("profile smoke: key 'train.epochs'")


def test_unknown_keys_in_the_file_itself(file: Path) -> None:
    file.write_text('colour = "red"\n' + SMALL + "[train]\nepoch = 3\n")
    message = refused(file)
    assert message.startswith(f"{file} has wrong keys or values (2 in all):")
    assert "unknown key 'colour'" in message
    assert "unknown key of section [train] 'epoch'" in message


def test_all_problems_are_told_at_once(file: Path) -> None:
    message = refused(file, "train.levels=[]", "train.epohcs=4", "data.size=8", "score.batch_size=0", "data.border=dog")
    assert "(5 in all)" in message
    for key in ("train.levels", "epohcs", "data.size", "score.batch_size", "data.border"):
        assert key in message
    assert len(message.splitlines()) == 6


BAD = {
    "train.epochs": ["0", "-1", "true", "many", "nan", "inf"],
    "train.weight_decay": ["inf"],
    "train.learning_rate": ["0"],
    "train.batch_size": ["1", "8.0", "'8'"],
    "train.steps": ["0"],
    "train.levels": ["30", "[30, 30]", "[]"],
    "train.levels.0": ["[0]", "[30.5]"],
    "train.levels.1": ["[30, 101]"],
    "train.seeds": ["[]"],
    "train.seeds.0": ["[-1]", f"[{2**63}]"],
    "train.tolerance": ["0"],
    "train.average": ["1"],
    "train.schedule": ["step"],
    "train.precision": ["fp16"],
    "train.augment.scale": ["0.5"],
    "score.targets": ["[]"],
    "score.methods": ["['random', 'random']"],
    "score.points.0": ["['norm']"],
    "score.class_id": ["-1"],
    "score.max_memory": ["0", "much"],
    "figures.images": ["0"],
    "figures.photographs": ["1"],
    "figures.kinds": ["['svg', 'pdf']", "[]", "['png', 'png']", "'png'"],
    "figures.kinds.1": ["['png', 'eps']"],
    "data.val_share": ["1"],
    "data": ["5"],
    "models": ["{}"],
    "models.unet": ["4"],
    "name": ["3", "'../up'", "''"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_bad_values(file: Path, key: str, value: str) -> None:
    message = refused(file, f"{re.sub(r'[.][0-9]$', '', key)}={value}")
    assert message.startswith(str(file))
    assert f"key '{key}' is " in message


@pytest.mark.parametrize("lacking", ["data", "models"])
def test_what_has_no_default_must_be_there(file: Path, lacking: str) -> None:
    sections = {"data": '[data]\ndataset = "scenes"\n', "models": "[models.unet]\nwidth = 4\n"}
    file.write_text(next(text for name, text in sections.items() if name != lacking))
    assert refused(file) == f"{file}: key '{lacking}' field required"


def test_ints_are_floats_too(file: Path) -> None:
    train = profiles.read(str(file), ["train.epochs=5", "train.tolerance=4", "train.augment.rotation=0"]).train
    assert (train.epochs, train.tolerance, train.augment.rotation) == (5, 4, 0)
    assert isinstance(train.epochs, float)


def test_levels_and_seeds_are_sorted_the_rest_keeps_its_order(file: Path) -> None:
    settings = ['train.levels=[90, "best", 30]', "train.seeds=[2, 0]", "score.methods=['uniform', 'grad_cam']"]
    profile = profiles.read(str(file), settings)
    assert profile.train.levels == (30, 90, 100), "the best stands for the highest"
    assert profile.train.seeds == (0, 2)
    assert profile.score.methods == ("uniform", "grad_cam")
    assert "is 'bset'" in refused(file, 'train.levels=["bset"]')


@pytest.mark.parametrize(
    ("setting", "root"),
    [
        ("data.root=/some/place", "/some/place"),
        ("data.root='/some/place'", "/some/place"),
        ('data.root="a b"', "a b"),
        (" data.root = bare word ", "bare word"),
        ("data.root=a=b", "a=b"),
    ],
)
def test_words_need_no_quotes(file: Path, setting: str, root: str) -> None:
    assert profiles.read(str(file), [setting]).data.root == root


def test_later_settings_win_and_make_sections(file: Path) -> None:
    settings = ["train.epochs=5", "train.epochs=6.5", "train.augment.flip=0", "models.b.width=2"]
    profile = profiles.read(str(file), settings)
    assert (profile.train.epochs, profile.train.augment.flip) == (6.5, 0)
    assert profile.models == {"unet": {"width": 4}, "b": {"width": 2}}


def test_settings_keep_the_rest_of_their_section() -> None:
    plain, changed = profiles.read("smoke"), profiles.read("smoke", ["train.epochs=3"])
    assert changed.train == plain.train.model_copy(update={"epochs": 3.0})
    assert changed.model_copy(update={"train": plain.train}) == plain


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "profile {} cannot be read: [Errno 2] No such file"),
        ("folder", "profile {} cannot be read"),
        ("broken", "{} is not valid TOML: "),
        ("binary", "profile {} cannot be read"),
    ],
)
def test_files_that_are_no_profile(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "broken.toml").write_text("[data\n")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    file = tmp_path / f"{name}.toml"
    assert refused(file).startswith(words.format(file))


def test_portable_holds_no_place_of_this_machine_and_comes_back(file: Path) -> None:
    settings = ["train.levels=[30]", "score.targets=['predicted']", "score.max_memory=4 GB"]
    profile = profiles.read(str(file), settings)
    assert profile.score.max_memory == 4_000_000_000
    placed = profiles.read(str(file), [*settings, "data.root=/some/place", "data.cache=/other/place"])
    assert placed.portable() == profile.portable() == json.loads(json.dumps(profile.portable()))
    assert {"root", "cache"}.isdisjoint(profile.portable()["data"])
    assert profiles.profile_class().model_validate(profile.portable(), strict=False) == profile


def test_figures_alone(file: Path) -> None:
    now = profiles.figures(["figures.photographs=false", "figures.dpi=60"], profiles.Figures(images=5))
    assert now == profiles.Figures(photographs=False, images=5, dpi=60)
    assert now.kinds == ("png", "svg")
    figures = profiles.read(str(file), ["figures.kinds=['png', 'pdf']"]).figures
    assert figures.kinds == ("png", "pdf")
    assert profiles.Figures.model_validate(figures.model_dump(mode="json")) == figures
    assert profiles.figures(["figures.kinds=['pdf', 'png']"], profiles.Figures()).kinds == ("pdf", "png")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epochs=3", "only figures.* can be changed"),
        ("figures=3", "only figures.* can be changed"),
        ("figures.images=2", "maps are kept of the run's own images alone"),
        ("figures.dpi=5", "key 'dpi' is 5"),
        ("figures.photograph=true", "unknown key 'photograph'"),
        ("figures.dpi", "write it as section.key=value"),
    ],
)
def test_figures_refuse(setting: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        profiles.figures([setting], profiles.Figures())


def test_a_recipe_changes_what_it_names_for_its_model_alone(several: Path) -> None:
    profile = profiles.read(str(several))
    plain, own = profile.recipe("vit"), profile.recipe("segformer")
    assert plain == profile.train
    assert (own.levels, own.learning_rate, own.teacher, own.steps) == ((100,), 0.001, "unet", 50)
    assert (own.augment.colour, own.augment.flip) == (0.5, 0.25)
    assert (plain.augment.colour, plain.augment.flip) == (0.3, 0.25)


def test_what_is_set_for_all_holds_for_those_with_a_recipe(several: Path) -> None:
    settings = ["train.learning_rate=0.5", "train.augment.colour=0.1", "recipes.segformer.steps=7"]
    profile = profiles.read(str(several), settings)
    own = profile.recipe("segformer")
    assert (own.learning_rate, own.augment.colour, own.steps, own.teacher) == (0.5, 0.1, 7, "unet")
    assert profile.recipe("unet").steps == 50


def test_some_models_alone_keep_their_teachers(several: Path) -> None:
    profile = profiles.read(str(several))
    assert list(profile.of(["segformer"]).models) == ["unet", "segformer"]
    assert list(profile.of(["vit"]).models) == ["vit"]
    assert profile.of(["vit"]).recipes == {}
    with pytest.raises(InputError, match=r"unknown model of profile several 'vitt': .*did you mean 'vit'"):
        profile.of(["vitt"])


def test_families_and_all_metrics_are_spelled_out(file: Path) -> None:
    file.write_text(SMALL + '[score]\nmetrics = "all"\nmethods = ["sobel", "family:cam", "family:control"]\n')
    score = profiles.read(str(file)).score
    assert list(score.metrics) == METRICS.names()
    assert score.methods[0] == "sobel"
    families = {method.name: of_method(method).family for method in METHODS}
    assert set(score.methods) == {name for name, family in families.items() if family in ("cam", "control")}
    assert len(set(score.methods)) == len(score.methods)
    assert refused(file, 'score.methods=["family:controls"]') == (
        "key 'score.methods': unknown family of methods 'controls': known are attention, cam, captum, control, "
        "perturbation; did you mean 'control'?"
    )
    assert profiles.read(str(file), ["score.metrics=all"]).score.metrics == score.metrics
