"""Whether a map ranks the object's pixels before the others."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.ranking import ranking, running_maximum
from segcam.scoring.reference import Reference


@metric(label="Average precision", direction="higher", lower=0.0, upper=1.0, chance="area", every_pixel=True)
def average_precision(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Average precision of the upsampled map as a ranking of foreground against background pixels.

    `sum_t (R_t - R_{t-1}) P_t` over the distinct values t of the upsampled map from the highest down, with P_t and R_t
    the precision and recall of the pixels at or above t. Values are told apart in steps of 2^-18 of the map's maximum,
    below which rounding would rank them. The border takes no part.

    Returns:
        0..1; the foreground's area share for a uniform map, 1 where no background pixel is as high as a foreground
        pixel. NaN for a blank or undefined map and where either mask is empty.

    Source: scikit-learn's average_precision_score; for attributions Fong and Vedaldi, ICCV 2017.
    """
    order = ranking(maps, reference)
    hits = order.foreground
    last = torch.ones_like(hits)  # of those tied with it; a number, as products of two types take several times longer
    last[..., :-1] = order.falls[..., 1:] != order.falls[..., :-1]
    gained = hits.clone()
    gained[..., 1:] -= running_maximum(hits * last)[..., :-1]
    precision = hits.to(reference.dtype).div_((hits + order.background).clamp_(min=1).to(reference.dtype))
    recalled = gained.mul_(last).to(reference.dtype).mul_(precision)
    average = recalled.sum(2, dtype=torch.float64) / hits[..., -1]
    return average.to(reference.dtype).masked_fill(order.undefined | reference.one_sided[:, None], torch.nan)
