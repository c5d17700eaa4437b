"""Targets on logits small enough to do by hand."""

from __future__ import annotations

import pytest
import torch

from segcam import InputError, Probe, ProbeError, Target, grad_cam

LOGITS = torch.tensor(
    [
        [[[0.0, 2.0], [1.0, 0.0]], [[1.0, 3.0], [0.0, 0.5]]],  # class 1 wins at (0,0), (0,1), (1,1)
        [[[5.0, 5.0], [5.0, 5.0]], [[1.0, 0.0], [2.0, 4.0]]],  # class 1 wins nowhere
    ]
)


def test_best_pixel_and_its_logit() -> None:
    found = Target().explain(LOGITS, (2, 2))
    assert found.scores.tolist() == [3.0, 4.0]
    assert found.chosen.flatten(1).int().tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert found.pixels.tolist() == [1, 1]
    assert found.predicted.tolist() == [True, False]  # a best pixel is there even where nothing is predicted


def test_predicted_takes_the_mean_and_may_be_empty() -> None:
    found = Target(pixels="predicted").explain(LOGITS, (2, 2))
    assert found.scores.tolist() == pytest.approx([(1 + 3 + 0.5) / 3, 0.0])
    assert found.pixels.tolist() == [3, 0]
    assert found.predicted.tolist() == [True, False]


def test_margin_is_against_the_best_other_class() -> None:
    logits = torch.cat([LOGITS, torch.full((2, 1, 2, 2), 2.5)], 1)
    found = Target(score="margin").explain(logits, (2, 2))
    assert found.scores.tolist() == [0.5, -1.0]


def test_a_class_for_each_image() -> None:
    found = Target(class_id=(1, 0)).explain(LOGITS, (2, 2))
    assert found.scores.tolist() == [3.0, 5.0]
    assert found.chosen[1].flatten().int().tolist() == [1, 0, 0, 0]  # of equals, the first in rows


def test_resolution_of_the_pixel() -> None:
    logits = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert Target().explain(logits, (16, 16)).chosen.shape == (1, 16, 16)
    assert Target(at="output").explain(logits, (16, 16)).chosen.shape == (1, 4, 4)


def test_one_channel_is_the_logit_of_class_one() -> None:
    found = Target(pixels="predicted").explain(torch.tensor([[[[1.0, -1.0]]]]), (1, 2))
    assert found.chosen.flatten().tolist() == [True, False]
    assert found.scores.tolist() == [1.0]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(class_id=2), "class 2 does not exist: the network has classes 0 to 1"),
        (Target(class_id=-1), "class -1 does not exist"),
        (Target(class_id=(1, 1, 1)), "names 3 classes for 2 images"),
    ],
)
def test_wrong_classes(target: Target, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        target.explain(LOGITS, (2, 2))


def test_not_finite() -> None:
    with pytest.raises(ProbeError, match="not finite"):
        Target().explain(LOGITS * torch.inf, (2, 2))


def test_names_round_trip() -> None:
    for name in ("best_pixel:logit", "predicted:margin", "best_pixel:margin@output"):
        assert Target.parse(name).name == name
    assert Target.parse("predicted") == Target(pixels="predicted")
    for wrong, message in [
        ("best", "unknown pixel set 'best'"),
        ("predicted:x", "unknown score"),
        ("predicted@x", "resol"),
    ]:
        with pytest.raises(InputError, match=message):
            Target.parse(wrong)


def test_an_empty_set_gives_undefined_maps_not_blank_ones() -> None:
    head = torch.nn.Conv2d(3, 2, 1)
    torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 0.0]))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), head)
    capture = Probe(model, "0")(torch.rand(2, 3, 8, 8), Target(pixels="predicted"))
    assert capture.target_pixels.tolist() == [0, 0]
    assert capture.maps(grad_cam).isnan().all()


def test_late_layers_do_not_depend_on_the_pixel_set() -> None:
    """Where only a 1x1 convolution follows, Grad-CAM is the same for every pixel set, up to scale."""
    torch_net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 1))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    probe = Probe(torch_net, "0")
    one, other = (c.maps(grad_cam) for c in probe.many(images, [Target(), Target(pixels="predicted")]))
    defined = ~other.isnan()
    assert torch.allclose(one[defined], other[defined], rtol=1e-4, atol=1e-7)
