"""captum's methods: what they compute, where they are refused and why, and that they leave no traces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
from tests.reference import captum as slow

CAPTUM = [method for method in METHODS if method.family == "captum"]
LAYER = [method for method in CAPTUM if method.scope == "layer"]
ON_INPUT = [method for method in CAPTUM if method.scope == "input"]
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


class ConvNet(nn.Module):
    """Two convolutions with BatchNorm and ReLU, max-pooling with a skip connection around it, and a head."""

    def __init__(self, *, inplace: bool = False, activation: Callable[[], nn.Module] | None = None) -> None:
        super().__init__()
        made = activation or (lambda: nn.ReLU(inplace=inplace))
        self.conv1, self.norm1, self.relu1 = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), made()
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.norm2, self.relu2 = nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6), made()
        self.up = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(11, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.relu1(self.norm1(self.conv1(x)))
        coarse = self.relu2(self.norm2(self.conv2(self.pool(fine))))
        return self.head(torch.cat([fine, self.up(coarse)], 1))


class Reused(nn.Module):
    """One ReLU called twice, and one convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.same, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.same(self.relu(self.same(self.first(x))))))


class Functional(nn.Module):
    """One ReLU that is a module, and one that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.relu(self.conv(x)) - 0.1))


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

    def __init__(self, *, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        first, second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        super().__init__(first, activation(), second, activation(), nn.Conv2d(4, 3, 1))


def made(build: Callable[[], nn.Module], seed: int = 3) -> nn.Module:
    """A network in float64 with fixed random weights and norms that have seen something."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build().double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.normal_(module.bias, 0, 0.3)
    return model.train()


