"""Where layers and outputs lie: by hand for steps of every kind, and against the input gradient's centroid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from segcam.checks import diagnose
from segcam.metrics import measure
from segcam.models import architecture, create
from segcam.probe.placement import Placing
from segcam.probe.placement.centroids import measured
from segcam.scoring.grids import Placement, upsample
from segcam.scoring.reference import Scenery

SIZE = (64, 96)


class Steps(nn.Module):
    """A step, and a head behind it that sees every cell."""

    def __init__(self, step: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.step = step if isinstance(step, nn.Module) else Function(step)
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        maps = self.layer(self.step(x))
        logits = torch.cat([maps[:, :1], -maps[:, :1]], 1)
        return F.interpolate(logits, size=x.shape[2:], mode="bilinear")


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def even(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> nn.Module:
    conv = nn.Conv2d(3, 3, kernel, stride, padding, dilation, groups=3, bias=False)
    nn.init.constant_(conv.weight, 1 / kernel**2)
    return conv


def up(kernel: int, stride: int, padding: int = 0) -> nn.Module:
    conv = nn.ConvTranspose2d(3, 3, kernel, stride, padding, groups=3, bias=False)
    nn.init.constant_(conv.weight, 1 / kernel**2)
    return conv


def _mirror(x: Tensor) -> Tensor:
    return x.flip(-1)


def merged(x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    slices = [x[:, r::2, c::2] for r in (0, 1) for c in (0, 1)]
    return torch.cat(slices, -1).permute(0, 3, 1, 2)


STEPS: dict[str, tuple[Callable[[Tensor], Tensor] | nn.Module, Sequence[float]]] = {
    "pooling": (nn.AvgPool2d(2), (0.5, 0.5, 2, 2)),
    "maximum": (nn.MaxPool2d(3, 2, 1), (0, 0, 2, 2)),
    "stride and padding": (even(3, 2, 1), (0, 0, 2, 2)),
    "patches": (even(4, 4), (1.5, 1.5, 4, 4)),
    "overlapping patches": (even(7, 4, 3), (0, 0, 4, 4)),
    "dilation": (even(3, 1, 2, 2), (0, 0, 1, 1)),
    "no padding": (even(5), (2, 2, 1, 1)),
    "padded on one side": (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), even(3, 2)), (1, 1, 2, 2)),
    "reflected and cropped": (lambda x: F.pad(x, (4, 4, 4, 4), mode="reflect")[:, :, 6:-2, 4:-4], (2, 0, 1, 1)),
    "transposed": (nn.Sequential(even(4, 4), up(2, 2)), (0.5, 0.5, 2, 2)),
    "transposed, overlapping": (nn.Sequential(even(2, 2), up(4, 2, 1)), (0, 0, 1, 1)),
    "nearest": (nn.Sequential(even(3, 2, 1), nn.Upsample(scale_factor=2)), (-0.5, -0.5, 1, 1)),
    "corners aligned": (
        nn.Sequential(nn.AvgPool2d(2), nn.UpsamplingBilinear2d(size=(63, 95))),
        (0.5, 0.5, 1, 1),
    ),
    "shuffled": (nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2)), (0, 0, 1, 1)),
    "merged": (merged, (0.5, 0.5, 2, 2)),
    "reshaped into patches": (
        lambda x: x.reshape(-1, 3, 16, 4, 24, 4).permute(0, 1, 3, 5, 2, 4).reshape(-1, 48, 16, 24),
        (1.5, 1.5, 4, 4),
    ),
    "cropped by a negative padding": (lambda x: F.pad(x, (-4, -4, -3, -5)), (3, 4, 1, 1)),
    "padded, then cropped by less": (lambda x: F.pad(F.pad(x, (6, 6, 6, 6)), (-4, -8, -4, -8)), (-2, -2, 1, 1)),
    "a factor that leaves a rest": (
        nn.Sequential(even(8, 8), nn.Upsample(scale_factor=1.6, mode="bilinear")),
        (2, 2, 5, 5),
    ),
    "nearest, downwards": (lambda x: F.interpolate(x, size=(16, 24)), (0, 0, 4, 4)),
    "nearest-exact, downwards": (lambda x: F.interpolate(x, size=(16, 24), mode="nearest-exact"), (2, 2, 4, 4)),
    "rolled and back": (lambda x: x.roll((3, 5), (2, 3)).roll((-3, -5), (2, 3)), (0, 0, 1, 1)),
    "unfolded": (lambda x: x.unfold(2, 3, 2).mean(-1), (1, 0, 2, 1)),
    "split": (lambda x: x.split(32, 2)[1], (32, 0, 1, 1)),
    "a chunk": (lambda x: x.chunk(2, 3)[1], (0, 48, 1, 1)),
    "a global gate": (lambda x: F.avg_pool2d(x, 4, 4) * (1 + x.mean((2, 3))[:, :, None, None]), (1.5, 1.5, 4, 4)),
    "corners aligned from one cell": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.UpsamplingBilinear2d(size=(16, 24))),
        (1.5, 1.5, 4, 4),
    ),
    "in three dimensions": (
        lambda x: F.conv3d(x[:, None], torch.ones(1, 1, 1, 3, 3), stride=(1, 2, 2))[:, 0],
        (1, 1, 2, 2),
    ),
    "mirrored and back": (nn.Sequential(Function(_mirror), even(3, 2, 1), Function(_mirror)), (0, 1, 2, 2)),
    "channels in reverse": (lambda x: F.avg_pool2d(x.flip(1), 2), (0.5, 0.5, 2, 2)),
    "every other row": (lambda x: x[:, :, 1::2], (1, 0, 2, 1)),
    "finer branch counts": (
        lambda x: torch.cat([x, F.interpolate(F.avg_pool2d(x, 8, padding=4), size=x.shape[2:])], 1),
        (0, 0, 1, 1),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_moves_the_grid_as_it_does_by_hand(step: str) -> None:
    function, numbers = STEPS[step]
    x = torch.rand(1, 3, *SIZE)
    capture = Probe(Steps(function), "layer", placement="receptive_field")(x, Target(1, "image"))
    wanted = Placement((numbers[0], numbers[1]), (numbers[2], numbers[3]))
    grid = (int(capture.activations["layer"].shape[2]), int(capture.activations["layer"].shape[3]))
    found = Probe(Steps(function), "layer").placements(x)["layer"]
    assert found.placement.origin == pytest.approx(wanted.origin)
    assert found.placement.step == pytest.approx(wanted.step)
    assert found.offset == pytest.approx(wanted.offset(grid, SIZE))
    kept = capture.placements["layer"]
    assert (kept is None) == wanted.is_stretched(grid, SIZE)


@pytest.mark.parametrize(
    "step",
    [
        lambda x: torch.rot90(x, 2, (2, 3)).rot90(2, (2, 3)),
        lambda x: F.pad(x, (2, 2, 2, 2), mode="circular"),
        lambda x: x[:, :, torch.arange(3, 40)],
        lambda x: torch.stack([x[:, :, row] for row in range(4, 40)], 2),
        lambda x: F.conv1d(x.flatten(0, 2)[:, None], torch.ones(1, 1, 2), stride=2).view(len(x), 3, 64, -1),
    ],
)
def test_what_is_not_followed_is_said(step: Callable[[Tensor], Tensor]) -> None:
    assert not Probe(Steps(step), "layer").placements(torch.rand(1, 3, *SIZE))["layer"].exact


@pytest.mark.parametrize("placement", ["stretched", "receptive_field"])
def test_what_lies_mirrored_is_no_map_of_the_image(placement: Placing) -> None:
    """Else a figure shows the evidence on the other side. Flips between others change nothing."""
    x = torch.rand(2, 3, *SIZE)

    class Averaged(nn.Module):
        """The mean of a network's answers on an image and on its mirror image, as at test time."""

        def __init__(self) -> None:
            super().__init__()
            self.net = Steps(even(3, 2, 1))

        def forward(self, x: Tensor) -> Tensor:
            answers: Tensor = self.net(x) + self.net(x.flip(-1)).flip(-1)
            return answers

    net = Averaged()
    upright, turned = (Layer("net.layer", label=str(call), call=call) for call in (0, 1))
    capture = Probe(net, upright, placement=placement)(x, Target(1, "image"))
    alone = Probe(net.net, "layer", placement=placement)(x, Target(1, "image"))
    torch.testing.assert_close(capture.activations["0"], alone.activations["layer"])
    assert capture.placements["0"] == alone.placements["layer"]
    for probe in (Probe(net, turned, placement=placement), Probe(Steps(_mirror), "layer", placement=placement)):
        with pytest.raises(ProbeError, match="lies mirrored on the input"):
            probe(x, Target(1, "image"))
        with pytest.raises(ProbeError, match="lies mirrored on the input"):
            probe.placements(x)
    matched = Probe(Steps(nn.Sequential(Function(_mirror), even(3), Function(_mirror))), "*", placement=placement)
    capture = matched(x, Target(1, "image"))
    assert [layer.label for layer in capture.layers] == ["step", "step.2", "layer"]
    assert "mirrored" in capture.skipped["step.1"]
    assert set(matched.placements(x)) == {"step", "step.2", "layer"}


