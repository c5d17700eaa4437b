"""Sets of classes that count as one: the network with their logits joined in one says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import InputError, Probe, ProbeError, Target, grad_cam
from segcam.checks import diagnose
from segcam.checks.faithfulness.outcomes import Subjects
from segcam.checks.faithfulness.stability import max_sensitivity
from segcam.maps import all_maps, layer_maps
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.probe.layers import Layer
from segcam.probe.targets import SCORES
from segcam.probe.targets.saturation import saturated
from tests.reference import targets as slow
from tests.segcam.probe.targets.test_targets import GRID, SETS, dense, masks_of, values_of

PLAIN = [name for name in SCORES if name != "pair"]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("pixels", [*SETS, "border(2+4)"])
def test_sets_equal_their_slow_twins(pixels: str, score: str) -> None:
    logits, masks, sets = dense(4, 6), masks_of(5, GRID), [(1, 5), (0, 1, 5), (3,)]
    with_other = score == "pair" and "border" not in pixels
    target = Target([set(one) for one in sets], pixels, score + ("(2+4)" if with_other else ""))  # type: ignore[arg-type]
    found = target.explain(logits, GRID, masks)
    name, values = values_of(pixels)
    for i, classes in enumerate(sets):
        image = logits[i].numpy()
        chosen = slow.chosen(name, image, masks[i].numpy(), classes, values)
        assert np.array_equal(found.weights[i].numpy(), chosen)
        other = values if "border" in pixels else (2, 4)
        assert float(found.scores[i]) == pytest.approx(slow.mean_score(score, image, classes, chosen, other))
        assert found.predicted[i] == ((chosen != 0) & slow.predicted(image, classes)).any()
    assert torch.equal(target.score_again(logits, GRID, found.weights, found.class_ids), found.scores)
    one = found.of(torch.tensor([2, 0]))
    again = target.of([2, 0]).explain_again(logits[[2, 0]], GRID, one)
    assert torch.equal(again.scores, found.scores[[2, 0]])


class Net(nn.Module):
    """Four classes, or with 1 and 2 joined the three that are left."""

    def __init__(self, *, joined: bool = False, end: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.relu, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)
        self.joined, self.end = joined, end or nn.Identity()
        with torch.no_grad():
            self.head.weight.mul_(12)
            self.head.bias -= self.head(self.relu(self.conv(images()))).mean((0, 2, 3))  # each class wins somewhere

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        z = self.head(self.relu(self.conv(images)))
        if self.joined:
            z = torch.stack([z[:, 0], torch.logsumexp(z[:, 1:3], 1), z[:, 3]], 1)
        answer: Tensor = self.end(z)
        return answer


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("score", ["logit", "margin", "logprob", "contrast", "rival"])
@pytest.mark.parametrize("pixels", ["image", "best_pixel"])
def test_it_is_the_network_with_the_logits_joined(pixels: str, score: str) -> None:
    one = Probe(Net(), ["conv", "relu"])(images(), Target({1, 2}, pixels, score))
    two = Probe(Net(joined=True), ["conv", "relu"], output="logits")(images(), Target(1, pixels, score))
    assert torch.equal(one.explained.chosen, two.explained.chosen)
    torch.testing.assert_close(one.scores, two.scores)
    for label in ("conv", "relu"):
        torch.testing.assert_close(one.maps(grad_cam, label), two.maps(grad_cam, label))


def test_it_is_predicted_where_its_best_class_is_the_largest() -> None:
    z = Net()(images())
    capture = Probe(Net(), "conv", classes=["wall", "cat", "dog", "sky"])(images(), Target({"dog", "cat"}, "predicted"))
    assert torch.equal(capture.explained.chosen, (z.argmax(1) == 1) | (z.argmax(1) == 2))
    assert capture.target.class_id == frozenset({1, 2})
    assert capture.explained.class_ids.tolist() == [[1, 2]] * 3


@pytest.mark.parametrize("end", [None, nn.Softmax(1), nn.LogSoftmax(1)])
def test_probabilities_add_up(end: nn.Module | None) -> None:
    output = {nn.Softmax: "probabilities", nn.LogSoftmax: "log-probabilities"}.get(type(end), "logits")
    p = Net()(images()).softmax(1)[:, 1:3].sum(1)
    capture = Probe(Net(end=end), "conv", output=output)(images(), Target({1, 2}, "image", "logprob"))
    torch.testing.assert_close(capture.scores, p.log().mean((1, 2)), atol=1e-5, rtol=1e-4)
    hidden = Net(end=Hidden(end)) if end else None
    if hidden is not None:  # where the logits are not seen, a set's score is its log-odds
        odds = Probe(hidden, "conv", output=output)(images(), Target({1, 2}, "image")).scores
        torch.testing.assert_close(odds, (p / (1 - p)).log().mean((1, 2)), atol=1e-4, rtol=1e-3)


class Hidden(nn.Module):
    """An end that is not seen: what comes behind it copies it."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.end = end

    def forward(self, z: Tensor) -> Tensor:
        """Return the end's values."""
        answer: Tensor = self.end(z).clone()
        return answer


