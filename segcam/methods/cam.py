"""CAM: the class's own weights, where nothing but a linear head follows a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import NotApplicableError
from segcam.methods import method
from segcam.methods.material.channels import activations_of, editing
from segcam.methods.material.pair import combined
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer


@method("run", label="CAM", family="cam", signed=True, needs_gradients=False)
def cam(subject: Subject, layer: Layer) -> Float[Tensor, "b h w"]:
    """Channels weighted by the class's own weights, where only a linear head follows; signed.

    `M = sum_k w_k^c A_k`, where the network ends in a linear head and `w^c` are its weights of class c. As in the paper
    there is no ReLU: what is negative speaks against the class. Of a head whose kernel is larger than one cell `w_k^c`
    is the sum over the kernel, which is what an activation adds to all logits of the class together, away from the
    image's border. A bias belongs to no place and plays no part.

    CAM explains the class's logit. Under another score `s` the weights are `sum_j w_k^j ds/dz_j`, with the derivatives
    by the logits `z_j` of each class summed over positions: 1 and 0 for 'logit', which is the paper's; for 'margin'
    the class's weights less those of the best other class, averaged over the explained pixels.

    That a head is linear, and that nothing but it and what keeps channels apart (upsampling, dropout, pooling) lies
    between the layer and the logits, is found by trying: random maps are put in the place of the layer's output.

    Returns:
        `M` on the layer's grid, `(b, h, w)`, signed, in the units of the score; NaN for images whose pixel set is
        empty.

    Raises:
        NotApplicableError: no linear head follows the layer, or its module runs more than once in a pass or on windows
            of the images.

    Source: Zhou et al., CVPR 2016, eq. 1-2; heads of larger kernels and other scores: segcam.
    """
    activations = activations_of(subject, layer)
    head = _head_behind(subject, layer, activations.shape[1])
    weights = _derivatives(subject).to(activations.dtype) @ head.weights.to(activations.dtype)
    return undefined_where_empty(combined(activations, weights[:, None])[:, 0], subject)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear module whose output leads to the logits.

    Attributes:
        module: the module.
        axis: the dimension of its input and output in which the channels lie.
        weights: what each channel of its input adds to each class.
    """

    module: nn.Module
    axis: int
    weights: Float[Tensor, "k c"]


def _head_behind(subject: Subject, layer: Layer, channels: int) -> Head:
    """Find the head to which the layer leads.

    Raises:
        NotApplicableError: there is none.
    """
    module = subject.module(layer)
    heads = subject.once("linear heads", lambda: _heads(subject))
    for head in heads:
        if head.weights.shape[1] == channels and _leads_to(subject, module, layer, head):
            return head
    if not heads:
        raise NotApplicableError("the network does not end in a linear head")
    raise NotApplicableError("no linear head follows this layer: more than upsampling lies between it and the head")


@torch.no_grad()
def _heads(subject: Subject) -> list[Head]:
    """Find the linear modules whose output becomes the logits, class by class."""
    image = subject.images[:1]
    classes = subject.capture.logits.shape[1]
    heads = []
    for module in subject.model.modules():
        read = _linear(module)
        if read is None or read[1].shape[0] != classes:
            continue
        axis, weights = read
        outputs = _outputs(subject, module)

        def logits(values: Tensor, module: nn.Module = module) -> Tensor:
            with editing(module, lambda _output: values):
                return subject.objective.logits(image.clone())

        if len(outputs) == 1 and _keeps_channels_apart(logits, outputs[0], axis, 1):
            heads.append(Head(module, axis, weights))
    return heads


def _outputs(subject: Subject, module: nn.Module) -> list[Tensor]:
    """Return what a module gives in each of its calls for the first image."""
    outputs: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        outputs.append(output)
        return output.clone()  # what follows may write into it

    with editing(module, keep):
        subject.model(subject.images[:1].clone())
    return outputs


def _linear(module: nn.Module) -> tuple[int, Float[Tensor, "k c"]] | None:
    """Read a linear layer, or a convolution that keeps the grid: its channels' axis, and its weights."""
    forward = type(module).forward  # a subclass may do otherwise than its weights say
    if isinstance(module, nn.Linear) and forward is nn.Linear.forward:
        return -1, module.weight.detach()
    if not isinstance(module, nn.Conv2d) or forward is not nn.Conv2d.forward:
        return None
    reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    padded = module.padding == "same" or [2 * int(p) for p in module.padding] == reach
    if module.groups > 1 or math.prod(module.stride) > 1 or not padded:
        return None
    return 1, module.weight.detach().sum((2, 3))


@torch.no_grad()
def _leads_to(subject: Subject, module: nn.Module, layer: Layer, head: Head) -> bool:
    """Tell whether the layer's output becomes the head's input, channel by channel."""
    image = subject.images[:1]
    (output,) = _outputs(subject, module)
    inputs: list[Tensor] = []

    def follow(values: Tensor) -> Tensor:
        keeping = head.module.register_forward_pre_hook(
            lambda _module, given, named: inputs.append([*given, *named.values()][0]), with_kwargs=True
        )
        try:
            with editing(module, lambda _output: values):
                subject.model(image.clone())
        finally:
            keeping.remove()
        return inputs.pop()

    return _keeps_channels_apart(follow, output, subject.layout(layer).axis, head.axis)


def _keeps_channels_apart(follow: Callable[[Tensor], Tensor], like: Tensor, before: int, after: int) -> bool:
    """Tell whether what follows is linear, the same for every channel, mixes none, and leaves constants as they are.

    Args:
        follow: what is asked about, a function of values like `like`.
        like: a tensor of the shape, size and dtype that it takes.
        before: the axis of the channels in what it takes.
        after: the axis of the channels in what it gives.
    """
    generator = torch.Generator().manual_seed(0)
    scale = at_least_float32(like).std().clamp(min=1e-3)

    def draw(*shape: int) -> Tensor:
        return scale * torch.randn(shape, generator=generator).to(like.device, scale.dtype)

    def through(values: Tensor) -> Tensor:
        return at_least_float32(follow(values.movedim(1, before).to(like.dtype)).movedim(after, 1).flatten(2))

    def same(a: Tensor, b: Tensor) -> bool:
        return bool(((a - b).abs() <= noise).all())

    noise = 4 * math.sqrt(torch.finfo(like.dtype).eps) * scale
    one = draw(*like.movedim(before, 1).shape)
    one[:, 1::2] = 0
    seen = through(one)
    if seen.shape[1] != one.shape[1] or not same(seen[:, 1::2], torch.zeros_like(seen[:, 1::2])):
        return False  # what was empty has not stayed so
    other = one.roll(1, 1)
    rolled = through(other)
    constants = draw(1, one.shape[1], *[1] * (one.ndim - 2))
    together = through(one - 2 * other + constants)
    return same(rolled, seen.roll(1, 1)) and same(together, seen - 2 * rolled + constants.flatten(2))


def _derivatives(subject: Subject) -> Float[Tensor, "b k"]:
    """Return the score's derivatives by the logits of each class, summed over positions; the network plays no part."""

    def make() -> Float[Tensor, "b k"]:
        with torch.enable_grad():
            logits = at_least_float32(subject.capture.logits).detach().clone().requires_grad_()
            scores = subject.target.score_again(logits, subject.capture.size, *subject.extra)
            (gradient,) = torch.autograd.grad(scores.sum(), logits)
        return gradient.sum((2, 3))

    return subject.once("derivatives by logits", make)
