"""The profile that a command line makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.cli.options import repeated
from bench.explaining.asked import Asked, profile_of
from bench.planning.profile import Profile
from segcam import InputError
from segcam.errors import SegcamWarning

pytestmark = pytest.mark.filterwarnings(f"ignore::{SegcamWarning.__module__}.SegcamWarning")


def read(place: Path, **asked: object) -> tuple[Profile, list[str]]:
    return profile_of(Asked(f"{place / 'nets.py'}:build", place / "photos", **asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "names", "explained"),
    [
        ({"classes": ["cat,dog"]}, ("background", "cat", "dog"), (1, 2)),
        ({"classes": ["cat", "dog"]}, ("background", "cat", "dog"), (1, 2)),
        ({"classes": ["sky,cat,dog"]}, ("sky", "cat", "dog"), (0, 1, 2)),
        ({"classes": ["{cat, dog}"]}, ("background", "cat", "dog"), ((1, 2),)),
        ({"classes": ["cat, {cat,dog}"], "names": ["a,cat,dog"]}, ("a", "cat", "dog"), (1, (1, 2))),
        ({"classes": ["2"]}, ("class 0", "class 1", "class 2"), (2,)),
        ({"classes": ["class 2"]}, ("class 0", "class 1", "class 2"), (2,)),
        ({"classes": ["all"]}, ("class 0", "class 1", "class 2"), ("all",)),
        ({}, ("class 0", "class 1", "class 2"), ("most",)),
    ],
)
def test_classes(
    place: Path, given: dict[str, list[str]], names: tuple[str, ...], explained: tuple[object, ...]
) -> None:
    profile, said = read(place, **given)
    assert profile.networks["nets-build"].classes == names
    assert profile.score.classes == explained
    assert bool(said) == (names[1] == "cat" and "names" not in given), "what is guessed is told"


def test_names_of_networks(place: Path) -> None:
    profile, _ = read(place, name="My <net> & 1")
    assert list(profile.networks) == ["My-net-1"]
    assert profile.networks["My-net-1"].label == "My <net> & 1"
    assert profile.name == "My-net-1"


def test_sizes(place: Path) -> None:
    """The user's, else the network's, else the default."""
    assert read(place)[0].data.size == 384
    assert read(place, inputs=["size=64"])[0].data.size == 64
    profile, said = read(place, inputs=["size=[40, 72]"])
    assert (profile.data.size, said) == (
        72,
        ["the network wants 40 x 72, and photographs are brought to squares: 72 x 72"],
    )
    assert read(place, inputs=["size=64"], size=48)[0].data.size == 48


def test_a_file_says_how_images_are_wanted(place: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.2] * 3, "size": {"height": 64, "width": 64}})
    )
    (tmp_path / "p.toml").write_text("[inputs]\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\nsize = 64\n")
    tables = [read(place, inputs=[str(tmp_path / name)])[0] for name in ("p.json", "p.toml")]
    assert [profile.data.size for profile in tables] == [64, 64]
    assert [list(profile.networks["nets-build"].inputs["mean"]) for profile in tables] == [[0.5] * 3] * 2


def test_arguments_are_toml_or_words(place: Path) -> None:
    profile, _ = read(place, arguments=["classes=5", "norm=None"])
    assert profile.networks["nets-build"].arguments == {"classes": 5, "norm": None}
    assert len(profile.networks["nets-build"].classes) == 5
    with pytest.raises(InputError, match="write it as name=value"):
        read(place, arguments=["5=classes"])


def test_metrics_that_need_no_masks(place: Path) -> None:
    assert read(place, metrics=["spread,gini"])[0].score.metrics == ("spread", "gini")
    named = read(place, metrics=["energy_inside"], masks=place / "masks")[0]
    assert named.score.metrics == ("energy_inside",)
    assert named.data.masks == str(place / "masks")


def test_levels_are_in_the_order_of_their_numbers(place: Path, tmp_path: Path) -> None:
    """As a shell lists them, 10 stands before 5: the trend would be another."""
    for name in ("e5.pt", "e10.pt", "last.pt"):
        shutil.copy(place / "e05.pt", tmp_path / name)
    five, ten, last = (str(tmp_path / name) for name in ("e5.pt", "e10.pt", "last.pt"))
    for levels in ([], ["epoch {n}"]):
        profile, said = read(place, weights=[ten, five], levels=levels)
        assert profile.networks["nets-build"].weights == (five, ten)
        assert said == [f"levels are in the order of their numbers: {five}, {ten}"]
    profile, said = read(place, weights=[ten, five], levels=["ten", "five"])
    assert profile.networks["nets-build"].weights == (ten, five)
    assert read(place, weights=[last, five])[0].networks["nets-build"].weights == (last, five)
    assert said == []


def test_layers(place: Path) -> None:
    network = read(place, layers=["0", "!3"], most_layers="all")[0].networks["nets-build"]
    assert network.layers == ("0", "!3")
    assert network.most_layers is None


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("n --weights a b", "n --weights a --weights b"),
        ("--weights a b n", "--weights a --weights b n"),
        ("--images p n --weights a b", "--images p n --weights a --weights b"),
        ("--weights a b --check n", "--weights a --weights b --check n"),
        ("n --weights=a b --images p", "n --weights=a b --images p"),
        ("n --images p q", "n --images p q"),
        ("n --weights a -- b", "n --weights a -- b"),
        ("n --images -x --weights a", "n --images -x --weights a"),
    ],
)
def test_several_words_an_option(line: str, read: str) -> None:
    assert " ".join(repeated(line.split(), {"--weights": True, "--images": False})) == read
