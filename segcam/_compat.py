"""Libraries that segcam imports only when a network or method asks for them.

torchvision's wheel is compiled against one build of torch. Beside another one (a CPU-only torch, typically) its shared
library does not load, and `import torchvision` fails with "operator torchvision::nms does not exist", because it
declares shape rules for operators that were never defined. timm, transformers and torchmetrics import torchvision and
fail with it. Only the compiled operators (non-maximum suppression and region pooling, for detection) are missing, and
nothing here calls them, so it is enough to declare the schemas of the two that are looked up at import.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from segcam.errors import InputError

if TYPE_CHECKING:
    import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None  # schemas vanish with their Library object, so it must be kept


def require(package: str, extra: str, needed_by: str) -> None:
    """Import a library of an extra, so that the import statement behind this call succeeds.

    Args:
        package: the name that is imported.
        extra: the extra of segcam that installs it.
        needed_by: what asks for it, for the error.

    Raises:
        InputError: it is not installed; the message says how to install it.
    """
    if package not in {"matplotlib", "pandas", "tqdm"}:  # all others may import torchvision, which takes seconds
        mend_torchvision()
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package.partition(".")[0]:
            raise
        raise InputError(f"{needed_by} needs the package {error.name}: pip install 'segcam[{extra}]'") from error


def mend_torchvision() -> bool:
    """Import torchvision where it is installed; where that fails declare the missing operators and try again.

    Returns:
        Whether they had to be declared.
    """
    global _library  # noqa: PLW0603  (the one object that must live as long as the process)
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return _library is not None
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return False
    import torch  # noqa: PLC0415  (takes seconds, and torchvision has imported it)

    _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        _library.define(schema)  # type: ignore[no-untyped-call]
    importlib.import_module("torchvision")
    return True
