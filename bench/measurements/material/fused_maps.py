"""The maps of one batch that are made of all layers' activations and gradients, on the input's pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from bench.measurements.material.made_maps import MadeMaps
from bench.planning.measurement import quiet
from bench.planning.request import Gap, Request
from segcam.arrays import at_least_float32
from segcam.errors import NotApplicableError
from segcam.methods.material.subject import examining
from segcam.probe.layers import INPUT
from segcam.probe.probe import Capture, Probe
from segcam.scoring.reference import Scenery


def fused_maps(
    probe: Probe,
    images: Float[Tensor, "b ch h w"],
    request: Request,
    scenery: Scenery,
    captures: Sequence[Capture],
    note: Callable[[Gap], None] = quiet,
) -> Iterator[MadeMaps]:
    """Yield the maps of methods that fuse layers, and beside them those of the controls; none where no method does.

    They lie on the input, which comes behind the layers: their index is the number of these.

    Args:
        probe: what gave the captures.
        images: the network's input.
        request: what is asked.
        scenery: what is known of the images.
        captures: one a target.
        note: told of every map that there is not.
    """
    fused = [(m, method) for m, method in enumerate(request.methods) if method.fuses]
    if not fused:
        return
    place = [len(request.layers)]
    for m, method in enumerate(request.methods):
        if method.control is not None:
            yield MadeMaps(range(len(captures)), place, [m], method.control(scenery.on(scenery.size))[:, None])
    for t, capture in enumerate(captures):
        for m, method in fused:
            assert method.run is not None  # it takes a subject
            try:
                with examining(probe, images, capture, scenery) as subject:
                    maps = at_least_float32(method.run(subject, INPUT).detach())
            except NotApplicableError as error:
                note(Gap(INPUT.label, method.name, str(error)))
            else:
                yield MadeMaps([t], place, [m], maps[:, None])
