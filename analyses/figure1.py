"""The paper's Figure 1: Grad-CAM of every encoder and decoder layer of one image at every level, with its scores."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from analyses import page, style
from analyses.artifacts import Figure
from analyses.records import Layer, Metric
from analyses.results import Results

SHOWN = ("energy_gain", "edge_alignment")
UNDEFINED = "\N{EN DASH}"
Scores = Mapping[tuple[str, int, str], Mapping[str, float]]  # (image, level, layer) -> metric -> value


def analyse(results: Results) -> Iterator[Figure]:
    """Yield one figure for each model and gallery image: the first seed, the first target, the main method."""
    if not results.targets or not results.methods:
        return
    for model in results.models:
        seeds = results.seeds(model)
        if seeds and results.layers(model):
            yield from _of_model(results, model, seeds[0])


def _of_model(results: Results, model: str, seed: int) -> Iterator[Figure]:
    target, method = results.targets[0], results.main_method
    layers = tuple(layer for layer in results.layers(model) if layer.point == results.points(model)[0])
    metrics = shown_metrics(results)
    scores = _scores(results, model, seed, metrics)
    found = _found(results, model, seed, target)
    rows = _rows(results, model, seed)
    for number, image in enumerate(results.gallery_ids, start=1):
        cells = {
            row.level: tuple(
                page.Cell(values, _score_text(values, scores.get((image, row.level, layer.name), {}), metrics))
                for layer, values in zip(layers, row.maps(image, f"{target}|{method}", layers), strict=True)
            )
            for row in rows
            if row.gallery
        }
        content = page.Page(
            title=f"{results.label('models', model)}, seed {seed}: {results.label('methods', method)} of {image}",
            image=image,
            target=target,
            layers=layers,
            rows=rows,
            cells=cells,
            found={row.level: found.get((image, row.level), "") for row in rows},
            key=_key(results, target, metrics),
            foreground=results.foreground(target),
        )
        with style.context():
            figure = page.draw(content)
        name = f"figure1-{style.slug(model)}-{number:02d}-{style.slug(image)}"
        yield Figure(name, figure, _caption(results, model, seed, image, layers))


def shown_metrics(results: Results) -> tuple[Metric, ...]:
    """Return the two metrics printed under a map: energy gain and edge alignment, else the run's first ones."""
    known = {metric.name: metric for metric in results.metrics}
    wanted = [known[name] for name in SHOWN if name in known]
    return tuple(wanted or results.metrics[:2])


def _rows(results: Results, model: str, seed: int) -> tuple[page.Row, ...]:
    rows = []
    for point in results.checkpoints:
        if (point.model, point.seed) == (model, seed):
            gallery = results.gallery(model, seed, point.level) if point.reached and results.gallery_ids else None
            rows.append(page.Row(point.level, point.reached, point.miou, point.nearest_miou, gallery))
    return tuple(rows)


def _scores(results: Results, model: str, seed: int, metrics: tuple[Metric, ...]) -> Scores:
    where: dict[str, Collection[Any]] = {
        "model": [model],
        "seed": [seed],
        "image": results.gallery_ids,
        "target": [results.targets[0]],
        "method": [results.main_method],
    }
    frame = results.scores(where)
    names = [metric.name for metric in metrics if metric.name in frame]
    keys = zip(frame["image"].astype(str), frame["level"].astype(int), frame["layer"].astype(str), strict=True)
    return dict(zip(keys, frame[names].to_dict("records"), strict=True))  # type: ignore[arg-type]


def _score_text(values: page.Map, scores: Mapping[str, float], metrics: tuple[Metric, ...]) -> str:
    """Return what is printed under a map: `+0.52|0.31`, or that it is blank or undefined."""
    if math.isnan(values.sum()):
        return "undefined"
    if not (values > 0).any():
        return "blank"
    texts = []
    for i, metric in enumerate(metrics):
        value = round(float(scores.get(metric.name, math.nan)), 2) + 0.0  # no minus before a zero
        form = ("+" if i == 0 else "") + (".0f" if abs(value) >= 9.995 else ".2f")
        texts.append(UNDEFINED if math.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}"))
    return "|".join(texts)


def _found(results: Results, model: str, seed: int, target: str) -> dict[tuple[str, int], str]:
    """Return, for each image and level, how well the image's own prediction agrees with the mask."""
    frame = results.predictions()
    frame = frame[(frame["model"] == model) & (frame["seed"] == seed) & frame["image"].isin(results.gallery_ids)]
    own, others = results.foreground(target), range(len(results.classes))
    predicted = frame[[f"n_{truth}_{own}" for truth in others]].sum(axis=1)
    true = frame[[f"n_{own}_{other}" for other in others]].sum(axis=1)
    both = frame[f"n_{own}_{own}"]
    texts = []
    for hits, found, wanted in zip(both, predicted, true, strict=True):
        union = found + wanted - hits
        texts.append("absent" if union == 0 else "no pixel" if found == 0 else f"IoU {hits / union:.2f}")
    return dict(zip(zip(frame["image"].astype(str), frame["level"].astype(int), strict=True), texts, strict=True))


def _key(results: Results, target: str, metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    name = results.classes[results.foreground(target)]
    under = " | ".join(metric.label.lower() for metric in metrics)
    return (
        f"outline of the mask, {name}",
        f"explained pixel ({results.label('targets', target)})",
        f"under a map: {under} ({UNDEFINED} where undefined); blank: the map is zero everywhere",
        f"under the first column: IoU of the checkpoint's own prediction for {name}; no pixel: predicts none",
    )


def _caption(results: Results, model: str, seed: int, image: str, layers: tuple[Layer, ...]) -> str:
    metrics = shown_metrics(results)
    method, target = results.label("methods", results.main_method), results.label("targets", results.targets[0])
    unreached = [c.level for c in results.checkpoints if (c.model, c.seed) == (model, seed) and not c.reached]
    shown = "Photographs are drawn in light grey and maps over them, the more opaque the higher."
    ground = shown if results.photographs else "Photographs are left out."
    parts = [
        (
            f"{method} of the layers of {results.label('models', model)} for image {image}, training seed {seed}, at "
            f"checkpoints of rising validation mean IoU (rows). Target: {target}; the ring marks the explained pixel."
        ),
        (
            "Each map is divided by its own maximum and upsampled bilinearly, so colours compare places within a map, "
            f"not maps with each other. {ground} Under each map: {' | '.join(m.label.lower() for m in metrics)}."
        ),
    ]
    if layers[0].point:
        parts.append(f"Layers are probed at: {layers[0].point}.")
    if unreached:
        parts.append(f"Not reached, and left empty: {', '.join(f'{level} %' for level in unreached)}.")
    if not results.photographs:
        parts.append("The photograph is not shown; the line is the mask's outline.")
    if results.gallery_rule:
        parts.append(f"Choice of images: {results.gallery_rule.rstrip('.')}.")
    return " ".join([*parts, results.caption_note()])
