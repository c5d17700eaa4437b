"""Score-CAM, Ablation-CAM and CAM: against slow twins, on every kind of layer, and where they are not defined."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe
from segcam.errors import InputError, NotApplicableError, ProbeError
from segcam.methods import METHODS
from segcam.methods import ablation_cam as ablation
from segcam.methods import score_cam as score
from segcam.methods.cam import cam
from segcam.methods.material import channels, passes
from segcam.methods.material.subject import Subject, examining
from segcam.models import MODELS, create
from tests.reference import gradient_free as slow
from tests.small_networks import (
    IMAGES,
    ChannelsLast,
    Collected,
    Convolutions,
    Skip,
    Tokens,
    Twice,
    close,
    seeded,
    subject_of,
    unchanged,
)

LAYERS = {
    "conv1": (Convolutions, Layer("conv1", "conv1")),
    "norm1, overwritten": (Convolutions, Layer("norm1", "norm1")),
    "conv2, strided": (Convolutions, Layer("conv2", "conv2")),
    "skip, overwritten": (Skip, Layer("conv", "conv")),
    "its own input, collected by a hook": (Collected, Layer("drop", "drop")),
    "tokens": (Tokens, Layer("norm", "norm", stride=4)),
    "NHWC": (ChannelsLast, Layer("norm", "norm", form="NHWC")),
}
TARGETS = ["best_pixel:logit", "predicted:margin", "best_pixel:margin@output"]
PERTURBATIONS = {"score_cam": score, "ablation_cam": ablation}


def one_score(subject: Subject, i: int, logits: Tensor) -> float:
    """The score of image i's pixels, from logits `(1, k, h, w)`."""
    pixels, class_ids = (values[i : i + 1] for values in subject.extra)
    return float(subject.target.score_again(logits, subject.capture.size, pixels, class_ids).detach())


def zeroed(output: Tensor, k: int, layer: Layer, cells: int) -> Tensor:
    """The output of one image with channel k of its cells set to zero."""
    changed = output.clone()
    at = (0, slice(output.shape[1] - cells, None), k) if output.ndim == 3 else (..., k) if layer.form else (0, k)
    changed[at] = 0
    return changed


