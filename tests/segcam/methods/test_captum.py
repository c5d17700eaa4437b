"""captum's methods: what they compute, where they are refused and why, and that they leave no traces."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, Target, find_layers, grad_cam
from segcam.errors import InputError, NotApplicableError
from segcam.methods import METHODS, Method
from segcam.methods.captum.calls import IMAGES_AT_ONCE, RULE, STEPS, separated
from segcam.methods.material.subject import Subject, examining
from segcam.methods.material.superpixels import superpixels
from segcam.models import MODELS, create
from segcam.probe.layers import INPUT, Layer
from segcam.probe.targets import SCORES
from segcam.scoring.reference import Scenery
from segcam.streams import stream_seed
from tests import small_networks
from tests.reference import captum as slow
from tests.small_networks import unchanged

CAPTUM = [method for method in METHODS if method.family == "captum"]
LAYER = [method for method in CAPTUM if method.scope == "layer"]
SIZE = (12, 16)
PREDICTED = Target.parse("predicted")
SMALL = {
    "captum_occlusion": {"windows": 4},
    "captum_feature_ablation": {"segments": 6},
    "captum_kernel_shap": {"segments": 6, "samples": 40},
    "captum_smooth_grad": {"samples": 3},
    "captum_gradient_shap": {"samples": 3},
    "captum_integrated_gradients": {"n_steps": 4},
    "captum_layer_integrated_gradients": {"n_steps": 4},
    "captum_layer_conductance": {"n_steps": 4},
    "captum_internal_influence": {"n_steps": 4},
}
Build = Callable[[], nn.Module]
seeded = partial(small_networks.seeded, seed=3)


class ConvNet(nn.Module):
    """Two convolutions with BatchNorm and ReLU, max-pooling with a skip connection around it, and a head."""

    def __init__(self, activation: Build = nn.ReLU, between: Build = nn.Identity) -> None:
        super().__init__()
        self.conv1, self.norm1, self.relu1 = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), activation()
        self.between, self.pool, self.up = between(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.conv2, self.norm2, self.relu2 = nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6), activation()
        self.head = nn.Conv2d(11, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.relu1(self.norm1(self.conv1(x)))
        coarse = self.relu2(self.norm2(self.conv2(self.pool(self.between(fine)))))
        return self.head(torch.cat([fine, self.up(coarse)], 1))


class Reused(nn.Module):
    """One ReLU called twice, and one convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.again(self.relu(self.again(self.first(x))))))


class ReLUTwice(Reused):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.relu(self.relu(self.first(x)))))


class Tokens(nn.Module):
    """Patches of 4 pixels as tokens, a norm and a linear layer of them, and channels last behind."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.mix = nn.Conv2d(3, 6, 4, stride=4), nn.LayerNorm(6), nn.Linear(6, 6)
        self.act, self.last, self.head = nn.GELU(), nn.Identity(), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.patch(x)
        tokens = self.act(self.mix(self.norm(grid.flatten(2).transpose(1, 2))))
        maps = self.last(tokens.view(len(x), *grid.shape[2:], 6)).permute(0, 3, 1, 2)
        return nn.functional.interpolate(self.head(maps), scale_factor=4.0)


class Chain(nn.Sequential):
    """No bypass: a layer's output is all that what follows gets."""

    def __init__(self, activation: Build = nn.ReLU) -> None:
        first, second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        super().__init__(first, activation(), second, activation(), nn.Conv2d(4, 3, 1))


class WritesByFunction(Chain):
    def forward(self, x: Tensor) -> Tensor:
        return self[4](self[2](self[0](x).relu_()).relu_())


class ReLUByFunction(Chain):
    def forward(self, x: Tensor) -> Tensor:
        return self[4](torch.relu(self[1](self[2](self[0](x))) - 0.1))


def pointwise(*between: nn.Module, channels: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, channels, 1), *between, nn.Conv2d(channels, 2, 1))


def unet() -> nn.Module:
    return create("unet", 2, {"width": 4})


