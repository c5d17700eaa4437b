"""Held: a network in eval mode with frozen parameters, what it is run with, and its failures told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from segcam.errors import ProbeError, first_line, out_of_memory
from segcam.precision import HALF, of_network, widened, without_autocast
from segcam.probe.network.elements import Element, select
from segcam.probe.network.forms import without_checkpointing, without_fast_paths
from segcam.probe.network.inputs import Inputs, arguments, mapped, rows_of, vectors_of
from segcam.probe.network.modules import Modules, tensors_of, walked
from segcam.probe.network.sizes import sizes_taken

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises for images that it cannot take."""


@contextmanager
def told(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn what the network raises into an error that names the images.

    Raises:
        ProbeError: the network failed; want of memory stays what it is.
    """
    try:
        yield
    except FAILURES as error:
        if out_of_memory(error):
            raise
        first = next((module for module in model.modules() if isinstance(module, _ConvNd)), None)
        wanted = f"; its first convolution takes {first.in_channels} channels" if first is not None else ""
        if first is not None and images.ndim == 4 and images.shape[1] == 3 != first.in_channels:
            wanted += ", of which mean and std in inputs are to tell, a number for each"
        raise ProbeError(
            f"the network failed on images {tuple(images.shape)}, (images, channels, rows, columns){wanted}: "
            f"{type(error).__name__}: {first_line(error)}{sizes_taken(model, images) if images.ndim == 4 else ''}"
        ) from error


@contextmanager
def frozen(model: nn.Module, *, own_precision: bool = False) -> Iterator[dict[str, Tensor]]:
    """Put the network into eval mode with frozen parameters and into float32, then back.

    A surrounding autocast is off meanwhile. With `own_precision` the network stays in the precision that it has, and
    under the autocast.

    Gradient checkpointing and torch's fused transformer layers are off meanwhile: what they skip has no hooks.

    Yields the tensors to run it with in place of its own: none, but for a network made in inference mode, whose
    parameters autograd may not save.
    """
    modules = walked(model).values()
    training = [module for module in modules if module.training]
    tensors = tensors_of(modules)
    wanting = [t for t in tensors if t.requires_grad and not t.is_inference()]
    copies: dict[str, Tensor] = {}
    if any(t.is_inference() for t in tensors):
        copies = {n: t.detach().clone() for n, t in (*model.named_parameters(), *model.named_buffers())}
        if not own_precision:
            copies = {n: t.float() if t.dtype in HALF else t for n, t in copies.items()}
    try:
        if training:
            model.eval()
        for parameter in wanting:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            stack.enter_context(without_checkpointing())
            stack.enter_context(without_fast_paths())
            if not own_precision:
                stack.enter_context(without_autocast())
                stack.enter_context(widened(tensors))
            yield copies
    finally:
        for module in training:
            module.training = True
        for parameter in wanting:
            parameter.requires_grad_(True)


def run(
    model: nn.Module,
    images: Float[Tensor, "b ch h w"],
    tensors: Mapping[str, Tensor] | None = None,
    inputs: Inputs | None = None,
) -> object:
    """Return the output of a frozen network for images, which are given to it in the precision of its weights.

    Args:
        model: the network.
        images: its input; it may be written into.
        tensors: what `frozen` yielded.
        inputs: what it takes beside the images.

    Raises:
        ProbeError: the network turns to half precision by itself, and would not run in float32; or it takes other
            inputs.
    """
    dtype = of_network(model, tensors)
    args, named = arguments(
        model, images.to(dtype), {name: _cast(value, dtype) for name, value in (inputs or {}).items()}
    )
    try:
        return functional_call(model, dict(tensors), args, named) if tensors else model(*args, **named)
    except RuntimeError as error:
        turned = any(word in str(error) for word in ("Half", "BFloat16", "half", "bfloat16"))
        if not turned or of_network(model, tensors) in HALF:
            raise
        raise ProbeError(
            "the network turns its values to half precision by itself, and runs in float32 here "
            f"({first_line(error)}): leave its precision alone with Probe(..., precision='own')"
        ) from error


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Return a copy of a tensor, into which the network may write, in the precision of the weights."""
    if not isinstance(value, Tensor):
        return mapped(value, lambda one: _cast(one, dtype))
    return value.detach().to(dtype if value.is_floating_point() else value.dtype, copy=True)


@dataclass(frozen=True, eq=False)
class Network:
    """A network held still, and all that it is run with but the images.

    Attributes:
        model: the network.
        tensors: what `frozen` yielded for it.
        inputs: what it takes beside the images.
        channels_last: whether its input is laid out channels-last.
        element: which part of what it returns is its output; None for all of it.
    """

    model: nn.Module
    tensors: Mapping[str, Tensor]
    inputs: Inputs
    channels_last: bool = False
    element: Element | None = None

    @cached_property
    def modules(self) -> Modules:
        """The modules by path, as they were when they were first asked for."""
        return walked(self.model)

    def __call__(self, images: Float[Tensor, "b ch h w"]) -> object:
        """Run it, see `run`, and return its output.

        Raises:
            ProbeError: what it returns has no such element.
        """
        return select(run(self.model, images, self.tensors, self.inputs), self.element)

    def of_rows(self, rows: Sequence[int], batch: int, *, vectors: bool = True) -> Network:
        """Return the network with the inputs of some images of the batch, see `rows_of`."""
        return replace(self, inputs=rows_of(self.inputs, rows, batch, vectors=vectors))

    def cuts_vectors(self, images: Float[Tensor, "b ch h w"]) -> bool:
        """Tell whether vectors as long as the batch hold a number for each image: some images are run to find out.

        Raises:
            ProbeError: the network runs either way.
        """
        batch = len(images)
        names = vectors_of(self.inputs, batch)
        if not names or batch == 1:
            return True
        rows, runs = range(2 if batch > 2 else 1), []
        for vectors in (True, False):
            try:
                with torch.no_grad():
                    self.of_rows(rows, batch, vectors=vectors)(self.prepared(images[: len(rows)]))
            except FAILURES as error:
                if out_of_memory(error):
                    raise
            else:
                runs.append(vectors)
        if len(runs) == 2:
            raise ProbeError(
                f"inputs['{names[0]}'] has {batch} numbers for {batch} images, and the network runs with all of them "
                "and with some: whether each belongs to an image cannot be told, nor how to part the batch; leave out "
                "max_memory, or pass another number of images"
            )
        return not runs or runs[0]

    def prepared(self, images: Float[Tensor, "b ch h w"]) -> Float[Tensor, "b ch h w"]:
        """Return the images as the network gets them: in its dtype, detached, laid out as asked for."""
        images = images.to(of_network(self.model, self.tensors))
        if self.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return images.detach()