def test_a_call_on_one_tile_lies_on_that_tile() -> None:
    """Stretched over the whole image, its map would show evidence where the tile is not."""

    class Tiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            rows = [torch.cat([self.net(tile) for tile in row.chunk(2, 3)], 3) for row in x.chunk(2, 2)]
            return torch.cat(rows, 2)

    layers = [Layer("net", label=str(call), call=call) for call in range(4)]
    capture = Probe(Tiled(), layers)(torch.rand(1, 3, *SIZE), Target(1, "image"))
    corners = [(0, 0), (0, 48), (32, 0), (32, 48)]
    assert [capture.placements[str(n)] for n in range(4)] == [Placement(corner, (1, 1)) for corner in corners]


EXACT = ("stride and padding", "overlapping patches", "padded on one side", "transposed", "no padding", "patches")


@pytest.mark.parametrize("step", EXACT)
def test_it_is_the_centroid_of_the_input_gradient(step: str) -> None:
    function, numbers = STEPS[step]
    x = torch.rand(1, 3, *SIZE, requires_grad=True)
    net = Steps(function)
    maps = net.step(x)
    for cell in ((5, 7), (6, 9), (7, 8)):
        (gradient,) = torch.autograd.grad(maps[0, :, cell[0], cell[1]].sum(), x, retain_graph=True)
        found = measured(gradient)[0].tolist()
        at = [numbers[n] + numbers[n + 2] * cell[n] for n in (0, 1)]
        if step != "transposed":  # a cell of its output is half of one of the input's
            assert found == pytest.approx(at)
        else:
            assert max(abs(found[n] - at[n]) for n in (0, 1)) <= 1


