"""Whatever the order of its dimensions, a layer's maps lie right, or an error names what decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from tests.small_networks import seeded


def images(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


class LastNorm(nn.Module):
    """A norm and an activation between two permutations, as in ConvNeXt."""

    def __init__(self, channels: int, stride: int = 4) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, channels, stride, stride=stride), nn.LayerNorm(channels)
        self.linear, self.act, self.head = nn.Linear(channels, channels), nn.GELU(), nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.act(self.linear(self.norm(self.stem(x).permute(0, 2, 3, 1))))
        return self.head(inner.permute(0, 3, 1, 2))


def plain(model: LastNorm, x: Tensor) -> Tensor:
    """Grad-CAM of the activation for the best pixel of class 1, with autograd alone."""
    inner = model.linear(model.norm(model.stem(x).permute(0, 2, 3, 1)))
    features = model.act(inner).permute(0, 3, 1, 2).detach().requires_grad_()
    logits = nnf.interpolate(model.head(features), x.shape[2:], mode="bilinear")[:, 1]
    (gradients,) = torch.autograd.grad(logits.flatten(1).amax(1).sum(), features)
    return (gradients.mean((2, 3), keepdim=True) * features).sum(1).relu().detach()


@pytest.mark.parametrize("label", ["norm", "linear", "act"])
@pytest.mark.parametrize(("size", "channels"), [((96, 96), 96), ((96, 96), 24), ((64, 96), 16), ((50, 70), 12)])
def test_channels_last(label: str, size: tuple[int, int], channels: int) -> None:
    """As many channels as rows and columns too: the norm's class, and the linear's before the activation, tell."""
    model = seeded(lambda: LastNorm(channels), 3).float()
    maps = Probe(model, label)(images(*size)).maps(grad_cam)
    assert maps.shape == (2, size[0] // 4, size[1] // 4)
    if label == "act":
        assert torch.allclose(maps, plain(model, images(*size)), atol=1e-6)


class Cube(nn.Module):
    """An activation of as many channels as rows and columns, of which no class tells which is which."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Parameter(torch.randn(2, 8))

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(x.mean(1, keepdim=True) * torch.arange(8.0).view(1, 8, 1, 1))
        return torch.einsum("kc,bchw->bkhw", self.head, features)


def test_what_stays_ambiguous_is_an_error_with_a_cure() -> None:
    model = seeded(Cube).float()
    with pytest.raises(
        ProbeError, match=r"both as .* say which with Layer\(module='act', .* form='NCHW'\) or form='NHWC'"
    ):
        Probe(model, "act")(images(8, 8))
    for form in ("NCHW", "NHWC"):
        assert Probe(model, Layer("act", "act", form=form))(images(8, 8)).activations["act"].shape == (2, 8, 8, 8)
    with pytest.raises(ProbeError, match="form of layer 'x' is 'NCWH': choose one of NCHW, NHWC, NLC, LNC, NCL"):
        Layer("x", "x", form="NCWH")  # type: ignore[arg-type]


class Patches(nn.Module):
    """A plain transformer: class and register tokens before the patches, class tokens of a decoder behind them."""

    def __init__(self, patch: int = 16, before: int = 0, after: int = 0, *, first: bool = False, seen: bool = True):
        super().__init__()
        self.embed = nn.Conv2d(3, 6, patch, stride=patch)
        self.before, self.after = (nn.Parameter(torch.randn(1, n, 6)) for n in (before, after))
        self.first, self.seen = first, seen
        self.block, self.act, self.head = nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)

    def joined(self, own: Tensor) -> Tensor:
        parts = [self.before.expand(len(own), -1, -1), own, self.after.expand(len(own), -1, -1)]
        if self.seen:
            return torch.cat(parts, 1)
        whole = own.new_empty(len(own), sum(part.shape[1] for part in parts), own.shape[2])
        starts = [0, parts[0].shape[1], parts[0].shape[1] + own.shape[1]]
        for start, part in zip(starts, parts, strict=True):
            whole[:, start : start + part.shape[1]] = part
        return whole

    def forward(self, x: Tensor) -> Tensor:
        grid = self.embed(x)
        tokens = self.joined(grid.flatten(2).transpose(1, 2))
        if self.first:
            tokens = self.act(self.block(tokens.transpose(0, 1))).transpose(0, 1)
        else:
            tokens = self.act(self.block(tokens))
        own = tokens[:, self.before.shape[1] :][:, : grid.shape[2] * grid.shape[3]]
        logits = self.head(own).transpose(1, 2).unflatten(2, grid.shape[2:])
        return nnf.interpolate(logits, x.shape[2:], mode="bilinear")


