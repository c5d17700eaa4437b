"""A network whose modules are replaced between two passes of one probe: as if the probe were made anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target, grad_cam
from segcam.probe.network.modules import first_names, tensors_of, walked
from tests.small_networks import seeded

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LAYERS = ["stem", "block", "act"]


class Block(nn.Module):
    """A convolution onto 8 x 8 cells of 8 channels, of which the shape does not tell which axis is which."""

    def __init__(self, *, last: bool = False) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(6, 8, 3, stride=2, padding=1), last

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        return maps.permute(0, 2, 3, 1).contiguous() if self.last else maps


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class Mirror(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.stem, self.norm, self.act = nn.Identity(), nn.Conv2d(3, 6, 3, padding=1), nn.Identity(), relu()
        self.block, self.order = Block(), nn.Identity()
        self.up, self.head, self.end = nn.Upsample(scale_factor=2), nn.Conv2d(8, 2, 1), nn.Identity()
        self.beside = nn.Linear(2, 2)  # with it channels may come last

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(self.first(x))))
        return self.end(self.head(self.up(self.order(self.block(x)))))


def relu(*, inplace: bool = False) -> nn.Module:
    return nn.ReLU(inplace=inplace)


def built(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    return seeded(build, seed).float()


REPLACED: dict[str, Callable[[], dict[str, nn.Module]]] = {
    "a layer": lambda: {"stem": built(lambda: nn.Conv2d(3, 6, 3, padding=1), 8)},
    "a layer, by a scripted one": lambda: {"stem": torch.jit.script(built(lambda: nn.Conv2d(3, 6, 3, padding=1), 8))},
    "what follows a layer, by one in place": lambda: {"act": relu(inplace=True)},
    "two, so that channels come last": lambda: {"block": built(lambda: Block(last=True), 9), "order": Turned()},
    "what is before all layers, by a flip": lambda: {"first": Mirror()},
    "the end, by a softmax": lambda: {"end": nn.Softmax(1)},
    "the block, by one that lacks padding": lambda: {"block": built(lambda: nn.Conv2d(6, 8, 1, stride=2), 8)},
    "another, that nothing runs through": lambda: {"beside": nn.Sequential(*(nn.Linear(2, 2) for _ in range(9)))},
}


SAME = {"what follows a layer, by one in place", "another, that nothing runs through"}
"""Those that change no map: what is overwritten is copied."""


def found(probe: Probe) -> list[object]:
    """What a probe gives, or the error that it raises."""
    try:
        captures = probe.many(IMAGES, [Target(1, "predicted"), Target(0, "image")])
    except ProbeError as error:
        return [str(error)]
    results: list[object] = []
    for capture in captures:
        results += [capture.target, dict(capture.skipped), dict(capture.layouts), dict(capture.placements)]
        results += [capture.maps(grad_cam, label).nan_to_num(-1).tolist() for label in capture.activations]
        results.append(capture.logits.tolist())
    return results


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.filterwarnings("ignore:the network's output is read as probabilities")
@pytest.mark.parametrize("name", REPLACED)
def test_a_replaced_module_is_seen(name: str) -> None:
    model = built(Network, 5)
    probe = Probe(model, LAYERS)
    before, changed = found(probe), REPLACED[name]()
    kept = {path: getattr(model, path) for path in changed}
    for path, module in changed.items():
        setattr(model, path, module)
    assert found(probe) == found(Probe(model, LAYERS))
    assert (found(probe) == before) == (name in SAME)
    for path, module in kept.items():
        setattr(model, path, module)
    assert found(probe) == before


def test_a_layer_that_is_gone_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), nn.Conv2d(4, 2, 1))
    probe = Probe(model, ["0", "1.0"])
    probe(IMAGES)
    model[1] = nn.Conv2d(4, 4, 1)
    message = r"^the network has no module '1\.0' any more, where layer '1\.0' was: make a new Probe of the network as"
    for _ in range(2):
        with pytest.raises(ProbeError, match=message):
            probe(IMAGES)
    model[1] = nn.Sequential(nn.Conv2d(4, 4, 1))
    assert probe(IMAGES).activations["1.0"].shape == (2, 4, 16, 16)


@pytest.mark.filterwarnings("ignore")  # of torch.ao
def test_a_network_that_is_quantised_since_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(2), nn.Linear(256, 256), nn.Unflatten(2, (16, 16)))
    probe = Probe(model, "0")
    probe(IMAGES)
    torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8, inplace=True)
    with pytest.raises(ProbeError, match=r"quantised \('2' is a Linear\)"):
        probe(IMAGES)


def test_a_probe_of_some_layers_sees_it_too() -> None:
    model = built(Network, 5)
    probe = Probe(model, LAYERS)
    some = probe.restricted(probe.layers[1:])
    some(IMAGES)
    model.block, model.order = built(lambda: Block(last=True), 9), Turned()
    for one in (some, probe, probe.restricted(probe.layers[1:])):
        assert one(IMAGES).layouts["block"].form == "NHWC"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_modules_are_those_of_torch() -> None:
    shared = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model = nn.Sequential(shared, torch.jit.script(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))), shared)
    model.extra = None
    model.register_module("none", None)
    modules = walked(model)
    assert list(modules) == [path for path, _ in model.named_modules(remove_duplicate=False)]
    firsts = [path for path, first in first_names(modules).items() if path == first]
    assert firsts == [path for path, _ in model.named_modules()]
    wanted = [*model.parameters(), *model.buffers()]
    assert {t.data_ptr() for t in tensors_of(modules.values())} == {t.data_ptr() for t in wanted}
    assert len(tensors_of(modules.values())) == len(wanted)
