"""U-Net, as Ronneberger et al. draw it, with padding; its layers carry the paper's labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from segcam.errors import unknown
from segcam.models import MODELS, Architecture, Parameters, wrong_value
from segcam.models.material.blocks import Block
from segcam.probe.layers import Layer, Point

LEVELS = 5
NORMS = ("batch", "none", "group")


class UNet(nn.Module):
    """U-Net with five encoder and four decoder levels.

    Differs from the paper in padding (output as large as the input) and in the normalisation, which the paper does not
    have ('none'). Inputs whose sides are no multiple of 16 are all right: upsampled features are padded to the skip's.

    Args:
        classes: number of classes.
        width: channels of the first level; each further level has twice as many (64 in the paper).
        norm: 'batch', 'none' or 'group'.
        channels: of the images.

    Source: Ronneberger, Fischer, Brox, MICCAI 2015, figure 1.
    """

    def __init__(self, classes: int, width: int = 64, norm: str = "batch", channels: int = 3) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(LEVELS)]
        self.encoders = nn.ModuleList(Block(a, b, norm) for a, b in zip([channels, *widths[:-1]], widths, strict=True))
        # One for each step down: tools that hook modules cannot tell several calls of the same one apart.
        self.pools = nn.ModuleList(nn.MaxPool2d(2) for _ in widths[1:])
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(deep, fine, 2, stride=2) for deep, fine in pairs)
        self.decoders = nn.ModuleList(Block(2 * fine, fine, norm) for _, fine in pairs)
        self.head = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Return the logits at the input's resolution."""
        skips = []
        for i, encoder in enumerate(self.encoders):
            x = encoder(x if i == 0 else self.pools[i - 1](x))
            skips.append(x)
        for up, decoder, skip in zip(self.ups, self.decoders, skips[-2::-1], strict=True):
            x = up(x)
            x = pad(x, (0, skip.shape[3] - x.shape[3], 0, skip.shape[2] - x.shape[2]))
            x = decoder(torch.cat([skip, x], 1))
        logits: Tensor = self.head(x)
        return logits


def _build(classes: int, parameters: Parameters) -> UNet:
    width, norm = int(parameters["width"]), str(parameters["norm"])
    if width < 1:
        raise wrong_value("unet", "width", width, "at least 1")
    if norm not in NORMS:
        raise unknown("normalisation of model 'unet'", norm, NORMS)
    if (channels := int(parameters.get("channels", 3))) < 1:
        raise wrong_value("unet", "channels", channels, "at least 1")
    return UNet(classes, width, norm, channels)


def _layers(_model: nn.Module, point: Point) -> list[Layer]:
    """List the 18 convolutions, or the ReLUs behind them, with the paper's labels: resolution level, then 1 or 2."""
    blocks = [(f"encoders.{i}", "encoder", i + 1) for i in range(LEVELS)]
    blocks += [(f"decoders.{i}", "decoder", LEVELS - 1 - i) for i in range(LEVELS - 1)]
    suffix = "" if point == "conv" else " ReLU"
    return [
        Layer(
            module=f"{path}.{point}{half}",
            label=f"{role.capitalize()} {stage}_{half}{suffix}",
            stage=stage,
            depth=2 * n + half - 1,
            role=role,
            stride=2 ** (stage - 1),
            point=point,
        )
        for n, (path, role, stage) in enumerate(blocks)
        for half in (1, 2)
    ]


UNET = MODELS.add(
    Architecture(
        name="unet",
        label="U-Net",
        summary="five encoder and four decoder levels of two 3x3 convolutions; parameters width, norm and channels",
        source="Ronneberger, Fischer, Brox, MICCAI 2015",
        defaults={"width": 64, "norm": "batch", "channels": 3},
        build=_build,
        layers=_layers,
        small={"": {"width": 4}},
    )
)


def _build_he(classes: int, parameters: Parameters) -> nn.Module:
    """Build it with He's weights in the upsampling, so that what lies far away is heard from the start.

    PyTorch draws the first weights of a transposed convolution as if its kernels overlapped, which leaves its output
    half as strong as the skip beside it. Over four levels that makes a sixteenth: what is decided far from the pixels
    that it decides, such as which of two animals it is by what lies beside it, was then not learned in 1000 steps
    (drawn scenes, 64 px, width 16, one seed). With He's weights it was with two of three seeds in 1800; see
    results/evidence.
    """
    model = UNET.build(classes, parameters)
    assert isinstance(model, UNet)  # that is what it builds
    for up in model.ups:
        assert isinstance(up, nn.ConvTranspose2d)  # it has no other
        nn.init.normal_(up.weight, std=(2 / up.in_channels) ** 0.5)  # one tap of each channel makes a pixel
        assert up.bias is not None
        nn.init.zeros_(up.bias)
    return model


UNET_HE = MODELS.add(
    replace(
        UNET,
        name="unet_he",
        label="U-Net (He)",
        summary="U-Net whose upsampling, too, begins with He's weights: learns what is decided far away; as unet",
        source="Ronneberger, Fischer, Brox, MICCAI 2015; first weights: He et al., ICCV 2015, equation 10",
        build=_build_he,
        small={"": {"width": 16}},
    )
)
