"""RISE, Sobol, HSIC, segments and Recipro-CAM: against slow twins, with captum, and by what they must find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, explain
from segcam.errors import InputError, NotApplicableError
from segcam.methods import METHODS
from segcam.methods.masked import hsic, rise, sobol
from segcam.methods.masked.cells import owners
from segcam.methods.masked.recipro_cam import recipro_cam
from segcam.methods.masked.segment_ablation import segment_ablation
from segcam.methods.material.subject import Subject, examining
from segcam.methods.material.superpixels import superpixels
from segcam.probe.layers import INPUT
from tests.peers import off_by, package
from tests.reference import masked as slow
from tests.segcam.methods.test_gradient_free import LAYERS, one_score, output_of
from tests.small_networks import IMAGES, Convolutions, Twice, close, seeded, subject_of

TARGETS = ["best_pixel:logit", "predicted:margin"]


def scored(subject: Subject, model: nn.Module, i: int) -> Callable[[np.ndarray], float]:
    return lambda image: one_score(subject, i, model(torch.from_numpy(image)[None]))


def defined(subject: Subject) -> list[int]:
    found: list[int] = subject.capture.target_pixels.nonzero().flatten().tolist()
    assert found
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("masks", "cells", "visible"), [(20, 3, 0.5), (7, 5, 0.25)])
def test_rise_equals_its_twin(target: str, masks: int, cells: int, visible: float) -> None:
    """Cells that do not divide the image's sides, too."""
    model = seeded(Convolutions)
    with subject_of(model, Layer("conv1", "conv1"), target=target) as subject:
        found = rise.rise(subject, INPUT, masks, cells, visible)
        for i in defined(subject):
            grids, cuts = rise.draw(np.random.default_rng(subject.seed(i)), masks, cells, visible)
            twin = slow.rise(IMAGES[i].numpy(), scored(subject, model, i), grids, cuts, visible)
            assert close(found[i], twin)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("designs", "cells"), [(8, 3), (5, 2)])
def test_sobol_equals_its_twin(target: str, designs: int, cells: int) -> None:
    model = seeded(Convolutions)
    with subject_of(model, Layer("conv1", "conv1"), target=target) as subject:
        found = sobol.sobol(subject, INPUT, designs, cells)
        for i in defined(subject):
            drawn = sobol.draw(subject.seed(i), designs, cells**2).astype(np.float32).astype(float)
            first, *mixed = drawn.reshape(-1, designs, cells**2)
            twin = slow.sobol(IMAGES[i].numpy(), scored(subject, model, i), first, np.stack(mixed))
            assert close(found[i], twin)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("masks", "cells"), [(16, 3), (9, 2)])
