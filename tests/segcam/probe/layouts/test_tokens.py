"""Tokens lie on the right grid, and their maps are those worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from segcam.models import architecture, create
from segcam.probe.layouts.grids import Fit, best, fit, of_count, of_stride, of_tokens
from segcam.probe.layouts.layout import of_known
from tests.small_networks import outputs_of, seeded

IMAGES = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
PATCH = 8


class Tokens(nn.Module):
    """Patches become tokens, after `prefix` tokens of no place; a class's logit of a patch is linear in its token."""

    def __init__(self, prefix: int = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 5, PATCH, stride=PATCH)
        self.tokens, self.head = nn.Linear(5, 4), nn.Linear(4, 2)
        self.prefix = prefix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x)
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        x = self.tokens(torch.cat([x.new_ones(len(x), self.prefix, 5), x], 1))
        logits = self.head(x[:, self.prefix :]).transpose(1, 2).unflatten(2, grid)
        return nn.functional.interpolate(logits, scale_factor=PATCH)  # nearest: a pixel has its own patch's logit


def tokens(prefix: int = 0) -> nn.Module:
    return seeded(lambda: Tokens(prefix), 2).float()


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("stride", [0, PATCH])
def test_closed_form(prefix: int, stride: int) -> None:
    """The gradient is the head's weight at the best pixel's token and 0 at all others: L = ReLU(A w) / n."""
    model = tokens(prefix)
    capture = Probe(model, Layer("tokens", "tokens", stride=stride))(IMAGES)
    weight = model.head.weight[1].detach()
    with torch.no_grad():
        outputs = model.tokens(model.patches(IMAGES).permute(0, 2, 3, 1))  # (b, rows, columns, c)
    assert torch.allclose(capture.activations["tokens"], outputs.permute(0, 3, 1, 2), atol=1e-6)
    wanted = (outputs @ weight).relu() / (4 * 6)
    assert capture.maps(grad_cam).shape == (3, 4, 6)
    assert torch.allclose(capture.maps(grad_cam), wanted, atol=1e-7)
    for i in range(3):
        row, column = divmod(int((outputs[i] @ weight).argmax()), 6)
        gradient = capture.gradients["tokens"][i]
        assert torch.allclose(gradient[:, row, column], weight)
        assert gradient.abs().sum() == pytest.approx(float(weight.abs().sum()), rel=1e-5)


