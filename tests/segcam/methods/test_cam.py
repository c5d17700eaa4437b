"""CAM: where a linear head follows, its weights; everywhere else, the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer
from segcam.errors import NotApplicableError
from segcam.methods import METHODS
from segcam.methods.cam import cam
from segcam.methods.material.channels import editing
from segcam.methods.material.pair import Pair
from segcam.models import MODELS, create
from tests.reference import gradient_free as slow
from tests.small_networks import IMAGES, Tokens, close, seeded, subject_of

Step = Callable[[Tensor], Tensor]


def weights_of(head: nn.Module, class_id: int = 1) -> Tensor:
    return head.weight.detach().flatten(2).sum(2)[class_id] if head.weight.ndim == 4 else head.weight.detach()[class_id]


class Headed(nn.Module):
    """A convolution, something between, a head, something behind; the convolution's outputs are all positive."""

    def __init__(self, between: Step, head: nn.Module, behind: Step) -> None:
        super().__init__()
        self.conv, self.between, self.head, self.behind = nn.Conv2d(3, 4, 3, padding=1, stride=2), between, head, behind
        nn.init.constant_(self.conv.bias, 30.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.head(self.between(self.conv(x))))


as_it_is, larger = nn.Identity(), nn.Upsample(scale_factor=2, mode="bilinear")
dense = partial(nn.Conv2d, 4, 3, 1)


def last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


LED: dict[str, tuple[Step, Callable[[], nn.Module], Step]] = {
    "a head": (as_it_is, dense, as_it_is),
    "upsampled before": (larger, dense, as_it_is),
    "upsampled behind": (as_it_is, dense, larger),
    "dropout": (nn.Dropout2d(0.5), partial(dense, bias=False), larger),
    "averaged": (nn.AvgPool2d(2), dense, lambda x: larger(larger(x))[:, :, :7, :11]),
    "linear": (last, lambda: nn.Linear(4, 3), first),
    "a larger kernel": (as_it_is, lambda: nn.Conv2d(4, 3, 3, padding=1), larger),
    "one channel": (as_it_is, lambda: nn.Conv2d(4, 1, 1), as_it_is),
}


