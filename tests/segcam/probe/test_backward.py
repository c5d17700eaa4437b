"""Backward passes without the zeros: the gradients are those of an ordinary pass, and there is less to compute."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segcam import Probe, Target, grad_cam
from segcam.models import architecture, create
from segcam.probe.backward import (
    Windows,
    WithoutZeros,
    cells_below,
    cells_reached,
    convolves,
    cut,
    gradients_of,
    hull,
    laid,
    moved,
    nonzero,
)


class TwoBranches(nn.Module):
    """A convolution and a skip around it, so that gradients are added where they meet."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.cat([self.inner(x), 2 * x], 1)[:, :5] + x


def conv(*sizes, **kwargs):
    return nn.Conv2d(*sizes, **kwargs)


NETWORKS = {
    "plain": lambda: [conv(5, 6, 3, padding=1), conv(6, 2, 1)],
    "no padding": lambda: [conv(5, 6, 3), conv(6, 2, (5, 2))],
    "wide padding": lambda: [conv(5, 6, 3, padding=4), conv(6, 2, 3, padding=(0, 2))],
    "stride": lambda: [conv(5, 6, 3, padding=1, stride=2), conv(6, 2, 2, stride=(2, 1))],
    "dilation": lambda: [conv(5, 6, 3, padding=3, dilation=3), conv(6, 2, 3, dilation=(1, 2))],
    "groups": lambda: [conv(5, 10, 3, padding=1, groups=5), conv(10, 2, 1, groups=2)],
    "replicate": lambda: [conv(5, 6, 3, padding=1, padding_mode="replicate"), conv(6, 2, 1)],
    "upsampling": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 2, stride=2), nn.ReLU(), conv(4, 2, 3, padding=1)],
    "uneven upsampling": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, (3, 2), stride=(3, 2)), conv(4, 2, 3)],
    "overlapping upsampling": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1), conv(4, 2, 1)],
    "grouped upsampling": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), conv(4, 2, 1)],
    "norms": lambda: [conv(5, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.BatchNorm2d(6, affine=False), conv(6, 2, 1)],
    "group norm": lambda: [conv(5, 6, 3), nn.GroupNorm(2, 6), nn.SiLU(), conv(6, 2, 3)],
    "activations": lambda: [conv(5, 6, 3), nn.ReLU6(), nn.Hardswish(), nn.LeakyReLU(), nn.SiLU(), conv(6, 2, 1)],
    "in place": lambda: [conv(5, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), conv(6, 2, 3)],
    "pools": lambda: [
        conv(5, 6, 1),
        nn.MaxPool2d(3, 2, 1),
        conv(6, 6, 3, padding=1),
        nn.MaxPool2d((2, 1)),
        conv(6, 2, 1),
    ],
    "average": lambda: [conv(5, 6, 3), nn.AvgPool2d(2), conv(6, 2, 3)],
    "stretched": lambda: [conv(5, 6, 3), nn.Upsample(scale_factor=2, mode="bilinear"), conv(6, 2, 3, padding=1)],
    "branches": lambda: [TwoBranches(conv(5, 4, 3, padding=1)), nn.ReLU(), TwoBranches(conv(5, 4, 1)), conv(5, 2, 3)],
    "padded": lambda: [conv(5, 6, 3), nn.ZeroPad2d((0, 3, 1, 0)), nn.ReLU(), nn.ZeroPad2d(0), conv(6, 2, 3)],
}


def differentiate(score, by, *, ordinary=False):
    """The gradients of a score, all of them whole."""
    if ordinary:
        return torch.autograd.grad(score, by)
    with WithoutZeros() as mode:
        found = torch.autograd.grad(score, by)
    return [mode.whole(gradient) for gradient in found]