def right(model: Patches, x: Tensor, label: str = "act") -> Tensor:
    """The activations of the patches on their grid, without any token of no place."""
    inner = model.block(model.embed(x).permute(0, 2, 3, 1))
    return (model.act(inner) if label == "act" else inner).permute(0, 3, 1, 2).detach()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (5, 0), (0, 3), (1, 2), (0, 21)])
@pytest.mark.parametrize(
    ("size", "patch"), [((96, 96), 16), ((100, 100), 16), ((75, 130), 16), ((230, 230), 14), ((32, 32), 16)]
)
def test_tokens_of_no_place(size: tuple[int, int], patch: int, before: int, after: int, first: bool) -> None:
    """Also where five of them and 2 x 2 patches would make a square, and with the sequence first."""
    model = seeded(lambda: Patches(patch, before, after, first=first), 2).float()
    for label in ("block", "act"):
        capture = Probe(model, label)(images(*size), Target(output="logits"))
        assert torch.allclose(capture.activations[label], right(model, images(*size), label), atol=1e-6)
        assert capture.gradients[label].abs().amax((1, 2, 3)).min() > 0


@pytest.mark.parametrize("stride", [0, 16])
def test_a_stride_does_not_say_where_tokens_of_no_place_are(stride: int) -> None:
    model = seeded(lambda: Patches(16, 0, 5), 2).float()
    layer = Layer("act", "act", stride=stride)
    capture = Probe(model, layer)(images(96, 128))
    assert torch.allclose(capture.activations["act"], right(model, images(96, 128)), atol=1e-6)


def test_as_many_tokens_as_images() -> None:
    """`(n, b, c)` and `(b, n, c)` are told apart by another number of images, not by a guess."""
    for first in (False, True):
        model = seeded(lambda first=first: Patches(first=first), 2).float()
        x = images(32, 32, count=4)
        capture = Probe(model, "act")(x)
        assert torch.allclose(capture.activations["act"], right(model, x), atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 4), (5, 0)])
def test_hidden_tokens_are_refused_and_told(before: int, after: int) -> None:
    """Written into place and not joined, so that nothing shows which they are."""
    model = seeded(lambda: Patches(16, before, after, seen=False), 2).float()
    for size in ((96, 96), (32, 32)):
        with pytest.raises(ProbeError, match=r"nothing in the network shows which .* Layer\(module='act', .*prefix="):
            Probe(model, "act")(images(*size))
        capture = Probe(model, Layer("act", "act", stride=16, prefix=before))(images(*size), Target(output="logits"))
        assert torch.allclose(capture.activations["act"], right(model, images(*size)), atol=1e-6)


