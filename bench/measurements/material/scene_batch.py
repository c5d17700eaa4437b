"""Scenes whose evidence is known, a batch at a time, and all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from segcam.datasets.drawn.cues import CUES
from segcam.datasets.scenes_cues import CueSplit
from segcam.methods import Method
from segcam.probe.targets import Target
from segcam.samples import IGNORE, Batch
from segcam.scoring.reference import Scenery

ANIMAL = "animal"
REGIONS = (*CUES, ANIMAL)
"""What energy is measured on: the evidence of each cue, whether it decides or not, and the whole animal."""
ORACLE = "evidence_oracle"
SUMMARY = "the pixels that decide the class, averaged onto the layer's grid"


@dataclass(frozen=True)
class SceneBatch:
    """A batch of scenes and all that is known of them.

    Attributes:
        rows: their indices in the split; they are the same images whichever cue decides.
        batch: the scenes.
        classes: the class of each one's animal.
        regions: the pixels of each of `REGIONS` as foreground and all others as background. The animal's outline is
            left out; evidence has no border, for it is known to the pixel.
        swapped: for each cue the same scenes with this cue the other way.
    """

    rows: tuple[int, ...]
    batch: Batch
    classes: tuple[int, ...]
    regions: dict[str, Scenery]
    swapped: dict[str, Batch]

    @classmethod
    def of(cls, images: CueSplit, rows: Sequence[int], device: torch.device) -> SceneBatch:
        """Draw scenes, and each again with every cue the other way."""
        batch = Batch.of([images[i] for i in rows], device)
        counterparts = [images.known(i) for i in rows]
        swapped = {cue: Batch.of([scene[cue] for scene in counterparts], device) for cue in CUES}
        animal = animal_of(batch.masks)
        sides = {ANIMAL: (animal, batch.masks == 0)}
        for cue, changed in swapped.items():
            assert changed.evidence is not None  # they are made of nothing else
            sides[cue] = (changed.evidence, ~changed.evidence)
        luminance = batch.luminance()
        return cls(
            rows=tuple(rows),
            batch=batch,
            classes=classes_of(batch.masks),
            regions={name: Scenery(luminance, *sides[name], ids=batch.ids) for name in REGIONS},
            swapped=swapped,
        )

    def targets(self, targets: Sequence[Target]) -> list[Target]:
        """Return targets about each image's own class."""
        return [replace(target, class_id=self.classes) for target in targets]

    def oracle(self, cue: str) -> Method:
        """Return the map that knows the evidence, as a control: what a perfect explanation scores on a layer's grid.

        It is no strict bound, for all energy in the one cell that holds most evidence would score more.
        """
        evidence = self.regions[cue]
        return Method(
            name=ORACLE,
            label="Evidence oracle",
            summary=SUMMARY,
            source="segcam",
            control=lambda reference: evidence.on(reference.grid, reference.placement).foreground_share,
            passes=0,
        )


def animal_of(masks: UInt8[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """Return the pixels of the animal, of whichever class, without its outline."""
    return (masks != 0) & (masks != IGNORE)


def classes_of(masks: UInt8[Tensor, "b h w"]) -> tuple[int, ...]:
    """Return the class of each image's animal, 1 or 2."""
    return tuple(2 if (mask == 2).any() else 1 for mask in masks)
