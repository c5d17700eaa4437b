"""What a network's output means: logits, probabilities, or a class each for itself; declared, or told from the values.

All that follows works on logits `(b, k, h, w)`. Where a network ends in a softmax or sigmoid they are what went into
it, which is seen while it runs: explanations are then the same as those of the network without that end. Where that
cannot be seen, as in a compiled network, the logits of probabilities are their logarithms. Softmax of these gives the
probabilities back, so that predictions, margins and log-probabilities are right; a number that all classes of a pixel
share cannot be brought back, and the score 'logit' is the class's log-odds, see `segcam.probe.targets.pixels.logit`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import whole
from segcam.errors import InputError, ProbeError, SegcamWarning, shown, unknown
from segcam.probe.network.elements import OUTPUTS, Element, Output, dense_paths, listed, said
from segcam.probe.targets.ends import PART, changed_end, last_step

__all__ = ["OUTPUTS", "Output", "logits_of", "resolved", "tensor_of", "told", "told_by"]

SAY = "say which with Probe(..., output=...): one of " + ", ".join(map(repr, OUTPUTS))


def told(output: object, element: object = None) -> tuple[Output | None, Element | None]:
    """Return what is said of a network's output: what its numbers mean, and which element of what it returns it is.

    `output` may be either: one of the names of `OUTPUTS` is a meaning, anything else an element.

    >>> told("probabilities", 0), told("aux.0"), told(None)
    (('probabilities', '0'), (None, 'aux.0'), (None, None))

    Raises:
        InputError: an element is no name, number or function, or two are named.
    """
    meaning: Output | None = None
    if isinstance(output, str) and output in OUTPUTS:
        meaning = output
    elif output is not None and element is not None:
        raise InputError(
            f"output={shown(output)} is no meaning and so names an element of the output, and element="
            f"{shown(element)} another: say it once, or take as output one of {', '.join(map(repr, OUTPUTS))}"
        )
    else:
        element = output if element is None else element
    if element is None or callable(element):
        if getattr(element, "__hash__", None) is None:
            raise InputError(f"the function that picks the output, {shown(element)}, has no hash: take a lambda")
        return meaning, element
    if isinstance(element, str):
        return meaning, _path(element)
    return meaning, str(whole(element, "the element of the network's output"))


def _path(element: str) -> str:
    if not all(element.split(".")):
        raise InputError(
            f"output={shown(element)}: what the numbers mean, one of {', '.join(map(repr, OUTPUTS))}, or an element of "
            "what the network returns, such as 'aux.0', 0 or a function, is needed"
        )
    return element


def tensor_of(output: object) -> Float[Tensor, "b k h w"]:
    """Return the dense output of a network, whatever it means: a tensor, in a mapping or in an object.

    Raises:
        ProbeError: it is not there, or has other dimensions; the message lists the elements that there are.
    """
    values = output
    if isinstance(output, Mapping):
        values = next((output[key] for key in ("out", "logits") if key in output), None)
    elif not isinstance(output, Tensor):
        values = getattr(output, "logits", None)
    if not isinstance(values, Tensor) or values.ndim != 4:
        got = f"a tensor {tuple(values.shape)}" if isinstance(values, Tensor) else said(output)
        raise ProbeError(
            f"the network returned {got}{listed(output)}: logits (b, classes, h, w) are needed, as a tensor, as a "
            f"mapping with 'out' or 'logits', or as an object with .logits; {_cure(output)}"
        )
    return values


def _cure(output: object) -> str:
    paths = dense_paths(output)
    if not paths:
        return "wrap the network in a Module that returns them"
    return f"name the element with Probe(..., element={paths[0]!r}), or a function that picks it"


def logits_of(output: object, meaning: Output = "logits") -> Float[Tensor, "b k h w"]:
    """Return the logits of what a network gave; of probabilities their logarithms, of a sigmoid's its argument.

    Args:
        output: as the network returned it, see `tensor_of`.
        meaning: what its numbers are.

    Returns:
        As many channels as the output has; float32 or wider, but for logits, which stay as they are. Probabilities of
        exactly 0 or 1 have the largest logit that their dtype can tell, and no gradient.

    Raises:
        ProbeError: there is no dense output, see `tensor_of`.
    """
    values = tensor_of(output)
    if meaning in ("logits", "multilabel"):
        return values
    values = values if values.dtype == torch.float64 else values.float()
    tiny, eps = torch.finfo(values.dtype).tiny, torch.finfo(values.dtype).eps
    if meaning == "log-probabilities":
        if values.shape[1] > 1:
            return values
        values = values.exp()
    elif meaning == "probabilities" and values.shape[1] > 1:
        return values.clamp_min(tiny).log()
    values = values.clamp(tiny, 1 - eps / 2)
    return values.log() - torch.log1p(-values)


def resolved(output: object, declared: Output | None = None, ending: Callable[[], str] | None = None) -> Output:
    """Return what a network's output means: what is declared, if the values agree, else what they leave no doubt of.

    Sums over the classes, the range, and the last step of autograd's graph are looked at. What is found to be no
    logits is said once, as a `SegcamWarning`.

    Args:
        output: as the network returned it.
        declared: what it is said to be; None to find out.
        ending: asked for the last step where this graph does not tell, as where it begins with a layer's output; see
            `last_step`.

    Raises:
        InputError: `declared` is none of `OUTPUTS`.
        ProbeError: the values are not what is declared, are thresholded, or may be one thing or another; the message
            names the choices.
    """
    if declared is not None and declared not in OUTPUTS:
        raise unknown("meaning of an output", str(declared), OUTPUTS)
    values = tensor_of(output)
    if values.is_complex():
        raise ProbeError("the network's output holds complex numbers: wrap it in a Module that returns real ones")
    facts = _Facts(values)
    if not facts.end and facts.within and ending is not None:
        facts.end = ending()
    _check_continuous(values, facts)
    if declared is not None:
        return _agreeing(facts, declared)
    if not facts.finite:
        return "logits"  # whoever reads them says what is wrong
    found = _found(facts)
    if found != "logits":
        warnings.warn(
            f"the network's output is read as {found}: {facts.evidence(found)}; write Probe(..., output='{found}'), or "
            "another of " + ", ".join(map(repr, OUTPUTS)),
            SegcamWarning,
            stacklevel=2,
        )
    return found


def told_by(model: object) -> Output | None:
    """Return what a network says itself that its output means, by its attribute `output_meaning`; None for most.

    Raises:
        InputError: it says none of `OUTPUTS`.
    """
    said = getattr(model, "output_meaning", None)
    if isinstance(said, str) and said not in OUTPUTS:
        raise unknown("meaning of an output", said, OUTPUTS)
    return said if isinstance(said, str) else None  # type: ignore[return-value]


class _Facts:
    """What an output's values and graph show."""

    def __init__(self, values: Tensor) -> None:
        wide = values.detach().float()
        self.classes = int(wide.shape[1])
        self.finite = bool(torch.isfinite(wide).all())
        self.low, self.high = (float(x) for x in wide.aminmax()) if self.finite and wide.numel() else (0.0, 0.0)
        rounding = 1e-4 if values.dtype in (torch.float32, torch.float64) else 2e-2
        self.within = self.low >= -rounding and self.high <= 1 + rounding
        self.sums_to_one = self.classes > 1 and self.within and _near(wide.sum(1), 1.0, rounding)
        self.logs_sum_to_one = (
            self.classes > 1 and self.high <= rounding and _near(wide.logsumexp(1), 0.0, max(rounding, 1e-3))
        )
        self.values, self.end = values, last_step(values)

    def evidence(self, found: Output) -> str:
        """Put into words what speaks for a reading."""
        if found == "probabilities" and self.classes > 1:
            return "its classes sum to 1 at every pixel"
        if found == "log-probabilities" and self.classes > 1:
            return "its classes' exponentials sum to 1 at every pixel"
        return f"it ends in a {self.end}" + (", and its classes do not sum to 1" if self.classes > 1 else "")

    @property
    def range(self) -> str:
        """The values' range in words."""
        return f"from {self.low:.3g} to {self.high:.3g}"