def pictures(batch: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Smooth random images, each of its own."""
    images = []
    for i in range(batch):
        generator = torch.Generator().manual_seed(i)
        coarse = torch.randn(1, 3, size[0] // 4, size[1] // 4, generator=generator, dtype=torch.float64)
        fine = torch.randn(1, 3, *size, generator=generator, dtype=torch.float64)
        images.append(1.5 * nn.functional.interpolate(coarse, size=size, mode="bilinear") + 0.3 * fine)
    return torch.cat(images)


@contextmanager
def subject_of(
    model: nn.Module,
    layers: list[Layer] | list[str],
    target: Target = PREDICTED,
    images: Tensor | None = None,
    *,
    first: int = 0,
    named: bool = True,
    channels_last: bool = False,
) -> Iterator[Subject]:
    """What methods are asked about; images are named by their order, from `first` on."""
    images = pictures() if images is None else images
    mask = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    scenery = Scenery(images.mean(1), mask, ~mask, tuple(f"image-{first + i}" for i in range(len(images))), 0)
    probe = Probe(model, layers, channels_last=channels_last)
    with examining(probe, images, probe(images, target), scenery if named else None) as subject:
        yield subject


def small(method: Method) -> Method:
    return method.configured(SMALL.get(method.name, {}))


def run(method: Method | str, subject: Subject, layer: str = "", **parameters: Any) -> Tensor:
    method = METHODS.get(f"captum_{method}").configured(parameters) if isinstance(method, str) else method
    if method.scope == "input":
        return method.run(subject, INPUT)
    return method.run(subject, next(one for one in subject.capture.layers if one.label == layer))


def why(method: Method | str, subject: Subject, layer: str = "") -> str:
    with pytest.raises(NotApplicableError) as caught:
        run(method, subject, layer)
    return str(caught.value)


def twins(subject: Subject, twin: Callable[[slow.Score, Tensor], Any]) -> Tensor:
    """The twin's maps of the images, each with the score of its own pixels."""
    pixels, class_ids = subject.extra
    maps = []
    for i, image in enumerate(subject.images):
        rows = slice(i, i + 1)
        score = partial(lambda rows, x: subject.objective(x, pixels[rows], class_ids[rows]), rows)
        maps.append(torch.as_tensor(twin(score, image[None])))
    return torch.stack(maps)


def close(maps: Tensor, expected: Tensor, tolerance: float = 1e-6) -> bool:
    return torch.allclose(maps.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def change(subject: Subject) -> Tensor:
    """The score less that of the baseline."""
    return subject.capture.scores - subject.objective(torch.zeros_like(subject.images), *subject.extra)


def test_what_they_say_of_themselves() -> None:
    assert (len(LAYER), len(CAPTUM)) == (7, 19)
    assert all(method.each == ("layer" if method in LAYER else "target") for method in CAPTUM)
    unsigned = {method.name.removeprefix("captum_") for method in CAPTUM if not method.signed}
    assert unsigned == {"layer_grad_cam", "saliency", "smooth_grad"}
    gradient_free = {method.name.removeprefix("captum_") for method in CAPTUM if not method.needs_gradients}
    assert gradient_free == {"layer_activation", "occlusion", "feature_ablation", "kernel_shap"}
    assert (STEPS, RULE) == (16, "gausslegendre")
    costs = {"integrated_gradients": 16, "layer_integrated_gradients": 18, "occlusion": 226}
    assert {name: METHODS.get(f"captum_{name}").cost for name in costs} == costs


def noises(index: int) -> Tensor:
    """What smoothing adds to an image, by its name, at a deviation of 1."""
    with torch.random.fork_rng([]):
        torch.manual_seed(stream_seed(0, f"image-{index}") % 2**63)
        return torch.normal(0, torch.ones(4, 3, *SIZE))


def smoothed(score: slow.Score, image: Tensor) -> np.ndarray:
    index = next(i for i, other in enumerate(pictures()) if torch.equal(image[0], other))
    return slow.smooth_grad(score, image, 0.2 * float(image.max() - image.min()) * noises(index))


TWINS: dict[str, tuple[dict[str, Any], Callable[[slow.Score, Tensor], Any], float]] = {
    "saliency": ({}, lambda score, x: slow.gradient(score, x).abs().amax(0), 1e-12),
    "input_x_gradient": ({}, lambda score, x: (slow.gradient(score, x) * x[0]).sum(0), 1e-12),
    "integrated_gradients": ({"n_steps": 6}, lambda score, x: slow.integrated_gradients(score, x, 6), 1e-6),
    "smooth_grad": ({"samples": 4, "noise": 0.2}, smoothed, 1e-6),
    "occlusion": ({"windows": 4}, lambda score, x: slow.occlusion(score, x, (6, 8), (3, 4)), 1e-6),
    "occlusion, uneven": ({"windows": 3}, lambda score, x: slow.occlusion(score, x, (8, 12), (4, 6)), 1e-6),
    "feature_ablation": (
        {"segments": 8},
        lambda score, x: slow.feature_ablation(score, x, superpixels(x, 8)[0].numpy()),
        1e-6,
    ),
    "kernel_shap": (
        {"segments": 4, "samples": 1500},
        lambda score, x: slow.shapley(score, x, superpixels(x, 4)[0].numpy()),
        0.05,
    ),
}


class TestFormulas:
    """On float64 networks against twins, and against segcam."""

    LAYERS = ("conv1", "relu1", "conv2", "norm2")

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of(seeded(ConvNet), list(self.LAYERS)) as subject:
            assert (subject.capture.target_pixels > 1).all()
            yield subject

    @pytest.mark.parametrize("layer", LAYERS)
    def test_products_of_a_layer(self, subject: Subject, layer: str) -> None:
        activations, gradients = subject.capture.activations[layer], subject.capture.gradients[layer]
        cam, product = subject.capture.maps(grad_cam, layer), (activations * gradients).sum(1)
        assert cam.any()
        assert (product < 0).any()
        expected = {"grad_cam": cam, "gradient_x_activation": product, "activation": activations.sum(1)}
        for name, maps in expected.items():
            assert torch.allclose(run(f"layer_{name}", subject, layer), maps, atol=1e-12)

    @pytest.mark.parametrize("layer", LAYERS)
    @pytest.mark.parametrize(
        ("name", "twin"),
        [
            ("layer_integrated_gradients", slow.layer_integrated_gradients),
            ("layer_conductance", slow.conductance),
            ("internal_influence", slow.internal_influence),
        ],
    )
    def test_paths_of_layers(self, subject: Subject, layer: str, name: str, twin: Callable[..., np.ndarray]) -> None:
        module = subject.model.get_submodule(layer)
        expected = twins(subject, lambda score, image: twin(score, module, image, 5))
        assert close(run(name, subject, layer, n_steps=5), expected)

    def test_long_paths_in_several_parts(self) -> None:
        steps = IMAGES_AT_ONCE + 9
        with subject_of(seeded(ConvNet), ["conv2"], images=pictures(1)) as subject:
            expected = twins(subject, lambda score, x: slow.conductance(score, subject.model.conv2, x, steps))
            assert close(run("layer_conductance", subject, "conv2", n_steps=steps), expected)

    @pytest.mark.parametrize("name", TWINS)
    def test_methods_of_the_input(self, subject: Subject, name: str) -> None:
        parameters, twin, tolerance = TWINS[name]
        assert close(run(name.partition(",")[0], subject, **parameters), twins(subject, twin), tolerance)

    @pytest.mark.parametrize("name", ["guided_backprop", "deconvolution"])
    def test_guided_backprop_and_deconvolution(self, subject: Subject, name: str) -> None:
        maps = run(name, subject)
        subject.model.relu1 = subject.model.relu2 = slow.RuledReLU(guided=name == "guided_backprop")
        assert close(maps, twins(subject, lambda score, image: slow.gradient(score, image).sum(0)), 1e-12)

    def test_guided_grad_cam_is_the_product(self, subject: Subject) -> None:
        guided = run("guided_backprop", subject)
        for of, layer in (("", "norm2"), ("relu1", "relu1")):
            cam = subject.capture.maps(grad_cam, layer)[:, None]
            large = nn.functional.interpolate(cam, size=SIZE, mode="bilinear", align_corners=False)[:, 0]
            assert torch.allclose(run("guided_grad_cam", subject, of=of), guided * large, atol=1e-12)
        with pytest.raises(InputError, match="no layer 'conv9' was probed: there are conv1"):
            run("guided_grad_cam", subject, of="conv9")

    def test_deep_lift_of_a_pixels_own_network(self) -> None:
        middle = (nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU())
        model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 5, 1), *middle, nn.Conv2d(4, 2, 1)))
        images = pictures(2)
        with subject_of(model, ["0"], Target(), images) as subject:
            maps = run("deep_lift", subject)
        layers = [m for m in model if isinstance(m, nn.Conv2d)]
        weights = [(m.weight.detach()[:, :, 0, 0].numpy(), m.bias.detach().numpy()) for m in layers]
        weights[-1] = (weights[-1][0][1:], weights[-1][1][1:])  # class 1 alone
        for i in range(2):
            ((row, column),) = subject.capture.explained.chosen[i].nonzero().tolist()
            twin = slow.deep_lift(weights, images[i, :, row, column].numpy()).sum()
            assert maps[i, row, column] == pytest.approx(twin, rel=1e-9)
            assert (maps[i] != 0).sum() == 1


