"""What a pass takes, and passes that take no more than they are allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import nn

from segcam import InputError, Layer, Probe, ProbeError, Target, grad_cam
from segcam.maps import all_maps
from segcam.models import architecture, create
from segcam.probe.gradients.saving import WithoutInputs
from segcam.probe.memory import Cost, Meter, images_at_once, measure, plan
from tests.small_networks import seeded

SIZE = (32, 48)
METHODS = ["grad_cam", "hires_cam", "activation"]
TARGETS = [Target(1, "image"), Target((0, 1, 2, 0, 1), "truth", "margin", at="output")]


def images(count: int = 5, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=dtype)


def masks(count: int = 5) -> torch.Tensor:
    return torch.randint(0, 3, (count, *SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def unet() -> Probe:
    model = create("unet", 3, {"width": 4}, seed=1).double()
    return Probe(model, architecture("unet").layers(model, "conv"))


def segformer() -> Probe:
    model = create("segformer", 3, {}, seed=1).double()
    plugin = architecture("segformer")
    return Probe(model, plugin.layers(model, "conv"), attention=plugin.attentions(model)[:1], channels_last=True)


PROBES = {"unet": unet, "segformer": segformer}


class TestMeter:
    def test_counts_what_is_alive(self) -> None:
        with Meter() as meter:
            a = torch.ones(1000)
            b = a[10:] + 1  # a view costs nothing
            assert meter.live == 4000 + 3960
            del b
            assert meter.live == 4000
            a += 1
            c = a.view(10, 100).t()
            del a
            assert meter.live == 4000  # the view still holds it
            del c
        assert (meter.live, meter.peak) == (0, 7960)

    def test_counts_the_backward_pass_and_not_what_was_there_before(self) -> None:
        x = torch.ones(1000, requires_grad=True)
        with Meter() as meter:
            y = (x * 2).sin().sum()
            forward = meter.live
            (gradient,) = torch.autograd.grad(y, x)
        assert forward == 4000 + 4  # what sin saved, and the sum
        assert meter.live == 4000 + 4
        assert meter.peak > forward
        assert gradient.shape == x.shape

    def test_stops_at_the_limit(self) -> None:
        assert measure(lambda _rows: torch.ones(1000), 1, 4000) == Cost(4000, 4000)
        assert measure(lambda _rows: torch.ones(1000), 1, 3999) is None

    def test_an_image_costs_half_of_two_where_that_is_more(self) -> None:
        def job(rows: slice) -> torch.Tensor:
            x = torch.zeros(rows.stop, 3, 100)
            return x.transpose(0, 1).reshape(3, -1)  # a copy but for one image

        assert measure(job, 1) == Cost(1200, 1200)
        assert measure(job, 8) == Cost(2400, 1200)


@pytest.mark.parametrize("point", ["conv", "relu"])
@pytest.mark.parametrize("norm", ["batch", "none", "group"])
def test_a_pass_takes_little_more_than_what_it_returns(norm: str, point: str) -> None:
    """Beside activations and gradients: what autograd saves of ReLUs, joined inputs and pooling, and the logits."""
    model = create("unet", 2, {"width": 8, "norm": norm}, seed=0)
    layers = architecture("unet").layers(model, point)
    batch = images(4, torch.float32)
    for count, bars in ((1, (1.55, 1.40)), (2, (1.40, 1.30))):
        targets = [Target(1, "image"), Target(0, "image")][:count]
        for low_memory, bar in zip((False, True), bars, strict=True):
            probe = Probe(model, layers, low_memory=low_memory)
            with Meter() as meter:
                captures = probe.many(batch, targets)
            needed = sum(a.nbytes for a in captures[0].activations.values()) * (1 + count)
            returned = needed + sum(c.explained.chosen.nbytes for c in captures) + captures[0].logits.nbytes
            assert meter.live == pytest.approx(returned, rel=0.01)  # nothing else outlives the call
            assert meter.peak <= bar * needed
            del captures
            assert meter.live == 0


def test_the_first_layer_is_not_copied() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 2, 1))
    with Meter() as meter:
        Probe(model, "0")(images(2, torch.float32))
    stack = 2 * 64 * SIZE[0] * SIZE[1] * 4
    assert 2 * stack <= meter.peak <= 2.4 * stack


def test_captures_hold_no_graph() -> None:
    capture = unet()(images(2))
    tensors = [capture.logits, capture.explained.scores, *capture.activations.values(), *capture.gradients.values()]
    assert not any(tensor.requires_grad for tensor in tensors)


class Odd(nn.Module):
    """Convolutions of every kind, norms in eval mode and not, and weights made from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.bare = nn.BatchNorm2d(8, affine=False)
        self.batch = nn.BatchNorm2d(8, track_running_stats=False)  # counts the batch in eval mode, too
        self.grouped = nn.Conv2d(8, 8, 3, padding="same", groups=4)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.down = nn.Conv2d(8, 8, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1)
        self.line = nn.Conv1d(8, 8, 3, padding=1)
        self.volume = nn.Conv3d(1, 2, 3, padding=1)
        self.back = nn.ConvTranspose3d(2, 1, 1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x)).relu_()
        x = self.batch(self.bare(self.grouped(x)))
        x = self.up(self.down(self.depthwise(x).tanh()))
        x = self.line(x.flatten(2)).view_as(x)
        x = self.back(self.volume(x[:, None])).squeeze(1)
        own = x.mean((0, 2, 3))[:, None, None, None] * torch.ones(8, 1, 1, 1, dtype=x.dtype)
        x = nn.functional.conv2d(x, own, groups=8)  # this one's input is needed
        own = x.mean((0, 2, 3))
        x = nn.functional.batch_norm(x, torch.zeros_like(own), torch.ones_like(own), weight=own)  # and this one's
        return self.head(x)