def test_a_set_has_no_gradient_where_all_or_none_of_it_is_certain() -> None:
    p = torch.tensor([0.0, 0.4, 0.6]).view(1, 3, 1, 1).repeat(1, 1, 2, 2)
    p[0, :, 0, 0] = torch.tensor([1.0, 0.0, 0.0])
    for values, meaning in ((p, "probabilities"), (p.log(), "log-probabilities")):
        found = {
            classes: saturated(values, meaning, torch.tensor([classes]))[0].tolist()  # type: ignore[arg-type]
            for classes in ((0, 1), (1, 2))
        }
        assert found[0, 1] == [[True, False], [False, False]]
        assert found[1, 2] == [[True, True], [True, True]]  # nothing is left for the others
    each = saturated(p, "multilabel-probabilities", torch.tensor([[0, 1]]))[0]
    assert each.tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("score", ["rival", "margin"])
def test_a_diagnosis_names_classes_of_the_set(score: str) -> None:
    x, probe = images(), Probe(Net(), ["conv", "relu"])
    capture = probe(x, Target({1, 2}, "image", score))
    found = diagnose(probe, x, Target({1, 2}, "image", score)).counter_classes.tolist()
    z = capture.logits
    inside = [1, 2] if score == "rival" else [0, 3]
    wanted = [torch.tensor(inside)[image[inside].argmax(0)].flatten().bincount().argmax().item() for image in z]
    assert found == wanted


def test_of_overlapping_classes_any_will_do() -> None:
    z = Net()(images())
    probe = Probe(Net(), "conv", output="multilabel")
    either = (z[:, 1] > 0) | (z[:, 2] > 0)
    assert torch.equal(probe(images(), Target({1, 2}, "predicted")).explained.chosen, either)
    p = 1 - (1 - z[:, 1].double().sigmoid()) * (1 - z[:, 2].double().sigmoid())
    scores = probe(images(), Target({1, 2}, "image", "logprob")).scores
    torch.testing.assert_close(scores.double(), p.log().mean((1, 2)), atol=1e-5, rtol=1e-5)
    joined = torch.logsumexp(z[:, 1:3], 1).mean((1, 2))
    torch.testing.assert_close(probe(images(), Target({1, 2}, "image")).scores, joined)
    torch.testing.assert_close(probe(images(), Target({1, 2}, "image", "margin")).scores, joined)
    everything = probe(images(), Target({0, 1, 2, 3}, "image", "logprob"))
    assert torch.isfinite(everything.scores).all()
    far = Target({1, 2}, "image", "logprob", output="multilabel")
    logits = torch.full((1, 3, 2, 2), -200.0, requires_grad=True)
    found = far.explain(logits, (2, 2)).scores
    (gradients,) = torch.autograd.grad(found.sum(), logits)
    assert found.item() == pytest.approx(-200 + np.log(2))
    assert torch.isfinite(gradients).all()


RUN = ["score_cam", "ablation_cam", "cam"]
RUN += [f"captum_{name}" for name in ("integrated_gradients", "layer_conductance", "kernel_shap")]


