"""Weights as others save them: prefixes, trainers' dictionaries, shards; loaded, or refused with a cure that works."""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from segcam import InputError
from segcam.errors import SegcamWarning
from segcam.models import create
from segcam.models.weights import load_weights
from segcam.models.weights.reading import digest_of, read_weights
from tests.small_networks import equal, states

State = dict[str, Tensor]


class Net(nn.Module):
    """A network with a child that is called as wrappers are, a norm and a head."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, width, 1))
        self.head = nn.Conv2d(width, 2, 1)


def net(seed: int, width: int = 4) -> Net:
    torch.manual_seed(seed)
    made = Net(width)
    with torch.no_grad():
        made.model[1].running_mean.normal_()
    return made


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def optimiser(network: nn.Module) -> dict[str, Any]:
    made = torch.optim.AdamW(network.parameters())
    sum(parameter.sum() for parameter in network.parameters()).backward()
    made.step()
    made.zero_grad()
    return made.state_dict()


PREFIXES = (
    *(
        "",
        "module.",
        "model.",
        "_orig_mod.",
        "net.",
        "network.",
        "segmentor.",
        "module.model.",
        "model.module.",
        "a.b.",
    ),
    *("_orig_mod.module.", "module._orig_mod.", "model._orig_mod.", "model.net._orig_mod."),
)
KEYS = ("state_dict", "model_state_dict", "model", "net", "ema", "weights", "model_ema", "my_best_network")
TRAINERS: dict[str, Callable[[State, State], Any]] = {
    "Lightning": lambda s, _: {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": {"lr": 1e-3},
        "state_dict": OrderedDict({**under("model.", s), "criterion.weight": torch.ones(3)}),
    },
    "options of argparse": lambda s, _: {
        "state_dict": under("model.", s),
        "hyper_parameters": argparse.Namespace(lr=1e-3, layers=[1, 2]),
    },
    "with its optimiser": lambda s, _: {"model_state_dict": s, "optimizer_state_dict": optimiser(net(3)), "epoch": 3},
    "average beside it": lambda s, o: {"epoch": 3, "arch": "x", "state_dict": s, "state_dict_ema": o, "metric": 0.7},
    "model and ema": lambda s, o: {"model": s, "ema": under("module.", o)},
    "average in Lightning": lambda s, o: {"state_dict": {**under("ema_model.", o), **under("model.", s)}},
    "averaged alone": lambda s, _: {**under("module.", s), "n_averaged": torch.tensor(5)},
    "another network beside it": lambda s, _: {"generator": s, "discriminator": nn.Linear(2, 3).state_dict()},
    "a larger one beside it": lambda s, _: {"student": s, "teacher": net(8, width=6).state_dict()},
    "the same twice": lambda s, _: {"state_dict": {**under("net.", s), **under("metrics.net.", s)}},
    "in parts": lambda s, _: {
        part: {n.removeprefix(f"{part}."): v for n, v in s.items() if n.startswith(f"{part}.")}
        for part in ("model", "head")
    },
    "deep": lambda s, _: {"trainer": {"best": {"model": under("module.", s)}}},
    "sharded and compiled": lambda s, _: under("_fsdp_wrapped_module._orig_mod.", s),
    "a part compiled": lambda s, _: {n.replace("model.", "model._orig_mod."): v for n, v in s.items()},
    "from before counters": lambda s, _: {n: v for n, v in s.items() if "num_batches" not in n},
}


def loaded(network: nn.Module, source: Any, **options: Any) -> tuple[State, list[str]]:
    """Load weights, and return the network's state and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert load_weights(network, source, **options) is network
    assert all(issubclass(warning.category, SegcamWarning) for warning in said)
    return states(network), [str(warning.message) for warning in said]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes(tmp_path: Path, prefix: str) -> None:
    """One is taken off, which is said once; a name of the network's own is none."""
    wanted, file = states(net(1)), tmp_path / "w.pth"
    torch.save(under(prefix, wanted), file)
    state, said = loaded(net(2), file)
    assert equal(state, wanted)
    kept = ".".join(part for part in prefix.split(".") if part != "_orig_mod")
    if not prefix:
        assert not said
    elif kept:
        assert said == [f"weights {file}: the prefix '{kept}' is taken off the tensors' names"]
    else:
        assert len(said) == 1
        assert "what torch's wrappers put into the tensors' names" in said[0]
    assert loaded(net(3), file)[1] == []
    save_file(under(prefix, wanted), tmp_path / "w.safetensors")
    assert equal(loaded(net(2), str(tmp_path / "w.safetensors"))[0], wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("key", KEYS)
def test_keys_of_trainers(tmp_path: Path, key: str, prefix: str) -> None:
    wanted = states(net(1))
    torch.save({"epoch": 3, key: under(prefix, wanted), "lr": 0.1}, tmp_path / "w.pth")
    state, said = loaded(net(2), tmp_path / "w.pth")
    assert equal(state, wanted)
    assert len(said) == 1
    assert f"the prefix '{key}.{prefix}' is taken off" in said[0]


@pytest.mark.parametrize("name", TRAINERS)
def test_files_of_trainers(tmp_path: Path, name: str) -> None:
    wanted, other = states(net(1)), states(net(4))
    torch.save(TRAINERS[name](wanted, other), tmp_path / "w.ckpt")
    state, said = loaded(net(2), tmp_path / "w.ckpt")
    if name == "from before counters":
        del state["model.1.num_batches_tracked"], wanted["model.1.num_batches_tracked"]
    assert equal(state, wanted)
    assert len(said) == (name not in ("in parts", "from before counters"))
    if name in ("average beside it", "model and ema", "average in Lightning"):
        assert "ema" in said[0].partition("left out: ")[2], "which of the two is taken is said"
    if name == "Lightning":
        assert "the prefix 'state_dict.model.' is taken off" in said[0]
        assert said[0].endswith("what stands beside it is left out: state_dict.criterion")


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, lambda n: nn.Sequential(OrderedDict(model=n))])
def test_networks_within_wrappers(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    """What the network itself is wrapped in stands in its own names, not in the file's."""
    wanted = states(net(1))
    for content in (wanted, under("module.", wanted), {"state_dict": under("model.", wanted)}):
        torch.save(content, tmp_path / "w.pth")
        network = net(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own, on the first use of its compiler
            wrapped = wrap(network)
        loaded(wrapped, tmp_path / "w.pth")
        assert equal(states(network), wanted)


def test_a_prefix_may_be_named(tmp_path: Path) -> None:
    one, two = states(net(1)), states(net(2))
    torch.save({"student": one, "teacher": under("net.", two)}, tmp_path / "w.pth")
    assert equal(loaded(net(3), tmp_path / "w.pth", prefix="student.")[0], one)
    assert equal(loaded(net(3), tmp_path / "w.pth", prefix="teacher.net")[0], two)
    with pytest.raises(InputError, match=r"no tensor's name begins with 'pupil\.': they begin with student, teacher"):
        load_weights(net(3), tmp_path / "w.pth", prefix="pupil")


def test_several_that_would_do_are_refused_and_the_cure_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, two = states(net(1)), states(net(2))
    torch.save({"student": one, "teacher": two}, tmp_path / "w.pth")
    with pytest.raises(
        InputError, match=r"more than once, behind 'student\.', 'teacher\.': name one as prefix="
    ) as caught:
        load_weights(net(3), tmp_path / "w.pth")
    exec(str(caught.value).partition("in Python: ")[2], {})
    assert equal(loaded(net(3), tmp_path / "weights.pth")[0], one)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("head.bias"), "1 missing ('head.bias')"),
        (lambda s: s.update({"extra": torch.ones(1)}), "1 not in the network ('extra')"),
        (lambda s: s.update({"head.bias": torch.ones(5)}), "1 of another shape ('head.bias' (5,) there, (2,) in the"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("model.")], "8 missing ('model.0.weight', "),
        (lambda s: s.update({"head.bias": torch.tensor([1, float("nan")])}), "'head.bias' holds NaN or infinity"),
        (lambda s: s.update({"head.bias": torch.ones(2, dtype=torch.int8)}), "'head.bias' is of int8"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change: Any, words: str, prefix: str, tmp_path: Path) -> None:
    state, network = states(net(1)), net(2)
    change(state)
    before = states(network)
    torch.save(under(prefix, state), tmp_path / "w.pth")
    with pytest.raises(InputError, match=re.escape(words)):
        loaded(network, tmp_path / "w.pth")
    assert equal(states(network), before)


