"""segcam: what semantic-segmentation networks look at, in numbers."""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING

from segcam.errors import DataError, InputError, ProbeError, SegcamError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from segcam.layers import Layer, find_layers
    from segcam.methods.grad_cam import grad_cam
    from segcam.probe import Capture, Probe
    from segcam.samples import Batch, Sample
    from segcam.targets import Target

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

_HOMES = {
    "Batch": "samples",
    "Capture": "probe",
    "Layer": "layers",
    "Probe": "probe",
    "Sample": "samples",
    "Target": "targets",
    "find_layers": "layers",
    "grad_cam": "methods.grad_cam",
}
"""The modules of the names that need torch: it takes seconds to import, and a run is redrawn without it."""


class _BeforeTorchvision(MetaPathFinder):
    """Mends torchvision when it is first imported, by whomever; see `segcam/_torchvision.py`."""

    def find_spec(
        self, name: str, _path: "Sequence[str] | None", _target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Find nothing, but be asked in time."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            if find_spec("torch") is not None:
                import_module("segcam._torchvision").make_importable()
        return None


if "torchvision" not in sys.modules:
    sys.meta_path.insert(0, _BeforeTorchvision())

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name where it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module 'segcam' has no attribute '{name}'")
        return getattr(import_module(f"segcam.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
