"""Networks of other libraries, with small random weights: the maps of plain autograd, at layers of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target
from segcam._compat import mend_torchvision
from segcam.scoring.grids import Placement
from tests.segcam.foreign.reference import Lay, agrees, nchw, nhwc, plain_grad_cam, tokens

mend_torchvision()
torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

IN_FOUR = (
    (r"^segformer\.stages\.(\d+)\.patch_embeddings", r"segformer.encoder.patch_embeddings.\1"),
    (r"^segformer\.stages\.(\d+)\.blocks\.(\d+)", r"segformer.encoder.block.\1.\2"),
    (r"^(segformer\..*)layernorm_before$", r"\1layer_norm_1"),
    (r"^decode_head\.linear_projections\.", "decode_head.linear_c."),
    (r"^backbone\.swin\.", "backbone."),
    (r"^(backbone\.encoder\..*)mlp$", r"\1output"),
    (r"^(decode_head\.lateral_convs\.\d+\.)convolution$", r"\1conv"),
    (r"^beit\.layers\.(\d+)", r"beit.encoder.layer.\1"),
    (r"^(beit\..*)mlp\.fc1$", r"\1intermediate.dense"),
)
"""What modules of transformers 5 are called in transformers 4."""


def named(path: str) -> str:
    """Return what a module is called in the installed version."""
    for pattern, name in IN_FOUR if transformers.__version__.startswith("4.") else ():
        path = re.sub(pattern, name, path)
    return path


SIZE = (64, 96)
SIZES = {"dpt": (64, 64), "beit": (64, 64), "fcn": (32, 48)}


def images(name: str = "") -> Tensor:
    size = SIZES.get(name, SIZE)
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(7)).double()


class Headed(nn.Module):
    """A backbone of timm's `features_only` with a linear head on its last features."""

    def __init__(self, backbone: nn.Module, last: bool) -> None:
        super().__init__()
        self.backbone, self.last = backbone, last
        self.head = nn.Conv2d(backbone.feature_info.channels()[-1], 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)[-1]
        return self.head(features.permute(0, 3, 1, 2) if self.last else features)


def _torchvision(name: str, **settings: Any) -> nn.Module:
    build = getattr(torchvision.models.segmentation, name)
    return build(weights=None, weights_backbone=None, num_classes=3, **settings)


def _timm_swin(name: str, **settings: Any) -> nn.Module:
    small = {"embed_dim": 24, "depths": (2, 1), "num_heads": (1, 2), "img_size": SIZE, "features_only": True}
    return Headed(timm.create_model(name, pretrained=False, out_indices=(0, 1), **small, **settings), last=True)


def _timm_convnext() -> nn.Module:
    small = {"depths": (1, 1, 1, 1), "dims": (24, 32, 40, 48), "features_only": True, "conv_mlp": False}
    return Headed(timm.create_model("convnext_tiny", pretrained=False, **small), last=False)


def _segformer() -> nn.Module:
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1] * 4}
    config = transformers.SegformerConfig(num_labels=3, decoder_hidden_size=16, **sizes)
    return transformers.SegformerForSemanticSegmentation(config)


def _upernet() -> nn.Module:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = transformers.SwinConfig(
        image_size=SIZE, embed_dim=24, depths=[2, 1, 1, 1], num_heads=[1] * 4, window_size=7, out_features=stages
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, num_labels=3, auxiliary_in_channels=96, auxiliary_channels=8
    )
    return transformers.UperNetForSemanticSegmentation(config)


TOKENS: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
    "num_labels": 3,
    "use_auxiliary_head": False,
}
"""A small transformer over patches of 16 pixels."""


def _dpt() -> nn.Module:
    config = transformers.DPTConfig(
        **TOKENS,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 12, 16, 20],
        fusion_hidden_size=16,
    )
    return transformers.DPTForSemanticSegmentation(config)


def _beit() -> nn.Module:
    config = transformers.BeitConfig(**TOKENS, out_indices=[1, 2, 3, 4], use_absolute_position_embeddings=True)
    return transformers.BeitForSemanticSegmentation(config)


def _mobilevitv2() -> nn.Module:
    config = transformers.MobileViTV2Config(width_multiplier=0.5, n_attn_blocks=[1, 1, 1], num_labels=3, image_size=64)
    return transformers.MobileViTV2ForSemanticSegmentation(config)


