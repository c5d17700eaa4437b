"""The paper's Figure 1: Grad-CAM of layers from the input to the answer at every level, with scores.

It is drawn of convolutional networks. Of a transformer, with three layers or more a block, Figures 2 and 3 show those
that the paper shows, and `curves` has the scores of all. The figure has a few layers of one image; every layer of
every image that is shown has a page of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.paper.layer_scores import SAME, SURE, change, layer_scores
from analyses.paper.map_figures import figures
from analyses.plots import map_page, map_tiles
from analyses.reading import choices
from analyses.reading.manifest import ATTENTION, Checkpoint, Layer
from analyses.reading.results import Results

SCORE = "energy_gain"
EDGES = "edge_alignment"
FEW = 7  # layers of the figure
COLUMNS = 10  # layers in a block of a page of all, at most


def analyse(results: Results) -> Iterator[Figure]:
    """Yield for each model without attention the figure, and then a page of all layers for each image.

    Of the paper's target, the main method, and one seed.
    """
    if not results.targets or not results.methods or not results.gallery_ids:
        return
    for model in results.models:
        layers = results.main_layers(model)
        points = results.pictured(model)
        if not points or not layers or any(layer.role in ATTENTION for layer in results.layers(model)):
            continue
        metric = map_tiles.metric_shown(results, SCORE)
        shown = [map_tiles.Tiles(results, point, metric) for point in points]
        few = stages(layers)
        first = results.gallery_ids[0]
        name = f"figure1-{printing.slug(model)}"
        yield from _figures(name, shown, first, [few], len(few) + 1, finding=True)
        if len(few) == len(layers) and len(results.gallery_ids) == 1:
            continue
        for number, image in enumerate(results.gallery_ids, start=1):
            of_image = f"figure1_layers-{printing.slug(model)}-{number:02d}-{printing.slug(image)}"
            yield from _figures(of_image, shown, image, blocks(layers), COLUMNS + 1, label="Figure 1, all layers")


def stages(layers: Sequence[Layer]) -> list[Layer]:
    """Return the last layer of each stage of each role; of more than `FEW`, as many evenly spread over the depth."""
    last = {(layer.role, layer.stage): layer for layer in layers}
    kept = list(last.values())
    if len(kept) == 1:  # a network that tells no stages apart
        kept = list(layers)
    places = np.linspace(0, len(kept) - 1, min(FEW, len(kept))).round().astype(int)
    return sorted((kept[place] for place in places), key=lambda layer: layer.depth)


def blocks(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return the layers in blocks: a block a role, at most ten layers each."""
    runs = [list(group) for _, group in groupby(layers, key=lambda layer: layer.role)]
    return [run[i : i + COLUMNS] for run in runs for i in range(0, len(run), COLUMNS)]


def _figures(
    name: str,
    shown: Sequence[map_tiles.Tiles],
    image: str,
    shown_layers: Sequence[Sequence[Layer]],
    columns: int,
    label: str = "Figure 1",
    *,
    finding: bool = False,
) -> Iterator[Figure]:
    results, point = shown[0].results, shown[0].checkpoint
    seed = "" if point.name else f", seed {point.seed}"
    tinted = any(tiles.tinted for tiles in shown)
    method = results.label("methods", results.main_method)
    heads = map_tiles.heads(results.main_layers(point.model))
    content = map_page.Page(
        title=f"{results.label('models', point.model)}{seed}: {method} of {results.image_label(image)}",
        blocks=[
            map_page.Block(
                ["", *(heads[layer.name] for layer in block)], [_row(tiles, image, block) for tiles in shown]
            )
            for block in shown_layers
        ],
        columns=columns,
        key=map_tiles.key(results, image, tinted=tinted, metric=shown[0].metric),
    )
    points = [tiles.checkpoint for tiles in shown]
    title = _finding(shown, shown_layers[0], image) if finding else ""
    caption = _caption(results, points, image, content, title, _edges(results, points, shown_layers[0]) * finding)
    called = f"{label}: {results.label('models', point.model)}, {results.image_label(image)}"
    yield from figures(results, content, name, caption, called)


