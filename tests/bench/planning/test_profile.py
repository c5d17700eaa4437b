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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    return path


def refused(wanted: str | Path, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        profiles.read(str(wanted), list(settings))
    return str(caught.value)


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


def test_the_default_profile_is_there() -> None:
    assert profiles.DEFAULT in profiles.profiles()
    assert {"smoke", "quick", "pets", "paper"} <= set(profiles.profiles())


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


@pytest.mark.parametrize(
    ("setting", "key", "near"),
    [
        ("trian.epochs=4", "unknown key 'trian'", "did you mean 'train'?"),
        ("train.epohcs=4", "unknown key of section [train] 'epohcs'", "did you mean 'epochs'?"),
        ("score.metrcs=4", "unknown key of section [score] 'metrcs'", "did you mean 'metrics'?"),
        ("train.augment.flop=0.2", "unknown key of section [train.augment] 'flop'", "did you mean 'flip'?"),
        ("figures.photograph=true", "unknown key of section [figures] 'photograph'", "did you mean 'photographs'?"),
        ("data.bordr=pet", "unknown key of section [data] 'bordr'", "did you mean 'border'?"),
    ],
)
def test_unknown_keys(file: Path, setting: str, key: str, near: str) -> None:
    message = refused(file, setting)
    assert message.startswith(f"{file}: ")
    assert key in message
    assert near in message


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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epochs=0", "key 'train.epochs' is 0: input should be greater than 0"),
        ("train.epochs=-1", "'train.epochs' is -1"),
        ("train.epochs=true", "'train.epochs' is True: input should be a valid number"),
        ("train.epochs=many", "'train.epochs' is 'many': input should be a valid number"),
        ("train.epochs=nan", "'train.epochs' is nan"),
        ("train.epochs=inf", "'train.epochs' is inf: input should be a finite number"),
        ("train.weight_decay=inf", "'train.weight_decay' is inf: input should be a finite number"),
        ("train.learning_rate=0", "'train.learning_rate' is 0"),
        ("train.batch_size=1", "'train.batch_size' is 1"),
        ("train.batch_size=8.0", "'train.batch_size' is 8.0: input should be a valid integer"),
        ("train.batch_size='8'", "'train.batch_size' is '8': input should be a valid integer"),
        ("train.steps=0", "'train.steps' is 0"),
        ("train.levels=30", "'train.levels' is 30"),
        ("train.levels=[30, 30]", "'train.levels' is (30, 30): each may be named once"),
        ("train.levels=[30, 101]", "'train.levels.1' is 101: input should be less than or equal to 100"),
        ("train.levels=[0]", "'train.levels.0' is 0"),
        ("train.levels=[30.5]", "'train.levels.0' is 30.5"),
        ("train.seeds=[]", "'train.seeds'"),
        ("train.seeds=[-1]", "'train.seeds.0' is -1"),
        ("train.tolerance=0", "'train.tolerance' is 0"),
        ("train.average=1", "'train.average' is 1"),
        ("train.schedule=step", "'train.schedule' is 'step': input should be 'onecycle' or 'cosine'"),
        ("train.precision=fp16", "'train.precision' is 'fp16'"),
        ("train.augment.scale=0.5", "'train.augment.scale' is 0.5"),
        ("score.targets=[]", "'score.targets'"),
        ("score.methods=['random', 'random']", "each may be named once"),
        ("score.points=['norm']", "'score.points.0' is 'norm'"),
        ("score.class_id=-1", "'score.class_id' is -1"),
        ("score.max_memory=0", "'score.max_memory' is 0"),
        ("score.max_memory=much", "'score.max_memory' is 'much': could not parse value and unit from byte string"),
        ("figures.images=0", "'figures.images' is 0"),
        ("figures.photographs=1", "'figures.photographs' is 1"),
        ("figures.kinds=['svg', 'pdf']", "'png' must be among the kinds, as the page shows it"),
        ("figures.kinds=[]", "'png' must be among the kinds"),
        ("figures.kinds=['png', 'eps']", "'figures.kinds.1' is 'eps'"),
        ("figures.kinds=['png', 'png']", "each may be named once"),
        ("figures.kinds='png'", "'figures.kinds' is 'png'"),
        ("data.val_share=1", "'data.val_share' is 1"),
        ("data=5", "'data' is 5"),
        ("models={}", "'models' is {}"),
        ("models.unet=4", "'models.unet' is 4"),
        ("name=3", "'name' is 3"),
        ("name='../up'", "'name' is '../up'"),
        ("name=''", "'name' is ''"),
        (f"train.seeds=[{2**63}]", "'train.seeds.0' is 9223372036854775808"),
    ],
)
def test_bad_values(file: Path, setting: str, words: str) -> None:
    message = refused(file, setting)
    assert message.startswith(str(file))
    assert words in message