class TestAddingUp:
    """Attributions add up to the change of the score."""

    @pytest.mark.parametrize("target", [Target(), PREDICTED, Target.parse("best_pixel@output")])
    def test_integrated_gradients(self, target: Target) -> None:
        with subject_of(seeded(ConvNet), ["conv1"], target) as subject:
            assert close(run("integrated_gradients", subject, n_steps=400).sum((1, 2)), change(subject), 2e-2)

    @pytest.mark.parametrize(
        ("name", "parameters", "tolerance"),
        [("layer_integrated_gradients", {"n_steps": 400}, 1e-2), ("layer_deep_lift", {}, 1e-9)],
    )
    def test_of_layers_that_nothing_bypasses(self, name: str, parameters: dict[str, int], tolerance: float) -> None:
        with subject_of(seeded(Chain), ["0", "1", "2", "3"]) as subject:
            for layer in "0123":
                assert close(run(name, subject, layer, **parameters).sum((1, 2)), change(subject), tolerance)

    @pytest.mark.parametrize(
        "build",
        [
            unet,
            ConvNet,
            partial(ConvNet, partial(nn.ReLU, inplace=True)),
            *(partial(ConvNet, kind) for kind in (nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus)),
        ],
    )
    def test_deep_lift(self, build: Build) -> None:
        layers = find_layers(seeded(build), "*conv1*", nn.Conv2d)[:1]
        with subject_of(seeded(build), layers, images=pictures(3, (32, 48))) as subject:
            assert torch.allclose(run("deep_lift", subject).sum((1, 2)), change(subject), atol=1e-9)

    def test_kernel_shap(self) -> None:
        with subject_of(seeded(ConvNet), ["conv1"]) as subject:
            maps, regions = run("kernel_shap", subject, segments=6, samples=60), superpixels(subject.images, 6)
            sums = [sum(float(f[r == k].mean()) for k in r.unique()) for f, r in zip(maps, regions, strict=True)]
            assert sums == pytest.approx(change(subject).tolist(), rel=1e-3)

    def test_gradient_shap_on_average(self) -> None:
        with subject_of(seeded(Chain), ["0"], images=pictures(1)) as subject:
            noise = torch.randn(400, 3, *SIZE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
            pixels, class_ids = subject.extra
            of_noise = subject.objective(noise, pixels.expand(400, -1, -1), class_ids.expand(400)).mean()
            expected = float(subject.capture.scores[0] - of_noise)
            assert float(run("gradient_shap", subject, samples=3000).sum()) == pytest.approx(expected, rel=0.1)

    def test_all_are_gradient_x_input_where_the_network_is_linear(self) -> None:
        model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 3, 3, padding=1)))
        with subject_of(model, ["0"]) as subject:
            expected = run("input_x_gradient", subject)
            for name in ("integrated_gradients", "deep_lift"):
                assert torch.allclose(run(name, subject), expected, atol=1e-6)
            of_layer = run("layer_gradient_x_activation", subject, "0")
            for name in ("layer_integrated_gradients", "layer_deep_lift"):
                assert torch.allclose(run(name, subject, "0"), of_layer, atol=1e-6)
            regions = superpixels(subject.images, 6)
            for name, parameters in (("feature_ablation", {}), ("kernel_shap", {"samples": 40})):
                maps = run(name, subject, segments=6, **parameters)
                for f, r, e in zip(maps, regions, expected, strict=True):
                    for k in r.unique():
                        assert float(f[r == k].mean()) == pytest.approx(float(e[r == k].sum()), rel=1e-3, abs=1e-5)


