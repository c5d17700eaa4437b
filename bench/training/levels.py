"""The search for the checkpoint of each level during training, apart from the training itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from analyses.reading.manifest import BEST, Number, Share

if TYPE_CHECKING:  # so that a report needs no torch
    from torch import Tensor

    from bench.planning.profile import Train

Weights: TypeAlias = "dict[str, Tensor]"
InitialAnswer: TypeAlias = Literal["foreground", "random"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One validation.

    Attributes:
        step: optimiser steps done.
        images_seen: training images seen, repeats counted.
        loss: mean training loss since the last evaluation; NaN before the first step.
        learning_rate: at this step.
        miou: validation mean IoU, 0..1.
        iou: IoU of each class, 0..1; NaN for a class that the truth does not hold.
        predicted_share: share of validation images in which any pixel is predicted as foreground.
        seconds: wall time of the training until then, interruptions left out.
        initial_answer: what the untrained network answered that these steps began with; '' where nobody said it.
    """

    step: int
    images_seen: int
    loss: Number
    learning_rate: float
    miou: Share
    iou: tuple[Share, ...]
    predicted_share: Share
    seconds: float = 0.0
    initial_answer: InitialAnswer | Literal[""] = ""

    @classmethod
    def read(cls, values: dict[str, Any]) -> Evaluation:
        """Read what `asdict` wrote."""
        return cls(**{**values, "iou": tuple(values["iou"])})


