"""A metric: `segcam/metrics/coverage.py`. Its slow twin is in metric_twin.py."""

from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference


@metric(label="Coverage", direction="higher", lower=0.0, upper=1.0, chance=None)
def coverage(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Share of the foreground that lies in cells of at least half the map's maximum.

    It tells whether a map shows the whole object or its most telling part alone.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Shares in 0..1. NaN for a blank or undefined map and where the foreground is empty.

    Source: segcam.
    """
    cells = unit(maps, reference)
    foreground = reference.foreground_share[:, None]
    covered = ((cells >= 0.5) * foreground).sum((2, 3)) / foreground.sum((2, 3))
    return covered.masked_fill(cells.amax((2, 3)).isnan(), float("nan"))
