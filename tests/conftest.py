"""Imports segcam before any test module can import torchvision, which some builds of torch need."""

import segcam  # noqa: F401