FAMILY: dict[str, tuple[float, ...]] = {
    "unet": (0,) * 5,
    "timm_unet:resnet18": (-0.5, -1.5, -3.5, -7.5, -15.5),
    "segformer": (-1.5, -3.5, -7.5, -15.5),
}


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_lies_where_its_strides_say(name: str) -> None:
    net = create(name, 2, {})
    layers = architecture(name).layers(net, "conv")
    placed = Probe(net, layers).placements(torch.rand(1, 3, *SIZE))
    offsets = {layer.stride: placed[layer.label].offset for layer in layers if layer.role != "decoder"}
    strides = sorted(offsets)[-len(FAMILY[name]) :]
    assert [offsets[stride] for stride in strides] == [pytest.approx((o, o)) for o in FAMILY[name]]


def halving(kernel: int) -> nn.Sequential:
    """Five times half the size, by convolutions of `kernel`: 2 as a U-Net's pooling, 3 as a ResNet's strides."""
    return nn.Sequential(*(even(kernel, 2, kernel // 2 if kernel == 3 else 0) for _ in range(5)), nn.Conv2d(3, 2, 1))


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_dot_is_found_where_it_is(kernel: int) -> None:
    net = halving(kernel)
    with torch.no_grad():
        net[5].weight.copy_(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))  # type: ignore[union-attr,operator]
    probe = Probe(net, "4", placement="receptive_field")
    shifts = []
    rows = torch.arange(256.0)
    for spot in range(96, 160, 8):  # over two cells: centroids average out
        images = torch.zeros(1, 3, 256, 256)
        images[..., spot - 4 : spot + 4, spot - 4 : spot + 4] = 1
        capture = probe(images, Target(1, "image"))
        full = upsample(capture.maps(grad_cam)[:, None], (256, 256), capture.placements["4"])[0, 0]
        shifts.append(float((full.sum(1) * rows).sum() / full.sum()) - (spot - 0.5))
    assert abs(sum(shifts) / len(shifts)) < 0.5


def test_a_perfect_map_is_perfect_where_it_lies_and_not_half_a_cell_off() -> None:
    """Stride 16 and a square object, as the layer sees it, scored at its place and stretched over the image."""
    size, grid = (128, 128), (8, 8)
    foreground = torch.zeros(1, *size, dtype=torch.bool)
    foreground[:, 40:104, 24:88] = True
    scenery = Scenery(torch.rand(1, *size), foreground, ~foreground, ("a",))
    place = Placement((0.0, 0.0), (16.0, 16.0))
    there = scenery.on(grid, place)
    perfect = there.foreground_share[:, None]
    at_place = measure(perfect, there, ["iou", "average_precision"])
    beside = measure(perfect, scenery.on(grid), ["iou", "average_precision"])
    for name, values in at_place.items():
        assert float(values) > float(beside[name]) + 0.05
    from segcam.methods import METHODS

    control = METHODS.get("mask_displaced").control
    assert control is not None
    moved = measure(control(there)[:, None], there, ["iou"])["iou"]
    assert float(moved) < float(at_place["iou"]) - 0.05


class Valid(nn.Module):
    """Convolutions without padding; the output is the input's middle, of what the last one is made to be."""

    def __init__(self, convolutions: int, shape: tuple[int, int] = (3, 3), stride: int = 1) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for n in range(convolutions):
            conv = nn.Conv2d(1, 1, shape, stride=stride if n == 0 else 1, bias=False)
            nn.init.zeros_(conv.weight)
            with torch.no_grad():
                conv.weight[0, 0, shape[0] // 2, shape[1] // 2] = 1
            steps += [conv, nn.ReLU()]
        self.steps = nn.Sequential(*steps)
        self.head = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.head.weight[:, 0, 0, 0] = torch.tensor([-1.0, 1.0])
            self.head.bias.copy_(torch.tensor([0.5, -0.5]))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.steps(x))
        return out


UNPADDED = {
    "twelve": Valid(12),
    "so that half is left": Valid(16),
    "one side more than the other": Valid(6, (5, 3)),
    "with a stride": Valid(4, stride=2),
    "by one pixel a side": Valid(1),
}


@pytest.mark.parametrize("case", UNPADDED)
def test_an_output_without_padding_is_the_middle_of_the_input(case: str) -> None:
    net = UNPADDED[case]
    images = torch.zeros(1, 1, 64, 64)
    images[:, :, 24:36, 28:40] = 1
    truth = (images[:, 0] > 0).long()
    layer = f"steps.{len(net.steps) - 2}"
    probe = Probe(net, layer, placement="receptive_field")
    capture, true = (probe(images, Target(1, pixels), masks=truth) for pixels in ("predicted", "truth"))
    if case == "with a stride":  # its cells are two pixels wide
        assert float((capture.explained.chosen & (truth == 1)).sum() / truth.sum()) > 0.7
    else:
        assert torch.equal(capture.explained.chosen, truth == 1)
        assert torch.equal(true.explained.chosen, truth == 1)
    full = upsample(capture.maps(grad_cam)[:, None], (64, 64), capture.placements[layer])[0, 0]
    row, column = divmod(int(full.argmax()), 64)
    assert bool(truth[0, row, column])
    assert Probe(net, layer)(images).placements[layer] == capture.placements[layer]  # stretching has no meaning here
    assert not bool(probe(images, Target(0, "image")).explained.chosen.all())  # beyond its output it says nothing
    best = probe(torch.zeros_like(images), Target(0)).explained.chosen[0]
    assert not bool(best[0, 0])


def test_an_output_of_a_size_that_no_one_can_place_is_refused() -> None:
    class Detached(nn.Module):
        def __init__(self, size: tuple[int, int]) -> None:
            super().__init__()
            self.a, self.size = nn.Conv2d(1, 2, 1), size

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.a(F.adaptive_avg_pool2d(x.detach(), self.size))
            return out

    images = torch.rand(1, 1, 64, 64)
    with pytest.raises(ProbeError, match="neither a factor nor a constant"):
        Probe(Detached((40, 30)), "a", output="logits")(images)
    assert Probe(Detached((32, 32)), "a", output="logits")(images).target.placement is None
    assert Probe(Detached((44, 44)), "a", output="logits")(images).target.placement == Placement((10, 10), (1, 1))
    with pytest.raises(ProbeError, match="placement='stretched'"):
        Probe(Detached((32, 32)), "a", placement="receptive_field", output="logits")(images)


def test_a_network_that_pads_inside_and_crops_lies_beyond_the_input() -> None:
    conv = nn.Conv2d(1, 1, 1)
    nn.init.ones_(conv.weight)

    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = conv, nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.layer(F.pad(x, (24, 24, 24, 24), mode="reflect")))
            return out[:, :, 24:-24, 24:-24]

    images = torch.rand(1, 1, 64, 64)
    net = Padded()
    capture = Probe(net, "layer", output="logits")(images, Target(1, "image"))
    assert capture.placements["layer"] == Placement((-24, -24), (1, 1))
    maps = capture.activations["layer"]
    assert torch.allclose(upsample(maps, (64, 64), capture.placements["layer"]), conv(images), atol=1e-6)
    part = Scenery(images[:, 0], images[:, 0] > 0.5, images[:, 0] <= 0.5, ("a",))
    aligned = measure(images.clamp(min=0), part.on((64, 64)), ["iou"])["iou"]
    kept = F.pad(images, (24, 24, 24, 24))
    assert torch.allclose(measure(kept, part.on((112, 112), capture.placements["layer"]), ["iou"])["iou"], aligned)


def test_a_diagnosis_says_where_cells_look() -> None:
    images, net = torch.rand(1, 3, *SIZE), halving(3)
    said = diagnose(Probe(net, ["0", "4"]), images, Target(1, "image"))
    assert said["4"].offset == (-15.5, -15.5)
    assert "15.5 px up and 15.5 px left" in said["4"].text
    assert said["0"].offset == (-0.5, -0.5)
    assert "px" not in said["0"].text
    placed = diagnose(Probe(net, "4", placement="receptive_field"), images, Target(1, "image"))
    assert placed["4"].offset == (0, 0)


@pytest.mark.parametrize(("kernel", "offset"), [(2, 0.0), (3, -3.5)])
def test_centroids_of_the_middle_cells_are_where_even_weights_say(kernel: int, offset: float) -> None:
    net = halving(kernel)[:3]
    centroids = Probe(net, "2").centroids(torch.rand(2, 3, 64, 96))["2"]
    assert centroids.shape == (2, 4, 2)
    assert torch.allclose(centroids, torch.full_like(centroids, offset))
    dead = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 1))
    nn.init.zeros_(dead[0].weight)  # type: ignore[arg-type]
    assert bool(Probe(dead, "0").centroids(torch.rand(1, 3, 8, 8))["0"].isnan().all())


