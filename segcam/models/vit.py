"""A plain Vision Transformer with a light decoder, the family's network with a position embedding."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam._compat import require
from segcam.errors import InputError, first_line
from segcam.models import MODELS, Architecture, Parameters, to_input, wrong_value
from segcam.models.weights.loading import fill
from segcam.models.weights.names import without_prefix
from segcam.models.weights.pretrained import NONE, Normalised, known_encoder, timm_file, timm_from_hub
from segcam.models.weights.reading import read_weights, weight_file
from segcam.probe.attention import AttentionPlace
from segcam.probe.layers import Layer, Point

DEFAULT = "vit_tiny_patch16_224"
PATCHES = (4, 8, 16, 32)
FINEST = 2  # stride of the decoder's last features, in pixels


class ViTSegmenter(nn.Module):
    """timm's Vision Transformer with a learned position embedding, then transposed convolutions up to stride 2.

    The position embedding belongs to inputs of `image_size` pixels a side; for another size it is interpolated. Inputs
    whose sides are no multiple of the patch size are padded with zeros (ImageNet's mean colour) at the right and at the
    bottom, and what the tokens give is cropped back.

    Args:
        classes: number of classes.
        encoder: a Vision Transformer of timm, such as 'vit_tiny_patch16_224'.
        image_size: side of the inputs that the position embedding is made for, in pixels.
        patch_size: side of a patch, in pixels: 4, 8, 16 or 32, whatever the encoder's name says.
        drop_path: the last block's probability of being skipped in training; it rises linearly from the first one's 0.

    Raises:
        InputError: timm has no such Vision Transformer.

    Source: Dosovitskiy et al., ICLR 2021 (encoder); Zheng et al., SETR, CVPR 2021 (decoding by steps of two).
    """

    def __init__(
        self, classes: int, encoder: str, image_size: int = 128, patch_size: int = 16, drop_path: float = 0.1
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.encoder = _encoder(encoder, image_size, patch_size, drop_path)
        self.normalised = Normalised(self.encoder.pretrained_cfg["mean"], self.encoder.pretrained_cfg["std"])
        dimension: int = self.encoder.embed_dim
        steps = round(math.log2(patch_size / FINEST))
        widths = [dimension, *(max(32, dimension // 2 ** (i + 1)) for i in range(steps))]
        self.ups = nn.ModuleList(Up(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in widths[1:])
        self.relus = nn.ModuleList(nn.ReLU() for _ in widths[1:])
        self.head = nn.Conv2d(widths[-1], classes, 3, padding=1)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        """Return the encoder's tokens on their grid; both sides must be multiples of the patch size."""
        tokens: Tensor = self.encoder.forward_features(self.normalised(x))
        tokens = tokens[:, self.encoder.num_prefix_tokens :]
        rows, columns = x.shape[2] // self.patch_size, x.shape[3] // self.patch_size
        return tokens.transpose(1, 2).reshape(len(x), -1, rows, columns)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Return the logits at the input's resolution."""
        height, width = x.shape[2:]
        deep = self.features(F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size)))
        for n, (up, norm, relu) in enumerate(zip(self.ups, self.norms, self.relus, strict=True), 1):
            stride = self.patch_size // 2**n
            deep = relu(norm(up(deep, (math.ceil(height / stride), math.ceil(width / stride)))))
        return to_input(self.head(deep), (height, width), FINEST)