class Odd(nn.Conv2d):
    """A convolution that does otherwise than its weights say."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def details_mixed(x: Tensor) -> Tensor:
    """Mix channels and leave constants as they are."""
    mean = x.mean(1, keepdim=True)
    return x + mean - mean.mean((2, 3), keepdim=True)


def one_blurred(x: Tensor) -> Tensor:
    blurred = nn.functional.avg_pool2d(x[:, :1], 3, 1, 1, count_include_pad=False)
    return torch.cat([blurred, x[:, 1:]], 1)


NOT_LED: dict[str, tuple[Step, Callable[[], nn.Module], Step, str]] = {
    "ReLU of what is positive": (torch.relu, dense, as_it_is, "follows this layer"),
    "a norm": (nn.BatchNorm2d(4).eval(), dense, as_it_is, "follows this layer"),
    "channels mixed": (lambda x: x + x.mean(1, keepdim=True), dense, as_it_is, "follows this"),
    "details mixed": (details_mixed, dense, as_it_is, "follows this layer"),
    "one channel blurred": (one_blurred, dense, as_it_is, "follows this layer"),
    "channels turned": (lambda x: x.roll(1, 1), dense, as_it_is, "follows this layer"),
    "something added": (lambda x: x + 1, dense, as_it_is, "follows this layer"),
    "a maximum": (nn.MaxPool2d(3, 1, 1), dense, as_it_is, "follows this layer"),
    "a factor behind": (as_it_is, dense, lambda x: 2 * x, "does not end in a linear head"),
    "groups": (as_it_is, lambda: nn.Conv2d(4, 2, 1, groups=2), as_it_is, "does not end in a linear head"),
    "a stride": (as_it_is, partial(dense, stride=2), larger, "does not end in a linear head"),
    "no padding": (as_it_is, lambda: nn.Conv2d(4, 3, 3), as_it_is, "does not end in a linear head"),
    "padded along one axis": (
        as_it_is,
        lambda: nn.Conv2d(4, 3, 3, padding=(1, 0)),
        as_it_is,
        "does not end in a linear",
    ),
    "a head of its own kind": (as_it_is, lambda: Odd(4, 3, 1), as_it_is, "does not end in a linear head"),
}


@pytest.mark.parametrize("name", LED)
@pytest.mark.parametrize("target", ["best_pixel:logit", "predicted:margin"])
def test_cam_where_a_linear_head_follows(name: str, target: str) -> None:
    between, head, behind = LED[name]
    model = seeded(lambda: Headed(between, head(), behind))
    layer = Layer("conv", "conv")
    with subject_of(model, layer, target=target) as subject:
        found = cam(subject, layer)
        chosen = subject.capture.explained.chosen
        logits = subject.capture.logits
    weights = torch.stack([weights_of(model.head, k) for k in range(len(model.head.weight))])
    weights = weights if len(weights) > 1 else torch.cat([torch.zeros_like(weights), weights])
    logits = logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)
    logits = nn.functional.interpolate(logits, IMAGES.shape[2:], mode="bilinear")
    for i in range(3):
        own = weights[1].numpy().copy()
        if "margin" in target:
            if not chosen[i].any():
                assert found[i].isnan().all()
                continue
            others = logits[i].detach().clone()
            others[1] = -torch.inf
            own -= np.mean([weights[k].numpy() for k in others.argmax(0)[chosen[i]].tolist()], axis=0)
        activations = subject.capture.activations["conv"][i].numpy()
        assert close(found[i], slow.cam(activations, own.tolist()), 1e-6)  # shares of pixels are float32


@pytest.mark.parametrize("name", NOT_LED)
def test_cam_says_why_it_has_no_map(name: str) -> None:
    between, head, behind, reason = NOT_LED[name]
    model = seeded(lambda: Headed(between, head(), behind))
    with subject_of(model, Layer("conv", "conv")) as subject:
        assert (subject.capture.activations["conv"] > 0).all()
        with pytest.raises(NotApplicableError, match=reason):
            cam(subject, Layer("conv", "conv"))


def test_cam_on_tokens() -> None:
    model, layer = seeded(Tokens), Layer("drop", "drop", stride=4)
    with subject_of(model, [layer, Layer("norm", "norm", stride=4)]) as subject:
        found = cam(subject, layer)
        for i in range(3):
            activations = subject.capture.activations["drop"][i].numpy()
            assert close(found[i], slow.cam(activations, weights_of(model.head).tolist()))
        with pytest.raises(NotApplicableError, match="no linear head follows this layer"):
            cam(subject, Layer("norm", "norm", stride=4))


def test_cam_beside_a_second_head() -> None:
    """A head for training alone leads to no logits, and a residual branch makes a layer more than the head's input."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shapes = ((3, 4), (4, 4), (4, 2), (4, 2))
            self.stem, self.conv, self.aux, self.head = (nn.Conv2d(*shape, 1) for shape in shapes)
            self.out = nn.Identity()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            x = self.stem(x)
            return {"aux": self.aux(x), "out": self.head(self.out(x + self.conv(x).tanh()))}

    model = seeded(Two)
    layers = [Layer(name, name) for name in ("stem", "conv", "out")]
    with subject_of(model, layers) as subject:
        found = cam(subject, layers[2])
        twin = slow.cam(subject.capture.activations["out"][0].numpy(), weights_of(model.head).tolist())
        assert close(found[0], twin)
        for layer in layers[:2]:
            with pytest.raises(NotApplicableError, match="no linear head follows this layer"):
                cam(subject, layer)


CAM_LAYERS = {
    "unet": ("Decoder 1_2 ReLU", {"width": 4}),
    "timm_unet": ("Decoder 1_2 ReLU", {}),
    "segformer": ("Decode head ReLU", {}),
    "vit": ("Decoder 1 ReLU", {"image_size": 64, "patch_size": 8}),
}


@pytest.mark.parametrize("name", CAM_LAYERS)
@pytest.mark.parametrize("score_name", ["logit", "margin"])
def test_grad_cam_weights_are_the_heads_where_it_follows(name: str, score_name: str) -> None:
    """There Grad-CAM's weights are the class's own, times a number that is the same for all channels."""
    label, parameters = CAM_LAYERS[name]
    model = create(name, 3, parameters, seed=2)
    layers = [x for x in MODELS.get(name).layers(model, "relu") if x.label == label]
    assert layers
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with subject_of(model, layers[0], images, f"predicted:{score_name}") as subject:
        maps = cam(subject, layers[0])
        gradients = subject.capture.gradients[label]
        activations = subject.capture.activations[label]
        pixels = subject.capture.target_pixels
    assert (pixels > 0).any()
    for i in torch.nonzero(pixels).flatten():
        weights = gradients[i].mean((1, 2))
        their = torch.einsum("c,chw->hw", weights, activations[i])
        if score_name == "logit":
            own = weights_of(model.head if hasattr(model, "head") else model.network.decode_head.classifier)
            cosine = torch.cosine_similarity(own, weights, dim=0)
            assert cosine > (0.999 if name == "vit" else 1 - 1e-6)  # ViT's 3 x 3 head reaches beyond the border
        tolerance = 0.1 if name == "vit" else 1e-5
        scale = maps[i].abs().max() / their.abs().max()
        assert (scale * their - maps[i]).abs().max() <= tolerance * maps[i].abs().max()


