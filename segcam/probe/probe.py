"""Probe: one forward and one backward pass, and the activations and gradients of every layer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from segcam.errors import ProbeError, out_of_memory, unknown
from segcam.precision import of_network
from segcam.probe import local_gradients as local
from segcam.probe import scaling
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention_hooks import on_grids, recording_attention
from segcam.probe.captures import Capture
from segcam.probe.centroids import of_middle_cells
from segcam.probe.forms import check_form
from segcam.probe.hooks import FAILURES, LeftOut, Network, chosen_outputs, frozen, recording_calls, told
from segcam.probe.inputs import Inputs, checked_images, checked_inputs
from segcam.probe.layers import Layer, LayerChoice, chosen_layers
from segcam.probe.layouts import Layout, Reading, size_of
from segcam.probe.outputs import OUTPUTS, Arguments, Output, last_step, logits_of, resolved, tensor_of
from segcam.probe.placement import Placing, courses
from segcam.probe.saving import WithoutInputs
from segcam.probe.survey import Placed, Survey, divides
from segcam.probe.targets import Explained, Target
from segcam.scoring.grids import Grid, Placement

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
            the gradients are the same, see `segcam.probe.saving`.
        local_gradients: leave the zeros around a few pixels' gradients out of the backward pass; the gradients are the
            same up to rounding, see `segcam.probe.local_gradients`. None for where it pays: in networks that mostly
            convolve, on a processor, for small pixel sets.
        attention: blocks whose attention matrices are wanted as well, such as `attention_places` of the network's
            file gives. They are computed step by step then, which is slower than the fused kernels and agrees with
            them up to rounding.
        output: what the numbers of the network's output mean, see `segcam.probe.outputs.Output`; None to find out from
            the values, which is said once where they are no logits, or for what the target says.
        classes: names of the classes, by which targets may ask for them; those of `model.config` unless given.
        placement: where maps lie on the image: 'stretched' over it, or 'receptive_field' for the centres of what each
            cell sees. It tells metrics and pictures, see `Capture.placements`; the maps are the same.

    Raises:
        ProbeError: a layer is not in the network.
        InputError: `output` or `placement` is unknown.

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
        output: Output | None = None,
        classes: Sequence[str] | None = None,
        placement: Placing = "stretched",
    ) -> None:
        if output is not None and output not in OUTPUTS:
            raise unknown("meaning of an output", str(output), OUTPUTS)
        if placement not in get_args(Placing):
            raise unknown("placement", str(placement), get_args(Placing))
        check_form(model)
        self.model = model
        self.output = output
        self.placement: Placing = placement
        self.class_ids = _class_names(model) if classes is None else {name: i for i, name in enumerate(classes)}
        self.layers, self._matched = chosen_layers(model, layers, kind)
        self.precision = precision
        self.channels_last = channels_last
        self.low_memory = low_memory
        self.local_gradients = local_gradients
        self.attention = tuple(attention)
        self._convolves = local.convolves(model)
        self._overwritten: set[str] = set()
        self._partial = False
        self._meanings: dict[Output | None, tuple[Output, bool]] = {}
        self._surveys: dict[tuple[Grid, tuple[Layer, ...]], Survey] = {}
        self._reading = Reading(model, self.layers)

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
        images, given = checked_images(self.model, images), checked_inputs(inputs)
        wrong = [type(target).__name__ for target in targets if not isinstance(target, Target)]
        if wrong:
            raise ProbeError(f"a Target is needed, not a {wrong[0]}; for several targets call many(images, [...])")
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            parameters = stack.enter_context(frozen(self.model, own_precision=self.precision == "own"))
            network = Network(self.model, parameters, given)
            with told(self.model, images):
                outputs, output, matrices, logits, skipped = self._forward(images, network, targets)
            size = size_of(images)
            attentions = on_grids(self.attention, matrices, size)
            targets = self._understood(targets, output, images, network)
            explained = _explained(logits, size, targets, (masks, valid), fixed)
            layouts = self._layouts(outputs, images, network, skipped)
            unpadded = any(target.placement is not None for target in targets)
            placements = self._placements(outputs, layouts, images, network, skipped, unpadded=unpadded)
            acts, logits = _on_grids(outputs, layouts), logits.detach()
            captures = []
            for i, (target, pixels) in enumerate(zip(targets, explained, strict=True)):
                pairs = self._gradients(pixels, outputs, layouts, keep=i + 1 < len(targets))
                off = {label: _NO_PATH for label in outputs if label not in pairs}
                self._refuse({**skipped, **off})
                captures.append(
                    Capture(
                        tuple(layer for layer in self.layers if layer.label in pairs),
                        {label: acts[label] for label in pairs},
                        pairs,
                        target,
                        replace(pixels, scores=pixels.scores.detach()),  # what is kept holds no graph
                        logits,
                        size,
                        attentions,
                        {label: placements[label] for label in pairs},
                        layouts,
                        {label: why.reason for label, why in {**skipped, **off}.items()},
                        given,
                    )
                )
        return captures

    def _layouts(
        self, outputs: dict[str, Tensor], images: Tensor, network: Network, skipped: dict[str, LeftOut]
    ) -> dict[str, Layout]:
        """Return the layouts of the outputs; outputs of matched layers without one move to those that are left out."""
        layouts, without = self._reading.layouts(self.layers, outputs, images, network)
        self._leave_out(without, outputs, skipped)
        return layouts

    def _placements(
        self,
        outputs: dict[str, Tensor],
        layouts: Mapping[str, Layout],
        images: Tensor,
        network: Network,
        skipped: dict[str, LeftOut],
        *,
        unpadded: bool,
    ) -> dict[str, Placement | None]:
        """Return where the layers' maps lie; None where they are stretched over the input.

        Stretching has no meaning for layers that span another part than the input, as without padding: they lie where
        they are found, whatever is asked for.
        """
        if self.placement == "stretched":
            size = size_of(images)
            odd = [label for label in outputs if unpadded or not divides(layouts[label].grid, size)]
            return dict.fromkeys(outputs) | {x: self._survey(images, network).if_elsewhere(x) for x in odd}
        survey = self._survey(images, network)
        self._leave_out({x: _NOT_FROM_INPUT for x in outputs if survey.courses[x] is None}, outputs, skipped)
        return {label: survey.unless_stretched(label) for label in outputs}

    def _leave_out(
        self, without: Mapping[str, LeftOut], outputs: dict[str, Tensor], skipped: dict[str, LeftOut]
    ) -> None:
        for label, why in without.items():
            skipped[label] = why
            del outputs[label]
        self._refuse(skipped)

    def _refuse(self, left_out: Mapping[str, LeftOut]) -> None:
        """Raise the error of the first layer that was named and has no maps, or where no matched one is left."""
        wrong = [layer for layer in self.layers if layer.label in left_out and layer.label not in self._matched]
        if wrong:
            raise left_out[wrong[0].label].of(wrong[0])
        if len(left_out) >= len(self.layers) and not self._partial:
            first = self.layers[0]
            raise ProbeError(
                f"none of the {len(self.layers)} layers that the patterns match has maps: "
                f"{left_out[first.label].of(first)}"
            )

    def _understood(self, targets: Sequence[Target], output: object, images: Tensor, network: Network) -> list[Target]:
        """Return the targets with what is known of the network: what its output means, where it lies, class names."""
        values, size = tensor_of(output), size_of(images)
        grid = (int(values.shape[2]), int(values.shape[3]))
        place = None if grid == size else self._survey(images, network).of_output(grid)
        meaning, argument = self._meanings[self._declared(targets)]
        known: Any = {"output": meaning, "argument": argument, "placement": place}
        return [replace(target.named(self.class_ids), **known) for target in targets]

    def placements(self, images: Float[Tensor, "b ch h w"], inputs: Inputs | None = None) -> dict[str, Placed]:
        """Return where each layer's grid lies on the input, by label, whatever the probe's `placement`.

        It holds for all images of this size; one is run, with its gradient. Layers that a pattern matched and that have
        no grid are left out. `inputs` is what the network takes beside the images.

        Raises:
            ProbeError: a layer does not come from the input, or see `many`.
        """
        given = checked_inputs(inputs)
        with torch.inference_mode(mode=False), torch.enable_grad(), frozen(self.model) as parameters:
            survey = self._survey(checked_images(self.model, images), Network(self.model, parameters, given))
        named = [x.label for x in self.layers if x.label in survey.courses]
        return {x: survey.placed(x) for x in named if x not in self._matched or survey.courses[x] is not None}

    def _survey(self, images: Tensor, network: Network) -> Survey:
        """Run one image with its gradient and follow layers and output back to it; once a size of input."""
        size = size_of(images)
        key = (size, self.layers)
        if key not in self._surveys:
            try:
                image, outputs, output, layouts = self._attached(images[:1], network.of_rows([0], len(images)))
            except (*FAILURES, ProbeError) as error:  # some networks take one number of images alone
                if len(images) == 1 or out_of_memory(error):
                    raise
                image, outputs, output, layouts = self._attached(images, network)
            *found, of_output = courses([*outputs.values(), tensor_of(output)], image.grad_fn, size)
            grids = {label: layouts[label].grid for label in outputs}
            known = dict(zip(outputs, found, strict=True))
            self._surveys[key] = Survey(size, known, grids, of_output, last_step(tensor_of(output)))
        return self._surveys[key]

    def _attached(
        self, images: Tensor, network: Network
    ) -> tuple[Tensor, dict[str, Tensor], object, Mapping[str, Layout]]:
        """Run images with their gradient: return them, the layers' outputs, the network's, and the layouts."""
        prepared = self.prepared(images, network.tensors).clone().requires_grad_()
        attached = prepared * 1  # no leaf: modules may write into it, and into it alone
        source = attached.view_as(attached)
        with recording_calls(self.model, self.layers, set()) as calls:
            output = network(source)
        outputs, _, skipped = chosen_outputs(self.layers, calls)
        layouts, without = self._reading.layouts(self.layers, outputs, images, network)
        self._refuse({**skipped, **without})
        return attached, {label: outputs[label] for label in outputs if label in layouts}, output, layouts

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
        images, given = checked_images(self.model, images), checked_inputs(inputs)
        with torch.inference_mode(mode=False), torch.enable_grad(), frozen(self.model) as parameters:
            attached, outputs, _, layouts = self._attached(images, Network(self.model, parameters, given))
            maps = {label: layouts[label].maps(output) for label, output in outputs.items()}
            return {label: of_middle_cells(one, attached, seed) for label, one in maps.items()}

    def restricted(self, layers: Sequence[Layer]) -> Probe:
        """Return a probe of some of the layers, which saves memory."""
        probe = copy.copy(self)
        probe.layers, probe.low_memory, probe._partial = tuple(layers), True, True
        return probe

    def prepared(
        self, images: Float[Tensor, "b ch h w"], tensors: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "b ch h w"]:
        """Return the images as the network gets them: in its dtype, detached, laid out as asked for."""
        images = images.to(of_network(self.model, tensors))
        if self.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return images.detach()

    def _forward(
        self, images: Tensor, network: Network, targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], object, dict[str, list[Tensor]], Tensor, dict[str, LeftOut]]:
        """Run until no hooked output is overwritten, and it is known what the output means: mostly once.

        It runs once more where in-place modules are found to follow, and where the output is found to be made of
        logits, to see those.
        """
        said = self._declared(targets)
        while True:
            inputs = self.prepared(images, network.tensors)
            if inputs.untyped_storage().data_ptr() == images.untyped_storage().data_ptr():
                inputs = inputs.clone()  # the network may write into its input
            bf16 = self.precision == "bf16"
            autocast = torch.autocast(inputs.device.type, torch.bfloat16) if bf16 else nullcontext()
            hooks = recording_calls(self.model, self.layers, self._overwritten)
            saving = WithoutInputs() if self.low_memory else nullcontext()
            known = self._meanings.get(said)
            seeing = Arguments() if known is not None and known[1] else nullcontext()
            with hooks as calls, recording_attention(self.model, self.attention) as matrices, autocast, saving, seeing:
                output = network(inputs)
            outputs, overwritten, skipped = chosen_outputs(self.layers, calls)
            if not overwritten <= self._overwritten:
                self._overwritten |= overwritten
                continue
            self._leave_out(dict.fromkeys(overwritten, _OVERWRITTEN), outputs, skipped)
            self._reading.check_axes(tensor_of(output), images, network)
            if known is None:
                meaning = resolved(output, said, lambda: self._survey(images, network).end)
                known = self._meanings[said] = (meaning, meaning not in ("logits", "multilabel"))
                if known[1]:
                    continue
            logits = seeing.of(output) if isinstance(seeing, Arguments) else None
            self._meanings[said] = (known[0], logits is not None)
            return outputs, output, matrices, logits_of(output, known[0]) if logits is None else logits, skipped

    def _declared(self, targets: Sequence[Target]) -> Output | None:
        """Return what the probe or the targets say that the output means; None where they say nothing."""
        declared = {choice for choice in (self.output, *(target.output for target in targets)) if choice is not None}
        if declared == {"multilabel", "multilabel-probabilities"}:
            return "multilabel-probabilities"  # what a capture has found of what is declared here
        if len(declared) > 1:
            raise ProbeError(f"the output is declared as {' and as '.join(sorted(declared))}: say it once")
        return next(iter(declared), None)

    def _gradients(
        self, explained: Explained, outputs: dict[str, Tensor], layouts: Mapping[str, Layout], *, keep: bool
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Return the gradients of the scores by the outputs that lead to them, laid on the layers' grids."""
        if not scaling.through_float16(explained.scores):
            return _on_grids(self._backward(explained, outputs, keep=keep), layouts)

        def differentiate(factors: Tensor) -> dict[str, Tensor]:
            scaled = replace(explained, scores=explained.scores * factors)
            return _on_grids(self._backward(scaled, outputs, keep=True), layouts)

        return scaling.gradients(differentiate, explained.pixels)

    def _backward(self, explained: Explained, outputs: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
        """Return the gradients of the scores by the outputs; `keep` the graph where it is needed again."""
        score, tensors = explained.scores.sum(), list(outputs.values())
        if not tensors or not score.requires_grad:
            return {}
        pays = self._convolves and local.pays(explained) if self.local_gradients is None else self.local_gradients
        if pays:
            gradients: Sequence[Tensor | None] = local.grad(score, tensors, keep)
        else:
            gradients = torch.autograd.grad(score, tensors, retain_graph=keep, allow_unused=True)
        return {label: one for label, one in zip(outputs, gradients, strict=True) if one is not None}


_NO_PATH = LeftOut("does not lead to the logits", "leave it out")
_OVERWRITTEN = LeftOut("is overwritten even as a copy", "leave it out")
_NOT_FROM_INPUT = LeftOut(
    "lies on no known place of the input, as no gradient leads from it back to the input",
    "leave it out, or take placement='stretched'",
)


def _on_grids(outputs: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> dict[str, Tensor]:
    return {label: layouts[label].maps(output.detach()) for label, output in outputs.items()}


def _class_names(model: nn.Module) -> dict[str, int]:
    """Return the indices of the classes' names, where a transformers network tells them."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return {str(name): int(i) for i, name in names.items()} if isinstance(names, dict) else {}


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