def gradients(body, images, choose, *, ordinary=False):
    """The gradient of what `choose` picks by every module's output, and by the input."""
    got = [images.clone().requires_grad_()]
    x = got[0]
    for module in body:
        x = module(x)
        got.append(x)
        x = x.clone() if any(getattr(m, "inplace", False) for m in body) else x
    return differentiate(choose(x), got[:-1], ordinary=ordinary)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_an_ordinary_pass(name, memory_format):
    torch.manual_seed(0)
    body = nn.Sequential(*NETWORKS[name]()).double().eval().requires_grad_(False)
    for module in body:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(4, 5, 21, 26, dtype=torch.float64).contiguous(memory_format=memory_format)
    rows, columns = body(images).shape[2:]
    for places in ([(0, 0)] * 4, [(0, 0), (rows - 1, columns - 1), (rows // 2, 3), (1, columns // 2)]):

        def choose(out, places=places):
            return sum(out[i, 1, y, x] for i, (y, x) in enumerate(places[:3]))  # the fourth image's set is empty

        wanted = gradients(body, images, choose, ordinary=True)
        found = gradients(body, images, choose)
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            assert float(b.abs().max()) > 0 or (name, places[1]) == ("wide padding", (0, 0))  # which sees padding alone
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_full_gradients_are_right_as_well():
    torch.manual_seed(0)
    body = nn.Sequential(*NETWORKS["norms"](), *[conv(2, 2, 3, padding=1)]).double().eval().requires_grad_(False)
    images = torch.randn(2, 5, 12, 12, dtype=torch.float64)
    both = [gradients(body, images, lambda out: out.square().sum(), ordinary=ordinary) for ordinary in (True, False)]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_the_parameters_gradients_are_left_alone():
    torch.manual_seed(0)
    body = nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4), conv(4, 2, 1)).double().eval()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    for_parameters = []
    for ordinary in (True, False):
        out = body(images)[:, 1, 4, 4].sum()
        for_parameters.append(differentiate(out, list(body.parameters()), ordinary=ordinary))
    for a, b in zip(*for_parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def overlapping(copy):
    left, right = copy[:, :3], copy[:, 2:]
    left.add_(right.sum())
    return torch.cat([left[:, :1], right, left[:, :1]], 1)[:, :4]


WRITES = {
    "all": lambda copy: copy.mul_(2).add_(1),
    "one channel": lambda copy: copy[:, 1].add_(1),
    "some channels": lambda copy: copy[:, 1:3].add_(1),
    "some rows": lambda copy: copy[:, :, :2].fill_(3),
    "a view of a view": lambda copy: copy.detach()[:, 2:][:, :1].add_(1),
    "an index": lambda copy: copy.index_fill_(3, torch.tensor([1, 5]), 2.0),
    "where it is positive": lambda copy: copy.clamp_(min=0),
    "once more": lambda copy: (copy[:, 1:].neg_(), copy[:, :2].add_(1), copy.mul_(copy.view(copy.shape))),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_into_a_gradient_is_not_lost(write):
    """A function of the network's own may change a copy of a gradient, through views of it as well."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            copy = gradient.clone()
            before = copy[:, :2]
            write(copy)
            return copy + torch.cat([before, before], 1)

    assert_the_same_through(Changed.apply)


def test_views_that_overlap_are_views_of_one_gradient():
    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return overlapping(gradient.clone())

    assert_the_same_through(Changed.apply)


def assert_the_same_through(function):
    torch.manual_seed(0)
    first, second = conv(3, 4, 3, padding=1).double(), conv(4, 2, 3, padding=1).double()
    first.requires_grad_(False), second.requires_grad_(False)
    found = []
    for ordinary in (True, False):
        images = torch.randn(1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        images.requires_grad_()
        out = second(function(first(images)))[:, 1, 9, 9].sum()
        found += differentiate(out, [images], ordinary=ordinary)
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["unet", "segformer"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_maps_of_real_networks_are_the_same(name, precision, monkeypatch):
    model = create(name, 2, {"width": 4} if name == "unet" else {}, seed=3).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    probe = Probe(model, architecture(name).layers(model, "conv"), precision=precision, channels_last=True)
    found = probe(images, Target(1))
    monkeypatch.setattr("segcam.probe.backward.FEW", -1)
    wanted = probe(images, Target(1))
    for layer in probe.layers:
        a, b = found.gradients[layer.label].float(), wanted.gradients[layer.label].float()
        scale = float(b.abs().max())
        torch.testing.assert_close(a, b, rtol=0, atol=scale * (1e-5 if precision == "fp32" else 0.05))
        a, b = found.maps(grad_cam, layer), wanted.maps(grad_cam, layer)
        if precision == "fp32":
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.max()))


def work(pixels):
    """Multiplications and additions of a U-Net's backward pass."""
    model = create("unet", 2, {"width": 4}).eval().requires_grad_(False)
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)).requires_grad_()
    explained = Target(1, pixels).explain(model(images), (128, 128))
    with FlopCounterMode(display=False) as counter:
        gradients_of(explained, [images])
    return counter.get_total_flops()


def test_most_of_the_decoder_is_left_out_for_one_pixel():
    assert work("best_pixel") < 0.6 * work("image")


def test_large_sets_take_the_ordinary_pass(monkeypatch):
    used = []
    monkeypatch.setattr("segcam.probe.backward.WithoutZeros", lambda: used.append(1) or WithoutZeros())

    def differentiated(pixels):
        logits = torch.zeros(2, 2, 16, 16)
        logits[:, 1].flatten(1)[:, :pixels] = 1
        logits.requires_grad_()
        (found,) = gradients_of(Target(1, "predicted").explain(logits, (16, 16)), [logits])
        assert found.count_nonzero() == 2 * pixels
        return len(used)

    assert differentiated(16) == 1
    assert differentiated(17) == 1


def test_what_does_not_lead_to_the_scores_has_no_gradient():
    logits, other = torch.rand(1, 2, 16, 16).requires_grad_(), torch.rand(3).requires_grad_()
    found = gradients_of(Target(1).explain(logits, (16, 16)), [other, logits], keep=True)
    assert found[0] is None
    again = gradients_of(Target(1).explain(logits, (16, 16)), [other, logits])
    torch.testing.assert_close(found[1], again[1])


def test_windows_hold_all_that_is_not_zero():
    stack = torch.zeros(3, 2, 9, 7)
    stack[0, 1, 8, 6] = stack[1, 0, 2, 3] = stack[1, 1, 4, 1] = 1
    windows = nonzero(stack)
    assert windows == Windows((6, 2, 0), (4, 1, 0), 3, 3)
    for layout in (torch.contiguous_format, torch.channels_last):
        laid_out = stack.contiguous(memory_format=layout)
        parts = cut(laid_out, windows)
        assert parts.is_contiguous(memory_format=layout)
        whole = laid(parts, windows, stack.shape, layout)
        assert whole.is_contiguous(memory_format=layout)
        torch.testing.assert_close(whole, stack)
    assert nonzero(torch.zeros(1, 2, 4, 4)) == Windows((0,), (0,), 1, 1)


def test_parts_are_seen_from_other_windows():
    parts = torch.arange(1.0, 10).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    seen = moved(parts, (-2, 3), (0, 2), Windows((0, 2), (0, 1), 2, 3))
    assert seen[0, 0].tolist() == [[7, 8, 9], [0, 0, 0]]
    assert seen[1, 0].tolist() == [[0, 0, 0], [0, 1, 2]]
    assert moved(parts, (1, 2), (3, 4), Windows((1, 2), (3, 4), 3, 3)) is parts


def test_windows_around_two_stay_inside():
    found = hull(Windows((0, 5), (0, 0), 2, 3), Windows((3, 6), (0, 1), 1, 2))
    assert found == Windows((0, 3), (0, 0), 4, 3)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (5, 2, 0, 1), (3, 2, 2, 2)])
