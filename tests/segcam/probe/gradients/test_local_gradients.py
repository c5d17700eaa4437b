"""Backward passes without the zeros: the gradients are those of an ordinary pass, and there is less to compute."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segcam import Probe, Target, grad_cam
from segcam.models import architecture, create
from segcam.probe.gradients import backward, local_gradients
from segcam.probe.gradients.local_gradients import convolves, grad, pays
from segcam.probe.gradients.windows import Spans, Windows, nonzero
from tests.small_networks import seeded


class TwoBranches(nn.Module):
    """A convolution and a skip around it, so that gradients are added where they meet."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.cat([self.inner(x), 2 * x], 1)[:, :5] + x


class Sum(nn.Module):
    """Two convolutions of one input, whose gradients have windows of different sizes."""

    def __init__(self, *kernels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(5, 5, kernel, padding=kernel // 2) for kernel in kernels)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches)


class Beside(Sum):
    """Two convolutions of one input, side by side."""

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Cast(nn.Module):
    """Another type of numbers."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


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
    "upsampling that overlaps": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 3, stride=2), conv(4, 2, 1)],
    "upsampling cut off": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 2, stride=2, padding=1), conv(4, 2, 1)],
    "upsampling and more": lambda: [
        conv(5, 6, 3),
        nn.ConvTranspose2d(6, 4, 2, stride=2, output_padding=1),
        conv(4, 2, 3, padding=1),
    ],
    "upsampling with holes": lambda: [
        conv(5, 6, 3),
        nn.ConvTranspose2d(6, 4, 2, stride=2, dilation=3),
        conv(4, 2, 3, padding=1),
    ],
    "grouped upsampling": lambda: [conv(5, 6, 3), nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), conv(4, 2, 1)],
    "norms": lambda: [conv(5, 6, 3), nn.BatchNorm2d(6), nn.GELU(), nn.BatchNorm2d(6, affine=False), conv(6, 2, 1)],
    "group norm": lambda: [conv(5, 6, 3), nn.GroupNorm(2, 6), nn.SiLU(), conv(6, 2, 3)],
    "activations": lambda: [conv(5, 6, 3), nn.ReLU6(), nn.Hardswish(), nn.LeakyReLU(), nn.SiLU(), conv(6, 2, 1)],
    "in place": lambda: [conv(5, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), conv(6, 2, 3)],
    "pools": lambda: [conv(5, 6, 1), nn.MaxPool2d(3, 2, 1), conv(6, 6, 3), nn.MaxPool2d((2, 1)), conv(6, 2, 1)],
    "average": lambda: [conv(5, 6, 3), nn.AvgPool2d(2), conv(6, 2, 3)],
    "stretched": lambda: [conv(5, 6, 3), nn.Upsample(scale_factor=2, mode="bilinear"), conv(6, 2, 3, padding=1)],
    "branches": lambda: [TwoBranches(conv(5, 4, 3, padding=1)), nn.ReLU(), TwoBranches(conv(5, 4, 1)), conv(5, 2, 3)],
    "wide and narrow": lambda: [conv(5, 5, 3, padding=1), Sum(5, 1), nn.ReLU(), conv(5, 2, 1)],
    "narrow and wide": lambda: [conv(5, 5, 3, padding=1), Sum(1, 5), nn.ReLU(), conv(5, 2, 1)],
    "beside each other": lambda: [conv(5, 5, 3, padding=1), Beside(1, 5), nn.ReLU(), conv(10, 2, 1)],
    "in single precision": lambda: [conv(5, 5, 3), Cast(torch.float32), Cast(torch.float64), conv(5, 2, 1)],
    "statistics of the batch": lambda: [conv(5, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), conv(6, 2, 1)],
    "padded": lambda: [conv(5, 6, 3), nn.ZeroPad2d((0, 3, 1, 0)), nn.ReLU(), nn.ZeroPad2d(0), conv(6, 2, 3)],
}


def differentiate(score, by, *, ordinary=False):
    """The gradients of a score, all of them whole."""
    return torch.autograd.grad(score, by) if ordinary else grad(score, by, False)


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
    body = seeded(lambda: nn.Sequential(*NETWORKS[name]())).requires_grad_(False)
    torch.manual_seed(0)
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


FOLLOWED = ("plain", "stride", "dilation", "groups", "upsampling", "grouped upsampling", "norms", "activations")


@pytest.mark.parametrize("name", [*FOLLOWED, "in place", "narrow and wide", "beside each other", "nothing padded"])
def test_windows_are_looked_for_once_and_followed_from_there(name, monkeypatch):
    searched = []
    monkeypatch.setattr(
        local_gradients, "nonzero", lambda gradient: searched.append(gradient.shape) or nonzero(gradient)
    )
    modules = [conv(5, 6, 3), nn.ZeroPad2d(0), conv(6, 2, 3)] if name == "nothing padded" else NETWORKS[name]()
    body = seeded(lambda: nn.Sequential(*modules)).requires_grad_(False)
    images = torch.randn(2, 5, 64, 72, dtype=torch.float64)
    gradients(body, images, lambda out: out[:, 1, out.shape[2] // 3, out.shape[3] // 3].sum())
    assert len(searched) == 1
    gradients(body, images, lambda out: out.square().sum())
    assert len(searched) == 2, "they fill the image"


def test_gradients_keep_their_type():
    """A normalisation may have parameters of another one."""
    norm = nn.BatchNorm2d(3).eval().requires_grad_(False)
    norm.running_var.fill_(0.3)
    last = seeded(lambda: conv(3, 2, 1)).bfloat16().requires_grad_(False)
    images = torch.randn(2, 3, 9, 9).bfloat16().requires_grad_()
    for choose in (lambda out: out.square().sum(), lambda out: out[:, 1, 4, 4].sum()):
        plain, local = (
            differentiate(choose(last(norm(images))), [images], ordinary=ordinary)[0] for ordinary in (True, False)
        )
        assert plain.dtype == local.dtype == torch.bfloat16
        torch.testing.assert_close(local, plain)


def test_full_gradients_are_right_as_well():
    body = seeded(lambda: nn.Sequential(*NETWORKS["norms"](), conv(2, 2, 3, padding=1))).requires_grad_(False)
    images = torch.randn(2, 5, 12, 12, dtype=torch.float64)
    both = [gradients(body, images, lambda out: out.square().sum(), ordinary=ordinary) for ordinary in (True, False)]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_the_parameters_gradients_are_left_alone():
    body = seeded(lambda: nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4), conv(4, 2, 1)))
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    scores = (body(images)[:, 1, 4, 4].sum() for _ in range(2))
    by = list(body.parameters())
    for a, b in zip(*(differentiate(next(scores), by, ordinary=o) for o in (True, False)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def overlapping(copy):
    left, right = copy[:, :3], copy[:, 2:]
    left.add_(right.sum())
    copy.copy_(torch.cat([left[:, :1], right, left[:, :1]], 1)[:, :4])


WRITES = {
    "all": lambda copy: copy.mul_(2).add_(1),
    "one channel": lambda copy: copy[:, 1].add_(1),
    "some rows": lambda copy: copy[:, :, :2].fill_(3),
    "a view of a view": lambda copy: copy.detach()[:, 2:][:, :1].add_(1),
    "an index": lambda copy: copy.index_fill_(3, torch.tensor([1, 5]), 2.0),
    "where it is positive": lambda copy: copy.clamp_(min=0),
    "once more": lambda copy: (copy[:, 1:].neg_(), copy[:, :2].add_(1), copy.mul_(copy.view(copy.shape))),
    "overlapping views": overlapping,
}


RETURNED = {
    "a sum": lambda copy, view: copy + torch.cat([view[:, :2], view[:, :2]], 1),
    "what is written to": lambda copy, view: copy,
    "a view of it": lambda copy, view: view,
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_into_a_gradient_is_not_lost(write, returned):
    """A function of the network's own may change a copy of a gradient, through views of it as well."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            copy = gradient.clone()
            view = copy[:, :]
            write(copy)
            return returned(copy, view)

    torch.manual_seed(0)
    first, second = (conv(*sizes, 3, padding=1).double().requires_grad_(False) for sizes in ((3, 4), (4, 2)))
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64).requires_grad_()
    plain, local = (
        differentiate(second(Changed.apply(first(images)))[:, 1, 9, 9].sum(), [images], ordinary=ordinary)[0]
        for ordinary in (True, False)
    )
    torch.testing.assert_close(local, plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["unet", "segformer"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_maps_of_networks_are_the_same(name, precision):
    model = create(name, 2, {"width": 4} if name == "unet" else {}, seed=3).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    layers = architecture(name).layers(model, "conv")
    local, plain = (
        Probe(model, layers, precision=precision, channels_last=True, local_gradients=switch)(images, Target(1))
        for switch in (True, False)
    )
    for layer in layers:
        a, b = local.gradients[layer.label].float(), plain.gradients[layer.label].float()
        assert a.is_contiguous(memory_format=torch.channels_last) == b.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(a, b, rtol=0, atol=float(b.abs().max()) * (1e-5 if precision == "fp32" else 0.05))
        a, b = local.maps(grad_cam, layer), plain.maps(grad_cam, layer)
        if precision == "fp32":
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.max()))


def work(probe, pixels):
    """Multiplications and additions of a pass."""
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with FlopCounterMode(display=False) as counter:
        probe(images, Target(1, pixels))
    return counter.get_total_flops()


def test_the_switch():
    """It is on by itself for one pixel of a U-Net, where it leaves out most of the decoder."""
    model = create("unet", 2, {"width": 4})
    on, off, by_itself = (Probe(model, "*", kind=nn.Conv2d, local_gradients=switch) for switch in (True, False, None))
    assert work(on, "best_pixel") == work(by_itself, "best_pixel") < 0.8 * work(off, "best_pixel")
    assert work(off, "image") == work(by_itself, "image") == work(on, "image")


def test_it_pays_for_few_pixels_of_networks_that_mostly_convolve():
    assert convolves([conv(3, 4, 3), nn.ConvTranspose2d(4, 2, 2), nn.Linear(2, 2)])
    assert not convolves([conv(3, 4, 3), nn.Linear(2, 2), nn.Linear(2, 2)])
    assert not convolves([])
    logits = torch.zeros(2, 2, 16, 16)
    for pixels in (16, 17):
        logits[:, 1].flatten(1)[:, :pixels] = 1
        assert pays(Target(1, "predicted").explain(logits, (16, 16))) == (pixels == 16)
    logits[0, 1] = 0
    assert not pays(Target(1, "predicted").explain(logits, (16, 16))), "the image with most counts"
    assert pays(Target(1, "predicted").explain(logits[:1], (16, 16)))
    assert not pays(SimpleNamespace(chosen=torch.zeros(0, 16, 16), pixels=torch.zeros(0))), "there is no image"
    assert not pays(SimpleNamespace(chosen=torch.zeros(2, 16, 16, device="meta"), pixels=torch.ones(2))), "no processor"


def test_sums_with_a_factor_are_not_plain_sums():
    class Weighed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 4 * x

        @staticmethod
        def backward(ctx, gradient):
            return torch.add(gradient, gradient.clone(), alpha=3)

    torch.manual_seed(0)
    first, second = (conv(3, 3, 3, padding=1).double().requires_grad_(False) for _ in range(2))
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64).requires_grad_()
    plain, local = (
        differentiate(second(Weighed.apply(first(images)))[:, 1, 9, 9].sum(), [images], ordinary=ordinary)[0]
        for ordinary in (True, False)
    )
    torch.testing.assert_close(local, plain, rtol=1e-12, atol=1e-14)


