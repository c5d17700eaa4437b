"""Finer-CAM: against its slow twin, with torch-cam, and where there is nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, Target, grad_cam
from segcam.errors import InputError, NotApplicableError
from segcam.methods import METHODS
from segcam.methods.finer_cam import finer_cam
from segcam.methods.material.subject import examining
from tests.peers import off_by, package
from tests.reference import gradient_free as slow
from tests.small_networks import IMAGES, close, outputs_of, seeded, unchanged

LAYERS = [Layer("0", "0"), Layer("2", "2")]


def five() -> nn.Module:
    """Five classes; nothing is written in place, which peers and autograd's own gradients do not know."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 5, 1)
    )


@pytest.mark.parametrize("target", ["predicted:logit", "best_pixel:margin", "image:logit@output"])
@pytest.mark.parametrize(("strength", "references"), [(0.6, 3), (1.0, 1), (0.25, 9)])
def test_maps_equal_their_twin(target: str, strength: float, references: int) -> None:
    """Image by image, with a backward pass by hand for each class."""
    model, parsed = seeded(five), Target.parse(target, 2)
    capture = Probe(model, LAYERS)(IMAGES, parsed)
    assert capture.target_pixels.any()
    with examining(Probe(model, LAYERS), IMAGES, capture) as subject, unchanged(model):
        found = {layer.label: finer_cam(subject, layer, strength, references) for layer in LAYERS}
    for i in capture.target_pixels.nonzero().flatten().tolist():
        of_class = [by_hand(model, capture, i, k) for k in range(5)]
        means = [score for score, _ in of_class]
        for layer in LAYERS:
            rivals = {k: of_class[k][1][layer.label] for k in (0, 1, 3, 4)}
            own = capture.gradients[layer.label][i].numpy()
            activations = capture.activations[layer.label][i].numpy()
            twin = slow.finer_cam(activations, own, [*means, means[2]], rivals, strength, references)
            assert close(found[layer.label][i], twin)


def by_hand(model: nn.Module, capture: object, i: int, k: int) -> tuple[float, dict[str, np.ndarray]]:
    """The mean logit of a class over an image's pixels, and its gradients."""
    with outputs_of(model, [layer.module for layer in LAYERS]) as outputs, torch.enable_grad():
        logits = model(IMAGES[i : i + 1].clone().requires_grad_())
        if capture.target.at == "input":
            logits = nn.functional.interpolate(logits, IMAGES.shape[2:], mode="bilinear")
        score = logits[0, k][capture.explained.chosen[i]].mean()
        score.backward()
    model.zero_grad()
    return float(score.detach()), {layer.label: outputs[layer.module][0].grad[0].numpy() for layer in LAYERS}


def test_without_strength_it_is_grad_cam() -> None:
    model = seeded(five)
    capture = Probe(model, LAYERS)(IMAGES)
    with examining(Probe(model, LAYERS), IMAGES, capture) as subject:
        for layer in LAYERS:
            torch.testing.assert_close(finer_cam(subject, layer, 0.0), capture.maps(grad_cam, layer))


def test_all_layers_share_its_passes() -> None:
    method = METHODS.get("finer_cam")
    assert (method.own_passes, method.each, method.cost) == (True, "target", 3)
    model, runs = seeded(five), [0]
    capture = Probe(model, LAYERS)(IMAGES)
    model.register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    with examining(Probe(model, LAYERS), IMAGES, capture) as subject:
        finer_cam(subject, LAYERS[0])
        once = runs[0]
        finer_cam(subject, LAYERS[1])
    assert runs[0] == once > 0


def test_where_there_is_nothing_to_compare() -> None:
    model = seeded(five)
    with (
        examining(Probe(model, LAYERS), IMAGES, Probe(model, LAYERS)(IMAGES)) as subject,
        pytest.raises(InputError, match="references is 0"),
    ):
        finer_cam(subject, LAYERS[0], references=0)
    border = Probe(model, LAYERS)(IMAGES, Target(1, "border", "pair", other=2))
    with (
        examining(Probe(model, LAYERS), IMAGES, border) as subject,
        pytest.raises(NotApplicableError, match="for and against"),
    ):
        finer_cam(subject, LAYERS[0])


class MeanLogits(nn.Module):
    """A classifier for torch-cam: the classes' mean logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits.mean((2, 3))


def test_torchcam_agrees() -> None:
    tools = package("torchcam.methods")
    model = seeded(five)
    capture = Probe(model, LAYERS)(IMAGES, Target.parse("image:logit@output", 2))
    with examining(Probe(model, LAYERS), IMAGES, capture) as subject:
        ours = [finer_cam(subject, layer) for layer in LAYERS]
    classifier = MeanLogits(model)
    names = [f"network.{layer.module}" for layer in LAYERS]
    with tools.FinerCAM(classifier, names, base_method=tools.GradCAM) as peer:
        theirs = peer([2] * len(IMAGES), classifier(IMAGES.clone().requires_grad_()), normalized=False)
    assert max(float(maps.amax()) for maps in ours) > 0
    for their, own in zip(theirs, ours, strict=True):
        assert off_by(their.detach(), own) <= 1e-6
