"""Meanings: what a network's output is found to mean, kept from one pass to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError, shown
from segcam.probe.network.elements import Element
from segcam.probe.targets.arguments import Arguments
from segcam.probe.targets.outputs import Output, logits_of, resolved
from segcam.probe.targets.target import Target
from segcam.scoring.grids import Placement

Said = tuple[Output | None, Element | None]
"""What an output means, and which element of what the network returns it is."""


@dataclass(eq=False)
class Meanings:
    """What the output of one network means, for each thing that is said of it.

    Attributes:
        declared: what the user says of the network; None to find out.
        element: which part of what the network returns the user says is its output; None for all of it.
        class_ids: indices of its classes, by name.
    """

    declared: Output | None
    element: Element | None
    class_ids: Mapping[str, int]
    _known: dict[Said, tuple[Output, bool]] = field(default_factory=dict, init=False)

    def said(self, targets: Sequence[Target]) -> Said:
        """Return what the user or the targets say that the output means and is; None where they say nothing.

        Raises:
            ProbeError: they contradict each other.
        """
        elements: set[Element] = {
            one for one in (self.element, *(target.element for target in targets)) if one is not None
        }
        if len(elements) > 1:
            named = " and ".join(sorted(shown(one) for one in elements))
            raise ProbeError(f"the output is said to be the elements {named}: probe them one after the other")
        return self._meaning(targets), elements.pop() if elements else None

    def _meaning(self, targets: Sequence[Target]) -> Output | None:
        declared = {choice for choice in (self.declared, *(target.meaning for target in targets)) if choice is not None}
        if declared == {"multilabel", "multilabel-probabilities"}:
            return "multilabel-probabilities"  # what a capture has found of what is declared here
        if len(declared) > 1:
            raise ProbeError(f"the output is declared as {' and as '.join(sorted(declared))}: say it once")
        return next(iter(declared), None)

    def watching(self, said: Said) -> AbstractContextManager[Arguments | None]:
        """Return what a pass runs under: it sees the argument of the last softmax or sigmoid where there may be one."""
        known = self._known.get(said)
        return Arguments() if known is not None and known[1] else nullcontext()

    def logits(
        self, output: object, said: Said, seen: Arguments | None, end: Callable[[], str]
    ) -> Float[Tensor, "b k h w"] | None:
        """Return the logits of what a network gave; None where it must run once more, watched, to see them.

        Args:
            output: as the network returned it.
            said: what is said of it.
            seen: what `watching` gave for this pass.
            end: asked for the last step of its graph, see `segcam.probe.targets.ends.last_step`.

        Raises:
            ProbeError: see `resolved`.
        """
        known = self._known.get(said)
        if known is None:
            meaning = resolved(output, said[0], end)
            known = self._known[said] = (meaning, meaning not in ("logits", "multilabel"))
            if known[1]:
                return None
        logits = None if seen is None else seen.of(output)
        self._known[said] = (known[0], logits is not None)
        return logits_of(output, known[0]) if logits is None else logits

    def understood(self, target: Target, said: Said, place: Placement | None) -> Target:
        """Return a target with what is known of the network: what its output means, where it lies, class names."""
        meaning, argument = self._known[said]
        known = target.named(self.class_ids)
        return replace(known, output=meaning, argument=argument, placement=place, element=said[1])
