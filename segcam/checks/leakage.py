"""Whose pixels: how much of a class's map lies on the other classes, and what removing these does to its score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.checks.faithfulness.imputation import check_imputation
from segcam.checks.faithfulness.outcomes import BATCH
from segcam.checks.removal import IMPUTATION, score_changes
from segcam.checks.scored_maps import measured, methods_named, pictures, scored_maps
from segcam.classes import IGNORE, Classes, class_ids
from segcam.errors import InputError
from segcam.methods import Method
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.probe.targets.dense import DenseOutput, predicted
from segcam.probe.targets.given import class_indices
from segcam.samples import Batch
from segcam.scoring.reference import Scenery
from segcam.scoring.regions import class_regions, region_shares

TARGET = "predicted:margin"
"""What is explained of each class unless told otherwise: how far all pixels that are predicted as it are ahead of the
next class. A raw logit is known up to a constant alone, so that its share that goes says nothing."""


@dataclass(frozen=True, eq=False)
class Leakage:
    """Class by class: whose pixels the maps of a class lie on, and whose removal changes its score.

    Class i is explained, class j is that of the pixels. The diagonal is the class's own pixels, the rest is leakage.

    Attributes:
        classes: what i and j count, `k` of them: classes as masks have them, or sets that count as one.
        methods: names of the `m` methods.
        shown: whether an image shows class i, in truth or in the prediction, so that it is explained, `(b, k)`.
        energy: by layer the share of a map's energy on each class, `(b, i, m, j)`, 0..1. NaN where image or truth lacks
            the class, where truth shows one class alone, and for a blank or undefined map.
        area: by layer the class's share of the pixels, what a uniform map scores, `(b, j)`; 0 where truth lacks it.
        change: change of class i's score when class j's region is removed, over the score, `(b, i, j)`, see
            `segcam.checks.removal.score_changes`; NaN where image or truth lacks the class, no pixel is explained, or
            the score is 0.
        scores: class i's score in the unchanged image, `(b, i)`; NaN where it is not explained.
        pixels: how many pixels of class i are explained, `(b, i)`.
    """

    classes: tuple[Classes, ...]
    methods: tuple[str, ...]
    shown: Bool[Tensor, "b k"]
    energy: Mapping[str, Float[Tensor, "b i m j"]]
    area: Mapping[str, Float[Tensor, "b j"]]
    change: Float[Tensor, "b i j"]
    scores: Float[Tensor, "b i"]
    pixels: Float[Tensor, "b i"]

    def matrix(self, layer: str, method: str = "grad_cam") -> Float[Tensor, "i j"]:
        """Return the mean energy shares of one layer and method over the images that show both classes."""
        return self.energy[measured(layer, self.energy)][:, :, self._method(method)].nanmean(0)

    def chance(self, layer: str) -> Float[Tensor, "i j"]:
        """Return the mean area shares over the images that show both classes: what `matrix` is by chance."""
        area = self.area[measured(layer, self.energy)]
        both = self.shown[:, :, None] & ((area > 0) & (area < 1))[:, None]
        return area[:, None].expand(both.shape).masked_fill(~both, torch.nan).nanmean(0)

    def ablation(self) -> Float[Tensor, "i j"]:
        """Return the mean relative changes of class i's score without class j's region."""
        return self.change.nanmean(0)

    def _method(self, name: str) -> int:
        if name not in self.methods:
            raise InputError(f"no method '{name}' was measured: there are {', '.join(self.methods)}")
        return self.methods.index(name)


def leakage(  # noqa: PLR0913  (the optional ones are named where they are given)
    probe: Probe,
    batch: Batch,
    methods: str | Method | Sequence[str | Method] = "grad_cam",
    *,
    classes: Sequence[Classes] | None = None,
    network: Sequence[Classes | None] | None = None,
    target: Target | str = TARGET,
    images: Float[Tensor, "b ch H W"] | None = None,
    imputation: str = IMPUTATION,
    batch_size: int = BATCH,
    seed: int = 0,
) -> Leakage:
    """Explain each class that an image shows, and measure its maps and its score on every class of the masks.

    Energy: `sum_{C_j} L_i / sum_{all C} L_i`, with `L_i` the map of class i upsampled bilinearly and `C_j` the true
    pixels of class j; ignored pixels belong to none. Ablation: `(y_i(x without C_j) - y_i(x)) / |y_i(x)|`, the score
    `y_i` being that of the pixels explained in the unchanged image. A map may lie on another class without the score
    caring, and the other way round: the two stand beside each other. A class is explained in the images that show it,
    in truth or in the prediction, the background like any other.

    Args:
        probe: network and layers.
        batch: images and masks.
        methods: gradient methods and controls, by name or with parameters of their own.
        classes: the masks' classes, `{8, 12}` for a set that counts as one; unless given, those that masks or
            predictions of the batch show.
        network: the network's class for each of them, where it numbers them otherwise; None for one that it lacks,
            which is then not explained.
        target: pixels and score that are explained of each class, whatever class a `Target` names.
        images: the network's input; `batch.inputs()` unless given.
        imputation: what takes a removed region's place: 'mean', 'blur' or 'noisy_linear'.
        batch_size: changed images that the network gets at once.
        seed: of controls and noise.

    Raises:
        InputError: a class, method or imputation is unknown, or images and masks do not fit each other.
        ProbeError: see `Probe.many`.
        NotApplicableError: the network takes more than the images.

    Source: segcam; energy as Arras et al. 2022 (CLEVR-XAI), relevance mass accuracy, on every class; removal as Zeiler
    and Fergus, ECCV 2014, section 4.2.

    >>> import numpy as np
    >>> from torch import nn
    >>> from segcam import Batch, Probe, Sample
    >>> mask = np.zeros((8, 8), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> batch = Batch.of([Sample("a", np.repeat(40 + 90 * mask[..., None], 3, 2), mask)])
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> found = leakage(Probe(net, "1"), batch, ["grad_cam", "uniform"], target="image:logit")
    >>> [round(share, 2) for share in found.matrix("1", "uniform")[1].tolist()]
    [0.75, 0.25]
    """
    asked = methods_named(methods)
    check_imputation(imputation)  # before the first pass
    given = pictures(batch, images)
    template = Target.parse(target) if isinstance(target, str) else target
    dense = _answer(probe, given, template)
    known = _all_classes(batch, dense) if classes is None else _classes(classes, "the classes")
    own = known if network is None else network
    if len(own) != len(known):
        raise InputError(
            f"{len(own)} classes of the network are named for {len(known)} of the masks: one each is needed"
        )
    regions = class_regions(batch, known)
    rest = batch.masks != IGNORE if batch.valid is None else (batch.masks != IGNORE) & batch.valid
    rest &= ~regions.any(1)  # pixels of classes that are not asked for have their part of the energy
    shown = regions.flatten(2).any(2)
    there = shown.any(0).nonzero()[:, 0]  # of many classes a batch has but few
    for i, one in enumerate(own):
        shown[:, i] = False if one is None else shown[:, i] | _predicted(dense, one, batch.valid)
    b, k, m = len(batch.ids), len(known), len(asked)
    energy: dict[str, Tensor] = {}
    area: dict[str, Tensor] = {}
    change = torch.full((b, k, k), torch.nan, device=given.device)
    scores = torch.full((b, k), torch.nan, device=given.device)
    pixels = torch.zeros((b, k), device=given.device)
    for rows, which in _rounds(shown):
        some = _of(batch, rows)
        theirs = [one for one in (own[i] for i in which) if one is not None]  # all: others are not shown
        explained = replace(template, class_id=tuple(theirs), true_class=tuple(known[i] for i in which))
        capture = probe(given[rows], explained, masks=some.masks, valid=some.valid)
        scenery = Scenery.of(some, [known[i] for i in which], seed)
        for label, reference, maps in scored_maps(capture, asked, scenery):
            every = torch.cat([regions[rows][:, there], rest[rows][:, None]], 1)
            shares = region_shares(maps, reference, every)
            if label not in energy:
                energy[label] = torch.full((b, k, m, k), torch.nan, device=given.device)
                area[label] = torch.zeros((b, k), device=given.device)
            whole = torch.full((len(rows), m, k), torch.nan, device=given.device)
            alone = (shares.area == 1).any(1).view(-1, 1, 1)  # all of every map lies on it
            whole[:, :, there] = shares.energy.masked_fill(alone, torch.nan)[..., :-1].to(whole)
            energy[label][rows, which] = whole
            area[label][torch.tensor(rows)[:, None], there] = shares.area[:, :-1].to(whole)
        changes = score_changes(
            probe, given[rows], capture, regions[rows], scenery, imputation=imputation, batch_size=batch_size
        )
        change[rows, which] = changes.to(change)
        scores[rows, which] = capture.scores.to(scores).masked_fill(capture.target_pixels == 0, torch.nan)
        pixels[rows, which] = capture.target_pixels.to(pixels)
    return Leakage(known, tuple(one.name for one in asked), shown, energy, area, change, scores, pixels)


def _answer(probe: Probe, images: Float[Tensor, "b ch H W"], template: Target) -> DenseOutput:
    """Return what the network answers, at the input's resolution."""
    return probe.answer(images, Target(0, "image", output=template.output, element=template.element))


def _predicted(dense: DenseOutput, one: Classes, valid: Bool[Tensor, "b H W"] | None) -> Bool[Tensor, " b"]:
    """Return the images in which a class is predicted anywhere."""
    ids = class_indices(one, dense.logits, overlapping=dense.overlapping)
    pixels = predicted(replace(dense, class_ids=ids))
    return (pixels if valid is None else pixels & valid).flatten(1).any(1)


def _all_classes(batch: Batch, dense: DenseOutput) -> tuple[int, ...]:
    """Return the classes that masks or predictions show, in order."""
    of_masks = set(np.unique(batch.masks.cpu().numpy()).tolist()) - {IGNORE}
    count = int(dense.logits.shape[1])
    if beyond := sorted(one for one in of_masks if one >= count):
        raise InputError(
            f"masks hold class {beyond[0]}, and the network has classes 0 to {count - 1}: name the masks' classes, and "
            "with network= which of the network's each is"
        )
    answered = {i for i in range(count) if bool(_predicted(dense, i, batch.valid).any())}
    return tuple(sorted(of_masks | answered))


def _classes(given: Sequence[Classes], what: str) -> tuple[Classes, ...]:
    found = class_ids(list(given), what)
    if not isinstance(found, tuple) or len(set(found)) < len(found):
        raise InputError(f"{what} are {given!r}: each once, as a list, is needed")
    return found


def _rounds(shown: Bool[Tensor, "b k"]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield images and the class that each is asked about, until each was asked about all that it shows.

    A pass asks every image about a class of its own: with many classes an image shows but few.
    """
    of_images = [np.flatnonzero(row).tolist() for row in shown.cpu().numpy()]
    for turn in range(max(map(len, of_images))):
        rows = [b for b, ids in enumerate(of_images) if len(ids) > turn]
        yield rows, [of_images[b][turn] for b in rows]


def _of(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return some images of a batch."""
    few = list(rows)
    evidence, valid = (None if region is None else region[few] for region in (batch.evidence, batch.valid))
    ids = tuple(batch.ids[i] for i in few)
    return replace(batch, ids=ids, images=batch.images[few], masks=batch.masks[few], evidence=evidence, valid=valid)
