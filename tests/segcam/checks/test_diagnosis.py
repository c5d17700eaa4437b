"""Why maps are blank or negative: numbers against slow loops, and reasons on networks small enough to see through."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from segcam import InputError, Probe, ProbeError, Target, grad_cam
from segcam.checks.diagnosis import bias_alone, counter_share, diagnose, sign_balance
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.models import architecture, create

GRADIENT = [method.name for method in METHODS if method.gradient is not None]


def unet(classes: int = 3) -> Probe:
    model = create("unet", classes, {"width": 4}, seed=3).double()
    return Probe(model, architecture("unet").layers(model, "conv"))


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 32, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def masks(count: int = 4) -> torch.Tensor:
    found = torch.zeros(count, 32, 48, dtype=torch.uint8)
    found[1:, 4:20, 8:30] = 1
    return found


def slow_balance(signed: np.ndarray) -> float:
    positive = total = 0.0
    for value in signed.flat:
        positive += max(value, 0.0)
        total += abs(value)
    return positive / total if total else np.nan


def slow_share(own: np.ndarray, rival: np.ndarray) -> float:
    mine, theirs = (sum(max(value, 0.0) for value in found.flat) for found in (own, rival))
    return theirs / (mine + theirs) if mine + theirs else np.nan


@pytest.mark.parametrize("target", [Target(1, "truth"), Target((1, 0, 2, 1), "best_pixel", "margin")], ids=str)
@pytest.mark.parametrize("method", GRADIENT)
def test_the_numbers_equal_slow_ones(method: str, target: Target) -> None:
    probe, known = unet(), METHODS.get(method)
    found = diagnose(probe, images(), target, method, masks=masks())
    own = probe(images(), target, masks=masks())
    other = probe(images(), Target(target.class_id, target.pixels, "rival"), masks=masks())
    assert [record.layer for record in found.layers] == [layer.label for layer in probe.layers]
    for record in found.layers:
        signed, maps = (x[:, 0].numpy() for x in layer_maps(own, record.layer, [known]))
        rivals = layer_maps(other, record.layer, [known])[1][:, 0]
        assert torch.allclose(record.counter_map, rivals, equal_nan=True, rtol=1e-9, atol=1e-15)
        balances = [slow_balance(image) for image in signed]
        shares = [slow_share(a, b) for a, b in zip(maps, rivals.numpy(), strict=True)]
        np.testing.assert_allclose(record.sign_balance.numpy(), balances, rtol=1e-6)
        np.testing.assert_allclose(record.counter_share.numpy(), shares, rtol=1e-6)
        undefined = np.isnan(maps).any((1, 2))
        assert record.undefined == undefined.mean() == (0.25 if target.pixels == "truth" else 0)
        assert record.blank == (~undefined & (np.nan_to_num(maps).max((1, 2)) <= 0)).mean()


def test_the_counter_class_is_scored_at_the_pixel_of_the_class() -> None:
    """By hand: the best other logit at the class's best pixel, with a hook and autograd of its own."""
    probe = unet()
    found = diagnose(probe, images())
    seen: list[torch.Tensor] = []
    handle = probe.model.get_submodule("decoders.0.conv2").register_forward_hook(lambda _m, _i, out: seen.append(out))
    logits = probe.model.eval()(images().requires_grad_())
    handle.remove()
    for i in range(len(logits)):
        y, x = divmod(int(logits[i, 1].argmax()), 48)
        k = int(logits[i, [0, 2], y, x].argmax()) * 2
        assert found.counter_classes[i] == k
        (gradients,) = torch.autograd.grad(logits[i, k, y, x], seen[0], retain_graph=True)
        wanted = grad_cam(seen[0][i : i + 1].detach(), gradients[i : i + 1])[0]
        assert torch.allclose(found["Decoder 4_2"].counter_map[i], wanted, rtol=1e-9, atol=1e-15)


def test_the_forward_pass_is_shared() -> None:
    """Both scores share the pass over the batch; a pass of one image more tells where the layers lie."""
    probe, runs = unet(), []
    probe.model.register_forward_hook(lambda _, given, __: runs.append(len(given[0])))
    diagnose(probe, images())
    assert runs == [len(images()), 1]


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 4, 4)])
def test_balance_and_share_of_any_stack(shape: tuple[int, ...]) -> None:
    signed = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    balance = sign_balance(signed)
    assert balance.shape == shape[:-2]
    assert torch.allclose(balance + sign_balance(-signed), torch.ones_like(balance))
    assert torch.allclose(counter_share(signed, -signed), 1 - balance)
    assert sign_balance(signed.abs()).eq(1).all()
    assert sign_balance(-signed.abs()).eq(0).all()
    assert sign_balance(0 * signed).isnan().all()
    assert counter_share(-signed.abs(), -signed.abs()).isnan().all()
    assert sign_balance(torch.full_like(signed, torch.nan)).isnan().all()


