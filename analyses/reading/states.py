"""The states that a claim of the paper can be in, where whatever computes and whatever shows them can reach them."""

from __future__ import annotations

from typing import Final

SUPPORTED: Final = "supported"
OPPOSITE: Final = "opposite"
NEGLIGIBLE: Final = "negligible"
UNDECIDED: Final = "undecided"
NOT_MEASURED: Final = "not measured"
NOT_DISCRIMINATING: Final = "not discriminating"
STATES = {
    SUPPORTED: "the whole interval lies beyond the smallest effect of interest, as claimed",
    OPPOSITE: "the whole interval lies beyond the smallest effect of interest, against the claim: not replicated",
    NEGLIGIBLE: "the whole interval lies within the smallest effect of interest: not replicated",
    NOT_DISCRIMINATING: "supported, but maps that know nothing of the network pass it as well",
    UNDECIDED: "the interval crosses the smallest effect of interest, or there are too few trainings",
    NOT_MEASURED: "this run has not what it takes",
}
"""The states in the order in which they are told, and what each means."""
NOT_REPLICATED = frozenset({OPPOSITE, NEGLIGIBLE})
"""States that say 'not replicated': other networks than the paper's cannot contradict a picture."""
