"""transformers' segmentation networks: a folder that `save_pretrained` wrote, or a repository of the hub."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segcam._compat import require
from segcam.errors import InputError, first_line, out_of_memory, shown, unknown
from segcam.models.weights.names import COUNTER
from segcam.models.weights.pretrained import PATIENCE
from segcam.models.weights.reading import FILES, INDEX, digest_of, weight_file
from segcam.networks.counting import classes_of, counted, names_of_classes
from segcam.networks.inputs import NetworkInputs, of_config, read_json
from segcam.networks.sources import SOURCES, Built, Request, Source

CONFIG = "config.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
NESTED = ("image_processor", "feature_extractor")
"""Where a processor of images and texts keeps what it does with images."""
RANDOM = "random"
"""The argument that asks for random weights."""
KINDS = ("SEMANTIC_SEGMENTATION", "UNIVERSAL_SEGMENTATION", "INSTANCE_SEGMENTATION", "MASK_GENERATION")
"""transformers' tasks whose networks give masks, the best first."""
WANTED = ("*.json", *FILES, "*.safetensors")
"""Files of a repository that are fetched."""


def _build(request: Request) -> Built:
    require("transformers", "models", f"network '{request.source}'")
    folder = _folder(request)
    config = read_json(folder / CONFIG)
    request, arguments = counted(request, "num_labels")
    random = _flag(arguments.pop(RANDOM, False))
    has = _has_weights(folder)
    if not has and not random and request.tensors is None:
        raise InputError(
            f"{folder} holds {CONFIG} and no weights ({', '.join(FILES)}): fetch them, name their file as weights, or "
            f"ask for random ones with --arg {RANDOM}=true, in Python arguments={{'{RANDOM}': True}}"
        )
    settings = _settings(folder, config, arguments, request)
    kind = _class(settings, config, folder)
    loads = has and not random and request.tensors is None
    if loads:
        model = _loaded(kind, folder, settings)
    else:
        _count(kind, settings, request)
        model = _made(kind, settings, folder)
    import transformers  # noqa: PLC0415  (takes seconds)

    inputs, more = _inputs(folder, settings)
    facts = {"library": f"transformers {transformers.__version__}", "class": kind.__name__, **more}
    sha256 = digest_of(weight_file(folder)) if loads else None
    return Built(model, names_of_classes(model), inputs, sha256, loads, facts)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"argument '{RANDOM}' is {shown(value)}: say true or false")
    return value


def _folder(request: Request) -> Path:
    """Return the folder of the network: the one that is named, or that of a repository in the hub's cache.

    Raises:
        InputError: there is none.
    """
    path = Path(request.name).expanduser()
    if (path / CONFIG).is_file():
        return path
    if path.exists():
        what = f"the folder {path} holds no {CONFIG}" if path.is_dir() else f"{path} is a file"
        raise InputError(f"{request.source}: {what}: name a folder that save_pretrained of transformers wrote")
    if request.name.count("/") > 1 or request.name.startswith((".", "/", "~")):
        raise InputError(f"{request.source}: there is no folder {path}: correct the path")
    return _snapshot(request.name)


def _snapshot(repository: str) -> Path:
    from huggingface_hub import constants, get_session, snapshot_download  # noqa: PLC0415  (slow)
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    try:
        return Path(snapshot_download(repository, allow_patterns=list(WANTED), local_files_only=True))
    except HFValidationError as error:
        raise InputError(f"hf:{repository}: there is no such folder, and no repository has such a name") from error
    except Exception:
        pass
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)  # the download would try again for most of a minute
        return Path(snapshot_download(repository, allow_patterns=list(WANTED)))
    except Exception as error:  # of the client beneath, which differs by version
        raise InputError(
            f"hf:{repository}: there is no such folder, and the repository cannot be had from {constants.ENDPOINT} "
            f"({first_line(error)}): fetch it elsewhere and name its folder, hf:FOLDER"
        ) from error


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*FILES, *(f"{name}{INDEX}" for name in FILES)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from writing to the terminal: what matters is an error here."""
    from transformers.utils import logging  # noqa: PLC0415  (slow to import)

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _settings(folder: Path, config: Mapping[str, Any], arguments: Mapping[str, Any], request: Request) -> Any:
    """Return transformers' configuration, with what the user says otherwise."""
    from transformers import AutoConfig  # noqa: PLC0415  (slow to import)

    if "auto_map" in config:
        raise InputError(
            f"{folder} brings code of its own ('auto_map' in {CONFIG}), and segcam runs no code that a folder brings: "
            "build the network in a file of yours, and name that, my_nets.py:build"
        )
    if "model_type" not in config:
        raise InputError(f"{folder / CONFIG} names no 'model_type': it is no configuration of transformers")
    try:
        with _quiet():
            settings = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # whatever a configuration's own checks raise
        raise InputError(f"{folder / CONFIG} cannot be read by transformers: {first_line(error, 300)}") from error
    known = [key for key in settings.to_dict() if not key.startswith("_")]
    for key, value in arguments.items():
        if key not in known:
            raise unknown("argument", key, [RANDOM, *known], request.source)
        setattr(settings, key, value)
    return settings


