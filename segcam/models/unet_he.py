"""The same U-Net whose upsampling begins as strong as the rest, so that what lies far away is heard from the start.

PyTorch draws the first weights of a transposed convolution as if its kernels overlapped, which leaves its output half
as strong as the skip beside it. Over four levels that makes a sixteenth: what is decided far from the pixels that it
decides, such as which of two animals it is by what lies beside it, was then not learned in 1000 steps (drawn scenes,
64 px, width 16, one seed). With He's weights it was with one of two seeds in 600; see results/evidence.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from segcam.models import MODELS, Parameters
from segcam.models.unet import UNET, UNet


def _build(classes: int, parameters: Parameters) -> nn.Module:
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
        build=_build,
    )
)
