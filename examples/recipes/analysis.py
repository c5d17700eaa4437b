"""Where along the network maps have most energy on the object.

An analysis, `analyses/depth/peaks.py`. The line above heads its section of the report page. It reads tables, returns
tables and figures, and never writes. They are compared byte for byte between runs: sort and round with `tidy`, and draw
random numbers from a `numpy.random.default_rng(SEED)` of your own.
"""

from collections.abc import Iterator

from analyses import Caption, Figure, Results, Table
from analyses.artifacts import tidy
from analyses.plots import style

METRIC = "energy_gain"
NETWORK = ["model", "level", "method"]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield each method's layer of the highest mean, and how often each layer is that; nothing without the metric."""
    if METRIC not in {metric.name for metric in results.metrics}:
        return
    scores = results.scores(columns=[*NETWORK, "layer", METRIC])
    means = scores.groupby([*NETWORK, "layer"], observed=True)[METRIC].mean().dropna().reset_index()
    highest = means.loc[means.groupby(NETWORK, observed=True)[METRIC].idxmax()]
    yield Table("peaks", tidy(highest, NETWORK), "The layer of each method with the highest mean energy gain.")
    counts = highest["layer"].astype(str).value_counts(sort=False).sort_index()
    with style.context():
        figure = style.figure(0.8 + 0.2 * len(counts), constrained=True)
        axes = figure.subplots()
        axes.barh(counts.index, counts)
        axes.set_xlabel("Methods whose mean energy gain is highest there")
    caption = Caption(
        finding=f"{counts.idxmax()} has the highest energy gain for {counts.max()} of {counts.sum()} methods",
        reading="A bar a layer: how many methods, each network's counted, have their highest mean energy gain there.",
    )
    yield Figure("peaks_by_layer", figure, caption)
