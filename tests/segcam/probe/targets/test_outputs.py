"""What an output means: networks that end in a sigmoid or softmax are explained as those that end before it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcam import Probe, Target, grad_cam
from segcam.errors import InputError, ProbeError, SegcamWarning
from segcam.probe.targets.arguments import Arguments
from segcam.probe.targets.ends import last_step
from segcam.probe.targets.outputs import OUTPUTS, Output, logits_of, resolved
from segcam.probe.targets.saturation import check_saturation, saturated

End = Callable[[Tensor], Tensor]
SCORES = ("logit", "margin", "logprob", "rival")


class Net(nn.Module):
    """Two convolutions, and what comes behind."""

    def __init__(self, classes: int, end: End, scale: float = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, classes, 1)
        self.end, self.scale = end, scale
        self.output_meaning: object = None

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.scale * self.b(self.a(x).relu()))


def identity(x: Tensor) -> Tensor:
    return x


def images(seed: int = 1, size: int = 12) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def said(kind: str) -> AbstractContextManager[object]:
    return pytest.warns(SegcamWarning, match=f"read as {kind}:")


ENDS: dict[str, tuple[int, End, str]] = {
    "sigmoid": (1, torch.sigmoid, "probabilities"),
    "sigmoid module": (1, nn.Sigmoid(), "probabilities"),
    "method": (1, lambda x: x.sigmoid(), "probabilities"),
    "log-sigmoid": (1, F.logsigmoid, "log-probabilities"),
    "softmax": (3, lambda x: F.softmax(x, 1), "probabilities"),
    "softmax module": (3, nn.Softmax(dim=1), "probabilities"),
    "softmax, counted from behind": (2, lambda x: x.softmax(-3), "probabilities"),
    "log-softmax": (3, nn.LogSoftmax(dim=1), "log-probabilities"),
    "channels last": (3, lambda x: x.permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2), "probabilities"),
    "flattened": (3, lambda x: x.flatten(2).softmax(1).view(x.shape), "probabilities"),
}


@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_explained_as_the_logits_they_were_made_of(end: str) -> None:
    classes, function, kind = ENDS[end]
    x = images()
    plain, probe = Probe(Net(classes, identity), "a"), Probe(Net(classes, function), "a")
    masks = torch.arange(x[:, 0].numel()).view(2, 12, 12) % max(classes, 2)
    with said(kind):
        probe(x)
    for pixels in ("best_pixel", "predicted", "truth", "boundary", "image", "false_positive", "largest"):
        for score in SCORES:
            for class_id in (0, 1):
                target = Target(class_id, pixels, score)
                got, wanted = probe(x, target, masks=masks), plain(x, target, masks=masks)
                assert torch.equal(got.explained.chosen, wanted.explained.chosen)
                assert torch.allclose(got.scores, wanted.scores, atol=1e-5)
                assert torch.allclose(got.maps(grad_cam), wanted.maps(grad_cam), rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("end", ["softmax", "log-softmax", "sigmoid"])
def test_where_logits_are_not_seen_differences_are_right(end: str) -> None:
    """Behind a last upsampling the argument is not what the network returns; logarithms of probabilities serve."""
    classes, function, kind = ENDS[end]
    x = images()
    hidden = Net(classes, lambda z: function(z).clone())
    probe, plain = Probe(hidden, "a"), Probe(Net(classes, identity), "a")
    for score in ("margin", "logprob"):
        target = Target(1, "predicted", score)
        with said(kind) if score == "margin" else nullcontext():
            got = probe(x, target)
        wanted = plain(x, target)
        assert torch.equal(got.explained.chosen, wanted.explained.chosen)
        assert torch.allclose(got.scores, wanted.scores, atol=1e-4)
        assert torch.allclose(got.maps(grad_cam), wanted.maps(grad_cam), rtol=1e-3, atol=1e-5, equal_nan=True)
    p = function(Net(classes, identity)(x))
    p = p.exp() if "log" in end else p
    own = p[:, -1] if classes == 1 else p[:, 1]
    odds = (own / (1 - own)).log()
    assert torch.allclose(probe(x, Target(1, "image")).scores, odds.mean((1, 2)), atol=1e-4)
    assert torch.allclose(probe(x, Target(1)).scores, odds.amax((1, 2)), atol=1e-4)


def test_overlapping_classes_stand_each_for_itself() -> None:
    x = images()
    z = Net(3, identity)(x).detach()
    for net, kind in ((Net(3, identity), "multilabel"), (Net(3, torch.sigmoid), None)):
        probe = Probe(net, "a", output="multilabel" if kind else None)
        with nullcontext() if kind else said("multilabel-probabilities"):
            capture = probe(x, Target(2, "predicted"))
        assert torch.equal(capture.explained.chosen, z[:, 2] > 0)  # whatever the other classes say
        wanted = {"logit": z[:, 2], "margin": z[:, 2], "logprob": F.logsigmoid(z[:, 2]), "rival": z[:, :2].amax(1)}
        for score, values in wanted.items():
            got = probe(x, Target(2, "image", score)).scores
            assert torch.allclose(got, values.mean((1, 2)), atol=1e-4)
        assert torch.allclose(
            probe(x, Target(2, "image", "contrast")).scores, (z[:, 2] - z[:, :2].amax(1)).mean((1, 2)), atol=1e-4
        )


def test_a_single_logit_explains_both_classes() -> None:
    x, net = images(), Net(1, identity)
    z = net(x).detach()[:, 0]
    one, other = (Probe(net, "a")(x, Target(class_id, "predicted")) for class_id in (0, 1))
    assert torch.equal(one.explained.chosen, z <= 0)
    assert torch.equal(other.explained.chosen, z > 0)
    assert torch.allclose(one.scores, torch.stack([-v[v <= 0].mean() for v in z]), atol=1e-5)
    assert not bool((one.maps(grad_cam) == 0).flatten(1).all(1).any())


SAID: dict[str, tuple[Output, End]] = {
    "probabilities": ("probabilities", lambda x: x.softmax(1)),
    "log-probabilities": ("log-probabilities", lambda x: x.log_softmax(1)),
    "multilabel": ("multilabel", torch.sigmoid),
    "multilabel-probabilities": ("multilabel-probabilities", torch.sigmoid),
    "logits": ("logits", lambda x: x.softmax(1)),
}


@pytest.mark.parametrize("declared", OUTPUTS)
@pytest.mark.parametrize("on", ["probe", "network", "target"])
def test_what_is_declared_is_not_said(declared: Output, on: str) -> None:
    output, end = SAID[declared]
    net = Net(3, end)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if on == "probe":
            capture = Probe(net, "a", output=output)(images())
        elif on == "network":
            net.output_meaning = output
            capture = Probe(net, "a")(images())
        else:
            capture = Probe(net, "a")(images(), Target(output=output))
    meant = "multilabel-probabilities" if declared == "multilabel" else declared
    assert capture.target.output == meant
    Probe(net, "a")(images(), capture.target)  # what a capture knows may be asked again


def test_a_network_must_say_a_known_meaning() -> None:
    net = Net(3, identity)
    net.output_meaning = "odds"
    with pytest.raises(InputError, match="unknown meaning of an output 'odds': known are"):
        Probe(net, "a")
    net.output_meaning = nn.Linear(2, 2)  # a module that happens to have the name says nothing
    assert Probe(net, "a")(images()).target.output == "logits"


WRONG: dict[str, tuple[Output | None, int, End, str]] = {
    "thresholded": (None, 1, lambda x: (x > 0).float(), "thresholded"),
    "thresholded behind a softmax": (None, 3, lambda x: (x.softmax(1) > 0.5).float(), "thresholded"),
    "one-hot": (None, 3, lambda x: F.one_hot(x.argmax(1), 3).permute(0, 3, 1, 2), "thresholded"),
    "clamped": (None, 1, lambda x: x.clamp(0, 0.9), "logits or probabilities"),
    "sigmoid by hand": (None, 1, lambda x: 1 / (1 + (-x).exp()), "logits or probabilities"),
    "smoothed": (None, 1, lambda x: F.conv2d(x.sigmoid(), torch.ones(1, 1, 3, 3) / 9), "logits or probabilities"),
    "one softmaxed channel": (None, 1, lambda x: x.softmax(1), "over one channel"),
    "softmax over rows": (None, 3, lambda x: x.softmax(2), "logits or probabilities"),
    "no probabilities": ("probabilities", 3, identity, "from 0 to 1"),
    "no sum": ("probabilities", 3, torch.sigmoid, "do not sum to 1"),
    "no sum of two": ("probabilities", 2, torch.sigmoid, "do not sum to 1"),
    "no logarithms of two": ("log-probabilities", 2, F.logsigmoid, "do not sum to 1"),
    "no logarithms": ("log-probabilities", 3, identity, "do not sum to 1"),
    "not each for itself": ("multilabel-probabilities", 3, identity, "from 0 to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_may_be_several_things_or_is_wrong_is_refused(case: str) -> None:
    declared, classes, end, words = WRONG[case]
    with pytest.raises(ProbeError, match=words):
        Probe(Net(classes, end), "a", output=declared)(images())


def test_a_refused_output_can_be_declared() -> None:
    net = Net(1, lambda x: 1 / (1 + (-x).exp()))
    capture = Probe(net, "a", output="probabilities")(images(), Target(1, "image"))
    assert torch.allclose(capture.scores, Net(1, identity)(images()).mean((1, 2, 3)), atol=1e-4)


def test_unknown_or_contradicting_meanings_are_refused() -> None:
    with pytest.raises(InputError, match=r"no element 'softmax'.*multilabel"):
        Probe(Net(2, identity), "a", output="softmax")(images())
    with pytest.raises(InputError, match=r"no element 'softmax'.*multilabel"):
        Probe(Net(2, identity), "a")(images(), Target(output="softmax"))
    with pytest.raises(InputError, match="log-probabilities"):
        resolved(torch.rand(1, 2, 4, 4), "probs")  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="say it once"):
        Probe(Net(2, identity), "a", output="logits")(images(), Target(output="multilabel"))


def test_a_saturated_sigmoid_still_has_its_logit() -> None:
    net, plain = Net(1, torch.sigmoid, scale=1e4), Net(1, identity, scale=1e4)
    with said("probabilities"):
        got = Probe(net, "a")(images(), Target(1, "predicted"))
    wanted = Probe(plain, "a")(images(), Target(1, "predicted"))
    assert torch.allclose(got.maps(grad_cam), wanted.maps(grad_cam), equal_nan=True)
    ends = logits_of(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), "probabilities")
    assert bool(torch.isfinite(ends).all())


@pytest.mark.parametrize(("classes", "function"), [(1, torch.sigmoid), (3, lambda z: z.softmax(1))])
def test_probabilities_whose_logits_are_lost_are_refused(classes: int, function: End) -> None:
    """Behind a copy the logits are not seen, and a probability of exactly 1 has no gradient: its map would be blank."""
    hidden = Net(classes, lambda z: function(z).half(), scale=100)
    probe, x = Probe(hidden, "a", output="probabilities"), images()
    with pytest.raises(ProbeError, match=r"a probability of exactly 0 or 1, whose logit is lost: wrap the network"):
        probe(x, Target(1))
    assert bool(saturated(hidden(x), "probabilities", torch.ones(2, dtype=torch.long)).any())
    some = Net(classes, lambda z: function(torch.cat([300 * z[:, :, :2], z[:, :, 2:]], 2)).half(), scale=1)
    with pytest.warns(SegcamWarning, match="whose logit is lost.* maps are those of the others"):
        got = Probe(some, "a", output="probabilities")(x, Target(1, "image"))
    assert bool((got.gradients["a"].flatten(1).abs().amax(1) > 0).all())


@pytest.mark.parametrize(
    ("classes", "ids", "wanted"),
    [
        (1, [[1], [1]], [[1, 0, 0, 0]] * 2),
        (frozenset({1, 2}), [[1, 2], [1, 2]], [[1, 1, 0, 0]] * 2),
        ((0, frozenset({0, 1})), [[0, 0], [0, 1]], [[1, 1, 0, 0], [1, 0, 1, 0]]),
    ],
)
def test_sets_of_classes_are_lost_where_they_or_all_others_are_zero(classes: Any, ids: Any, wanted: Any) -> None:
    """By hand, of four pixels and three classes."""
    values = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0], [0.2, 0.3, 0.5]]).T.reshape(1, 3, 2, 2)
    found = saturated(values.expand(2, 3, 2, 2), "probabilities", torch.tensor(ids))
    assert found.flatten(1).int().tolist() == wanted
    Probe(Net(3, lambda z: z.softmax(1).clone()), "a", output="probabilities")(images(), Target(classes, "image"))


CHANGED: dict[str, tuple[int, End, str]] = {
    "per cent": (3, lambda z: 100 * z.softmax(1), "softmax"),
    "bytes": (1, lambda z: z.sigmoid() * 255, "sigmoid"),
    "negative logarithms": (3, lambda z: -z.log_softmax(1), "log-softmax"),
    "bits": (3, lambda z: z.log_softmax(1) / 0.693, "log-softmax"),
    "logarithm of a sigmoid": (3, lambda z: (z.sigmoid() + 1e-6).log(), "sigmoid"),
    "centred, and upsampled": (1, lambda z: F.interpolate(2 * z.sigmoid() - 1, scale_factor=2), "sigmoid"),
}


@pytest.mark.parametrize("end", CHANGED)
def test_numbers_calculated_from_probabilities_are_no_logits(end: str) -> None:
    """Every pixel of a sigmoid times 255 is above 0: read as a logit, the class were predicted everywhere."""
    classes, function, kind = CHANGED[end]
    with pytest.raises(ProbeError, match=f"calculated from the probabilities of a {kind}, .* output='logits'"):
        Probe(Net(classes, function, scale=1), "a")(images())
    net = Net(classes, function, scale=1)
    got = Probe(net, "a", output="logits")(images(), Target(1, "image"))  # the cure
    values = F.interpolate(net(images()), (12, 12), mode="bilinear")[:, 1 if classes > 1 else 0]
    torch.testing.assert_close(got.scores, values.mean((1, 2)))


def test_the_logit_of_a_sigmoid_is_a_logit() -> None:
    probe = Probe(Net(1, lambda z: z.sigmoid().logit()), "a")
    torch.testing.assert_close(probe(images()).scores, Probe(Net(1, identity), "a")(images()).scores)


KEPT: dict[str, tuple[int, End, str]] = {
    "clamped": (1, lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6), "probabilities"),
    "masked": (3, lambda z: z.sigmoid().masked_fill(z < -100, 0.0), "multilabel-probabilities"),
    "one class after the other": (3, lambda z: torch.cat([one.sigmoid() for one in z.split(1, 1)], 1), ""),
    "stacked": (3, lambda z: torch.stack([one.sigmoid() for one in z.unbind(1)], 1), ""),
}


@pytest.mark.parametrize("end", KEPT)
def test_what_leaves_probabilities_as_they_are_is_seen_through(end: str) -> None:
    classes, function, kind = KEPT[end]
    kind = kind or "multilabel-probabilities"
    with said(kind):
        got = Probe(Net(classes, function), "a")(images(), Target(1, "image"))
    plain = Probe(Net(classes, identity), "a", output="multilabel" if classes > 1 else "logits")
    wanted = plain(images(), Target(1, "image"))
    torch.testing.assert_close(got.maps(grad_cam), wanted.maps(grad_cam), rtol=1e-3, atol=1e-5)


def test_a_clamp_behind_a_linear_layer_tells_nothing() -> None:
    with pytest.raises(ProbeError, match="they may be logits or probabilities"):
        Probe(Net(2, lambda z: z.clamp(0, 1)), "a")(images())


def test_the_foregrounds_part_of_a_softmax_is_a_probability() -> None:
    with said("probabilities"):
        got = Probe(Net(2, lambda z: z.softmax(1)[:, 1:]), "a")(images(), Target(1, "image"))
    z = Net(2, identity)(images())
    torch.testing.assert_close(got.scores, (z[:, 1] - z[:, 0]).mean((1, 2)), rtol=1e-3, atol=1e-5)
    with pytest.raises(ProbeError, match="softmax over one channel, which is 1 everywhere"):
        Probe(Net(1, lambda z: z.softmax(1)), "a")(images())
    with pytest.raises(ProbeError, match="they may be logits or probabilities"):
        Probe(Net(3, lambda z: z.softmax(1)[:, 1:]), "a")(images())


@pytest.mark.parametrize("name", ["NativeBatchNorm", "CudnnBatchNorm", "MkldnnConvolution", "Convolution", "AddmmCuda"])
def test_the_last_step_goes_by_what_is_done_and_not_by_the_device(name: str) -> None:
    class Node:
        next_functions = ()

        def name(self) -> str:
            return f"{name}Backward0"

    class Values:
        grad_fn, shape = Node(), (1, 2, 4, 4)

    assert last_step(Values()) == ("linear" if name != "AddmmCuda" else "")  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [lambda z: z.argmax(1)[:, None].float(), lambda z: z.detach()])
def test_an_output_without_a_graph_is_not_the_layers_fault(end: End) -> None:
    for layers in ("a", "*"):
        with pytest.raises(ProbeError, match="no gradient leads from the network's output back to its input"):
            Probe(Net(3, end), layers, output="logits")(images(), Target(0, "image"))


def test_complex_numbers_are_not_called_thresholded() -> None:
    with pytest.raises(ProbeError, match="complex numbers: wrap it"):
        Probe(Net(2, lambda z: torch.complex(z, z)), "a")(images())


def test_half_precision_and_narrow_ranges_are_told() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        with said("probabilities"):
            assert resolved(torch.randn(1, 5, 8, 8).softmax(1).to(dtype)) == "probabilities"
    net = Net(2, identity, scale=1e-3)  # logits that happen to lie between 0 and 1, but come from a convolution
    nn.init.constant_(net.b.bias, 0.5)
    nn.init.uniform_(net.b.weight, 0, 0.01)
    assert resolved(net.b(torch.rand(1, 8, 4, 4))) == "logits"


CLASSES: list[tuple[object, object]] = [
    (torch.tensor(1), 1),
    (torch.tensor([0, 2]), (0, 2)),
    ([0, 2], (0, 2)),
    ("dog", 2),
    (["cat", "dog"], (1, 2)),
]


@pytest.mark.parametrize(("given", "index"), CLASSES)
def test_classes_are_indices_of_any_kind_or_names(given: object, index: object) -> None:
    net = Net(3, identity)
    names = ["background", "cat", "dog"]
    got = Probe(net, "a", classes=names)(images(), Target(given))  # type: ignore[arg-type]
    assert got.target.class_id == index
    assert torch.equal(got.scores, Probe(net, "a")(images(), Target(index)).scores)  # type: ignore[arg-type]


def test_names_come_from_a_transformers_network_and_unknown_ones_are_refused() -> None:
    net = Net(3, identity)
    with pytest.raises(ProbeError, match="the network tells none"):
        Probe(net, "a")(images(), Target("dog"))
    net.config = type("Config", (), {"id2label": {0: "wall", 1: "dog", 2: "sky"}})()  # type: ignore[assignment]
    assert Probe(net, "a")(images(), Target("dog")).target.class_id == 1
    with pytest.raises(ProbeError, match="did you mean 'dog'"):
        Probe(net, "a")(images(), Target("dogs"))
    for wrong in (True, 1.0, None, [1.5], -1.0):
        with pytest.raises(InputError, match="a whole number"):
            Target(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [{"bg": 0, "cat": 2}, {0: "bg", np.int64(2): "cat"}, ("bg", "dog", "cat")])
def test_names_are_given_in_order_or_with_their_indices(named: Any) -> None:
    got = Probe(Net(3, identity), "a", classes=named)(images(), Target("cat"))
    assert got.explained.class_ids.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"bg", "cat"}, "a list of their names in order"),  # whose order is by chance
        ("bg", "a list of their names in order"),
        ([0, 1, 2], "classes hold 0: names are needed"),
        (["bg", "cat", "cat"], "two classes are named 'cat'"),
        ({"bg": "0"}, "the index of class 'bg' is '0'"),
    ],
)
def test_names_of_no_order_are_refused(named: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Probe(Net(3, identity), "a", classes=named)


def test_each_call_goes_by_what_it_declares() -> None:
    net, x = Net(3, lambda z: z.softmax(1)), images()
    outputs: tuple[Output | None, ...] = (None, "logits", "multilabel")
    targets = {output: Target(1, "image", "logprob", output=output) for output in outputs}
    alone: dict[Output | None, Tensor] = {}
    for output, target in targets.items():
        with nullcontext() if output else said("probabilities"):
            alone[output] = Probe(net, "a")(x, target).scores
    assert len({float(values[0]) for values in alone.values()}) == 3
    probe = Probe(net, "a")
    for n, output in enumerate((*outputs, *reversed(outputs))):
        with said("probabilities") if n == 0 else nullcontext():
            assert torch.equal(probe(x, targets[output]).scores, alone[output])
    declared = Probe(Net(3, torch.sigmoid), "a", output="multilabel")
    declared(x, declared(x).target)


@pytest.mark.parametrize(("classes", "end"), [(1, torch.sigmoid), (3, lambda z: z.softmax(1))])
def test_probabilities_of_0_and_1_that_a_network_is_sure_of_are_not_thresholded(classes: int, end: End) -> None:
    with said("probabilities"):
        got = Probe(Net(classes, end, scale=1e6), "a")(images(), Target(1, "image"))
    wanted = Probe(Net(classes, identity, scale=1e6), "a")(images(), Target(1, "image"))
    assert torch.allclose(got.scores, wanted.scores)


def test_classes_merged_behind_a_softmax_are_probabilities() -> None:
    merge = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    net = Net(3, lambda z: torch.einsum("bkhw,kl->blhw", z.softmax(1), merge))
    with said("probabilities"):
        got = Probe(net, "a")(images(), Target(1, "image", "logprob"))
    p = Net(3, identity)(images()).softmax(1)[:, 1:].sum(1)
    assert torch.allclose(got.scores, p.log().mean((1, 2)), atol=1e-5)


def test_what_an_output_was_made_of_by_its_last_step() -> None:
    """By a sigmoid, or a softmax over the channels; however the function was called."""
    x = torch.randn(2, 3, 4, 5)
    ways = {
        "a method": lambda: x.softmax(1),
        "counted from behind": lambda: torch.softmax(x, -3),
        "by name": lambda: F.softmax(input=x, dim=1),
        "its logarithm": lambda: F.log_softmax(x, dim=1),
        "a sigmoid": x.sigmoid,
        "a sigmoid by name": lambda: torch.sigmoid(input=x),
    }
    for name, way in ways.items():
        with Arguments() as seen:
            output = way()
        assert seen.of(output) is x, name
    for axis in (0, 2, 3):
        with Arguments() as seen:
            output = x.softmax(axis)
        assert seen.of(output) is None
    with Arguments() as seen:
        x.softmax(1)
    assert seen.of(x + 0) is None


@pytest.mark.parametrize(
    ("classes", "end", "words"),
    [
        (3, lambda x: x.softmax(1), "its classes sum to 1 at every pixel"),
        (3, lambda x: x.log_softmax(1), "its classes' exponentials sum to 1 at every pixel"),
        (3, torch.sigmoid, "it ends in a sigmoid, and its classes do not sum to 1"),
        (1, torch.sigmoid, "it ends in a sigmoid"),
    ],
)
def test_what_speaks_for_a_reading_is_said(classes: int, end: End, words: str) -> None:
    with pytest.warns(SegcamWarning, match=re.escape(words)):
        Probe(Net(classes, end), "a")(images())


def test_an_empty_set_has_no_saturated_pixels() -> None:
    chosen = torch.zeros(2, 4, 4, dtype=torch.bool)
    explained = SimpleNamespace(chosen=chosen, class_ids=torch.ones(2, 1, dtype=torch.long))
    target = Target(1, output="probabilities")
    for value in (0.5, 1.0):
        check_saturation(torch.full((2, 1, 4, 4), value), target, explained)  # type: ignore[arg-type]
    chosen[1] = True
    with pytest.raises(ProbeError, match=r"100\.0 % of the explained pixels"):
        check_saturation(torch.ones(2, 1, 4, 4), target, explained)  # type: ignore[arg-type]
