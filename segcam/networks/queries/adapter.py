"""Adapter: a network whose output is read as a dense one, under the very paths of its own modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from segcam.errors import ProbeError
from segcam.probe.network.inputs import arguments
from segcam.probe.targets.outputs import Output


class Adapter(nn.Module):
    """A network that gives a dense output in place of its own.

    Modules and parameters are the network's own, under the same paths: layers are named as in the network, weights
    load as into it, and nothing is copied.

    Args:
        network: the network.

    Attributes:
        network: the network.
        output_meaning: what the numbers of the output are, which `Probe` reads.

    Raises:
        ProbeError: it is no network.
    """

    network: nn.Module
    output_meaning: Output = "logits"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ProbeError(f"a torch.nn.Module is needed, not a {type(network).__name__}")
        self.__dict__["network"] = network  # not as a submodule, which would put its name before every path
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        self._non_persistent_buffers_set = network._non_persistent_buffers_set
        self.training = network.training

    def forward(self, pixel_values: Tensor, **inputs: Any) -> Tensor:
        """Run the network on images `(b, ch, h, w)`, and return the dense output `(b, k, h', w')`.

        Args:
            pixel_values: the images.
            inputs: what the network takes beside them, by the names of its forward's arguments.
        """
        args, named = arguments(self.network, pixel_values, self.completed(pixel_values, inputs))
        before, self.network.training = self.network.training, self.training  # of which only the adapter was told
        try:
            output = self.network(*args, **named)
        finally:
            self.network.training = before
        return self.read(output, (int(pixel_values.shape[-2]), int(pixel_values.shape[-1])))

    def completed(self, _images: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the other inputs, with those that the network needs and nobody gave."""
        return inputs

    def read(self, output: Any, size: tuple[int, int]) -> Tensor:
        """Return the dense output that a network's own output holds, for images of a size."""
        raise NotImplementedError


def field(output: Any, name: str, dims: int) -> Tensor:
    """Return a tensor that a network's output holds by name.

    Raises:
        ProbeError: it is not there, or has another number of dimensions.
    """
    value = getattr(output, name, None)
    if isinstance(value, Tensor) and value.ndim == dims:
        return value
    got = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(output).__name__} without it"
    cure = "; with config.return_dict = True it has names" if isinstance(output, tuple) else ""
    raise ProbeError(f"the network's output needs '{name}' of {dims} dimensions, and it is {got}{cure}")