def pictures(batch: int = 3, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    """Smooth random images, each of its own."""
    found = []
    for i in range(batch):
        generator = torch.Generator().manual_seed(100 * seed + i)
        coarse = torch.randn(1, 3, size[0] // 4, size[1] // 4, generator=generator, dtype=torch.float64)
        fine = torch.randn(1, 3, *size, generator=generator, dtype=torch.float64)
        found.append(1.5 * nn.functional.interpolate(coarse, size=size, mode="bilinear") + 0.3 * fine)
    return torch.cat(found)


def scenery(images: Tensor, first: int = 0, seed: int = 0) -> Scenery:
    """What goes with images: names by their order."""
    mask = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    names = tuple(f"image-{first + i}" for i in range(len(images)))
    return Scenery(images.mean(1), mask, ~mask, names, seed)


@contextmanager
def subject_of(
    model: nn.Module,
    images: Tensor,
    layers: list[Layer] | list[str],
    target: Target = PREDICTED,
    *,
    first: int = 0,
    named: bool = True,
    channels_last: bool = False,
) -> Iterator[Subject]:
    probe = Probe(model, layers, channels_last=channels_last)
    capture = probe(images, target)
    with examining(probe, images, capture, scenery(images, first) if named else None) as subject:
        yield subject


def small(method: Method) -> Method:
    return method.configured(SMALL.get(method.name, {}))


def run(method: Method | str, subject: Subject, layer: str = "") -> Tensor:
    chosen = METHODS.get(method) if isinstance(method, str) else method
    if chosen.scope == "input":
        return chosen.run(subject, INPUT)
    return chosen.run(subject, next(one for one in subject.capture.layers if one.label == layer))


def why(method: Method | str, subject: Subject, layer: str = "") -> str:
    with pytest.raises(NotApplicableError) as caught:
        run(method, subject, layer)
    return str(caught.value)


def score_of(subject: Subject, index: int) -> slow.Score:
    """The score of one image of the batch, at its own pixels."""
    chosen, class_ids = subject.extra
    return lambda image: subject.objective(image, chosen[index : index + 1], class_ids[index : index + 1])


def same(found: Tensor, twins: list[np.ndarray], tolerance: float = 1e-6) -> None:
    expected = torch.from_numpy(np.stack(twins))
    assert torch.allclose(found.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def ids(method: Method) -> str:
    return method.name


def test_all_are_there() -> None:
    assert len(LAYER) == 7
    assert len(ON_INPUT) == 12
    assert all(method.run is not None and method.cost >= 1 and method.each == _each(method) for method in CAPTUM)
    unsigned = {"captum_layer_grad_cam", "captum_saliency", "captum_smooth_grad"}
    assert {method.name for method in CAPTUM if not method.signed} == unsigned
    gradient_free = {
        "captum_layer_activation",
        "captum_occlusion",
        "captum_feature_ablation",
        "captum_kernel_shap",
    }
    assert {method.name for method in CAPTUM if not method.needs_gradients} == gradient_free


def _each(method: Method) -> str:
    return "layer" if method.scope == "layer" else "target"


class TestFormulas:
    """On float64 networks against twins, and against segcam."""

    LAYERS = ("conv1", "relu1", "conv2", "norm2")

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of(made(ConvNet), pictures(), list(self.LAYERS)) as subject:
            assert (subject.capture.target_pixels > 1).all()
            yield subject

    @pytest.mark.parametrize("layer", LAYERS)
    def test_layer_grad_cam_is_grad_cam(self, subject: Subject, layer: str) -> None:
        found = run("captum_layer_grad_cam", subject, layer)
        assert torch.allclose(found, subject.capture.maps(grad_cam, layer), atol=1e-12)
        assert (found > 0).any()

    @pytest.mark.parametrize("layer", LAYERS)
    def test_gradient_x_activation_is_the_captured_product(self, subject: Subject, layer: str) -> None:
        product = subject.capture.activations[layer] * subject.capture.gradients[layer]
        found = run("captum_layer_gradient_x_activation", subject, layer)
        assert torch.allclose(found, product.sum(1), atol=1e-12)
        assert (found < 0).any()

    @pytest.mark.parametrize("layer", LAYERS)
    def test_layer_activation(self, subject: Subject, layer: str) -> None:
        assert torch.allclose(
            run("captum_layer_activation", subject, layer), subject.capture.activations[layer].sum(1), atol=1e-12
        )

    @pytest.mark.parametrize("layer", LAYERS)
    @pytest.mark.parametrize(
        ("name", "twin"),
        [
            ("captum_layer_integrated_gradients", slow.layer_integrated_gradients),
            ("captum_layer_conductance", slow.conductance),
            ("captum_internal_influence", slow.internal_influence),
        ],
    )
    def test_paths_of_layers(self, subject: Subject, layer: str, name: str, twin: Callable[..., np.ndarray]) -> None:
        method = METHODS.get(name).configured({"n_steps": 5})
        module = subject.model.get_submodule(layer)
        twins = [twin(score_of(subject, i), module, subject.images[i : i + 1], 5) for i in range(3)]
        same(run(method, subject, layer), twins)

    def test_long_paths_in_several_parts(self, subject: Subject) -> None:
        steps = IMAGES_AT_ONCE + 9
        method = METHODS.get("captum_layer_conductance").configured({"n_steps": steps})
        twin = slow.conductance(score_of(subject, 1), subject.model.get_submodule("conv2"), subject.images[1:2], steps)
        same(run(method, subject, "conv2")[1:2], [twin])

    def test_saliency_and_input_x_gradient(self, subject: Subject) -> None:
        slopes = torch.stack([slow.gradient(score_of(subject, i), subject.images[i : i + 1]) for i in range(3)])
        assert torch.allclose(run("captum_saliency", subject), slopes.abs().amax(1), atol=1e-12)
        expected = (slopes * subject.images).sum(1)
        assert torch.allclose(run("captum_input_x_gradient", subject), expected, atol=1e-12)

    def test_integrated_gradients(self, subject: Subject) -> None:
        method = METHODS.get("captum_integrated_gradients").configured({"n_steps": 6})
        twins = [slow.integrated_gradients(score_of(subject, i), subject.images[i : i + 1], 6) for i in range(3)]
        same(run(method, subject), twins)

    def test_smooth_grad(self, subject: Subject) -> None:
        method = METHODS.get("captum_smooth_grad").configured({"samples": 4, "noise": 0.2})
        twins = []
        for i in range(3):
            image = subject.images[i : i + 1]
            deviation = 0.2 * float(image.max() - image.min())
            with torch.random.fork_rng([]):
                torch.manual_seed(stream_seed(0, f"image-{i}") % 2**63)
                noises = torch.normal(0, torch.full((4, 3, *SIZE), deviation))
            twins.append(slow.smooth_grad(score_of(subject, i), image, noises))
        same(run(method, subject), twins)

    @pytest.mark.parametrize("windows", [4, 5])
    def test_occlusion(self, subject: Subject, windows: int) -> None:
        method = METHODS.get("captum_occlusion").configured({"windows": windows})
        stride = tuple(math.ceil(side / windows) for side in SIZE)
        window = (2 * stride[0], 2 * stride[1])
        twins = [slow.occlusion(score_of(subject, i), subject.images[i : i + 1], window, stride) for i in range(3)]
        same(run(method, subject), twins)

    def test_feature_ablation(self, subject: Subject) -> None:
        method = METHODS.get("captum_feature_ablation").configured({"segments": 8})
        regions = superpixels(subject.images, 8).numpy()
        assert len({len(np.unique(one)) for one in regions}) >= 1
        twins = [slow.feature_ablation(score_of(subject, i), subject.images[i : i + 1], regions[i]) for i in range(3)]
        same(run(method, subject), twins)

    def test_kernel_shap_tends_to_shapley_values(self, subject: Subject) -> None:
        method = METHODS.get("captum_kernel_shap").configured({"segments": 4, "samples": 1500})
        regions = superpixels(subject.images, 4).numpy()
        twins = [slow.shapley(score_of(subject, i), subject.images[i : i + 1], regions[i]) for i in range(3)]
        same(run(method, subject), twins, tolerance=0.05)

    @pytest.mark.parametrize("guided", [True, False])
    def test_guided_backprop_and_deconvolution(self, subject: Subject, guided: bool) -> None:
        ruled = made(lambda: ConvNet(activation=lambda: slow.RuledReLU(guided=guided))).eval()
        ruled.load_state_dict(subject.model.state_dict())
        chosen, class_ids = subject.extra
        twins = []
        for i in range(3):

            def score(image: Tensor, i: int = i) -> Tensor:
                logits = ruled(image)
                return subject.target.score_again(logits, SIZE, chosen[i : i + 1], class_ids[i : i + 1])

            twins.append(slow.gradient(score, subject.images[i : i + 1]).sum(0).numpy())
        name = "captum_guided_backprop" if guided else "captum_deconvolution"
        same(run(name, subject), twins, 1e-12)

    def test_guided_grad_cam_is_the_product(self, subject: Subject) -> None:
        guided = run("captum_guided_backprop", subject)
        for of, layer in (("", "norm2"), ("relu1", "relu1")):
            cam = subject.capture.maps(grad_cam, layer)[:, None]
            large = nn.functional.interpolate(cam, size=SIZE, mode="bilinear", align_corners=False)[:, 0]
            found = run(METHODS.get("captum_guided_grad_cam").configured({"of": of}), subject)
            assert torch.allclose(found, guided * large, atol=1e-12)

    def test_guided_grad_cam_of_an_unknown_layer(self, subject: Subject) -> None:
        with pytest.raises(InputError, match="no layer 'conv9' was probed: there are conv1"):
            run(METHODS.get("captum_guided_grad_cam").configured({"of": "conv9"}), subject)

    def test_deep_lift_of_a_pixels_own_network(self) -> None:
        def build() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))

        model = made(build, seed=0)
        images = pictures(2)
        with subject_of(model, images, ["0"], Target()) as subject:
            found = run("captum_deep_lift", subject)
        layers = [m for m in model if isinstance(m, nn.Conv2d)]
        weights = [(m.weight.detach()[:, :, 0, 0].numpy(), m.bias.detach().numpy()) for m in layers]
        weights[-1] = (weights[-1][0][1:], weights[-1][1][1:])  # class 1 alone
        for i in range(2):
            ((row, column),) = subject.capture.explained.chosen[i].nonzero().tolist()
            twin = slow.deep_lift(weights, images[i, :, row, column].numpy()).sum()
            assert found[i, row, column] == pytest.approx(twin, rel=1e-9)
            assert (found[i] != 0).sum() == 1


class TestAddingUp:
    """Attributions add up to the change of the score."""

    @pytest.mark.parametrize("target", [Target(), PREDICTED, Target.parse("best_pixel@output")])
    def test_integrated_gradients(self, target: Target) -> None:
        method = METHODS.get("captum_integrated_gradients").configured({"n_steps": 400})
        with subject_of(made(ConvNet), pictures(), ["conv1"], target) as subject:
            difference = self.change(subject)
            assert torch.allclose(
                run(method, subject).sum((1, 2)), difference, atol=2e-2 * float(difference.abs().max())
            )

    def test_integrated_gradients_of_a_layer_that_nothing_bypasses(self) -> None:
        method = METHODS.get("captum_layer_integrated_gradients").configured({"n_steps": 400})
        with subject_of(made(Chain), pictures(), ["0", "2", "3"]) as subject:
            difference = self.change(subject)
            for layer in ("0", "2", "3"):
                found = run(method, subject, layer).sum((1, 2))
                assert torch.allclose(found, difference, atol=1e-2 * float(difference.abs().max()))

    @pytest.mark.parametrize("build", [ConvNet, lambda: ConvNet(inplace=True), lambda: create("unet", 2, {"width": 4})])
    def test_deep_lift(self, build: Callable[[], nn.Module]) -> None:
        images = pictures(3, (32, 48))
        with subject_of(made(build), images, find_layers(made(build), "*conv1*", nn.Conv2d)[:1]) as subject:
            assert torch.allclose(run("captum_deep_lift", subject).sum((1, 2)), self.change(subject), atol=1e-9)

    @pytest.mark.parametrize("activation", [nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus])
    def test_deep_lift_with_other_activations(self, activation: type[nn.Module]) -> None:
        with subject_of(made(lambda: ConvNet(activation=activation)), pictures(), ["conv1"]) as subject:
            assert torch.allclose(run("captum_deep_lift", subject).sum((1, 2)), self.change(subject), atol=1e-9)

    def test_deep_lift_of_a_layer_that_nothing_bypasses(self) -> None:
        with subject_of(made(Chain), pictures(), ["0", "1", "2", "3"]) as subject:
            for layer in "0123":
                found = run("captum_layer_deep_lift", subject, layer).sum((1, 2))
                assert torch.allclose(found, self.change(subject), atol=1e-9)

    def test_kernel_shap(self) -> None:
        with subject_of(made(ConvNet), pictures(), ["conv1"]) as subject:
            method = METHODS.get("captum_kernel_shap").configured({"segments": 6, "samples": 60})
            found, regions = run(method, subject), superpixels(subject.images, 6)
            sums = [sum(float(f[r == k].mean()) for k in r.unique()) for f, r in zip(found, regions, strict=True)]
            assert sums == pytest.approx(self.change(subject).tolist(), rel=1e-3)

    def test_gradient_shap_on_average(self) -> None:
        method = METHODS.get("captum_gradient_shap").configured({"samples": 3000})
        with subject_of(made(Chain), pictures(1), ["0"]) as subject:
            noise = torch.randn(400, 3, *SIZE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
            chosen, class_ids = subject.extra
            of_noise = subject.objective(noise, chosen.expand(400, -1, -1), class_ids.expand(400)).mean()
            expected = float(subject.capture.scores[0] - of_noise)
            assert float(run(method, subject).sum()) == pytest.approx(expected, rel=0.1)

    def test_all_are_gradient_x_input_where_the_network_is_linear(self) -> None:
        model = made(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 3, 3, padding=1)))
        with subject_of(model, pictures(), ["0"]) as subject:
            expected = run("captum_input_x_gradient", subject)
            for name in ("captum_integrated_gradients", "captum_deep_lift"):
                assert torch.allclose(run(name, subject), expected, atol=1e-6)
            of_layer = run("captum_layer_gradient_x_activation", subject, "0")
            for name in ("captum_layer_integrated_gradients", "captum_layer_deep_lift"):
                assert torch.allclose(run(name, subject, "0"), of_layer, atol=1e-6)
            regions = superpixels(subject.images, 6)
            for name, parameters in (("feature_ablation", {}), ("kernel_shap", {"samples": 40})):
                method = METHODS.get(f"captum_{name}").configured({"segments": 6, **parameters})
                for f, r, e in zip(run(method, subject), regions, expected, strict=True):
                    for k in r.unique():
                        assert float(f[r == k].mean()) == pytest.approx(float(e[r == k].sum()), rel=1e-3, abs=1e-5)

    @staticmethod
    def change(subject: Subject) -> Tensor:
        return subject.capture.scores - subject.objective(torch.zeros_like(subject.images), *subject.extra)


