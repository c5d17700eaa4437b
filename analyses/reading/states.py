"""The states of claims and contrasts, as the table `claims` has them."""

from __future__ import annotations

from collections.abc import Sequence

SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED, NOT_MEASURED = (
    *("supported", "contradicted", "negligible", "undecided"),
    "not measured",
)
"""The states of a claim or contrast: what was not measured or is smaller than any effect of interest is told apart."""


def state_of(verdict: str, reason: str) -> str:
    """Return the state of a contrast from its verdict and reason in the table."""
    if verdict != UNDECIDED:
        return verdict
    if reason.startswith(NOT_MEASURED):
        return NOT_MEASURED
    # By the rule's own words: a verdict that another rule forbids is not one.
    within = reason.startswith("the interval holds") and "nothing as far" in reason
    return NEGLIGIBLE if within else UNDECIDED


def overall_state(verdict: str, states: Sequence[str]) -> str:
    """Return the state of a claim, from the table's verdict and the states of the contrasts that decide."""
    if verdict != UNDECIDED or not states:
        return verdict
    of_all = set(states)
    return states[0] if len(of_all) == 1 and of_all <= {NEGLIGIBLE, NOT_MEASURED} else UNDECIDED
