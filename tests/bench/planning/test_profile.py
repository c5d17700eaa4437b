"""Profiles: every wrong key and value is told at once, with its place and the nearest right one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses.paper.claims.registration import registered
from bench.planning import profile as profiles
from bench.planning.manifest import of_method, of_profile
from bench.planning.shipped import FOLDER
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


@pytest.mark.parametrize("name", ["pets", "paper"])
def test_studies_of_the_paper_train_the_pair_that_differs_in_mix_ffn_alone(name: str) -> None:
    profile = profiles.read(name)
    pair = ("segformer", "segformer_position")
    assert set(pair) <= set(profile.models)
    assert profile.recipe(pair[0]) == profile.recipe(pair[1])
    (claim,) = [claim for claim in registered().claims if claim.id == "C8"]
    (compared,) = claim.deciding
    assert {group.model for group in compared.groups} == set(pair)
    assert {*compared.factors, 1.0} <= set(profile.section("resolution").factors)


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
    **dict.fromkeys(("train.'epochs=4", 'train."epochs=4', 'train."\\q"=4', 'train."epo"chs=4', 'train.""=4'), FORM),
    **dict.fromkeys(("train epochs=4", 'train."a\\nb"=4', "train.\nepochs=4"), "in quotes"),
    'train."b c".d=1': f"{UNKNOWN}[train] 'b c'",
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
    "models.unet": ["4"],
    "name": ["3", "'../up'", "''"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_bad_values(file: Path, key: str, value: str) -> None:
    message = refused(file, f"{re.sub(r'[.][0-9]$', '', key)}={value}")
    assert message.startswith(str(file))
    assert f"key '{key}' is " in message


def test_what_has_no_default_must_be_there(file: Path) -> None:
    file.write_text("[models.unet]\nwidth = 4\n")
    assert refused(file) == f"{file}: key 'data' field required"


def test_a_network_must_be_there_to_train_or_given(file: Path) -> None:
    data = '[data]\ndataset = "scenes"\n'
    file.write_text(data)
    assert "no network is named: add a section [models.NAME] of one to train, or [networks.NAME]" in refused(file)
    file.write_text(f'{data}[networks.mine]\nsource = "unet"\n')
    assert list(profiles.read(str(file)).networks) == ["mine"]
    file.write_text(f'{data}[models.unet]\nwidth = 4\n[networks.unet]\nsource = "unet"\n')
    assert "key 'networks.unet': a model that is trained is called so, too" in refused(file)


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


def test_parts_of_keys_in_quotes(file: Path) -> None:
    """As TOML has them: a variant's name may hold a dot, and a file's an '=' or a quote."""
    name = "timm_unet:resnet18.a1_in1k"
    for key in (f'models."{name}".pretrained', f" models . '{name}' .pretrained"):
        assert profiles.read(str(file), [f"{key}=none"]).models[name] == {"pretrained": "none"}
    values: dict[str, Any] = {}
    profiles._changed(values, [r'a."b = \"c\"".d=1', "a.'x.y'='z = 1'"])
    assert values == {"a": {'b = "c"': {"d": 1}, "x.y": "z = 1"}}


def test_settings_make_sections_and_may_be_said_twice(file: Path) -> None:
    settings = ["train.epochs=6.5", "train.augment.flip=0", "models.b={}", "models.b.width=2", "train.epochs=6.5"]
    profile = profiles.read(str(file), settings)
    assert (profile.train.epochs, profile.train.augment.flip) == (6.5, 0)
    assert profile.models == {"unet": {"width": 4}, "b": {"width": 2}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.epochs=5", "train.epochs=6"], "--set train.epochs=6 takes the place of 'train.epochs', which was set"),
        (["train.epochs=1.0", "train.epochs=1"], "which was set before, to 1.0"),
        (["models.b.width=2", "models.b={}"], "--set models.b={} takes the place of 'models.b.width'"),
        (["train.epochs=5", "train.epochs=5"], ""),
        (["models.b={}", "models.b.width=2"], ""),
    ],
)
def test_settings_that_contradict_each_other(
    file: Path, settings: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The later one wins, and it is said which."""
    last = profiles.read(str(file), settings[-1:] if words else settings)
    assert profiles.read(str(file), settings) == last
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert bool(words) == bool(said)


