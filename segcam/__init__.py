"""segcam: what semantic-segmentation networks look at, in numbers."""

from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

from segcam.errors import DataError, InputError, ProbeError, SegcamError

if TYPE_CHECKING or _find_spec("torch") is not None:  # without it a run's report can be redrawn, and nothing else
    from segcam._torchvision import make_importable

    make_importable()  # before anything that imports torchvision

    from segcam.layers import Layer, find_layers
    from segcam.probe import Capture, Probe
    from segcam.targets import Target

    from segcam.methods.grad_cam import grad_cam  # isort: skip
    from segcam.samples import Batch, Sample

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Capture",
    "DataError",
    "InputError",
    "Layer",
    "Probe",
    "ProbeError",
    "Sample",
    "SegcamError",
    "Target",
    "find_layers",
    "grad_cam",
]