def test_what_does_not_lead_to_the_score_has_no_gradient():
    logits, other = torch.rand(1, 2, 16, 16).requires_grad_(), torch.rand(3).requires_grad_()
    none, gradient = grad(logits[0, 1, 3, 4], [other, logits], True)
    assert none is None
    assert gradient.count_nonzero() == gradient[0, 1, 3, 4] == 1


def test_without_layers_or_a_graph_there_are_no_gradients():
    logits = torch.rand(1, 2, 16, 16).requires_grad_()
    for locally in (False, True):
        assert backward.gradients(Target(1).explain(logits, (16, 16)), {}, {}, keep=True, locally=locally) == {}
        explained = Target(1).explain(logits.detach(), (16, 16))
        assert backward.gradients(explained, {"layer": logits}, {}, keep=True, locally=locally) == {}


def test_windows_hold_all_that_is_not_zero():
    stack = torch.zeros(3, 2, 9, 7)
    stack[0, 1, 8, 6] = stack[1, 0, 2, 3] = stack[1, 1, 4, 1] = 1
    windows = nonzero(stack)
    assert windows == Windows(Spans((6, 2, 0), 3), Spans((4, 1, 0), 3))
    for layout in (torch.contiguous_format, torch.channels_last):
        values = windows.cut(stack.contiguous(memory_format=layout))
        assert values.is_contiguous(memory_format=layout)
        dense = windows.lay(values, stack.shape, layout)
        assert dense.is_contiguous(memory_format=layout)
        torch.testing.assert_close(dense, stack)
    assert nonzero(torch.zeros(1, 2, 4, 4)) == Windows(Spans((0,), 1), Spans((0,), 1))