def test_tokens_and_feature_maps_agree() -> None:
    """A norm over channels-last features is the same as one over tokens, and as one over feature maps."""

    class Forms(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.nhwc, self.nchw = nn.Conv2d(3, 6, 4, stride=4), nn.LayerNorm(6), nn.Identity()
            self.tokens, self.head = nn.Identity(), nn.Conv2d(6, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.nhwc(self.patches(x).permute(0, 2, 3, 1))
            grid = x.shape[1:3]
            x = self.tokens(x.flatten(1, 2)).transpose(1, 2).unflatten(2, grid)
            return self.head(self.nchw(x))

    model = seeded(Forms).float()
    layers = [Layer("nhwc", "nhwc", form="NHWC"), Layer("tokens", "tokens"), Layer("nchw", "nchw")]
    capture = Probe(model, layers)(IMAGES)
    for label in ("nhwc", "tokens"):
        assert torch.equal(capture.activations[label], capture.activations["nchw"])
        assert torch.equal(capture.gradients[label], capture.gradients["nchw"])
        assert torch.equal(capture.maps(grad_cam, label), capture.maps(grad_cam, "nchw"))


@pytest.mark.parametrize(
    ("count", "size", "stride", "grid"),
    [
        (17, (96, 96), 24, (4, 4)),
        (17, (96, 96), 32, (3, 3)),
        (36, (100, 100), 16, (6, 6)),  # plain patches leave the rest of the image out
        (49, (100, 100), 16, (7, 7)),  # padded ones do not
        (130, (37, 51), 4, (10, 13)),  # overlapping patches reach over the edge
        (35, (37, 51), 8, (5, 7)),
        (34, (37, 51), 8, (4, 6)),
        (60, (37, 51), 8, None),  # too many of no place
    ],
)
def test_grids_of_a_stride(count: int, size: tuple[int, int], stride: int, grid: tuple[int, int] | None) -> None:
    assert of_tokens(count, size, stride) == grid


@pytest.mark.parametrize(
    ("cells", "size", "grids"),
    [
        (196, (224, 224), [(14, 14)]),
        (24, (32, 48), [(4, 6)]),
        (24, (48, 32), [(6, 4)]),
        (36, (100, 100), [(6, 6)]),
        (35, (37, 51), [(5, 7)]),
        (17, (96, 96), []),
        (23, (32, 48), []),
        (3, (32, 48), []),
    ],
)
def test_grids_of_a_number_of_cells(cells: int, size: tuple[int, int], grids: list[tuple[int, int]]) -> None:
    assert of_count(cells, size) == grids


@pytest.mark.parametrize(
    ("grid", "size", "wanted"),
    [
        ((24, 24), (96, 96), Fit.EXACT),
        ((5, 7), (37, 51), Fit.STRIDE),  # rounded up
        ((4, 6), (37, 51), Fit.STRIDE),  # and down
        ((5, 8), (37, 51), Fit.MARGIN),  # once this and once that
        ((28, 44), (32, 48), Fit.MARGIN),  # two unpadded convolutions of 3 x 3
        ((8, 8), (33, 50), Fit.MARGIN),  # padded inside to 64 x 64
        ((6, 6), (64, 96), Fit.UNEVEN),  # pooled to so many cells
        ((32, 96), (64, 96), Fit.UNEVEN),  # every other row
        ((24, 96), (96, 96), Fit.NONE),
        ((3, 32), (32, 48), Fit.NONE),
        ((0, 0), (32, 48), Fit.NONE),
    ],
)
def test_how_grids_fit(grid: tuple[int, int], size: tuple[int, int], wanted: Fit) -> None:
    assert fit(grid, size) is wanted


def test_the_best_of_grids() -> None:
    assert best([(5, 7), (5, 8), (40, 2)], (37, 51)) == (5, 7)
    assert best([(4, 6), (5, 7)], (37, 51)) is None
    assert best([(40, 2)], (37, 51)) is None
    assert of_stride(16, (100, 96)) == ((7, 6), (6, 6))


def test_layouts_of_described_layers() -> None:
    assert of_known(Layer("a", "a", stride=16, form="NHWC"), (2, 6, 7, 8), (96, 112)).grid == (6, 7)
    assert of_known(Layer("a", "a", stride=16), (2, 43, 8), (96, 112)).prefix == 1
    with pytest.raises(ProbeError, match=r"'a' gave 17 tokens, which fit no grid of stride 16 .* 96 x 96: correct the"):
        of_known(Layer("block", "a", stride=16), (1, 17, 4), (96, 96))


def test_features_of_other_layouts_are_no_tokens() -> None:
    """A tool that takes (b, c, n) for tokens, or (b, n, c) for maps, returns wrong ones silently."""
    model = nn.Sequential(nn.Flatten(2), nn.LayerNorm(32 * 48), nn.Unflatten(2, (32, 48)))
    with pytest.raises(ProbeError, match=r"'1' gave \(3, 3, 1536\): 3 tokens \(NLC\) fit no grid that can be told"):
        Probe(model, "1")(IMAGES)
    told = Probe(model, Layer("1", "1", form="NCL"))(IMAGES)
    assert torch.allclose(told.activations["1"], model[1](IMAGES.flatten(2)).unflatten(2, (32, 48)), atol=1e-6)


def test_outputs_that_are_neither_maps_nor_tokens() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4608, 8), nn.Unflatten(1, (2, 2, 2)))
    with pytest.raises(ProbeError, match=r"'1' gave \(3, 8\): only feature maps \(b, c, h, w\) and tokens \(b, n, c\)"):
        Probe(model, "1")(IMAGES)


@pytest.mark.parametrize("target", [Target(), Target(pixels="predicted", score="margin"), Target(class_id=0)])
def test_gradients_are_autograds(target: Target) -> None:
    """Against a hook of plain torch on the same tokens, the first of which is of no place."""
    model = tokens(prefix=1)
    with outputs_of(model, ["tokens"]) as outputs:
        target.explain(model(IMAGES), (32, 48)).scores.nansum().backward()
    gradients = outputs["tokens"][0].grad[:, 1:].unflatten(1, (4, 6)).permute(0, 3, 1, 2)
    assert torch.allclose(Probe(model, "tokens")(IMAGES, target).gradients["tokens"], gradients, atol=1e-7)


@pytest.mark.parametrize("name", ["segformer", "vit"])
@pytest.mark.parametrize("size", [(64, 96), (37, 51)])
def test_token_maps_of_networks_are_autograds(name: str, size: tuple[int, int]) -> None:
    """Against plain torch: gradients kept on the tokens, the class token left out."""
    model = create(name, 2, seed=3).eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    layers = [layer for layer in architecture(name).layers(model, "conv") if layer.role not in ("decoder", "mix-ffn")]
    with outputs_of(model, [layer.module for layer in layers]) as outputs:
        model(images)[:, 1].flatten(1).amax(1).sum().backward()
    model.zero_grad()
    capture = Probe(model, layers)(images)
    for layer in layers:
        maps, (output,) = capture.maps(grad_cam, layer), outputs[layer.module]
        assert maps.shape == (2, -(-size[0] // layer.stride), -(-size[1] // layer.stride))
        values, gradients = (x.flatten(1, -2)[:, -maps[0].numel() :] for x in (output.detach(), output.grad))
        expected = (values * gradients.mean(1, keepdim=True)).sum(2).relu().view(maps.shape)
        assert torch.allclose(maps, expected, atol=1e-5 * float(expected.max()))
