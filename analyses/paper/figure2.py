"""The paper's Figure 2: Grad-CAM before and after attention, for every transformer block, with how spread maps are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.paper.layer_scores import SURE, OverImages, change, layer_scores
from analyses.paper.map_figures import figures
from analyses.plots import map_page, map_tiles
from analyses.reading import choices
from analyses.reading.catalogue import FEWEST
from analyses.reading.manifest import ATTENTION, Checkpoint, Layer, Metric
from analyses.reading.results import Results

SCORE = "spread"
BRANCH = (
    "Both hooks sit on the attention branch, not on the residual stream: before attention is the norm that precedes "
    "it, after attention the dropout behind its output projection."
)

Pair = tuple[Layer, Layer]


def analyse(results: Results) -> Iterator[Figure]:
    """Yield for each model with attention a figure of the first image, and pages of the others.

    Of one seed's highest level, and the paper's target.
    """
    if not results.targets or not results.methods:
        return
    for model in results.models:
        pairs = attention(results.main_layers(model))
        checkpoint = choices.shown_checkpoint(results, model)
        if not pairs or checkpoint is None:
            continue
        shown = map_tiles.Tiles(results, checkpoint)
        metric = map_tiles.metric_shown(results, SCORE)
        scores = (
            layer_scores(results, checkpoint, [one for pair in pairs for one in pair], metric.name) if metric else {}
        )
        for number, image in enumerate(results.gallery_ids, start=1):
            content = _page(shown, image, pairs, metric, scores)
            tail = f"_more-{printing.slug(model)}-{number:02d}-{printing.slug(image)}"
            name = f"figure2{tail if number > 1 else f'-{printing.slug(model)}'}"
            finding = _finding(results, checkpoint, pairs, metric, scores) if number == 1 else ""
            caption = _caption(results, checkpoint, image, content, finding)
            label = f"Figure 2: {results.label('models', model)}, {results.image_label(image)}"
            yield from figures(results, content, name, caption, label)


def attention(layers: Sequence[Layer]) -> list[Pair]:
    """Return the layers before and after attention of each block: each 'after' with the last 'before' it."""
    pairs, before = [], None
    for layer in layers:
        if layer.role == ATTENTION[0]:
            before = layer
        elif layer.role == ATTENTION[1] and before is not None:
            pairs.append((before, layer))
            before = None
    return pairs


def block_name(before: Layer) -> str:
    """Return what a block is called, from its layer before attention: 'Block 1_2' from 'Before attention 1_2'."""
    name = before.label.strip()
    if name.lower().startswith(ATTENTION[0]):
        name = name[len(ATTENTION[0]) :].strip()
    return f"Block {name}".strip()


def _page(
    shown: map_tiles.Tiles,
    image: str,
    pairs: Sequence[Pair],
    metric: Metric | None,
    scores: Mapping[str, OverImages],
) -> map_page.Page:
    results, point = shown.results, shown.checkpoint
    lines = math.ceil(len(pairs) / map_page.TRANSFORMER_COLUMNS)
    wide = math.ceil(len(pairs) / lines)
    rows = [pairs[i : i + wide] for i in range(0, len(pairs), wide)]
    method = results.label("methods", results.main_method)
    key = map_tiles.key(results, image, tinted=shown.tinted, metric=None)
    if scores and metric:
        counts = printing.images(len(score.values) for score in scores.values())
        words = f"attention: {metric.label.lower()}, median and quartiles of {counts}"
        key += [("hollow", f"before {words}"), ("filled", f"after {words}")]
    return map_page.Page(
        title=f"{map_tiles.title(results, point)}: {method} of {results.image_label(image)}",
        blocks=[_block(shown, image, row, metric, scores) for row in rows],
        columns=wide + 1,
        key=key,
    )


def _block(
    shown: map_tiles.Tiles,
    image: str,
    pairs: Sequence[Pair],
    metric: Metric | None,
    scores: Mapping[str, OverImages],
) -> map_page.Block:
    befores, afters = zip(*pairs, strict=True)
    rows = [
        map_page.Row("before\nattention", [shown.input(image), *shown.maps(image, befores)]),
        map_page.Row("after\nattention", [None, *shown.maps(image, afters)]),
    ]
    strip = None
    if scores and metric:
        ends = metric.lower, metric.upper
        if not all(map(math.isfinite, ends)):
            ends = min(one.low for one in scores.values()), max(one.high for one in scores.values())
        series = [[_dot(scores.get(layer.name)) for layer in layers] for layers in (befores, afters)]
        strip = map_page.Strip(metric.label.lower(), ends, series)
    return map_page.Block(["", *(block_name(before) for before in befores)], rows, strip)


def _dot(score: OverImages | None) -> map_page.Dot | None:
    return None if score is None else map_page.Dot(score.median, score.low, score.high)


def _finding(
    results: Results, point: Checkpoint, pairs: Sequence[Pair], metric: Metric | None, scores: Mapping[str, OverImages]
) -> str:
    """Say in how many blocks the score is higher behind attention; '' without scores."""
    known = [found for one, two in pairs if (found := change(scores.get(one.name), scores.get(two.name)))]
    if not known or metric is None:
        return ""
    few = "" if len(known) == len(pairs) else f" that have maps of {FEWEST} images or more on both sides"
    mean = map_tiles.number(sum(one.end - one.start for one in known) / len(known), "+")
    higher, lower = (sum(one.sign == sign for one in known) or "none" for sign in (1, -1))
    return (
        f"{results.label('models', point.model)}: {metric.label.lower()} is higher after attention than before it in "
        f"{higher} of {len(known)} blocks{few}, and lower in "
        f"{lower} (mean difference {mean})."
    )


def _caption(results: Results, point: Checkpoint, image: str, content: map_page.Page, finding: str) -> Caption:
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    reading = (
        "A column a block, before attention above and after it below. "
        f"{map_tiles.first_column(results, content, [image])} {map_tiles.colours(content)}"
    )
    what = (
        f"{method} before and after attention in each block of {results.label('models', point.model)} for image "
        f"{image}, at {map_tiles.checkpoint_name(point)}, its highest level. Target: {target}."
    )
    details = [
        what,
        *([f"Dots: {content.key[-1][1].partition(': ')[2]}."] if content.blocks[0].strip else []),
        BRANCH,
        map_tiles.reading(results, content, [image]),
        *map_tiles.choice(results, [image]),
        *([SURE] if finding else []),
    ]
    return Caption(finding, reading, " ".join(details))
