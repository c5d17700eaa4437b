"""Chosen: the layers that were asked for, and what becomes of those that have no maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segcam.errors import ProbeError
from segcam.probe.layers import Layer


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a layer has no maps, and what can be done about it."""

    reason: str
    cure: str = ""

    def of(self, layer: Layer) -> ProbeError:
        """Return the error for a layer that was asked for by name."""
        return ProbeError(f"layer '{layer.label}' {self.reason}" + (f": {self.cure}" if self.cure else ""))


NO_PATH = LeftOut("does not lead to the logits", "leave it out")
OVERWRITTEN = LeftOut("is overwritten even as a copy", "leave it out")
NOT_FROM_INPUT = LeftOut(
    "lies on no known place of the input, as no gradient leads from it back to the input",
    "leave it out, or take placement='stretched'",
)
MIRRORED = LeftOut(
    "lies mirrored on the input, which is flipped on its way there",
    "choose a layer where it is turned back, or probe the network without the flip on images that are flipped",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Layers of a network that maps are made of.

    Attributes:
        layers: in the order asked for.
        matched: labels of those that no name but a pattern alone asked for: they are left out where they have no maps.
        partial: whether they are some of those asked for, all of which may be left out.
    """

    layers: tuple[Layer, ...]
    matched: frozenset[str] = frozenset()
    partial: bool = False

    def refuse(self, left_out: Mapping[str, LeftOut]) -> None:
        """Raise the error of the first layer that was named and has no maps, or where no matched one is left.

        Raises:
            ProbeError: there is one.
        """
        wrong = [layer for layer in self.layers if layer.label in left_out and layer.label not in self.matched]
        if wrong:
            raise left_out[wrong[0].label].of(wrong[0])
        if len(left_out) >= len(self.layers) and not self.partial:
            first = self.layers[0]
            raise ProbeError(
                f"none of the {len(self.layers)} layers that the patterns match has maps: "
                f"{left_out[first.label].of(first)}"
            )

    def leave_out(
        self, without: Mapping[str, LeftOut], outputs: dict[str, Tensor], skipped: dict[str, LeftOut]
    ) -> None:
        """Move layers from the outputs to those that are skipped.

        Raises:
            ProbeError: one of them was named.
        """
        for label, why in without.items():
            skipped[label] = why
            del outputs[label]
        self.refuse(skipped)
