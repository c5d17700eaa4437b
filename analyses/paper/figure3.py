"""The paper's Figure 3: Grad-CAM of Mix-FFN's depth-wise convolution in the first block of each encoder stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.plots import map_page, map_tiles, style
from analyses.reading import choices
from analyses.reading.manifest import Checkpoint, Layer
from analyses.reading.results import Results

ROLE = "mix-ffn"
LONGEST = 20  # characters of an image's name beside its row
FEW = 4  # images of which tiles may fill the page's width; of more they are as small as those of Figure 2


def analyse(results: Results) -> Iterator[Figure]:
    """Yield a figure for each model with Mix-FFN, all gallery images in it: one seed's highest level."""
    if not results.targets or not results.methods or not results.gallery_ids:
        return
    for model in results.models:
        layers = firsts(results.main_layers(model))
        checkpoint = choices.shown_checkpoint(results, model)
        if not layers or checkpoint is None:
            continue
        shown = map_tiles.Tiles(results, checkpoint, map_tiles.metrics_shown(results, map_tiles.NAMES))
        content = _page(shown, layers)
        with style.context():
            figure = map_page.draw(content)
        yield Figure(
            f"figure3-{printing.slug(model)}", figure, Caption("", "", _caption(results, checkpoint, layers, content))
        )


def firsts(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first of Mix-FFN's layers of each stage, in the order of execution."""
    of_stage: dict[int, Layer] = {}
    for layer in layers:
        if layer.role == ROLE:
            of_stage.setdefault(layer.stage, layer)
    return list(of_stage.values())


def _page(shown: map_tiles.Tiles, layers: Sequence[Layer]) -> map_page.Page:
    results, point = shown.results, shown.checkpoint
    rows = [
        map_page.Row(map_page.cut(image, LONGEST), [shown.input(image), *shown.maps(image, layers, named=True)])
        for image in results.gallery_ids
    ]
    method = results.label("methods", results.main_method)
    outline, ring, first = map_tiles.signs(results, tinted=shown.tinted)
    return map_page.Page(
        title=f"{map_tiles.title(results, point)}: {method} of Mix-FFN",
        blocks=[map_page.Block(["", *(layer.label for layer in layers)], rows)],
        columns=max(len(layers) + 1, 0 if len(rows) <= FEW else map_page.TRANSFORMER_COLUMNS + 1),
        key=(outline, ring, *map_tiles.under(shown.metrics), first),
    )


def _caption(results: Results, point: Checkpoint, layers: Sequence[Layer], content: map_page.Page) -> str:
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    names = ", ".join(layer.label for layer in layers)
    text = (
        f"{method} in Mix-FFN of the first block of each stage of {results.label('models', point.model)} ({names}; "
        f"the stages' cells grow from left to right), one row an image, at {map_tiles.checkpoint_name(point)}, its "
        f"highest level. The hook sits on the MLP's branch, not on the residual stream. Target: {target}; "
        f"the ring marks the explained pixel. {map_tiles.reading(results, content)} "
        f"{map_tiles.scores_named(map_tiles.metrics_shown(results, map_tiles.NAMES))}"
    )
    sentences = [
        text,
        "A map is no thinner than its layer's cells: widths are to be compared between layers of like stride.",
    ]
    if layers[0].point:
        sentences.append(f"Layers are probed at: {layers[0].point}.")
    if results.manifest.gallery.rule:
        sentences.append(f"Choice of images: {results.manifest.gallery.rule.rstrip('.')}.")
    return " ".join(sentences)