def test_cells_reached_are_those_a_convolution_reads(kernel, stride, padding, dilation):
    cells = 13
    outputs = (cells + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    for start in range(outputs - 1):
        reach, inside, size = cells_reached((start,), 2, cells, kernel, stride, padding, dilation)
        read = {i * stride - padding + dilation * k for i in (start, start + 1) for k in range(kernel)}
        assert reach == [min(read)]
        assert {i for i in read if 0 <= i < cells} <= set(range(inside[0], inside[0] + size)) <= set(range(cells))


def test_cells_below_are_those_an_upsampling_reads():
    for start in range(11):
        tops, size = cells_below((start, 0), 3, 2, 7)
        assert {(start + i) // 2 for i in range(3)} <= set(range(tops[0], tops[0] + size)) <= set(range(7))


def test_zeros_are_looked_for_in_networks_that_mostly_convolve() -> None:
    assert convolves(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 2), nn.Linear(2, 2)))
    assert not convolves(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2), nn.Linear(2, 2)))
    assert not convolves(nn.Sequential())
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    chosen = Target(1).explain(nn.Conv2d(3, 2, 3, padding=1)(images), (16, 16))
    (plain,) = gradients_of(chosen, [images], keep=True, local=False)
    (found,) = gradients_of(chosen, [images])
    assert plain is not None
    assert found is not None
    assert torch.allclose(plain, found, atol=1e-7)