def output_of(model: nn.Module, module: str, image: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    handle = model.get_submodule(module).register_forward_hook(lambda _m, _i, out: outputs.append(out.detach().clone()))
    model(image.clone())
    handle.remove()
    return outputs[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("budget", [0, 3])
def test_maps_equal_their_twins(name: str, target: str, budget: int) -> None:
    build, layer = LAYERS[name]
    model = seeded(build)
    rest = model.behind[layer.module]
    with subject_of(model, layer, target=target) as subject:
        of_score, of_ablation = score.score_cam(subject, layer, budget), ablation.ablation_cam(subject, layer, budget)
        defined = subject.capture.target_pixels.nonzero().flatten().tolist()
        assert defined
        for i in defined:
            image, activations = IMAGES[i : i + 1], subject.capture.activations[layer.label][i]
            output = output_of(model, layer.module, image)
            assert torch.allclose(rest(output, image), model(image.clone()), atol=1e-12)

            def masked(image: np.ndarray, i: int = i) -> float:
                return one_score(subject, i, model(torch.from_numpy(image)[None]))

            def ablated(k: int, i: int = i, output: Tensor = output, image: Tensor = image) -> float:
                cells = subject.capture.activations[layer.label][i, 0].numel()
                return one_score(subject, i, rest(zeroed(output, k, layer, cells), image))

            baseline = np.full(image[0].shape, -1.7)  # any: it cancels
            twin = slow.score_cam(activations.numpy(), image[0].numpy(), masked, baseline=baseline, budget=budget)
            assert close(of_score[i], twin)
            intact = one_score(subject, i, rest(output, image))
            assert close(of_ablation[i], slow.ablation_cam(activations.numpy(), intact, ablated, budget))


def test_the_twins_are_not_all_the_same() -> None:
    """The layers above tell a right hook from a wrong one: a network's ablated scores differ from its own."""
    for build, layer in LAYERS.values():
        with subject_of(seeded(build), layer) as subject:
            found = ablation.weights(subject, layer, 0)
            assert found.abs().amax(1).min() > 1e-3
            assert found.std(1).min() > 1e-3


@pytest.mark.parametrize("shift", [-20.0, 0.0, 20.0])
def test_a_negative_score_does_not_turn_ablation_weights_round(shift: float) -> None:
    """The paper's division by the score would: a bias, which no channel changes, decided what lights up."""
    model, layer = seeded(Convolutions), Layer("conv2", "conv2")
    with subject_of(model, layer) as subject:
        losses = ablation.weights(subject, layer, 0) * subject.capture.scores.abs()[:, None]
    with torch.no_grad():
        model.head.bias += shift
    with subject_of(model, layer) as subject:
        scores = subject.capture.scores[:, None]
        if shift:
            assert ((scores > 0) == (shift > 0)).all()
        found = ablation.weights(subject, layer, 0)
        assert torch.allclose(found * scores.abs(), losses, atol=1e-9)


def test_ablation_of_a_zero_score_is_blank() -> None:
    model, layer = seeded(Convolutions), Layer("conv2", "conv2")
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    with subject_of(model, layer) as subject:
        assert torch.equal(ablation.ablation_cam(subject, layer), torch.zeros(3, 4, 6).double())


class Summed(nn.Module):
    """An objective that sums over the pixels, in the place of their mean."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, images: Tensor, chosen: Tensor, class_ids: Tensor) -> Tensor:
        return self.objective(images, chosen, class_ids) * chosen.flatten(1).sum(1)


def test_a_sum_over_pixels_would_collapse_the_softmax_over_channels() -> None:
    """Measured by how many channels have a say: the exponential of the weights' entropy."""
    model = create("unet", 2, {"width": 8}, seed=0)
    layer = MODELS.get("unet").layers(model, "conv")[-1]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # so that class 1 is predicted in most pixels
        model.head.bias[1] += 0.5

    def voices(subject: Subject) -> Tensor:
        weights = score.weights(subject, layer, 0)
        assert torch.allclose(weights.sum(1), torch.ones(2))
        return torch.special.entr(weights).sum(1).exp()

    with subject_of(model, layer, images, "predicted") as subject:
        assert (subject.capture.target_pixels > 200).all()
        of_mean = voices(subject)
        of_sum = voices(replace(subject, objective=Summed(subject.objective)))
    assert (of_mean > 6).all()  # of 8
    assert (of_sum < 2).all()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_weights_off_the_budget_are_zero(name: str) -> None:
    model, layer = seeded(Convolutions), Layer("conv1", "conv1")
    with subject_of(model, layer) as subject:
        activations = subject.capture.activations["conv1"]
        few, all_of_them = (PERTURBATIONS[name].weights(subject, layer, n) for n in (2, 0))
        assert torch.equal(PERTURBATIONS[name].weights(subject, layer, 600), all_of_them)
    deviations = activations.flatten(2).std(2)
    for i in range(3):
        chosen = set(deviations[i].topk(2).indices.tolist())
        assert {k for k in range(6) if few[i, k]} == chosen
    assert (all_of_them != 0).all()
    if name == "ablation_cam":  # softmax runs over those chosen, so Score-CAM's change
        assert torch.equal(few[few != 0], all_of_them[few != 0])


def test_the_choice_of_channels() -> None:
    steps = torch.tensor([0.0, 1.0]).repeat(4)
    stack = torch.stack([steps, 5 + 2 * steps, 100 + 0 * steps, -2 * steps, 3 * steps]).view(1, 5, 2, 4)
    assert channels.choose(stack, 0).tolist() == [[4, 1, 3, 0, 2]]  # of equals the first
    assert channels.choose(stack, 2).tolist() == [[4, 1]]
    assert channels.choose(stack, 9).tolist() == [[4, 1, 3, 0, 2]]
    with pytest.raises(InputError, match="the budget is -1 channels: it must be 1 or more, or 0 for all"):
        channels.choose(stack, -1)


def test_a_budget_is_a_parameter() -> None:
    layer = Layer("conv1", "conv1")
    with subject_of(seeded(Convolutions), layer) as subject:
        for name, family in PERTURBATIONS.items():
            method = METHODS.get(name).configured({"channels": 2})
            assert method.cost == 2
            assert METHODS.get(name).cost == 32
            assert METHODS.get(name).configured({"channels": 0}).cost == channels.WIDEST
            assert torch.equal(method.run(subject, layer), getattr(family, name)(subject, layer, 2))
            assert not torch.equal(method.run(subject, layer), METHODS.get(name).run(subject, layer))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_constant_channels(name: str) -> None:
    """Dead ones (0) and living ones (7): no NaN, and for Score-CAM no weight; where all are, the map is blank."""
    model, layer = seeded(Convolutions), Layer("conv1", "conv1")
    with torch.no_grad():
        model.conv1.weight[:2] = 0
        model.conv1.bias[:2] = torch.tensor([0.0, 7.0])
    with subject_of(model, layer) as subject:
        found = PERTURBATIONS[name].weights(subject, layer, 0)
        assert torch.isfinite(found).all()
        if name == "score_cam":
            assert (found[:, 2:] != 0).all()
            assert (found[:, :2] == 0).all()
            assert torch.allclose(found.sum(1), torch.ones(3).double())
        else:
            assert (found[:, 0] == 0).all()  # nothing is lost with what is 0 already
            assert (found[:, 1] != 0).all()
    with torch.no_grad():
        model.conv1.weight.zero_()
    with subject_of(model, layer) as subject:
        maps = METHODS.get(name).run(subject, layer)
        assert torch.isfinite(maps).all()
        assert name == "ablation_cam" or not maps.any()


def test_a_grid_finer_than_the_image() -> None:
    """A channel may vary on its grid and be constant on the image's: its mask keeps nothing, and nothing is NaN."""
    model = seeded(lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.Conv2d(4, 2, 2, stride=2)))
    inputs: list[Tensor] = []
    with torch.no_grad():
        model[0].weight[:, 0] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with subject_of(model, Layer("0", "0")) as subject:
        model.register_forward_pre_hook(lambda _m, given: inputs.append(given[0].clone()))
        weights = score.weights(subject, Layer("0", "0"))
    assert (weights[:, 0] == 0).all()
    assert (weights[:, 1:] > 0).all()
    masked = torch.cat(inputs)
    assert torch.isfinite(masked).all()
    assert int((masked == 0).flatten(1).all(1).sum()) == 3  # one an image: rounding is not stretched to a mask


def test_a_grid_of_one_cell() -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.Conv2d(4, 2, 1)))
    with subject_of(model, Layer("0", "0"), IMAGES[:, :, :8, :8]) as subject:
        assert torch.equal(score.score_cam(subject, Layer("0", "0")), torch.zeros(3, 1, 1).double())
        assert torch.isfinite(ablation.ablation_cam(subject, Layer("0", "0"))).all()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_samples_do_not_mix_however_many_run_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, layer = seeded(Convolutions), Layer("norm1", "norm1")
    sizes: list[int] = []
    with subject_of(model, layer) as subject:
        together = METHODS.get(name).run(subject, layer)
        handle = model.register_forward_hook(lambda _m, given, _o: sizes.append(len(given[0])))
        for at_once in (1, 5, 100):
            monkeypatch.setattr(passes, "SAMPLES", at_once)
            assert torch.allclose(METHODS.get(name).run(subject, layer), together, rtol=1e-10)
            own = sizes if name == "score_cam" else [n for n in sizes if n != 3] or [3]
            assert max(own) <= at_once
            assert sum(sizes) in (18, 18 + 3)
            sizes.clear()
        handle.remove()
    for i in range(3):
        with subject_of(model, layer, IMAGES[i : i + 1]) as subject:
            assert torch.allclose(METHODS.get(name).run(subject, layer)[0], together[i], rtol=1e-10)


