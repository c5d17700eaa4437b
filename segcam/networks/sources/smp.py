"""segmentation_models_pytorch's networks, by the names of its classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from segcam._compat import require
from segcam.channels import MEAN, RGB, STD, Channels
from segcam.errors import InputError, first_line, out_of_memory, unknown
from segcam.models.weights.pretrained import PATIENCE
from segcam.networks.counting import built_for, counted
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source

PACKAGE = "segmentation_models_pytorch"


def _build(request: Request) -> Built:
    require(PACKAGE, "smp", f"network '{request.source}'")
    import segmentation_models_pytorch as smp  # noqa: PLC0415  (takes seconds)

    kinds = {kind.__name__: kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if request.name not in kinds:
        raise unknown("network of segmentation_models_pytorch", request.name, kinds)
    kind = kinds[request.name]
    request, arguments = counted(request, "classes")
    known = [name for name, p in inspect.signature(kind).parameters.items() if p.kind is not p.VAR_KEYWORD]
    encoder = arguments.get("encoder_name", inspect.signature(kind).parameters["encoder_name"].default)
    of_timm = str(encoder).startswith("tu-")
    for name in arguments:
        if name not in known and not of_timm:  # an encoder of timm gets what the library does not know
            raise unknown("argument", name, known, request.source)
    if encoder not in smp.encoders.get_encoder_names() and not of_timm:
        raise unknown("encoder", str(encoder), smp.encoders.get_encoder_names(), request.source)
    pretrained = arguments.get("encoder_weights")

    def build(classes: int) -> nn.Module:
        try:
            with _offline(pretrained is not None):
                model: nn.Module = kind(**{"encoder_weights": None, **arguments, "classes": classes})
        except Exception as error:  # whatever the library, timm or the hub raise
            if out_of_memory(error):
                raise
            raise InputError(
                f"{request.source} cannot be built: {type(error).__name__}: {first_line(error, 300)}"
            ) from error
        return model

    model = built_for(build, request, default=1)
    body: Any = model.encoder
    multiple = int(body.output_stride) if getattr(model, "requires_divisible_input_shape", True) else 1
    size = tuple(body.input_size[-2:]) if getattr(body, "is_fixed_input_size", False) else None
    facts = {"library": f"segmentation_models_pytorch {smp.__version__}", "encoder": str(encoder)}
    channels = _channels(body, str(encoder), pretrained)
    return Built(model, inputs=NetworkInputs(size, multiple=multiple, channels=channels), facts=facts)


def _channels(body: Any, encoder: str, pretrained: object) -> Channels | None:
    """Return mean and deviation: ImageNet's, or those that timm names for the weights of its encoder."""
    if getattr(body, "_in_channels", 3) != len(RGB):
        return None
    if encoder.startswith("tu-") and pretrained is not None:
        import timm  # noqa: PLC0415  (slow to import)

        config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)
        if config is not None:
            return Channels(tuple(config.mean), tuple(config.std))
    return Channels(MEAN, STD)


@contextmanager
def _offline(asked: bool) -> Iterator[None]:
    """Where the hub cannot be reached, let its client look into its cache alone: it would try again for a minute."""
    if not asked:
        yield
        return
    from huggingface_hub import constants, get_session  # noqa: PLC0415  (slow)

    before = constants.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # of the client beneath, which differs by version
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


SOURCES.add(
    Source(
        name="smp",
        form="smp:CLASS",
        summary="a network of segmentation_models_pytorch, such as smp:Unet with encoder_name=resnet18",
        build=_build,
    )
)
