"""What the source paper says, as data: each claim's cells, contrast, test and family, written before any result.

Source: Park, Lee, Lee, Visualizing Decision-Making in Semantic Segmentation Architectures Using Grad-CAM. The
sentences are ours, not quotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UNET, SEGFORMER, VIT = "unet", "segformer", "vit"
HIGHEST = 0
"""Stands for the highest level that a model reached: the paper has one SegFormer, of 90 %."""
PAPER_LEVELS = (30, 50, 70, 90)
EVERY: tuple[str, ...] = ()
"""Stands for all layers of a model at its main probe point."""
SMALLEST = {
    "edge_alignment": 0.05,
    "energy_gain": 0.05,
    "background_ratio": 0.05,
    "spread": 0.02,
    "edge_thickness": 1.0,
    "miou": 0.02,
}
"""The smallest effect of interest in each metric's unit: what a reader of maps would hardly see is no finding."""
Test = Literal["wilcoxon", "page", "sizes"]


@dataclass(frozen=True)
class Selection:
    """Layers of a model at levels: every pair of the two. `layers` are labels, or `EVERY`."""

    model: str
    layers: tuple[str, ...]
    levels: tuple[int, ...] = (HIGHEST,)


@dataclass(frozen=True)
class Group:
    """Selection whose maps are averaged image by image, but for those in `but`."""

    name: str
    cells: tuple[Selection, ...]
    but: tuple[Selection, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """One half of a claim: a number that should lie on one side of `null`, by `smallest` or more.

    Attributes:
        part: what is claimed, in words.
        metric: the score compared; 'miou' for tests at other sizes.
        groups: one (against `null`), two (the first less the second, by Wilcoxon), or several in order (by Page: the
            change of the fitted line from the first to the last).
        test: 'wilcoxon' or 'page' on each image's mean over seeds, or 'sizes': mean IoU at other test sizes less that
            at the training size, of the first group's model less the second's, if there is one.
        side: 1 where the claim says above `null`, -1 below.
        null: what it is compared with.
        smallest: the smallest effect of interest.
        counts: False for a control that is shown beside the claim and does not decide on it.
    """

    part: str
    metric: str
    groups: tuple[Group, ...]
    test: Test
    side: Literal[1, -1]
    null: float = 0.0
    smallest: float = 0.0
    counts: bool = True


@dataclass(frozen=True)
class Claim:
    """A claim: supported where all contrasts that count are. Its p-values are corrected within its family."""

    id: str
    sentence: str
    contrasts: tuple[Contrast, ...]
    about_levels: bool = False

    @property
    def family(self) -> str:
        """The contrasts that are corrected together: those of the claim."""
        return self.id


def _unet(layer: str, *levels: int) -> Group:
    return Group(f"{layer} at {', '.join(map(str, levels))} %", (Selection(UNET, (layer,), levels),))


def _segformer(layer: str) -> Group:
    return Group(layer, (Selection(SEGFORMER, (layer,)),))


def _trend(claim: str, metric: str, groups: tuple[Group, ...], side: Literal[1, -1]) -> Contrast:
    return Contrast(claim, metric, groups, "page", side, smallest=SMALLEST[metric])


def _pair(claim: str, metric: str, groups: tuple[Group, ...], side: Literal[1, -1], *, counts: bool = True) -> Contrast:
    return Contrast(claim, metric, groups, "wilcoxon", side, smallest=SMALLEST[metric], counts=counts)


_LEVELS = tuple(_unet("Encoder 1_2", level) for level in PAPER_LEVELS)
_DEEPER = tuple(_unet(f"Encoder {stage}_2", 90) for stage in range(1, 6))
_STAGES = tuple(_segformer(f"Mix-FFN dw-conv {stage}_1") for stage in range(1, 5))
_BLOCKS = tuple(f"{stage}_{block}" for stage in range(1, 5) for block in (1, 2))
_NAMED = (Selection(UNET, ("Encoder 5_2",), (50, 70, 90)), Selection(UNET, ("Decoder 2_2",), (50, 70)))
_NAMED_ONE_BY_ONE = tuple(_unet(cells.layers[0], level) for cells in _NAMED for level in cells.levels)
_ALL = Selection(UNET, EVERY, PAPER_LEVELS)
_EARLY_FFN = Group(
    "Mix-FFN dw-conv 1_1 and 1_2", (Selection(SEGFORMER, ("Mix-FFN dw-conv 1_1", "Mix-FFN dw-conv 1_2")),)
)
_SEGFORMER, _VIT = (Group(model, (Selection(model, EVERY),)) for model in (SEGFORMER, VIT))

CLAIMS = (
    Claim(
        "C1",
        "The better a U-Net is trained, the more detail its first encoder layer draws.",
        (_trend("edge alignment of Encoder 1_2 rises with the level", "edge_alignment", _LEVELS, 1),),
        about_levels=True,
    ),
    Claim(
        "C2",
        "Deeper layers of a U-Net capture objects, not edges.",
        (
            _trend("edge alignment falls from Encoder 1_2 to 5_2", "edge_alignment", _DEEPER, -1),
            _trend("energy gain rises from Encoder 1_2 to 5_2", "energy_gain", _DEEPER, 1),
        ),
    ),
    Claim(
        "C3",
        "Deep layers of an under-trained U-Net still look at low-level features.",
        tuple(
            _pair(
                f"edge alignment of {layer} is higher at 30 than at 90 %",
                "edge_alignment",
                (_unet(layer, 30), _unet(layer, 90)),
                1,
            )
            for layer in ("Encoder 4_2", "Encoder 5_2")
        ),
        about_levels=True,
    ),
    Claim(
        "C4",
        "Encoder 5_2 (at 50, 70 and 90 %) and Decoder 2_2 (at 50 and 70 %) look at the background.",
        (
            *(
                Contrast(
                    f"background ratio of {group.name} is above 0.5",
                    "background_ratio",
                    (group,),
                    "wilcoxon",
                    1,
                    null=0.5,
                    smallest=SMALLEST["background_ratio"],
                )
                for group in _NAMED_ONE_BY_ONE
            ),
            _pair(
                "their background ratio is above that of the other cells",
                "background_ratio",
                (Group("the named cells", _NAMED), Group("all other layers and levels", (_ALL,), but=_NAMED)),
                1,
            ),
        ),
        about_levels=True,
    ),
    Claim(
        "C5",
        "Attention gives a SegFormer a broader view of the scene.",
        tuple(
            _pair(
                f"block {block}: maps after attention are more spread than before",
                "spread",
                (_segformer(f"After attention {block}"), _segformer(f"Before attention {block}")),
                1,
            )
            for block in _BLOCKS
        ),
    ),
    Claim(
        "C6",
        "The convolutions of Mix-FFN go from low-level to high-level features.",
        (
            _trend("edge alignment falls over the four stages", "edge_alignment", _STAGES, -1),
            _trend("energy gain rises over the four stages", "energy_gain", _STAGES, 1),
        ),
    ),
    Claim(
        "C7",
        "Early maps of Mix-FFN have thicker lines than early maps of a U-Net.",
        (
            _pair(
                "lines of Mix-FFN 1 are thicker than those of Encoder 1",
                "edge_thickness",
                (_EARLY_FFN, Group("Encoder 1_1 and 1_2", (Selection(UNET, ("Encoder 1_1", "Encoder 1_2")),))),
                1,
            ),
            _pair(
                "control: thicker than those of Encoder 3, whose grid is as coarse",
                "edge_thickness",
                (_EARLY_FFN, Group("Encoder 3_1 and 3_2", (Selection(UNET, ("Encoder 3_1", "Encoder 3_2")),))),
                1,
                counts=False,
            ),
        ),
    ),
    Claim(
        "C8",
        "Mix-FFN keeps its accuracy when the test resolution changes, position encodings do not.",
        (
            Contrast(
                "SegFormer loses no more than 2 points of mean IoU at other sizes",
                "miou",
                (_SEGFORMER,),
                "sizes",
                1,
                null=-SMALLEST["miou"],
            ),
            Contrast(
                "SegFormer loses less than ViT",
                "miou",
                (_SEGFORMER, _VIT),
                "sizes",
                1,
                smallest=SMALLEST["miou"],
            ),
        ),
    ),
)