def test_values_are_seen_from_other_windows():
    values = torch.arange(1.0, 10).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    seen = Windows(Spans((0, 2), 2), Spans((0, 1), 3)).see(values, (-2, 3), (0, 2))
    assert seen[0, 0].tolist() == [[7, 8, 9], [0, 0, 0]]
    assert seen[1, 0].tolist() == [[0, 0, 0], [0, 1, 2]]
    windows = Windows(Spans((1, 2), 3), Spans((3, 4), 3))
    assert windows.see(values, (1, 2), (3, 4)) is values
    assert windows.see(values, (0, 2), (3, 4))[0, 0].tolist() == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert windows.see(values, (1, 2), (4, 4))[0, 0].tolist() == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    for layout in (torch.contiguous_format, torch.channels_last):
        wide = values.expand(2, 4, 3, 3).contiguous(memory_format=layout)
        assert windows.see(wide, (0, 2), (3, 4)).is_contiguous(memory_format=layout)


def test_spans_around_two_stay_inside():
    assert Spans((0, 5), 2).hull(Spans((3, 6), 1)) == Spans((0, 3), 4)
    assert Spans((0, 0), 3).hull(Spans((0, 1), 2)) == Spans((0, 0), 3)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (5, 2, 0, 1), (3, 2, 2, 2)])
