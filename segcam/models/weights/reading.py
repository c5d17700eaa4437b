"""Files of weights, read safely: safetensors, what torch saved, and shards with their index."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from segcam.errors import InputError, first_line, out_of_memory, shown
from segcam.files import one_line, plain_file, read_text, sha256, unreadable, user_path

FILES = ("model.safetensors", "pytorch_model.bin")
"""What a folder or hub repository calls its weights."""
INDEX = ".index.json"
"""How the name of a list of shards ends."""

WHAT = "the file of pretrained weights"
"""How errors call a file that cannot be read."""
FETCH = "fetch the file again"
DEEPEST = 6
"""Mappings within each other in which weights are looked for."""
CONTAINERS: list[Any] = [argparse.Namespace]
"""What training scripts keep their options in: it holds values and no code, so torch may read it."""
RESAVE = (
    "import pathlib, pickle, torch; t = lambda c: torch.as_tensor(c) if getattr(c, 'shape', ()) or torch.is_tensor(c) "
    "else {{str(k): t(v) for k, v in (c.state_dict() if hasattr(c, 'state_dict') else c).items() if torch.is_tensor(v) "
    "or getattr(v, 'shape', ()) or isinstance(v, dict) or hasattr(v, 'state_dict')}}; torch.save(t({load}), {out!r})"
)
"""Python that saves the tensors and arrays of a file alone, and runs what else is in it."""
LOAD = "torch.load({file!r}, map_location='cpu', weights_only=False)"
UNPICKLE = "pickle.loads(pathlib.Path({file!r}).read_bytes())"
SAVED_OTHERWISE: Mapping[bytes, str] = {
    b"\x1f\x8b": "it is compressed by gzip): unpack it, gunzip",
    b"BZh": "it is compressed by bzip2): unpack it, bunzip2",
    b"\xfd7zXZ": "it is compressed by xz): unpack it, unxz",
    b"version https://git-lfs": "it is Git LFS's pointer to a file): fetch the file itself, git lfs pull",
    b"<": "it is a page of the web): fetch the file again, from the address that it downloads from",
}
"""How files begin that are no weights yet, and what to do about them."""
RESAVE_SCRIPT = "import torch; torch.save(torch.jit.load({file!r}, map_location='cpu').state_dict(), {out!r})"


def read_weights(file: Path | str) -> dict[str, Tensor]:
    """Read a file of weights, on the CPU: safetensors, what torch saved, or the index of shards; no code of it is run.

    Of mappings within mappings the names are joined: 'state_dict.model.head.weight'. What is no tensor is left out.

    Args:
        file: the file.

    Returns:
        Its tensors by name.

    Raises:
        InputError: the file is absent, damaged, or holds something else.
    """
    file = Path(file)
    tensors: dict[str, Tensor] = {}
    for part, names in _parts(file).items():
        plain_file(part, WHAT)
        found = _read(part)
        for name in names or ():
            if name not in found:
                raise InputError(f"pretrained weights {file}: '{name}' is not in {part.name}: {FETCH}, or {part.name}")
        tensors |= {name: found[name] for name in names} if names is not None else found
    if not tensors:
        raise InputError(f"pretrained weights {file} hold no tensors: a state dict is needed")
    return tensors


def weight_file(path: str | Path) -> Path:
    """Return the file of weights at a path, or in the folder there; `~` is the user's home.

    Raises:
        InputError: there is none.
    """
    path = user_path(path, "pretrained")
    try:
        if not path.is_dir():
            return plain_file(path, WHAT)
        files = [path / name for name in (*FILES, *(f"{name}{INDEX}" for name in FILES)) if (path / name).is_file()]
    except OSError as error:
        raise unreadable(path, WHAT, error) from error
    if not files:
        raise InputError(
            f"pretrained weights: the folder {path} holds none of {', '.join(FILES)}, nor an index of their shards: "
            "correct the path"
        )
    return files[0]


def digest_of(file: Path) -> str:
    """Return the sha256 of a file of weights; of shards one over the index's and theirs.

    Raises:
        InputError: it cannot be read, or a shard is missing.
    """
    files = list(_parts(file))
    if files == [file]:
        return _hashed(file)
    return hashlib.sha256("".join(map(_hashed, (file, *files))).encode()).hexdigest()


def _hashed(file: Path) -> str:
    known = plain_file(file, WHAT).stat()
    return _sha256(file, known.st_size, known.st_mtime_ns)


@cache
def _sha256(file: Path, _size: int, _changed: int) -> str:
    return sha256(file, WHAT)


def _parts(file: Path) -> dict[Path, list[str] | None]:
    """Return the files that hold the tensors, and the names in each; None for all of them.

    Raises:
        InputError: an index of shards is damaged, or names a file that is not beside it.
    """
    if not file.name.endswith(INDEX):
        return {file: None}
    try:
        index = json.loads(read_text(file, WHAT))
    except (ValueError, RecursionError) as error:
        raise unreadable(file, WHAT, error, cure=FETCH) from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"{WHAT} {file} is no index of shards: its 'weight_map' is {shown(places)}; {FETCH}")
    parts: dict[Path, list[str] | None] = {}
    for name, place in places.items():
        own = isinstance(place, str) and one_line(place) and Path(place).name == place and not place.endswith(INDEX)
        if not own or not place:
            raise InputError(f"{WHAT} {file} names a shard {shown(place)}: a file beside it is needed; {FETCH}")
        names = parts.setdefault(file.with_name(place), [])
        assert names is not None  # as it was just made
        names.append(name)
    if lacking := [part.name for part in parts if not part.exists()]:
        raise InputError(
            f"{WHAT} {file}: {len(lacking)} of its {len(parts)} shards are not beside it, {lacking[0]} first: fetch "
            "them into the same folder"
        )
    return parts


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if _is_safetensors(file):
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the file was written: it is read, or an error says why not
            # A Namespace, as training scripts keep their options in, holds values and no code.
            with torch.serialization.safe_globals(CONTAINERS), file.open("rb") as opened:
                content = None if _inflates(file) else torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise any
        if out_of_memory(error):
            raise
        raise _refused(file, error) from error
    if content is None:
        raise InputError(f"pretrained weights {file} would grow when they are unpacked, as torch writes none: {FETCH}")
    if not isinstance(content, Mapping):
        raise InputError(
            f"pretrained weights {file} hold a {type(content).__name__}: a state dict of tensors is needed"
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in _flat(content, file):
        if name in tensors:
            raise InputError(f"pretrained weights {file} name two tensors '{name}': leave one out")
        tensors[name] = tensor
    return tensors


def _flat(content: Mapping[Any, Any], file: Path, path: str = "", depth: int = 1) -> Iterator[tuple[str, Tensor]]:
    for name, value in content.items():
        if isinstance(value, Tensor) and not isinstance(name, str) and depth == 1:
            raise InputError(f"pretrained weights {file} name a tensor {shown(name)}: a state dict's names are texts")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
                raise InputError(
                    f"pretrained weights {file}: tensor '{path}{name}' is quantised, sparse or without data: save it "
                    "as a plain tensor of floats"
                )
            yield f"{path}{name}", value
        elif isinstance(value, Mapping) and depth < DEEPEST:
            yield from _flat(value, file, f"{path}{name}.", depth + 1)


def _is_safetensors(file: Path) -> bool:
    """Return whether a file is of safetensors, by its first bytes: names are given by people."""
    with file.open("rb") as opened:
        start = opened.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < file.stat().st_size


def _refused(file: Path, error: Exception) -> InputError:
    """Return the error for a file that torch does not read, with the cure for what it is."""
    out = str(file.with_name(f"{file.stem}-tensors.pth"))
    start = f"pretrained weights {file} cannot be read"
    if zipfile.is_zipfile(file) and _is_script(file):
        line = RESAVE_SCRIPT.format(file=str(file), out=out)
        return InputError(f"{start} (it is a TorchScript archive): save its tensors alone, in Python: {line}")
    if "weights only" in str(error).lower() and (names := _code(file)):
        line = RESAVE.format(load=LOAD.format(file=str(file)), out=out)
        return InputError(
            f"{start} (it holds more than tensors: {', '.join(names[:3])}{', ...' if names[3:] else ''}), and segcam "
            f"runs no code that a file brings: if you trust it, save its tensors alone, in Python: {line}"
        )
    with file.open("rb") as opened:
        begins = opened.read(32)
    for mark, what in SAVED_OTHERWISE.items():
        if begins.startswith(mark):
            return InputError(f"{start} ({what}")
    if begins.startswith(b"\x80") and b"l\xfc\x9cF\xf9 j\xa8P\x19" not in begins:  # the number in what torch saves
        line = RESAVE.format(load=UNPICKLE.format(file=str(file)), out=out)
        return InputError(
            f"{start} (it was saved by pickle), and segcam runs no code that a file brings: if you trust it, save its "
            f"tensors alone, in Python: {line}"
        )
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            saved_by_torch = any(name.endswith("data.pkl") for name in archive.namelist())
        if not saved_by_torch:
            return InputError(f"{start} (it is an archive of other files): unpack it, and name the file of weights")
    return InputError(
        f"{start} ({first_line(error)}; it is damaged, or neither safetensors nor saved by torch): {FETCH}"
    )


def _code(file: Path) -> list[str]:
    """Return the names of the classes and functions that a file asks for and torch does not load; none is loaded."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except Exception:  # a damaged one
        return []
    return [name for name in names if re.fullmatch(r"[\w.]{1,100}", name)]


def _is_script(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _inflates(file: Path) -> bool:
    """Return whether a file is an archive whose members are compressed, which torch's own never are."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return not _is_script(file) and any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist())
