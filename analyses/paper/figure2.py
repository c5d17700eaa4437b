"""The paper's Figure 2: Grad-CAM before and after attention, for every transformer block, with its scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.plots import map_page, map_tiles, style
from analyses.reading import choices
from analyses.reading.manifest import ATTENTION, Checkpoint, Layer
from analyses.reading.results import Results

BRANCH = (
    "Both hooks sit on the attention branch, not on the residual stream: before attention is the norm that precedes "
    "it, after attention the dropout behind its output projection."
)

Pair = tuple[Layer, Layer]


def analyse(results: Results) -> Iterator[Figure]:
    """Yield a figure for each gallery image and model with attention: one seed's highest level, the paper's target."""
    if not results.targets or not results.methods:
        return
    for model in results.models:
        pairs = attention(results.main_layers(model))
        checkpoint = choices.shown_checkpoint(results, model)
        if not pairs or checkpoint is None:
            continue
        shown = map_tiles.Tiles(results, checkpoint, map_tiles.metrics_shown(results, map_tiles.NAMES))
        for number, image in enumerate(results.gallery_ids, start=1):
            content = _page(shown, image, pairs)
            with style.context():
                figure = map_page.draw(content)
            name = f"figure2-{printing.slug(model)}-{number:02d}-{printing.slug(image)}"
            yield Figure(name, figure, Caption("", "", _caption(results, checkpoint, image, content)))


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


def _page(shown: map_tiles.Tiles, image: str, pairs: Sequence[Pair]) -> map_page.Page:
    results, point = shown.results, shown.checkpoint
    lines = math.ceil(len(pairs) / map_page.TRANSFORMER_COLUMNS)
    wide = math.ceil(len(pairs) / lines)
    rows = [pairs[i : i + wide] for i in range(0, len(pairs), wide)]
    method = results.label("methods", results.main_method)
    outline, ring, first = map_tiles.signs(results, tinted=shown.tinted)
    return map_page.Page(
        title=f"{map_tiles.title(results, point)}: {method} of {image}",
        blocks=[_block(shown, image, row) for row in rows],
        columns=wide + 1,
        key=(outline, ring, *map_tiles.under(shown.metrics), first),
    )


def _block(shown: map_tiles.Tiles, image: str, pairs: Sequence[Pair]) -> map_page.Block:
    befores, afters = zip(*pairs, strict=True)
    rows = [
        map_page.Row("before\nattention", [shown.input(image), *shown.maps(image, befores, named=True)]),
        map_page.Row("after\nattention", [None, *shown.maps(image, afters, named=True)]),
    ]
    return map_page.Block(["", *(block_name(before) for before in befores)], rows)


def _caption(results: Results, point: Checkpoint, image: str, content: map_page.Page) -> str:
    method, target = results.label("methods", results.main_method), choices.paper_target_in_words(results)
    text = (
        f"{method} before and after attention in each block of {results.label('models', point.model)} for image "
        f"{image}, at {map_tiles.checkpoint_name(point)}, its highest level. Target: {target}; the ring marks the "
        f"explained pixel. {BRANCH} {map_tiles.reading(results, content)} "
        f"{map_tiles.scores_named(map_tiles.metrics_shown(results, map_tiles.NAMES))}"
    )
    sentences = [text]
    if results.manifest.gallery.rule:
        sentences.append(f"Choice of images: {results.manifest.gallery.rule.rstrip('.')}.")
    return " ".join(sentences)
