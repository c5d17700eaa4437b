"""Checkpoints: weights as safetensors with a JSON header that rebuilds the network; nothing is unpickled.

The header stands under `KEY` of the file's metadata, beside the number of this form and a hash of the header and of
every tensor, so that no weight can change without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from segcam.errors import InputError, first_line, out_of_memory
from segcam.files import plain_file
from segcam.models import architecture, create
from segcam.models.weights import headers
from segcam.models.weights.values import not_finite, renamed

KEY = "segcam"
SCHEMA = 1
"""Version of what stands under `KEY`."""
REBUILDS = ("architecture", "parameters", "classes")
CURE = "fetch it or save it again; in the folder of a run delete it, and run train trains it again"


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Return the bytes of a safetensors file that holds the tensors and the JSON header.

    Raises:
        InputError: the header says of a key that segcam knows what `load` would not take.
    """
    if problem := headers.problem(dict(header)):
        raise InputError(f"no checkpoint can be written: {problem}")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = {"schema": SCHEMA, "sha256": digest(plain, header), "header": header}
    return save(plain, metadata={KEY: headers.as_text(written)})


def digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Hash a header and tensors: names, number formats, shapes and bytes, in the order of their names."""
    hashed = hashlib.sha256(headers.as_text(header).encode())
    for name, tensor in sorted(tensors.items()):
        hashed.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def read_header(file: Path, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the header of a file made by `pack`, and no tensors.

    Args:
        file: the file.
        needs: keys that the header must have.

    Raises:
        InputError: the file is absent, damaged, or was not made by segcam.
    """
    return _read(file, needs, CURE, tensors=False)[1]


def unpack(file: Path, needs: tuple[str, ...] = (), cure: str = CURE) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header of a file made by `pack`, and see that they are what was written.

    Args:
        file: the file.
        needs: keys that the header must have.
        cure: what the reader of an error is to do about a damaged file.

    Raises:
        InputError: the file is absent, damaged, was changed, or was not made by segcam.
    """
    return _read(file, needs, cure, tensors=True)


def _read(file: Path, needs: tuple[str, ...], cure: str, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    plain_file(file, "checkpoint")
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys() if tensors and KEY in metadata else ()
            # Copies: what safetensors returns is mapped from the file and changes where somebody overwrites it.
            weights = {name: opened.get_tensor(name).clone() for name in names}
        written = json.loads(metadata.get(KEY, "null"))
    except Exception as error:  # a damaged file may raise any
        if out_of_memory(error):
            raise
        raise InputError(f"{file} cannot be read as a checkpoint ({first_line(error)}): {cure}") from error
    if KEY not in metadata:
        raise InputError(
            f"{file} is a safetensors file without segcam's header: it was not made by segcam; name a file that "
            "segcam.models.weights.checkpoints.pack or a run wrote"
        )
    header = _header(written, needs, f"{file} cannot be read as a checkpoint", cure)
    if tensors and digest(weights, header) != written["sha256"]:
        raise InputError(
            f"{file} cannot be read as a checkpoint (its weights or its header are not those that were written, by "
            f"their sha256): {cure}"
        )
    return weights, header


def _header(written: Any, needs: tuple[str, ...], heading: str, cure: str) -> dict[str, Any]:
    schema = written.get("schema") if isinstance(written, dict) else None
    if isinstance(written, dict) and schema is None and "header" not in written:
        raise InputError(f"{heading} (it has no schema number, so an older segcam wrote it): {cure}")
    if type(schema) is not int or not isinstance(written.get("sha256"), str):
        raise InputError(f"{heading} (its schema number or sha256 is damaged): {cure}")
    if schema > SCHEMA:
        raise InputError(
            f"{heading}: it was written by a newer segcam (schema {str(schema)[:20]}, this one reads {SCHEMA}); update "
            "segcam"
        )
    header = written.get("header")
    if problem := f"its schema is {schema}, not {SCHEMA}" if schema < 1 else headers.problem(header, needs):
        raise InputError(f"{heading} ({problem}): {cure}")
    assert isinstance(header, dict)  # as was just seen
    return header


def load(file: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild the network of a checkpoint, in eval mode on the CPU.

    Args:
        file: a checkpoint that segcam wrote.

    Returns:
        The network and the header: architecture, parameters, classes, size, step, mean IoU and more.

    Raises:
        InputError: the file is absent, damaged or was changed, or its weights do not fit the architecture that its
            header names; the message names the first tensor that differs.
    """
    path = Path(file)
    tensors, header = unpack(path, REBUILDS)
    try:
        model = create(header["architecture"], len(header["classes"]), header["parameters"], pretrained=False)
        spelling = architecture(header["architecture"]).canonical
    except InputError as error:
        raise InputError(f"checkpoint {path} cannot be rebuilt here: {error}; or name another checkpoint") from error
    state = model.state_dict()
    spellings = {spelling(name): name for name in state}
    tensors = renamed(tensors, lambda name: spellings.get(spelling(name), name), str(path))
    for name in sorted({*state, *tensors}):
        have, want = (_form(values[name]) if name in values else "absent" for values in (tensors, state))
        if have != want:
            raise InputError(
                f"{path} does not hold a {header['architecture']} with {header['parameters']}: tensor '{name}' is "
                f"{have} in the file and {want} in the network; {CURE}"
            )
        if not_finite(tensors[name].to(state[name].dtype)):
            raise InputError(
                f"{path}: tensor '{name}' holds values that are not finite, so every answer would be NaN: save a "
                "network that did not diverge"
            )
    model.load_state_dict(tensors)
    return model.eval(), header


def _form(tensor: Tensor) -> str:
    """Say what must be the same in file and network: the shape, and whether values are fractions."""
    kind = "" if tensor.is_floating_point() else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"