def odd() -> nn.Module:
    return seeded(Odd).train()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "make", [odd, lambda: unet().model, lambda: segformer().model], ids=["odd", "unet", "segformer"]
)
def test_saving_less_changes_no_gradient(
    make: Callable[[], nn.Module], channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backward pass must read nothing of what was dropped: what it finds there instead are NaNs."""
    blanks = []

    def poisoned(*args: object, **options: object) -> torch.Tensor:
        blanks.append(empty(*args, **options).fill_(torch.nan))
        return blanks[-1]

    empty = torch.empty_strided
    monkeypatch.setattr("segcam.probe.gradients.saving.torch.empty_strided", poisoned)
    model = make()
    full, saving = (
        Probe(model, "*", kind=nn.Conv2d, channels_last=channels_last, low_memory=low)(images(2), Target(1, "image"))
        for low in (False, True)
    )
    assert len(blanks) >= 5
    for label, gradient in full.gradients.items():
        assert gradient.abs().max() > 0
        assert torch.equal(gradient, saving.gradients[label])


def test_saving_less_is_for_frozen_weights_alone() -> None:
    conv, x = nn.Conv2d(3, 3, 1), images(1, torch.float32).requires_grad_()
    wanted = torch.autograd.grad(conv(x).square().sum(), [conv.weight, x])
    with WithoutInputs():
        found = torch.autograd.grad(conv(x).square().sum(), [conv.weight, x])
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_saving_less_under_bf16() -> None:
    probes = [
        Probe(unet().model.float(), "*", kind=nn.Conv2d, precision="bf16", low_memory=low) for low in (False, True)
    ]
    full, saving = (probe(images(2, torch.float32)) for probe in probes)
    assert all(torch.equal(full.gradients[label], saving.gradients[label]) for label in full.gradients)


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("share", [3.0, 1.0, 0.55])
def test_all_maps_equal_those_of_the_batch_and_stay_within_the_memory(name: str, share: float) -> None:
    probe, inputs, true = PROBES[name](), images(), masks()
    captures = probe.many(inputs, TARGETS, masks=true)
    limit = int(share * (1 + len(TARGETS)) * sum(a.nbytes for a in captures[0].activations.values()))
    batch = all_maps(probe, inputs, TARGETS, METHODS, masks=true)
    for _ in range(2):  # the second time, nothing is measured any more
        with Meter() as meter:
            split = all_maps(probe, inputs, TARGETS, METHODS, masks=true, max_memory=limit)
    assert meter.peak <= limit
    assert meter.live == sum(maps.nbytes for by_label in split for maps in by_label.values())
    for capture, ours, theirs in zip(captures, split, batch, strict=True):
        assert list(ours) == [layer.label for layer in probe.layers] == list(theirs)
        for label, maps in ours.items():
            assert torch.allclose(maps, theirs[label], equal_nan=True, rtol=1e-9, atol=1e-12)
            assert torch.allclose(maps[:, 0], capture.maps(grad_cam, label), equal_nan=True, rtol=1e-9, atol=1e-12)


def smallest(call: Callable[[int], object]) -> int:
    with pytest.raises(ProbeError, match=r"max_memory is 1000 bytes, .* give at least \d+ \([\d.]+ MiB\)") as caught:
        call(1000)
    return int(str(caught.value).split("give at least ")[1].split()[0])


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_value_that_works_is_named(count: int) -> None:
    probe, batch = unet(), images(count)

    def maps(limit: int) -> int:
        return len(all_maps(probe, batch, TARGETS[:1], METHODS, max_memory=limit)[0])

    least = smallest(maps)
    with pytest.raises(ProbeError, match=f"give at least {least}"):
        maps(least - 1)
    assert maps(least) == len(probe.layers)
    with Meter() as meter:  # nothing is measured any more
        maps(least)
    assert meter.peak <= least


def test_layers_are_split_where_one_image_does_not_fit() -> None:
    """The graph begins at the first layer of a group: for late layers it is short."""
    probe = unet()

    def job(layers: Sequence[Layer], rows: slice) -> None:
        probe.restricted(layers).many(images(1)[rows], TARGETS[:1])

    least = smallest(lambda limit: plan(job, probe.layers, 1, limit))
    groups = plan(job, probe.layers, 1, least).groups
    assert [layer for group in groups for layer in group] == list(probe.layers)
    assert len(groups) > 1
    all_layers = measure(partial(job, probe.layers), 1)
    assert all_layers is not None
    assert least < 0.9 * all_layers.peak


def costs(per_layer: dict[str, int], shared: int, kept: int) -> Callable[[object, slice], list[torch.Tensor]]:
    """A job that takes `shared` bytes and some for each layer, for each image, and returns `kept` for each layer."""

    def job(layers: object, rows: slice) -> list[torch.Tensor]:
        count = rows.stop - rows.start
        held = [torch.zeros(count, shared // 4)]
        held += [torch.zeros(count, per_layer[layer.label] // 4) for layer in layers]  # type: ignore[attr-defined]
        found = [torch.zeros(count, kept // 4) for _ in layers]  # type: ignore[attr-defined]
        del held
        return found

    return job


LAYERS = [Layer(name, name) for name in "abcd"]


@pytest.mark.parametrize(
    ("limit", "groups", "count"),
    [
        (100_000, ["abcd"], 10),
        (53_200, ["abcd"], 10),  # 10 images of 1000 + 4 * 1000 + 4 * 40 bytes and 10 * 4 * 40 of results
        (53_199, ["abcd"], 9),
        (6_760, ["abcd"], 1),
        (6_759, ["ab", "cd"], 1),
        (3_640, ["a", "b", "c", "d"], 1),
    ],
)
def test_plans(limit: int, groups: list[str], count: int) -> None:
    split = plan(costs(dict.fromkeys("abcd", 1000), 1000, 40), LAYERS, 10, limit)
    assert ["".join(layer.label for layer in group) for group in split.groups] == groups
    assert split.images == count
    passes = [(layer.label, i) for layers, rows in split.passes(10) for layer in layers for i in range(10)[rows]]
    assert sorted(passes) == [(label, i) for label in "abcd" for i in range(10)]


def test_plans_that_cannot_be() -> None:
    job = costs({"a": 1000, "b": 1000, "c": 5000, "d": 1000}, 1000, 40)
    with pytest.raises(ProbeError, match=r"max_memory is 7639 bytes, .* give at least 7640 "):
        plan(job, LAYERS, 10, 7_639)


def test_images_at_once() -> None:
    job = partial(costs({"a": 1000}, 1000, 40), LAYERS[:1])
    assert [images_at_once(job, 10, limit) for limit in (2_440, 4_479, 4_480, 100_000)] == [1, 1, 2, 10]
    with pytest.raises(ProbeError, match=r"max_memory is 2439 bytes, .* one image at a time: give at least 2440 "):
        images_at_once(job, 10, 2_439)


def test_measured_once() -> None:
    probe = unet()
    runs: list[int] = []
    probe.model.register_forward_hook(lambda *_: runs.append(1))
    for _ in range(2):
        all_maps(probe, images(), TARGETS[:1], METHODS, max_memory=2**24)
        runs.append(0)
    first, second = (len(text) for text in "".join(map(str, runs)).split("0")[:2])
    assert first == second + 2  # with one image and with two
    for targets, methods in (([Target(1, "best_pixel")], METHODS), (TARGETS[:1], METHODS[:1])):
        runs.clear()
        all_maps(probe, images(), targets, methods, max_memory=2**24)
        assert len(runs) == first, "what one target takes, or one method, says nothing of another"


def test_slips_are_explained() -> None:
    with pytest.raises(InputError, match="unknown method 'gradcam'"):
        all_maps(unet(), images(), TARGETS, ["gradcam"])
    with pytest.raises(InputError, match="method sobel is made from more than activations and gradients"):
        all_maps(unet(), images(), TARGETS, ["sobel"], masks=masks())
    with pytest.raises(ProbeError, match="pass masks="):
        all_maps(unet(), images(), TARGETS, METHODS, max_memory=2**30)
