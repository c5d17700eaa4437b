"""What `classes.toml` says of photographs' channels: how many, their range, mean and deviation."""

from __future__ import annotations

from typing import Any

from segcam.channels import MEAN, STD, Channels
from segcam.errors import InputError, shown


def read_inputs(table: dict[str, Any], problems: list[str]) -> Channels | None:
    """Return what `inputs = {channels = 1, bits = 16, mean = [0.5], std = [0.25]}` says; None where it is wrong.

    Args:
        table: what `classes.toml` holds.
        problems: what is wrong with it is added to these.
    """
    inputs = table.get("inputs", {})
    keys = {"channels", "bits", "range", "mean", "std"}
    if not isinstance(inputs, dict) or not inputs.keys() <= keys:
        problems.append(f"inputs = {shown(inputs)}: wanted a table with some of {', '.join(sorted(keys))}")
        return None
    before = len(problems)
    count = inputs.get("channels", len(inputs["mean"]) if isinstance(inputs.get("mean"), list) else 3)
    if type(count) is not int or not 1 <= count <= 1000:
        problems.append(f"channels = {shown(count)} in inputs: wanted a whole number from 1 to 1000")
        return None
    low, high = _range(inputs, problems)
    numbers = {}
    for key, usual in (("mean", MEAN), ("std", STD)):
        value = inputs.get(key, list(usual) if count == 3 else None)
        listed = [value] * count if _is_number(value) else value
        if not isinstance(listed, list) or len(listed) != count or not all(map(_is_number, listed)):
            problems.append(
                f"{key} = {shown(value)} in inputs: wanted {count} number{'s' * (count > 1)}, one a channel, of "
                f"values brought to 0..1, such as {key} = {[0.5 if key == 'mean' else 0.25] * min(count, 8)}"
            )
        else:
            numbers[key] = tuple(map(float, listed))
    if len(problems) > before:
        return None
    try:
        return Channels(numbers["mean"], numbers["std"], low, high)
    except InputError as error:
        problems.append(f"inputs: {error}")
        return None


def _range(inputs: dict[str, Any], problems: list[str]) -> tuple[float, float]:
    bits, limits = inputs.get("bits", 8), inputs.get("range")
    if "bits" in inputs and "range" in inputs:
        problems.append("bits and range in inputs both say which values there are: leave one of them out")
    if type(bits) is not int or not 1 <= bits <= 16:
        problems.append(f"bits = {shown(bits)} in inputs: wanted 1 to 16; for others range = [lowest, highest]")
        bits = 8
    if limits is None:
        return 0.0, float(2**bits - 1)
    if not isinstance(limits, list) or len(limits) != 2 or not all(map(_is_number, limits)):
        problems.append(f"range = {shown(limits)} in inputs: wanted [lowest, highest], such as [0, 4095]")
        return 0.0, 255.0
    return float(limits[0]), float(limits[1])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
