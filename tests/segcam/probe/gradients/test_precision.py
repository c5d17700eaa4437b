"""Half precision: maps are those of float32, whether the network, an autocast or the network itself brings it in."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target, grad_cam
from segcam.checks.diagnosis import diagnose
from segcam.checks.faithfulness import Subjects
from segcam.checks.sanity import execution_order
from segcam.maps import all_maps
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.probe.gradients import scaling

IMAGES = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
HALVES = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
PIXELS = pytest.mark.parametrize("pixels", ["best_pixel", "image"])


class Skips(nn.Module):
    """A small U-Net with norms, a transposed convolution and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.GELU())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.first(images)
        return self.last(torch.cat([fine, self.up(self.down(fine))], 1))


def chain() -> nn.Module:
    """Six convolutions with small weights, behind which gradients are small: less than float16 can hold."""
    convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 8), (8, 8), (8, 8), (8, 8))]
    steps = [step for convolution in convolutions for step in (convolution, nn.ReLU())]
    network = nn.Sequential(*steps, nn.Conv2d(8, 2, 1))
    for module in network:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.03)
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "chain": (chain, ["0", "2", "6"]),
    "skips": (Skips, ["first.0", "first.2", "down.0", "down.2", "up"]),
}
EVERY = pytest.mark.parametrize("name", NETWORKS)


def made(name: str) -> tuple[nn.Module, list[str]]:
    torch.manual_seed(1)
    make, layers = NETWORKS[name]
    return make().eval(), layers


def off(maps: Tensor, wanted: Tensor) -> float:
    """The largest difference of two maps, as a share of the maximum."""
    assert not maps.isnan().any()
    return float(((maps - wanted).abs().amax((1, 2)) / wanted.amax((1, 2)).clamp_min(1e-30)).max())


@EVERY
@HALVES
@PIXELS
def test_a_network_of_half_precision_has_the_maps_of_float32(name: str, half: torch.dtype, pixels: str) -> None:
    full, layers = made(name)
    rough = copy.deepcopy(full).to(half)
    weights = {n: t.clone() for n, t in rough.state_dict().items()}
    addresses = [t.data_ptr() for t in rough.state_dict().values()]
    exact = copy.deepcopy(rough).float()  # the question is the same: of these very weights
    target = Target(1, pixels)
    for images in (IMAGES, IMAGES.to(half).float()):
        one, other = (Probe(network, layers)(images, target) for network in (rough, exact))
        for layer in layers:
            assert torch.equal(one.maps(grad_cam, layer), other.maps(grad_cam, layer)), layer
    (wanted,) = Probe(full, layers).many(IMAGES, [target], fixed=[one.explained])  # rounded weights: another best pixel
    assert all(off(one.maps(grad_cam, layer), wanted.maps(grad_cam, layer)) < 0.02 for layer in layers)
    assert all(torch.equal(t, weights[n]) and t.dtype == weights[n].dtype for n, t in rough.state_dict().items())
    assert [t.data_ptr() for t in rough.state_dict().values()] == addresses


@EVERY
@PIXELS
def test_float16_as_it_is_scales_the_score(name: str, pixels: str) -> None:
    full, layers = made(name)
    rough = copy.deepcopy(full).half()
    exact = Probe(copy.deepcopy(rough).float(), layers)(IMAGES, Target(1, pixels))
    capture = Probe(rough, layers, precision="own").many(IMAGES, [Target(1, pixels)], fixed=[exact.explained])[0]
    for layer in layers:
        assert capture.gradients[layer].dtype == torch.float32
        assert off(capture.maps(grad_cam, layer), exact.maps(grad_cam, layer)) < 0.02, layer


def test_the_diagnosis_of_float16_gives_no_false_reason() -> None:
    full, layers = made("chain")
    rough = copy.deepcopy(full).half()
    for precision in ("fp32", "own"):
        told = diagnose(Probe(rough, layers, precision=precision), IMAGES, Target(1, "image"))  # type: ignore[arg-type]
        wanted = diagnose(Probe(full, layers), IMAGES, Target(1, "image"))
        assert [record.text for record in told.layers] == [record.text for record in wanted.layers]
        assert all("all gradients are zero" not in record.text for record in told.layers)


@HALVES
@EVERY
def test_an_autocast_around_the_call_changes_nothing(name: str, half: torch.dtype) -> None:
    full, layers = made(name)
    probe, target, methods = Probe(full, layers), Target(1, "image"), ["grad_cam", "hires_cam", "eigen_cam"]
    (wanted,) = all_maps(probe, IMAGES, [target], methods)
    plain = probe(IMAGES, target).maps(grad_cam, layers[-1])
    with torch.autocast("cpu", half):
        (maps,) = all_maps(probe, IMAGES, [target], methods)
        capture = probe(IMAGES, target)
        single = capture.maps(grad_cam, layers[-1])
    for layer in layers:
        assert torch.equal(maps[layer], wanted[layer])
    assert torch.equal(single, plain)


