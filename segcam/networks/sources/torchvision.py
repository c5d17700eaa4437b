"""torchvision's segmentation networks, by the names of `torchvision.models`."""

from __future__ import annotations

import inspect
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn

from segcam._compat import require
from segcam.channels import MEAN, STD, Channels
from segcam.errors import InputError, first_line, out_of_memory, shown, unknown
from segcam.networks.counting import built_for, counted
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source

CLASSES = 21
"""Classes of torchvision's own weights: Pascal VOC's."""
FIXED = ("weights", "weights_backbone")
"""What segcam says itself."""
AUXILIARY = "aux_classifier."
"""What names of the auxiliary head's tensors begin with."""


def _build(request: Request) -> Built:
    require("torchvision", "models", f"network '{request.source}'")
    import torchvision  # noqa: PLC0415  (takes seconds)
    from torchvision.models import get_model, get_model_builder, list_models, segmentation  # noqa: PLC0415

    names = list_models(module=segmentation)
    if request.name not in names:
        raise unknown("segmentation network of torchvision", request.name, names)
    request, arguments = counted(request, "num_classes")
    known = [
        name
        for name, p in inspect.signature(get_model_builder(request.name)).parameters.items()
        if p.kind is not p.VAR_KEYWORD
    ]
    for key in arguments:
        if key not in known:
            raise unknown("argument", key, {*known} - {"progress", *FIXED}, request.source)
    for key in FIXED:
        if key in arguments:
            raise InputError(
                f"{request.source} takes no argument '{key}': torchvision would fetch them; name the file as weights"
            )

    if request.tensors is not None and any(AUXILIARY in name for name in request.tensors()):
        arguments.setdefault("aux_loss", True)  # the head that training alone uses has weights in the file, too

    def build(classes: int) -> nn.Module:
        given: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": classes}
        try:
            model: nn.Module = get_model(request.name, **given, **arguments)
        except Exception as error:  # whatever the library raises
            if out_of_memory(error):
                raise
            raise InputError(
                f"{request.source} cannot be built with {shown(arguments)}: {type(error).__name__}: {first_line(error)}"
            ) from error
        return model

    published = _published(request)
    model = built_for(build, request, CLASSES)
    facts = {"library": f"torchvision {torchvision.__version__}"}
    classes: tuple[str, ...] | None = None
    if published is not None:
        classes, facts["published"] = tuple(published.meta["categories"]), str(published)
    return Built(model, classes, NetworkInputs(channels=Channels(MEAN, STD)), facts=facts)


def _weights(name: str, word: str) -> Path | None:
    """Return the file of the weights that torchvision publishes under a word ('DEFAULT'), if it has been fetched.

    Raises:
        InputError: it has not; nothing is fetched here.
    """
    require("torchvision", "models", f"network 'torchvision:{name}'")
    from torchvision.models import get_model_weights, list_models, segmentation  # noqa: PLC0415  (slow to import)

    entries = get_model_weights(name).__members__ if name in list_models(module=segmentation) else {}
    entry = entries.get(word.rpartition(".")[2])
    if entry is None:
        return None
    file: Path = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    if not file.is_file():
        raise InputError(
            f"the weights '{word}' of torchvision:{name} are not in {file.parent}: fetch {entry.url} into it, or name "
            "another file of weights"
        )
    return file


def _published(request: Request) -> Any:
    """Return torchvision's own entry for a file of weights that has the published name; None for others."""
    from torchvision.models import get_model_weights  # noqa: PLC0415  (slow to import)

    name = PurePath(request.weights or "").name
    return next((one for one in get_model_weights(request.name) if one.url.rpartition("/")[2] == name), None)


SOURCES.add(
    Source(
        name="torchvision",
        form="torchvision:NAME",
        summary="a segmentation network of torchvision, such as torchvision:deeplabv3_mobilenet_v3_large",
        build=_build,
        published=_weights,
    )
)
