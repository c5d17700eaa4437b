"""Pictures of maps: over their photograph, in strips of layers, in tables of methods and layers.

`overlay` and `errors` return pixels; `strip` and `atlas` return a matplotlib figure, and need the extra `draw`.
"""

from importlib import import_module as _import
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcam.draw.display import Display
    from segcam.draw.figures import atlas, strip
    from segcam.draw.pixels import errors, overlay

__all__ = ["Display", "atlas", "errors", "overlay", "strip"]

_HOMES = {"Display": "display", "atlas": "figures", "errors": "pixels", "overlay": "pixels", "strip": "figures"}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name where it is first asked for: the display transform needs no torch."""
        if name not in _HOMES:
            raise AttributeError(f"module 'segcam.draw' has no attribute '{name}'")
        value = getattr(_import(f"segcam.draw.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