class Casts(nn.Module):
    """A network that turns to half precision by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chain().half()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images.half()).float()
        return logits


def test_a_network_that_casts_by_itself_is_refused_with_a_cure_that_works() -> None:
    torch.manual_seed(1)
    network = Casts().eval()
    with pytest.raises(ProbeError, match=r"turns its values to half precision by itself.*precision='own'"):
        Probe(network, "body.0")(IMAGES)
    assert all(p.dtype == torch.float16 and p.requires_grad for p in network.parameters())
    maps = Probe(network, "body.0", precision="own")(IMAGES, Target(1, "image")).maps(grad_cam)
    exact = Probe(copy.deepcopy(network.body).float(), "0")(IMAGES, Target(1, "image")).maps(grad_cam)
    assert off(maps, exact) < 0.02


class Inside(nn.Module):
    """A float32 network that runs its body under an autocast of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chain()

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            logits: Tensor = self.body(images)
        return logits.float()


def test_gradients_through_a_networks_own_autocast_do_not_vanish() -> None:
    torch.manual_seed(1)
    network = Inside().eval()
    maps = Probe(network, "body.0")(IMAGES, Target(1, "image")).maps(grad_cam)
    assert off(maps, Probe(network.body, "0")(IMAGES, Target(1, "image")).maps(grad_cam)) < 0.02


def test_only_what_goes_through_float16_is_scaled() -> None:
    single = torch.rand(3, requires_grad=True)
    assert not scaling.through_float16((2 * single).sum())
    assert not scaling.through_float16((2 * single).bfloat16().sum())
    assert scaling.through_float16((2 * single.half()).float().sum())
    assert scaling.through_float16((2 * torch.rand(3).half().requires_grad_()).sum())


def test_an_image_without_pixels_has_no_gradient_and_changes_no_other() -> None:
    wanted = torch.rand(2, 1, 3, 3) * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    found = scaling.gradients(lambda factors: {"layer": wanted * factors.view(2, 1, 1, 1)}, torch.tensor([0, 4]))
    torch.testing.assert_close(found["layer"], wanted)


def test_each_layer_has_a_factor_of_its_own() -> None:
    """A faint one takes larger factors until it fits, whatever others do, and one that overflows keeps its own."""
    sizes = {"faint": 1e-8, "strong": 0.5, "breaks": 2.0**-20}

    def differentiate(factors: Tensor) -> dict[str, Tensor]:
        scaled = {label: (size * factors).half().view(1, 1, 1, 1) for label, size in sizes.items()}
        return scaled | {"breaks": scaled["breaks"] / (factors <= scaling.FIRST)}

    found = scaling.gradients(differentiate, torch.tensor([1]))
    assert {label: one.item() for label, one in found.items()} == pytest.approx(sizes, rel=1e-3)


def test_each_image_has_a_factor_of_its_own() -> None:
    """One image explains a pixel and the other all of them: gradients are 16,384 times apart."""
    torch.manual_seed(1)
    network = chain().half().eval()
    probe, exact = Probe(network, "0", precision="own"), Probe(copy.deepcopy(network).float(), "0")
    fixed = exact(IMAGES, Target(1, "image")).explained
    fixed.chosen[0] = False
    fixed.chosen[0, 60, 60] = True
    fixed.pixels[0] = 1
    target = Target(1, "image")
    (one,), (other,) = (p.many(IMAGES, [target], fixed=[fixed]) for p in (probe, exact))
    assert off(one.maps(grad_cam), other.maps(grad_cam)) < 0.02


@pytest.mark.parametrize("size", [2.0**-60, 2.0**-20, 1.0, 2.0**14, 2.0**40])
def test_factors_are_found_from_either_side(size: float) -> None:
    """A backward pass that rounds to float16, of gradients of any size, and of two sizes in one batch."""
    true = torch.linspace(0.1, 1, 32).view(2, 1, 4, 4) * torch.tensor([size, 1.0]).view(2, 1, 1, 1)
    passes = []

    def differentiate(factors: Tensor) -> dict[str, Tensor]:
        passes.append(factors)
        return {"a": (true * factors.view(-1, 1, 1, 1)).half()}

    found = scaling.gradients(differentiate, torch.tensor([1, 1]))["a"]
    if 2.0**-40 < size < 2.0**30:
        torch.testing.assert_close(found, true, rtol=2e-3, atol=0)
    assert len(passes) <= 1 + 2 * scaling.TRIES
    torch.testing.assert_close(found[1], true[1], rtol=2e-3, atol=0)


@HALVES
@pytest.mark.parametrize("method", ["score_cam", "ablation_cam", "cam"])
def test_methods_that_run_the_network_are_those_of_float32(method: str, half: torch.dtype) -> None:
    network = made("chain")[0].to(half)
    run, images, maps = METHODS.get(method).run, IMAGES[:, :, :32, :32], []
    assert run is not None
    for model in (network, copy.deepcopy(network).float()):
        probe = Probe(model, "7")
        capture = probe(images, Target(0, "image"))
        with torch.autocast("cpu", half), examining(probe, images, capture) as subject:
            maps.append(run(subject, probe.layers[0]))
    assert maps[0].any()
    assert torch.equal(*maps)


@HALVES
def test_faithfulness_and_sanity_take_networks_of_half_precision(half: torch.dtype) -> None:
    full, _ = made("skips")
    network = copy.deepcopy(full).to(half)
    exact = copy.deepcopy(network).float()
    images = IMAGES[:, :, :32, :32]
    truth = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(2)) > 0.5
    one, other = (Subjects.of(model, images, 1, (truth, ~truth), ("a", "b")).unchanged for model in (network, exact))
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert one.isfinite().all()
    assert execution_order(network, images) == execution_order(exact, images)
