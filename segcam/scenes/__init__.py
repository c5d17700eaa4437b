"""Scenes drawn by program: an animal among distractors, with the truth about its parts."""

from segcam.scenes.animal import PARTS
from segcam.scenes.drawing import Scene, draw

__all__ = ["PARTS", "Scene", "draw"]
