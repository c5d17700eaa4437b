"""Figures of many maps: a strip of layers beside their photograph, and tables of methods or images by layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segcam._compat import require
from segcam.draw import given
from segcam.draw.panels import Grid, Input, Panel, Scene, see_mapping
from segcam.errors import InputError, shown
from segcam.scoring.grids import Placement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Maps = Mapping[str, given.Values]
"""Maps by layer; in place of a map, in words, why there is none."""


def strip(  # noqa: PLR0913  (the optional ones are named where they are given)
    photograph: given.Photograph | None,
    maps: Maps,
    mask: given.Mask | None = None,
    prediction: given.Mask | None = None,
    *,
    placements: Mapping[str, Placement | None] | None = None,
    size: Grid | None = None,
    class_id: object = None,
    class_name: str = "",
    pixel: tuple[int, int] | None = None,
    under: Mapping[str, str] | None = None,
    title: str = "",
    raw: bool = False,
    width: float = 17.0,
) -> Figure:
    """Draw a photograph with its true outline and predicted mask, and then a panel a layer, in the order of `maps`.

    How maps become colours is said along the foot, with where the brightest colour lies; see `segcam.draw.Display`.

    >>> import numpy as np
    >>> photograph = np.full((64, 96, 3), 128, np.uint8)
    >>> figure = strip(photograph, {"stem": np.eye(8), "head": "left out: no grid"}, title="A grey card")
    >>> [text.get_text() for text in figure.findobj() if getattr(text, "get_text", str)() in ("stem", "head")]
    ['stem', 'head']

    Args:
        photograph: the image; None for a black ground of the mask's size, or the largest map's.
        maps: by layer the map, as `overlay` takes it, or in words why there is none.
        mask: the true region.
        prediction: the predicted region.
        placements: where the layers' grids lie, such as `capture.placements`; stretched where a layer is not in it.
        size: rows and columns of the network's input, where the photograph was resized for it.
        class_id: the class, where mask and prediction are class indices.
        class_name: how the key calls it, in any script.
        pixel: row and column of the explained pixel, on the photograph; a ring in the first panel.
        under: by layer, words under its panel, such as a score.
        title: of the figure.
        raw: linear up to each map's maximum, without percentile and gamma.
        width: of the figure in centimetres: 8.5 is a column of a journal, 17 are two.

    Returns:
        A figure, unknown to pyplot: `figure.savefig("strip.png", dpi=300)`.

    Raises:
        InputError: as `overlay`; or matplotlib is not installed.
    """
    require("matplotlib", "draw", "segcam.draw.strip")
    from segcam.draw.sheets import draw  # noqa: PLC0415  (an extra's)

    scene = Scene.of(photograph, maps, (mask, prediction), class_id, pixel)
    how, notes = _input(placements, size, raw=raw), {} if under is None else under
    see_mapping("under is", notes)
    panels = {str(label): scene.map(label, values, how, notes.get(label, "")) for label, values in maps.items()}
    return draw({"": panels}, {"": scene.first()}, title, class_name, class_id, width)


def atlas(  # noqa: PLR0913  (the same)
    maps: Mapping[str, Maps],
    photographs: given.Photograph | Mapping[str, given.Photograph] | None = None,
    masks: given.Mask | Mapping[str, given.Mask] | None = None,
    predictions: given.Mask | Mapping[str, given.Mask] | None = None,
    *,
    placements: Mapping[str, Placement | None] | None = None,
    size: Grid | None = None,
    class_id: object = None,
    class_name: str = "",
    title: str = "",
    raw: bool = False,
    width: float = 17.0,
) -> Figure:
    """Draw a table of maps: a row an image, method, level or seed, and a column a layer.

    The first column is a row's photograph, as in `strip`. Where all rows share it, it stands in the first row alone,
    and in the second where the prediction hits and misses.

    >>> import numpy as np
    >>> maps = {"Grad-CAM": {"stem": np.eye(8)}, "Layer-CAM": {"stem": np.ones((8, 8)), "head": np.eye(4)}}
    >>> figure = atlas(maps, np.full((64, 96, 3), 128, np.uint8))
    >>> len([axes for axes in figure.axes if axes.get_label() == "panel"])  # a photograph and three maps
    4

    Args:
        maps: by row, the maps by layer, as `strip` takes them. What a row lacks is left empty.
        photographs: the image of all rows, or by row its own.
        masks: the true region, or by row.
        predictions: the predicted region, or by row.
        placements: where the layers' grids lie.
        size: rows and columns of the network's input, where photographs were resized for it.
        class_id: the class, where masks and predictions are class indices.
        class_name: how the key calls it.
        title: of the figure.
        raw: linear up to each map's maximum, without percentile and gamma.
        width: of the figure in centimetres.

    Returns:
        A figure, unknown to pyplot.

    Raises:
        InputError: as `strip`; or a row has no photograph or mask where others have.
    """
    require("matplotlib", "draw", "segcam.draw.atlas")
    from segcam.draw.sheets import draw  # noqa: PLC0415  (an extra's)

    if not isinstance(maps, Mapping) or not maps:
        raise InputError(f"maps are {shown(maps)}: give {{row: {{layer: map}}}}")
    how = _input(placements, size, raw=raw)
    shared = not any(isinstance(what, Mapping) for what in (photographs, masks, predictions))
    rows: dict[str, dict[str, Panel]] = {}
    leads: dict[str, Panel | None] = {}
    for number, (name, of_row) in enumerate(maps.items()):
        photograph, mask, prediction = (
            _of_row(what, name, kind)
            for what, kind in ((photographs, "photographs"), (masks, "masks"), (predictions, "predictions"))
        )
        scene = Scene.of(photograph, of_row, (mask, prediction), class_id)
        rows[str(name)] = {str(label): scene.map(label, values, how) for label, values in of_row.items()}
        leads[str(name)] = scene.first()
        if shared and number:
            leads[str(name)] = scene.errors() if number == 1 else None
    return draw(rows, leads, title, class_name, class_id, width)


def _input(placements: Mapping[str, Placement | None] | None, size: Grid | None, *, raw: bool) -> Input:
    see_mapping("placements are", {} if placements is None else placements)
    return Input(placements or {}, size, raw)


def _of_row(what: Any, name: str, kind: str) -> Any:
    """Return what a row has of something that is one for all rows, or by row."""
    if not isinstance(what, Mapping):
        return what
    if name not in what:
        raise InputError(f"{kind} have none of row {shown(name)}: there are {', '.join(map(str, what)) or 'none'}")
    return what[name]
