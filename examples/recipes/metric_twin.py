"""A metric's slow twin, in `tests/reference/metrics.py`: one map, from the definition alone, and what it must score.

Without the decorator or the function the contract tests fail and say so.
"""

import math

from tests.reference.metrics import Array, Scene, answers, area_average, is_blank


@answers(perfect=1, inverted=0, random=0.5)
def coverage(small: Array, scene: Scene) -> float:
    """Cells by the foreground's share of their area."""
    foreground = area_average(scene.foreground.astype(float), *small.shape)
    if is_blank(small) or not foreground.any():
        return math.nan
    return float(foreground[small >= small.max() / 2].sum() / foreground.sum())