def _row(tiles: map_tiles.Tiles, image: str, layers: Sequence[Layer]) -> map_page.Row:
    point = tiles.checkpoint
    if not point.reached:
        return map_tiles.absent(point)
    label = point.label if point.name else f"{point.label}\nmIoU {point.miou:.3f}"
    return map_page.Row(label, [tiles.input(image), *tiles.maps(image, layers)])


def _finding(shown: Sequence[map_tiles.Tiles], layers: Sequence[Layer], image: str) -> str:
    """Say at how many layers the score goes up with the level, in the image that is shown and over all.

    Of one level, how it goes with the depth; '' without scores.
    """
    reached = [tiles for tiles in shown if tiles.checkpoint.reached]
    if not reached:
        return ""
    results, low, high = shown[0].results, reached[0].checkpoint, reached[-1].checkpoint
    name = results.label("models", low.model)
    start, end = (layer_scores(results, point, layers, SCORE) for point in (low, high))
    if low is high:
        found = change(end.get(layers[0].name), end.get(layers[-1].name))
        ends = f"between {layers[0].label} and {layers[-1].label}"
        return f"{name}: {ends}, energy gain {found}." if len(layers) > 1 and found else ""
    measured = shown[0].metric is not None and shown[0].metric.name == SCORE
    pairs = [tuple(tiles.score(image, layer) for tiles in (reached[0], reached[-1])) for layer in layers if measured]
    pairs = [pair for pair in pairs if not math.isnan(sum(pair))]
    if not pairs:
        return ""
    higher = sum(after - before > SAME for before, after in pairs)  # of one image: no interval says that it rises
    levels = f"from {low.label} to {high.label}{'' if low.name else ' mean IoU'}"
    said = f"{name}, {levels}: energy gain is higher at {higher} of {len(pairs)} layers in this image"
    changes = [one for layer in layers if (one := change(start.get(layer.name), end.get(layer.name)))]
    if not changes:
        return f"{said}."
    up, down = (sum(one.sign == sign for one in changes) for sign in (1, -1))
    counts = {one.images for one in changes}
    over = f"{'up to ' if len(counts) > 1 else ''}{max(counts)}"
    return f"{said}; over {over} images it surely rises at {up} of {len(changes)} and falls at {down}."


def _edges(results: Results, points: Sequence[Checkpoint], layers: Sequence[Layer]) -> str:
    """Say how the first layer's edges go with the level, over all images; '' without scores."""
    reached = [point for point in points if point.reached]
    if len(reached) < 2:
        return ""
    low, high = reached[0], reached[-1]
    found = change(*(layer_scores(results, point, layers[:1], EDGES).get(layers[0].name) for point in (low, high)))
    levels = f"Between {low.label} and {high.label}{'' if low.name else ' mean IoU'}"
    return f"{levels}, edge alignment of {layers[0].label} {found}." if found else ""


def _caption(
    results: Results, points: Sequence[Checkpoint], image: str, content: map_page.Page, finding: str, edges: str
) -> Caption:
    model, seed = points[0].model, points[0].seed
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    rising = f", training seed {seed}, at checkpoints of rising validation mean IoU"
    at = ", with each file of its weights" if points[0].name else rising
    unreached = [c.label for c in points if not c.reached]
    point = results.points(model)[0]
    details = [
        f"{method} of the layers of {results.label('models', model)} for image {image}{at}. Target: {target}.",
        map_tiles.reading(results, content, [image]),
    ]
    if point:
        details.append(f"Layers are probed at: {point}.")
    if unreached:
        details.append(f"Not reached, and left empty: {', '.join(unreached)}.")
    details += [*map_tiles.choice(results, [image]), *([edges] if edges else []), *([SURE] if finding else [])]
    reading = (
        "A row a checkpoint, a column a layer, from the input to the answer. "
        f"{map_tiles.first_column(results, content, [image])} {map_tiles.colours(content)}"
    )
    return Caption(finding, reading, " ".join(details))