def test_tokens_last() -> None:
    class Conv1d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.act = nn.Conv2d(3, 9, 8, stride=8), nn.Conv1d(9, 9, 1), nn.Tanh()
            self.head = nn.Conv2d(9, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            grid = self.embed(x)
            return self.head(self.act(self.mix(grid.flatten(2))).unflatten(2, grid.shape[2:]))

    model = seeded(Conv1d).float()
    wanted = model.act(model.mix(model.embed(images(32, 32)).flatten(2))).unflatten(2, (4, 4)).detach()
    for label in ("mix", "act"):  # 9 channels would be 3 x 3 tokens
        found = Probe(model, ["mix", "act"])(images(32, 32)).activations[label]
        if label == "act":
            assert torch.allclose(found, wanted, atol=1e-6)
        assert found.shape == (2, 9, 4, 4)


class Multiscale(nn.Module):
    """Tokens of three grids in one sequence, as of deformable attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.act, self.head = nn.Conv2d(3, 4, 8, stride=8), nn.Tanh(), nn.Conv2d(4, 2, 1)
        self.downs = nn.ModuleList(nn.Conv2d(4, 4, 3, stride=2, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        grids = [self.embed(x)]
        for down in self.downs:
            grids.append(down(grids[-1]))
        tokens = self.act(torch.cat([grid.flatten(2).transpose(1, 2) for grid in grids], 1))
        cells = grids[0].shape[2] * grids[0].shape[3]
        return self.head(tokens[:, :cells].transpose(1, 2).unflatten(2, grids[0].shape[2:]))


def test_tokens_of_several_grids_are_read_one_grid_at_a_time() -> None:
    model, batch = seeded(Multiscale).float(), images(64, 96)
    with pytest.raises(ProbeError, match=r"those of 3 grids \(0: 8 x 12, 1: 4 x 6, 2: 2 x 3\): say which with"):
        Probe(model, "act")(batch)
    capture = Probe(model, [Layer("act", f"act {n}", grid=n) for n in range(3)])(batch, Target(1, "image"))
    grids = [model.embed(batch)]
    grids += [model.downs[0](grids[0])]
    grids += [model.downs[1](grids[1])]
    for n, grid in enumerate(grids):
        assert torch.allclose(capture.activations[f"act {n}"], grid.tanh(), atol=1e-6)
    assert bool(capture.gradients["act 0"].any())
    assert not bool(capture.gradients["act 1"].any())  # the head looks at the first alone
    for wrong in (3, -1):
        with pytest.raises(ProbeError, match=rf"has no grid {wrong}: it gave 126 tokens, those of 3 grids: name one"):
            Probe(model, Layer("act", "act", grid=wrong))(batch)
    with pytest.raises(ProbeError, match="it gave 36 tokens, not known as those of several grids: leave grid"):
        Probe(seeded(Patches).float(), Layer("act", "act", grid=0))(images(96, 96))
    with pytest.raises(ProbeError, match=r"'embed' has no grid 1: it gave \(2, 4, 8, 12\), feature maps of one grid"):
        Probe(model, Layer("embed", "embed", grid=1))(batch)


class Queried(nn.Module):
    """Queries, as many as a grid has cells, that look at the image, and give its masks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.query = nn.Conv2d(3, 8, 8, stride=8), nn.Embedding(6, 8)
        self.look, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.mask, self.near = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.embed(x)
        tokens = self.near(grid.flatten(2).transpose(1, 2))
        queries = self.query.weight[None].repeat(len(x), 1, 1)
        queries = self.norm(queries + self.look(queries, tokens, tokens)[0])
        return torch.einsum("bqc,bchw->bqhw", self.mask(queries), grid)


def test_queries_are_no_grid() -> None:
    model, batch = seeded(Queried).float(), images(16, 24)
    for label in ("look", "norm", "mask"):
        with pytest.raises(ProbeError, match=r"gave \(2, 6, 8\): the 6 of dimension 1 lie nowhere on the image"):
            Probe(model, label)(batch)
    capture = Probe(model, "*")(batch)
    assert set(capture.activations) == {"embed", "near"}
    told = Probe(model, Layer("norm", "norm", form="NLC"))(batch)  # whoever knows better is believed
    assert told.activations["norm"].shape == (2, 8, 2, 3)


class Prompted(nn.Module):
    """Tokens of the image for each of two prompts, `(b, prompts, n, c)`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Conv2d(3, 8, 8, stride=8), nn.LayerNorm(8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor, prompts: Tensor) -> Tensor:
        grid = self.embed(x)
        tokens = self.norm(grid.flatten(2).transpose(1, 2)[:, None] + prompts[:, :, None])
        return self.head(tokens.mean(1).transpose(1, 2).unflatten(2, grid.shape[2:]))


def test_tokens_of_each_prompt_are_refused() -> None:
    with pytest.raises(ProbeError, match=r"gave \(2, 2, 16, 8\): dimension 2 holds all cells of a grid"):
        Probe(seeded(Prompted).float(), "norm")(images(32, 32), inputs={"prompts": torch.randn(2, 2, 8)})


class Windowed(nn.Module):
    """Windows of 4 x 4 cells as a batch; how they were cut only its own code knows."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner, self.head = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(4, 4), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.embed(x)
        b, c, h, w = grid.shape
        cut = grid.view(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        whole = self.inner(cut).view(b, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)
        return self.head(whole)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_windows_folded_into_the_batch_are_refused(count: int) -> None:
    with pytest.raises(ProbeError, match=r"folded into the batch, and how to put them together is not known"):
        Probe(seeded(Windowed).float(), "inner")(images(32, 48, count))
    assert Probe(seeded(Windowed).float(), "embed")(images(32, 48, count)).maps(grad_cam).shape == (count, 8, 12)


class Tiled(nn.Module):
    def __init__(self, together: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        self.together = together

    def forward(self, x: Tensor) -> Tensor:
        tiles = [part for half in x.chunk(2, 2) for part in half.chunk(2, 3)]
        done = self.net(torch.cat(tiles)).chunk(4) if self.together else [self.net(tile) for tile in tiles]
        return torch.cat([torch.cat(done[:2], 3), torch.cat(done[2:], 3)], 2)


@pytest.mark.parametrize("together", [False, True])
def test_tiles_are_refused_with_a_cure(together: bool) -> None:
    model = seeded(lambda: Tiled(together)).float()
    with pytest.raises(ProbeError, match=r"tiles as (its )?images"):
        Probe(model, "net.0")(images(32, 48), Target(1, "image"))
    whole = images(32, 48)
    tiles = torch.cat([part for half in whole.chunk(2, 2) for part in half.chunk(2, 3)])
    assert Probe(model.net, "0")(tiles, Target(1, "image")).maps(grad_cam).shape == (8, 16, 24)


def test_attention_weights_and_unrelated_outputs_are_refused() -> None:
    class Attends(Patches):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.position, self.linear = nn.Dropout(), nn.Identity(), nn.LayerNorm(6)

        def joined(self, own: Tensor) -> Tensor:
            own = self.linear(own + self.position(self.before.sum() + torch.zeros(1, own.shape[1], 6)))
            return own + self.drop((own @ own.transpose(1, 2)).softmax(-1)[:, None])[:, 0] @ own

    model = seeded(Attends).float()
    with pytest.raises(ProbeError, match=r"gave \(2, 1, 36, 36\), what an attention's heads have for each of 36"):
        Probe(model, "drop")(images(96, 96))
    with pytest.raises(ProbeError, match=r"gave \(1, 36, 6\) for 2 images and for 3: it is of no image"):
        Probe(model, "position")(images(96, 96))


def test_attention_weights_with_a_bias_are_no_feature_maps() -> None:
    """Of 16 tokens on 32 x 32 pixels they are as square as maps of stride 2 would be."""

    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1, 1, 16, 16))

        def forward(self, weights: Tensor) -> Tensor:
            return weights + self.bias

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both, self.position, self.out = nn.Linear(8, 16), Biased(), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            queries, keys = self.both(tokens).unflatten(2, (2, 2, 4)).permute(2, 0, 3, 1, 4)
            weights = self.position(queries @ keys.transpose(2, 3)).softmax(-1)
            return self.out(weights.mean(1) @ tokens).transpose(1, 2).unflatten(2, x.shape[2:])

    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 8, 8), Attends(), nn.Conv2d(8, 2, 1))).float()
    capture = Probe(model, "*", output="logits")(images(32, 32), Target(1, "image"))
    assert set(capture.skipped) == {"1.position"}
    with pytest.raises(ProbeError, match=r"gave \(2, 2, 16, 16\), what an attention's heads have for each of 16"):
        Probe(model, "1.position", output="logits")(images(32, 32), Target(1, "image"))


