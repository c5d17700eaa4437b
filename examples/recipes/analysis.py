"""How many maps there are of each method: an analysis, `analyses/comparisons/counts.py`.

It reads tables and returns figures and tables, and never writes. They are compared byte for byte between runs: sort
rows, round with `tidy`, and draw random numbers from a `numpy.random.default_rng(SEED)` of your own. This docstring's
first line heads its section of the report page.
"""

from collections.abc import Iterator

from analyses import Results, Table


def analyse(results: Results) -> Iterator[Table]:
    """Count the maps of each method."""
    rows = results.scores(columns=["method", "level"])
    counts = rows.groupby("method", observed=True).size().reset_index(name="maps")
    yield Table("counts", counts, "Maps by method.")