@pytest.mark.parametrize("cell", [(0, 0), (5, 9), (31, 47)])
def test_an_upsampled_map_peaks_at_its_cells_centre(cell: tuple[int, int]) -> None:
    """Behind a 3 x 3 convolution of stride 2 and padding 1 cell i lies at pixel 2 i; stretched, at 2 i + 1/2."""
    net = Steps(even(3, stride=2, padding=1))
    images = torch.zeros(2, 3, *SIZE)
    images[0, :, 2 * cell[0], 2 * cell[1]] = 1
    capture = Probe(net, "layer", placement="receptive_field")(images, Target(0, "image"))
    large = capture.upsampled(grad_cam, "layer")
    assert large.shape == (2, *SIZE)
    assert divmod(int(large[0].argmax()), SIZE[1]) == (2 * cell[0], 2 * cell[1])
    wanted = upsample(capture.maps(grad_cam)[:, None], SIZE, Placement((0, 0), (2, 2)))[:, 0]
    torch.testing.assert_close(large, wanted)
    stretched = Probe(net, "layer")(images, Target(0, "image"))
    plain = F.interpolate(stretched.maps(grad_cam)[:, None], size=SIZE, mode="bilinear")[:, 0]
    torch.testing.assert_close(stretched.upsampled(grad_cam), plain)
    assert not torch.equal(plain[0], large[0])


