"""Weights: checkpoints of our own, and pretrained ones from packages, files and the hub."""