class Known(nn.Module):
    """Logits `w_k f`, where the feature f is the sum of a pixel's colours, or 0 where that is negative."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.feature = nn.Conv2d(3, 1, 1, bias=False)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(1, len(weights), 1, bias=False)
        nn.init.ones_(self.feature.weight)
        self.head.weight.data = torch.tensor(weights).view(-1, 1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.relu(self.feature(x)))
        return out


def colours(*values: float) -> torch.Tensor:
    ramp = torch.linspace(0.5, 1, 24).view(1, 1, 4, 6)
    return torch.tensor(values).view(-1, 1, 1, 1) * ramp.expand(len(values), 3, 4, 6)


NOWHERE = "the map before ReLU is nowhere positive"


def test_a_class_with_nothing_that_speaks_for_it() -> None:
    found = diagnose(Probe(Known(1.0, -1.0), "relu"), colours(1, 2), Target(1, "image"))["relu"]
    assert found.text == f"blank in 2 of 2 images: {NOWHERE}; what is there speaks for class 0"
    assert (found.blank, found.undefined) == (1.0, 0.0)
    assert found.sign_balance.tolist() == [0, 0]
    assert found.counter_share.tolist() == [1, 1]
    assert str(found) == f"relu: {found.text}"


SILENT = "the layer's output is zero everywhere"
FLAT = "the score does not change with the layer, all gradients are zero"
NEITHER = "nor does anything in it speak for the best other class"
FIRST = "what is there speaks for class 0"
SECOND = f"blank in 1 of 3 images: {SILENT}; nor does anything"


@pytest.mark.parametrize(
    ("model", "batch", "method", "text"),
    [
        (Known(-1.0, -2.0), colours(1), "grad_cam", f"blank in 1 of 1 images: {NOWHERE}; {NEITHER}"),
        (Known(1.0, 1.0), colours(-1), "grad_cam", f".*{SILENT}.*"),
        (Known(1.0, 0.0), colours(1), "grad_cam", f".*{FLAT}; what is there speaks for class 0"),
        (Known(1.0, 2.0), colours(1, 2), "grad_cam", "no map is blank"),
        (Known(1.0, -1.0), colours(1, -1, 2), "grad_cam", f"blank in 2 of 3 images: {NOWHERE}; {FIRST}. {SECOND}.*"),
        (Known(1.0, -1.0), colours(-1), "activation", ".*not look at gradients, so it is the same for every class.*"),
    ],
)
def test_reasons(model: nn.Module, batch: torch.Tensor, method: str, text: str) -> None:
    record = diagnose(Probe(model, "relu"), batch, Target(1, "image"), method)["relu"]
    assert re.fullmatch(text, record.text)


def test_other_classes_differ_by_image() -> None:
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 3, 1, bias=False))  # class 0 likes red, class 2 green, 1 neither
    model[1].weight.data = torch.tensor([[1.0, 0, 0], [-1, -1, 0], [0, 1, 0]])[:, :, None, None]
    batch = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    batch[:3, 0] += 1
    batch[3, 1] += 1
    found = diagnose(Probe(model, "0"), batch, Target(1, "image"))
    assert found.counter_classes.tolist() == [0, 0, 0, 2]
    wanted = f"blank in 4 of 4 images: {NOWHERE}; what is there speaks for class 0 in 3, class 2 in 1"
    assert found["0"].text == wanted


def test_undefined_maps() -> None:
    found = diagnose(Probe(Known(1.0, 2.0), "relu"), colours(1, -1), Target(1, "predicted"))
    assert found["relu"].text == "undefined in 1 of 2 images: pixel set 'predicted' is empty"
    assert (found["relu"].blank, found["relu"].undefined) == (0.0, 0.5)
    assert found.counter_classes.tolist() == [0, -1]
    assert found["relu"].sign_balance[1].isnan()


def test_mostly_negative() -> None:
    """Signed activations: the layer speaks for the class where they are positive, against it elsewhere."""
    batch = colours(1)
    batch[:, :, 1:] *= -1
    found = diagnose(Probe(Known(0.0, 1.0), "feature"), batch, Target(1))
    wanted = "mostly negative before ReLU in 1 of 1 images: the layer speaks more against the score than for it"
    assert found["feature"].text == wanted
    assert 0 < float(found["feature"].sign_balance) < 0.5


def test_the_counter_class_of_the_rival_is_the_class() -> None:
    found = diagnose(Probe(Known(1.0, -1.0), "relu"), colours(1), Target(1, score="rival"))
    assert found.counter_classes.tolist() == [1]
    assert found["relu"].counter_share.tolist() == [0]


def test_the_table() -> None:
    lines = str(diagnose(unet(), images(), Target(1, "truth"), "hires_cam", masks=masks())).splitlines()
    assert lines[0] == "HiResCAM of truth:logit, 4 images"
    assert lines[1].split("  ")[0] == "layer"
    assert all(len(line) == len(lines[1]) for line in lines[1 : 2 + 18])
    assert lines[2].startswith("Encoder 1_1 ")
    assert "25%" in lines[2]
    named = [label for line in lines[20:] for label in line.partition(": ")[0].split(", ")]
    assert sorted(named) == sorted(layer.label for layer in unet().layers)


def test_weights_that_cancel_make_maps_undefined() -> None:
    """In front of a normalisation over positions the gradients sum to zero in each channel."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    found = diagnose(Probe(body, ["0", "1"]), torch.randn(3, 3, 12, 12))
    assert found["0"].undefined == 1
    assert found["0"].blank == 0
    assert found["0"].text.startswith("undefined in 3 of 3 images: cancels")
    assert found["1"].undefined == 0


