"""Capture: what a pass over a batch gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.errors import ProbeError
from segcam.precision import without_autocast
from segcam.probe.attention import Attention
from segcam.probe.layers import Layer
from segcam.probe.targets import Explained, Target
from segcam.scoring.grids import Placement


@dataclass(frozen=True, slots=True)
class Capture:
    """What one target's pass over a batch gave, by layer label.

    Attributes:
        layers: the layers, in the order asked for.
        activations: the layers' outputs `A`, `(b, c, h, w)` each; tokens lie on their grid.
        gradients: derivatives of the target's score by them `G`, of the same shapes; zero for an image whose pixel
            set is empty.
        target: what was explained.
        explained: its pixels and scores, at the resolution that the target names.
        logits: the network's, `(b, k, h, w)`; of probabilities those that `segcam.probe.outputs.logits_of` returns.
        size: height and width of the input, in pixels.
        attentions: the attention matrices of the places asked for, by label; captures of one pass share them.
        placements: where each layer's maps lie on the input, by label; None where they are stretched over it.
    """

    layers: tuple[Layer, ...]
    activations: Mapping[str, Float[Tensor, "b c h w"]]
    gradients: Mapping[str, Float[Tensor, "b c h w"]]
    target: Target
    explained: Explained
    logits: Float[Tensor, "b k h w"]
    size: tuple[int, int]
    attentions: Mapping[str, Attention] = field(default_factory=dict)
    placements: Mapping[str, Placement | None] = field(default_factory=dict)

    def maps(
        self, method: Callable[[Tensor, Tensor], Tensor], layer: str | Layer | None = None
    ) -> Float[Tensor, "b h w"]:
        """Compute one layer's map with a gradient method like `grad_cam`, on the layer's own grid, float32 or wider.

        Args:
            method: `(activations, gradients) -> map`.
            layer: its label; may be left out where there is just one.

        Returns:
            `(b, h, w)`; NaN for images whose pixel set is empty.

        Raises:
            ProbeError: there is no such layer.
        """
        if layer is None and len(self.layers) == 1:
            layer = self.layers[0]
        label = layer.label if isinstance(layer, Layer) else layer
        if label is None or label not in self.activations:
            raise ProbeError(f"no layer '{label}' was probed: there are {', '.join(self.activations)}")
        if not callable(method):
            raise ProbeError(
                f"a method is a function of activations and gradients, such as segcam.grad_cam, not {method!r}"
            )
        with without_autocast():
            maps = method(at_least_float32(self.activations[label]), at_least_float32(self.gradients[label]))
        return maps.masked_fill((self.explained.pixels == 0).view(-1, 1, 1), torch.nan)

    @property
    def scores(self) -> Float[Tensor, " b"]:
        """The number differentiated for each image."""
        return self.explained.scores.detach()

    @property
    def target_pixels(self) -> Int[Tensor, " b"]:
        """The size of each image's pixel set."""
        return self.explained.pixels

    @property
    def target_predicted(self) -> Bool[Tensor, " b"]:
        """Whether the class is predicted at any pixel of the set."""
        return self.explained.predicted
