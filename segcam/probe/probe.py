"""Probe: one forward and one backward pass, and the activations and gradients of every layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from segcam.errors import ProbeError
from segcam.probe.attention import AttentionPlace, read, recording
from segcam.probe.backward import convolves, gradients_of
from segcam.probe.captures import Capture, Chunk
from segcam.probe.frugal import Frugal
from segcam.probe.hooks import chosen_outputs, frozen, logits_of, recording_calls
from segcam.probe.layers import Layer, LayerChoice, find_layers
from segcam.probe.memory import Job, Plan, plan_passes
from segcam.probe.targets import Explained, Target
from segcam.probe.tokens import as_maps

__all__ = ["Capture", "Chunk", "Precision", "Probe", "frozen", "logits_of"]

Precision = Literal["fp32", "bf16"]


class Probe:
    """Reads activations and gradients of many layers of any network in one forward and one backward pass.

    The network may return its logits `(b, k, h, w)` as a tensor, as a mapping with 'out' or 'logits', or as an object
    with `.logits`, at any stride. It is put into eval mode for the pass and its parameters are frozen; mode,
    `requires_grad`, gradients and hooks are as before when the call ends, however it ends. Samples do not mix. Frozen
    parameters, callers in `no_grad` or `inference_mode`, in-place modules and bf16 networks are all right.

    Not for use from several threads on the same network at once: mode and `requires_grad` belong to the network.

    Args:
        model: the network.
        layers: module paths, patterns, modules or `Layer`s, see `find_layers`.
        kind: where given, patterns match modules of this class alone.
        precision: 'bf16' runs the network under bf16 autocast, which is faster and less exact.
        channels_last: lay the input out channels-last, which is faster for most convolutional networks; those that
            reshape with `view` cannot take it.
        frugal: save less for the backward pass: about a tenth to a fifth less memory for a few percent more time; the
            gradients are the same, see `segcam.probe.frugal`. `chunks` always does.
        attention: blocks whose attention matrices are wanted as well, such as `attention_places` of the network's
            file gives. They are computed step by step then, which is slower than the fused kernels and agrees with
            them up to rounding.

    Raises:
        ProbeError: a layer is not in the network.

    >>> from torch import nn
    >>> from segcam import Probe, Target, grad_cam
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> capture = Probe(net, "*", kind=nn.Conv2d)(torch.rand(2, 3, 8, 8), Target(class_id=1))
    >>> capture.maps(grad_cam, "0").shape
    torch.Size([2, 8, 8])
    """

    def __init__(
        self,
        model: nn.Module,
        layers: LayerChoice | Iterable[LayerChoice],
        *,
        kind: type[nn.Module] | None = None,
        precision: Precision = "fp32",
        channels_last: bool = False,
        frugal: bool = False,
        attention: Iterable[AttentionPlace] = (),
    ) -> None:
        self.model = model
        self.layers = tuple(find_layers(model, layers, kind))
        self.precision = precision
        self.channels_last = channels_last
        self.frugal = frugal
        self.attention = tuple(attention)
        self._local = convolves(model)
        self._overwritten: set[str] = set()
        self._plans: dict[object, Plan] = {}

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
        if not isinstance(images, Tensor) or not images.is_floating_point():
            got = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise ProbeError(
                f"images are {got}: pass a float tensor, prepared as the network takes it (Batch.inputs())"
            )
        wrong = [type(target).__name__ for target in targets if not isinstance(target, Target)]
        if wrong:
            raise ProbeError(f"a Target is needed, not a {wrong[0]}; for several targets call many(images, [...])")
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
            parameters = stack.enter_context(frozen(self.model))
            outputs, logits, matrices = self._forward(images, parameters)
            size = (int(images.shape[-2]), int(images.shape[-1]))
            attentions = read(self.attention, matrices, size)
            explained = _explained(logits, size, targets, masks, fixed)
            acts, logits = self._maps(outputs, size), logits.detach()
            captures = []
            for i, (target, chosen) in enumerate(zip(targets, explained, strict=True)):
                found = self._backward(chosen, outputs, keep=i + 1 < len(targets))
                known = replace(chosen, scores=chosen.scores.detach())  # what is kept holds no graph
                gradients = self._maps(found, size)
                captures.append(Capture(self.layers, acts, gradients, target, known, logits, size, attentions))
        return captures

    def chunks(
        self,
        images: Float[Tensor, "b ch h w"],
        targets: Sequence[Target],
        *,
        max_memory: int,
        masks: Int[Tensor, "b h w"] | None = None,
    ) -> Iterator[Chunk]:
        """Probe a batch in parts, so that no more than `max_memory` bytes of tensors are alive at once.

        One chunk's captures and the pass for the next are counted together: let go of each chunk before the one after
        the next is asked for. How much an image takes is measured on one or two of the batch, before the first chunk
        and once for each size and number of images; see `segcam.probe.memory` for what is counted.

        Args:
            images: the network's input.
            targets: what is explained.
            max_memory: in bytes, beside the network's parameters and the images.
            masks: the true class of each pixel, for targets that look at it.

        Returns:
            The chunks, in the order of the images. Where one image with all layers does not fit, the layers are parted
            as well, each group with a pass of its own, and an image comes up once for each group.

        Raises:
            ProbeError: one image and one layer do not fit; the message names the smallest value that works; else see
                `many`.
        """

        def job(layers: Sequence[Layer], rows: slice) -> list[Capture]:
            return self.part(images, targets, layers, rows, masks)

        plan = self.planned(("chunks",), plan_passes, job, images, targets, max_memory)
        for rows in plan.rows(len(images)):
            for layers in plan.groups:
                yield Chunk(rows, job(layers, rows))

    def part(
        self,
        images: Float[Tensor, "b ch h w"],
        targets: Sequence[Target],
        layers: Sequence[Layer],
        rows: slice,
        masks: Int[Tensor, "b h w"] | None = None,
    ) -> list[Capture]:
        """Probe some images of a batch, and some of the layers, with no more memory than is needed."""
        own = copy.copy(self)
        own.layers, own.frugal = tuple(layers), True
        own_masks = None if masks is None else masks[rows]
        return own.many(images[rows], [target.of(rows) for target in targets], masks=own_masks)

    def planned(
        self,
        what: tuple[str, ...],
        make: Callable[[Job, Sequence[Layer], int, int], Plan],
        job: Job,
        images: Float[Tensor, "b ch h w"],
        targets: Sequence[Target],
        max_memory: int,
    ) -> Plan:
        """Return the plan that `make` makes for a job, made once for images of one size and number."""
        names = tuple(target.name for target in targets)
        key = (what, tuple(images.shape), images.dtype, images.device, names, max_memory)
        if key not in self._plans:
            self._plans[key] = make(job, self.layers, len(images), max_memory)
        return self._plans[key]

    def _maps(self, outputs: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        return {layer.label: as_maps(outputs[layer.label].detach(), layer, size) for layer in self.layers}

    def prepared(self, images: Float[Tensor, "b ch h w"]) -> Float[Tensor, "b ch h w"]:
        """Return the images as the network gets them: in its dtype, detached, laid out as asked for."""
        own = next((p for p in self.model.parameters() if p.is_floating_point()), None)
        if own is not None and images.is_floating_point() and images.dtype != own.dtype:
            images = images.to(own.dtype)
        if self.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return images.detach()

    def _forward(
        self, images: Tensor, parameters: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, list[Tensor]]]:
        """Run until no hooked output is overwritten: once, or once more where in-place modules are found to follow."""
        while True:
            own = self.prepared(images)
            if own.untyped_storage().data_ptr() == images.untyped_storage().data_ptr():
                own = own.clone()  # the network may write into its input
            autocast = torch.autocast(own.device.type, torch.bfloat16, enabled=self.precision == "bf16")
            hooks = recording_calls(self.model, self.layers, self._overwritten)
            saving = Frugal() if self.frugal else nullcontext()
            with hooks as calls, recording(self.model, self.attention) as matrices, autocast, saving:
                output = functional_call(self.model, parameters, (own,)) if parameters else self.model(own)
            logits = logits_of(output)
            outputs, overwritten = chosen_outputs(self.layers, calls)
            if not overwritten:
                return outputs, logits, matrices
            if overwritten <= self._overwritten:
                raise ProbeError(f"layer '{min(overwritten)}' is overwritten even as a copy: leave it out")
            self._overwritten |= overwritten

    def _backward(self, explained: Explained, outputs: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
        if not explained.scores.requires_grad:
            raise ProbeError(f"layer '{next(iter(outputs))}' does not lead to the logits: leave it out")
        found = gradients_of(explained, list(outputs.values()), keep=keep, local=self._local)
        known: dict[str, Tensor] = {}
        for label, gradient in zip(outputs, found, strict=True):
            if gradient is None:
                raise ProbeError(f"layer '{label}' does not lead to the logits: leave it out")
            known[label] = gradient
        return known


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
    return [target.explain_again(logits, size, known) for target, known in zip(targets, fixed, strict=True)]