GUIDED = ("guided_backprop", "deconvolution", "guided_grad_cam")
ACTIVATIONS = {
    "Gelu": nn.GELU,
    "Hardtanh (ReLU6)": nn.ReLU6,
    "Silu": nn.SiLU,
    "PreluKernel (PReLU)": nn.PReLU,
}
NORMS = (
    partial(nn.InstanceNorm2d, 4),
    partial(nn.GroupNorm, 2, 4),
    partial(nn.BatchNorm2d, 4, track_running_stats=False),
)
REFUSED: list[tuple[Build, tuple[str, ...], str]] = [
    (pointwise, GUIDED, "nn.ReLU modules alone, and here there is none: the plain gradient"),
    *((partial(ConvNet, kind), GUIDED, f"activations are also {name}:") for name, kind in ACTIVATIONS.items()),
    *((partial(ConvNet, kind), ("deep_lift",), f"no rule for {name}:") for name, kind in ACTIVATIONS.items()),
    (ReLUByFunction, ("guided_backprop", "deconvolution", "deep_lift"), "Relu (function)"),
    *((lambda norm=norm: pointwise(norm()), ("deep_lift",), "no rule for") for norm in NORMS),
    (ReLUTwice, ("deep_lift",), "module 'relu' runs 2 times in a forward pass"),
    (Reused, ("deep_lift",), "module 'relu' runs 2 times in a forward pass"),
    (Reused, ("deconvolution",), "captum's Deconvolution remembers"),
]