DEEP = 10_000


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (f"train.epochs={'[' * DEEP * 10}", "too long or nested too deeply"),
        (f"train.epochs={'[' * 300 + ']' * 300}", "'train.epochs' is"),
        (f"train.epochs={'9' * 5000}", "the value is too long or nested too deeply"),
        (f"train.epochs={'9' * 4000}", "'train.epochs' is 9999"),
        (f"{'a.' * DEEP}a=1", "no key has more than 8 parts"),
        (f"{'a' * DEEP}=1", "unknown key 'aaaa"),
        (f"train.{'e' * DEEP}=1", "unknown key of section [train] 'eeee"),
        ("__class__=3", "unknown key '__class__'"),
        ("train.__class__.__name__=3", "unknown key of section [train] '__class__'"),
        ("train.epochs=nan", "'train.epochs' is nan: input should be a finite number"),
        ("train.epochs=inf", "'train.epochs' is inf"),
        ("models.unet.width=nan", "'models.unet.width' is nan"),
        ("models.unet.width=2020-01-01", "'models.unet.width' is datetime.date(2020, 1, 1): a number, a text"),
        ("models.unet=3", "'models.unet' is 3"),
        ("models=3", "'models' is 3"),
        ("recipes=3", "'recipes' is 3"),
        ("recipes.unet=3", "'recipes.unet' is 3"),
        ("recipes.unet.epochs={a=1}", "'recipes.unet.epochs' is {'a': 1}"),
        ("recipes.unet.augment=3", "'recipes.unet.augment' is 3"),
        ("train=3", "'train' is 3"),
        ("score=[]", "'score' is ()"),
        ("score.methods=[[1]]", "'score.methods.0' is (1,)"),
        ("score.methods={a=1}", "'score.methods' is {'a': 1}"),
        ("score.parameters.a.b={c=1}", "'score.parameters.a.b' is {'c': 1}"),
        ("sanity.layers=[{}]", "'sanity.layers.0' is {}"),
        ("resolution.factors=[1.0, nan]", "'resolution.factors.1' is nan"),
        ("name=''", "key 'name' is '': begin with a letter or a digit"),
        ("name=../a", "key 'name' is '../a': begin with a letter or a digit"),
        ("name=3", "key 'name' is 3: begin with"),
        ('name="a\\nb"', "key 'name' is 'a\\nb': begin with"),
        (f"name={'a' * 101}", "key 'name' is 'aaaa"),
        ("a\nb=3", FORM),
        ("a\x1b=3", FORM),
    ],
)
def test_absurd_settings(file: Path, setting: str, words: str) -> None:
    message = refused(file, setting)
    assert words in message
    assert len(message) < 2000
    assert "\x1b" not in message


@pytest.mark.parametrize("name", ["", " ", ".", "a\0b", "x" * 5000, "~nobody-of-this-name/a.toml", "\ud800", "-", "/"])
def test_names_that_are_no_profile(name: str) -> None:
    with pytest.raises(InputError, match="profile"):
        profiles.read(name)
    with pytest.raises(InputError, match="profile"):
        profiles.name_of(name)


def test_the_home_is_spelled_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert profiles.read("~/mine.toml") == profiles.read(str(file))


def test_a_name_that_no_folder_can_have(tmp_path: Path) -> None:
    file = tmp_path / "my profile.toml"
    file.write_text(SMALL)
    words = "key 'name' is 'my profile': begin with a letter or a digit"
    assert words in refused(file)
    with pytest.raises(InputError, match=re.escape(words)):
        profiles.name_of(str(file))
    file.write_text(f'name = "mine"\n{SMALL}')
    assert profiles.name_of(str(file)) == profiles.read(str(file)).name == "mine"