class TestRefusals:
    """Where captum would be wrong without a word, or fails, there is a reason and no map."""

    def test_modules_that_run_twice(self) -> None:
        with subject_of(made(Reused), pictures(), [Layer("same", "second", call=1), "first"]) as subject:
            for method in LAYER:
                assert why(method, subject, "second") == "the module runs more than once in a forward pass"
            twice = Layer("same", "same")  # not one that the probe would take
            for method in LAYER:
                with pytest.raises(NotApplicableError, match="the module runs 2 times in a forward pass"):
                    method.run(subject, twice)
            assert "module 'relu' runs 2 times in a forward pass" in why("captum_deep_lift", subject)
            assert "module 'relu' runs 2 times in a forward pass" in why("captum_layer_deep_lift", subject, "first")
            assert "captum's Deconvolution remembers" in why("captum_deconvolution", subject)

    def test_deep_lift_behind_the_last_call_of_a_module_that_runs_twice(self) -> None:
        class Twice(Reused):
            def forward(self, x: Tensor) -> Tensor:
                return self.head(self.same(self.relu(self.relu(self.first(x)))))

        with subject_of(made(Twice), pictures(), ["same", "head"]) as subject:
            assert torch.isfinite(run("captum_layer_deep_lift", subject, "same")).all()
            assert "runs 2 times" in why("captum_deep_lift", subject)

    def test_guided_backprop_of_a_relu_that_runs_twice(self) -> None:
        model = made(Reused)
        with subject_of(model, pictures(), ["first"]) as subject:
            found = run("captum_guided_backprop", subject)
            model.relu = slow.RuledReLU(guided=True)
            twins = [slow.gradient(score_of(subject, i), subject.images[i : i + 1]).sum(0).numpy() for i in range(3)]
            same(found, twins, 1e-12)

    def test_tokens_and_channels_last(self) -> None:
        with subject_of(
            made(Tokens), pictures(), ["patch", "norm", "mix", Layer("last", "last", form="NHWC")]
        ) as subject:
            for layer in ("norm", "mix", "last"):
                assert "averages gradients over all dimensions but the first two" in why(
                    "captum_layer_grad_cam", subject, layer
                )
                for method in LAYER:
                    if method.name not in ("captum_layer_grad_cam", "captum_layer_deep_lift"):
                        assert run(method, subject, layer).shape == (3, 3, 4)
                product = subject.capture.activations[layer] * subject.capture.gradients[layer]
                found = run("captum_layer_gradient_x_activation", subject, layer)
                assert torch.allclose(found, product.sum(1), atol=1e-12)
            found = run("captum_layer_grad_cam", subject, "patch")
            assert torch.allclose(found, subject.capture.maps(grad_cam, "patch"), atol=1e-12)
            assert torch.isfinite(run("captum_layer_deep_lift", subject, "last")).all()
            assert why("captum_layer_deep_lift", subject, "mix") == (
                "captum's DeepLift has no rule for Gelu: plain gradients would pass there, and attributions not add up"
            )
            assert "no rule for Gelu, LayerNorm:" in why("captum_deep_lift", subject)

    def test_networks_without_relu(self) -> None:
        with subject_of(
            made(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))), pictures(), ["0"]
        ) as subject:
            for name in ("captum_guided_backprop", "captum_deconvolution", "captum_guided_grad_cam"):
                assert "nn.ReLU modules alone, and here there is none: the plain gradient" in why(name, subject)

    @pytest.mark.parametrize(
        ("activation", "reason"),
        [(nn.GELU, "Gelu"), (nn.ReLU6, "Hardtanh (ReLU6)"), (nn.SiLU, "Silu"), (nn.PReLU, "PreluKernel (PReLU)")],
    )
    def test_networks_of_other_activations(self, activation: type[nn.Module], reason: str) -> None:
        with subject_of(made(lambda: ConvNet(activation=activation)), pictures(), ["conv1"]) as subject:
            for name in ("captum_guided_backprop", "captum_deconvolution", "captum_guided_grad_cam"):
                assert f"activations are also {reason}:" in why(name, subject)
            assert f"no rule for {reason}:" in why("captum_deep_lift", subject)

    def test_relu_as_a_function(self) -> None:
        with subject_of(made(Functional), pictures(), ["conv"]) as subject:
            for name in ("captum_guided_backprop", "captum_deconvolution", "captum_deep_lift"):
                assert "Relu (function)" in why(name, subject)

    def test_overlapping_max_pooling(self) -> None:
        def build() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 2, 1))

        with subject_of(made(build), pictures(), ["0", "2"]) as subject:
            assert "windows of max-pooling '2' overlap" in why("captum_deep_lift", subject)
            assert "windows of max-pooling '2' overlap" in why("captum_layer_deep_lift", subject, "0")
            assert torch.isfinite(run("captum_layer_deep_lift", subject, "2")).all()

    def test_norms_by_the_images_own_statistics(self) -> None:
        for norm in (nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False)):
            with subject_of(
                made(lambda n=norm: nn.Sequential(nn.Conv2d(3, 4, 1), n, nn.Conv2d(4, 2, 1))), pictures(), ["0"]
            ) as subject:
                assert "no rule for" in why("captum_deep_lift", subject)

    @pytest.mark.parametrize(("score", "classes"), [(s, n) for s in sorted(SCORES) for n in (2, 4) if s != "contrast"])
    def test_scores_that_are_not_linear(self, score: str, classes: int) -> None:
        target = Target(1, "predicted", score)
        with subject_of(made(lambda: nn.Sequential(nn.Conv2d(3, classes, 1))), pictures(), ["0"], target) as subject:
            baseline = subject.objective(torch.zeros_like(subject.images), *subject.extra)
            if score == "logit" or (score in ("margin", "rival") and classes == 2):
                found = run("captum_deep_lift", subject).sum((1, 2))
                assert torch.allclose(found, subject.capture.scores - baseline, atol=1e-9)
            else:
                assert f"the score '{score}' is not linear in the logits" in why("captum_deep_lift", subject)

    def test_failures_become_reasons(self) -> None:
        class Refuses(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.relu = nn.Conv2d(3, 2, 1), nn.ReLU()

            def forward(self, x: Tensor) -> Tensor:
                if not torch.equal(x[:1], images[:1]):
                    raise IndexError("only this image\nand no other")
                return self.relu(self.conv(x))

        images = pictures()
        with subject_of(made(Refuses), images, ["conv"]) as subject:
            for name in ("captum_integrated_gradients", "captum_occlusion", "captum_kernel_shap", "captum_smooth_grad"):
                tool = "NoiseTunnel(Saliency)" if "smooth" in name else METHODS.get(name).label.split()[0]
                assert why(name, subject) == f"captum {tool}: only this image"
            assert why("captum_layer_conductance", subject, "conv") == "captum LayerConductance: only this image"
            assert torch.isfinite(run("captum_input_x_gradient", subject)).all()

    @pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, torch.OutOfMemoryError])
    def test_what_is_no_property_of_the_method_is_raised(self, error: type[BaseException]) -> None:
        model = made(Chain)
        with subject_of(model, pictures(), ["0"]) as subject:
            run("captum_layer_activation", subject, "0")  # reads the structure

            def stop(*_: object) -> None:
                raise error("too much")

            handle = model[1].register_forward_hook(stop)
            for method in (METHODS.get("captum_saliency"), METHODS.get("captum_layer_deep_lift")):
                with pytest.raises(error, match="too much"):
                    run(method, subject, "0")
            handle.remove()
            assert traces(model) == 0

    def test_layers_written_into_by_a_function(self) -> None:
        class Writes(Chain):
            def forward(self, x: Tensor) -> Tensor:
                return self[4](self[2](self[0](x).relu_()).relu_())

        with subject_of(made(Writes), pictures(), ["0", "2"]) as subject:
            assert "captum LayerIntegratedGradients: " in why("captum_layer_integrated_gradients", subject, "0")
            found = run("captum_layer_grad_cam", subject, "0")
            assert torch.allclose(found, subject.capture.maps(grad_cam, "0"), atol=1e-12)

    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("captum_integrated_gradients", {"n_steps": 0}, "n_steps is 0: it must be positive"),
            ("captum_layer_conductance", {"n_steps": -1}, "n_steps is -1: it must be positive"),
            ("captum_smooth_grad", {"samples": 0}, "samples is 0: it must be positive"),
            ("captum_smooth_grad", {"noise": 0.0}, "noise is 0.0: it must be positive"),
            ("captum_gradient_shap", {"samples": 0}, "samples is 0: it must be positive"),
            ("captum_occlusion", {"windows": 1}, "windows is 1: a window covers two steps"),
            ("captum_feature_ablation", {"segments": 1}, "divided into 1 superpixels: ask for 2 or more"),
            ("captum_kernel_shap", {"samples": 1}, "samples is 1"),
        ],
    )
    def test_parameters(self, name: str, parameters: dict[str, int], message: str) -> None:
        with subject_of(made(Chain), pictures(), ["0"]) as subject, pytest.raises(InputError, match=message) as caught:
            run(METHODS.get(name).configured(parameters), subject, "0")
        assert not isinstance(caught.value, NotApplicableError)


