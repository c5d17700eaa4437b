"""Probe: one forward and one backward pass, and the activations and gradients of every layer."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from segcam.arrays import whole
from segcam.errors import InputError, ProbeError, unknown
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention.hooks import on_grids as attentions_on_grids
from segcam.probe.attention.hooks import recording_attention, with_gradients
from segcam.probe.captures import Capture
from segcam.probe.chosen import NO_PATH, OVERWRITTEN, Chosen, LeftOut
from segcam.probe.gradients import local_gradients as local
from segcam.probe.gradients.backward import gradients, on_grids
from segcam.probe.gradients.saving import WithoutInputs
from segcam.probe.layers import Layer, LayerChoice, chosen_layers
from segcam.probe.layouts import AS_IT_IS, Layout, Reading, size_of
from segcam.probe.network.elements import Element
from segcam.probe.network.flips import Flips
from segcam.probe.network.forms import check_form
from segcam.probe.network.held import Network, frozen, told
from segcam.probe.network.inputs import Inputs, checked_images, checked_inputs, pads_images
from segcam.probe.network.modules import Modules, walked
from segcam.probe.network.recording import chosen_outputs, recording_calls
from segcam.probe.placement import Placed, Placing
from segcam.probe.placement.surveyor import Surveyor
from segcam.probe.targets import Explained, Target
from segcam.probe.targets.classes import by_name, names_of
from segcam.probe.targets.dense import DenseOutput
from segcam.probe.targets.meanings import Meanings, Said
from segcam.probe.targets.outputs import Output, logits_of, tensor_of, told_by
from segcam.probe.targets.outputs import told as said_of
from segcam.probe.targets.saturation import check_saturation

__all__ = ["Capture", "Precision", "Probe", "frozen", "logits_of"]

Precision = Literal["fp32", "bf16", "own"]


class Probe:
    """Reads activations and gradients of many layers of any network in one forward and one backward pass.

    The network may return its logits `(b, k, h, w)` as a tensor, as a mapping with 'out' or 'logits', or as an object
    with `.logits`, at any stride; probabilities and overlapping classes too, see `output`.
    It is put into eval mode for the pass and its parameters are frozen; mode,
    `requires_grad`, gradients and hooks are as before when the call ends, however it ends. Samples do not mix. Frozen
    parameters, callers in `no_grad` or `inference_mode`, in-place modules and bf16 networks are all right.

    Not for use from several threads on the same network at once: mode and `requires_grad` belong to the network.

    Args:
        model: the network.
        layers: module paths, patterns, modules or `Layer`s, see `find_layers`.
        kind: where given, patterns match modules of this class alone.
        precision: 'fp32' runs the network in float32, also one whose weights are in half precision, and under any
            autocast: its maps are then exact for these weights. 'bf16' runs it under bf16 autocast, which is faster and
            less exact. 'own' leaves it as it is, for networks that turn to half precision by themselves or do not fit
            into memory in float32; where float16 is in play, scores are scaled for the backward pass.
        channels_last: lay the input out channels-last, which is faster for most convolutional networks; those that
            reshape with `view` cannot take it.
        low_memory: save less for the backward pass: about a tenth to a fifth less memory for a few percent more time;
            the gradients are the same, see `segcam.probe.gradients.saving`.
        local_gradients: leave the zeros around a few pixels' gradients out of the backward pass; the gradients are the
            same up to rounding, see `segcam.probe.gradients.local_gradients`. None for where it pays: in networks that
            mostly convolve, on a processor, for small pixel sets.
        attention: blocks whose attention matrices are wanted as well, such as `attention_places` of the network's
            file gives. They are computed step by step then, which is slower than the fused kernels and agrees with
            them up to rounding.
        attention_gradients: whether the score's derivatives by these matrices are wanted too, in
            `Attention.gradients`: they come from the same backward pass and take as much memory as the matrices.
        output: what the numbers of the network's output mean, see `segcam.probe.targets.outputs.Output`; None for what
            the network's attribute `output_meaning` says; without that, for what the target says or the values tell,
            which is said once where they are no logits. Anything else than one of these names is an `element`.
        element: which part of what the network returns is its output: a key, an attribute or an index such as 0, a path
            of these such as 'aux.0', or a function of what it returns; None for the tensor itself, 'out' or 'logits'.
        classes: names of the classes, in order or with their indices, by which targets may ask for them; those of
            `model.config` unless given.
        placement: where maps lie on the image: 'stretched' over it, or 'receptive_field' for the centres of what each
            cell sees. It tells metrics and pictures, see `Capture.placements`; the maps are the same.

    Raises:
        ProbeError: a layer is not in the network.
        InputError: `placement` is unknown, or `output` and `element` name two elements.

    >>> from torch import nn
    >>> from segcam import Probe, Target, grad_cam
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> capture = Probe(net, "*", kind=nn.Conv2d)(torch.rand(2, 3, 8, 8), Target(class_id=1))
    >>> capture.maps(grad_cam, "0").shape
    torch.Size([2, 8, 8])
    """

    def __init__(  # noqa: PLR0913
        self,
        model: nn.Module,
        layers: LayerChoice | Iterable[LayerChoice],
        *,
        kind: type[nn.Module] | None = None,
        precision: Precision = "fp32",
        channels_last: bool = False,
        low_memory: bool = False,
        local_gradients: bool | None = None,
        attention: Iterable[AttentionPlace] = (),
        attention_gradients: bool = False,
        output: Output | Element | None = None,
        element: Element | None = None,
        classes: Sequence[str] | Mapping[str, int] | Mapping[int, str] | None = None,
        placement: Placing = "stretched",
    ) -> None:
        if placement not in get_args(Placing):
            raise unknown("placement", str(placement), get_args(Placing))
        check_form(model)
        self.model = model
        self.placement: Placing = placement
        self.precision = precision
        self.channels_last = channels_last
        self.low_memory = low_memory
        self.local_gradients = local_gradients
        self.attention = tuple(attention)
        self.attention_gradients = attention_gradients
        modules = walked(model)
        self.chosen = Chosen(*chosen_layers(modules, layers, kind))
        named = names_of(model) if classes is None else by_name(classes)
        meaning, part = said_of(output, element)
        self.meanings = Meanings(meaning or told_by(model), part, named)
        self._begin(modules)

    def _begin(self, modules: Modules) -> None:
        """Know nothing yet of the network, which has these modules."""
        self._modules = modules
        self._convolves = local.convolves(modules.values())
        self._overwritten: set[str] = set()
        self._flips: Flips | None = None
        self._reading = Reading(self.layers)
        self._surveyor = Surveyor(self.chosen, self._reading, self.placement)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order asked for."""
        return self.chosen.layers

    def __call__(
        self,
        images: Float[Tensor, "b ch h w"],
        target: Target | None = None,
        *,
        masks: Int[Tensor, "b h w"] | None = None,
        inputs: Inputs | None = None,
        valid: Bool[Tensor, "b h w"] | None = None,
    ) -> Capture:
        """Probe a batch for one target; the default is the paper's: the best pixel's logit of class 1.

        Raises:
            ProbeError: see `many`.
        """
        return self.many(images, [target or Target()], masks=masks, valid=valid, inputs=inputs)[0]

    def many(
        self,
        images: Float[Tensor, "b ch h w"],
        targets: Sequence[Target],
        *,
        masks: Int[Tensor, "b h w"] | None = None,
        valid: Bool[Tensor, "b h w"] | None = None,
        fixed: Sequence[Explained] | None = None,
        inputs: Inputs | None = None,
    ) -> list[Capture]:
        """Probe a batch for several targets, which share one forward pass.

        Args:
            images: the network's input.
            targets: what is explained; a backward pass each.
            masks: the true class of each pixel, `Batch.masks`, for targets that look at it ('truth').
            valid: where the pictures are and not padding, `Batch.valid`: pixels elsewhere are not explained.
            fixed: for each target the pixels to explain, `Capture.explained` of unchanged images or of an unchanged
                network, so that the question stays the same; unless given, each target chooses anew.
            inputs: what the network takes beside the images, by the names of its forward's arguments; tensors with a
                row for each image go with it.

        Returns:
            A capture a target; they share their activations. Layers that a pattern matched and that have no maps are
            in `Capture.skipped`, with the reason.

        Raises:
            ProbeError: a layer that was named did not run, ran more than once, gave no feature maps or does not lead to
                the logits, or no layer that a pattern matched has maps; the network takes other inputs;
                the output is none of the known kinds; a class does not exist; an attention cannot be read; the fixed
                pixels are not one set a target, or of other images.
        """
        images = checked_images(self.model, images)
        wrong = [type(target).__name__ for target in targets if not isinstance(target, Target)]
        if wrong:
            raise ProbeError(f"a Target is needed, not a {wrong[0]}; for several targets call many(images, [...])")
        size = size_of(images)
        said = self.meanings.said(targets)
        with self._held(inputs, said[1]) as network:
            with told(self.model, images):
                outputs, output, matrices, logits, skipped = self._forward(images, network, said)
            attentions = attentions_on_grids(self.attention, matrices, size)
            differentiated = self.attention if self.attention_gradients else ()
            beside = {at: matrix for at in differentiated if (matrix := matrices[at.label][0]).requires_grad}
            place = self._surveyor.of_output(output, images, network)
            targets = [self.meanings.understood(target, said, place) for target in targets]
            explained = _explained(logits, size, targets, (masks, valid), fixed)
            for target, pixels in zip(targets, explained, strict=True):
                check_saturation(output, target, pixels)
            layouts, without = self._reading.layouts(self.layers, outputs, images, network)
            self.chosen.leave_out(without, outputs, skipped)
            elsewhere = place is not None or bool(self._flips and self._flips.seen) or pads_images(self.model)
            placements, nowhere = self._surveyor.placements(layouts, images, network, elsewhere=elsewhere)
            self.chosen.leave_out(nowhere, outputs, skipped)
            activations, logits = on_grids(outputs, layouts), logits.detach()
            asked: dict[Hashable, Tensor] = dict([*outputs.items(), *beside.items()])
            laid: dict[Hashable, Layout] = dict([*layouts.items(), *dict.fromkeys(beside, AS_IT_IS).items()])
            captures = []
            for i, (target, pixels) in enumerate(zip(targets, explained, strict=True)):
                pays = self._convolves and local.pays(pixels) if self.local_gradients is None else self.local_gradients
                found = gradients(pixels, asked, laid, keep=i + 1 < len(targets), locally=pays and not beside)
                pairs = {label: found[label] for label in outputs if label in found}
                off = {label: NO_PATH for label in outputs if label not in pairs}
                if off and not pixels.scores.requires_grad:
                    self._surveyor.check_graph(images, network)
                self.chosen.refuse({**skipped, **off})
                captures.append(
                    Capture(
                        tuple(layer for layer in self.layers if layer.label in pairs),
                        {label: activations[label] for label in pairs},
                        pairs,
                        target,
                        replace(pixels, scores=pixels.scores.detach()),  # what is kept holds no graph
                        logits,
                        size,
                        with_gradients(attentions, {at.label: found.get(at) for at in beside}),
                        {label: placements[label] for label in pairs},
                        layouts,
                        {label: why.reason for label, why in {**skipped, **off}.items()},
                        network.inputs,
                    )
                )
        return captures

    def answer(self, images: Float[Tensor, "b ch h w"], target: Target, inputs: Inputs | None = None) -> DenseOutput:
        """Return what the network answers, as a target sees it: one forward pass without gradients, no layer recorded.

        Args:
            images: the network's input.
            target: its class, its resolution, and what the output means.
            inputs: what the network takes beside the images.

        Raises:
            ProbeError: the output is none of the known kinds, or the class does not exist.
        """
        images = checked_images(self.model, images)
        said = self.meanings.said([target])
        with self._held(inputs, said[1]) as network:
            blind = self.restricted(())
            blind.attention = ()
            with told(self.model, images):
                _, output, _, logits, _ = blind._forward(images, network, said, graph=False)
            place = self._surveyor.of_output(output, images, network)
            return self.meanings.understood(target, said, place).dense(logits, size_of(images), None)

    def placements(self, images: Float[Tensor, "b ch h w"], inputs: Inputs | None = None) -> dict[str, Placed]:
        """Return where each layer's grid lies on the input, by label, whatever the probe's `placement`.

        It holds for all images of this size; one is run, with its gradient. Layers that a pattern matched and that have
        no grid are left out. `inputs` is what the network takes beside the images.

        Raises:
            ProbeError: a layer does not come from the input, or see `many`.
        """
        with self._held(inputs) as network:
            survey = self._surveyor.survey(checked_images(self.model, images), network)
        chosen = self.chosen
        named = [x.label for x in chosen.layers if x.label in survey.courses]
        return {x: survey.placed(x) for x in named if x not in chosen.matched or survey.nowhere(x) is None}

    def centroids(
        self, images: Float[Tensor, "b ch h w"], inputs: Inputs | None = None, seed: int = 0
    ) -> dict[str, Float[Tensor, "b n 2"]]:
        """Return where the evidence of the middle cells comes from: centroids of the input gradient, by layer.

        Of each image's four middle cells a random combination of the channels is differentiated; the centroid of the
        gradient's magnitude is given relative to the cell's centre on a grid stretched over the input.

        Args:
            images: the network's input.
            inputs: what it takes beside the images.
            seed: of the combinations.

        Returns:
            Down and across, in pixels, for each image and its `n` middle cells; NaN where the gradient is zero.

        Raises:
            ProbeError: see `many`.
        """
        with self._held(inputs) as network:
            return self._surveyor.centroids(checked_images(self.model, images), network, seed)

    def receptive_fields(
        self, images: Float[Tensor, "b ch h w"], inputs: Inputs | None = None, cells: int = 2, seed: int = 0
    ) -> dict[str, Float[Tensor, "b n"]]:
        """Return how wide the input is that some cells of each layer answer to: their effective receptive fields.

        Of `cells x cells` cells spread evenly over each layer's grid, a random combination of the channels is
        differentiated; the gradient's magnitude has the centroid c, and its width is `sqrt(1 + 6 mean |p - c|^2)`, the
        side of a square of pixels that count alike and are as widely spread. Unlike a map it is never blank.

        Args:
            images: the network's input.
            inputs: what it takes beside the images.
            cells: along each axis; fewer where a grid has fewer. Each is one pass back to the input.
            seed: of the combinations.

        Returns:
            Pixels, for each image and its cells, row by row; NaN where the gradient is zero.

        Raises:
            InputError: `cells` is no whole number from 1.
            ProbeError: see `many`.

        Source: Luo et al., NeurIPS 2016 (effective receptive field).
        """
        count = whole(cells, "cells")
        if count < 1:
            raise InputError(f"cells is {count}: at least 1 along each axis is needed")
        with self._held(inputs) as network:
            return self._surveyor.receptive_fields(checked_images(self.model, images), network, count, seed)

    def restricted(self, layers: Sequence[Layer]) -> Probe:
        """Return a probe of some of the layers, which saves memory."""
        probe = copy.copy(self)
        probe.chosen, probe.low_memory = replace(self.chosen, layers=tuple(layers), partial=True), True
        return probe

    def prepared(self, images: Float[Tensor, "b ch h w"]) -> Float[Tensor, "b ch h w"]:
        """Return the images as the network gets them: in its dtype, detached, laid out as asked for."""
        return Network(self.model, {}, {}, self.channels_last).prepared(images)

    def cuts_vectors(self, images: Float[Tensor, "b ch h w"], inputs: Inputs | None) -> bool:
        """Tell whether inputs of one axis, as long as the batch, hold a number for each of the images.

        Raises:
            ProbeError: the network runs either way, so that it cannot be told.
        """
        with self._held(inputs) as network:
            return network.cuts_vectors(checked_images(self.model, images))

    @contextmanager
    def _held(self, inputs: Inputs | None, element: Element | None = None) -> Iterator[Network]:
        """Hold the network still, with autograd on, whatever the caller is in."""
        given = checked_inputs(inputs)
        own_precision = self.precision == "own"
        holding = frozen(self.model, own_precision=own_precision)
        with torch.inference_mode(mode=False), torch.enable_grad(), holding as tensors:
            chosen = self.meanings.element if element is None else element
            network = Network(self.model, tensors, given, self.channels_last, chosen)
            if network.modules != self._modules:
                self._begin_again(network.modules)
            yield network

    def _begin_again(self, modules: Modules) -> None:
        """Forget what was found out of the network, as modules were replaced since.

        Raises:
            ProbeError: a layer is gone, or the network's new form cannot be probed.
        """
        check_form(self.model)
        gone = [layer for layer in self.layers if layer.module not in modules]
        if gone:
            raise ProbeError(
                f"the network has no module '{gone[0].module}' any more, where layer '{gone[0].label}' was: make a new "
                "Probe of the network as it is now"
            )
        self.meanings = replace(self.meanings)
        self._begin(modules)

    def _forward(
        self, images: Tensor, network: Network, said: Said, *, graph: bool = True
    ) -> tuple[dict[str, Tensor], object, dict[str, list[Tensor]], Tensor, dict[str, LeftOut]]:
        """Run until no hooked output is overwritten, and it is known what the output means: mostly once.

        It runs once more where in-place modules are found to follow, and where the output is found to be made of
        logits, to see those. Without a `graph` nothing of it can be differentiated.
        """
        while True:
            inputs = network.prepared(images)
            if inputs.untyped_storage().data_ptr() == images.untyped_storage().data_ptr():
                inputs = inputs.clone()  # the network may write into its input
            bf16 = self.precision == "bf16"
            autocast = torch.autocast(inputs.device.type, torch.bfloat16) if bf16 else nullcontext()
            saving = WithoutInputs() if self.low_memory else nullcontext()
            hooks = recording_calls(network.modules, self.layers, self._overwritten)
            attending, watching = recording_attention(network.modules, self.attention), self.meanings.watching(said)
            first = nullcontext() if self._flips else Flips()  # the network's first pass is watched for them
            grad = torch.enable_grad() if graph else torch.no_grad()
            with grad, hooks as calls, attending as matrices, autocast, saving, first as flips, watching as seen:
                output = network(inputs)
            self._flips = self._flips or flips
            outputs, overwritten, skipped = chosen_outputs(self.layers, calls)
            if not overwritten <= self._overwritten:
                self._overwritten |= overwritten
                continue
            self.chosen.leave_out(dict.fromkeys(overwritten, OVERWRITTEN), outputs, skipped)
            self._reading.check_axes(tensor_of(output), images, network)
            logits = self.meanings.logits(output, said, seen, lambda: self._surveyor.survey(images, network).end)
            if logits is not None:
                return outputs, output, matrices, logits, skipped


def _explained(
    logits: Float[Tensor, "b k h w"],
    size: tuple[int, int],
    targets: Sequence[Target],
    known: tuple[Int[Tensor, "b h w"] | None, Bool[Tensor, "b h w"] | None],
    fixed: Sequence[Explained] | None,
) -> list[Explained]:
    """Choose each target's pixels, or take those that are given, and score them."""
    if fixed is None:
        return [target.explain(logits, size, *known) for target in targets]
    if len(fixed) != len(targets):
        raise ProbeError(f"{len(fixed)} sets of fixed pixels for {len(targets)} targets: give one a target")
    return [target.explain_again(logits, size, explained) for target, explained in zip(targets, fixed, strict=True)]
