"""Pretrained weights from files and hubs: read safely, checked tensor by tensor, refused with the first difference."""

from __future__ import annotations

import difflib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from segcam._compat import require
from segcam.channels import MEAN, STD
from segcam.errors import InputError, first_line, out_of_memory, shown
from segcam.files import plain_file, sha256, unreadable, user_path
from segcam.models import Parameters, Value, architecture, complete, create, no_weights
from segcam.models.weights.checkpoints import digest
from segcam.models.weights.values import wrong_values

NONE = "none"
"""The value of a parameter `pretrained` that asks for random weights."""

PATIENCE = 10.0
"""Seconds within which the hub must answer at all."""

FILES = ("model.safetensors", "pytorch_model.bin")
"""What a folder or hub repository calls its weights."""


WHAT = "the file of pretrained weights"
"""How errors call a file that cannot be read."""
FETCH = "fetch the file again"


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a file of weights: safetensors, or a state dict that torch saved; nothing else in it is unpickled.

    Raises:
        InputError: the file is absent, damaged, or holds something else.
    """
    plain_file(file, WHAT)
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the file was written: it is read, or an error says why not
            content = None if _inflates(file) else torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise any
        if out_of_memory(error):
            raise
        refused = "weights only" in str(error).lower()  # torch's words tell how to run what the file brings
        reason = "it holds more than tensors" if refused else first_line(error)
        raise InputError(f"pretrained weights {file} cannot be read ({reason}): {FETCH}") from error
    if content is None:
        raise InputError(f"pretrained weights {file} would grow when they are unpacked, as torch writes none: {FETCH}")
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise InputError(
            f"pretrained weights {file} hold a {type(content).__name__}: a state dict of tensors is needed"
        )
    for name, tensor in content.items():
        if not isinstance(name, str):
            raise InputError(f"pretrained weights {file} name a tensor {shown(name)}: a state dict's names are texts")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise InputError(
                f"pretrained weights {file}: tensor '{name}' is quantised, sparse or without data: save it as a plain "
                "tensor of floats"
            )
    return dict(content)


def _inflates(file: Path) -> bool:
    """Return whether a file is an archive whose members are compressed, which torch's own never are."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())


def weight_file(path: str | Path) -> Path:
    """Return the file of weights at a path, or in the folder there; `~` is the user's home.

    Raises:
        InputError: there is none.
    """
    path = user_path(path, "pretrained")
    try:
        if not path.is_dir():
            return plain_file(path, WHAT)
        files = [path / name for name in FILES if (path / name).is_file()]
    except OSError as error:
        raise unreadable(path, WHAT, error) from error
    if not files:
        raise InputError(f"pretrained weights: the folder {path} holds none of {', '.join(FILES)}: correct the path")
    return files[0]


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
    known = plain_file(file, WHAT).stat()
    return _hashed(file, known.st_size, known.st_mtime_ns)


@cache
def _hashed(file: Path, _size: int, _changed: int) -> str:
    return sha256(file, WHAT)


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


def fill(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a network of exactly the same tensors.

    Args:
        model: the network.
        weights: a tensor for each of its own, by name.
        source: what the error calls them.

    Raises:
        InputError: a tensor is missing, one too many, of another shape or kind, or holds what is no weight (NaN,
            infinity, numbers out of all proportion; zeros alone); nothing is copied then.
    """
    state = model.state_dict()
    for name in [*state, *(n for n in weights if n not in state)]:
        have = tuple(weights[name].shape) if name in weights else "absent"
        want = tuple(state[name].shape) if name in state else "absent"
        if have != want:
            raise InputError(
                f"pretrained weights {source} do not fit {type(model).__name__}: tensor '{name}' is {have} there and "
                f"{want} in the network; choose weights of the same size of network"
            )
        if problem := wrong_values(weights[name], state[name]):
            raise InputError(f"pretrained weights {source}: tensor '{name}' {problem}; {FETCH}, or choose another")
    if not any(tensor.is_floating_point() and tensor.count_nonzero() for tensor in weights.values()):
        raise InputError(f"pretrained weights {source} hold nothing but zeros; {FETCH}, or choose another")
    model.load_state_dict({name: tensor.to(state[name].dtype) for name, tensor in weights.items()})
