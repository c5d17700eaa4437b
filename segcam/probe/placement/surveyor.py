"""Surveyor: runs a network with the input's gradient, and follows layers and output back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError, out_of_memory
from segcam.probe.chosen import NOT_FROM_INPUT, Chosen, LeftOut
from segcam.probe.layouts import Layout, Reading, size_of
from segcam.probe.layouts.grids import Fit, fit
from segcam.probe.network.elements import Element
from segcam.probe.network.held import FAILURES, Network
from segcam.probe.network.recording import chosen_outputs, recording_calls
from segcam.probe.placement.centroids import of_middle_cells
from segcam.probe.placement.course import in_place
from segcam.probe.placement.courses import Placing, courses
from segcam.probe.placement.fields import of_cells
from segcam.probe.placement.survey import Survey, divides
from segcam.probe.targets.ends import last_step
from segcam.probe.targets.outputs import tensor_of
from segcam.scoring.grids import Grid, Placement


@dataclass(frozen=True, eq=False, slots=True)
class Traced:
    """A pass whose graph leads back to its input.

    Attributes:
        images: the input, with its gradient.
        outputs: what the layers gave, by label.
        output: what the network gave.
        layouts: of the layers' outputs, by label.
    """

    images: Float[Tensor, "b ch h w"]
    outputs: Mapping[str, Tensor]
    output: object
    layouts: Mapping[str, Layout]


class Surveyor:
    """Finds out once a size of input where layers and output lie.

    Args:
        chosen: all layers that may be asked for.
        reading: reads their layouts.
        placing: how maps are asked to be laid over the image.
    """

    def __init__(self, chosen: Chosen, reading: Reading, placing: Placing) -> None:
        self._chosen, self._reading, self._placing = chosen, reading, placing
        self._surveys: dict[tuple[Grid, Element | None], Survey] = {}

    def survey(self, images: Float[Tensor, "b ch h w"], network: Network) -> Survey:
        """Follow one image's pass, or return what is known of its size.

        Raises:
            ProbeError: a layer that was named has no maps.
        """
        size = size_of(images)
        key = (size, network.element)
        if key not in self._surveys:
            try:
                traced = self.trace(images[:1], network.of_rows([0], len(images)))
            except (*FAILURES, ProbeError) as error:  # some networks take one number of images alone
                if len(images) == 1 or out_of_memory(error):
                    raise
                traced = self.trace(images, network)
            values = tensor_of(traced.output)
            *found, of_output = courses([*traced.outputs.values(), values], traced.images.grad_fn, size)
            layouts, known = traced.layouts, dict(zip(traced.outputs, found, strict=True))
            grids = {label: layout.grid for label, layout in layouts.items()}
            for label, course in known.items():
                windows = layouts[label].windows
                if course is not None and windows is not None:
                    known[label] = in_place(course, windows.filled(grids[label]), grids[label])
            self._surveys[key] = Survey(size, known, grids, of_output, last_step(values))
        return self._surveys[key]

    def trace(self, images: Float[Tensor, "b ch h w"], network: Network) -> Traced:
        """Run images with their gradient.

        Raises:
            ProbeError: a layer that was named has no maps.
        """
        prepared = network.prepared(images).clone().requires_grad_()
        attached = prepared * 1  # no leaf: modules may write into it, and into it alone
        source = attached.view_as(attached)
        with recording_calls(network.modules, self._chosen.layers, set()) as calls:
            output = network(source)
        outputs, _, skipped = chosen_outputs(self._chosen.layers, calls)
        layouts, without = self._reading.layouts(self._chosen.layers, outputs, images, network)
        self._chosen.refuse({**skipped, **without})
        return Traced(attached, {label: outputs[label] for label in outputs if label in layouts}, output, layouts)

    def placements(
        self,
        layouts: Mapping[str, Layout],
        images: Float[Tensor, "b ch h w"],
        network: Network,
        *,
        elsewhere: bool,
    ) -> tuple[dict[str, Placement | None], dict[str, LeftOut]]:
        """Return where the layers' maps lie, None where they are stretched over the input, and why others lie nowhere.

        Stretching has no meaning for layers that span another part than the input, as without padding, or one tile of
        it: they lie where they are found, whatever is asked for. What lies mirrored is no map of the input.

        Args:
            layouts: of the layers, by label.
            images: the input.
            network: the network, held still.
            elsewhere: whether to look for layers that lie elsewhere than stretched or are mirrored, although their
                grids fit the input and they run once.
        """
        size, stretched = size_of(images), self._placing == "stretched"
        one_of_several = {layer.label for layer in self._chosen.layers if layer.call is not None}
        odd = {x for x, of in layouts.items() if not divides(of.grid, size) or fit(of.grid, size) < Fit.STRIDE}
        looked = [x for x in layouts if elsewhere or not stretched or x in one_of_several | odd]
        places: dict[str, Placement | None] = {label: None for label in layouts if label not in looked}
        nowhere: dict[str, LeftOut] = {}
        for label in looked:
            survey = self.survey(images, network)
            why = survey.nowhere(label)
            if why is not None and not (stretched and why is NOT_FROM_INPUT):
                nowhere[label] = why
            else:
                places[label] = survey.if_elsewhere(label) if stretched else survey.unless_stretched(label)
        return {label: places[label] for label in layouts if label in places}, nowhere

    def of_output(self, output: object, images: Float[Tensor, "b ch h w"], network: Network) -> Placement | None:
        """Return where a network's output lies on the input; None where it spans it.

        Raises:
            ProbeError: that cannot be told.
        """
        values = tensor_of(output)
        grid = (int(values.shape[2]), int(values.shape[3]))
        return None if grid == size_of(images) else self.survey(images, network).of_output(grid)

    def check_graph(self, images: Float[Tensor, "b ch h w"], network: Network) -> None:
        """See to it that a gradient leads from the network's output to its input.

        Raises:
            ProbeError: none does.
        """
        if self.survey(images, network).output is None:
            raise ProbeError(
                "no gradient leads from the network's output back to its input, as behind argmax, a threshold, detach "
                "or torch.no_grad: wrap the network in a Module that returns its logits with their graph"
            )

    def centroids(
        self, images: Float[Tensor, "b ch h w"], network: Network, seed: int
    ) -> dict[str, Float[Tensor, "b n 2"]]:
        """Return the centroids of the input gradients of the middle cells, by layer; see `Probe.centroids`."""
        with torch.enable_grad():
            traced = self.trace(images, network)
            maps = {label: traced.layouts[label].maps(output) for label, output in traced.outputs.items()}
            return {label: of_middle_cells(one, traced.images, seed) for label, one in maps.items()}

    def receptive_fields(
        self, images: Float[Tensor, "b ch h w"], network: Network, cells: int, seed: int
    ) -> dict[str, Float[Tensor, "b n"]]:
        """Return the widths of the input gradients of some cells, by layer; see `Probe.receptive_fields`."""
        with torch.enable_grad():
            traced = self.trace(images, network)
            maps = {label: traced.layouts[label].maps(output) for label, output in traced.outputs.items()}
            return {label: of_cells(one, traced.images, cells, seed) for label, one in maps.items()}
