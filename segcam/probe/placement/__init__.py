"""Placement: where the grids of a network's layers, and of its output, lie on the image."""

from segcam.probe.placement.courses import Placing
from segcam.probe.placement.survey import Placed

__all__ = ["Placed", "Placing"]