@pytest.mark.parametrize("lacking", ["data", "models"])
def test_what_has_no_default_must_be_there(file: Path, lacking: str) -> None:
    sections = {"data": '[data]\ndataset = "scenes"\n', "models": "[models.unet]\nwidth = 4\n"}
    file.write_text(next(text for name, text in sections.items() if name != lacking))
    assert refused(file) == f"{file}: key '{lacking}' field required"


def test_ints_are_floats_too(file: Path) -> None:
    profile = profiles.read(str(file), ["train.epochs=5", "train.tolerance=4", "train.augment.rotation=0"])
    assert profile.train.epochs == 5.0
    assert isinstance(profile.train.epochs, float)
    assert profile.train.tolerance == 4.0
    assert profile.train.augment.rotation == 0.0


def test_levels_and_seeds_are_sorted_the_rest_keeps_its_order(file: Path) -> None:
    profile = profiles.read(
        str(file), ["train.levels=[90, 30]", "train.seeds=[2, 0]", "score.methods=['uniform', 'grad_cam']"]
    )
    assert profile.train.levels == (30, 90)
    assert profile.train.seeds == (0, 2)
    assert profile.score.methods == ("uniform", "grad_cam")


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("data.root=/some/place", "/some/place"),
        ("data.root='/some/place'", "/some/place"),
        ('data.root="a b"', "a b"),
        (" data.root = bare word ", "bare word"),
        ("data.root=a=b", "a=b"),
    ],
)
def test_words_need_no_quotes(file: Path, setting: str, found: str) -> None:
    assert profiles.read(str(file), [setting]).data.root == found


def test_later_settings_win_and_make_sections(file: Path) -> None:
    profile = profiles.read(
        str(file), ["train.epochs=5", "train.epochs=6.5", "train.augment.flip=0", "models.b.width=2"]
    )
    assert profile.train.epochs == 6.5
    assert profile.train.augment.flip == 0
    assert profile.models == {"unet": {"width": 4}, "b": {"width": 2}}


def test_settings_keep_the_rest_of_their_section() -> None:
    plain, changed = profiles.read("smoke"), profiles.read("smoke", ["train.epochs=3"])
    assert changed.train == plain.train.model_copy(update={"epochs": 3.0})
    assert changed.model_copy(update={"train": plain.train}) == plain


@pytest.mark.parametrize("setting", ["train.epochs", "=4", ".epochs=4", "train.=4", "train..epochs=4", ""])
def test_wrong_forms(file: Path, setting: str) -> None:
    assert "write it as section.key=value, for example train.epochs=5" in refused(file, setting)


@pytest.mark.parametrize("setting", ["train.levels=[30,", "data.root='open", "models.unet={width"])
def test_broken_values(file: Path, setting: str) -> None:
    assert refused(file, setting) == f"--set {setting}: the value is not valid TOML"


def test_a_value_is_no_section(file: Path) -> None:
    assert "'dataset' is a value, not a section" in refused(file, "data.dataset.name=3")


def test_files_that_are_no_profile(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "broken.toml").write_text("[data\n")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, words in (
        ("none", r"profile .* cannot be read: .*No such file"),
        ("folder", r"profile .* cannot be read"),
        ("broken", r".* is not valid TOML: .*line 1"),
        ("binary", r"profile .* cannot be read"),
    ):
        message = refused(tmp_path / f"{name}.toml")
        assert re.match(words.replace(".*", re.escape(str(tmp_path / f"{name}.toml")), 1), message), message