class Up(nn.ConvTranspose2d):
    """A transposed convolution whose output is cropped to the cells that the input reaches, without its padding."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b d rows columns"]:
        """Return the finer features on a grid of `size` cells."""
        return super().forward(x)[:, :, : size[0], : size[1]]


def _options(image_size: int, patch_size: int) -> dict[str, Any]:
    """Return the keywords of `timm.create_model` by which tokens come out, for inputs of any size."""
    return {
        "img_size": image_size,
        "patch_size": patch_size,
        "num_classes": 0,
        "global_pool": "",
        "dynamic_img_size": True,
    }


def _encoder(name: str, image_size: int, patch_size: int, drop_path: float) -> Any:
    require("timm", "models", f"model 'vit:{name}'")
    import timm  # noqa: PLC0415  (slow to import)
    from timm.models.vision_transformer import VisionTransformer  # noqa: PLC0415

    refused = f"encoder '{known_encoder(name)}' of timm is no plain ViT%s: choose one such as '{DEFAULT}'"
    try:
        encoder = timm.create_model(name, drop_path_rate=drop_path, **_options(image_size, patch_size))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise InputError(refused % f" ({first_line(error)})") from error
    if not isinstance(encoder, VisionTransformer) or encoder.pos_embed is None:
        raise InputError(refused % " with a position embedding")
    return encoder


def _build(classes: int, parameters: Parameters) -> ViTSegmenter:
    image, patch = int(parameters["image_size"]), int(parameters["patch_size"])
    drop_path = float(parameters["drop_path"])
    if patch not in PATCHES:
        raise wrong_value("vit", "patch_size", patch, f"one of {', '.join(map(str, PATCHES))}")
    if image < patch or image % patch:
        raise wrong_value("vit", "image_size", image, f"a multiple of the patch size {patch}")
    if not 0 <= drop_path < 1:
        raise wrong_value("vit", "drop_path", drop_path, "at least 0 and below 1")
    return ViTSegmenter(classes, str(parameters["encoder"]), image, patch, drop_path)


def _file(parameters: Parameters) -> Path:
    """Return the file of the pretrained weights that the parameters name."""
    pretrained = str(parameters["pretrained"])
    return timm_file(str(parameters["encoder"]), "vit") if pretrained == "hub" else weight_file(pretrained)


def _pretrain(model: nn.Module, parameters: Parameters) -> None:
    pretrained, name = str(parameters["pretrained"]), str(parameters["encoder"])
    if pretrained == NONE:
        return
    assert isinstance(model, ViTSegmenter)  # what _build gives
    if pretrained == "hub":
        options = _options(int(parameters["image_size"]), model.patch_size)
        fill(model.encoder, timm_from_hub(name, "vit", options), f"{name} from the hub")
    else:
        weights = without_prefix(read_weights(weight_file(pretrained)), model.encoder.state_dict(), pretrained)
        fill(model.encoder, _fitted(weights, model.encoder), pretrained)


@torch.no_grad()
def _fitted(weights: dict[str, Tensor], encoder: Any) -> dict[str, Tensor]:
    """Return a classifier's weights without its head, the position embedding interpolated to the encoder's grid."""
    from timm.layers.pos_embed import resample_abs_pos_embed  # noqa: PLC0415  (slow to import)

    fitted = {name: tensor for name, tensor in weights.items() if not name.startswith("head.")}
    embedding, given = encoder.pos_embed, fitted.get("pos_embed")
    if (
        given is None
        or not given.is_floating_point()
        or given.ndim != 3
        or given.shape == embedding.shape
        or given.shape[2] != embedding.shape[2]
    ):
        return fitted
    prefix = embedding.shape[1] - math.prod(encoder.patch_embed.grid_size)
    if math.isqrt(given.shape[1] - prefix) ** 2 != given.shape[1] - prefix:
        return fitted
    new_size = list(encoder.patch_embed.grid_size)
    return fitted | {"pos_embed": resample_abs_pos_embed(given, new_size, num_prefix_tokens=prefix)}


def _layers(model: nn.Module, point: Point) -> list[Layer]:
    """List each block's norm before attention, its output after projection and dropout, and its MLP, then the rest.

    All three sit on the branches, not on the residual stream. The decoder alone has activations behind convolutions.
    """
    assert isinstance(model, ViTSegmenter)
    ups = len(model.ups)
    places: list[tuple[str, str, int, str]] = []
    for n in range(len(model.encoder.blocks)):
        path = f"encoder.blocks.{n}"
        if point == "conv":
            places.append((f"{path}.norm1", f"Before attention {n + 1}", ups + 1, "before attention"))
            places.append((f"{path}.attn.proj_drop", f"After attention {n + 1}", ups + 1, "after attention"))
            places.append((f"{path}.mlp", f"MLP {n + 1}", ups + 1, "mlp"))
    if point == "conv":
        places.append(("encoder.norm", "Encoder output", ups + 1, "encoder"))
    first = 0 if point == "conv" else 3 * len(model.encoder.blocks) + 1
    for n in range(ups):
        name = ("ups", "") if point == "conv" else ("relus", " ReLU")
        places.append((f"{name[0]}.{n}", f"Decoder {ups - n}{name[1]}", ups - n, "decoder"))
    return [
        Layer(path, label, stage, depth, role, FINEST * 2 ** (stage - 1), point)
        for depth, (path, label, stage, role) in enumerate(places, first)
    ]


def attention_places(model: nn.Module) -> list[AttentionPlace]:
    """Find the attention of each block; tokens of no place (class, registers) come first in its matrices."""
    assert isinstance(model, ViTSegmenter)
    stage = len(model.ups) + 1
    return [
        AttentionPlace(
            f"encoder.blocks.{n}.attn", f"Attention {n + 1}", stage, n, model.patch_size, 1, f"After attention {n + 1}"
        )
        for n in range(len(model.encoder.blocks))
    ]


VIT = MODELS.add(
    Architecture(
        name="vit",
        label="ViT",
        summary="plain Vision Transformer of timm with a learned position embedding; pretrained: none, hub, or a file",
        source="Dosovitskiy et al., ICLR 2021; Zheng et al., CVPR 2021",
        defaults={"encoder": DEFAULT, "image_size": 128, "patch_size": 16, "drop_path": 0.1, "pretrained": NONE},
        build=_build,
        layers=_layers,
        variant="encoder",
        pretrain=_pretrain,
        weights=_file,
        attentions=attention_places,
        small={"": {"image_size": 64}},
    )
)
