"""Whether a map looks at the background, whatever the areas."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.metrics import METRICS, Metric
from segcam.metrics.energy import masses
from segcam.scoring.reference import Reference


def background_ratio(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return how the map's mean on the background compares: `mean_B L / (mean_B L + mean_F L)`.

    L is the map upsampled bilinearly to the image. Means, not sums, so a large background does not count for more.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Ratios in 0..1; above 0.5 a background pixel has more of the map than a foreground pixel. NaN for a blank or
        undefined map, where either mask is empty, and where all energy is on the border.
    """
    inside, outside = masses(maps, reference)
    on_object = inside / reference.foreground_pixels[:, None]
    beside = outside / reference.background_pixels[:, None]
    return beside / (beside + on_object)


METRICS.add(
    Metric(
        name="background_ratio",
        label="Background ratio",
        compute=background_ratio,
        summary="the map's mean on the background / (that + its mean on the foreground)",
        direction="lower",
        lower=0.0,
        upper=1.0,
        chance=0.5,
    )
)
