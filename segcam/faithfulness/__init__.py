"""Faithfulness of maps on dense outputs: what happens to a fixed predicted set when the pixels a map names go."""

from segcam.faithfulness.curves import KINDS, Curves, curves
from segcam.faithfulness.imputation import IMPUTATIONS, filler, impute
from segcam.faithfulness.orders import area_matched, order, random_order, undefined
from segcam.faithfulness.outcomes import OUTCOMES, Subjects
from segcam.faithfulness.stability import MaxSensitivity, Noise, max_sensitivity
from segcam.faithfulness.subsets import Subsets, infidelity, sensitivity_n

__all__ = [
    "IMPUTATIONS",
    "KINDS",
    "OUTCOMES",
    "Curves",
    "MaxSensitivity",
    "Noise",
    "Subjects",
    "Subsets",
    "area_matched",
    "curves",
    "filler",
    "impute",
    "infidelity",
    "max_sensitivity",
    "order",
    "random_order",
    "sensitivity_n",
    "undefined",
]
