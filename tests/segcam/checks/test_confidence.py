"""How sure a network is, against plain loops over pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, Target
from segcam.checks import certainty
from segcam.probe.targets.scores import logprob

VALID = torch.zeros(3, 10, 14, dtype=torch.bool)
VALID[0] = True
VALID[1, :7] = True
VALID[2, :, 4:] = True


class Net(nn.Module):
    """Logits at half the resolution, of as many channels."""

    def __init__(self, channels: int, end: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(channels)
        self.body, self.head = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, channels, 1)
        self.end = end or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(3 * self.head(self.body(x).relu()))


def images() -> Tensor:
    return torch.randn(3, 3, 10, 14, generator=torch.Generator().manual_seed(2))


def slow(logits: np.ndarray, classes: set[int], valid: np.ndarray) -> tuple[float, float]:
    """Of one image with classes that exclude each other, pixel by pixel."""
    sure, entropies = [], []
    for y, x in np.argwhere(valid):
        powers = [math.exp(z) for z in logits[:, y, x]]
        shares = [power / sum(powers) for power in powers]
        entropies.append(-sum(p * math.log(p) for p in shares))
        if int(np.argmax(shares)) in classes:
            sure.append(sum(shares[k] for k in classes))
    return sum(sure) / len(sure) if sure else math.nan, sum(entropies) / len(entropies)


@pytest.mark.parametrize(("channels", "classes"), [(3, {1}), (4, {1, 3}), (2, {1}), (1, {1})])
@pytest.mark.parametrize("at", ["input", "output"])
def test_it_is_what_the_loops_say(channels: int, classes: set[int], at) -> None:
    class_id = next(iter(classes)) if len(classes) == 1 else classes
    capture = Probe(Net(channels), "body")(images(), Target(class_id, "image", at=at))
    found = certainty(capture, VALID)
    logits = capture.logits
    if channels == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    large = nn.functional.interpolate(logits, size=(10, 14), mode="bilinear").numpy().astype(float)
    for i in range(3):
        confidence, entropy = slow(large[i], classes, VALID[i].numpy())
        assert float(found.confidence[i]) == pytest.approx(confidence, abs=1e-5, nan_ok=True)
        assert float(found.entropy[i]) == pytest.approx(entropy, abs=1e-5)


def test_a_softmax_at_the_end_changes_nothing() -> None:
    target = Target(1, "image")
    bare = certainty(Probe(Net(3), "body")(images(), target))
    ended = certainty(Probe(Net(3, nn.Softmax(1)), "body", output="probabilities")(images(), target))
    for one, other in zip(bare, ended, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True, atol=1e-5, rtol=0)


def test_overlapping_classes_have_an_entropy_of_their_own() -> None:
    capture = Probe(Net(3), "body", output="multilabel")(images(), Target(1, "image"))
    found = certainty(capture)
    large = nn.functional.interpolate(capture.logits, size=(10, 14), mode="bilinear")[:, 1].numpy().astype(float)
    p = 1 / (1 + np.exp(-large))
    entropy = (-p * np.log(p) - (1 - p) * np.log(1 - p)).mean((1, 2))
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-5)
    for i in range(3):
        expected = p[i][p[i] > 0.5].mean() if (p[i] > 0.5).any() else math.nan
        assert float(found.confidence[i]) == pytest.approx(expected, abs=1e-5, nan_ok=True)


class Middle(nn.Module):
    """Answers for the middle of its input alone: its convolution has no padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body, self.head = nn.Conv2d(3, 4, 5), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


def test_pixels_that_the_network_does_not_speak_of_do_not_count() -> None:
    capture = Probe(Middle(), "body", placement="receptive_field")(images(), Target(1, "image"))
    found = certainty(capture, VALID)
    shares = capture.logits.softmax(1)
    entropy = torch.special.entr(shares).sum(1)
    for i in range(3):
        inside = VALID[i, 2:-2, 2:-2]
        assert float(found.entropy[i]) == pytest.approx(float(entropy[i][inside].mean()), abs=1e-5)
        sure = shares[i, 1][inside & (shares[i, 1] > 0.5)]
        assert float(found.confidence[i]) == pytest.approx(float(sure.mean()), abs=1e-5, nan_ok=True)


def test_rounding_leads_no_probability_beyond_one() -> None:
    """The probability of any of several classes is a sum."""
    net = Net(5)
    with torch.no_grad():
        net.head.weight.mul_(40)
    capture = Probe(net, "body", output="multilabel")(8 * images(), Target({0, 1, 2, 3}, "image"))
    raw = logprob(replace(capture.target, at="input").dense(capture.logits, capture.size, None))
    assert float(raw.max()) > 0  # what is cut off
    found = certainty(capture)
    assert (found.entropy >= 0).all()
    assert (found.confidence <= 1).all()


def test_a_class_that_is_predicted_nowhere_has_no_confidence() -> None:
    net = Net(2)
    with torch.no_grad():
        assert net.head.bias is not None
        net.head.bias[1] -= 1000
    found = certainty(Probe(net, "body")(images(), Target(1, "image")))
    assert found.confidence.isnan().all()
    assert (found.entropy.abs() < 1e-6).all()
