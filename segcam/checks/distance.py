"""How far: energy and effect by distance from the object's outline, in pixels of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.checks.faithfulness.outcomes import BATCH
from segcam.checks.removal import IMPUTATION, score_changes
from segcam.checks.scored_maps import measured, methods_named, pictures, scored_maps
from segcam.classes import Classes
from segcam.methods import Method
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.samples import Batch
from segcam.scoring.distances import EDGES, distance_rings, half_distances, ring_edges
from segcam.scoring.reference import Scenery
from segcam.scoring.regions import region_shares


@dataclass(frozen=True, eq=False)
class ByDistance:
    """Energy and effect in rings about the outline of the class explained.

    Attributes:
        edges: where rings end, in pixels from the outline, negative inside; there is one ring more than edges.
        methods: names of the `m` methods.
        energy: by layer the share of a map's energy in each ring, `(b, m, r)`; NaN for an empty ring, for a blank or
            undefined map and for images without an outline.
        area: by layer the ring's share of the pixels, what a uniform map scores, `(b, r)`; 0 for an empty ring.
        half: by layer the distance from the outline within which half of the energy that lies outside falls, in pixels,
            `(b, m)`; see `segcam.scoring.distances.half_distances`.
        half_chance: the same of a uniform map: the median distance of the background's pixels, `(b,)`.
        change: change of the score when the ring is removed, over the score, `(b, r)`; NaN for an empty ring, where no
            pixel is explained, or the score is 0. See `segcam.checks.removal.score_changes`.
        scores: of the unchanged image, `(b,)`; NaN where no pixel is explained.
        ring_pixels: how many pixels are in each ring, `(b, r)`.
    """

    edges: tuple[float, ...]
    methods: tuple[str, ...]
    energy: Mapping[str, Float[Tensor, "b m r"]]
    area: Mapping[str, Float[Tensor, "b r"]]
    half: Mapping[str, Float[Tensor, "b m"]]
    half_chance: Float[Tensor, " b"]
    change: Float[Tensor, "b r"]
    scores: Float[Tensor, " b"]
    ring_pixels: Float[Tensor, "b r"]

    def density(self, layer: str) -> Float[Tensor, "b m r"]:
        """Return a layer's energy shares over area shares: 1 by chance; NaN where `energy` is."""
        return self.energy[measured(layer, self.energy)] / self.area[layer][:, None]

    def cumulative(self, layer: str) -> Float[Tensor, "b m r"]:
        """Return a layer's energy share up to the outer end of each ring, from the innermost on; 1 in the last."""
        energy = self.energy[measured(layer, self.energy)]
        sums = energy.nan_to_num(0.0).cumsum(2)
        return sums.masked_fill(energy.isnan().all(2, keepdim=True), torch.nan)


def by_distance(  # noqa: PLR0913  (the optional ones are named where they are given)
    probe: Probe,
    batch: Batch,
    target: Target,
    methods: str | Method | Sequence[str | Method] = "grad_cam",
    *,
    class_id: Classes | Sequence[Classes] | None = None,
    edges: Sequence[float] = EDGES,
    images: Float[Tensor, "b ch H W"] | None = None,
    imputation: str = IMPUTATION,
    batch_size: int = BATCH,
    seed: int = 0,
) -> ByDistance:
    """Measure maps and the score in rings about the object's outline, on the input's pixels.

    Energy: the share of the upsampled map in each ring; over the ring's area share it is a density, 1 by chance.
    Effect: the relative change of the score when the ring is removed. Distances are those of
    `segcam.scoring.distances.outline_distances`; pixels that masks ignore are in no ring, and stay when rings go.

    Args:
        probe: network and layers; its `placement` says where a map's cells lie.
        batch: images and masks.
        target: what is explained.
        methods: gradient methods and controls, by name or with parameters of their own.
        class_id: the masks' class whose outline it is; the target's `true_class`, or else its class, unless given.
        edges: where rings end, rising, negative inside; the first and last ring have no other end.
        images: the network's input; `batch.inputs()` unless given.
        imputation: what takes a removed ring's place: 'mean', 'blur' or 'noisy_linear'.
        batch_size: changed images that the network gets at once.
        seed: of controls and noise.

    Raises:
        InputError: an edge, method, class or imputation is unknown, or images and masks do not fit each other.
        ProbeError: see `Probe.many`.
        NotApplicableError: the network takes more than the images.

    Source: segcam.

    >>> import numpy as np
    >>> from torch import nn
    >>> from segcam import Batch, Probe, Sample, Target
    >>> mask = np.zeros((8, 16), np.uint8)
    >>> mask[:, :4] = 1
    >>> batch = Batch.of([Sample("a", np.repeat(40 + 90 * mask[..., None], 3, 2), mask)])
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> target = Target(1, "image")
    >>> found = by_distance(Probe(net, "1"), batch, target, ["grad_cam", "uniform"], edges=(0, 4))
    >>> [round(share, 2) for share in found.energy["1"][0, 1].tolist()], found.half["1"][0, 1].item()
    ([0.25, 0.25, 0.5], 5.5)
    """
    asked, ends = methods_named(methods), ring_edges(edges)
    given = pictures(batch, images)
    capture = probe(given, target, masks=batch.masks, valid=batch.valid)
    truth = capture.target.class_id if capture.target.true_class is None else capture.target.true_class
    scenery = Scenery.of(batch, truth if class_id is None else class_id, seed)
    rings = distance_rings(scenery, ends)
    energy, area, half = {}, {}, {}
    for label, reference, maps in scored_maps(capture, asked, scenery):
        shares = region_shares(maps, reference, rings)
        energy[label], area[label] = shares.energy, shares.area
        half[label] = half_distances(maps, reference)
    change = score_changes(probe, given, capture, rings, scenery, imputation=imputation, batch_size=batch_size)
    even = torch.ones(len(batch.ids), 1, *scenery.size, device=given.device)
    return ByDistance(
        ends,
        tuple(one.name for one in asked),
        energy,
        area,
        half,
        half_distances(even, scenery.on(scenery.size))[:, 0],
        change,
        capture.scores.masked_fill(capture.target_pixels == 0, torch.nan),
        rings.flatten(2).sum(2).to(change),
    )
