"""Pretrained weights from files and hubs: read safely, checked tensor by tensor, refused with the first difference."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam._compat import require
from segcam.channels import MEAN, STD
from segcam.errors import InputError, first_line
from segcam.models import Parameters, Value, architecture, complete, create, no_weights
from segcam.models.weights.checkpoints import digest
from segcam.models.weights.reading import FILES, digest_of

NONE = "none"
"""The value of a parameter `pretrained` that asks for random weights."""

PATIENCE = 10.0
"""Seconds within which the hub must answer at all."""


def sha256_of(name: str, parameters: Parameters) -> str:
    """Return the sha256 of a model's pretrained weights, which may be fetched; '' where it has none.

    It is that of the file; where the architecture names none, that of the tensors that are loaded.

    Args:
        name: the model's name, with its variant.
        parameters: what differs from the architecture's defaults.

    Raises:
        InputError: the model or a parameter is unknown, or the weights cannot be had.
    """
    values = complete(name, parameters)
    plugin = architecture(name)
    if values.get("pretrained", NONE) == NONE or plugin.pretrain is no_weights:
        return ""
    file = plugin.weights(values)
    if file is None:
        return _loaded(name, tuple(parameters.items()))
    return digest_of(file)


@cache
def _loaded(name: str, parameters: tuple[tuple[str, Value], ...]) -> str:
    """Hash what is loaded into a network: the tensors that its seed does not change."""
    one, other = (create(name, 2, dict(parameters), seed).state_dict() for seed in (0, 1))
    return digest({key: tensor for key, tensor in one.items() if torch.equal(tensor, other[key])}, {})


def from_hub(repository: str, model: str) -> Path:
    """Find the weights of a repository of the Hugging Face hub in its cache, or fetch them.

    Args:
        repository: such as 'nvidia/mit-b0'.
        model: the model's name in the profile, for the error.

    Raises:
        InputError: they cannot be had; told within seconds where the hub cannot be reached.
    """
    from huggingface_hub import constants, get_session, hf_hub_download, try_to_load_from_cache  # noqa: PLC0415  (slow)
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    cached = [try_to_load_from_cache(repository, name) for name in FILES]
    path = next((file for file in cached if isinstance(file, str)), None)
    if path:
        return Path(path)
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)  # the download would try again for most of a minute
    except Exception as error:  # of the client beneath, which differs by version
        problem = f"{constants.ENDPOINT} cannot be reached: {first_line(error)}"
        raise not_from_hub(repository, model, problem) from error
    try:
        try:
            return Path(hf_hub_download(repository, FILES[0]))
        except EntryNotFoundError:
            return Path(hf_hub_download(repository, FILES[1]))
    except Exception as error:  # no such repository, no access, no room, ...
        raise not_from_hub(repository, model, first_line(error)) from error


def timm_from_hub(name: str, model: str, options: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Return the weights that timm has for an encoder on the hub, fitted to its options as timm does it.

    Args:
        name: the encoder's name, with or without a tag.
        model: the model's name in the profile, for the error.
        options: keywords of `timm.create_model`.

    Raises:
        InputError: they cannot be had.
    """
    require("timm", "models", f"model '{model}'")
    import timm  # noqa: PLC0415  (slow to import)

    file = timm_file(name, model)
    config = timm.get_pretrained_cfg(name)
    custom = bool(config and config.custom_load)  # timm's mark for files of another format
    try:
        overlay = {"file": str(file), "custom_load": custom and file.name not in FILES}
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **(options or {}))
    except Exception as error:  # whatever the network, the file or timm's own check gives
        raise not_from_hub(name, model, first_line(error)) from error
    return dict(network.state_dict())


def timm_file(name: str, model: str) -> Path:
    """Return the file of the weights that timm has for an encoder, on the hub or elsewhere; it is fetched if need be.

    Args:
        name: the encoder's name, with or without a tag.
        model: the model's name in the profile, for the error.

    Raises:
        InputError: there are none, or they cannot be had.
    """
    require("timm", "models", f"model '{model}'")
    import timm  # noqa: PLC0415  (slow to import)
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (slow)

    config = timm.get_pretrained_cfg(known_encoder(name))
    if not config or not config.has_weights:
        raise not_from_hub(name, model, "timm has none")
    if config.file:
        return Path(config.file)
    if config.hf_hub_id and not config.hf_hub_filename:
        return from_hub(config.hf_hub_id, model)
    try:
        if config.hf_hub_id:
            return Path(hf_hub_download(config.hf_hub_id, str(config.hf_hub_filename)))
        return _fetched(config.url or "")
    except Exception as error:  # no such file, no network, no room, ...
        raise not_from_hub(name, model, first_line(error)) from error


def _fetched(url: str | tuple[str, str]) -> Path:
    """Return the file of an address, which is fetched into torch's cache under the name by which timm looks for it."""
    address, name = (url, urlparse(url).path.rpartition("/")[2]) if isinstance(url, str) else url
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(file), progress=False)
    return file


def not_from_hub(weights: str, model: str, problem: str) -> InputError:
    """Return the error for weights that the hub did not give."""
    return InputError(
        f"the weights '{weights}' cannot be had from the hub ({problem}): set models.{model}.pretrained to a folder or "
        f"file that holds them, or to '{NONE}' for random weights"
    )


def known_encoder(name: str) -> str:
    """Return a name that timm knows.

    Raises:
        InputError: timm does not know it.
    """
    require("timm", "models", f"encoder '{name}'")
    import timm  # noqa: PLC0415  (slow to import)

    plain, sign, _ = name.partition(".")
    encoders = timm.list_models()
    if plain in encoders and sign:
        encoders = timm.list_models(f"{plain}.*", pretrained=True)
    if name not in encoders:
        near = difflib.get_close_matches(name, encoders, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "see timm.list_models()"
        raise InputError(f"timm has no encoder '{name}': {hint}")
    return name


class Normalised(nn.Module):
    """Takes inputs from ImageNet's normalisation, which all inputs here have, to the one of an encoder's weights.

    Args:
        mean: what is subtracted from each channel of an image in 0..1.
        std: by what it is divided.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        encoder, usual = torch.tensor([mean, std]), torch.tensor([MEAN, STD])
        self.register_buffer("scale", (usual[1] / encoder[1]).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((usual[0] - encoder[0]) / encoder[1]).view(3, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return the same images under the other normalisation."""
        return x * self.scale + self.shift
