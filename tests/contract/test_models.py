"""What every network must hold, over the registry and some variants."""

from __future__ import annotations

from pathlib import Path

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.training.optimise import answer
from segcam import InputError, Layer, Probe, grad_cam
from segcam.models import MODELS, architecture, complete, create, label
from segcam.models.segformer import WithoutConvolution
from segcam.models.weights.checkpoints import load, pack
from segcam.probe.layers import POINTS, Point
from tests.small_networks import equal, settled, states

SMALL = {
    plugin.name + (variant and f":{variant}"): parameters
    for plugin in MODELS
    for variant, parameters in plugin.small.items()
}
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def small(name: str, classes: int = 2, seed: int = 0) -> nn.Module:
    return settled(create(name, classes, SMALL.get(name), seed), seed)


def images(h: int = 32, w: int = 48, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, h, w, generator=torch.Generator().manual_seed(0))


def layers_of(name: str, model: nn.Module, point: Point = "conv") -> list[Layer]:
    return architecture(name).layers(model, point)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-12))


every = pytest.mark.parametrize("name", SMALL)


@every
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("size", [(64, 32), (32, 96)])
def test_strides_are_right(name: str, point: Point, size: tuple[int, int]) -> None:
    """Where the stride divides the input, a layer has exactly that many cells."""
    model = small(name)
    layers = layers_of(name, model, point)
    capture = Probe(model, layers)(images(*size))
    assert capture.logits.shape == (2, 2, *size)
    for layer in layers:
        wanted = (2, size[0] // layer.stride, size[1] // layer.stride)
        assert (wanted[1] * layer.stride, wanted[2] * layer.stride) == size
        assert capture.maps(grad_cam, layer).shape == wanted
        assert capture.activations[layer.label].shape == capture.gradients[layer.label].shape
        assert capture.maps(grad_cam, layer).isfinite().all()


@every
@pytest.mark.parametrize("size", [(37, 51), (50, 33)])
def test_strides_that_do_not_divide_the_input(name: str, size: tuple[int, int]) -> None:
    """A layer has as many cells as fit the input, or one more, which lies partly outside; as its network has it."""
    model = small(name)
    layers = layers_of(name, model)
    capture = Probe(model, layers)(images(*size))
    assert capture.logits.shape == (2, 2, *size)
    for layer in layers:
        for cells, side in zip(capture.maps(grad_cam, layer).shape[1:], size, strict=True):
            assert cells in (side // layer.stride, -(-side // layer.stride))


@every
def test_layers_have_labels_stages_and_depths(name: str) -> None:
    model = small(name)
    conv, relu = layers_of(name, model), layers_of(name, model, "relu")
    labels = [layer.label for layer in [*conv, *relu]]
    assert len(set(labels)) == len(labels)
    assert all(layer.point == "conv" for layer in conv)
    assert all(layer.point == "relu" for layer in relu)
    assert all(layer.role for layer in [*conv, *relu])
    assert [layer.depth for layer in conv] == list(range(len(conv)))
    decoder = [layer.stage for layer in conv if layer.role == "decoder"]
    encoder = [layer.stage for layer in conv if layer.role != "decoder"]
    assert [layer.role == "decoder" for layer in conv] == [False] * len(encoder) + [True] * len(decoder)
    assert encoder == sorted(encoder)
    assert decoder == sorted(decoder, reverse=True)
    for stage in {layer.stage for layer in conv}:
        assert len({layer.stride for layer in [*conv, *relu] if layer.stage == stage}) == 1


@every
def test_an_activation_has_the_depth_of_its_convolution(name: str) -> None:
    """The two probe points are compared by depth."""
    model = small(name)
    conv, relu = layers_of(name, model), layers_of(name, model, "relu")
    assert [layer.depth for layer in relu] == sorted({layer.depth for layer in relu})
    for layer in relu:
        partner = conv[layer.depth]
        assert isinstance(model.get_submodule(partner.module), (*CONVOLUTIONS, WithoutConvolution))
        assert (layer.stage, layer.role, layer.stride) == (partner.stage, partner.role, partner.stride)


@every
@pytest.mark.parametrize("point", POINTS)
def test_layers_are_in_the_order_of_execution(name: str, point: Point) -> None:
    model = small(name)
    layers, ran = layers_of(name, model, point), []
    for layer in layers:
        model.get_submodule(layer.module).register_forward_hook(lambda *_, label=layer.label: ran.append(label))
    model.eval()(images())
    assert ran == [layer.label for layer in layers]


@every
def test_maps_agree_with_captum(name: str) -> None:
    """captum's LayerGradCam with ReLU on every convolution; tokens are nothing that it can read."""
    model = small(name).eval()
    layers = [x for x in layers_of(name, model) if isinstance(model.get_submodule(x.module), CONVOLUTIONS)]
    assert layers
    one = images(count=1)
    capture = Probe(model, layers)(one)
    row, column = divmod(int(model(one).detach()[0, 1].argmax()), one.shape[3])
    for layer in layers:
        peer = captum.attr.LayerGradCam(model, model.get_submodule(layer.module))
        theirs = peer.attribute(one, target=(1, row, column), relu_attributions=True)[:, 0].detach()
        assert close(capture.maps(grad_cam, layer), theirs)


@every
def test_channels_last_gives_the_same_maps(name: str) -> None:
    model = small(name).eval()
    layers = layers_of(name, model)
    plain, last = Probe(model, layers)(images()), Probe(model, layers, channels_last=True)(images())
    whole = Probe(model.to(memory_format=torch.channels_last), layers, channels_last=True)(images())
    for layer in layers:
        assert close(last.maps(grad_cam, layer), plain.maps(grad_cam, layer), 1e-3)
        assert close(whole.maps(grad_cam, layer), plain.maps(grad_cam, layer), 1e-3)


@every
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    model = small(name, seed=4).eval()
    header = {"architecture": name, "parameters": complete(name, SMALL.get(name, {})), "classes": ["a", "b"]}
    file = tmp_path / "network.safetensors"
    file.write_bytes(pack(model.state_dict(), header))
    assert torch.equal(load(file)[0](images()), model(images()))


@every
def test_training_lowers_the_loss(name: str) -> None:
    model = create(name, 2, SMALL.get(name)).train()
    labels = F.interpolate(images(2, 3, count=4), scale_factor=16)[:, 0] > 0  # squares as large as a coarse cell
    inputs, labels = images(count=4) + 2 * labels[:, None], labels.long()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2 if name == "unet" else 1e-3)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of dropout
        for _ in range(8):
            loss = F.cross_entropy(model(inputs), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert not [n for n, parameter in model.named_parameters() if parameter.grad is None]  # no weights lie idle


@every
def test_bf16(name: str) -> None:
    model = small(name).eval()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(images()).float()
    assert close(rough, model(images()), 0.1)
    layers = layers_of(name, model)
    capture = Probe(model, layers, precision="bf16")(images())
    assert all(capture.maps(grad_cam, layer).dtype == torch.float32 for layer in layers)


@every
def test_a_map_does_not_change_with_its_batch_mates(name: str) -> None:
    model = small(name).double()  # a map in which large terms cancel is rounded differently in float32
    layers = layers_of(name, model)
    batch = images(count=3).double()
    together, alone = Probe(model, layers)(batch), Probe(model, layers)(batch[1:2])
    for layer in layers:
        assert close(together.maps(grad_cam, layer)[1], alone.maps(grad_cam, layer)[0])


@every
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    one, again, other = (create(name, 2, SMALL.get(name), s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert equal(one, again)
    assert not equal(one, other)


@every
@pytest.mark.parametrize("class_id", [0, 2])
def test_it_can_be_told_what_to_answer_first(name: str, class_id: int) -> None:
    """Training may start from one class everywhere, through the network's head, wherever that stands in it."""
    model = small(name, 3)
    before = states(model)
    answer(model, 3, class_id)
    changed = [n for n, parameter in model.named_parameters() if not torch.equal(parameter, before[n])]
    assert len({n.rpartition(".")[0] for n in changed}) == 1
    assert (model.eval()(images(64, 64)).argmax(1) == class_id).float().mean() > 0.9


@every
def test_unknown_and_wrong_parameters(name: str) -> None:
    with pytest.raises(InputError, match="unknown parameter of model"):
        create(name, 2, {"nonsense": 1})
    for key, default in architecture(name).defaults.items():
        if not (":" in name and key == architecture(name).variant):
            with pytest.raises(InputError, match=f"parameter '{key}' of model '{name}' is"):
                create(name, 2, {key: 1 if isinstance(default, str) else "x"})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("unett", {}, r"unknown model 'unett': known are .*did you mean 'unet'\?"),
        ("unet:b1", {}, "model 'unet' has no variants: write 'unet' in place of 'unet:b1'"),
        ("unet:", {}, "model 'unet' has no variants: write 'unet' in place of 'unet:'"),
        ("unet", {"norm": "layer"}, "unknown normalisation of model 'unet' 'layer'"),
        ("unet", {"width": 0}, "'width' of model 'unet' is 0: it must be at least 1"),
        ("unet@", {}, "model 'unet@': behind the '@' stands what tells this training from others, .*'unet@with-hints'"),
        ("segformer:@x", {}, "model 'segformer' is told no size by 'segformer:@x': write 'segformer'"),
        ("segformer@a/b", {}, "model 'segformer@a/b': behind the '@' stands what tells this training from others"),
        ("segformer:", {}, "model 'segformer' is told no size by 'segformer:': write 'segformer'"),
        ("segformer:b1", {"size": "b2"}, r"names its size already: leave out parameter 'size' \('b2'\)"),
        ("segformer:b9", {}, "unknown size of model 'segformer' 'b9': known are b0, b1"),
        ("segformer", {"drop_path": 1.0}, "'drop_path' of model 'segformer' is 1.0: it must be at least 0 and below 1"),
        ("segformer", {"pretrained": "/no/such/file"}, "/no/such/file does not exist: correct the path"),
        ("timm_unet", {"width": 0}, "'width' of model 'timm_unet' is 0: it must be at least 1"),
        ("timm_unet:resnet_18", {}, "timm has no encoder 'resnet_18': did you mean 'resnet18' or 'resnet"),
        ("timm_unet:convmixer_768_32", {}, r"gives features at strides \[7, 7, 7\]: a U-Net needs falling"),
        ("timm_unet:vit_tiny_patch16_224", {}, r"strides \[16, 16, 16\]: .*; for plain ViTs there is the model 'vit'"),
        ("timm_unet:levit_128", {}, "cannot take an input of 128 x 128 .*: choose one for any size"),
        (
            "timm_unet:crossvit_9_240",
            {},
            r"gives features \[.*\] where it promises \[.*\], for an input of 128 x 128: ",
        ),
        ("vit", {"encoder": "vit_tinny_patch16_224"}, "timm has no encoder .*: did you mean 'vit_tiny_patch16"),
        ("vit", {"encoder": "resnet18"}, "of timm is no plain ViT.*: choose one such as 'vit_tiny_patch16_224'"),
        ("vit", {"encoder": "vit_relpos_small_patch16_224"}, "'vit_relpos_small_patch16_224' of timm is no plain ViT"),
        ("vit", {"patch_size": 12}, "'patch_size' of model 'vit' is 12: it must be one of 4, 8, 16, 32"),
        ("vit", {"image_size": 40}, "'image_size' of model 'vit' is 40: it must be a multiple of the patch size 16"),
        ("vit", {"drop_path": -0.1}, "'drop_path' of model 'vit' is -0.1: it must be at least 0 and below 1"),
    ],
)
def test_wrong_values(name: str, parameters: dict[str, int | float | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(name, 2, parameters)


def test_a_parameter_may_repeat_the_variant() -> None:
    """Checkpoints name all parameters."""
    assert complete("segformer:b1", {"size": "b1"}) == complete("segformer:b1", {})


def test_what_tells_trainings_apart_changes_no_network() -> None:
    one, other = (create(name, 2, {"width": 4}, seed=3).state_dict() for name in ("unet", "unet@other-start"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert label("unet@other-start") == "U-Net (other start)"
    assert label("segformer:b1@with-hints") == "SegFormer (b1, with hints)"


def test_unet_is_the_papers() -> None:
    """Five encoder and four decoder levels of two 3x3 convolutions, labelled by resolution level."""
    model = create("unet", 2, {"width": 8, "norm": "none"})
    layers = MODELS.get("unet").layers(model, "conv")
    wanted = [f"Encoder {s}_{h}" for s in range(1, 6) for h in (1, 2)]
    wanted += [f"Decoder {s}_{h}" for s in range(4, 0, -1) for h in (1, 2)]
    assert [layer.label for layer in layers] == wanted
    for layer in layers:
        convolution = model.get_submodule(layer.module)
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.kernel_size == (3, 3)
        assert convolution.out_channels == 8 * 2 ** (layer.stage - 1)
        assert layer.stride == 2 ** (layer.stage - 1)
    assert sum(p.numel() for p in create("unet", 2, {"norm": "none"}).parameters()) == 31_031_810
