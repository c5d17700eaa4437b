"""Explaining a network of one's own in a few lines: maps of its layers, their scores, pictures and a page."""

from segcam._compat import require

for package in ("pandas", "tqdm"):
    require(package, "explain", "segcam.explain")

from segcam.explaining.explain import explain  # noqa: E402  (after what it needs)
from segcam.explaining.explained import Explained  # noqa: E402

__all__ = ["Explained", "explain"]