def test_hsic_equals_its_twin(target: str, masks: int, cells: int) -> None:
    model = seeded(Convolutions)
    with subject_of(model, Layer("conv1", "conv1"), target=target) as subject:
        found = hsic.hsic(subject, INPUT, masks, cells)
        for i in defined(subject):
            seen = hsic.draw(np.random.default_rng(subject.seed(i)), masks, cells**2)
            assert (seen.sum(0) == -(-masks // 2)).all()
            twin = slow.hsic(IMAGES[i].numpy(), scored(subject, model, i), seen.astype(float))
            assert close(found[i], twin)


@pytest.mark.parametrize("target", TARGETS)
def test_segments_equal_their_twin_and_captums(target: str) -> None:
    package("captum")
    model = seeded(Convolutions)
    with subject_of(model, Layer("conv1", "conv1"), target=target) as subject:
        found = segment_ablation(subject, INPUT, 6)
        regions = superpixels(IMAGES, 6).numpy()
        for i in defined(subject):
            twin = slow.segment_ablation(IMAGES[i].numpy(), scored(subject, model, i), regions[i])
            assert close(found[i], twin)
        theirs = METHODS.get("captum_feature_ablation").configured({"segments": 6}).run(subject, INPUT)
        for i in defined(subject):
            assert off_by(theirs[i : i + 1], found[i : i + 1]) <= 1e-9


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("cells", [256, 10])
def test_recipro_cam_equals_its_twin(name: str, target: str, cells: int) -> None:
    build, layer = LAYERS[name]
    model = seeded(build)
    rest = model.behind[layer.module]
    with subject_of(model, layer, target=target) as subject:
        found = recipro_cam(subject, layer, cells)
        for i in defined(subject):
            image = IMAGES[i : i + 1]
            output = output_of(model, layer.module, image)
            laid = subject.layout(layer).maps(output)[0]

            def kept(maps: np.ndarray, i: int = i, output: Tensor = output, image: Tensor = image) -> float:
                changed = output.clone()
                subject.layout(layer).maps(changed).copy_(torch.from_numpy(maps)[None])
                return one_score(subject, i, rest(changed, image))

            assert close(found[i], slow.recipro_cam(laid.numpy(), kept, cells))


class Reads(nn.Module):
    """The logit of class 1 is the sum of one quarter of the image, in every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1, bias=False)
        self.first.weight.data = torch.eye(3)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        read = self.first(x)[:, :, : x.shape[2] // 2, : x.shape[3] // 2].sum((1, 2, 3)) / 50 + 3
        return torch.stack([torch.zeros_like(read), read], 1)[:, :, None, None].expand(-1, -1, *x.shape[2:])


@pytest.mark.parametrize("name", ["rise", "sobol", "hsic", "segment_ablation"])
def test_what_the_network_reads_lights_up(name: str) -> None:
    """Whatever the offset of the logit: the quarter that is read is ahead of the others."""
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + 0.5
    chosen = {"rise": {"masks": 400}, "sobol": {"cells": 4}, "hsic": {"cells": 4}, "segment_ablation": {}}[name]
    with subject_of(Reads().eval(), Layer("first", "first"), pictures, "image:logit") as subject:
        maps = METHODS.get(name).configured(chosen).run(subject, INPUT)
    assert maps.shape == (2, 32, 32)
    inside, right, below = maps[:, :16, :16], maps[:, :16, 16:], maps[:, 16:]
    assert (inside.mean((1, 2)) > 3 * torch.maximum(right.mean((1, 2)), below.mean((1, 2)))).all()
    assert (inside.mean((1, 2)) > 0).all()


def test_sobol_indices_of_a_sum_are_its_shares_of_variance() -> None:
    """Of a score that is a sum the total indices add up to 1, and are 0 for what is not read."""
    pictures = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    with subject_of(Reads().eval().double(), Layer("first", "first"), pictures, "image:logit") as subject:
        found = sobol.sobol(subject, INPUT, 256, 2)
    corners = found[0, ::31, ::31]
    assert corners.flatten().tolist() == pytest.approx([1, 0, 0, 0], abs=0.02)


@pytest.mark.parametrize("name", ["rise", "sobol", "hsic", "segment_ablation"])
def test_a_score_that_does_not_vary_gives_a_blank_map(name: str) -> None:
    class Constant(Reads):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * super().forward(x) + torch.tensor([-2.0, 3.1])[:, None, None]

    pictures = torch.rand(1, 3, 32, 32)
    with subject_of(Constant().eval(), Layer("first", "first"), pictures, "image:logit") as subject:
        maps = METHODS.get(name).run(subject, INPUT)
    assert maps.abs().amax() <= 1e-6


def test_cells_share_the_pixels() -> None:
    assert owners(8, 3, torch.device("cpu")).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert owners(4, 4, torch.device("cpu")).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("rise", {"masks": 1}, "masks is 1"),
        ("rise", {"visible": 1.0}, "visible is 1.0"),
        ("sobol", {"designs": 1}, "designs is 1"),
        ("sobol", {"cells": 9}, "cells is 9: the input's 8 pixels"),
        ("hsic", {"masks": 0}, "masks is 0"),
        ("hsic", {"cells": 9}, "cells is 9: the input's 8 pixels"),
        ("segment_ablation", {"segments": 1}, "1 superpixels"),
        ("recipro_cam", {"cells": 0}, "cells is 0"),
    ],
)
def test_values_that_cannot_be(name: str, values: dict[str, float], words: str) -> None:
    layer = Layer("conv1", "conv1")
    with subject_of(seeded(Convolutions), layer) as subject, pytest.raises(InputError, match=words):
        METHODS.get(name).run(subject, layer, **values)


def test_recipro_cam_has_no_map_of_a_module_that_runs_twice() -> None:
    model, layer = seeded(Twice), Layer("conv", "conv", call=1)
    capture = Probe(model, layer)(IMAGES)
    with (
        examining(Probe(model, layer), IMAGES, capture) as subject,
        pytest.raises(NotApplicableError, match="more than once"),
    ):
        recipro_cam(subject, layer)


def test_explain_says_how_far_they_are_and_keeps_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("tqdm.std.tqdm.set_postfix_str", lambda _bar, text="", refresh=True: said.append(text))
    photographs = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    chosen = [METHODS.get("rise").configured({"masks": 20}), METHODS.get("recipro_cam")]
    net = seeded(Convolutions).float()
    asked = {"target": "best_pixel:logit", "layers": ["conv2"], "methods": chosen, "progress": False}
    free = explain(net, photographs, 1, **asked)
    assert "rise, Input, 8 of 20 passes" in said
    assert "rise, Input, 20 of 20 passes" in said
    assert "recipro_cam, conv2, 64 of 64 passes" in said
    said.clear()
    bound = explain(net, photographs, 1, **asked, max_memory=120_000)
    assert "rise, Input, 8 of 20 passes" not in said
    assert "rise, Input, 20 of 20 passes" in said
    for layer, method in (("Input", "rise"), ("conv2", "recipro_cam")):
        np.testing.assert_allclose(bound.map(0, layer, method), free.map(0, layer, method), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "chosen", "passes"),
    [
        ("rise", {"masks": 7, "cells": 2}, 7),
        ("sobol", {"designs": 4, "cells": 3}, 40),
        ("hsic", {"masks": 6, "cells": 2}, 6),
        ("segment_ablation", {"segments": 6}, 7),
        ("segment_ablation", {}, 51),
    ],
)
def test_the_passes_are_as_many_as_it_says(name: str, chosen: dict[str, int], passes: int) -> None:
    assert METHODS.get(name).configured(chosen).cost == passes


def test_sobol_tells_a_small_variance_from_rounding() -> None:
    class Faint(nn.Module):
        """Scores of about 3 that vary by some 1e-8, a hundred million times what double precision rounds; or not."""

        def __init__(self, part: float = 1e-8) -> None:
            super().__init__()
            self.conv1, self.part = nn.Conv2d(3, 3, 1), part

        def forward(self, images: Tensor) -> Tensor:
            return 3 + self.part * self.conv1(images)

    model = seeded(Faint)
    plain = nn.Sequential(model.conv1)
    with subject_of(model, Layer("conv1", "conv1"), target="image:logit") as subject:
        faint = sobol.sobol(subject, INPUT, 8, 2)
    with subject_of(plain, Layer("0", "0"), target="image:logit") as subject:
        strong = sobol.sobol(subject, INPUT, 8, 2)
    assert strong.amax() > 0
    torch.testing.assert_close(faint, strong, rtol=1e-3, atol=1e-3)
    with subject_of(seeded(lambda: Faint(0.0)), Layer("conv1", "conv1"), target="image:logit") as subject:
        assert (sobol.sobol(subject, INPUT, 8, 2) == 0).all(), "what does not vary has no shares: blank"