class TestRefusals:
    """Where captum would be wrong without a word, or fails, there is a reason and no map."""

    @pytest.mark.parametrize(("build", "names", "reason"), REFUSED)
    def test_networks(self, build: Build, names: tuple[str, ...], reason: str) -> None:
        model = seeded(build)
        with subject_of(model, find_layers(model, "*", nn.Conv2d)[-1:]) as subject:
            for name in names:
                assert reason in why(name, subject)

    def test_modules_that_run_twice(self) -> None:
        with subject_of(seeded(Reused), [Layer("again", "second", call=1), "first"]) as subject:
            for method in LAYER:
                assert why(method, subject, "second") == "the module runs more than once in a forward pass"
                with pytest.raises(NotApplicableError, match="the module runs 2 times in a forward pass"):
                    method.run(subject, Layer("again", "again"))  # not one that the probe would take
            assert "module 'relu' runs 2 times in a forward pass" in why("layer_deep_lift", subject, "first")

    def test_deep_lift_behind_the_last_call_of_a_module_that_runs_twice(self) -> None:
        with subject_of(seeded(ReLUTwice), ["again", "head"]) as subject:
            assert torch.isfinite(run("layer_deep_lift", subject, "again")).all()

    def test_guided_backprop_of_a_relu_that_runs_twice(self) -> None:
        model = seeded(Reused)
        with subject_of(model, ["first"]) as subject:
            maps = run("guided_backprop", subject)
            model.relu = slow.RuledReLU(guided=True)
            assert close(maps, twins(subject, lambda score, image: slow.gradient(score, image).sum(0)), 1e-12)

    def test_tokens_and_channels_last(self) -> None:
        layers = ["patch", "norm", "mix", Layer("last", "last", form="NHWC")]
        with subject_of(seeded(Tokens), layers) as subject:
            for layer in ("norm", "mix", "last"):
                reason = why("layer_grad_cam", subject, layer)
                assert "averages gradients over all dimensions but the first two" in reason
                for method in LAYER:
                    if method.name not in ("captum_layer_grad_cam", "captum_layer_deep_lift"):
                        assert run(method, subject, layer).shape == (3, 3, 4)
                product = subject.capture.activations[layer] * subject.capture.gradients[layer]
                maps = run("layer_gradient_x_activation", subject, layer)
                assert torch.allclose(maps, product.sum(1), atol=1e-12)
            maps = run("layer_grad_cam", subject, "patch")
            assert torch.allclose(maps, subject.capture.maps(grad_cam, "patch"), atol=1e-12)
            assert torch.isfinite(run("layer_deep_lift", subject, "last")).all()
            assert why("layer_deep_lift", subject, "mix") == (
                "captum's DeepLift has no rule for Gelu: plain gradients would pass there, and attributions not add up"
            )
            assert "no rule for Gelu, LayerNorm:" in why("deep_lift", subject)

    def test_overlapping_max_pooling(self) -> None:
        with subject_of(seeded(lambda: pointwise(nn.ReLU(), nn.MaxPool2d(3, 2, 1))), ["0", "2"]) as subject:
            assert "windows of max-pooling '2' overlap" in why("deep_lift", subject)
            assert "windows of max-pooling '2' overlap" in why("layer_deep_lift", subject, "0")
            assert torch.isfinite(run("layer_deep_lift", subject, "2")).all()

    @pytest.mark.parametrize(("score", "classes"), [(s, n) for s in sorted(SCORES) for n in (2, 4) if s != "contrast"])
    def test_scores_that_are_not_linear(self, score: str, classes: int) -> None:
        target = Target(1, "predicted", score, other=0 if score == "pair" else None)
        with subject_of(seeded(lambda: nn.Sequential(nn.Conv2d(3, classes, 1))), ["0"], target) as subject:
            if score in ("logit", "pair") or (score in ("margin", "rival") and classes == 2):
                assert torch.allclose(run("deep_lift", subject).sum((1, 2)), change(subject), atol=1e-9)
            else:
                assert f"the score '{score}' is not linear in the logits" in why("deep_lift", subject)

    def test_failures_become_reasons(self) -> None:
        class Refuses(nn.Sequential):
            def forward(self, x: Tensor) -> Tensor:
                if not torch.equal(x[:1], pictures(1)):
                    raise IndexError("only this image\nand no other")
                return super().forward(x)

        with subject_of(seeded(lambda: Refuses(nn.Conv2d(3, 2, 1), nn.ReLU())), ["0"]) as subject:
            tools = {
                "integrated_gradients": "IntegratedGradients",
                "occlusion": "Occlusion",
                "kernel_shap": "KernelShap",
            }
            tools |= {"smooth_grad": "NoiseTunnel(Saliency)", "layer_conductance": "LayerConductance"}
            for name, tool in tools.items():
                assert why(name, subject, "0") == f"captum {tool}: only this image"
            assert torch.isfinite(run("input_x_gradient", subject)).all()

    @pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, torch.OutOfMemoryError])
    def test_what_is_no_property_of_the_method_is_raised(self, error: type[BaseException]) -> None:
        model = seeded(Chain)
        with subject_of(model, ["0"]) as subject:
            run("layer_activation", subject, "0")  # reads the structure

            def stop(*_: object) -> None:
                raise error("too much")

            handle = model[1].register_forward_hook(stop)
            for name in ("saliency", "layer_deep_lift"):
                with unchanged(model), pytest.raises(error, match="too much"):
                    run(name, subject, "0")
            handle.remove()

    def test_layers_written_into_by_a_function(self) -> None:
        with subject_of(seeded(WritesByFunction), ["0", "2"]) as subject:
            assert "captum LayerIntegratedGradients: " in why("layer_integrated_gradients", subject, "0")
            maps = run("layer_grad_cam", subject, "0")
            assert torch.allclose(maps, subject.capture.maps(grad_cam, "0"), atol=1e-12)

    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("integrated_gradients", {"n_steps": 0}, "n_steps is 0: it must be positive"),
            ("layer_conductance", {"n_steps": -1}, "n_steps is -1: it must be positive"),
            ("smooth_grad", {"samples": 0}, "samples is 0: it must be positive"),
            ("smooth_grad", {"noise": 0.0}, "noise is 0.0: it must be positive"),
            ("gradient_shap", {"samples": 0}, "samples is 0: it must be positive"),
            ("occlusion", {"windows": 1}, "windows is 1: a window covers two steps"),
            ("feature_ablation", {"segments": 1}, "divided into 1 superpixels: ask for 2 or more"),
            ("kernel_shap", {"samples": 1}, "samples is 1"),
        ],
    )
    def test_parameters(self, name: str, parameters: dict[str, int], message: str) -> None:
        method = METHODS.get(f"captum_{name}")
        with pytest.raises(InputError, match=r"a number from [12].* to 10000 is needed"):
            method.configured(parameters)
        with subject_of(seeded(Chain), ["0"]) as subject, pytest.raises(InputError, match=message) as caught:
            method.run(subject, INPUT if method.scope == "input" else subject.capture.layers[0], **parameters)
        assert not isinstance(caught.value, NotApplicableError)

    @pytest.mark.parametrize("method", CAPTUM, ids=lambda m: m.name)
    def test_the_least_values_are_taken(self, method: Method) -> None:
        """What a profile may say runs: bounds are told where it is read, not when scoring begins."""
        for name, default in method.parameters.items():
            with subject_of(seeded(Chain), ["0"]) as subject:
                chosen = {**SMALL.get(method.name, {}), name: type(default)(method.least.get(name, 0))}
                layer = INPUT if method.scope == "input" else subject.capture.layers[0]
                with contextlib.suppress(NotApplicableError):  # an image of one superpixel: a gap with its reason
                    assert method.configured(chosen).run(subject, layer).shape[0] == len(subject.images)


