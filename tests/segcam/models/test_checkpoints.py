"""Checkpoints: what comes back is what was written, and what is not a checkpoint is refused."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segcam import InputError
from segcam.models import create
from segcam.models.weights.checkpoints import KEY, load, pack, read_header, unpack
from segcam.models.weights.headers import KEYS
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
        assert json.loads(opened.metadata()[KEY])["header"] == HEADER
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
    refused(tmp_path, "is a folder: name a file")


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


def marked(folder: Path, change: Callable[[dict[str, Any]], object], tensors: Mapping[str, torch.Tensor] = {}) -> Path:
    """Write a checkpoint whose marks, header or tensors are changed behind segcam's back."""
    data = pack(network().state_dict(), HEADER)
    with safetensors.safe_open(str(written(folder)), framework="pt") as opened:
        marks = json.loads(opened.metadata()[KEY])
    state = safetensors.torch.load(data) | dict(tensors)
    changed = change(marks)
    text = changed if isinstance(changed, str) else json.dumps(marks)
    file = folder / "changed.safetensors"
    file.write_bytes(safetensors.torch.save(state, metadata={KEY: text}))
    return file


def test_a_changed_weight_is_refused(tmp_path: Path) -> None:
    """As one file that was written over another, or a network that was tuned and saved by other means."""
    load(marked(tmp_path, lambda marks: None))
    head = network().state_dict()["head.weight"].clone()
    head[0, 0] += 1e-6
    file = marked(tmp_path, lambda marks: None, {"head.weight": head})
    refused(file, "are not those that were written, by their sha256): fetch it or save it again")
    assert read_header(file) == HEADER  # which costs no reading of the weights


@pytest.mark.parametrize(
    "change",
    [
        lambda marks: marks["header"].update(classes=["pet", "background"]),
        lambda marks: marks["header"]["parameters"].update(norm="none"),
        lambda marks: marks.update(sha256="0" * 64),
    ],
)
def test_a_changed_header_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    refused(marked(tmp_path, change), "by their sha256")


def test_other_schemas(tmp_path: Path) -> None:
    refused(marked(tmp_path, lambda m: m.update(schema=2)), "was written by a newer segcam", "update segcam")
    refused(marked(tmp_path, lambda m: json.dumps(HEADER)), "an older segcam wrote it")
    for value in (None, "1", 1.0, True, [1]):
        refused(marked(tmp_path, lambda m, v=value: m.update(schema=v)), "its schema number or sha256 is damaged")
    refused(marked(tmp_path, lambda m: m.update(schema=0)), "its schema is 0, not 1")


DIGITS = "9" * 5000
WRONG = {
    "architecture": [3, None, "", ["unet"], "a" * 2000, "un\x00et"],
    "parameters": [3, None, [], {"width": [2]}, {"width": {}}, {"": 2}, {"width": float("nan")}, {"width": None}],
    "classes": [3, None, [], {}, ["a", 3], ["a", "a"], ["a", ""], [None], list(map(str, range(256)))],
    "size": [0, -1, 2**20, 1.5, True, "32", [32, 32], None],
    "step": [-1, True, 1.5, "1", None, 2**64],
    "seed": [-1, True, "0"],
    "level": [0, 101, True, 30.0, "best"],
    "miou": [-0.1, 1.1, "1", True, None, float("inf")],
    "iou": [3, [0.5], {"a": 2}, {"a": "x"}, {"a": None}],
    "reached": [1, "yes", None],
    "mean": [[], [0.1, 0.2, "x"], 3, [0.1, 0.2, float("nan")]],
    "range": [[0.0], [0.0, "x"], 255],
    "std": [[0.1, 0.2, 0], None],
    "seconds": [-1, "1", float("nan"), 1e300],
    "cell": [3, "", "a\nb"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_wrong_values_in_a_header(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"no checkpoint can be written: '{key}' of the header is"):
        pack({}, {**HEADER, key: value})
    file = marked(tmp_path, lambda marks: marks["header"].update({key: value}))
    refused(file, f"'{key}' of the header is")
    with pytest.raises(InputError, match="of the header is"):
        read_header(file)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "3",
        '{"schema": 1, "sha256": "", "header": 3}',
        '{"schema": 1, "sha256": ""}',
        f'{{"schema": {DIGITS}}}',
        f'{{"schema": 1, "sha256": "", "header": {{"step": {DIGITS}}}}}',
        "[" * 100_000,
        '{"schema": 1, "sha256": "", "header": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "\ud800",
    ],
)
def test_headers_that_are_none(tmp_path: Path, text: str) -> None:
    refused(marked(tmp_path, lambda marks: text.encode("utf-8", "replace").decode()), "cannot be read as a checkpoint")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.tensor([1.0, float("nan")]), "not finite"),
        (torch.tensor([1.0, float("inf")]), "not finite"),
        (torch.tensor([1.0, 1e300], dtype=torch.float64), "not finite"),
        (torch.tensor([1, 2]), "is (2,) of int64 in the file and (2,) in the network"),
        (torch.tensor([True, False]), "is (2,) of bool in the file and (2,) in the network"),
        (torch.tensor([1j, 2]), "is (2,) of complex64 in the file and (2,) in the network"),
    ],
)
def test_weights_of_no_use(tmp_path: Path, tensor: torch.Tensor, words: str) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(pack({**network().state_dict(), "head.bias": tensor}, HEADER))
    refused(file, "tensor 'head.bias'", words)


def test_number_formats_that_files_may_have(tmp_path: Path) -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        state = {n: t.to(kind) if t.is_floating_point() else t for n, t in network().state_dict().items()}
        file = tmp_path / "a.safetensors"
        file.write_bytes(pack(state, HEADER))
        assert equal(load(file)[0].state_dict(), {n: t.float() for n, t in state.items()})


def test_no_file_with_an_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    refused(pipe, "is a pipe: name a plain file")
    refused(Path("/dev/zero"), "is a device")


def test_wrong_parameters_name_the_file(tmp_path: Path) -> None:
    refused(written(tmp_path, header={**HEADER, "parameters": {"width": "2"}}), "it must be of type int")
    refused(written(tmp_path, header={**HEADER, "parameters": {"depth": 2}}), "unknown parameter of model 'unet'")
    refused(written(tmp_path, header={**HEADER, "architecture": "unet:b1"}), "has no variants")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(key=st.sampled_from([*sorted(KEYS), "schema", "sha256", "header", "other"]), value=JSON, outside=st.booleans())
def test_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any, outside: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "headers"
    folder.mkdir(exist_ok=True)
    file = marked(folder, lambda marks: (marks if outside else marks["header"]).update({key: value}))
    for read in (read_header, load):
        with contextlib.suppress(InputError):
            read(file)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 3000), data=st.binary(min_size=1, max_size=20))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    whole = pack(network().state_dict(), HEADER)
    changed = whole[:at] + data + whole[at + len(data) :]
    file.write_bytes(changed)
    if changed == whole:
        load(file)
    else:
        refused(file)


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
