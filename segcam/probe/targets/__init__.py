"""Targets: what an output means, which pixels and which score of them are explained."""

from segcam.probe.targets.dense import two_sided
from segcam.probe.targets.explained import Explained
from segcam.probe.targets.pixels import PIXEL_SETS
from segcam.probe.targets.regions import Region
from segcam.probe.targets.scores import SCORES
from segcam.probe.targets.target import Target

__all__ = ["PIXEL_SETS", "SCORES", "Explained", "Region", "Target", "two_sided"]
