"""Checkpoints that segcam wrote: rebuilt with the classes and channels of their header."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from segcam.channels import Channels
from segcam.errors import InputError
from segcam.models import create
from segcam.models.weights.checkpoints import pack
from segcam.networks import open_network

HEADER: dict[str, Any] = {
    "architecture": "unet",
    "parameters": {"width": 4, "channels": 2},
    "classes": ["background", "cell"],
    "mean": [0.1, 0.2],
    "std": [0.3, 0.4],
    "range": [0, 65535],
    "size": 96,
    "level": 80,
    "seed": 3,
}


def test_a_checkpoint_says_it_all(tmp_path: Path) -> None:
    model, file = create("unet", 2, HEADER["parameters"]), tmp_path / "c.safetensors"
    file.write_bytes(pack(model.state_dict(), HEADER))
    own = open_network(file)
    assert own.classes == ("background", "cell")
    assert own.inputs.channels == Channels((0.1, 0.2), (0.3, 0.4), 0, 65535)
    assert own.inputs.size == (96, 96)
    assert own.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert own.facts is not None
    assert (own.facts["level"], own.facts["seed"], own.facts["random"]) == (80, 3, False)
    for key, tensor in model.state_dict().items():
        assert torch.equal(own.model.state_dict()[key], tensor)
    assert open_network(str(file), classes="a,b").classes == ("a", "b")
    with pytest.raises(InputError, match="leave out arguments"):
        open_network(str(file), arguments={"width": 4})
    with pytest.raises(InputError, match="is a checkpoint with weights of its own"):
        open_network(str(file), weights=file)


def test_weights_alone_are_no_network(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(create("unet", 2, {"width": 4}).state_dict(), file)
    with pytest.raises(InputError, match="holds weights alone, and not how their network is built: name that, and the"):
        open_network(str(file))
    file.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        open_network(str(file))
    with pytest.raises(InputError, match="does not exist"):
        open_network(str(tmp_path / "absent.safetensors"))
