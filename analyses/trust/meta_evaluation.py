"""Do the scores measure? On known evidence: order of planted maps, and of methods as the evidence ranks them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table
from analyses.plots import style
from analyses.reading.choices import paper_target
from analyses.reading.results import Results
from analyses.trust.evidence import networks, planted, ranking, scores_figure
from analyses.trust.evidence.layers import CUES
from analyses.trust.evidence.networks import KIND, counting


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield three tables and a figure a model; nothing for runs of other kinds, or without planted maps."""
    maps = results.evidence() if results.manifest.kind == KIND else None
    plants = None if maps is None else results.table("planted")
    if maps is None or plants is None:
        return
    trained = networks.tabulate(results)
    maps = maps[counting(maps, trained)]
    faithful = results.table("evidence_faithfulness")
    orders, ranks = [], []
    for model in results.models:
        of_model = maps[maps["model"] == model]
        if of_model.empty:
            continue
        wanted = paper_target(results)
        target = wanted if (of_model["target"] == wanted).any() else str(of_model["target"].iloc[0])
        metrics = list(ranking.metrics_of(results, of_model).values())
        orders.append(planted.tabulate(plants[plants["model"] == model], metrics).assign(model=model))
        scored = None if faithful is None else faithful[(faithful["model"] == model) & (faithful["target"] == target)]
        of_target = of_model[of_model["target"] == target]
        rank = ranking.tabulate(results, model, of_target, scored)
        ranks += [rank.assign(model=model, target=target)] if len(rank) else []
    if not orders:
        return
    order = _first(pd.concat(orders), ["model"])
    yield Table("meta_evaluation_planted", order, planted.ABOUT)
    if not ranks:
        return
    rank = _first(pd.concat(ranks), ["model", "target"])
    over_layers = rank[rank["layer"] == ""].drop(columns=["layer", "depth"]).astype({"n_layers": int})
    by_layer = rank[rank["layer"] != ""].drop(columns=["n_layers"]).astype({"depth": int})
    yield Table("meta_evaluation", over_layers.reset_index(drop=True), f"{ranking.ABOUT} {_OVER_LAYERS}")
    yield Table("meta_evaluation_layers", by_layer.reset_index(drop=True), ranking.ABOUT)
    labels = {metric.name: metric.label for metric in results.metrics}
    labels |= {name: label for name, (label, _) in ranking.MEASURES.items()}
    for model in order["model"].unique():
        of_order, of_rank = (frame[frame["model"] == model] for frame in (order, over_layers))
        if of_rank.empty:
            continue
        with style.context():
            drawn = scores_figure.draw(of_order, of_rank, labels)
        target = str(of_rank["target"].iloc[0])
        details = (
            f"{results.label('models', model)}, target: {results.label('targets', target)}. {planted.ABOUT} "
            f"{ranking.ABOUT} {_OVER_LAYERS}"
        )
        caption = Caption(finding(of_order, of_rank, labels), READING, details)
        yield Figure(f"meta_evaluation-{printing.slug(model)}", drawn, caption, "Meta-evaluation")


def finding(order: pd.DataFrame, rank: pd.DataFrame, labels: dict[str, str]) -> str:
    """Say how many metrics keep the planted order on all grids, and which score ranks methods best, cue by cue.

    Args:
        order: rows of the table meta_evaluation_planted, of one model.
        rank: rows of the table meta_evaluation, of the same.
        labels: of the scores.
    """
    judges = order[order["judges_place"]]
    kept = judges.groupby("metric")["in_order"].all()
    metrics = rank[rank["kind"] == ranking.METRIC]
    words = []
    for cue in [name for name in dict.fromkeys(metrics["cue"]) if name != ranking.EVERY]:
        rows = metrics[metrics["cue"] == cue].sort_values("rho", ascending=False, kind="stable")
        best = rows.iloc[0]
        name = CUES.get(cue, f"{cue} decides")
        words.append(
            f"{labels[str(best['score'])]} where {name[:1].lower()}{name[1:]} ({printing.fixed(best['rho'], 2)})"
        )
    return (
        f"{int(kept.sum())} of {len(kept)} metrics that judge place keep the planted order on every grid; what ranks "
        f"methods most as the evidence does, without knowing it: {printing.listed(words)}."
    )


def _first(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return frame[[*names, *(name for name in frame if name not in names)]].reset_index(drop=True)


READING = (
    "Left: rank correlation of each metric with the planted share on the evidence, by the size of a layer's cells. "
    "Right: rank correlation over methods of each score with energy gain on the evidence, mean over layers, with "
    "intervals; 1 ranks methods as the evidence does, at 0 the score says nothing of it."
)
_OVER_LAYERS = (
    "Means over layers; cue all: the mean over the cues. Scores are compared with the same maps' truth, so that a "
    "negative correlation says that the score prefers methods that miss the evidence."
)
