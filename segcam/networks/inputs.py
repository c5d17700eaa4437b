"""Inputs: how a network wants its images, as users, files of libraries and headers say it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from segcam.channels import Channels
from segcam.datasets.resizing import Resize
from segcam.errors import InputError, shown, unknown
from segcam.files import read_text, read_toml, unreadable, user_path

KEYS = ("mean", "std", "range", "order", "size", "resize", "multiple")
"""What users may say of a network's inputs."""
PROCESSOR = ("do_normalize", "image_mean", "image_processor_type", "feature_extractor_type", "do_flip_channel_order")
"""Keys by which a file is known for transformers'."""
ORDERS = ("rgb", "bgr")
LARGEST = 2**16
"""Pixels of the longest side."""


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """How a network wants its images.

    Attributes:
        size: height and width that images are brought to, in pixels; None where the network does not say.
        resize: how images come to that size, 'squash', 'pad' or 'none'; None where the network does not say.
        multiple: sides must be multiples of so many pixels; images are padded at the bottom and on the right.
        channels: mean and deviation of each channel; None takes images as they are given.
        bgr: whether the first channel is blue and the third red.

    Raises:
        InputError: a value is out of its range, or BGR is said of other than three channels.
    """

    size: tuple[int, int] | None = None
    resize: Resize | None = None
    multiple: int = 1
    channels: Channels | None = None
    bgr: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and not all(type(n) is int and 1 <= n <= LARGEST for n in self.size):
            raise InputError(f"size {shown(self.size)} of a network's inputs: two whole numbers from 1 to {LARGEST}")
        if self.resize is not None and self.resize not in get_args(Resize):
            raise unknown("way to resize", str(self.resize), get_args(Resize))
        if type(self.multiple) is not int or not 1 <= self.multiple <= LARGEST:
            raise InputError(f"multiple {shown(self.multiple)} of a network's inputs: a whole number from 1 is needed")
        if self.bgr and self.channels is not None and len(self.channels) != 3:
            raise InputError(f"order 'bgr' is of three channels, and the mean has {len(self.channels)}: leave it out")


NOTHING = NetworkInputs()
"""Of a network that says nothing: images as they are given."""


def read_inputs(
    value: NetworkInputs | Mapping[str, Any] | Path | str, base: NetworkInputs | None = None
) -> NetworkInputs:
    """Read how a network wants its images.

    Args:
        value: a table with any of `KEYS`, or a file with one: TOML (alone, or under `inputs`), transformers'
            `preprocessor_config.json`, or timm's and torch hub's `config.json` with a `pretrained_cfg`.
        base: what holds of all that a table does not say; by default nothing.

    `mean` and `std` count in units of `range`, which values are brought to first: 0 to 1 unless said otherwise, 0 to
    255 of networks that take bytes. `size` is one number or (height, width); `order` 'rgb' or 'bgr'.

    Raises:
        InputError: an unknown key, a value that cannot be, or a file that says nothing of inputs.

    >>> inputs = read_inputs({"mean": [104, 117, 123], "std": [1, 1, 1], "range": [0, 255], "order": "bgr"})
    >>> inputs.bgr, round(inputs.channels.mean[0], 3)
    (True, 0.408)
    """
    if isinstance(value, NetworkInputs):
        return value
    base = base or NOTHING
    if isinstance(value, Mapping):
        return _of_table(value, "inputs", base)
    if isinstance(value, (str, Path)):
        return _of_file(user_path(value, "inputs"), base)
    raise InputError(f"inputs are a {type(value).__name__}: give a table with {', '.join(KEYS)}, or a file with one")


def _of_file(path: Path, base: NetworkInputs) -> NetworkInputs:
    if path.is_dir():
        found = [path / name for name in ("preprocessor_config.json", "config.json") if (path / name).is_file()]
        if not found:
            raise InputError(f"inputs: the folder {path} holds no preprocessor_config.json: name a file")
        path = found[0]
    if path.suffix != ".json":
        table = read_toml(path, "inputs")
        table = table.get("inputs", table) if isinstance(table.get("inputs", {}), dict) else table
        return _of_table(table, str(path), base)
    return of_config(read_json(path), str(path))


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with a JSON object.

    Raises:
        InputError: it is none.
    """
    try:
        content = json.loads(read_text(path, "the file"))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, "the file", error, cure="fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {shown(content)}: names with values are needed")
    return content


def of_config(config: Mapping[str, Any], where: str) -> NetworkInputs:
    """Read a library's own description: transformers' image processor, or timm's `pretrained_cfg`.

    Raises:
        InputError: it is neither, or a value cannot be.
    """
    if isinstance(config.get("pretrained_cfg"), Mapping):
        config = config["pretrained_cfg"]
    if any(key in config for key in PROCESSOR):
        return _of_processor(config, where)
    if "input_size" in config or {"mean", "std"} <= set(config):
        return _of_timm(config, where)
    raise InputError(
        f"{where} says nothing of a network's inputs: a preprocessor_config.json of transformers, a config with "
        f"timm's pretrained_cfg, or TOML with {', '.join(KEYS)} is needed"
    )


def _of_processor(config: Mapping[str, Any], where: str) -> NetworkInputs:
    """Read transformers' words; those of its first years (`size` and `crop_size` as one number) too."""
    table: dict[str, Any] = {}
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    if not isinstance(factor, (int, float)) or factor <= 0:
        raise InputError(f"{where}: rescale_factor is {shown(factor)}: it must be greater than 0")
    normalises = config.get("do_normalize")
    if normalises is None:
        normalises = "do_flip_channel_order" not in config  # MobileViT's processor, which has no such word
    mean, std = (config.get("image_mean"), config.get("image_std")) if normalises else ([0.0] * 3, [1.0] * 3)
    if mean is None or std is None:
        raise InputError(f"{where} normalises images and names no image_mean and image_std: add them")
    mean, std = (value if isinstance(value, (list, tuple)) else [value] * 3 for value in (mean, std))
    table |= {"mean": mean, "std": std, "range": [0.0, 255.0 * factor]}
    if config.get("do_flip_channel_order"):
        table["order"] = "bgr"
    size = config.get("crop_size") if config.get("do_center_crop") else None
    table |= _processor_size(size or (config.get("size") if config.get("do_resize", True) else None))
    if config.get("keep_aspect_ratio") and "size" in table:
        table["resize"] = "pad"
    words = ("size_divisor", "size_divisibility", "ensure_multiple_of")
    if multiple := next((config[word] for word in words if config.get(word)), None):
        table["multiple"] = multiple
    return _of_table(table, where, plain=True)


