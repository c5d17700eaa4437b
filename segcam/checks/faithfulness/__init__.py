"""Faithfulness of maps on dense outputs: what happens to a fixed predicted set when the pixels a map names go."""

from segcam.checks.faithfulness.curves import KINDS, Curves, curves
from segcam.checks.faithfulness.imputation import IMPUTATIONS, filler, impute
from segcam.checks.faithfulness.orders import area_matched, order, random_order, undefined
from segcam.checks.faithfulness.outcomes import OUTCOMES, Subjects
from segcam.checks.faithfulness.stability import MaxSensitivity, Noise, max_sensitivity
from segcam.checks.faithfulness.subsets import Subsets, infidelity, sensitivity_n

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
