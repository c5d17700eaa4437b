"""Captum's methods: of the input, of layers, and of samples."""

from segcam.methods.captum import inputs, layers, samples

__all__ = ["inputs", "layers", "samples"]