def test_shipped_profiles_are_named_in_errors() -> None:
    assert refused("smoke", "train.epochs=0").startswith("profile smoke: key 'train.epochs'")


def test_portable_holds_no_place_of_this_machine(file: Path) -> None:
    profile = profiles.read(str(file), ["data.root=/some/place", "data.cache=/other/place"])
    text = json.dumps(profile.portable())
    assert "place" not in text
    assert {"root", "cache"}.isdisjoint(profile.portable()["data"])
    assert profile.portable() == profiles.read(str(file)).portable()
    assert json.loads(text) == profile.portable()


def test_portable_comes_back_as_the_same_profile(file: Path) -> None:
    profile = profiles.read(str(file), ["train.levels=[30]", "score.targets=['predicted']", "score.max_memory=4 GB"])
    assert profile.score.max_memory == 4_000_000_000
    again = profiles.profile_class().model_validate(profile.portable(), strict=False)
    assert again == profile


def test_figures_alone() -> None:
    now = profiles.figures(["figures.photographs=false", "figures.dpi=60"], profiles.Figures(images=5))
    assert now == profiles.Figures(photographs=False, images=5, dpi=60)


def test_figures_come_as_pdf_where_that_is_asked_for(file: Path) -> None:
    assert profiles.read(str(file)).figures.kinds == ("png", "svg")
    profile = profiles.read(str(file), ["figures.kinds=['png', 'pdf']"])
    assert profile.figures.kinds == ("png", "pdf")
    held = json.loads(json.dumps(profile.figures.model_dump(mode="json")))
    assert profiles.Figures.model_validate(held) == profile.figures
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
    with pytest.raises(InputError) as caught:
        profiles.figures([setting], profiles.Figures())
    assert words in str(caught.value)


RECIPES = (
    SMALL
    + """
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
)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "several.toml"
    path.write_text(RECIPES)
    return path


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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("recipes.segfomer.steps=7", "unknown model of section [recipes] 'segfomer'"),
        ("recipes.vit.stepps=7", "unknown key of section [recipes.vit] 'stepps'"),
        ("recipes.vit.steps=0", "key 'recipes.vit.steps' is 0"),
        ("recipes.vit.augment.flip=2", "key 'recipes.vit.augment.flip' is 2"),
        ("recipes.vit.save_every=1.0", "key 'recipes.vit.save_every' is one for the whole run: set train.save_every"),
        ("recipes.segformer.seeds=[0, 4]", "is 'unet', which has no seed 4"),
        ("recipes.vit.seeds=[]", "key 'recipes.vit.seeds'"),
        ("recipes.vit.teacher=vti", "unknown model of the profile 'vti'"),
        ("recipes.vit.teacher=vit", "a teacher must be another model, without a teacher"),
        ("recipes.vit.teacher=segformer", "a teacher must be another model, without a teacher"),
        ("train.teacher=unet", "key 'train.teacher' is 'unet': a teacher must be another model, without a teacher"),
        ("train.teacher=unt", "key 'train.teacher': unknown model of the profile 'unt'"),
    ],
)
def test_wrong_recipes(several: Path, setting: str, words: str) -> None:
    assert words in refused(several, setting)


def test_some_models_alone_keep_their_teachers(several: Path) -> None:
    profile = profiles.read(str(several))
    assert list(profile.of(["segformer"]).models) == ["unet", "segformer"]
    assert list(profile.of(["vit"]).models) == ["vit"]
    assert profile.of(["vit"]).recipes == {}
    with pytest.raises(InputError, match=r"unknown model of profile several 'vitt': .*did you mean 'vit'"):
        profile.of(["vitt"])


def test_the_best_level_is_the_highest(file: Path) -> None:
    assert profiles.read(str(file), ['train.levels=["best", 30]']).train.levels == (30, 100)
    assert "is 'bset'" in refused(file, 'train.levels=["bset"]')


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