def traces(model: nn.Module) -> int:
    """Hooks and notes on a network."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = sum(len(getattr(module, name)) for module in model.modules() for name in names)
    return hooks + sum(name in vars(module) for module in model.modules() for name in ("input", "output", "input_ref"))


@pytest.mark.parametrize("method", CAPTUM, ids=ids)
class TestEveryMethod:
    def test_no_traces(self, method: Method) -> None:
        model, images = made(ConvNet), pictures()
        model.conv2.weight.grad = torch.ones_like(model.conv2.weight)
        model.norm1.bias.requires_grad_(False)
        kept = model.relu1.register_forward_hook(lambda *_: None)
        wanted = [p.requires_grad for p in model.parameters()]
        before, weights = images.clone(), {name: value.clone() for name, value in model.state_dict().items()}
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        with subject_of(model, images, ["conv1", "conv2"]) as subject:
            run(small(method), subject, "conv2")
            assert traces(model) == 1
            assert not subject.images.requires_grad
        assert traces(model) == 1
        kept.remove()
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
        assert torch.equal(images, before)
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
        assert [p.requires_grad for p in model.parameters()] == wanted
        assert [p.grad is None for p in model.parameters()] == [p is not model.conv2.weight for p in model.parameters()]
        assert all(module.training for module in model.modules())

    def test_no_traces_after_a_failure(self, method: Method) -> None:
        class Fails(torch.autograd.Function):
            @staticmethod
            def forward(ctx: object, x: Tensor) -> Tensor:
                if broken and not method.needs_gradients:
                    raise RuntimeError("forward is broken")
                return x.clone()

            @staticmethod
            def backward(ctx: object, given: Tensor) -> Tensor:
                if broken:
                    raise RuntimeError("backward is broken")
                return given

        class Net(ConvNet):
            def forward(self, x: Tensor) -> Tensor:
                return Fails.apply(super().forward(x)) if broken else super().forward(x)

        broken = False
        model = made(Net)
        with subject_of(model, pictures(), ["conv1", "conv2"]) as subject:
            run(small(method), subject, "conv2")
            broken = True
            assert "is broken" in why(small(method), subject, "conv2")
            assert traces(model) == 0
            broken = False
            first = run(small(method), subject, "conv2")
            assert torch.equal(run(small(method), subject, "conv2"), first)

    def test_samples_do_not_mix(self, method: Method) -> None:
        images = pictures()
        target = Target((1, 2, 1), "predicted")
        with subject_of(made(ConvNet), images, ["conv1", "conv2"], target) as subject:
            together = run(small(method), subject, "conv1")
        assert torch.isfinite(together).all()
        for i in range(3):
            one = Target(target.class_id[i], "predicted")
            with subject_of(made(ConvNet), images[i : i + 1], ["conv1", "conv2"], one, first=i) as subject:
                alone = run(small(method), subject, "conv1")
            assert torch.allclose(together[i : i + 1], alone, rtol=1e-5, atol=1e-7 * float(alone.abs().max()))
            assert not torch.allclose(together[i], together[i - 1])

    def test_without_names_the_image_is_its_stream(self, method: Method) -> None:
        images = pictures()
        with subject_of(made(ConvNet), images, ["conv1", "conv2"], named=False) as subject:
            first = run(small(method), subject, "conv1")
        with subject_of(made(ConvNet), images.flip(0), ["conv1", "conv2"], named=False) as subject:
            assert torch.allclose(run(small(method), subject, "conv1").flip(0), first, rtol=1e-5, atol=1e-9)

    @pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
    @pytest.mark.parametrize("net", [ConvNet, Chain])
    def test_in_place_modules(self, method: Method, net: type[nn.Module], activation: type[nn.Module]) -> None:
        places = ["conv1", "norm1", "relu1", "conv2"] if net is ConvNet else ["0", "1", "2"]
        found = []
        for inplace in (False, True):

            def made_in_place(inplace: bool = inplace) -> nn.Module:
                return activation(inplace=inplace)

            model = made(lambda made_in_place=made_in_place: net(activation=made_in_place))
            with subject_of(model, pictures(), places) as subject:
                if activation is nn.SiLU and (
                    "deep_lift" in method.name or "guided" in method.name or "deconv" in method.name
                ):
                    assert "Silu" in why(method, subject, places[0])
                else:
                    found.append(torch.stack([run(small(method), subject, layer) for layer in places[:3]]))
        assert all(torch.allclose(found[0], one, rtol=0, atol=1e-12) for one in found)

    def test_repeatable_whatever_the_global_generators(self, method: Method) -> None:
        found = []
        for seed in (1, 2):
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                kept = np.random.get_state()  # noqa: NPY002
                np.random.seed(seed)  # noqa: NPY002
                with subject_of(made(ConvNet), pictures(), ["conv1", "conv2"]) as subject:
                    found.append(run(small(method), subject, "conv1"))
                np.random.set_state(kept)  # noqa: NPY002
        assert torch.equal(found[0], found[1])

    def test_layers_that_pass_their_input_on(self, method: Method) -> None:
        class Passes(ConvNet):
            def __init__(self) -> None:
                super().__init__()
                self.drop = nn.Dropout(0.5)

            def forward(self, x: Tensor) -> Tensor:
                fine = self.relu1(self.norm1(self.conv1(x)))
                coarse = self.relu2(self.norm2(self.conv2(self.pool(self.drop(fine)))))
                return self.head(torch.cat([fine, self.up(coarse)], 1))

        class Copies(Passes):
            def __init__(self) -> None:
                super().__init__()
                self.drop = nn.ReLU()  # changes nothing behind a ReLU, and gives a tensor of its own

        found = []
        for net in (Passes, Copies):
            with subject_of(made(net), pictures(), ["drop"]) as subject:
                if method.scope == "layer":
                    found.append(run(small(method), subject, "drop"))
        assert all(torch.allclose(one, found[0], atol=1e-12) for one in found)

    def test_empty_sets_are_undefined(self, method: Method) -> None:
        target = Target((1, 0, 1), "predicted")
        model = made(Chain)
        model[4].bias.data = torch.tensor([0.0, 50.0, 0.0], dtype=torch.float64)  # nothing is predicted as class 0
        with subject_of(model, pictures(), ["0", "2"], target) as subject:
            found = run(small(method), subject, "2")
        assert found.isnan().flatten(1).all(1).tolist() == [False, True, False]
        assert found.isnan().flatten(1).any(1).tolist() == [False, True, False]

    def test_channels_last_float32_and_odd_sizes(self, method: Method) -> None:
        images = pictures(3, (20, 36)).float()
        model = made(ConvNet).float()
        found = []
        for channels_last in (False, True):
            with subject_of(model, images, ["conv1", "conv2"], channels_last=channels_last) as subject:
                found.append(run(small(method), subject, "conv2"))
        size = (10, 18) if method.scope == "layer" else (20, 36)
        assert found[0].shape == (3, *size)
        assert found[0].dtype == torch.float32
        assert torch.allclose(found[0], found[1], rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))

    def test_passes_are_as_declared(self, method: Method) -> None:
        counted = 0

        def count(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            nonlocal counted
            counted += len(inputs[0])

        model, images = made(ConvNet), pictures(2, (16, 32))
        with subject_of(model, images, ["conv1", "conv2"]) as subject:
            run("captum_layer_activation", subject, "conv1")  # reads the structure
            chosen = small(method)
            if method.name == "captum_feature_ablation":
                chosen = method.configured({"segments": len(superpixels(images, 6).unique())})
                subject.once(f"superpixels {chosen.parameters['segments']}", lambda: superpixels(images, 6))
            handle = model.conv1.register_forward_pre_hook(count)
            run(chosen, subject, "conv2")
            handle.remove()
        assert counted == chosen.cost * 2


class TestTraps:
    """captum alone goes wrong where segcam's methods do not."""

    @pytest.mark.parametrize("build", [ConvNet, lambda: create("unet", 2, {"width": 4})])
    def test_captums_deep_lift_loses_what_bypasses_max_pooling(self, build: Callable[[], nn.Module]) -> None:
        from captum.attr import DeepLift

        images = pictures(3, (32, 48))
        baseline = images.flip(3)
        with subject_of(made(build), images, find_layers(made(build), "*conv1*", nn.Conv2d)[:1]) as subject:
            change = subject.capture.scores - subject.objective(baseline, *subject.extra)

            def error() -> Tensor:
                with pytest.warns(UserWarning, match="Setting forward, backward hooks"):
                    found = DeepLift(subject.objective).attribute(
                        images.clone().requires_grad_(), baseline, additional_forward_args=subject.extra
                    )
                return ((found.sum((1, 2, 3)) - change) / change).abs()

            assert (error() > 0.01).all()
            with separated(subject.objective):
                assert (error() < 1e-9).all()

    def test_captums_grad_cam_of_tokens_is_one_row_of_channels(self) -> None:
        from captum.attr import LayerGradCam

        with subject_of(made(Tokens), pictures(), ["norm"]) as subject:
            images = subject.images.clone().requires_grad_()
            tool = LayerGradCam(subject.objective, subject.model.get_submodule("norm"))
            assert tool.attribute(images, additional_forward_args=subject.extra).shape == (3, 1, 6)
            why("captum_layer_grad_cam", subject, "norm")

    def test_captums_softmax_rule_mixes_images(self) -> None:
        from captum.attr import DeepLift

        def build() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax(1), nn.Conv2d(4, 2, 1))

        with subject_of(made(build), pictures(), ["0"]) as subject:

            def alone(rows: slice) -> Tensor:
                with pytest.warns(UserWarning, match="Setting forward, backward hooks"):
                    return DeepLift(subject.objective).attribute(
                        subject.images[rows].clone().requires_grad_(),
                        additional_forward_args=tuple(extra[rows] for extra in subject.extra),
                    )

            assert not torch.allclose(alone(slice(3))[:1], alone(slice(1)), rtol=1e-3)
            assert "no rule for Softmax" in why("captum_deep_lift", subject)