@pytest.mark.parametrize("method", CAPTUM, ids=lambda m: m.name)
class TestEveryMethod:
    def test_no_traces(self, method: Method) -> None:
        model, images = seeded(ConvNet).train(), pictures()
        model.conv2.weight.grad = torch.ones_like(model.conv2.weight)
        model.norm1.bias.requires_grad_(False)
        model.relu1.register_forward_hook(lambda *_: None)
        numpy_state = np.random.get_state()  # noqa: NPY002
        with unchanged(model), subject_of(model, ["conv1", "conv2"], images=images) as subject, unchanged(model):
            run(small(method), subject, "conv2")
            assert not subject.images.requires_grad
        assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
        assert torch.equal(images, pictures())

    def test_no_traces_after_a_failure(self, method: Method) -> None:
        class Fails(torch.autograd.Function):
            @staticmethod
            def forward(ctx: object, x: Tensor) -> Tensor:
                if not method.needs_gradients:
                    raise RuntimeError("forward is broken")
                return x.clone()

            @staticmethod
            def backward(ctx: object, given: Tensor) -> Tensor:
                raise RuntimeError("backward is broken")

        class Net(ConvNet):
            def forward(self, x: Tensor) -> Tensor:
                return Fails.apply(super().forward(x)) if broken else super().forward(x)

        broken = False
        model = seeded(Net)
        with subject_of(model, ["conv1", "conv2"]) as subject:
            first = run(small(method), subject, "conv2")
            broken = True
            with unchanged(model):
                assert "is broken" in why(small(method), subject, "conv2")
            broken = False
            assert torch.equal(run(small(method), subject, "conv2"), first)

    def test_samples_do_not_mix(self, method: Method) -> None:
        images, classes = pictures(), (1, 2, 1)
        with subject_of(seeded(ConvNet), ["conv1", "conv2"], Target(classes, "predicted")) as subject:
            together = run(small(method), subject, "conv1")
        assert torch.isfinite(together).all()
        for i in range(3):
            target, image = Target(classes[i], "predicted"), images[i : i + 1]
            with subject_of(seeded(ConvNet), ["conv1", "conv2"], target, image, first=i) as subject:
                alone = run(small(method), subject, "conv1")
            assert torch.allclose(together[i : i + 1], alone, rtol=1e-5, atol=1e-7 * float(alone.abs().max()))
            assert not torch.allclose(together[i], together[i - 1])

    def test_without_names_the_image_is_its_stream(self, method: Method) -> None:
        maps = []
        for images in (pictures(), pictures().flip(0)):
            with subject_of(seeded(ConvNet), ["conv1", "conv2"], images=images, named=False) as subject:
                maps.append(run(small(method), subject, "conv1"))
        assert torch.allclose(maps[1].flip(0), maps[0], rtol=1e-5, atol=1e-9)

    @pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
    @pytest.mark.parametrize("net", [ConvNet, Chain])
    def test_in_place_modules(self, method: Method, net: type[nn.Module], activation: type[nn.Module]) -> None:
        layers = ["conv1", "norm1", "relu1", "conv2"] if net is ConvNet else ["0", "1", "2"]
        refused = activation is nn.SiLU and any(word in method.name for word in ("deep_lift", "guided", "deconv"))
        stacks = []
        for inplace in (False, True):
            with subject_of(seeded(partial(net, partial(activation, inplace=inplace))), layers) as subject:
                if refused:
                    assert "Silu" in why(method, subject, layers[0])
                else:
                    stacks.append(torch.stack([run(small(method), subject, layer) for layer in layers[:3]]))
        assert refused or torch.allclose(*stacks, rtol=0, atol=1e-12)

    def test_repeatable_whatever_the_global_generators(self, method: Method) -> None:
        maps, numpy_state = [], np.random.get_state()  # noqa: NPY002
        for seed in (1, 2):
            with torch.random.fork_rng([]), subject_of(seeded(ConvNet), ["conv1", "conv2"]) as subject:
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                maps.append(run(small(method), subject, "conv1"))
        np.random.set_state(numpy_state)  # noqa: NPY002
        assert torch.equal(*maps)

    def test_empty_sets_are_undefined(self, method: Method) -> None:
        model = seeded(Chain)
        model[4].bias.data = torch.tensor([0.0, 50.0, 0.0], dtype=torch.float64)  # nothing is predicted as class 0
        with subject_of(model, ["0", "2"], Target((1, 0, 1), "predicted")) as subject:
            undefined = run(small(method), subject, "2").isnan().flatten(1)
        assert undefined.all(1).tolist() == undefined.any(1).tolist() == [False, True, False]

    def test_channels_last_float32_and_odd_sizes(self, method: Method) -> None:
        images, model = pictures(3, (20, 36)).float(), seeded(ConvNet).float()
        maps = []
        for channels_last in (False, True):
            with subject_of(model, ["conv1", "conv2"], images=images, channels_last=channels_last) as subject:
                maps.append(run(small(method), subject, "conv2"))
        assert maps[0].shape == (3, *((10, 18) if method.scope == "layer" else (20, 36)))
        assert maps[0].dtype == torch.float32
        assert torch.allclose(*maps, rtol=1e-3, atol=1e-4 * float(maps[0].abs().max()))

    def test_passes_are_as_declared(self, method: Method) -> None:
        counts: list[int] = []
        model, images = seeded(ConvNet), pictures(2, (16, 32))
        with subject_of(model, ["conv1", "conv2"], images=images) as subject:
            run("layer_activation", subject, "conv1")  # reads the structure
            method = small(method)
            if method.name == "captum_feature_ablation":
                method = method.configured({"segments": len(superpixels(images, 6).unique())})
                subject.once(f"superpixels {method.parameters['segments']}", lambda: superpixels(images, 6))
            model.conv1.register_forward_pre_hook(lambda _module, inputs: counts.append(len(inputs[0])))
            run(method, subject, "conv2")
        assert sum(counts) == method.cost * 2


