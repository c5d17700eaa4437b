"""Checkpoints: what comes back is what was written, and what is not a checkpoint is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from segcam import InputError
from segcam.models import create
from segcam.models.weights.checkpoints import KEY, load, pack, read_header, unpack
from tests.small_networks import equal, states

HEADER: dict[str, Any] = {
    "architecture": "unet",
    "parameters": {"width": 2},
    "classes": ["background", "pet"],
    "size": 32,
    "miou": 0.1 + 0.2,  # a float that only its shortest text brings back
}


def network(width: int = 2, classes: int = 2, norm: str = "batch") -> nn.Module:
    model = create("unet", classes, {"width": width, "norm": norm}, seed=5)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model(torch.rand(2, 3, 32, 32))  # running statistics and counters that are not the defaults
    return model


def written(folder: Path, model: nn.Module | None = None, header: dict[str, Any] | None = None) -> Path:
    file = folder / "a.safetensors"
    file.write_bytes(pack((model or network()).state_dict(), HEADER if header is None else header))
    return file


def refused(file: Path, *words: str) -> None:
    """The file does not load, and its name and all of the words are in the message."""
    with pytest.raises(InputError) as caught:
        load(file)
    for word in (str(file), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_round_trip_is_bit_identical(tmp_path: Path, memory_format: torch.memory_format) -> None:
    model = network().to(memory_format=memory_format)  # type: ignore[call-overload]
    found, header = load(written(tmp_path, model))
    assert header == HEADER
    assert not found.training
    assert equal(model.state_dict(), found.state_dict())
    assert all(tensor.dtype == found.state_dict()[name].dtype for name, tensor in model.state_dict().items())
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    with torch.no_grad():
        assert torch.equal(model(images), found(images))


def test_what_was_read_does_not_change_with_the_file(tmp_path: Path) -> None:
    """Files may be mapped into memory: a training that went on from a state may overwrite it."""
    file = written(tmp_path)
    tensors, _ = unpack(file)
    file.write_bytes(bytes(len(file.read_bytes())))
    assert equal(tensors, dict(sorted(states(network()).items())))


def test_the_header_alone(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert read_header(file) == HEADER
    with safetensors.safe_open(str(file), framework="pt") as opened:
        assert json.loads(opened.metadata()[KEY]) == HEADER
    with pytest.raises(InputError, match="does not exist"):
        read_header(tmp_path / "none")


def test_the_same_weights_give_the_same_bytes() -> None:
    assert pack(network().state_dict(), HEADER) == pack(network().state_dict(), dict(reversed(HEADER.items())))


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    file, before = written(tmp_path), torch.get_rng_state()
    load(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_absent(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "does not exist")
    refused(tmp_path)  # a folder


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99])
def test_cut_off(tmp_path: Path, keep: float) -> None:
    file = written(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    refused(file, "cannot be read as a checkpoint")


def test_overwritten_header(tmp_path: Path) -> None:
    file = written(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[:8] + b"\xff" * 32 + data[40:])
    refused(file)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [(None, "not made by segcam"), ({"format": "pt"}, "not made by segcam"), ({KEY: "{"}, "cannot be read")],
)
def test_somebody_elses_safetensors(tmp_path: Path, metadata: dict[str, str] | None, words: str) -> None:
    file = tmp_path / "other.safetensors"
    file.write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}, metadata=metadata))
    refused(file, words)


@pytest.mark.parametrize("lacking", ["architecture", "parameters", "classes"])
def test_a_header_that_cannot_rebuild(tmp_path: Path, lacking: str) -> None:
    header = {key: value for key, value in HEADER.items() if key != lacking}
    refused(written(tmp_path, header=header), f"the header lacks '{lacking}'")


def test_the_first_tensor_that_differs_is_named(tmp_path: Path) -> None:
    wide, narrow = network(width=3).state_dict(), network(width=2).state_dict()
    first = next(name for name in sorted(narrow) if narrow[name].shape != wide[name].shape)
    shapes = f"{tuple(wide[first].shape)} in the file", f"{tuple(narrow[first].shape)} in the network"
    refused(written(tmp_path, network(width=3)), f"tensor '{first}' is {shapes[0]}", shapes[1])
    refused(written(tmp_path, network(classes=3)), "tensor 'head.bias' is (3,) in the file and (2,) in the network")
    file = tmp_path / "a.safetensors"
    file.write_bytes(pack({n: t for n, t in narrow.items() if n != "head.bias"}, HEADER))
    refused(file, "tensor 'head.bias' is absent in the file")
    file.write_bytes(pack({**narrow, "aside": torch.zeros(1)}, HEADER))
    refused(file, "tensor 'aside' is (1,) in the file and absent in the network")


def test_unknown_architecture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown model 'unot'"):
        load(written(tmp_path, header={**HEADER, "architecture": "unot"}))


class Trap:
    """Says so when somebody unpickles it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_pickles_are_refused_and_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sprung = tmp_path / "sprung"
    plain, zipped = tmp_path / "a.pt", tmp_path / "b.safetensors"
    plain.write_bytes(pickle.dumps(Trap(sprung)))
    torch.save({"weight": torch.zeros(2), "trap": Trap(sprung)}, zipped)
    for file in (plain, zipped):
        refused(file)
    assert not sprung.exists()
    pickle.loads(plain.read_bytes())
    assert sprung.exists(), "the trap itself works"


def test_nothing_of_pickle_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a checkpoint was unpickled")

    file = written(tmp_path)
    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, never)
    assert unpack(file)[1] == HEADER
    load(file)
