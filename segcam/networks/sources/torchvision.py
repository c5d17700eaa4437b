"""torchvision's segmentation networks, by the names of `torchvision.models`."""

from __future__ import annotations

from typing import Any

from torch import nn

from segcam._compat import require
from segcam.channels import MEAN, STD, Channels
from segcam.errors import InputError, first_line, shown, unknown
from segcam.networks.counting import built_for
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source

CLASSES = 21
"""Classes of torchvision's own weights: Pascal VOC's."""
FIXED = ("weights", "weights_backbone", "num_classes")
"""What segcam says itself."""


def _build(request: Request) -> Built:
    require("torchvision", "models", f"network '{request.source}'")
    import torchvision  # noqa: PLC0415  (takes seconds)
    from torchvision.models import get_model, list_models, segmentation  # noqa: PLC0415

    names = list_models(module=segmentation)
    if request.name not in names:
        raise unknown("segmentation network of torchvision", request.name, names)
    for key in FIXED:
        if key in request.arguments:
            cure = "name the classes" if key == "num_classes" else "name the file of its weights"
            raise InputError(f"argument '{key}' of {request.source} is segcam's to say: {cure} in place of it")

    def build(classes: int) -> nn.Module:
        given: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": classes}
        try:
            model: nn.Module = get_model(request.name, **given, **request.arguments)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{request.source} cannot be built with {shown(dict(request.arguments))}: {first_line(error)}"
            ) from error
        return model

    model = built_for(build, request, CLASSES)
    facts = {"library": f"torchvision {torchvision.__version__}"}
    return Built(model, inputs=NetworkInputs(channels=Channels(MEAN, STD)), facts=facts)


SOURCES.add(
    Source(
        name="torchvision",
        form="torchvision:NAME",
        summary="a segmentation network of torchvision, such as torchvision:deeplabv3_mobilenet_v3_large",
        build=_build,
    )
)
