"""Pretrained weights: what fits is loaded, and what does not is refused with the first tensor that differs."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file
from torch import nn

from segcam import InputError
from segcam.channels import MEAN, STD
from segcam.models import MODELS, Architecture, create, no_weights
from segcam.models.weights.loading import fill
from segcam.models.weights.pretrained import Normalised, from_hub, known_encoder, sha256_of
from segcam.models.weights.reading import read_weights, weight_file
from tests.small_networks import equal, states

WEIGHTS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}


def written(file: Path, content: Any) -> Path:
    if file.suffix == ".safetensors":
        save_file(content, file)
    else:
        torch.save(content, file)
    return file


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.pth"])
def test_files_of_weights(tmp_path: Path, name: str) -> None:
    assert equal(read_weights(written(tmp_path / name, WEIGHTS)), WEIGHTS)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, torch.ones(2), {"epoch": 3, "lr": 0.1}])
def test_files_of_something_else(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match=r"w\.bin hold (a \w+|no tensors): a state dict( of tensors)? is needed"):
        read_weights(written(tmp_path / "w.bin", content))


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
@pytest.mark.parametrize("damage", [lambda d: d[:-40], lambda d: d[:20], lambda d: b"", lambda d: b"\xff" * len(d)])
def test_damaged_files(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    file = written(tmp_path / name, WEIGHTS)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=rf"{name} cannot be read \(.+\): fetch the file again") as caught:
        read_weights(file)
    assert "\n" not in str(caught.value)


def test_nothing_else_is_unpickled(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(written(tmp_path / "w.bin", {"a": nn.Linear(1, 1)}))


def test_absent_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none does not exist: correct the path"):
        read_weights(tmp_path / "none")
    with pytest.raises(
        InputError, match=r"holds none of model\.safetensors, pytorch_model\.bin, nor an index of their shards"
    ):
        weight_file(tmp_path)


def test_a_folder_holds_its_file_under_a_known_name(tmp_path: Path) -> None:
    old = written(tmp_path / "pytorch_model.bin", WEIGHTS)
    assert weight_file(tmp_path) == old
    new = written(tmp_path / "model.safetensors", WEIGHTS)
    assert weight_file(tmp_path) == new  # the one that needs no unpickling
    assert weight_file(old) == old


def test_what_is_no_plain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file, words in [
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(InputError, match=words):
            read_weights(file)
    for text in ("", "a\0b", "~nobody-of-this-name/w.bin"):
        with pytest.raises(InputError, match="pretrained"):
            weight_file(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = written(tmp_path / "w.bin", WEIGHTS)
    assert weight_file("~/w.bin") == file


def test_archives_that_would_grow(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte: nothing of it is unpacked."""
    written(tmp_path / "w.bin", WEIGHTS)
    with (
        zipfile.ZipFile(tmp_path / "w.bin") as plain,
        zipfile.ZipFile(tmp_path / "bomb.bin", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(InputError, match=r"bomb\.bin would grow when they are unpacked"):
        read_weights(tmp_path / "bomb.bin")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({1: torch.ones(2)}, "name a tensor 1: a state dict's names are texts"),
        ({"a": torch.ones(2).to_sparse()}, "tensor 'a' is quantised, sparse or without data"),
        ({"a": torch.ones(2, device="meta")}, "tensor 'a' is quantised, sparse or without data"),
    ],
)
def test_tensors_that_are_none(tmp_path: Path, content: dict[Any, torch.Tensor], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_weights(written(tmp_path / "w.bin", content))


NAN = float("nan")


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (torch.tensor([1.0, NAN]), "holds NaN or infinity; fetch the file again"),
        (torch.tensor([1.0, -float("inf")]), "holds NaN or infinity"),
        (torch.tensor([1.0, 1e300], dtype=torch.float64), "holds values too great for torch.float32"),
        (torch.tensor([1.0, -1e30]), r"holds a value of 1\.0e\+30, and no sensible weight is above 1e\+08"),
        (torch.tensor([1, 2], dtype=torch.int8), "is of int8 where float32 is needed"),
        (torch.tensor([True, False]), "is of bool where float32 is needed"),
        (torch.tensor([1j, 2]), "is of complex64 where float32 is needed"),
    ],
)
def test_values_that_are_no_weights(weight: torch.Tensor, words: str) -> None:
    model = nn.Linear(1, 2)
    before = states(model)
    with pytest.raises(InputError, match=rf"pretrained weights a\.bin: tensor 'bias' {words}"):
        fill(model, {"weight": torch.ones(2, 1), "bias": weight}, "a.bin")
    assert equal(model.state_dict(), before)


def test_zeros_alone_are_no_weights() -> None:
    fill(nn.Linear(1, 2), {"weight": torch.ones(2, 1), "bias": torch.zeros(2)}, "a.bin")
    with pytest.raises(InputError, match=r"a\.bin hold nothing but zeros"):
        fill(nn.Linear(1, 2), {"weight": torch.zeros(2, 1), "bias": torch.zeros(2)}, "a.bin")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_formats_of_floats_are_taken(kind: torch.dtype) -> None:
    model = nn.Linear(1, 2)
    fill(model, {"weight": torch.ones(2, 1, dtype=kind), "bias": torch.ones(2, dtype=kind)}, "a.bin")
    assert model.weight.dtype == torch.float32