@dataclass
class LevelSearch:
    """Keeps, for each level, the weights whose validation mean IoU came nearest.

    Mean IoU can rise by tens of points within a few steps, so the interval between evaluations adapts, the weights of
    every step since the last evaluation are kept, and where a level lies between two evaluations, steps between them
    are evaluated by bisection until one lies within half the tolerance or the two steps are neighbours.

    Attributes:
        levels: wanted mean IoUs in percent.
        tolerance: a level counts as reached within this distance, in mean IoU (0.02 for 2 points).
        longest: longest interval between evaluations, in steps.
        interval: the interval now.
        sought: the levels that the steps of this start are for; all of them where a training has one start.
        history: all evaluations of this start.
        earlier: those of the starts before it.
        nearest: for each level, and for the best one of this start, the nearest evaluation and its weights.
    """

    levels: tuple[int, ...]
    tolerance: float = 0.02
    longest: int = 32
    interval: int = 1
    sought: tuple[int, ...] = ()
    history: list[Evaluation] = field(default_factory=list)
    earlier: list[Evaluation] = field(default_factory=list)
    nearest: dict[int, tuple[Evaluation, Weights]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sought = self.sought or self.levels
        if self.searched():
            self.interval = self.longest

    def begin(self, sought: tuple[int, ...]) -> None:
        """Go on with another start, for other levels: what was found for those before stays as it is."""
        self.sought = sought
        self.earlier += self.history
        self.history = []
        self.nearest.pop(BEST, None)
        self.interval = self.longest if self.searched() else 1

    @property
    def kept(self) -> tuple[int, ...]:
        """The levels, and the best one, of which weights are kept whatever is asked for."""
        return tuple(dict.fromkeys((*self.levels, BEST)))

    def searched(self) -> bool:
        """Return whether no level is looked for any more, so that evaluations may be far between."""
        return all(self.settled(level) for level in self.sought)

    def offer(self, evaluation: Evaluation, weights: Callable[[], Weights]) -> None:
        """Take an evaluation, and its weights where they are nearer to a level; ties keep the first."""
        self.history.append(evaluation)
        open_levels = dict.fromkeys((*self.sought, BEST))
        nearer = [level for level in open_levels if self._distance(level, evaluation) < self.distance(level)]
        if nearer:
            copy = weights()
            for level in nearer:
                self.nearest[level] = (evaluation, copy)

    def between(self, first: Evaluation, last: Evaluation, evaluate: Callable[[int], Evaluation]) -> None:
        """Look for this start's unsettled levels that were passed between two evaluations.

        Args:
            first: the earlier one.
            last: the later one.
            evaluate: evaluates a step between them and offers it.
        """
        for level in self.sought:
            low, high = first, last
            while not self.settled(level) and high.step - low.step > 1 and self._brackets(level, low, high):
                middle = evaluate((low.step + high.step) // 2)
                low, high = (low, middle) if self._brackets(level, low, middle) else (middle, high)

    def adapt(self, first: Evaluation, last: Evaluation) -> None:
        """Set the interval from the last change of mean IoU, which is to stay within twice the tolerance."""
        change = abs(last.miou - first.miou)
        if self.searched():
            self.interval = self.longest
        elif change > 2 * self.tolerance:
            self.interval = max(1, self.interval // 2)
        elif change < self.tolerance:
            self.interval = min(self.longest, self.interval * 2)

    def distance(self, level: int) -> float:
        """Return how far the nearest evaluation is from the level, in mean IoU; infinite before the first."""
        return self._distance(level, self.nearest[level][0]) if level in self.nearest else float("inf")

    def reached(self, level: int) -> bool:
        """Return whether an evaluation came within the tolerance; the best one is always there."""
        return level == BEST or self.distance(level) <= self.tolerance

    def settled(self, level: int) -> bool:
        """Return whether an evaluation came within half the tolerance, so that nearer ones are not looked for.

        The best one is not looked for between evaluations.
        """
        return level == BEST or self.distance(level) <= self.tolerance / 2

    def complete(self) -> bool:
        """Return whether all levels of this start are reached and the highest passed, so that no later step is needed.

        Where the best is wanted, training goes on to its end.
        """
        return all(self.reached(level) for level in self.sought) and self.best() >= max(self.sought) / 100

    def left_behind(self) -> bool:
        """Return whether mean IoU is so far above this start's levels that those not reached were leapt over."""
        return self.best() > max(self.sought) / 100 + 2 * self.tolerance

    def best(self) -> float:
        """Return the highest mean IoU seen from this start; NaN before the first evaluation."""
        return max((e.miou for e in self.history), default=float("nan"))

    def state(self) -> dict[str, Any]:
        """Return everything but the weights, JSON-ready."""
        return {
            "interval": self.interval,
            "history": [asdict(e) for e in self.history],
            "earlier": [asdict(e) for e in self.earlier],
            "nearest": {str(level): asdict(evaluation) for level, (evaluation, _) in self.nearest.items()},
        }

    def restore(self, state: dict[str, Any], weights: dict[int, Weights]) -> None:
        """Take back what `state` gave, and the weights kept for each level."""
        self.interval = state["interval"]
        self.history = [Evaluation.read(e) for e in state["history"]]
        self.earlier = [Evaluation.read(e) for e in state["earlier"]]
        nearest = state["nearest"]
        self.nearest = {k: (Evaluation.read(nearest[str(k)]), weights[k]) for k in self.kept if str(k) in nearest}

    @staticmethod
    def _distance(level: int, evaluation: Evaluation) -> float:
        return abs(evaluation.miou - level / 100)

    @staticmethod
    def _brackets(level: int, low: Evaluation, high: Evaluation) -> bool:
        return min(low.miou, high.miou) <= level / 100 <= max(low.miou, high.miou)


def baseline(pixels: Sequence[int]) -> float:
    """Return the mean IoU of answering class 0 everywhere, 0..1.

    Args:
        pixels: how many there are of each class, in truth.
    """
    present = sum(number > 0 for number in pixels)
    return pixels[0] / sum(pixels) / present if present else float("nan")


def trivial(pixels: Sequence[int]) -> float:
    """Return the highest mean IoU of an answer that looks at no image: one class everywhere, or a die for each pixel.

    >>> round(trivial([60, 40]), 3), round(trivial([95, 5]), 3)
    (0.33, 0.475)

    Args:
        pixels: how many there are of each class, in truth.
    """
    shares = _shares(pixels)
    classes = range(len(shares))
    answers = [[float(k == one) for k in classes] for one in classes] + [[1 / len(shares) for _ in classes]]
    return max(_answered(shares, answer) for answer in answers)


@dataclass(frozen=True, slots=True)
class Start:
    """First weights of a training, by what a network with them answers, and the levels that it gives from there."""

    initial_answer: InitialAnswer
    levels: tuple[int, ...]


def starts(settings: Train, pixels: Callable[[], Sequence[int]]) -> tuple[Start, ...]:
    """Return the starts of a training, one after the other: see `bench.planning.sections.Train`.

    Args:
        settings: of the training.
        pixels: how many validation pixels there are of each class; asked only where that decides.
    """
    if settings.initial_answer != "auto":
        return (Start(settings.initial_answer, settings.levels),)
    named = [level for level in settings.levels if level != BEST]
    highest = trivial(pixels()) if named else 0.0
    low = tuple(level for level in named if level / 100 <= highest)
    others = tuple(level for level in settings.levels if level not in low)
    both: tuple[Start, ...] = (Start("foreground", low), Start("random", others))
    return tuple(start for start in both if start.levels)


def _answered(shares: Sequence[float], answer: Sequence[float]) -> float:
    """Return the mean IoU, over the classes present, of an answer that gives each class with a probability."""
    ious = [share * p / (share + p - share * p) for share, p in zip(shares, answer, strict=True) if share]
    return sum(ious) / len(ious) if ious else float("nan")


def _shares(pixels: Sequence[int]) -> list[float]:
    return [number / max(1, sum(pixels)) for number in pixels]