def test_how_far_cells_lie_from_where_the_map_is_laid() -> None:
    """Each cell sees the first pixel of the four by four that its part of the image has."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 1, stride=4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images = torch.randn(2, 3, 24, 24)
    stretched, placed = (
        diagnose(Probe(body, ["0"], placement=placement), images)["0"] for placement in ("stretched", "receptive_field")
    )
    assert stretched.offset == (-1.5, -1.5)
    assert "its cells lie" in stretched.text
    assert placed.offset == (0, 0)
    assert "its cells lie" not in placed.text


def test_where_a_layer_looks_may_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold(*_: object) -> None:
        raise ProbeError("nobody can tell")

    probe = Probe(Known(1.0, -1.0), "relu")
    monkeypatch.setattr(probe, "placements", untold)
    found = diagnose(probe, colours(1))["relu"]
    assert found.offset is None
    assert "its cells lie" not in found.text


def test_slips_are_explained() -> None:
    with pytest.raises(InputError, match=r"method sobel is no gradient method .* choose one of .*grad_cam"):
        diagnose(unet(), images(), method="sobel")
    with pytest.raises(InputError, match="unknown method 'gradcam'"):
        diagnose(unet(), images(), method="gradcam")
    with pytest.raises(ProbeError, match="pass masks="):
        diagnose(unet(), images(), Target(1, "truth"))
    with pytest.raises(InputError, match="unknown layer 'Encoder 9_1'"):
        diagnose(unet(), images())["Encoder 9_1"]


def _by_bias(bias: float) -> nn.Module:
    """A network that answers 'object' by its last bias, and 'background' wherever it sees anything."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 2, 1))
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[2].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[2].bias.copy_(torch.tensor([0.0, bias]))
    return network.eval()


@pytest.mark.parametrize("layers", [["0"], ["0", "1"], ["1"]])
def test_a_score_that_is_the_bias_alone_is_told(layers: list[str]) -> None:
    images = torch.ones(3, 1, 6, 6)
    images[0, 0, 2:4, 2:4] = -1  # nothing is seen here, so that the bias alone says 'object'
    images[1, 0, 2:4, 2:4] = 0.5
    images[2] = -1
    probe = Probe(_by_bias(1.0), layers)
    capture = probe(images, Target(1))
    assert bias_alone(capture).tolist() == [True, False, True]
    told = diagnose(probe, images, Target(1))
    assert told.bias_alone.tolist() == [True, False, True]
    assert str(told).endswith("in 2 of 3 images no layer takes part in the score: it is the last layer's bias alone")
    assert "bias alone" not in str(diagnose(probe, images[1:2], Target(1)))
    assert not bias_alone(probe(images, Target(0))).tolist()[1]
    empty = Probe(_by_bias(-9.0), layers)(images, Target(1, "predicted"))
    assert not bias_alone(empty).any()  # nothing is predicted: undefined, not blank