def _processor_size(size: Any) -> dict[str, Any]:
    """Return size and way to resize; of sizes by one edge, a square of that side, in which images keep their shape."""
    if isinstance(size, Mapping):
        if isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
            return {"size": [size["height"], size["width"]], "resize": "squash"}
        edge = size.get("shortest_edge") or size.get("longest_edge")
        return {"size": edge, "resize": "pad"} if isinstance(edge, int) else {}
    if isinstance(size, (list, tuple)):  # (width, height), as PIL has it
        return {"size": list(size)[::-1], "resize": "squash"}
    return {"size": size, "resize": "squash"} if isinstance(size, int) else {}


def _of_timm(config: Mapping[str, Any], where: str) -> NetworkInputs:
    table: dict[str, Any] = {key: config[key] for key in ("mean", "std") if key in config}
    size = config.get("input_size")
    if isinstance(size, (list, tuple)) and len(size) == 3:
        table |= {"size": list(size[1:]), "resize": "squash"}
    if config.get("input_range"):
        table["range"] = config["input_range"]
    if str(config.get("input_space", "rgb")).lower() == "bgr":
        table["order"] = "bgr"
    return _of_table(table, where)


def _of_table(
    table: Mapping[str, Any], where: str, base: NetworkInputs = NOTHING, *, plain: bool = False
) -> NetworkInputs:
    """Read a table of users' words, and of `base` what they leave out; a library's own numbers are `plain`."""
    for key in table:
        if key not in KEYS:
            raise unknown("key", str(key), KEYS, where)
    try:
        return NetworkInputs(
            size=_size(table["size"]) if "size" in table else base.size,
            resize=table.get("resize", base.resize),
            multiple=table.get("multiple", base.multiple),
            channels=_channels(table, plain) or base.channels,
            bgr=_bgr(table["order"]) if "order" in table else base.bgr,
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _size(value: Any) -> tuple[int, int]:
    sides = [value, value] if type(value) is int else value
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(type(n) is int for n in sides):
        raise InputError(f"size is {shown(value)}: give one whole number of pixels, or [height, width]")
    return (sides[0], sides[1])


def _bgr(value: Any) -> bool:
    if not isinstance(value, str) or value.lower() not in ORDERS:
        raise unknown("order of channels", str(value), ORDERS)
    return value.lower() == "bgr"


def _numbers(value: Any, key: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, Sequence) and not isinstance(value, str) else None
    real = numbers is not None and all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
    if not numbers or not real:
        raise InputError(f"{key} is {shown(value)}: give a list of numbers, one a channel")
    return tuple(map(float, numbers))


def _channels(table: Mapping[str, Any], plain: bool) -> Channels | None:
    """Return mean and deviation as shares of the range."""
    if not {"mean", "std"} & set(table):
        if {"range", "order"} & set(table):
            raise InputError("mean and std are needed beside range or order: give both, a number a channel")
        return None
    for key, other in (("mean", "std"), ("std", "mean")):
        if key not in table:
            raise InputError(f"{other} is given without {key}: give both, a number a channel")
    mean, std = _numbers(table["mean"], "mean"), _numbers(table["std"], "std")
    bounds = _numbers(table.get("range", [0.0, 1.0]), "range")
    if len(bounds) != 2 or bounds[0] >= bounds[1]:
        raise InputError(f"range is {shown(table['range'])}: give the lowest and the highest value, [0, 1] or [0, 255]")
    low, wide = bounds[0], bounds[1] - bounds[0]
    if not plain:
        _plausible(mean, std, bounds)
    return Channels(tuple((m - low) / wide for m in mean), tuple(s / wide for s in std))


def _plausible(mean: Sequence[float], std: Sequence[float], bounds: Sequence[float]) -> None:
    """See that mean and deviation count in units of the range: 0.485 of bytes, or 123.7 of shares, is a slip.

    Raises:
        InputError: they do not.
    """
    low, high = bounds
    if not all(low <= m <= high for m in mean) or max(std) > max(high - low, 1.0):
        cure = "say range = [0, 255] where they are of bytes" if high <= 1 else "say the range that they are of"
        raise InputError(f"mean {shown(list(mean))} and std {shown(list(std))} lie outside {low:g} to {high:g}: {cure}")
    if high - low >= 100 and 0 < max(mean) <= 1 and max(std) < 1:
        raise InputError(
            f"mean {shown(list(mean))} and std {shown(list(std))} are shares, and range says {low:g} to {high:g}: they "
            "count in units of range; leave range out"
        )
