"""Target: which pixels, and which score of them, an explanation is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import at_least_float32, tensor, whole
from segcam.errors import InputError, ProbeError, unknown
from segcam.probe.targets.classes import ClassId, class_ids, indices
from segcam.probe.targets.explained import Explained
from segcam.probe.targets.outputs import OUTPUTS, Output
from segcam.probe.targets.pixels import PIXEL_SETS, SCORES, DenseOutput, predicted, rival_classes, two_sided
from segcam.scoring.grids import Placement, to_grid, upsample

_NAME = re.compile(r"(?P<pixels>[^:@()]*)(?:\((?P<distance>[0-9]+)\))?(?::(?P<score>[^:@]*))?(?:@(?P<at>.*))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A set of pixels x a score: what is differentiated.

    The mean of the score over the set is taken, not the sum, so that its scale does not depend on the set's size.

    Attributes:
        class_id: the class explained, one for all images or one for each: an index (of Python, numpy or torch), or its
            name, which the probe looks up in the network's own names.
        pixels: name of the pixel set: 'best_pixel', 'predicted', 'truth' (needs masks), 'boundary' or 'image'.
        score: name of the score: 'logit', 'margin' (the class logit minus the best other one), 'contrast' (minus the
            best other one but the background's), 'logprob' or 'rival' (the best other logit: what speaks for another
            class at the same pixels).
        at: where pixels are chosen and scored: on the logits upsampled bilinearly to the input ('input', as the
            paper's figure does) or at the network's own output resolution ('output'). They give different pixels.
        distance: for 'boundary', how far from the predicted outline it reaches, in pixels of the resolution that `at`
            names; None for 2 % of the diagonal there, rounded, and at least 1.
        output: what the numbers of the network's output mean, see `segcam.probe.targets.outputs.Output`; None for what
            the probe finds out.
        argument: whether the logits are what went into the network's last softmax or sigmoid, and not made of its
            probabilities. The probe sees to it.
        placement: where the network's output lies on the input, in pixels, for networks without padding, whose output
            is its middle; None for one that spans it. The probe sees to it.

    Raises:
        InputError: the pixel set, the score or the meaning is unknown, the class is neither an index nor a name, or the
            distance means nothing to the set.

    >>> Target(2, "predicted", "margin").name, Target(2, "boundary", distance=5).name
    ('predicted:margin', 'boundary(5):logit')
    """

    class_id: ClassId | tuple[ClassId, ...] = 1
    pixels: str = "best_pixel"
    score: str = "logit"
    at: Literal["input", "output"] = "input"
    distance: int | None = None
    output: Output | None = None
    argument: bool = False
    placement: Placement | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_id", class_ids(self.class_id))
        if not isinstance(self.pixels, str):
            raise InputError(
                f"a pixel set is a name, one of {', '.join(PIXEL_SETS)}, not {type(self.pixels).__name__}; to explain "
                "pixels of your own take Target(class_id, 'truth') and pass masks that are class_id there and 255 "
                "elsewhere"
            )
        if self.at not in ("input", "output"):
            raise unknown("resolution of a target", str(self.at), ("input", "output"))
        if self.output is not None and self.output not in OUTPUTS:
            raise unknown("meaning of an output", str(self.output), OUTPUTS)
        if self.pixels not in PIXEL_SETS:
            raise unknown("pixel set", self.pixels, PIXEL_SETS)
        if not isinstance(self.score, str) or self.score not in SCORES:
            raise unknown("score", str(self.score), SCORES)
        if self.distance is not None:
            object.__setattr__(self, "distance", whole(self.distance, f"the distance of pixel set '{self.pixels}'"))
        if self.distance is not None and not PIXEL_SETS[self.pixels].takes_distance:
            takers = ", ".join(name for name, pixel_set in PIXEL_SETS.items() if pixel_set.takes_distance)
            raise InputError(f"pixel set '{self.pixels}' takes no distance, only {takers} does: leave it out")
        if self.distance is not None and self.distance < 1:
            raise InputError(
                f"the distance of pixel set '{self.pixels}' is {self.distance}: at least 1 pixel is needed"
            )

    @property
    def name(self) -> str:
        """Return the name in tables: pixel set, its distance where one was chosen, and score: 'best_pixel:logit'."""
        distance = "" if self.distance is None else f"({self.distance})"
        return f"{self.pixels}{distance}:{self.score}" + ("" if self.at == "input" else "@output")

    @classmethod
    def parse(cls, name: str, class_id: int | tuple[int, ...] = 1) -> Target:
        """Read a target from its name: 'predicted', 'boundary(5):logprob' or 'best_pixel:logit@output'.

        Raises:
            InputError: the pixel set, the score or the place is unknown, or the distance means nothing to the set.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise unknown("pixel set", name.partition(":")[0], PIXEL_SETS)
        pixels, distance, score, at = match.groups()
        if at not in (None, "", "input", "output"):
            raise unknown("resolution of a target", at, ("input", "output"))
        place: Literal["input", "output"] = "output" if at == "output" else "input"
        return cls(class_id, pixels, score or "logit", place, None if distance is None else int(distance))

    def of(self, rows: slice) -> Target:
        """Return the target of some images of the batch: their classes, where each image has its own."""
        return replace(self, class_id=self.class_id[rows]) if isinstance(self.class_id, tuple) else self

    def named(self, names: Mapping[str, int]) -> Target:
        """Return the target with indices for the names of classes.

        Raises:
            ProbeError: a name is none of the network's; the message lists those.
        """
        return replace(self, class_id=indices(self.class_id, names))

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
            masks: the true class of each pixel of the input, 255 where it belongs to none; only 'truth' looks at them.
            valid: the pixels of the input that belong to the picture; None for all. No others are chosen.

        Raises:
            ProbeError: the class does not exist, the logits are not finite, or masks are needed and are not there or
                not of the input's size.
        """
        output = self.dense(logits, size, None)
        with torch.no_grad():
            _check_finite(output.logits)
            output = replace(output, masks=self._masks(masks, output.logits, size), distance=self.distance)
            if valid is not None:
                output = replace(output, covered=_both(output.covered, self._valid(valid, output.logits, size)))
            pixels = PIXEL_SETS[self.pixels].choose(output)
            hits = (pixels & predicted(output)).flatten(1).any(1)
        ids = output.class_ids
        return Explained(self._mean(output, pixels), pixels, pixels.flatten(1).sum(1), hits, ids)

    def score_again(
        self,
        logits: Float[Tensor, "b k h w"],
        size: tuple[int, int],
        chosen: Bool[Tensor, "b H W"],
        class_ids: Int[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """Score pixels that were chosen before, on the logits of changed images or of a changed network.

        The pixels and their classes are `Explained.chosen` and `Explained.class_ids` of the unchanged images.

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
            _check_finite(output.logits)
            hits = (known.chosen & predicted(output)).flatten(1).any(1)
        return replace(known, scores=self._mean(output, known.chosen), predicted=hits)

    def rivals(
        self, logits: Float[Tensor, "b k h w"], size: tuple[int, int], explained: Explained
    ) -> Int[Tensor, " b"]:
        """Return for each image the best other class at most of its explained pixels; -1 where there are none."""
        output = self.dense(logits, size, explained.class_ids)
        best = rival_classes(output).flatten(1)
        counts = torch.zeros(output.logits.shape[:2], dtype=torch.long, device=logits.device)
        counts.scatter_add_(1, best, explained.chosen.flatten(1).long())
        return counts.argmax(1).masked_fill(explained.pixels == 0, -1)

    def dense(
        self, logits: Float[Tensor, "b k h w"], size: tuple[int, int], class_ids: Int[Tensor, " b"] | None
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
        ids = self._class_ids(logits) if class_ids is None else class_ids
        overlapping = self.output in ("multilabel", "multilabel-probabilities") and not single
        odds = single or (self.output in ("probabilities", "log-probabilities") and not self.argument)
        return DenseOutput(logits, ids, odds=odds, overlapping=overlapping, covered=covered)

    def _mean(self, output: DenseOutput, chosen: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
        weights = chosen.to(output.logits.dtype) / chosen.flatten(1).sum(1).clamp(min=1).view(-1, 1, 1)
        return (SCORES[self.score](output) * weights).flatten(1).sum(1)

    def _masks(
        self, masks: Int[Tensor, "b H W"] | None, logits: Float[Tensor, "b k h w"], size: tuple[int, int]
    ) -> Int[Tensor, "b H W"] | None:
        if not PIXEL_SETS[self.pixels].needs_masks:
            return None
        if masks is None:
            raise ProbeError(
                f"target '{self.name}' looks at the true classes: pass masks=batch.masks, class indices (b, h, w)"
            )
        shape, labels = (len(logits), *size), tensor(masks, "masks")
        if tuple(labels.shape) != shape or labels.is_floating_point() or labels.dtype == torch.bool:
            raise ProbeError(
                f"masks are {labels.dtype} {tuple(labels.shape)}: target '{self.name}' needs class indices of an "
                f"integer type, 255 to ignore, at the input's resolution, {shape}"
            )
        return labels.to(logits.device, torch.long)

    def _valid(
        self, valid: Bool[Tensor, "b H W"], logits: Float[Tensor, "b k h w"], size: tuple[int, int]
    ) -> Bool[Tensor, "b h w"]:
        shape, grid = (len(logits), *size), (int(logits.shape[2]), int(logits.shape[3]))
        if tuple(valid.shape) != shape or valid.dtype != torch.bool:
            raise ProbeError(f"valid regions are {valid.dtype} {tuple(valid.shape)}: bool {shape} is needed")
        valid = valid.to(logits.device)
        if grid == size:
            return valid
        share = to_grid(valid[:, None].double(), grid)[:, 0]
        return share >= share.amax((1, 2), keepdim=True).clamp(max=0.5)  # a thin picture fills half of no pixel

    def _class_ids(self, logits: Float[Tensor, "b k h w"]) -> Int[Tensor, " b"]:
        batch, classes = logits.shape[:2]
        ids = self.class_id if isinstance(self.class_id, tuple) else (self.class_id,) * batch
        if len(ids) != batch:
            raise ProbeError(f"the target names {len(ids)} classes for {batch} images: give one, or one an image")
        for one in ids:
            if isinstance(one, str):
                raise ProbeError(f"class {one!r} is a name: give its index, or probe with Probe(..., classes=[...])")
            if not 0 <= one < classes:
                raise ProbeError(f"the target's class {one} does not exist: the network has classes 0 to {classes - 1}")
        return torch.tensor(ids, device=logits.device)


def _both(one: Bool[Tensor, "h w"] | None, other: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    return other if one is None else one & other


def _check_finite(logits: Float[Tensor, "b k h w"]) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise ProbeError("the network's logits are not finite: its weights or the input hold NaN or infinity")