def test_settings_keep_the_rest_of_their_section() -> None:
    plain, changed = profiles.read("smoke"), profiles.read("smoke", ["train.epochs=3"])
    assert changed.train == plain.train.model_copy(update={"epochs": 3.0})
    assert changed.model_copy(update={"train": plain.train}) == plain


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "profile {} does not exist: correct the path"),
        ("folder", "profile {} is a folder: name a file"),
        ("pipe", "profile {} is a pipe: name a plain file"),
        ("zeros", "profile {} is a device: name a plain file"),
        ("broken", "profile {} cannot be read (Expected ']' at the end of a table"),
        ("binary", "profile {} cannot be read"),
        ("digits", "profile {} cannot be read"),
        ("brackets", "profile {} cannot be read (it is nested too deeply)"),
        ("dots", "{} is nested too deeply: no key has more than 8 parts"),
    ],
)
def test_files_that_are_no_profile(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zeros.toml").symlink_to("/dev/zero")
    (tmp_path / "broken.toml").write_text("[data\n")
    (tmp_path / "digits.toml").write_text(f"a = {'9' * 5000}")
    (tmp_path / "brackets.toml").write_text(f"a = {'[' * 100_000}")
    (tmp_path / "dots.toml").write_text(f"{'a.' * 10_000}a = 1")
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
        ("figures.'images'=2", "maps are kept of the run's own images alone"),
        ("figures.dpi=5", "--set: key 'figures.dpi' is 5"),
        ("figures.photograph=true", "unknown key of section [figures] 'photograph'"),
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


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"segformer": {}, "segformer:b0": {}}, "models 'segformer' and 'segformer:b0' are the same network"),
        ({"segformer:b1": {}, "segformer": {"size": "b1"}}, "models 'segformer:b1' and 'segformer' are the same"),
        ({"vit": {}, "vit:vit_tiny_patch16_224": {"drop_path": 0.1}}, "are the same network, trained alike"),
        ({"segformer": {}, "segformer:b1": {}}, ""),
        ({"unet": {}, "unet_he": {}}, ""),
    ],
)
def test_one_network_under_two_names(tmp_path: Path, models: dict[str, dict[str, object]], words: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text('data.dataset = "scenes"\n' + "".join(
        f'[models."{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in parameters.items())
        for name, parameters in models.items()
    ))  # fmt: skip
    if words:
        assert words in refused(file)
        names = list(models)
        assert profiles.read(str(file), [f"recipes.{names[0]}.epochs=3"]).models == models or ":" in names[0]
    else:
        assert profiles.read(str(file)).models == models


def test_keys_about_methods_that_nobody_asks_for(file: Path) -> None:
    methods = "score.methods=['grad_cam', 'uniform']"
    words = "key 'score.own_pass_images' is about methods with passes of their own, and score.methods names none"
    assert words in refused(file, methods, "score.own_pass_images=3")
    own = ["score.methods=['grad_cam', 'score_cam']", "score.own_pass_images=3"]
    assert profiles.read(str(file), own).score.own_pass_images == 3
    file.write_text(f"{SMALL}[score]\nown_pass_images = 3\n")
    assert words in refused(file)
    assert profiles.read(str(file), [methods]).score.own_pass_images == 3, "the file's key is for its own methods"


@pytest.mark.parametrize(
    ("method", "setting", "words"),
    [
        ("seg_xres_cam", "pool=0", "parameter pool of method seg_xres_cam is 0: a number from 1 to 10000 is needed"),
        ("gaussian", "width=0.0", "a number from 1e-06 to 10000 is needed"),
        ("captum_integrated_gradients", "n_steps=0", "a number from 1 to 10000 is needed"),
        ("captum_kernel_shap", "samples=1", "a number from 2 to 10000 is needed"),
        ("captum_occlusion", "windows=100000", "a number from 2 to 10000 is needed"),
        ("captum_occlusion", "window=3", "unknown parameter of method captum_occlusion 'window'"),
    ],
)
def test_parameters_of_methods(file: Path, method: str, setting: str, words: str) -> None:
    methods = f"score.methods=['grad_cam', '{method}']"
    message = refused(file, methods, f"score.parameters.{method}.{setting}")
    assert message.startswith(f"{file}: parameter" if "unknown" not in words else f"{file}: ")
    assert words in message


def test_settings_of_a_model_that_is_left_out(several: Path) -> None:
    profile = profiles.read(str(several), ["recipes.vit.steps=3", "models.segformer.size=b0"])
    with pytest.raises(InputError, match="--set speaks of model 'segformer', which --model leaves out"):
        profile.of(["vit"])
    assert set(profile.of(["vit", "segformer"]).models) == {"vit", "segformer", "unet"}


@pytest.mark.parametrize("key", ["sanity", "faithfulness"])
def test_names_in_sections_of_measurements(file: Path, key: str) -> None:
    """They are told before hours of training, not when the measurement begins."""
    for setting, words in (("targets=['nope']", "nope"), ("methods=['grad_cm']", "unknown method 'grad_cm'")):
        profile = profiles.read(str(file), [f"{key}.{setting}"])
        with pytest.raises(InputError, match=words):
            of_profile(profile, 2)


def test_a_wrong_member_is_one_problem(file: Path) -> None:
    assert refused(file, "train.levels=[0]").endswith(": key 'train.levels.0' is 0: input should be greater than or "
                                                      "equal to 1")  # fmt: skip
    assert "key 'train.levels' is (): name at least one" in refused(file, "train.levels=[]")
    assert "key 'score.targets' is 'predicted': a list is needed" in refused(file, "score.targets=predicted")
    assert "key 'data' is 3: a section is needed" in refused(file, "data=3")


@pytest.mark.parametrize("pattern", ["Encodr 1_1", "", "[", "encoder*"])
def test_patterns_that_match_no_layer(file: Path, pattern: str) -> None:
    profile = profiles.read(str(file), [f"sanity.layers=['Encoder 1_*', '{pattern}']"])
    with pytest.raises(InputError, match=r"key 'sanity\.layers': unknown layer .*: known are Decoder 1_1, "):
        of_profile(profile, 2)
    of_profile(profiles.read(str(file), ["sanity.layers=['Encoder 1_*']"]), 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places(values: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield every place of a TOML file's content."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


SHIPPED = {name: (FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in profiles.profiles()}
PLACES = [(name, place) for name, text in SHIPPED.items() for place in places(tomllib.loads(text))]


@settings(max_examples=100, deadline=None)
@given(place=st.sampled_from(PLACES), value=JSON, beside=st.none() | st.text(max_size=8))
def test_any_profile_is_read_or_refused(place: tuple[str, tuple[Any, ...]], value: Any, beside: str | None) -> None:
    """Any value at any place of a shipped profile, or under a new key beside it."""
    name, (*path, last) = place
    values: Any = tomllib.loads(SHIPPED[name])
    section = values
    for key in path:
        section = section[key]
    section[beside if beside is not None and isinstance(section, dict) else last] = value
    with mock.patch.object(profiles, "_parsed", return_value=({"name": "a", **values}, "a.toml")), refusals():
        profiles.read("a.toml")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Nothing but errors of ours, each of one line or a list, and short enough to be read."""
    error = None
    try:
        yield
    except InputError as problem:
        error = str(problem)
    if error is not None:
        assert 0 < len(error.encode()) < 20_000


@settings(max_examples=100, deadline=None)
@given(
    key=st.sampled_from([".".join(map(str, place)) for _, place in PLACES]) | st.text(max_size=20),
    value=st.text(max_size=20) | JSON.map(str),
)
def test_any_setting_is_read_or_refused(key: str, value: str) -> None:
    with refusals():
        profiles.read("smoke", [f"{key}={value}"])
    with refusals():
        profiles.figures([f"figures.{key}={value}"], profiles.Figures())
