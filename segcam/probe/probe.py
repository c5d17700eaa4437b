"""Probe: one forward and one backward pass, and the activations and gradients of every layer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from segcam.errors import ProbeError, unknown
from segcam.precision import of_network
from segcam.probe import local_gradients as local
from segcam.probe import scaling
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention_hooks import on_grids, recording_attention
from segcam.probe.captures import Capture
from segcam.probe.hooks import as_images, chosen_outputs, frozen, recording_calls, run
from segcam.probe.layers import Layer, LayerChoice, find_layers
from segcam.probe.outputs import OUTPUTS, Arguments, Output, last_step, logits_of, resolved, tensor_of
from segcam.probe.placement import Placing, courses
from segcam.probe.saving import WithoutInputs
from segcam.probe.survey import Placed, Survey
from segcam.probe.targets import Explained, Target
from segcam.probe.tokens import as_maps
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
        self.model = model
        self.output = output
        self.placement: Placing = placement
        self.class_ids = _class_names(model) if classes is None else {name: i for i, name in enumerate(classes)}
        self.layers = tuple(find_layers(model, layers, kind))
        self.precision = precision
        self.channels_last = channels_last
        self.low_memory = low_memory
        self.local_gradients = local_gradients
        self.attention = tuple(attention)
        self._convolves = local.convolves(model)
        self._overwritten: set[str] = set()
        self._meaning: Output | None = None
        self._said: Output | None = None
        self._argument: bool | None = None
        self._surveys: dict[Grid, Survey] = {}

    def __call__(
        self,
        images: Float[Tensor, "b ch h w"],
        target: Target | None = None,
        *,
        masks: Int[Tensor, "b h w"] | None = None,
    ) -> Capture:
        """Probe a batch for one target; the default is the paper's: the best pixel's logit of class 1.

        Raises:
            ProbeError: see `many`.
        """
        return self.many(images, [target or Target()], masks=masks)[0]

    def many(
        self,
        images: Float[Tensor, "b ch h w"],
        targets: Sequence[Target],
        *,
        masks: Int[Tensor, "b h w"] | None = None,
        fixed: Sequence[Explained] | None = None,
    ) -> list[Capture]:
        """Probe a batch for several targets, which share one forward pass.

        Args:
            images: the network's input.
            targets: what is explained; a backward pass each.
            masks: the true class of each pixel, `Batch.masks`, for targets that look at it ('truth').
            fixed: for each target the pixels to explain, `Capture.explained` of unchanged images or of an unchanged
                network, so that the question stays the same; unless given, each target chooses anew.

        Returns:
            A capture a target; they share their activations.

        Raises:
            ProbeError: a layer did not run, ran more than once, gave no feature maps or does not lead to the logits;
                the output is none of the known kinds; a class does not exist; an attention cannot be read; the fixed
                pixels are not one set a target, or of other images.
        """
        images = as_images(images)
        wrong = [type(target).__name__ for target in targets if not isinstance(target, Target)]
        if wrong:
            raise ProbeError(f"a Target is needed, not a {wrong[0]}; for several targets call many(images, [...])")
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            parameters = stack.enter_context(frozen(self.model, own_precision=self.precision == "own"))
            outputs, output, matrices, logits = self._forward(images, parameters, targets)
            size = (int(images.shape[-2]), int(images.shape[-1]))
            attentions = on_grids(self.attention, matrices, size)
            targets = self._understood(targets, output, images, parameters)
            explained = _explained(logits, size, targets, masks, fixed)
            acts, logits = self._maps(outputs, size), logits.detach()
            placements: dict[str, Placement | None] = dict.fromkeys(acts)
            if self.placement == "receptive_field":
                survey = self._survey(images, parameters)
                placements |= {label: survey.unless_stretched(label) for label in acts}
            captures = []
            for i, (target, pixels) in enumerate(zip(targets, explained, strict=True)):
                gradients = self._gradients(pixels, outputs, size, keep=i + 1 < len(targets))
                without_graph = replace(pixels, scores=pixels.scores.detach())  # what is kept holds no graph
                captures.append(
                    Capture(self.layers, acts, gradients, target, without_graph, logits, size, attentions, placements)
                )
        return captures

    def _understood(
        self, targets: Sequence[Target], output: object, images: Tensor, parameters: dict[str, Tensor]
    ) -> list[Target]:
        """Return the targets with what is known of the network: what its output means, where it lies, class names."""
        values, size = tensor_of(output), (int(images.shape[-2]), int(images.shape[-1]))
        grid = (int(values.shape[2]), int(values.shape[3]))
        place = None if grid == size else self._survey(images, parameters).of_output(grid)
        known: Any = {"output": self._meaning, "argument": self._argument, "placement": place}
        return [replace(target.named(self.class_ids), **known) for target in targets]

    def placements(self, images: Float[Tensor, "b ch h w"]) -> dict[str, Placed]:
        """Return where each layer's grid lies on the input, by label, whatever the probe's `placement`.

        It holds for all images of this size; one is run, with its gradient.

        Raises:
            ProbeError: a layer does not come from the input, or see `many`.
        """
        with torch.inference_mode(mode=False), torch.enable_grad(), frozen(self.model) as parameters:
            survey = self._survey(images, parameters)
        return {layer.label: survey.placed(layer.label) for layer in self.layers}

    def _survey(self, images: Tensor, parameters: dict[str, Tensor]) -> Survey:
        """Run one image with its gradient and follow layers and output back to it; once a size of input."""
        size = (int(images.shape[-2]), int(images.shape[-1]))
        if size not in self._surveys:
            image = self.prepared(images[:1], parameters).clone().requires_grad_()
            image = image.clone()  # no leaf: modules may write into it
            source = image.grad_fn
            with recording_calls(self.model, self.layers, set()) as calls:
                output = run(self.model, image, parameters)
            outputs, _ = chosen_outputs(self.layers, calls)
            *found, of_output = courses([*outputs.values(), tensor_of(output)], source, size)
            maps = self._maps(outputs, size)
            grids = {label: (int(one.shape[-2]), int(one.shape[-1])) for label, one in maps.items()}
            self._surveys[size] = Survey(
                size, dict(zip(outputs, found, strict=True)), grids, of_output, last_step(tensor_of(output))
            )
        return self._surveys[size]

    def restricted(self, layers: Sequence[Layer]) -> Probe:
        """Return a probe of some of the layers, which saves memory."""
        probe = copy.copy(self)
        probe.layers, probe.low_memory = tuple(layers), True
        return probe

    def _maps(self, outputs: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        return {layer.label: as_maps(outputs[layer.label].detach(), layer, size) for layer in self.layers}

    def prepared(
        self, images: Float[Tensor, "b ch h w"], tensors: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "b ch h w"]:
        """Return the images as the network gets them: in its dtype, detached, laid out as asked for."""
        images = images.to(of_network(self.model, tensors))
        if self.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return images.detach()

    def _forward(
        self, images: Tensor, parameters: dict[str, Tensor], targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], object, dict[str, list[Tensor]], Tensor]:
        """Run until no hooked output is overwritten, and it is known what the output means: mostly once.

        It runs once more where in-place modules are found to follow, and where the output is found to be made of
        logits, to see those.
        """
        while True:
            inputs = self.prepared(images, parameters)
            if inputs.untyped_storage().data_ptr() == images.untyped_storage().data_ptr():
                inputs = inputs.clone()  # the network may write into its input
            bf16 = self.precision == "bf16"
            autocast = torch.autocast(inputs.device.type, torch.bfloat16) if bf16 else nullcontext()
            hooks = recording_calls(self.model, self.layers, self._overwritten)
            saving = WithoutInputs() if self.low_memory else nullcontext()
            seeing = Arguments() if self._argument else nullcontext()
            with hooks as calls, recording_attention(self.model, self.attention) as matrices, autocast, saving, seeing:
                output = run(self.model, inputs, parameters)
            outputs, overwritten = chosen_outputs(self.layers, calls)
            if overwritten:
                if overwritten <= self._overwritten:
                    raise ProbeError(f"layer '{min(overwritten)}' is overwritten even as a copy: leave it out")
                self._overwritten |= overwritten
                continue
            meaning = self._resolve(output, targets, images, parameters)
            if self._argument is None:
                self._argument = meaning not in ("logits", "multilabel")
                if self._argument:
                    continue
            logits = seeing.of(output) if isinstance(seeing, Arguments) else None
            self._argument = logits is not None
            return outputs, output, matrices, logits_of(output, meaning) if logits is None else logits

    def _resolve(
        self, output: object, targets: Sequence[Target], images: Tensor, parameters: dict[str, Tensor]
    ) -> Output:
        """Return what the output means, by what the probe or the targets say, or by its values the first time."""
        declared = {choice for choice in (self.output, *(target.output for target in targets)) if choice is not None}
        if len(declared) > 1:
            raise ProbeError(f"the output is declared as {' and as '.join(sorted(declared))}: say it once")
        said = next(iter(declared), None)
        if self._meaning is None or (said is not None and said not in (self._meaning, self._said)):
            meaning = resolved(output, said, lambda: self._survey(images, parameters).end)
            self._meaning, self._said, self._argument = meaning, said, None
        return self._meaning

    def _gradients(
        self, explained: Explained, outputs: dict[str, Tensor], size: tuple[int, int], *, keep: bool
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Return the gradients of the scores by the outputs, laid on the layers' grids."""
        if not scaling.through_float16(explained.scores):
            return self._maps(self._backward(explained, outputs, keep=keep), size)

        def differentiate(factors: Tensor) -> dict[str, Tensor]:
            scaled = replace(explained, scores=explained.scores * factors)
            return self._maps(self._backward(scaled, outputs, keep=True), size)

        return scaling.gradients(differentiate, explained.pixels)

    def _backward(self, explained: Explained, outputs: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
        """Return the gradients of the scores by the outputs; `keep` the graph where it is needed again."""
        if not explained.scores.requires_grad:
            raise ProbeError(f"layer '{next(iter(outputs))}' does not lead to the logits: leave it out")
        score, tensors = explained.scores.sum(), list(outputs.values())
        pays = self._convolves and local.pays(explained) if self.local_gradients is None else self.local_gradients
        if pays:
            gradients: Sequence[Tensor | None] = local.grad(score, tensors, keep)
        else:
            gradients = torch.autograd.grad(score, tensors, retain_graph=keep, allow_unused=True)
        by_label: dict[str, Tensor] = {}
        for label, gradient in zip(outputs, gradients, strict=True):
            if gradient is None:
                raise ProbeError(f"layer '{label}' does not lead to the logits: leave it out")
            by_label[label] = gradient
        return by_label


def _class_names(model: nn.Module) -> dict[str, int]:
    """Return the indices of the classes' names, where a transformers network tells them."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return {str(name): int(i) for i, name in names.items()} if isinstance(names, dict) else {}


def _explained(
    logits: Float[Tensor, "b k h w"],
    size: tuple[int, int],
    targets: Sequence[Target],
    masks: Int[Tensor, "b h w"] | None,
    fixed: Sequence[Explained] | None,
) -> list[Explained]:
    """Choose each target's pixels, or take those that are given, and score them."""
    if fixed is None:
        return [target.explain(logits, size, masks) for target in targets]
    if len(fixed) != len(targets):
        raise ProbeError(f"{len(fixed)} sets of fixed pixels for {len(targets)} targets: give one a target")
    return [target.explain_again(logits, size, explained) for target, explained in zip(targets, fixed, strict=True)]
