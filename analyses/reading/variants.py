"""Variants: other ways to score the same maps, which a run keeps for its claims beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STRETCHED: Final = "stretched"
RECEPTIVE_FIELD: Final = "receptive_field"
PLACEMENTS = {STRETCHED: "stretched over the image", RECEPTIVE_FIELD: "laid where cells look"}
"""How grids are laid over the images, in words."""
SPECIFICATIONS = "specifications"
"""The table of scores that were made another way."""
LEFT_OUT = "ignore"
"""The masks' border counts for no score of maps: a run's own way."""
BORDERS = {LEFT_OUT: "border left out", "pet": "border counts as object", "background": "border counts as background"}
"""What the pixels that masks ignore count as, in words."""


@dataclass(frozen=True, order=True, slots=True)
class Variant:
    """How maps are scored.

    Attributes:
        placement: how their grids are laid over the images, of `PLACEMENTS`.
        border: what the pixels that masks ignore count as, of `BORDERS`.
    """

    placement: str
    border: str = LEFT_OUT

    @property
    def words(self) -> tuple[str, str]:
        """The two in words."""
        return PLACEMENTS.get(self.placement, self.placement), BORDERS.get(self.border, self.border)
