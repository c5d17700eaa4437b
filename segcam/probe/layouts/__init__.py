"""Layouts: feature maps `(b, c, h, w)` from whatever a layer gives; what stays ambiguous is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError, first_line, out_of_memory
from segcam.probe.chosen import LeftOut
from segcam.probe.layers import Layer
from segcam.probe.layouts.counts import NoLayoutError
from segcam.probe.layouts.grids import Fit, fit
from segcam.probe.layouts.layout import AS_IT_IS, Layout
from segcam.probe.layouts.reading import Reader
from segcam.probe.layouts.scan import Scan, scan
from segcam.probe.layouts.swin import block_of, grid_reader
from segcam.probe.network.held import FAILURES, Network
from segcam.scoring.grids import Grid

__all__ = ["AS_IT_IS", "Layout", "Reading", "size_of"]


class Reading:
    """Reads layouts of a network, and makes the scan that this may need once for images of a size.

    Args:
        layers: all those that may be asked for.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._scans: dict[tuple[object, ...], Scan] = {}

    def layouts(
        self, layers: Sequence[Layer], outputs: Mapping[str, Tensor], images: Tensor, network: Network
    ) -> tuple[dict[str, Layout], dict[str, LeftOut]]:
        """Return the layouts of layers by label, and why others have none.

        Args:
            layers: the layers.
            outputs: what those that ran gave, by label.
            images: the batch.
            network: the network, held still.
        """
        reader = Reader(network.modules, size_of(images), len(images), lambda: self._scan(images, network))
        layouts: dict[str, Layout] = {}
        without: dict[str, LeftOut] = {}
        for layer in layers:
            if layer.label in outputs:
                try:
                    layouts[layer.label] = reader.layout(layer, tuple(outputs[layer.label].shape))
                except NoLayoutError as error:
                    without[layer.label] = LeftOut(str(error))
        return layouts, without

    def nowhere(
        self, layers: Sequence[Layer], outputs: Mapping[str, Tensor], images: Tensor, network: Network
    ) -> set[str]:
        """Return the labels of layers whose tokens are known to lie nowhere on the images, as queries do."""
        reader = Reader(network.modules, size_of(images), len(images), lambda: self._scan(images, network))
        ran = [layer for layer in layers if layer.label in outputs]
        return {layer.label for layer in ran if reader.lies_nowhere(layer, tuple(outputs[layer.label].shape))}

    def check_axes(self, values: Float[Tensor, "b k h w"], images: Tensor, network: Network) -> None:
        """Refuse an output whose classes come last.

        Raises:
            ProbeError: it is `(b, h, w, k)`, or may be.
        """
        size, shape = size_of(images), tuple(values.shape)
        first, last = fit((shape[2], shape[3]), size), fit((shape[1], shape[2]), size)
        if last < Fit.STRIDE or first > last or shape[1:] == (1, 1, 1):
            return
        cure = "wrap the network in a Module that returns output.permute(0, 3, 1, 2)"
        try:
            seen = self._scan(images, network)
        except ProbeError:  # of another number of images it does not run
            if first == last:
                raise
            seen = None
        if seen is not None and seen.output == "first":
            return
        if first < last or (seen is not None and seen.output == "last"):
            raise ProbeError(
                f"the network returned {shape}, which for images of {size[0]} x {size[1]} is (b, h, w, classes): "
                f"(b, classes, h, w) is needed; {cure}"
            )
        assert seen is not None  # as both fit
        convolved = shape[1:] in seen.first and shape[1:] not in seen.last | seen.turned
        in_order = values.is_contiguous() or values.is_contiguous(memory_format=torch.channels_last)
        if not (convolved and in_order):
            raise ProbeError(
                f"the network returned {shape}, which can be (b, classes, h, w) and (b, h, w, classes): pass images of "
                f"another size, so that it shows; if classes come last, {cure}"
            )

    def _scan(self, images: Tensor, network: Network) -> Scan:
        """Run the network on another number of images, the first of the batch and noise."""
        count = 3 if len(images) == 2 else 2
        key = (count, *images.shape[1:], network.element)
        if key not in self._scans:
            paths = {path for layer in self._layers if (path := block_of(network.modules, layer.module)) is not None}
            blocks = {path: grid_reader(network.modules[path]) for path in paths}
            batch = torch.cat([images[:1], _noise(images, count - 1)]).detach()
            few = network.of_rows([0] * count, len(images))

            nowhere = [*few.tensors.values(), *_flat(few.inputs, size_of(images))]

            def run() -> object:
                try:
                    return few(batch)
                except FAILURES as error:  # they may have a number for each channel
                    if out_of_memory(error) or not network.inputs:
                        raise
                    return network.of_rows([0] * count, len(images), vectors=False)(batch)

            try:
                self._scans[key] = scan(network.model, self._layers, blocks, run, count, nowhere)
            except FAILURES as error:
                if out_of_memory(error):
                    raise
                raise ProbeError(
                    f"a pass of another number of images shows how layers are laid out, and with {count} the network "
                    f"failed ({first_line(error)}): say it with Layer(..., form=..., stride=..., prefix=...)"
                ) from error
        return self._scans[key]


def _flat(inputs: object, size: Grid) -> Iterator[Tensor]:
    """Go through what a network takes beside the images, but for what lies on them as they do: depth, another image."""
    if isinstance(inputs, Tensor):
        if tuple(inputs.shape[-2:]) != size:
            yield inputs
    elif isinstance(inputs, (Mapping, list, tuple)):
        for one in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from _flat(one, size)


def _noise(images: Tensor, count: int) -> Tensor:
    noise = torch.randn(count, *images.shape[1:], generator=torch.Generator().manual_seed(0))
    return (noise * images[:1].float().std().clamp(min=0.1).cpu()).to(images)


def size_of(images: Tensor) -> Grid:
    """Return the rows and columns of images."""
    return int(images.shape[-2]), int(images.shape[-1])