@pytest.mark.parametrize("step", [lambda x: x[..., :8], lambda x: x.split([8, 1], 3)[0]])
def test_channels_that_fit_the_image_better_than_columns_stay_channels(step: Callable[[Tensor], Tensor]) -> None:
    """Of 24 x 36 pixels cropped to 32 columns: 4 channels, 6 rows, 8 columns, and 4 x 6 would have square cells."""

    class Crop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return step(x)

    layers = [nn.Conv2d(3, 4, 4, 4), Crop(), nn.SiLU(), nn.Conv2d(4, 2, 1), nn.Upsample((24, 36))]
    capture = Probe(seeded(lambda: nn.Sequential(*layers)).float(), ["1", "2"])(images(24, 36), Target(1, "image"))
    assert [tuple(capture.activations[label].shape) for label in ("1", "2")] == [(2, 4, 6, 8)] * 2


@pytest.mark.parametrize(("size", "classes"), [((32, 48), 2), ((32, 32), 3), ((48, 32), 1), ((40, 40), 21)])
def test_logits_with_classes_last_are_refused(size: tuple[int, int], classes: int) -> None:
    class Last(nn.Module):
        def __init__(self, stride: int) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, stride, stride=stride), nn.Linear(8, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).permute(0, 2, 3, 1))

    class Cured(Last):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).permute(0, 3, 1, 2)

    for stride in (1, 4):
        with pytest.raises(ProbeError, match=r"is \(b, h, w, classes\): .* returns output.permute\(0, 3, 1, 2\)"):
            Probe(Last(stride), "conv")(images(*size), Target(0, output="logits"))
        assert Probe(Cured(stride), "conv")(images(*size), Target(0, output="logits")).logits.shape[1] == classes