def _class(settings: Any, config: Mapping[str, Any], folder: Path) -> Any:
    """Return the class of the network: the one that the folder names if it gives masks, else transformers' own choice.

    Raises:
        InputError: transformers has none with masks for this kind of network.
    """
    transformers = importlib.import_module("transformers")
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    tables = [getattr(auto, f"MODEL_FOR_{kind}_MAPPING_NAMES", {}) for kind in KINDS]
    names = [name for table in tables for name in table.values()]
    named = [name for name in config.get("architectures") or [] if isinstance(name, str)]
    found = next((name for name in named if name in names), None)
    if found is None and any("Segmentation" in name and hasattr(transformers, name) for name in named):
        found = next(name for name in named if "Segmentation" in name)
    if found is None:
        found = next((table[settings.model_type] for table in tables if settings.model_type in table), None)
    if found is None:
        types = sorted({key for table in tables for key in table})
        raise InputError(
            f"{folder} holds a {named[0] if named else settings.model_type}, which gives no masks: transformers has "
            f"segmentation networks of the types {', '.join(types)}"
        )
    return getattr(transformers, found)


def _loaded(kind: Any, folder: Path, settings: Any) -> nn.Module:
    """Return the network with the folder's weights; every one of its tensors must be there.

    Raises:
        InputError: one is not, or is of another shape.
    """
    try:
        with _quiet():
            model, said = kind.from_pretrained(
                str(folder),
                config=settings,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, with the names
            )
    except Exception as error:  # of a damaged file, a configuration that does not fit, ...
        if out_of_memory(error):
            raise
        raise InputError(f"{folder}: transformers cannot load the weights: {first_line(error, 300)}") from error
    missing = sorted(key for key in said["missing_keys"] if not key.endswith(COUNTER))
    other = sorted(str(key) for key in said["mismatched_keys"])
    if missing or other:
        words = "are missing" if missing else "have other shapes"
        names = missing or other
        raise InputError(
            f"the weights in {folder} do not fit {kind.__name__}: {len(names)} {words} ({', '.join(names[:3])}"
            f"{', ...' if names[3:] else ''}); choose weights of this network, or random ones with {RANDOM}=true"
        )
    assert isinstance(model, nn.Module)  # that is what it gives
    return model.float()  # files of half precision stay so by some versions' defaults


def _made(kind: Any, settings: Any, folder: Path) -> nn.Module:
    try:
        with _quiet():
            model = kind(settings)
    except Exception as error:  # whatever the network's own checks raise
        if out_of_memory(error):
            raise
        raise InputError(
            f"{kind.__name__} of {folder} cannot be built: {type(error).__name__}: {first_line(error)}"
        ) from error
    assert isinstance(model, nn.Module)  # that is what it is
    return model


def _count(kind: Any, settings: Any, request: Request) -> None:
    """Give the network the classes that were named, or that the file of its weights has."""
    count = request.classes
    if count is None and request.tensors is not None:
        with torch.device("meta"), _quiet():
            try:
                shapes = kind(settings).state_dict()
            except Exception:  # a network that cannot be made without data; loading says what differs
                return
        count = classes_of(request.tensors(), shapes, settings.num_labels)
    if count is not None and count != settings.num_labels:
        settings.num_labels = count


def _inputs(folder: Path, settings: Any) -> tuple[NetworkInputs | None, dict[str, Any]]:
    """Return how the network wants its images, and what else the folder says of images and masks."""
    file = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if file is None:
        sizes = [getattr(part, "image_size", None) for part in (settings, getattr(settings, "vision_config", None))]
        size = next((size for size in sizes if type(size) is int and size > 0), None)
        return (None if size is None else NetworkInputs(size=(size, size))), {}
    config = read_json(file)
    config = next(
        (config[k] for k in ("image_processor", "feature_extractor") if isinstance(config.get(k), dict)), config
    )
    reduces = bool(config.get("do_reduce_labels", config.get("reduce_labels", False)))
    return of_config(config, str(file)), {"reduces_labels": reduces}


SOURCES.add(
    Source(
        name="hf",
        form="hf:FOLDER_OR_REPOSITORY",
        summary="a segmentation network of transformers, from a folder of save_pretrained or from the hub",
        build=_build,
    )
)
