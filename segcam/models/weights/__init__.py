"""Weights: checkpoints of our own, and pretrained ones from packages, files and the hub."""

from segcam.models.weights.loading import load_weights

__all__ = ["load_weights"]