def test_an_upsampled_map_of_a_network_without_padding_lies_where_it_looks() -> None:
    """Twelve 3 x 3 convolutions take 12 pixels from each side: stretched, the map of an object lies elsewhere."""
    convs = nn.Sequential(*[step for _ in range(12) for step in (nn.Conv2d(1, 1, 3, bias=False), nn.ReLU())])
    for conv in convs[::2]:
        nn.init.dirac_(conv.weight)  # type: ignore[arg-type]
    head = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        head.weight[:, 0, 0, 0] = torch.tensor([-1.0, 1.0])
        head.bias.copy_(torch.tensor([0.5, -0.5]))  # type: ignore[union-attr]
    images = torch.zeros(1, 1, 64, 64)
    images[0, 0, 16:20, 16:20] = 1
    capture = Probe(nn.Sequential(convs, head), "0.22", placement="receptive_field")(images, Target(1, "predicted"))
    large = capture.upsampled(grad_cam)[0]
    rows, columns = (large > 0.5 * large.max()).nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (16, 19, 16, 19)


def test_an_upsampled_map_of_an_empty_pixel_set_is_undefined() -> None:
    net = Steps(even(3, stride=2, padding=1))
    masks = torch.zeros(2, *SIZE, dtype=torch.int64)
    masks[1, 10:20, 10:20] = 1
    capture = Probe(net, "layer")(torch.rand(2, 3, *SIZE), Target(1, "truth"), masks=masks)
    large = capture.upsampled(grad_cam)
    assert large[0].isnan().all()
    assert large[1].isfinite().all()
    with pytest.raises(ProbeError, match="no layer 'other' was probed: there are layer"):
        capture.upsampled(grad_cam, "other")
