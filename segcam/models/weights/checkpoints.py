"""Checkpoints: weights as safetensors with a JSON header that rebuilds the network; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from segcam.errors import InputError
from segcam.models import architecture, create

KEY = "segcam"
REBUILDS = ("architecture", "parameters", "classes")


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Return the bytes of a safetensors file that holds the tensors and the JSON header."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, metadata={KEY: json.dumps(header, sort_keys=True)})


def read_header(file: Path) -> dict[str, Any]:
    """Read the header of a file made by `pack`, and no tensors.

    Raises:
        InputError: the file is absent, damaged, or was not made by segcam.
    """
    return _read(file, tensors=False)[1]


def unpack(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header of a file made by `pack`.

    Raises:
        InputError: the file is absent, damaged, or was not made by segcam.
    """
    return _read(file, tensors=True)


def _read(file: Path, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys() if tensors else ()
            # Copies: what safetensors returns is mapped from the file and changes where somebody overwrites it.
            weights = {name: opened.get_tensor(name).clone() for name in names}
        header = json.loads(metadata[KEY])
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist: train first, or correct the path") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a checkpoint ({error}): delete it and train again") from error
    except KeyError as error:
        raise InputError(f"{file} is a safetensors file without segcam's header: it was not made by segcam") from error
    return weights, header


def load(file: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild the network of a checkpoint, in eval mode on the CPU.

    Args:
        file: a checkpoint that segcam wrote.

    Returns:
        The network and the header: architecture, parameters, classes, size, step, mean IoU and more.

    Raises:
        InputError: the file is absent or damaged, or its weights do not fit the architecture that its header names;
            the message names the first tensor that differs.
    """
    path = Path(file)
    tensors, header = unpack(path)
    missing = [key for key in REBUILDS if key not in header]
    if missing:
        raise InputError(f"{path}: the header lacks '{missing[0]}', so the network cannot be rebuilt")
    model = create(header["architecture"], len(header["classes"]), header["parameters"], pretrained=False)
    state = model.state_dict()
    spelling = architecture(header["architecture"]).canonical
    spellings = {spelling(name): name for name in state}
    tensors = {spellings.get(spelling(name), name): tensor for name, tensor in tensors.items()}
    for name in sorted({*state, *tensors}):
        have = tuple(tensors[name].shape) if name in tensors else "absent"
        want = tuple(state[name].shape) if name in state else "absent"
        if have != want:
            raise InputError(
                f"{path} does not hold a {header['architecture']} with {header['parameters']}: tensor '{name}' is "
                f"{have} in the file and {want} in the network"
            )
    model.load_state_dict(tensors)
    return model.eval(), header
