"""Scenes drawn by program: an animal among distractors, with the truth about its parts."""

from segcam.datasets.drawn.animal import PARTS
from segcam.datasets.drawn.drawing import Scene, draw

__all__ = ["PARTS", "Scene", "draw"]
