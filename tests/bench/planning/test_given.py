"""The section [networks.NAME]: names of levels, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.planning import profile as profiles
from bench.planning.given import MOST_WEIGHTS, Network, level_names
from bench.planning.profile import Profile
from segcam import InputError


def read(tmp_path: Path, text: str) -> Profile:
    file = tmp_path / "mine.toml"
    file.write_text(f'[data]\ndataset = "scenes"\n[networks.mine]\nsource = "my_nets.py:build"\n{text}')
    return profiles.read(str(file))


@pytest.mark.parametrize(
    ("weights", "levels", "names"),
    [
        ([], [], ["as built"]),
        ([], ["mine"], ["mine"]),
        (["best.pth.tar"], [], ["best"]),
        (["a/e05.pt", "a/e10.pt"], [], ["e05", "e10"]),
        (["a/w.pt", "b/w.pt"], [], ["w 1", "w 2"]),
        (["e05.pt", "e10.pt"], ["epoch {n}"], ["epoch 5", "epoch 10"]),
        (["e05.pt", "e10.pt"], ["young", "old"], ["young", "old"]),
        (["u2_e05.pt", "u2_e10.pt"], ["{n}"], ["5", "10"]),
        (["epoch=1-step=50.ckpt", "epoch=2-step=99.ckpt"], ["epoch {n}"], ["epoch 1", "epoch 2"]),
        (["epoch=1-step=50.ckpt", "epoch=2-step=99.ckpt"], ["step {n}"], ["step 50", "step 99"]),
        (["unet.epoch3.pth", "unet.epoch4.pth"], ["epoch {n}"], ["epoch 3", "epoch 4"]),
        (["run/3/w.pt", "run/4/w.pt"], ["epoch {n}"], ["epoch 3", "epoch 4"]),
    ],
)
def test_names_of_levels(weights: list[str], levels: list[str], names: list[str]) -> None:
    assert level_names(weights, levels) == tuple(names)
    assert Network(source="n.py:f", weights=weights, levels=levels).level_names() == tuple(names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("weights = ['a.pt', 'b.pt']\nlevels = ['one']", "key 'networks.mine.levels' is ('one',): there are 1 names"),
        ("weights = 'best.pt'\nlevels = 'epoch {n}'", "asks for the number in a file's name, and 'best.pt' has none"),
        ("weights = ['a1.pt', 'b1.pt']\nlevels = 'e {n}'", "two levels are called 'e 1'"),
        ("weights = ['a.pt', 'a.pt']", "each may be named once"),
        (f"weights = {[f'{i}.pt' for i in range(MOST_WEIGHTS + 1)]}", f"at most {MOST_WEIGHTS} are levels"),
        ("weigths = 'a.pt'", "did you mean 'weights'?"),
        ("output = 'logit'", "'logits', 'probabilities'"),
        ("layers = []", "name at least one"),
        ("most_layers = 0", "most_layers"),
        ("[networks.'a/b']\nsource = 'unet'", "section [networks.'a/b']: begin with a letter or a digit"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        read(tmp_path, text)


def test_one_text_is_a_list_of_one(tmp_path: Path) -> None:
    network = read(tmp_path, "weights = 'a.pt'\nclasses = ['a', 'b']\nmost_layers = 'all'").networks["mine"]
    assert (network.weights, network.classes, network.most_layers) == (("a.pt",), ("a", "b"), None)


def test_one_of_the_networks_alone(tmp_path: Path) -> None:
    profile = read(tmp_path, "[networks.other]\nsource = 'unet'\n[models.unet]\nwidth = 2")
    assert list(profile.of(["other"]).networks) == ["other"]
    assert profile.of(["other"]).models == {}
    with pytest.raises(InputError, match="unknown model"):
        profile.of(["another"])
