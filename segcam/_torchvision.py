"""Makes torchvision importable beside a torch build that its compiled operators were not made for.

torchvision's wheel is compiled against one build of torch. Beside another one (a CPU-only torch, typically) its shared
library does not load, and `import torchvision` then fails with "operator torchvision::nms does not exist", because it
declares shape rules for operators that were never defined. timm, transformers and torchmetrics import torchvision and
fail with it. Only the compiled operators (non-maximum suppression and region pooling, for detection) are missing, and
nothing here calls them, so it is enough to declare the schemas of the two that are looked up at import.

This must run before the first import of torchvision; `segcam/__init__.py` sees to it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None  # schemas vanish with their Library object, so it must be kept


def operators_load() -> bool:
    """Return whether torchvision's compiled operators exist or can be loaded into this torch."""
    if hasattr(torch.ops.torchvision, "nms"):
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # nothing to mend; importing it will say that it is not installed
    for library in sorted(Path(spec.origin).parent.glob("_C*.so")) + sorted(Path(spec.origin).parent.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            continue
        if hasattr(torch.ops.torchvision, "nms"):
            return True
    return False


def make_importable() -> bool:
    """Declare the missing operators where they cannot be loaded; return whether that was needed."""
    global _library  # noqa: PLW0603  (the one object that must live as long as the process)
    if _library is not None:
        return True
    if operators_load():
        return False
    _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS.values():
        _library.define(schema)  # type: ignore[no-untyped-call]
    return True