def test_two_spellings_of_one_tensor(tmp_path: Path) -> None:
    names = ("segformer.stages.0.layer_norm.bias", "stages.0.layer_norm.bias")
    save_file({name: torch.ones(1) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="which name the same tensor: leave one out"):
        create("segformer", 2, {"pretrained": str(tmp_path / "a.safetensors")})


def test_the_hash_of_a_models_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "model.safetensors", WEIGHTS)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()
    for name in ("segformer", "timm_unet", "vit"):
        assert sha256_of(name, {}) == ""
        assert sha256_of(name, {"pretrained": str(file)}) == sha256_of(name, {"pretrained": str(tmp_path)}) == digits
    hub(monkeypatch, cached={"model.safetensors": file})
    for name in ("segformer:b1", "timm_unet:resnet18", "vit"):
        assert sha256_of(name, {"pretrained": "hub"}) == digits
    written(file, {"a": torch.zeros(9)})
    assert sha256_of("vit", {"pretrained": str(file)}) not in ("", digits)
    assert sha256_of("unet", {}) == ""
    with pytest.raises(InputError, match="none does not exist"):
        sha256_of("vit", {"pretrained": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "place",
    [{"hf_hub_id": None, "url": "https://elsewhere/odd.pth"}, {"hf_hub_id": "a/b", "hf_hub_filename": "odd.pth"}],
    ids=["an address", "a name on the hub"],
)
def test_the_hash_of_weights_that_timm_has_elsewhere(
    place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are fetched into the cache of timm or the hub; their hash is that of the file which is loaded from there."""
    source = timm.create_model("resnet18", pretrained=False)
    file = written(tmp_path / "odd.pth", source.state_dict())
    asked: list[object] = []
    config = replace(timm.get_pretrained_cfg("resnet18"), **place)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: config)

    def fetch(address: str, where: str, **_: object) -> None:
        asked.append(address)
        shutil.copy(file, where)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *what: asked.append(what) or str(file))
    parameters = {"encoder": "resnet18", "pretrained": "hub"}
    assert sha256_of("timm_unet", parameters) == hashlib.sha256(file.read_bytes()).hexdigest()
    state = create("timm_unet", 2, parameters).encoder.state_dict()
    assert equal(state, {key: tensor for key, tensor in source.state_dict().items() if key in state})
    assert asked == ([place["url"]] if place["hf_hub_id"] is None else 2 * [("a/b", "odd.pth")])
    assert (tmp_path / "cache" / "checkpoints" / "odd.pth").exists() == (place["hf_hub_id"] is None)


def test_weights_that_timm_cannot_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    config = replace(timm.get_pretrained_cfg("resnet18"), hf_hub_id=None, url="https://elsewhere/odd.pth")
    for given, words in ((config, "no route"), (replace(config, url=None), "timm has none"), (None, "timm has none")):
        monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _, given=given: given)
        with pytest.raises(InputError, match=rf"the hub \({words}\): set models.timm_unet.pretrained to a folder"):
            sha256_of("timm_unet:resnet18", {"pretrained": "hub"})


def test_the_hash_of_weights_that_are_no_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture that loads without naming a file: the hash is of the tensors, whatever the head's seed."""

    def build(classes: int, _: object) -> nn.Module:
        return nn.ModuleDict({"stem": nn.Conv2d(3, 4, 1), "head": nn.Conv2d(4, classes, 1)})

    def of(name: str, how: Any) -> str:
        plugin = Architecture(name, name, "", "", {"pretrained": "none"}, build, lambda *_: [], pretrain=how)
        monkeypatch.setitem(MODELS._items, name, plugin)
        assert sha256_of(name, {}) == ""
        return sha256_of(name, {"pretrained": "mine"})

    first = of("one", lambda model, _: _set(model["stem"], 1.0))
    assert len(first) == 64
    assert of("same", lambda model, _: _set(model["stem"], 1.0)) == first
    assert of("other", lambda model, _: _set(model["stem"], 2.0)) != first
    assert of("nothing", no_weights) == ""


def _set(module: nn.Module, value: float) -> None:
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)


def linear() -> nn.Linear:
    return nn.Linear(2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3, 4)}, r"tensor 'weight' is \(3, 4\) there and \(3, 2\) in the network"),
        ({"weight": None}, r"tensor 'weight' is absent there and \(3, 2\) in the network"),
        ({"bias": None, "other": torch.zeros(1)}, r"tensor 'bias' is absent there and \(3,\) in the network"),
        ({"other": torch.zeros(1)}, r"tensor 'other' is \(1,\) there and absent in the network"),
    ],
)
def test_the_first_tensor_that_differs_is_named(change: dict[str, torch.Tensor | None], message: str) -> None:
    model, weights = linear(), linear().state_dict() | change
    before = states(model)
    with pytest.raises(InputError, match=rf"pretrained weights a\.bin do not fit Linear: {message}; choose weights"):
        fill(model, {n: t for n, t in weights.items() if t is not None}, "a.bin")
    assert equal(model.state_dict(), before)


