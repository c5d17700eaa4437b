"""A metric from a package of its own: `bench list metrics` shows it once the package is installed."""

from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference


@metric(label="Lit area", direction="none", lower=0.0, upper=1.0, chance=None)
def lit_area(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Share of cells of at least half the map's maximum.

    Source: a package outside segcam.
    """
    cells = unit(maps, reference)
    return (cells >= 0.5).to(cells.dtype).mean((2, 3)).masked_fill(cells.amax((2, 3)).isnan(), float("nan"))