@pytest.mark.parametrize("method", LAYER, ids=lambda m: m.name)
def test_layers_that_pass_their_input_on(method: Method) -> None:
    """As those that give a tensor of their own: a ReLU behind a ReLU changes nothing."""
    maps = []
    for between in (nn.Dropout, nn.ReLU):
        with subject_of(seeded(partial(ConvNet, between=between)), ["between"]) as subject:
            maps.append(run(small(method), subject, "between"))
    assert torch.allclose(*maps, atol=1e-12)


class TestTraps:
    """captum alone goes wrong where segcam's methods do not."""

    @staticmethod
    def attributions(subject: Subject, images: Tensor, *baselines: Tensor) -> Tensor:
        from captum.attr import DeepLift

        extra = tuple(values[: len(images)] for values in subject.extra)
        with pytest.warns(UserWarning, match="Setting forward, backward hooks"):
            return DeepLift(subject.objective).attribute(
                images.clone().requires_grad_(), *baselines, additional_forward_args=extra
            )

    @pytest.mark.parametrize("build", [ConvNet, unet])
    def test_captums_deep_lift_loses_what_bypasses_max_pooling(self, build: Build) -> None:
        images = pictures(3, (32, 48))
        baseline = images.flip(3)
        with subject_of(seeded(build), find_layers(seeded(build), "*conv1*", nn.Conv2d)[:1], images=images) as subject:
            expected = subject.capture.scores - subject.objective(baseline, *subject.extra)

            def error() -> Tensor:
                return (self.attributions(subject, images, baseline).sum((1, 2, 3)) / expected - 1).abs()

            assert (error() > 0.01).all()
            with separated(subject.objective):
                assert (error() < 1e-9).all()

    def test_captums_softmax_rule_mixes_images(self) -> None:
        with subject_of(seeded(lambda: pointwise(nn.Softmax(1))), ["0"]) as subject:
            alone, together = (self.attributions(subject, subject.images[:n])[:1] for n in (1, 3))
            assert not torch.allclose(together, alone, rtol=1e-3)
            assert "no rule for Softmax" in why("deep_lift", subject)