BUILD: dict[str, Callable[[], nn.Module]] = {
    "deeplabv3": lambda: _torchvision("deeplabv3_mobilenet_v3_large"),
    "lraspp": lambda: _torchvision("lraspp_mobilenet_v3_large"),
    "fcn": lambda: _torchvision("fcn_resnet50"),
    "timm swin": lambda: _timm_swin("swin_tiny_patch4_window7_224"),
    "timm swin v2": lambda: _timm_swin("swinv2_tiny_window8_256"),
    "timm convnext": _timm_convnext,
    "segformer": _segformer,
    "upernet": _upernet,
    "dpt": _dpt,
    "beit": _beit,
    "mobilevitv2": _mobilevitv2,
}


def built(name: str) -> nn.Module:
    """The network in float64, no weight of which is zero, as some libraries begin with."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        model = BUILD[name]().double().eval()
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@lru_cache(maxsize=len(BUILD))
def network(name: str) -> nn.Module:
    return built(name)


LAYERS: dict[str, dict[str, Lay]] = {
    "deeplabv3": {
        "backbone.0.0": nchw,
        "backbone.4.block.2.fc1": nchw,  # squeezed to one cell
        "backbone.16": nchw,
        "classifier.0.convs.1": nchw,
        "classifier.0.convs.4.1": nchw,  # pooled to one cell
        "classifier.4": nchw,
    },
    "lraspp": {"backbone.4.block.1": nchw, "backbone.16.0": nchw, "classifier.cbr": nchw, "classifier.scale.1": nchw},
    "fcn": {"backbone.conv1": nchw, "backbone.layer2.0": nchw, "backbone.layer4.2.bn3": nchw, "classifier.4": nchw},
    "timm swin": {
        "backbone.patch_embed.proj": nchw,
        "backbone.patch_embed": nhwc,
        "backbone.layers_0.blocks.0.norm1": nhwc,
        "backbone.layers_0.blocks.1": nhwc,
        "backbone.layers_0.blocks.1.mlp.fc1": tokens(16, 24),
        "backbone.layers_1.downsample.reduction": nhwc,
        "backbone.layers_1": nhwc,
    },
    "timm swin v2": {"backbone.layers_0.blocks.0.norm1": nhwc, "backbone.layers_1.blocks.0.mlp.act": tokens(8, 12)},
    "timm convnext": {
        "backbone.stem_0": nchw,
        "backbone.stem_1": nchw,
        "backbone.stages_0.blocks.0.norm": nhwc,
        "backbone.stages_1.blocks.0.mlp.fc1": nhwc,
        "backbone.stages_2.blocks.0.mlp.act": nhwc,
        "backbone.stages_3": nchw,
    },
    "segformer": {
        "segformer.stages.0.patch_embeddings.proj": nchw,
        "segformer.stages.0.blocks.0.layernorm_before": tokens(16, 24),
        "segformer.stages.1.blocks.0.mlp.dwconv": tokens(8, 12),
        "segformer.stages.2.blocks.0": tokens(4, 6),
        "decode_head.linear_projections.3": tokens(2, 3),
        "decode_head.batch_norm": nchw,
    },
    "upernet": {
        "backbone.swin.embeddings": tokens(16, 24),
        "backbone.swin.encoder.layers.0.blocks.0.layernorm_before": tokens(16, 24),
        "backbone.swin.encoder.layers.1.blocks.0.mlp": tokens(8, 12),
        "backbone.swin.encoder.layers.2.blocks.0": tokens(4, 6),
        "decode_head.psp_modules.1.1": nchw,  # pooled to 2 x 2 cells, whatever the image's shape
        "decode_head.fpn_bottleneck.conv": nchw,
    },
    "dpt": {
        "dpt.encoder.layer.0.layernorm_before": tokens(4, 4, 1),
        "dpt.encoder.layer.2": tokens(4, 4, 1),
        "neck.reassemble_stage.layers.0.projection": nchw,
        "neck.fusion_stage.layers.1": nchw,
        "head.head.0": nchw,
    },
    "beit": {
        "beit.layers.0.layernorm_before": tokens(4, 4, 1),
        "beit.layers.1.mlp.fc1": tokens(4, 4, 1),
        "decode_head.lateral_convs.0.convolution": nchw,
        "decode_head.fpn_bottleneck": nchw,
    },
    "mobilevitv2": {
        "mobilevitv2.conv_stem": nchw,
        "mobilevitv2.encoder.layer.2.conv_kxk": nchw,
        "mobilevitv2.encoder.layer.3.conv_projection": nchw,
        "segmentation_head.aspp.convs.1": nchw,
    },
}


@pytest.mark.parametrize("name", LAYERS)
def test_maps_are_those_of_plain_autograd(name: str) -> None:
    model, batch = network(name), images(name)
    layers = {named(label): lay for label, lay in LAYERS[name].items()}
    capture = Probe(model, list(layers), output="logits")(batch, Target(1, "image"))
    for label, lay in layers.items():
        wanted = plain_grad_cam(model, label, lay, batch[1:])
        assert agrees(capture, label, wanted, slice(1, None)), label


WINDOWS = {
    "timm swin": ("backbone.layers_0.blocks.{}.attn", 7),
    "timm swin v2": ("backbone.layers_0.blocks.{}.attn", 8),
    "upernet": ("backbone.swin.encoder.layers.0.blocks.{}.attention", 7),
}


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_put_back(name: str, block: int) -> None:
    """What attention gives on windows, put back, is what the block adds to its input; the second block shifts them."""
    path, side = WINDOWS[name]
    model, label = network(name), named(path.format(block))
    grid, batch = (16, 24), images()
    kept: dict[str, Tensor] = {}

    def keep(key: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Any) -> None:
            kept[key] = (output[0] if isinstance(output, tuple) else output).detach()

        return hook

    with_hooks = [model.get_submodule(label).register_forward_hook(keep("windows"))]
    model(batch)
    for handle in with_hooks:
        handle.remove()
    capture = Probe(model, label, output="logits")(batch, Target(1, "image"))
    # Cell by cell, by the arithmetic of the paper: a cell goes to the window of its place after the shift.
    shift = (side // 2 if side < min(grid) else 0) if block else 0
    pads_first = name == "upernet"
    tall, wide = (-(-cells // side) * side for cells in grid)
    height, width = (tall, wide) if pads_first else grid
    across = wide // side
    wanted = kept["windows"].new_empty(2, kept["windows"].shape[-1], *grid)
    for image in range(2):
        for row in range(grid[0]):
            for column in range(grid[1]):
                y, x = (row - shift) % height, (column - shift) % width
                window = image * (tall // side) * across + (y // side) * across + x // side
                wanted[image, :, row, column] = kept["windows"][window, (y % side) * side + x % side]
    assert torch.allclose(capture.activations[label], wanted, rtol=1e-9, atol=1e-12)
    assert capture.gradients[label].shape == wanted.shape
    assert capture.gradients[label].abs().amax() > 0


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_lie_where_their_block_does(name: str, block: int) -> None:
    """The second block rolls the grid before it cuts it, and the windows that are put back are not rolled."""
    label = named(WINDOWS[name][0].format(block))
    placed = Probe(network(name), label, output="logits").placements(images())[label]
    assert placed.placement == Placement((1.5, 1.5), (4, 4))
    assert placed.offset == (0, 0)


def test_regrouped_cells_are_refused() -> None:
    model = network("mobilevitv2")
    for label in ("transformer", "transformer.layer.0.ffn.conv1", "layernorm"):
        with pytest.raises(ProbeError, match="regroups cells by patches: choose a layer outside it"):
            Probe(model, f"mobilevitv2.encoder.layer.3.{label}", output="logits")(images(), Target(1, "image"))


@pytest.mark.parametrize("name", ["timm swin", "timm convnext", "segformer"])
def test_checkpointing_switches_of_the_libraries_change_nothing(name: str) -> None:
    model, labels = network(name), [named(label) for label in LAYERS[name]]
    wanted = Probe(model, labels, output="logits")(images(), Target(1, "image"))
    other = built(name)
    if name == "segformer" and not other.supports_gradient_checkpointing:
        pytest.skip("SegFormer checkpoints nothing in this version of transformers")
    if name != "segformer":
        other.backbone.set_grad_checkpointing()
    elif hasattr(other, "activation_checkpointing_enable"):
        other.activation_checkpointing_enable()
    else:
        other.gradient_checkpointing_enable()
    found = Probe(other, labels, output="logits")(images(), Target(1, "image"))
    for label in labels:
        assert torch.equal(found.gradients[label], wanted.gradients[label])


@pytest.mark.parametrize("name", ["timm swin", "timm swin v2", "timm convnext"])  # others: test_table.py
def test_every_module_has_a_map_or_a_reason(name: str) -> None:
    model, batch = network(name), images(name)
    capture = Probe(model, "*", output="logits")(batch, Target(1, "image"))
    assert {*capture.activations, *capture.skipped} == {path for path, _ in model.named_modules() if path}
    assert len(capture.activations) > len(capture.skipped)
    assert all(capture.skipped.values())
    assert all(len(capture.activations[label]) == 2 for label in capture.activations)
