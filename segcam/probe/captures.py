"""Capture: what a pass over a batch gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.errors import ProbeError
from segcam.precision import without_autocast
from segcam.probe.attention import Attention
from segcam.probe.gradients.rounding import SUMS, Sums, cancels
from segcam.probe.layers import Layer
from segcam.probe.layouts import Layout
from segcam.probe.targets import Explained, Target
from segcam.scoring.grids import Placement, upsample


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
        logits: the network's, `(b, k, h, w)`; of probabilities those that `segcam.probe.targets.outputs.logits_of`
            returns.
        size: height and width of the input, in pixels.
        attentions: the attention matrices of the places asked for, by label; captures of one pass share them, but for
            their gradients.
        placements: where each layer's maps lie on the input, by label; None where they are stretched over it.
        layouts: how each layer's output is laid out, by label.
        skipped: why layers that a pattern matched have no maps, by label; they are not among `layers`.
        inputs: what the network was given beside the images.
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
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    _cancelled: dict[tuple[str, Sums], Bool[Tensor, " b"]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def maps(
        self, method: Callable[[Tensor, Tensor], Tensor], layer: str | Layer | None = None
    ) -> Float[Tensor, "b h w"]:
        """Compute one layer's map with a gradient method like `grad_cam`, on the layer's own grid, float32 or wider.

        Args:
            method: `(activations, gradients) -> map`.
            layer: its label; may be left out where there is just one.

        Returns:
            `(b, h, w)`; NaN for images whose pixel set is empty, and where the method's weights cancel, see `cancels`.

        Raises:
            ProbeError: there is no such layer, or it was left out.
        """
        label = self._label(layer)
        if not callable(method):
            raise ProbeError(
                f"a method is a function of activations and gradients, such as segcam.grad_cam, not {method!r}"
            )
        with without_autocast():
            maps = method(at_least_float32(self.activations[label]), at_least_float32(self.gradients[label]))
        without = self.explained.pixels == 0
        sums = getattr(method, SUMS, None) or getattr(getattr(method, "__self__", None), SUMS, None)
        if sums is not None:
            without = without | self.cancels(label, sums)
        return maps.masked_fill(without.view(-1, 1, 1), torch.nan)

    def upsampled(
        self, method: Callable[[Tensor, Tensor], Tensor], layer: str | Layer | None = None
    ) -> Float[Tensor, "b H W"]:
        """Compute one layer's map as `maps` does, and lay it over the input's pixels, where the layer's cells lie.

        Bilinear, as `segcam.scoring.grids.upsample`: where the layer's placement says, or else stretched over the
        input, as a probe does unless it is asked for `placement="receptive_field"`.

        >>> from torch import nn
        >>> from segcam import Probe, grad_cam
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        >>> probe = Probe(net, "1", placement="receptive_field")
        >>> capture = probe(torch.rand(1, 3, 32, 48), Target(1, "image"))
        >>> capture.maps(grad_cam).shape, capture.upsampled(grad_cam).shape
        (torch.Size([1, 16, 24]), torch.Size([1, 32, 48]))

        Args:
            method: `(activations, gradients) -> map`.
            layer: its label; may be left out where there is just one.

        Returns:
            `(b, H, W)`, of the input's height and width, float32 or wider; NaN as `maps`.

        Raises:
            ProbeError: as `maps`.
        """
        maps = self.maps(method, layer)
        return upsample(maps[:, None], self.size, self.placements.get(self._label(layer)))[:, 0]

    def _label(self, layer: str | Layer | None) -> str:
        """Return the label of a layer that has maps."""
        if layer is None and len(self.layers) == 1:
            layer = self.layers[0]
        label = layer.label if isinstance(layer, Layer) else layer
        if label is not None and label in self.skipped:
            raise ProbeError(f"layer '{label}' {self.skipped[label]}: it was left out")
        if label is None:
            raise ProbeError(
                f"several layers were probed: name one, maps(method, layer), of {', '.join(self.activations)}"
            )
        if label not in self.activations:
            raise ProbeError(f"no layer '{label}' was probed: there are {', '.join(self.activations)}")
        return label

    def cancels(self, layer: str | Layer, sums: Sums) -> Bool[Tensor, " b"]:
        """Tell for each image whether the sums that weigh a layer's channels are zero but for rounding.

        Behind a convolution that a normalisation over positions follows (InstanceNorm, or GroupNorm with a channel a
        group) a channel's mean gradient is zero in exact arithmetic: the normalisation takes off again what is the same
        everywhere. A map made of such weights is rounding noise. See `segcam.probe.gradients.rounding`.

        Args:
            layer: its label.
            sums: what the method sums over positions: 'gradients', or 'products' of gradients and activations.
        """
        label = layer.label if isinstance(layer, Layer) else layer
        if (label, sums) not in self._cancelled:  # methods and reports ask again
            activations, gradients = self.activations[label], self.gradients[label]
            terms = at_least_float32(gradients)
            if sums == "products":
                terms = terms * at_least_float32(activations)
            computed = max(activations.dtype, gradients.dtype, key=lambda dtype: torch.finfo(dtype).eps)
            self._cancelled[label, sums] = cancels(terms, computed)
        return self._cancelled[label, sums]

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