def test_cells_that_a_convolution_reads(kernel, stride, padding, dilation):
    cells = 13
    outputs = (cells + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    for start in range(outputs - 1):
        starts, ((inside,), size) = Spans((start,), 2).read_by(cells, kernel, stride, padding, dilation)
        read = {i * stride - padding + dilation * k for i in (start, start + 1) for k in range(kernel)}
        assert starts == [min(read)]
        assert {i for i in read if 0 <= i < cells} <= set(range(inside, inside + size)) <= set(range(cells))
        assert size == min(max(read) - min(read) + 1, cells), "no cell more than that"


def test_cells_that_an_upsampling_reads():
    for start in range(11):
        (first, _), size = Spans((start, 0), 3).upsampled_from(2, 7)
        assert {(start + i) // 2 for i in range(3)} <= set(range(first, first + size)) <= set(range(7))
        assert size == 2
    assert Spans((1, 4), 4).upsampled_from(2, 7) == Spans((0, 2), 3)


def test_windows_are_small_up_to_a_quarter_of_the_image():
    for rows, columns, small in (
        (4, 5, True),
        (4, 6, False),
        (5, 5, False),
        (1, 20, True),
        (2, 10, True),
        (3, 7, False),
    ):
        assert Windows(Spans((0,), rows), Spans((0,), columns)).small_in((2, 3, 8, 10)) == small