def test_as_many_classes_as_rows_and_columns() -> None:
    """A convolution's classes come first, permuted ones last; of others that cannot be told."""
    conv = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 1))
    assert Probe(conv, "0")(images(16, 16)).logits.shape == (2, 16, 16, 16)

    class Permuted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = conv

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).permute(0, 2, 3, 1)

    class Untold(Permuted):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).permute(0, 2, 3, 1).cumsum(1)

    with pytest.raises(ProbeError, match="pass images of another size, so that it shows"):
        Probe(Untold(), "net.0")(images(16, 16))
    for columns in (16, 24):
        with pytest.raises(ProbeError, match=r"is \(b, h, w, classes\)"):
            Probe(Permuted(), "net.0")(images(16, columns))


def test_a_network_of_one_number_of_images_is_told_the_layout() -> None:
    class Fixed(Patches):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) != 2:
                raise ValueError("two images, please")
            return super().forward(x)

    model = seeded(lambda: Fixed(16, 1), 2).float()
    with pytest.raises(ProbeError, match=r"with 3 the network failed \(two images, please\): say it with"):
        Probe(model, "act")(images(96, 96))
    told = Probe(model, Layer("act", "act", form="NLC", stride=16, prefix=1))(images(96, 96))
    assert torch.allclose(told.activations["act"], right(model, images(96, 96)), atol=1e-6)


def test_each_layout_can_be_told() -> None:
    model = seeded(lambda: Patches(16, 1), 2).float()
    for layer, message in (
        (Layer("act", "act", form="NHWC"), "three dimensions: form 'NHWC' has four"),
        (Layer("embed", "embed", form="NLC"), "four dimensions: form 'NLC' has three"),
        (Layer("act", "act", form="LNC"), "folded into the batch"),
        (Layer("act", "act", stride=5), r"37 tokens \(NLC\) .* fit no grid of stride 5 for images of 96 x 96"),
        (Layer("act", "act", prefix=3), "37 tokens .* fit no grid"),
    ):
        with pytest.raises(ProbeError, match=message):
            Probe(model, layer)(images(96, 96))
    for form in ("NLC", ""):
        found = Probe(model, Layer("act", "act", form=form, prefix=1))(images(96, 96))
        assert torch.allclose(found.activations["act"], right(model, images(96, 96)), atol=1e-6)


def test_weights_among_channels_are_no_grid_and_placeholders_may_be() -> None:
    class Channels(nn.Module):
        """Attention among channels, and an upsampling with a placeholder behind it."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.drop, self.up = nn.Conv2d(3, 6, 4, stride=4), nn.Dropout(), nn.Identity()
            self.head = nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            grid = self.stem(x)
            flat = grid.flatten(2)
            weights = self.drop((flat @ flat.transpose(1, 2)).softmax(-1)[:, None])[:, 0]
            mixed = (weights @ flat).view_as(grid)
            return self.head(nnf.interpolate(self.up(nnf.interpolate(mixed, scale_factor=2)), x.shape[2:]))

    model = seeded(Channels).float()
    with pytest.raises(ProbeError, match=r"gave \(2, 1, 6, 6\), what an attention's heads have .* form='NCHW'"):
        Probe(model, "drop")(images(32, 32) * 0.1)
    assert Probe(model, "up")(images(32, 32)).maps(grad_cam).shape == (2, 16, 16)