@pytest.mark.parametrize(
    ("network", "source", "words"),
    [
        (nn.Linear(2, 3, device="meta"), nn.Linear(2, 3).state_dict(), "tensors without data .*: build it on the CPU"),
        (nn.Linear(2, 3), {"weight": 3}, "hold 'weight' of type int: give tensors by name"),
        (nn.Linear(2, 3), {1: torch.ones(1)}, "hold 1 of type Tensor: give tensors by name"),
        (nn.Linear(2, 3), {}, r"2 missing \('weight', 'bias'\)"),
    ],
)
def test_what_is_given_in_the_wrong_form(network: nn.Module, source: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_weights(network, source)


def test_patterns_of_names_to_leave_out() -> None:
    state = {**states(net(1)), "total_ops": torch.ones(1), "head.weight": torch.ones(21, 4, 1, 1)}
    network = net(2)
    head = states(network.head)
    found, _ = loaded(
        network, {name: state[name] for name in state if name != "head.bias"}, ignore=["head.*", "total_*"]
    )
    assert equal(states(network.head), head)
    assert torch.equal(found["model.0.weight"], state["model.0.weight"])


def test_one_tensor_under_two_names_may_be_saved_once() -> None:
    def tied(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        made[1].weight = made[0].weight
        return made

    wanted = states(tied(1))
    state, _ = loaded(tied(2), {name: value for name, value in wanted.items() if name != "1.weight"})
    assert equal(state, wanted)
    with pytest.raises(InputError, match=r"1 missing \('1\.bias'\)"):
        load_weights(tied(2), {name: value for name, value in wanted.items() if not name.startswith("1.")})


OURS: dict[str, Any] = {"segformer": {}, "timm_unet": {"encoder": "resnet18"}, "vit": {"image_size": 32}}


@pytest.mark.parametrize("name", OURS)
def test_our_own_networks_take_them_too(name: str, tmp_path: Path) -> None:
    """By `pretrained = FILE`: the encoder's tensors, in whatever they are wrapped."""
    source = create(name, 3, OURS[name], seed=5)
    of: Any = {"segformer": lambda m: m.network, "timm_unet": lambda m: m.encoder, "vit": lambda m: m.encoder}[name]
    wanted = states(of(source))
    contents = {
        "plain": wanted,
        "DataParallel": under("module.", wanted),
        "compiled": under("_orig_mod.", wanted),
        "Lightning": {"state_dict": under("model.", wanted), "hyper_parameters": argparse.Namespace(lr=1)},
        "trainer": {"model_state_dict": under("module.", wanted), "optimizer_state_dict": {}, "epoch": 3},
        "timm": {"state_dict": wanted, "state_dict_ema": {n: v + 1 for n, v in wanted.items()}},
        "the whole network": {"state_dict": states(source)},
    }
    for what, content in contents.items():
        file = tmp_path / f"{what}.pth"
        torch.save(content, file)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = create(name, 3, {**OURS[name], "pretrained": str(file)}, seed=9)
        assert equal(states(of(found)), wanted), what
        assert len(said) == ((what != "plain" and (name, what) != ("segformer", "the whole network")) or False) or said
        assert {warning.category for warning in said} <= {SegcamWarning}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(tmp_path: Path, kind: str) -> None:
    wanted = states(net(1))
    names = list(wanted)
    parts = {f"model-{i + 1}-of-2.{kind}": names[i::2] for i in range(2)}
    for part, own in parts.items():
        content = {f"model.{n}": wanted[n].contiguous() for n in own}
        save_file(content, tmp_path / part) if kind == "safetensors" else torch.save(content, tmp_path / part)
    index = tmp_path / {"safetensors": "model.safetensors.index.json", "bin": "pytorch_model.bin.index.json"}[kind]
    places = {f"model.{n}": part for part, own in parts.items() for n in own}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    for source in (tmp_path, index):
        assert equal(loaded(net(2), source)[0], wanted)
    before = digest_of(index)
    (tmp_path / f"model-2-of-2.{kind}").rename(tmp_path / "away")
    with pytest.raises(
        InputError, match=rf"1 of its 2 shards are not beside it, model-2-of-2\.{kind} first: fetch them"
    ):
        read_weights(index)
    (tmp_path / "away").rename(tmp_path / f"model-2-of-2.{kind}")
    (tmp_path / f"model-1-of-2.{kind}").write_bytes((tmp_path / f"model-2-of-2.{kind}").read_bytes())
    assert digest_of(index) != before
    with pytest.raises(InputError, match=rf"'model\..*' is not in model-1-of-2\.{kind}"):
        read_weights(index)


@pytest.mark.parametrize("place", ["../w.bin", "/etc/passwd", 3, "a\nb", "", ".", "x.index.json"])
def test_shards_lie_beside_their_index(tmp_path: Path, place: Any) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": place}}))
    with pytest.raises(InputError, match=r"names a shard .*: a file beside it is needed"):
        read_weights(index)
    for text in ("{", "[]", "{}", '{"weight_map": []}', "[" * 100_000):
        index.write_text(text)
        with pytest.raises(InputError, match="fetch the file again"):
            read_weights(index)


class Payload:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("import tests.segcam.models.test_weights as t; t.RAN.append(1)",))


RAN: list[int] = []


@pytest.mark.parametrize("what", ["a network", "a number of numpy", "arrays", "options of its own", "counts", "code"])
def test_what_brings_code_is_refused_and_the_cure_works(what: str, tmp_path: Path) -> None:
    """The file's own code is never run by segcam; who trusts it saves the tensors alone."""
    network = net(1)
    file = tmp_path / "w's file.pth"
    content: Any = {
        "a network": network,
        "a number of numpy": {"state_dict": network.state_dict(), "best": np.float64(0.7)},
        "arrays": {name: tensor.numpy() for name, tensor in network.state_dict().items()},
        "options of its own": {"model": network, "options": Path("a")},
        "counts": defaultdict(dict, {"state_dict": network.state_dict(), "losses": defaultdict(list, {"a": [1.0]})}),
        "code": {"state_dict": network.state_dict(), "more": Payload()},
    }[what]
    torch.save(content, file)
    RAN.clear()
    with pytest.raises(InputError, match="it holds more than tensors: ") as caught:
        load_weights(net(2), file)
    message = str(caught.value)
    assert not RAN
    assert message.isprintable()
    assert len(message) < 1000
    exec(message.partition("in Python: ")[2], {})
    assert equal(loaded(net(2), tmp_path / "w's file-tensors.pth")[0], states(network))


def test_what_pickle_saved_is_refused_and_the_cure_works(tmp_path: Path) -> None:
    network, file = net(1), tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps({"state_dict": network.state_dict(), "losses": [0.5]}))
    with pytest.raises(InputError, match=r"\(it was saved by pickle\), and segcam runs no code") as caught:
        load_weights(net(2), file)
    exec(str(caught.value).partition("in Python: ")[2], {})
    assert equal(loaded(net(2), tmp_path / "w-tensors.pth")[0], states(network))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"weights", mtime=0), "it is compressed by gzip.*: unpack it, gunzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS's pointer.* git lfs pull"),
        (b"<!DOCTYPE html><html>Not found</html>", "a page of the web"),
        (b"", "it is damaged, or neither safetensors nor saved by torch"),
    ],
)
def test_what_is_no_file_of_weights_yet_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "w.pth")


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("w.pth", b"weights")
    with pytest.raises(InputError, match=r"it is an archive of other files.*: unpack it"):
        read_weights(tmp_path / "w.zip")


