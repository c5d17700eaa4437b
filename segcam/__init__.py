"""segcam: what semantic-segmentation networks look at, in numbers."""

from importlib import import_module as _import
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

from segcam.errors import DataError, InputError, ProbeError, SegcamError

if TYPE_CHECKING:
    from segcam.explaining import Explained, explain
    from segcam.methods.grad_cam import grad_cam
    from segcam.networks import open_network
    from segcam.probe.captures import Capture
    from segcam.probe.layers import Layer, find_layers
    from segcam.probe.probe import Probe
    from segcam.probe.targets import Target
    from segcam.samples import Batch, Sample

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Capture",
    "DataError",
    "Explained",
    "InputError",
    "Layer",
    "Probe",
    "ProbeError",
    "Sample",
    "SegcamError",
    "Target",
    "explain",
    "find_layers",
    "grad_cam",
    "open_network",
]

_HOMES = {
    "Batch": "samples",
    "Capture": "probe.captures",
    "Explained": "explaining",
    "Layer": "probe.layers",
    "Probe": "probe.probe",
    "Sample": "samples",
    "Target": "probe.targets",
    "explain": "explaining",
    "find_layers": "probe.layers",
    "grad_cam": "methods.grad_cam",
    "open_network": "networks",
}
"""The modules of the names that need torch: it takes seconds to import, and a run is redrawn without it."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name, or a module of the package, where it is first asked for."""
        if name in _HOMES:
            value = getattr(_import(f"segcam.{_HOMES[name]}"), name)
        elif not name.startswith("_") and _find_spec(f"segcam.{name}") is not None:
            value = _import(f"segcam.{name}")
        else:
            raise AttributeError(f"module 'segcam' has no attribute '{name}'")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