@pytest.mark.parametrize("name", ["unet", "segformer"])
def test_no_linear_head_follows_a_convolution_of_the_networks(name: str) -> None:
    model = create(name, 2, CAM_LAYERS[name][1], seed=2)
    layers = MODELS.get(name).layers(model, "conv")
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with subject_of(model, layers, images) as subject:
        for layer in layers:
            with pytest.raises(NotApplicableError, match="no linear head follows this layer"):
                cam(subject, layer)


@pytest.mark.parametrize("cells", [4, 1000])
def test_a_direction_whose_projection_sums_to_zero_takes_its_heaviest_channels_side(cells: int) -> None:
    """`X v` sums to 0 where every channel does: the weight of largest magnitude is positive then."""
    ramp = torch.linspace(-1, 1, cells, dtype=torch.float64)
    factors = torch.tensor([[3.0, -2.0], [-2.0, 3.0], [2.0, -3.0], [-3.0, -2.0]], dtype=torch.float64)
    weights = METHODS.get("eigen_cam").gradient(Pair(factors[..., None, None] * ramp, torch.ones(4, 2, 1, cells)))
    wanted = torch.tensor([[3, -2], [-2, 3], [-2, 3], [3, 2]], dtype=torch.float64) / 13**0.5
    torch.testing.assert_close(weights, wanted)


@pytest.mark.parametrize("pool", [2, 3, 4, 5, 6])
def test_seg_xres_cam_averages_gradients_over_windows(pool: int) -> None:
    """Windows of whole cells, window by window; with one as large as the grid it is Grad-CAM."""
    generator = torch.Generator().manual_seed(0)
    size = (2 * pool, 3 * pool) if pool < 6 else (6, 5)
    activations, gradients = (torch.randn(2, 3, *size, generator=generator, dtype=torch.float64) for _ in range(2))
    pooled = torch.empty_like(gradients)
    for y in range(0, size[0], pool):
        for x in range(0, size[1], pool):
            window = (..., slice(y, y + pool), slice(x, x + pool))
            pooled[window] = gradients[window].mean((2, 3), keepdim=True)
    found = METHODS.get("seg_xres_cam").configured({"pool": pool}).maps(activations, gradients)
    torch.testing.assert_close(found, (pooled * activations).sum(1).relu())


def test_xgrad_cam_leaves_out_channels_whose_activations_sum_to_zero() -> None:
    ramp = torch.linspace(-1, 1, 9, dtype=torch.float64).view(3, 3)
    activations = torch.stack([ramp, 2 * torch.ones_like(ramp)])[None]
    gradients = torch.stack([ramp + 1, ramp + 3])[None]
    weights = METHODS.get("xgrad_cam").gradient(Pair(activations, gradients))
    torch.testing.assert_close(weights, torch.tensor([[0, 3]], dtype=torch.float64))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_channels_norms_of_any_size_with_and_without_their_products(size: float) -> None:
    """In float32, where squares under- and overflow."""
    activations = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    activations[1] = 0
    pair = Pair(size * activations, torch.ones_like(activations))
    wanted = activations.double().square().sum((2, 3)).sqrt() * size
    torch.testing.assert_close(pair.activation_norms.double(), wanted, rtol=1e-5, atol=0)
    assert pair.gram[0].shape == (3, 4, 4)
    torch.testing.assert_close(pair.activation_norms.double(), wanted, rtol=1e-5, atol=0)


def test_a_named_tuple_stays_one_where_its_first_part_is_edited() -> None:
    class Parts(NamedTuple):
        maps: Tensor
        size: int

    class Named(nn.Module):
        def forward(self, x: Tensor) -> Parts:
            return Parts(x, 3)

    class Plain(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, int]:
            return x, 3

    for module, kind in ((Named(), Parts), (Plain(), tuple)):
        with editing(module, lambda output: 2 * output):
            found = module(torch.ones(2))
        assert type(found) is kind
        assert found[0].tolist() == [2, 2]
        assert found[1] == 3