REAL = {"unet": {"width": 4}, "segformer": {}, "vit": {"encoder": "vit_tiny_patch16_224"}}


@pytest.mark.parametrize("name", sorted(REAL))
def test_on_the_networks_of_segcam(name: str) -> None:
    """Every method gives maps on its grid, or says why not."""
    model = create(name, 2, REAL[name])
    layers = MODELS.get(name).layers(model, "conv")
    some = [layers[0], layers[len(layers) // 2], layers[-1]]
    reasons: dict[str, list[str]] = {}
    images = pictures(2, (64, 96)).float()
    with subject_of(model, images, some, Target()) as subject:
        before = traces(model)
        for method in CAPTUM:
            for layer in some if method.scope == "layer" else [INPUT]:
                try:
                    found = small(method).run(subject, layer)
                except NotApplicableError as error:
                    reasons.setdefault(method.name, []).append(f"{layer.label}: {error}")
                    continue
                grid = images.shape[2:] if layer is INPUT else subject.capture.activations[layer.label].shape[2:]
                assert found.shape == (2, *grid)
                assert torch.isfinite(found).all()
                if method.name == "captum_layer_grad_cam":
                    assert torch.allclose(found, subject.capture.maps(grad_cam, layer), atol=1e-5)
        assert traces(model) == before
    if name == "unet":
        assert not reasons
        return
    guided = "nn.ReLU modules alone, and here activations are also Gelu"
    for method in ("captum_guided_backprop", "captum_deconvolution", "captum_guided_grad_cam"):
        assert guided in reasons.pop(method)[0]
    for method in ("captum_deep_lift", "captum_layer_deep_lift"):
        reason = reasons.pop(method)[0]
        assert "captum's DeepLift has no rule for" in reason
        assert "Gelu" in reason
        assert "LayerNorm" in reason
    assert all("which are not the positions of tokens" in reason for reason in reasons.pop("captum_layer_grad_cam"))
    assert not reasons


def test_what_is_pinned() -> None:
    assert (STEPS, RULE) == (16, "gausslegendre")
    assert METHODS.get("captum_integrated_gradients").cost == 16
    assert METHODS.get("captum_layer_integrated_gradients").cost == 18
    assert METHODS.get("captum_occlusion").cost == 226


class TestSuperpixels:
    def test_regions_of_colour(self) -> None:
        images = torch.zeros(2, 3, 24, 32)
        images[0, 0, :, :16], images[0, 1, :, 16:] = 1, 1
        images[1, 2, :12] = -3
        found = superpixels(images, 8)
        for labels, edge in ((found[0], found[0][:, :16].unique()), (found[1], found[1][:12].unique())):
            assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
            assert 2 <= len(labels.unique()) <= 16
            assert len(edge) < len(labels.unique())
        assert not set(found[0][:, :16].unique().tolist()) & set(found[0][:, 16:].unique().tolist())
        assert not set(found[1][:12].unique().tolist()) & set(found[1][12:].unique().tolist())

    def test_normalisation_does_not_matter_and_images_are_alone(self) -> None:
        images = pictures(2, (32, 32))
        found = superpixels(images, 12)
        assert torch.equal(superpixels(3 * images - 1, 12), found)
        assert torch.equal(superpixels(images[1:], 12)[0], found[1])

    def test_plain_images_and_other_channels(self) -> None:
        assert len(superpixels(torch.zeros(1, 3, 16, 16), 4).unique()) > 1
        assert superpixels(pictures(2, (16, 16))[:, :1], 4).shape == (2, 16, 16)
