"""Preparing: a network takes images as the run gives them, and gets them as it wants; hooks on it do that."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from segcam.channels import Channels
from segcam.errors import InputError
from segcam.networks.inputs import NetworkInputs
from segcam.precision import HALF, without_autocast


class Prepared:
    """What `prepare` has put on a network; `remove`, or the end of a `with` block, takes it off."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Leave the network as it was; a second time does nothing."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def prepare(model: nn.Module, inputs: NetworkInputs, given: Channels) -> Prepared:
    """Let a network take images that are normalised by `given`, and get them as its own inputs say.

    Paths of modules, and so layers, stay. Mean, deviation, range and the order of channels are one 1 x 1 convolution,
    so that where layers lie on the image is still known exactly. Images are padded with zeros, the network's mean, at
    the bottom and on the right; what pads is cropped off dense outputs, which are upsampled first where a cell would be
    cut. Copies of the network are prepared too.

    Args:
        model: the network; it is called with the images as its first argument, or as its only one by name.
        inputs: how it wants them.
        given: how they come.

    Returns:
        What takes the preparation off again, also as a context manager.

    Raises:
        InputError: the numbers of channels differ, or the network is prepared already.

    >>> net = nn.Conv2d(3, 2, 1)
    >>> with prepare(net, NetworkInputs(channels=Channels((0.5,) * 3, (0.5,) * 3), multiple=32), Channels()):
    ...     tuple(net(torch.zeros(1, 3, 50, 60)).shape)
    (1, 2, 50, 60)
    """
    if any(isinstance(hook, _Before) for hook in model._forward_pre_hooks.values()):
        raise InputError("the network is prepared already: remove() what prepare gave before it is prepared again")
    converts = inputs.channels not in (None, given) or inputs.bgr
    if not converts and inputs.multiple == 1:
        return Prepared([])
    weight, bias = conversion(inputs, given) if converts else (None, None)
    before = _Before(weight, bias, inputs.multiple)
    handles = [model.register_forward_pre_hook(before, with_kwargs=True, prepend=True)]
    if inputs.multiple > 1:
        handles.append(model.register_forward_hook(_After(before)))
    return Prepared(handles)


def conversion(inputs: NetworkInputs, given: Channels) -> tuple[Float[Tensor, "c c 1 1"], Float[Tensor, " c"]]:
    r"""Return the 1 x 1 convolution from images normalised by `given` to those that a network wants.

    $x' = (x \cdot s + m - m') / s'$ with the mean $m$ and deviation $s$ that are given and $m'$, $s'$ that are wanted;
    for BGR the output's channels are reversed.

    Raises:
        InputError: the numbers of channels differ.
    """
    wanted = inputs.channels or given
    if len(wanted) != len(given):
        raise InputError(
            f"the network wants {len(wanted)} channels and the images have {len(given)}: give images of that kind "
            f"(of a folder by classes.toml, inputs = {{channels = {len(wanted)}, mean = [...], std = [...]}}), or "
            "correct mean and std of the network's inputs"
        )
    if inputs.bgr and len(given) != 3:
        raise InputError(f"the network wants BGR and the images have {len(given)} channels: leave out order = 'bgr'")
    order = list(range(len(given)))[:: -1 if inputs.bgr else 1]
    m, s, m2, s2 = (torch.tensor(v, dtype=torch.float64) for v in (given.mean, given.std, wanted.mean, wanted.std))
    m, s = m[order], s[order]
    if inputs.bgr and inputs.channels is None:
        m2, s2 = m2[order], s2[order]
    weight = torch.zeros(len(given), len(given), 1, 1, dtype=torch.float64)
    weight[range(len(given)), order, 0, 0] = s / s2
    return weight, (m - m2) / s2


class _Before:
    """Turns images into those that the network wants."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None, multiple: int) -> None:
        self.weight, self.bias, self.multiple = weight, bias, multiple
        self.size: tuple[int, int] | None = None  # of the last images, before they were padded

    @property
    def padded(self) -> bool:
        """Whether the last images were: the probe then looks where each layer's grid lies."""
        return self.size is not None

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.size = None
        if args:
            return (self.prepared(args[0]), *args[1:]), named
        for name, value in named.items():
            if isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point():
                return args, {**named, name: self.prepared(value)}
        return args, named

    def prepared(self, images: Any) -> Any:
        if not isinstance(images, Tensor) or images.ndim != 4:
            return images  # the network says what is wrong
        if self.weight is not None and self.bias is not None:
            images = self._converted(images)
        rows, columns = int(images.shape[2]), int(images.shape[3])
        down, right = -rows % self.multiple, -columns % self.multiple
        if down or right:
            self.size = (rows, columns)
            images = F.pad(images, (0, right, 0, down))
        return images

    def _converted(self, images: Tensor) -> Tensor:
        assert self.weight is not None  # the caller has looked
        assert self.bias is not None
        if images.shape[1] != len(self.bias):
            raise InputError(
                f"the images have {images.shape[1]} channels, and mean and std of the network's inputs "
                f"{len(self.bias)}: name images of that kind, or correct its inputs"
            )
        exact = torch.float32 if images.dtype in HALF else images.dtype  # rounded once, behind the normalisation
        weight, bias = (t.to(images.device, exact) for t in (self.weight, self.bias))
        with without_autocast():
            return F.conv2d(images.to(exact), weight, bias).to(images.dtype)


class _After:
    """Crops what the padding added off a network's dense outputs."""

    def __init__(self, before: _Before) -> None:
        self.before = before

    def __call__(self, _: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        size = self.before.size
        if size is None:
            return None
        padded = tuple(n + -n % self.before.multiple for n in size)
        return _cropped(output, size, (padded[0], padded[1]))


def _cropped(output: Any, size: tuple[int, int], padded: tuple[int, int]) -> Any:
    """Return an output whose dense tensors span the images alone, wherever they stand in it."""
    if isinstance(output, Tensor):
        return _crop(output, size, padded)
    if isinstance(output, Mapping):  # transformers' outputs are mappings too, and keep their class
        changed = {key: _cropped(value, size, padded) for key, value in output.items()}
        return changed if type(output) is dict else type(output)(**changed)
    if isinstance(output, tuple) and hasattr(output, "_make"):
        return output._make(_cropped(value, size, padded) for value in output)
    if type(output) in (list, tuple):
        return type(output)(_cropped(value, size, padded) for value in output)
    return output


def _crop(values: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """Crop a tensor (..., rows, columns) that spans the padded images; leave one that does not."""
    if values.ndim != 4 or not values.is_floating_point():
        return values
    rows, columns = int(values.shape[2]), int(values.shape[3])
    strides = (padded[0] / rows, padded[1] / columns)
    if strides[0] != strides[1] or strides[0] != round(strides[0]) or strides[0] > max(padded):
        return values
    stride = round(strides[0])
    if size[0] % stride or size[1] % stride:
        values = F.interpolate(values, size=padded, mode="bilinear", align_corners=False)
        stride = 1
    return values[:, :, : size[0] // stride, : size[1] // stride]