def test_weights_of_one_byte(tmp_path: Path) -> None:
    small = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.is_floating_point() else tensor
        for name, tensor in states(net(1)).items()
    }
    torch.save(small, tmp_path / "w.pth")
    found = load_weights(net(2), tmp_path / "w.pth").state_dict()
    assert all(torch.equal(found[name], small[name].to(found[name].dtype)) for name in small)


def test_scripts(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 4, 4)), tmp_path / "w.pt")
        with pytest.raises(InputError, match=r"\(it is a TorchScript archive\): save its tensors alone") as caught:
            load_weights(nn.Conv2d(3, 2, 1), tmp_path / "w.pt")
        exec(str(caught.value).partition("in Python: ")[2], {})
    assert equal(loaded(nn.Conv2d(3, 2, 1), tmp_path / "w-tensors.pth")[0], states(network))


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    wanted = states(net(1))
    torch.save(wanted, tmp_path / "w.safetensors")
    torch.save(wanted, tmp_path / "old", _use_new_zipfile_serialization=False)
    save_file(wanted, tmp_path / "w.bin")
    for name in ("w.safetensors", "old", "w.bin"):
        assert equal(loaded(net(2), tmp_path / name)[0], wanted)


@pytest.mark.parametrize("data", [b"\x89HDF\r\n\x1a\n" + bytes(99), b"GGUF" + bytes(99), b"\x1b[31mred", b"a,b\n1,2\n"])
def test_files_of_other_kinds(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(InputError, match="damaged, or neither safetensors nor saved by torch") as caught:
        load_weights(net(1), tmp_path / "w.pth")
    assert str(caught.value).isprintable()
