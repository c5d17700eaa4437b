"""Channels are followed through permutations, linear layers along any axis, and windows of tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target, grad_cam
from tests.small_networks import seeded


class Permuted(nn.Module):
    def __init__(self, *order: int, copied: bool = False) -> None:
        super().__init__()
        self.order, self.copied = order, copied

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.order).contiguous() if self.copied else x.permute(*self.order)


def same(features: Tensor) -> Tensor:
    return features


def from_last(features: Tensor) -> Tensor:
    return features.permute(0, 3, 1, 2)


def from_rows(features: Tensor) -> Tensor:
    return features.unflatten(2, (8, 8))


def from_tokens(features: Tensor) -> Tensor:
    return from_rows(features.transpose(1, 2))


def plain(model: nn.Sequential, layer: int, read: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Grad-CAM of the mean logit of class 1, with autograd alone."""
    features = model[: layer + 1](x).detach().requires_grad_()
    (gradients,) = torch.autograd.grad(model[layer + 1 :](features)[:, 1].mean((1, 2)).sum(), features)
    return (read(gradients).mean((2, 3), keepdim=True) * read(features)).sum(1).relu().detach()


def check(model: nn.Sequential, reads: list[Callable[[Tensor], Tensor]]) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    capture = Probe(model, [str(i) for i in range(len(reads))])(x, Target(1, "image", output="logits"))
    for layer, read in enumerate(reads):
        torch.testing.assert_close(capture.maps(grad_cam, str(layer)), plain(model, layer, read, x), msg=str(layer))


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("inner", [lambda: nn.LayerNorm(8), nn.Tanh])
def test_as_many_channels_as_rows_and_columns(copied: bool, inner: Callable[[], nn.Module]) -> None:
    there, back = Permuted(0, 2, 3, 1, copied=copied), Permuted(0, 3, 1, 2, copied=copied)
    stem, head = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 3, 1)
    model = seeded(lambda: nn.Sequential(stem, there, inner(), back, nn.ReLU(), head, nn.Upsample(32))).float()
    check(model, [same, from_last, from_last, same, same])


def test_a_linear_layer_along_rows() -> None:
    layers = (nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Tanh(), nn.Conv2d(8, 3, 1), nn.Upsample(32))
    check(seeded(lambda: nn.Sequential(*layers)).float(), [same] * 3)


def test_as_many_tokens_as_channels() -> None:
    def mixer() -> nn.Sequential:
        turn = Permuted(0, 2, 1)
        tokens = (nn.Linear(64, 64), turn, nn.Linear(64, 64), nn.GELU(), turn, nn.LayerNorm(64))
        end = (Permuted(0, 2, 1), nn.Unflatten(2, (8, 8)), nn.Conv2d(64, 3, 1), nn.Upsample(32))
        return nn.Sequential(nn.Conv2d(3, 64, 4, 4), nn.Flatten(2), Permuted(0, 2, 1), *tokens, *end)

    model = seeded(mixer).float()
    model[4], model[7] = Permuted(0, 2, 1), Permuted(0, 2, 1)
    reads = [same, from_rows, from_tokens, from_tokens, from_rows, from_rows, from_rows, from_tokens, from_tokens]
    check(model, [*reads, from_rows, same])


class Windows(nn.Module):
    """Windows of 2 x 2 tokens along an axis of their own, `(b, windows, tokens, c)`, as in NesT."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.linear, self.act, self.head = (
            nn.Conv2d(3, 6, 4, 4),
            nn.Linear(6, 6),
            nn.Tanh(),
            nn.Conv2d(6, 3, 1),
        )
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        b, c, h, w = x.shape
        x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w // 4, 4, c)
        x = self.act(self.linear(self.norm(x)))
        x = x.view(b, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)
        return nnf.interpolate(self.head(x), scale_factor=4)


@pytest.mark.parametrize("layer", ["norm", "linear", "act"])
@pytest.mark.parametrize("size", [(32, 48), (32, 64), (224, 224)])
def test_windows_on_an_axis_of_their_own_are_refused(layer: str, size: tuple[int, int]) -> None:
    model = seeded(Windows).float()
    with pytest.raises(ProbeError, match="choose a layer outside of them"):
        Probe(model, layer)(torch.rand(2, 3, *size), Target(1, "image", output="logits"))
    assert Probe(model, "stem")(torch.rand(2, 3, *size), Target(1, "image", output="logits")).layers


def test_a_convolutional_network_of_one_number_of_images_with_linear_parts() -> None:
    """What the shapes tell needs no pass of another number of images."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.act, self.gate = nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            features = self.act(self.stem(x)).view(2, 8, 8, 12)
            return features * self.gate(features.mean((2, 3)))[..., None, None]

    capture = Probe(seeded(Fixed).float(), "act")(torch.rand(2, 3, 32, 48), Target(1, "image", output="logits"))
    assert capture.activations["act"].shape == (2, 8, 8, 12)


class Ordered(nn.Module):
    """Features whose cells are put in an order, and back."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.stem, self.norm, self.act, self.head = (
            nn.Conv2d(3, 8, 4, 4),
            nn.LayerNorm(8),
            nn.Tanh(),
            nn.Conv2d(8, 3, 1),
        )
        self.order = order

    def there(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        if self.order == "columns":
            return x.transpose(2, 3).flatten(2).transpose(1, 2)
        if self.order == "shuffled":
            return x.flatten(2).transpose(1, 2)[:, torch.randperm(h * w, generator=torch.Generator().manual_seed(1))]
        if self.order == "windows":
            return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, c)
        if self.order == "shifted":
            return x.permute(0, 2, 3, 1).roll((1, 2), (1, 2))
        if self.order == "rows":
            return x.permute(0, 2, 3, 1).contiguous().view(b, h * w, c)
        return nnf.pixel_shuffle(torch.cat([x] * 4, 1), 2)[:, :, 1:-1, 1:-1].permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(self.norm(self.there(self.stem(x))))
        return nnf.interpolate(self.head(features.flatten(1, -2).transpose(1, 2).unsqueeze(2)), x.shape[2:])


@pytest.mark.parametrize("layer", ["norm", "act"])
@pytest.mark.parametrize("order", ["columns", "shuffled", "windows", "shifted", "rows", "finer and cut"])
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_cells_in_another_order_are_refused(layer: str, order: str, size: tuple[int, int]) -> None:
    model = seeded(lambda: Ordered(order)).float()
    probe, x = Probe(model, layer), torch.rand(2, 3, *size)
    if order in ("rows", "finer and cut"):
        assert probe(x, Target(1, "image", output="logits")).layers
        return
    with pytest.raises(ProbeError, match="cells do not lie row by row"):
        probe(x, Target(1, "image", output="logits"))