REAL = {"unet": {"width": 4}, "segformer": {}, "vit": {"encoder": "vit_tiny_patch16_224"}}


@pytest.mark.parametrize("name", sorted(REAL))
def test_on_the_networks_of_segcam(name: str) -> None:
    """Every method gives maps on its grid, or says why not."""
    model = create(name, 2, REAL[name])
    layers = MODELS.get(name).layers(model, "conv")
    layers = [layers[0], layers[len(layers) // 2], layers[-1]]
    reasons: dict[str, list[str]] = {}
    images = pictures(2, (64, 96)).float()
    with subject_of(model, layers, Target(), images) as subject, unchanged(model):
        for method in CAPTUM:
            for layer in layers if method.scope == "layer" else [INPUT]:
                try:
                    maps = small(method).run(subject, layer)
                except NotApplicableError as error:
                    reasons.setdefault(method.name.removeprefix("captum_"), []).append(f"{layer.label}: {error}")
                    continue
                grid = images.shape[2:] if layer is INPUT else subject.capture.activations[layer.label].shape[2:]
                assert maps.shape == (2, *grid)
                assert torch.isfinite(maps).all()
                if method.name == "captum_layer_grad_cam":
                    assert torch.allclose(maps, subject.capture.maps(grad_cam, layer), atol=1e-5)
    if name != "unet":
        for method in GUIDED:
            assert "nn.ReLU modules alone, and here activations are also Gelu" in reasons.pop(method)[0]
        for method in ("deep_lift", "layer_deep_lift"):
            reason = reasons.pop(method)[0]
            assert all(words in reason for words in ("captum's DeepLift has no rule for", "Gelu", "LayerNorm"))
        assert all("which are not the positions of tokens" in reason for reason in reasons.pop("layer_grad_cam"))
    assert not reasons


class TestSuperpixels:
    def test_regions_of_colour(self) -> None:
        images = torch.zeros(2, 3, 24, 32)
        images[0, 0, :, :16], images[0, 1, :, 16:] = 1, 1
        images[1, 2, :12] = -3
        left_and_right, top_and_bottom = superpixels(images, 8)
        for labels, one, other in (
            (left_and_right, left_and_right[:, :16], left_and_right[:, 16:]),
            (top_and_bottom, top_and_bottom[:12], top_and_bottom[12:]),
        ):
            assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
            assert 2 <= len(labels.unique()) <= 16
            assert not set(one.unique().tolist()) & set(other.unique().tolist())

    def test_normalisation_does_not_matter_and_images_are_alone(self) -> None:
        images = pictures(2, (32, 32))
        regions = superpixels(images, 12)
        assert torch.equal(superpixels(3 * images - 1, 12), regions)
        assert torch.equal(superpixels(images[1:], 12)[0], regions[1])

    def test_plain_images_and_other_channels(self) -> None:
        assert len(superpixels(torch.zeros(1, 3, 16, 16), 4).unique()) > 1
        assert superpixels(pictures(2, (16, 16))[:, :1], 4).shape == (2, 16, 16)
