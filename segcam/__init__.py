"""segcam: what semantic-segmentation networks look at, in numbers."""

from segcam._torchvision import make_importable

make_importable()  # before anything that imports torchvision

from segcam.errors import DataError, InputError, ProbeError, SegcamError  # noqa: E402
from segcam.layers import Layer, find_layers  # noqa: E402
from segcam.probe import Capture, Probe  # noqa: E402
from segcam.targets import Target  # noqa: E402

from segcam.methods.grad_cam import grad_cam  # noqa: E402  # isort: skip
from segcam.samples import Batch, Sample  # noqa: E402

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
