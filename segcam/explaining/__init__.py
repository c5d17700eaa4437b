"""Explaining a network of one's own in a few lines: maps of its layers, their scores, pictures and a page."""

from segcam.explaining.explain import explain
from segcam.explaining.explained import Explained

__all__ = ["Explained", "explain"]
