"""The paper's Figure 3: Grad-CAM of Mix-FFN's depth-wise convolution in the first block of each encoder stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.paper.layer_scores import SURE, change, layer_scores
from analyses.paper.map_figures import figures
from analyses.plots import map_page, map_tiles
from analyses.reading import choices
from analyses.reading.manifest import Checkpoint, Layer
from analyses.reading.results import Results

ROLE = "mix-ffn"
SCORE, EDGES = "energy_gain", "edge_alignment"
TAIL = 6  # last characters of an image's name, which tell it from the next
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
        shown = map_tiles.Tiles(results, checkpoint, map_tiles.metric_shown(results, SCORE))
        content = _page(shown, layers)
        caption, label = _caption(results, checkpoint, layers, content), f"Figure 3: {results.label('models', model)}"
        yield from figures(results, content, f"figure3-{printing.slug(model)}", caption, label)


def firsts(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first of Mix-FFN's layers of each stage, in the order of execution."""
    of_stage: dict[int, Layer] = {}
    for layer in layers:
        if layer.role == ROLE:
            of_stage.setdefault(layer.stage, layer)
    return list(of_stage.values())


def _page(shown: map_tiles.Tiles, layers: Sequence[Layer]) -> map_page.Page:
    results, point = shown.results, shown.checkpoint
    few = len(results.gallery_ids) <= FEW
    columns = max(len(layers) + 1, 0 if few else map_page.TRANSFORMER_COLUMNS + 1)
    longest = int(0.9 * map_page.CHARACTERS * map_page.side(columns))  # characters beside a square
    rows = [
        map_page.Row(
            map_page.cut(results.image_label(image), longest, TAIL), [shown.input(image), *shown.maps(image, layers)]
        )
        for image in results.gallery_ids
    ]
    method = results.label("methods", results.main_method)
    scored = [image for image in results.gallery_ids if image not in results.free]
    key = map_tiles.key(
        results,
        None if scored else results.gallery_ids[0],
        tinted=shown.tinted,
        metric=shown.metric if scored else None,
    )
    return map_page.Page(
        title=f"{map_tiles.title(results, point)}: {method} of Mix-FFN",
        blocks=[map_page.Block(["", *(layer.label for layer in layers)], rows)],
        columns=columns,
        key=key,
    )


def _finding(results: Results, point: Checkpoint, layers: Sequence[Layer]) -> str:
    """Say how edges and energy go along the stages that have maps; '' without scores."""
    of_metric = {
        name: scores
        for metric, name in ((EDGES, "edge alignment"), (SCORE, "energy gain"))
        if (scores := layer_scores(results, point, layers, metric))
    }
    known = [layer for layer in layers if all(layer.name in scores for scores in of_metric.values())]
    if not of_metric or len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    changes = {name: change(scores[first.name], scores[last.name]) for name, scores in of_metric.items()}
    parts = [f"{name} {found}" for name, found in changes.items() if found]
    model = results.label("models", point.model)
    return f"{model}: from {first.label} to {last.label}, {' and '.join(parts)}." if parts else ""


def _caption(results: Results, point: Checkpoint, layers: Sequence[Layer], content: map_page.Page) -> Caption:
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    names, finding = ", ".join(layer.label for layer in layers), _finding(results, point, layers)
    reading = (
        "A row an image, a column a stage, whose cells grow from left to right. "
        f"{map_tiles.first_column(results, content, results.gallery_ids)} {map_tiles.colours(content)}"
    )
    what = (
        f"{method} in Mix-FFN of the first block of each stage of {results.label('models', point.model)} ({names}), at "
        f"{map_tiles.checkpoint_name(point)}, its highest level. The hook sits on the MLP's branch, not on the "
        f"residual stream. Target: {target}."
    )
    details = [
        what,
        map_tiles.reading(results, content, results.gallery_ids),
        "A map is no thinner than its layer's cells: widths are to be compared between layers of like stride.",
        *([f"Layers are probed at: {layers[0].point}."] if layers[0].point else []),
        *map_tiles.choice(results, results.gallery_ids),
        *([SURE] if finding else []),
    ]
    return Caption(finding, reading, " ".join(details))
