"""Sizes: what no memory holds is refused before anything is made, with the key to lower."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.planning import profile as profiles
from bench.planning import sizes
from bench.planning.manifest import of_profile
from segcam import InputError
from segcam.models import create

TOML = '[data]\ndataset = "scenes"\nsize = 32\n[models.unet]\nwidth = 2\n'
GIB = 2**30


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "a.toml"
    path.write_text(TOML)
    monkeypatch.setattr(sizes, "_free", lambda: 8 * GIB)
    return path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["models.unet.width=1000000"], ["model 'unet' with {'width': 1000000", "choose a smaller width"]),
        (["train.batch_size=10000000"], ["training 'unet' with train.batch_size = 10000000", "lower train.batch_size"]),
        (["data.size=4096", "train.batch_size=512"], ["512 images of data.size = 4096 pixels a side", "or data.size"]),
        (["data.size=4096", "score.batch_size=512", "train.batch_size=2"], ["scoring 'unet'", "score.batch_size"]),
        (["models={vit={}}", "data.size=4096", "train.batch_size=64"], ["training 'vit'", "train.batch_size"]),
    ],
)
def test_what_no_memory_holds(file: Path, settings: list[str], words: list[str]) -> None:
    profile = profiles.read(str(file), settings)
    with pytest.raises(InputError, match=r"takes at least [\d,.]+ GiB of memory, and [\d.]+ GiB are free:") as caught:
        of_profile(profile, 2)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_training_takes_more_than_the_weights(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, network = profiles.read(str(file)), create("unet", 2, {"width": 2})
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    monkeypatch.setattr(sizes, "_free", lambda: 5 * weights)
    sizes.fits(profile, "unet", 2, network)
    monkeypatch.setattr(sizes, "_free", lambda: 5 * weights - 1)
    with pytest.raises(InputError, match=r"training 'unet', with the averages .* smaller network with models.unet"):
        sizes.fits(profile, "unet", 2, network)


@pytest.mark.parametrize("name", sorted(profiles.profiles()))
def test_shipped_profiles_fit_a_common_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_free", lambda: 8 * GIB)
    profile = profiles.read(name)
    for model in profile.models:
        sizes.fits(profile, model, 2, create(model, 2, sizes.parameters(profile, model), pretrained=False))


def test_what_a_pass_keeps_is_what_autograd_saves(file: Path) -> None:
    """By the tensors of a real pass, which the estimate never makes."""
    for name in ("unet", "segformer"):
        profile = profiles.read(str(file), ["models={" + name + "={}}"])
        values = tuple(sizes.parameters(profile, name).items())
        kept = sizes._kept(name, 2, values, 64)
        real = sizes._saved(create(name, 2, dict(values)), lambda: sizes.torch.zeros(1, 3, 64, 64))
        assert kept == pytest.approx(real, rel=0.01)
        assert kept > 10**6


def test_validation_images_stay_in_memory(file: Path) -> None:
    profile = profiles.read(str(file), ["data.size=4096"])
    sizes.validation_fits(profile, 10)
    with pytest.raises(InputError, match=r"validating 1000 images of data.size = 4096 .*lower data.val or data.size"):
        sizes.validation_fits(profile, 1000)


LIMITS = {
    "train.steps": 10**18,
    "train.epochs": 1e300,
    "train.batch_size": 10**12,
    "train.longest_interval": 10**12,
    "train.weight_decay": 1e300,
    "train.teacher_weight": 1e300,
    "train.save_every": 1e300,
    "data.train": 10**18,
    "data.val": 10**18,
    "data.size": 10**6,
    "score.shard": 10**18,
    "score.batch_size": 10**18,
    "score.class_id": 255,
    "score.max_memory": 10**30,
    "score.own_pass_images": 10**18,
    "faithfulness.images": 10**18,
    "faithfulness.samples": 10**6,
    "faithfulness.draws": 10**6,
    "faithfulness.steps": 10**6,
    "faithfulness.batch_size": 10**18,
    "sanity.depths": 10**6,
    "sanity.seeds": 10**6,
    "sanity.shuffled_steps": 10**18,
    "figures.images": 10**6,
    "figures.dpi": 10**6,
}


@pytest.mark.parametrize(("key", "value"), LIMITS.items())
def test_no_number_is_without_an_end(file: Path, key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"key '{key}' is .*(less than|an index from 0 to 254)"):
        profiles.read(str(file), [f"{key}={value}"])