@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize("classes", [{1, 2}, [1, {1, 2}, 3]])
def test_methods_that_run_the_network_take_sets(name: str, classes: object) -> None:
    method, layer = METHODS.get(name), Layer("relu", "relu")
    target = Target(classes, "image", "margin")  # type: ignore[arg-type]
    probe = Probe(Net(), [layer])
    with examining(probe, images(), probe(images(), target)) as subject:
        assert method.run is not None
        maps = method.run(subject, layer)
    assert torch.isfinite(maps).all()
    if isinstance(classes, set) and name != "captum_kernel_shap":  # the image names its stream of random numbers
        other = Probe(Net(joined=True), [layer], output="logits")
        with examining(other, images(), other(images(), Target(1, "image", "margin"))) as subject:
            if name == "cam":
                return  # the joined network ends in no linear head
            torch.testing.assert_close(maps, method.run(subject, layer), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("classes", [{1, 2}, [1, {1, 2}, 3], [1, 2, 3]])
def test_everything_else_takes_sets_and_another_class_an_image(classes: object) -> None:
    x, probe = images(), Probe(Net(), ["conv", "relu"])
    target = Target(classes, "predicted", "margin")  # type: ignore[arg-type]
    capture = probe(x, target)
    (maps,) = all_maps(probe, x, [target], ["grad_cam", "hires_cam"], max_memory=400_000)
    (whole,) = all_maps(probe, x, [target], ["grad_cam", "hires_cam"])
    for label in maps:
        torch.testing.assert_close(maps[label], whole[label], equal_nan=True)
    for i in range(3):
        one = probe(x[i : i + 1], target.of(slice(i, i + 1)))
        torch.testing.assert_close(one.scores[0], capture.scores[i])
    (fixed,) = probe.many(x + 0.1, [target], fixed=[capture.explained])
    assert torch.equal(fixed.explained.chosen, capture.explained.chosen)
    assert "predicted:margin, 3 images" in str(diagnose(probe, x, target))
    sides = (torch.rand(3, 12, 16) > 0.5, torch.zeros(3, 12, 16, dtype=torch.bool))
    subjects = Subjects.of(probe.model, x, classes, sides, ("a", "b", "c"))  # type: ignore[arg-type]
    assert torch.equal(subjects.chosen, capture.explained.chosen)
    z = Net()(x).softmax(1).detach()
    given = classes if isinstance(classes, list) else [classes] * 3
    for i, one in enumerate(given):
        p = z[i, sorted(one) if isinstance(one, set) else [one]].sum(0)
        here = subjects.chosen[i]
        if here.any():
            assert float(subjects.unchanged[i, 0]) == pytest.approx(float(p[here].mean()), rel=1e-4)
    strayed = max_sensitivity(
        probe, x, capture, lambda c: {"conv": layer_maps(c, "conv", [METHODS.get("grad_cam")])[1]}, ("a", "b", "c")
    )
    assert strayed.repicked["conv"].shape == (3, 1)


def test_half_precision() -> None:
    net = Net().half()
    one = Probe(net, "conv")(images(), Target({1, 2}, "largest", "margin"))
    two = Probe(Net(), "conv")(images(), Target({1, 2}, "largest", "margin"))
    torch.testing.assert_close(one.scores, two.scores, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target({1, 9}), "class 9 does not exist: the network has classes 0 to 3"),
        (Target({0, 1, 2, 3}), "the target's set holds all 4 classes"),
        (Target({1, "dog"}), "class 'dog' is a name"),
        (Target([{1, 2}, 1]), "names 2 classes for 3 images"),
        (Target({1, 2}, "image", "pair", other=2), "compares a class with itself: name another one than class 2"),
        (Target(1, "border", other=7), "class 7 does not exist"),
        (Target({1, 2, 3}, "image", "contrast"), "the network knows one"),
    ],
)
def test_sets_that_do_not_do(target: Target, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        Probe(Net(), "conv")(images(), target)


def test_borders_are_signed_everywhere() -> None:
    """Sides count with opposite signs, by autograd as by hand."""
    x, net = images(), Net()
    activations = net.relu(net.conv(x)).detach().requires_grad_()
    z = net.head(activations)
    signs = torch.stack([torch.from_numpy(slow.border(one.detach().numpy(), 1, 3)) for one in z])
    assert (signs > 0).any()
    assert (signs < 0).any()
    number = (signs != 0).flatten(1).sum(1).clamp(min=1)
    scores = ((z[:, 1] - z[:, 3]) * signs).flatten(1).sum(1) / number
    (gradients,) = torch.autograd.grad(scores.sum(), activations)
    capture = Probe(net, "relu")(x, Target(1, "border(3)", "pair"))
    torch.testing.assert_close(capture.scores, scores.detach())
    found = capture.maps(grad_cam)
    torch.testing.assert_close(found[number > 1], grad_cam(activations.detach(), gradients)[number > 1])
    with examining(Probe(net, "relu"), x, capture) as subject:
        again = subject.objective(subject.images, *subject.extra)
    torch.testing.assert_close(again.detach(), scores.detach())
    assert F.relu(again).shape == (3,)
    with pytest.raises(InputError, match="is a list: one class, or a set"):
        Target(1, "border", other=[2, 3])  # type: ignore[arg-type]
