"""Target: which pixels, and which score of them, an explanation is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from segcam.arrays import at_least_float32, booleans, whole
from segcam.classes import Classes, class_ids, label
from segcam.errors import InputError, ProbeError, unknown
from segcam.probe.network.elements import OVERLAPPING, Element
from segcam.probe.targets import names
from segcam.probe.targets.classes import indices
from segcam.probe.targets.dense import ClassIndices, DenseOutput, membership, of_region, predicted, two_sided
from segcam.probe.targets.explained import Explained
from segcam.probe.targets.given import check_finite, class_indices, indices_of, true_classes, valid_cells
from segcam.probe.targets.outputs import Output, told
from segcam.probe.targets.pixels import PIXEL_SETS, PixelSet
from segcam.probe.targets.regions import Mask, Region
from segcam.probe.targets.scores import SCORES, own_classes, rival_classes
from segcam.scoring.grids import Placement, upsample


@dataclass(frozen=True, slots=True)
class Target:
    """A set of pixels x a score: what is differentiated.

    The mean of the score over the set is taken, not the sum, so that its scale does not depend on the set's size.

    Attributes:
        class_id: the class explained: an index (of Python, numpy or torch), or its name, which the probe looks up in
            the network's own names; a set of these, `{8, 12}`, counts as one class; a list has one for each image.
        pixels: name of the pixel set, see `segcam.probe.targets.pixels.PIXEL_SETS`: 'best_pixel', 'predicted', 'image';
            'truth', 'hit', 'false_positive', 'false_negative', 'rejection' (need masks); 'boundary'; 'border' between
            two classes;
            'largest', 'smallest' and 'instance', connected parts of the prediction, and 'largest_truth' and so on, of
            the true class. Or a region of one's own: a mask as tensor, array or PIL image, a `Region`, or a list of
            these, one for each image.
        score: name of the score: 'logit', 'margin' (the class logit minus the best other one), 'contrast' (minus the
            best other one but the background's), 'logprob', 'rival' (the best other logit: what speaks for another
            class at the same pixels) or 'pair' (minus that of the class `other`).
        at: where pixels are chosen and scored: on the logits upsampled bilinearly to the input ('input', as the
            paper's figure does) or at the network's own output resolution ('output'). They give different pixels.
        distance: for 'boundary', how far from the predicted outline it reaches, in pixels of the resolution that `at`
            names; None for 2 % of the diagonal there, rounded, and at least 1.
        output: what the numbers of the network's output mean, see `segcam.probe.targets.outputs.Output`; None for what
            the probe finds out. Anything else than one of these names is an `element`.
        argument: whether the logits are what went into the network's last softmax or sigmoid, and not made of its
            probabilities. The probe sees to it.
        placement: where the network's output lies on the input, in pixels, for networks without padding, whose output
            is its middle; None for one that spans it. The probe sees to it.
        element: which part of what the network returns is its output, see `segcam.probe.network.elements`; None for
            the tensor itself, 'out' or 'logits'.
        point: for 'instance' and 'instance_truth', row and column of a pixel of the input.
        other: for 'border' and 'pair', the other class, or a set of classes, by the network's numbers.
        true_class: the class explained as masks have it, where they number classes otherwise than the network; None
            where they do not.

    Raises:
        InputError: the pixel set, the score or the meaning is unknown, the class is neither an index nor a name, the
            region is none, or a parameter means nothing to the set or is missing.

    >>> Target(2, "predicted", "margin").name, Target(2, "boundary", distance=5).name
    ('predicted:margin', 'boundary(5):logit')
    >>> Target({8, 12}, "instance", point=(40, 62)).name, Target(1, "border", "pair", other=2).name
    ('instance(40,62):logit', 'border(2):pair')
    """

    class_id: Classes | tuple[Classes, ...] = 1
    pixels: str | Region | Mask | Sequence[Region | Mask] = "best_pixel"
    score: str = "logit"
    at: Literal["input", "output"] = "input"
    distance: int | None = None
    output: Output | Element | None = None
    argument: bool = False
    placement: Placement | None = None
    element: Element | None = None
    point: tuple[int, int] | None = None
    other: Classes | None = None
    true_class: Classes | tuple[Classes, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_id", class_ids(self.class_id))
        if self.true_class is not None:
            object.__setattr__(self, "true_class", class_ids(self.true_class, "the class that masks have"))
        if self.at not in ("input", "output"):
            raise unknown("resolution of a target", str(self.at), ("input", "output"))
        output, element = told(self.output, self.element)
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "element", element)
        self._read("pixels", names.pixels_of(self.pixels) if isinstance(self.pixels, str) else Region.of(self.pixels))
        if isinstance(self.pixels, str) and self.pixels not in PIXEL_SETS:
            raise names.no_pixel_set(self.pixels)
        if isinstance(self.score, str):
            self._read("score", names.score_of(self.score))
        if not isinstance(self.score, str) or self.score not in SCORES:
            raise unknown("score", str(self.score), SCORES)
        self._check_parameters()

    def _read(self, name: str, found: names.Named | Region) -> None:
        """Take over a pixel set or a score, and what its name says beside it."""
        fields = found.fields if isinstance(found, names.Named) else {}
        for key, value in fields.items():
            if getattr(self, key) not in (None, value):
                raise InputError(f"the target says two for {key}: {value!r} and {getattr(self, key)!r}")
            object.__setattr__(self, key, value)
        object.__setattr__(self, name, found.what if isinstance(found, names.Named) else found)

    def _check_parameters(self) -> None:
        """See that the set and the score have what they take, and nothing else."""
        what = f"region '{self.region.name}'" if self.region else f"pixel set '{self.pixels}'"
        takes = self.pixel_set.takes if self.pixel_set else None
        given: dict[str, object] = {key: getattr(self, key) for key in ("distance", "point", "other")}
        wanted = {takes, "other" if self.score == "pair" else None}
        for key, value in given.items():
            if value is not None and key not in wanted:
                takers = [name for name, one in PIXEL_SETS.items() if one.takes == key]
                takers += ["score 'pair'"] if key == "other" else []
                raise InputError(f"{what} takes no {_CALLED[key]}, only {', '.join(takers)} does: leave it out")
        if self.distance is not None:
            object.__setattr__(self, "distance", whole(self.distance, f"the distance of {what}"))
            if self.distance < 1:
                raise InputError(f"the distance of {what} is {self.distance}: at least 1 pixel is needed")
        if takes == "point":
            object.__setattr__(self, "point", _point(self.point, what))
        if "other" in wanted:
            self._check_other(what if takes == "other" else "score 'pair'")

    def _check_other(self, what: str) -> None:
        if self.other is None:
            raise InputError(f"{what} compares two classes: name the other one, Target(1, ..., other=2)")
        other = class_ids(self.other, f"the other class of {what}")
        if isinstance(other, tuple):
            raise InputError(f"the other class of {what} is a list: one class, or a set, for all images is needed")
        object.__setattr__(self, "other", other)

    @property
    def meaning(self) -> Output | None:
        """What the numbers of the output are said to mean, or found to; None where nothing is known."""
        return told(self.output)[0]

    @property
    def region(self) -> Region | None:
        """The region of one's own that is explained; None for a pixel set."""
        return self.pixels if isinstance(self.pixels, Region) else None

    @property
    def pixel_set(self) -> PixelSet | None:
        """The pixel set that is explained; None for a region of one's own."""
        return PIXEL_SETS[self.pixels] if isinstance(self.pixels, str) else None

    @property
    def name(self) -> str:
        """Return the name in tables: pixel set and score, each with what it was told: 'boundary(5):logit'."""
        fields = {"distance": self.distance, "point": self.point, "other": self.other}
        pixels = self.region.name if self.region else names.of_set(str(self.pixels), fields)
        apart = self.score == "pair" and self.pixels != "border"
        score = f"{self.score}({label(self.other)})" if apart else self.score  # type: ignore[arg-type]
        return f"{pixels}:{score}" + ("" if self.at == "input" else "@output")

    @classmethod
    def parse(cls, name: str, class_id: Classes | tuple[Classes, ...] = 1) -> Target:
        """Read a target from its name: 'predicted', 'boundary(5):logprob' or 'instance(40,62):logit@output'.

        Raises:
            InputError: the pixel set, the score or the place is unknown, or what stands in parentheses is not what it
                takes.
        """
        pixels, score, at = names.split(name)
        if at not in ("", "input", "output"):
            raise unknown("resolution of a target", at, ("input", "output"))
        return cls(class_id, pixels, score or "logit", "output" if at == "output" else "input")

    def of(self, rows: slice | Sequence[int] | Int[Tensor, " n"]) -> Target:
        """Return the target of some images of the batch: their classes and regions, where each image has its own."""
        some = rows.tolist() if isinstance(rows, Tensor) else rows
        region = self.region.rows(some) if self.region else self.pixels
        true_class = None if self.true_class is None else _of(self.true_class, some)
        return replace(self, class_id=_of(self.class_id, some), pixels=region, true_class=true_class)

    def named(self, known: Mapping[str, int]) -> Target:
        """Return the target with indices for the names of classes.

        Raises:
            ProbeError: a name is none of the network's; the message lists those.
        """
        other = None if self.other is None else indices(self.other, known)
        return replace(self, class_id=indices(self.class_id, known), other=other)  # type: ignore[arg-type]

    def explain(
        self,
        logits: Float[Tensor, "b k h w"],
        size: tuple[int, int],
        masks: Int[Tensor, "b H W"] | None = None,
        valid: Bool[Tensor, "b H W"] | None = None,
    ) -> Explained:
        """Choose the pixels and score them.

        Args:
            logits: the network's, `logits_of` its output; a single channel is that of class 1 against 0 for class 0.
            size: height and width of the input, in pixels.
            masks: the true class of each pixel of the input, 255 where it belongs to none, for sets that look at them.
            valid: the pixels of the input that belong to the picture; None for all. No others are chosen.

        Raises:
            ProbeError: the class does not exist, the logits are not finite, masks are needed and are not there or
                not of the input's size, or a region or a point lies outside of the input.
        """
        output = self.dense(logits, size, None)
        with torch.no_grad():
            check_finite(output.logits)
            if valid is not None:
                regions = booleans(valid, "valid regions").to(logits.device)
                cells = valid_cells(regions, len(logits), size, output.grid, output.placement)
                output = replace(output, covered=cells if output.covered is None else output.covered & cells)
            found = self._chosen(output, size, masks)
            signs = None if found.dtype == torch.bool else found
            pixels = found if signs is None else found != 0
            hits = (pixels & predicted(output)).flatten(1).any(1)
        ids = output.class_ids
        return Explained(self._mean(output, found), pixels, pixels.flatten(1).sum(1), hits, ids, signs)

    def _chosen(
        self, output: DenseOutput, size: tuple[int, int], masks: Int[Tensor, "b H W"] | None
    ) -> Bool[Tensor, "b h w"] | Int8[Tensor, "b h w"]:
        images, device = len(output.logits), output.logits.device
        pixel_set = self.pixel_set
        if pixel_set is None:
            return of_region(Region.of(self.pixels).on(size, images).to(device), output)
        if self.point is not None and not all(0 <= at < side for at, side in zip(self.point, size, strict=True)):
            raise ProbeError(
                f"the point {self.point} of target '{self.name}' lies outside of the input of {size[0]} x {size[1]} "
                "pixels: row and column count from 0, at the input's size"
            )
        if pixel_set.needs_masks:
            true_ids = None if self.true_class is None else indices_of(self.true_class, images).to(device)
            labels = true_classes(masks, self.name, images, size).to(device)
            output = replace(output, masks=labels, true_ids=true_ids)
        return pixel_set.choose(replace(output, distance=self.distance, point=self.point))

    def score_again(
        self,
        logits: Float[Tensor, "b k h w"],
        size: tuple[int, int],
        chosen: Bool[Tensor, "b H W"] | Int8[Tensor, "b H W"],
        class_ids: ClassIndices,
    ) -> Float[Tensor, " b"]:
        """Score pixels that were chosen before, on the logits of changed images or of a changed network.

        The pixels and their classes are `Explained.weights` and `Explained.class_ids` of the unchanged images.

        Returns:
            The mean score over each set; 0 where it is empty.
        """
        return self._mean(self.dense(logits, size, class_ids), chosen)

    def explain_again(self, logits: Float[Tensor, "b k h w"], size: tuple[int, int], known: Explained) -> Explained:
        """Score pixels that `explain` chose for the unchanged images and network; see `score_again`.

        Returns:
            The same pixels with their scores now, and whether the class is predicted at any of them now.

        Raises:
            ProbeError: the logits are not finite, or the pixels are of other images or of another resolution.
        """
        output = self.dense(logits, size, known.class_ids)
        shape, given = (len(logits), *output.logits.shape[2:]), tuple(known.chosen.shape)
        if given != shape:
            raise ProbeError(
                f"the given pixels are {given}, and target '{self.name}' needs {shape}: give what the same target "
                "chose in the same images"
            )
        with torch.no_grad():
            check_finite(output.logits)
            hits = (known.chosen & predicted(output)).flatten(1).any(1)
        return replace(known, scores=self._mean(output, known.weights), predicted=hits)

    def rivals(
        self, logits: Float[Tensor, "b k h w"], size: tuple[int, int], explained: Explained, *, own: bool = False
    ) -> Int[Tensor, " b"]:
        """Return for each image the best other class at most of its explained pixels; -1 where there are none.

        With `own` it is the best class of those that count as the one explained.
        """
        output = self.dense(logits, size, explained.class_ids)
        best = (own_classes(output) if own else rival_classes(output)).flatten(1)
        counts = torch.zeros(output.logits.shape[:2], dtype=torch.long, device=logits.device)
        counts.scatter_add_(1, best, explained.chosen.flatten(1).long())
        return counts.argmax(1).masked_fill(explained.pixels == 0, -1)

    def dense(
        self, logits: Float[Tensor, "b k h w"], size: tuple[int, int], class_ids: ClassIndices | None
    ) -> DenseOutput:
        """Return what pixels are chosen from and scored: the logits at the resolution that the target names.

        Args:
            logits: the network's, `logits_of` its output.
            size: height and width of the input, in pixels.
            class_ids: the class explained in each image; None for the target's own.

        Raises:
            ProbeError: the class does not exist.
        """
        logits = at_least_float32(logits)
        single = logits.shape[1] == 1
        logits = two_sided(logits)
        covered = None
        if self.at == "input" and logits.shape[2:] != size:
            if self.placement is not None:
                grid = (int(logits.shape[2]), int(logits.shape[3]))
                covered = self.placement.covered(grid, size).to(logits.device)
            logits = upsample(logits, size, self.placement)
        overlapping = self.output in OVERLAPPING and not single
        ids = class_indices(self.class_id, logits, overlapping=overlapping) if class_ids is None else class_ids
        odds = single or (self.output in ("probabilities", "log-probabilities") and not self.argument)
        return DenseOutput(
            logits,
            ids,
            odds=odds,
            overlapping=overlapping,
            covered=covered,
            placement=self.placement if self.at == "output" else None,
            other=self._other(logits, ids, overlapping=overlapping),
            size=size,
        )

    def _other(self, logits: Float[Tensor, "b k h w"], ids: ClassIndices, *, overlapping: bool) -> ClassIndices | None:
        if self.other is None:
            return None
        other = class_indices(self.other, logits, overlapping=overlapping)
        both = membership(ids, logits.shape[1]) & membership(other, logits.shape[1])
        if bool(both.any()):
            raise ProbeError(
                f"target '{self.name}' compares a class with itself: name another one than class "
                f"{int(both.nonzero()[0, 1])} as other"
            )
        return other

    def _mean(self, output: DenseOutput, chosen: Bool[Tensor, "b h w"] | Int8[Tensor, "b h w"]) -> Float[Tensor, " b"]:
        pixels = chosen if chosen.dtype == torch.bool else chosen != 0
        weights = chosen.to(output.logits.dtype) / pixels.flatten(1).sum(1).clamp(min=1).view(-1, 1, 1)
        return (SCORES[self.score](output) * weights).flatten(1).sum(1)


_CALLED = {"distance": "distance", "point": "point", "other": "other class"}


def _of(classes: Classes | tuple[Classes, ...], rows: slice | Sequence[int]) -> Classes | tuple[Classes, ...]:
    if not isinstance(classes, tuple):
        return classes
    return classes[rows] if isinstance(rows, slice) else tuple(classes[row] for row in rows)


def _point(given: object, what: str) -> tuple[int, int]:
    values = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else given
    if not isinstance(values, (list, tuple)):
        raise InputError(f"{what} is the part at a point: name it, Target(1, ..., point=(row, column))")
    numbers = [whole(one, f"the point of {what}") for one in values]
    if len(numbers) != 2 or min(numbers) < 0:
        raise InputError(f"the point of {what} is {values!r}: a row and a column, from 0, are needed")
    return numbers[0], numbers[1]