@pytest.mark.parametrize("name", [*PERTURBATIONS, "cam"])
def test_an_empty_pixel_set_gives_an_undefined_map(name: str) -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)))
    with torch.no_grad():  # class 1 where the image is positive
        model[0].weight.fill_(1)
        model[0].bias.copy_(torch.arange(4.0))
        model[1].weight.copy_(torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 4, 1, 1))
        model[1].bias.copy_(torch.tensor([6.0, -6.0]))
    images = torch.stack([IMAGES[0].abs(), -IMAGES[0].abs()])
    with subject_of(model, Layer("0", "0"), images, "predicted") as subject:
        assert (subject.capture.target_pixels > 0).tolist() == [True, False]
        maps = METHODS.get(name).run(subject, Layer("0", "0"))
    assert torch.isfinite(maps[0]).all()
    assert maps[1].isnan().all()


def test_a_module_that_runs_twice() -> None:
    """It is not one layer: without a hook that means something, methods say so. Score-CAM needs none."""
    layer = Layer("conv", "second", call=1)
    with subject_of(seeded(Twice), layer) as subject:
        for method in (ablation.ablation_cam, cam):
            with pytest.raises(NotApplicableError, match="runs more than once"):
                method(subject, layer)
        assert torch.isfinite(score.score_cam(subject, layer)).all()