def test_weights_are_copied_in_the_networks_precision() -> None:
    model, source = linear(), linear()
    fill(model, {n: t.half() for n, t in source.state_dict().items()}, "a.bin")
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, source.weight.half().float())


class Session:
    """A hub that answers, or raises."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem

    def head(self, url: str, timeout: float) -> None:
        assert url.startswith("http")
        assert 0 < timeout <= 10
        if self.problem:
            raise self.problem


def hub(
    monkeypatch: pytest.MonkeyPatch,
    *,
    cached: dict[str, Path] | None = None,
    there: dict[str, Path] | None = None,
    problem: Exception | None = None,
) -> list[str]:
    """Put a hub in the place of the real one; return what was downloaded from it."""
    asked: list[str] = []

    def download(_repository: str, name: str) -> str:
        asked.append(name)
        if there is None or name not in there:
            raise EntryNotFoundError(f"404: no {name}")
        return str(there[name])

    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda _, name: str((cached or {}).get(name, "")) or None
    )
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Session(problem))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_hubs_files_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = hub(monkeypatch, there={"pytorch_model.bin": tmp_path})
    assert from_hub("a/b", "segformer") == tmp_path
    assert asked == ["model.safetensors", "pytorch_model.bin"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_what_is_cached_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    asked = hub(monkeypatch, cached={name: tmp_path}, problem=OSError("no route"))
    assert from_hub("a/b", "segformer") == tmp_path
    assert not asked


def test_a_hub_out_of_reach_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the attempts again and again that a download would make."""
    asked = hub(monkeypatch, problem=OSError("no route\nto host " + 1000 * "x"))
    with pytest.raises(InputError) as caught:
        from_hub("a/b", "segformer")
    assert str(caught.value) == (
        f"the weights 'a/b' cannot be had from the hub ({huggingface_hub.constants.ENDPOINT} cannot be reached: no "
        "route): set models.segformer.pretrained to a folder or file that holds them, or to 'none' for random weights"
    )
    assert not asked


def test_a_repository_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch)
    with pytest.raises(InputError, match=r"\(404: no pytorch_model.bin\): set models.segformer.pretrained to a folder"):
        from_hub("a/b", "segformer")


@pytest.mark.parametrize("name", ["segformer", "timm_unet:resnet18", "vit"])
def test_networks_never_fall_back_on_random_weights(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hub(monkeypatch, problem=OSError("no route"))
    family = name.partition(":")[0]
    with pytest.raises(InputError, match=rf"cannot be reached: no route\): set models\.{family}\.pretrained"):
        create(name, 2, {"pretrained": "hub"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.nonsense", r"timm has no encoder 'resnet18.nonsense': did you mean 'resnet18\."),
        ("zzzz", r"timm has no encoder 'zzzz': see timm.list_models\(\)"),
        ("", "timm has no encoder '': see timm"),
    ],
)
def test_unknown_encoders(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        known_encoder(name)
    assert known_encoder("resnet18.a1_in1k") == "resnet18.a1_in1k"


REPOSITORIES = {
    "segformer": "nvidia/mit-b0",
    "timm_unet:resnet18": "timm/resnet18.a1_in1k",
    "vit": "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
}


def encoder_of(name: str, seed: int, pretrained: str = "none") -> nn.Module:
    model = create(name, 2, {"pretrained": pretrained}, seed)
    return model.network.segformer if name == "segformer" else model.encoder


@pytest.mark.parametrize("where", ["file", "folder", "hub"])
@pytest.mark.parametrize("name", REPOSITORIES)
def test_encoders_are_loaded(name: str, where: str, tmp_path: Path, asked_of_hub: list[str]) -> None:
    source = timm.create_model("resnet18") if "resnet18" in name else encoder_of(name, 5)  # a head is left out
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    pretrained = {"file": str(tmp_path / "model.safetensors"), "folder": str(tmp_path), "hub": "hub"}[where]
    state = encoder_of(name, 8, pretrained).state_dict()
    assert equal(state, {key: tensor for key, tensor in source.state_dict().items() if key in state})
    assert asked_of_hub == ([REPOSITORIES[name]] if where == "hub" else [])


def test_normalisations() -> None:
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    ours = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(Normalised((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))(ours)[:, 2], pixels[:, 2] - 0.5, atol=1e-6)
    assert torch.allclose(Normalised((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))(ours)[:, 0], 4 * pixels[:, 0] - 2, atol=1e-5)
    assert torch.allclose(Normalised(MEAN, STD)(ours), ours, atol=1e-6)
    assert not Normalised(MEAN, STD).state_dict()
