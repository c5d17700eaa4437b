"""Elements: nested outputs give the maps of the one that is named, whoever runs the network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from segcam import InputError, Probe, ProbeError, Target, grad_cam
from segcam.checks.faithfulness.outcomes import Subjects
from segcam.checks.faithfulness.stability import max_sensitivity
from segcam.errors import SegcamWarning
from segcam.maps import all_maps, layer_maps
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.probe.layers import Layer
from segcam.probe.network.elements import Element, select


class Pair(NamedTuple):
    """What some networks return."""

    first: Tensor
    second: Tensor


class Net(nn.Module):
    """Two heads; the second is wanted, at half the resolution and with other classes."""

    def __init__(self, shape: Callable[[Tensor, Tensor], Any], end: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.one, self.two = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 3, 1)
        self.shape, self.end = shape, end

    def forward(self, images: Tensor) -> Any:
        """Return both in some shape."""
        features = self.relu(self.conv(images))
        return self.shape(self.one(features), self.end(self.two(nn.functional.avg_pool2d(features, 2))))


def alone(end: Callable[[Tensor], Tensor] = lambda z: z) -> Net:
    return Net(lambda _, two: two, end)


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 16, 24, generator=torch.Generator().manual_seed(1))


NESTS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Element]] = {
    "list": (lambda one, two: [one, two], 1),
    "from its end": (lambda one, two: [one, two], -1),
    "index as text": (lambda one, two: (one, two), "1"),
    "mapping": (lambda one, two: {"out": one, "aux": two}, "aux"),
    "path": (lambda one, two: {"out": one, "aux": [{"masks": two}]}, "aux.0.masks"),
    "number as key": (lambda one, two: {0: one, 8: two}, 8),
    "key with a point": (lambda one, two: {"aux": one, "aux.0": two}, "aux.0"),
    "object": (lambda one, two: SimpleNamespace(logits=one, aux=SimpleNamespace(logits=two)), "aux.logits"),
    "a model's output": (lambda one, two: OrderedDict(logits=one, auxiliary=two), "auxiliary"),
    "named tuple": (Pair, "second"),
    "stack": (lambda _, two: torch.stack([two.flip(1), two]), 1),
    "a whole inside": (lambda one, two: (one, {"logits": two}), 1),
    "function": (lambda one, two: [one, two], lambda output: output[1]),
    "function that computes": (lambda one, two: two.permute(0, 2, 3, 1), lambda output: output.permute(0, 3, 1, 2)),
}


@pytest.mark.parametrize("said_as", ["output", "element", "target"])
@pytest.mark.parametrize("case", NESTS)
def test_the_maps_are_those_of_the_element_alone(case: str, said_as: str) -> None:
    nest, element = NESTS[case]
    wanted = Probe(alone(), "conv")(images(), Target(2, "predicted", "margin"))
    if said_as == "target":
        found = Probe(Net(nest), "conv")(images(), Target(2, "predicted", "margin", output=element))
    else:
        found = Probe(Net(nest), "conv", **{said_as: element})(images(), Target(2, "predicted", "margin"))  # type: ignore[arg-type]
    assert torch.equal(found.logits, wanted.logits)
    assert torch.equal(found.maps(grad_cam), wanted.maps(grad_cam))
    assert found.target.element is not None
    again = Probe(Net(nest), "conv")(images(), found.target)  # what a capture knows may be asked again
    assert torch.equal(again.maps(grad_cam), wanted.maps(grad_cam))


def test_a_meaning_and_an_element_are_said_together() -> None:
    nest, end = NESTS["list"][0], nn.Softmax(1)
    target = Target(2, "image", "logprob")
    wanted = Probe(alone(end), "conv", output="probabilities")(images(), target)
    for probe in (
        Probe(Net(nest, end), "conv", output="probabilities", element=1),
        Probe(Net(nest, end), "conv", output="probabilities", element=lambda output: output[1]),
    ):
        found = probe(images(), target)
        assert torch.equal(found.scores, wanted.scores)
        assert torch.allclose(found.scores, Probe(alone(), "conv")(images(), target).scores, atol=1e-6)
    with pytest.warns(SegcamWarning, match="read as probabilities"):  # and where nothing is said it is found out
        found = Probe(Net(nest, end), "conv", output=1)(images(), target)
    assert torch.equal(found.scores, wanted.scores)
    known = Probe(Net(nest, end), "conv", element=1)(images(), Target(2, "image", "logprob", output="probabilities"))
    assert torch.equal(known.scores, wanted.scores)


RUN = [
    "score_cam",
    "ablation_cam",
    "captum_integrated_gradients",
    "captum_deep_lift",
    "captum_layer_conductance",
    "cam",
]


@pytest.mark.parametrize("name", RUN)
def test_methods_that_run_the_network_themselves_look_at_it_too(name: str) -> None:
    method, layer, maps = METHODS.get(name), Layer("relu", "relu"), []
    for net, element in ((alone(), None), (Net(NESTS["list"][0]), 1)):
        probe = Probe(net, [layer], element=element)
        capture = probe(images(), Target(2, "image"))
        with examining(probe, images(), capture) as subject:
            assert method.run is not None
            maps.append(method.run(subject, layer))
    assert torch.isfinite(maps[0]).all()
    torch.testing.assert_close(maps[1], maps[0])


def test_checks_and_placements_look_at_it_too() -> None:
    net, whole = Net(NESTS["list"][0]), alone()
    target = Target(2, "predicted", output=1)
    capture, plain = Probe(net, "conv")(images(), target), Probe(whole, "conv")(images(), Target(2, "predicted"))
    sides = (torch.rand(2, 16, 24) > 0.5, torch.zeros(2, 16, 24, dtype=torch.bool))
    one = Subjects.of(net, images(), 2, sides, ("a", "b"), capture.target)
    two = Subjects.of(whole, images(), 2, sides, ("a", "b"), plain.target)
    assert torch.equal(one.chosen, two.chosen)
    torch.testing.assert_close(one.unchanged, two.unchanged, equal_nan=True)
    changes = []
    for probe, known in ((Probe(net, "conv"), capture), (Probe(whole, "conv"), plain)):
        found = max_sensitivity(
            probe, images(), known, lambda c: {"conv": layer_maps(c, "conv", [METHODS.get("grad_cam")])[1]}, ("a", "b")
        )
        changes.append(found.repicked["conv"])
    torch.testing.assert_close(changes[0], changes[1], equal_nan=True)
    placed = Probe(net, "conv", element=1, placement="receptive_field")(images(), Target(2))
    assert placed.logits.shape[1] == 3
    (maps,) = all_maps(Probe(net, "conv"), images(), [target], ["grad_cam"])
    torch.testing.assert_close(maps["conv"][:, 0], plain.maps(grad_cam), equal_nan=True)


def test_one_probe_may_be_asked_about_several_in_turn() -> None:
    probe = Probe(Net(NESTS["list"][0]), "conv")
    for element, classes in ((0, 2), (1, 3), (0, 2)):
        assert probe(images(), Target(1, output=element)).logits.shape[1] == classes
    with pytest.raises(ProbeError, match="the elements '0' and '1': probe them one after the other"):
        probe.many(images(), [Target(1, output=0), Target(1, output=1)])


def test_the_message_lists_the_elements_and_its_cure_works() -> None:
    net = Net(lambda one, two: {"deep": [one.flatten(1), two], "more": SimpleNamespace(mask=one)})
    with pytest.raises(ProbeError) as error:
        Probe(net, "conv")(images())
    text = str(error.value)
    assert "a dict with 'deep', 'more'" in text
    assert "'deep.0' (2, 768), 'deep.1' (2, 3, 8, 12), 'more.mask' (2, 2, 16, 24)" in text
    cure = text.partition("Probe(..., element='")[2].partition("'")[0]
    assert Probe(net, "conv", element=cure)(images()).logits.shape == (2, 3, 8, 12)
    many = Net(lambda one, _: [one] * 40)
    with pytest.raises(ProbeError, match=r"'11' .* and 28 more"):
        Probe(many, "conv")(images())


WRONG: dict[str, tuple[Element, str]] = {
    "no such index": (2, r"no element '2': it returned a list of 2; its elements are '0' \(2, 2, 16, 24\), '1'"),
    "no such key": ("aux", "no element 'aux'.*what its numbers mean is one of 'logits', 'probabilities'"),
    "no dense one": ("0.0", r"a tensor \(2, 16, 24\): logits"),
    "a method": ("append", "no element 'append'"),
    "an index behind a tensor": ("0.7", "no element '0.7'"),
    "a failing function": (
        lambda output: output["aux"],
        "function that is to pick the output failed on a list of 2: TypeError",
    ),
    "a function that gives nothing": (lambda _: None, "the network returned a NoneType"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_there_is_refused(case: str) -> None:
    element, message = WRONG[case]
    with pytest.raises(ProbeError, match=message):
        Probe(Net(NESTS["list"][0]), "conv", element=element)(images())


@pytest.mark.parametrize("wrong", ["", "a..b", 1.5, True, nn.Module, ["a"]])
def test_what_names_no_element_is_refused(wrong: object) -> None:
    with pytest.raises((InputError, ProbeError)):
        Probe(Net(NESTS["list"][0]), "conv", output=wrong)(images())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="another: say it once"):
        Probe(alone(), "conv", output="aux", element="main")


def test_selecting_by_hand() -> None:
    assert select([1, [2, 3]], "1.-1") == 3
    assert select({"a": {"b.c": 4}}, "a.b.c") == 4
