"""segcam's own architectures, by the names that profiles use: 'unet', 'segformer:b1', 'timm_unet:resnet18'."""

from __future__ import annotations

from typing import Any

from torch import nn

from segcam.channels import RGB
from segcam.model_names import parsed
from segcam.models import MODELS, create
from segcam.networks.counting import built_for
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source


def _build(request: Request) -> Built:
    def build(classes: int) -> nn.Module:
        return create(request.name, classes, dict(request.arguments))

    model = built_for(build, request, default=2)
    channels = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), len(RGB))
    facts: dict[str, Any] = {"architecture": request.name}
    inputs = NetworkInputs(channels=RGB) if channels == len(RGB) else None
    pretrained = request.arguments.get("pretrained", "none") != "none"
    return Built(model, inputs=inputs, weighted=pretrained, facts=facts)


def _takes(text: str) -> bool:
    return parsed(text).family in MODELS.names()


SOURCES.add(
    Source(
        name="segcam_model",
        form="unet | segformer:b1 | timm_unet:resnet18 | ...",
        summary="an architecture of segcam.models, with its parameters as arguments",
        build=_build,
        takes=_takes,
    )
)