def _found(facts: _Facts) -> Output:
    if facts.end == PART and facts.classes == 1:
        return "probabilities"
    if facts.end == "softmax" and facts.classes == 1:
        raise ProbeError(
            "the network ends in a softmax over one channel, which is 1 everywhere: give it a channel for the "
            "background, or end it in a sigmoid"
        )
    if facts.sums_to_one and facts.end != "linear":
        return "probabilities"
    if facts.logs_sum_to_one and facts.end != "linear":
        return "log-probabilities"
    if facts.end == "sigmoid":
        return "probabilities" if facts.classes == 1 else "multilabel-probabilities"
    if facts.end == "log-sigmoid" and facts.classes == 1:
        return "log-probabilities"
    constant = facts.low == facts.high == 0  # a head that has learnt nothing yet
    if facts.within and facts.end != "linear" and not constant:
        raise ProbeError(
            f"all values of the network's output lie {facts.range}: they may be logits or probabilities; {SAY}"
        )
    if facts.end in ("softmax", "log-softmax", "log-sigmoid"):
        raise ProbeError(
            f"the network's output ends in a {facts.end}, but not one over its {facts.classes} classes (dimension 1); "
            f"{SAY}"
        )
    changed = changed_end(facts.values)
    if changed:
        raise ProbeError(
            f"the network's output, {facts.range}, was calculated from the probabilities of a {changed}, and is "
            "neither logits nor these: wrap the network in a Module that returns the probabilities, or what goes into "
            f"the {changed}; to explain the numbers as they are say Probe(..., output='logits')"
        )
    return "logits"


def _agreeing(facts: _Facts, declared: Output) -> Output:
    """Return the declared meaning if the values do not speak against it."""
    if not facts.finite or declared == "logits":
        return declared
    if declared == "multilabel":  # logits or probabilities, which tell themselves apart
        return "multilabel-probabilities" if facts.within and facts.end != "linear" else "multilabel"
    wrong = ""
    if declared == "log-probabilities":
        if facts.high > 1e-3 or (facts.classes > 1 and not facts.logs_sum_to_one):
            wrong = "the classes' exponentials do not sum to 1"
    elif not facts.within:
        wrong = "probabilities lie from 0 to 1"
    elif declared == "probabilities" and facts.classes > 1 and not facts.sums_to_one:
        wrong = "the classes do not sum to 1; where each class is for itself say 'multilabel'"
    if wrong:
        raise ProbeError(
            f"the network's output is declared as {declared}, but its values lie {facts.range}: {wrong}; {SAY}"
        )
    return declared


def _check_continuous(values: Tensor, facts: _Facts) -> None:
    thresholded = not values.is_floating_point()
    if not thresholded and values.numel() and facts.end in ("", "log-softmax", "log-sigmoid"):
        flat = values.detach()
        thresholded = bool(((flat == 0) | (flat == 1)).all()) and bool((flat == 1).any())
    if thresholded:
        raise ProbeError(
            f"the network's output holds {'0 and 1 alone' if values.is_floating_point() else str(values.dtype)}: it is "
            "thresholded, and no gradient leads through that; wrap the network in a Module that returns what is "
            "compared with the threshold"
        )


def _near(values: Tensor, wanted: float, tolerance: float) -> bool:
    return bool(((values - wanted).abs() <= tolerance).all())
