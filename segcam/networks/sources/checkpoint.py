"""A checkpoint that segcam wrote, whose header rebuilds the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open

from segcam.channels import MEAN, STD, Channels
from segcam.errors import InputError
from segcam.files import plain_file, sha256, user_path
from segcam.models.weights.checkpoints import KEY, load
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source

SUFFIX = ".safetensors"
FACTS = ("architecture", "parameters", "dataset", "level", "seed", "step", "miou")
"""What is told of the header."""


def _build(request: Request) -> Built:
    path = user_path(request.name, "the checkpoint")
    if request.arguments:
        raise InputError(f"{path} says how its network is built: leave out arguments")
    if request.weights is not None:
        raise InputError(f"{path} is a checkpoint with weights of its own: name the other file as the network, or none")
    if not _ours(path):
        raise InputError(
            f"{path} holds weights alone, and not how their network is built: name that, and the file as its weights"
        )
    model, header = load(path)
    low, high = header.get("range", (0.0, 255.0))
    channels = Channels(tuple(header.get("mean", MEAN)), tuple(header.get("std", STD)), low, high)
    size = header.get("size")
    facts: dict[str, Any] = {key: header[key] for key in FACTS if key in header}
    return Built(
        model,
        classes=tuple(header["classes"]),
        inputs=NetworkInputs((size, size) if size else None, channels=channels),
        sha256=sha256(path, "the checkpoint"),
        weighted=True,
        facts={f"checkpoint_{key}" if key == "parameters" else key: value for key, value in facts.items()},
    )


def _ours(path: Path) -> bool:
    """Return whether a file has segcam's header, or cannot be read at all, which loading it says."""
    plain_file(path, "the checkpoint")
    try:
        with safe_open(str(path), framework="pt") as opened:
            return KEY in (opened.metadata() or {})
    except Exception:  # a damaged file may raise any
        return True


SOURCES.add(
    Source(
        name="checkpoint",
        form="FILE.safetensors",
        summary="a checkpoint that segcam wrote",
        build=_build,
        takes=lambda text: text.endswith(SUFFIX),
    )
)
