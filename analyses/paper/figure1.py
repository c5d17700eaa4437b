"""The paper's Figure 1: Grad-CAM of every encoder and decoder layer of one image at every level, with its scores.

It is drawn of convolutional networks. Of a transformer, with three layers or more a block, Figures 2 and 3 show those
that the paper shows, and `curves` has the scores of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.plots import map_page, map_tiles, style
from analyses.reading import choices
from analyses.reading.manifest import ATTENTION, Checkpoint, Layer
from analyses.reading.results import Results

SHOWN = ("energy_gain", "edge_alignment")
COLUMNS = 10  # layers in a block, at most


def analyse(results: Results) -> Iterator[Figure]:
    """Yield a figure for each gallery image and model without attention: paper's target, the main method, one seed."""
    if not results.targets or not results.methods:
        return
    for model in results.models:
        layers = results.layers(model)
        points = results.pictured(model)
        if points and layers and not any(layer.role in ATTENTION for layer in layers):
            yield from _of_model(results, model, points)


def _of_model(results: Results, model: str, points: Sequence[Checkpoint]) -> Iterator[Figure]:
    method = results.label("methods", results.main_method)
    layers = results.main_layers(model)
    metrics = map_tiles.metrics_shown(results, SHOWN)
    seed = "" if points[0].name else f", seed {points[0].seed}"
    shown = [map_tiles.Tiles(results, point, metrics) for point in points]
    outline, ring, first = map_tiles.signs(results, tinted=any(tiles.tinted for tiles in shown))
    under = " | ".join(metric.label.lower() for metric in metrics)
    under = f"under a map: {under} ({map_tiles.UNDEFINED} where undefined); blank: the map is zero everywhere"
    for number, image in enumerate(results.gallery_ids, start=1):
        content = map_page.Page(
            title=f"{results.label('models', model)}{seed}: {method} of {image}",
            blocks=[
                map_page.Block(["", *(layer.label for layer in block)], [_row(tiles, image, block) for tiles in shown])
                for block in blocks(layers)
            ],
            columns=COLUMNS + 1,
            key=(outline, ring, under, first),
        )
        with style.context():
            figure = map_page.draw(content)
        name = f"figure1-{printing.slug(model)}-{number:02d}-{printing.slug(image)}"
        yield Figure(name, figure, Caption("", "", _caption(results, points, image, content)))


def blocks(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return the layers in blocks: a block a role, at most ten layers each."""
    runs = [list(group) for _, group in groupby(layers, key=lambda layer: layer.role)]
    return [run[i : i + COLUMNS] for run in runs for i in range(0, len(run), COLUMNS)]


def _row(tiles: map_tiles.Tiles, image: str, layers: Sequence[Layer]) -> map_page.Row:
    point = tiles.checkpoint
    if not point.reached:
        return map_tiles.absent(point)
    label = point.label if point.name else f"{point.label}\nmIoU {point.miou:.3f}"
    return map_page.Row(label, [tiles.input(image), *tiles.maps(image, layers, named=False)])


def _caption(results: Results, points: Sequence[Checkpoint], image: str, content: map_page.Page) -> str:
    model, seed = points[0].model, points[0].seed
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    rising = f", training seed {seed}, at checkpoints of rising validation mean IoU"
    at = ", with each file of its weights" if points[0].name else rising
    unreached = [c.label for c in points if not c.reached]
    scores = " | ".join(metric.label.lower() for metric in map_tiles.metrics_shown(results, SHOWN))
    point = results.points(model)[0]
    sentences = [
        (
            f"{method} of the layers of {results.label('models', model)} for image {image}{at} (rows). "
            f"Target: {target}; the ring marks the explained pixel."
        ),
        f"{map_tiles.reading(results, content)} Under each map: {scores}.",
    ]
    if point:
        sentences.append(f"Layers are probed at: {point}.")
    if unreached:
        sentences.append(f"Not reached, and left empty: {', '.join(unreached)}.")
    if results.manifest.gallery.rule:
        sentences.append(f"Choice of images: {results.manifest.gallery.rule.rstrip('.')}.")
    return " ".join(sentences)