class Windows(nn.Module):
    """A network whose layer sees four windows of each image as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        windows = torch.cat([half for rows in x.chunk(2, 2) for half in rows.chunk(2, 3)])
        a, b, c, d = self.inside(windows).chunk(4)
        return self.head(torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2))


def test_a_layer_of_other_samples() -> None:
    with (
        pytest.raises(ProbeError, match="folded into the batch"),
        subject_of(seeded(Windows), Layer("inside", "inside")),
    ):
        pass


@pytest.mark.parametrize("name", [*PERTURBATIONS, "cam"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(name: str, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, layer = seeded(Convolutions), Layer("norm2", "norm2")
    images = IMAGES.clone()
    with subject_of(model, layer, images) as subject:
        refusal = pytest.raises(NotApplicableError) if name == "cam" else nullcontext()
        if fails:
            monkeypatch.setattr(model, "forward", lambda x: (_ for _ in ()).throw(RuntimeError("boom")))
            refusal = pytest.raises(RuntimeError, match="boom")
        with unchanged(model), refusal:
            METHODS.get(name).run(subject, layer)
        assert torch.equal(subject.images, IMAGES)


def test_a_network_that_writes_into_its_input() -> None:
    class Writes(Convolutions):
        def forward(self, x: Tensor) -> Tensor:
            x -= 0.5
            return super().forward(x)

    for name in PERTURBATIONS:
        layer = Layer("conv1", "conv1")
        with subject_of(seeded(Writes), layer) as subject:
            found = METHODS.get(name).run(subject, layer)
            assert torch.equal(found, METHODS.get(name).run(subject, layer))
            assert torch.equal(subject.images, IMAGES)
        if name == "ablation_cam":
            with subject_of(seeded(Convolutions), layer, IMAGES - 0.5) as subject:
                assert torch.allclose(found, METHODS.get(name).run(subject, layer))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_mirrored_images_have_mirrored_maps(name: str) -> None:
    """With a network that mirrors as well: cells see no neighbours."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 5, 2, stride=2), nn.Tanh(), nn.Conv2d(5, 2, 1))

    model, layer = seeded(build), Layer("0", "0")
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.mean((2, 3), keepdim=True).expand_as(model[0].weight))
    with subject_of(model, layer) as subject:
        maps = METHODS.get(name).run(subject, layer)
    with subject_of(model, layer, IMAGES.flip(3)) as subject:
        assert torch.allclose(METHODS.get(name).run(subject, layer).flip(2), maps, rtol=1e-9)
    assert maps.std((1, 2)).min() > 0


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_other_precisions(name: str) -> None:
    """A bf16 network, and a probe under autocast: maps in float32, near those of float32."""
    model = create("unet", 2, {"width": 4}, seed=3)
    layer = MODELS.get("unet").layers(model, "conv")[-1]
    images = IMAGES.float().repeat(1, 1, 4, 4)
    with subject_of(model, layer, images) as subject:
        exact = METHODS.get(name).run(subject, layer)
    probe = Probe(model, layer, precision="bf16")
    with examining(probe, images, probe(images)) as subject:
        rough = METHODS.get(name).run(subject, layer)
    model.to(torch.bfloat16)
    with subject_of(model, layer, images) as subject:
        rougher = METHODS.get(name).run(subject, layer)
    for found in (rough, rougher):
        assert found.dtype == torch.float32
        assert torch.corrcoef(torch.stack([found.flatten(), exact.flatten()]))[0, 1] > 0.9


def test_what_they_say_of_themselves() -> None:
    for name in (*PERTURBATIONS, "cam"):
        method = METHODS.get(name)
        assert (method.kind, method.scope, method.each, method.needs_gradients) == ("run", "layer", "layer", False)
        assert method.own_passes
    assert METHODS.get("cam").signed
    assert METHODS.get("cam").family == "cam"
    assert {METHODS.get(name).family for name in PERTURBATIONS} == {"perturbation"}
