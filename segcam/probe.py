"""Probe: one forward and one backward pass, and the activations and gradients of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from segcam.attention import Attention, AttentionPlace, read, recording
from segcam.errors import ProbeError
from segcam.layers import Layer, LayerChoice, find_layers
from segcam.targets import Explained, Target, at_least_float32
from segcam.tokens import as_maps

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Capture:
    """What one target's pass over a batch gave, by layer label.

    Attributes:
        layers: the layers, in the order asked for.
        activations: the layers' outputs `A`, `(b, c, h, w)` each; tokens lie on their grid.
        gradients: derivatives of the target's score by them `G`, of the same shapes; zero for an image whose pixel
            set is empty.
        target: what was explained.
        explained: its pixels and scores, at the resolution that the target names.
        logits: the network's output, `(b, k, h, w)`.
        size: height and width of the input, in pixels.
        attentions: the attention matrices of the places asked for, by label; captures of one pass share them.
    """

    layers: tuple[Layer, ...]
    activations: Mapping[str, Float[Tensor, "b c h w"]]
    gradients: Mapping[str, Float[Tensor, "b c h w"]]
    target: Target
    explained: Explained
    logits: Float[Tensor, "b k h w"]
    size: tuple[int, int]
    attentions: Mapping[str, Attention] = field(default_factory=dict)

    def maps(
        self, method: Callable[[Tensor, Tensor], Tensor], layer: str | Layer | None = None
    ) -> Float[Tensor, "b h w"]:
        """Compute one layer's map with a gradient method like `grad_cam`, on the layer's own grid, float32 or wider.

        Args:
            method: `(activations, gradients) -> map`.
            layer: its label; may be left out where there is just one.

        Returns:
            `(b, h, w)`; NaN for images whose pixel set is empty.

        Raises:
            ProbeError: there is no such layer.
        """
        if layer is None and len(self.layers) == 1:
            layer = self.layers[0]
        label = layer.label if isinstance(layer, Layer) else layer
        if label is None or label not in self.activations:
            raise ProbeError(f"no layer '{label}' was probed: there are {', '.join(self.activations)}")
        if not callable(method):
            raise ProbeError(
                f"a method is a function of activations and gradients, such as segcam.grad_cam, not {method!r}"
            )
        found = method(at_least_float32(self.activations[label]), at_least_float32(self.gradients[label]))
        return found.masked_fill((self.explained.pixels == 0).view(-1, 1, 1), torch.nan)

    @property
    def scores(self) -> Float[Tensor, " b"]:
        """The number differentiated for each image."""
        return self.explained.scores.detach()

    @property
    def target_pixels(self) -> Int[Tensor, " b"]:
        """The size of each image's pixel set."""
        return self.explained.pixels

    @property
    def target_predicted(self) -> Bool[Tensor, " b"]:
        """Whether the class is predicted at any pixel of the set."""
        return self.explained.predicted


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
        attention: Iterable[AttentionPlace] = (),
    ) -> None:
        self.model = model
        self.layers = tuple(find_layers(model, layers, kind))
        self.precision = precision
        self.channels_last = channels_last
        self.attention = tuple(attention)
        self._overwritten: set[str] = set()

    def __call__(self, images: Float[Tensor, "b ch h w"], target: Target | None = None) -> Capture:
        """Probe a batch for one target; the default is the paper's: the best pixel's logit of class 1.

        Raises:
            ProbeError: see `many`.
        """
        return self.many(images, [target or Target()])[0]

    def many(self, images: Float[Tensor, "b ch h w"], targets: Sequence[Target]) -> list[Capture]:
        """Probe a batch for several targets, which share one forward pass.

        Args:
            images: the network's input.
            targets: what is explained; a backward pass each.

        Returns:
            A capture a target; they share their activations.

        Raises:
            ProbeError: a layer did not run, ran more than once, gave no feature maps or does not lead to the logits;
                the output is none of the known kinds; a class does not exist; an attention cannot be read.
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
            outputs, logits, matrices = self._forward(self.prepared(images), parameters)
            size = (int(images.shape[-2]), int(images.shape[-1]))
            attentions = read(self.attention, matrices, size)
            explained = [target.explain(logits, size) for target in targets]
            captures = []
            for i, (target, chosen) in enumerate(zip(targets, explained, strict=True)):
                gradients = self._backward(chosen.scores, outputs, keep=i + 1 < len(targets))
                gradients, acts = self._maps(gradients, size), self._maps(outputs, size)
                captures.append(
                    Capture(self.layers, acts, gradients, target, chosen, logits.detach(), size, attentions)
                )
        return captures

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
            calls: dict[str, list[tuple[Tensor, int]]] = {layer.label: [] for layer in self.layers}
            autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16")
            hooks = _hooks(self.model, self.layers, calls, self._overwritten)
            with hooks, recording(self.model, self.attention) as matrices, autocast:
                own = images.clone()  # the network may write into its input
                output = functional_call(self.model, parameters, (own,)) if parameters else self.model(own)
            logits = logits_of(output)
            outputs, overwritten = self._chosen_calls(calls)
            if not overwritten:
                return outputs, logits, matrices
            if overwritten <= self._overwritten:
                raise ProbeError(f"layer '{min(overwritten)}' is overwritten even as a copy: leave it out")
            self._overwritten |= overwritten

    def _chosen_calls(self, calls: dict[str, list[tuple[Tensor, int]]]) -> tuple[dict[str, Tensor], set[str]]:
        outputs: dict[str, Tensor] = {}
        overwritten: set[str] = set()
        for layer in self.layers:
            fired = calls[layer.label]
            if not fired:
                raise ProbeError(
                    f"layer '{layer.label}' did not run in the forward pass: leave it out ('!{layer.module}')"
                )
            if layer.call is None and len(fired) > 1:
                which = f"Layer(module='{layer.module}', label=..., call=0..{len(fired) - 1})"
                raise ProbeError(
                    f"layer '{layer.label}' runs {len(fired)} times in one forward pass: leave it out "
                    f"('!{layer.module}') or say which with {which}"
                )
            if not 0 <= (layer.call or 0) < len(fired):
                raise ProbeError(f"layer '{layer.label}' has no call {layer.call}: it runs {len(fired)} times")
            outputs[layer.label], version = fired[layer.call or 0]
            if outputs[layer.label]._version != version:
                overwritten.add(layer.label)
        return outputs, overwritten

    def _backward(self, scores: Tensor, outputs: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
        if not scores.requires_grad:
            raise ProbeError(f"layer '{next(iter(outputs))}' does not lead to the logits: leave it out")
        found = torch.autograd.grad(scores.sum(), list(outputs.values()), retain_graph=keep, allow_unused=True)
        for label, gradient in zip(outputs, found, strict=True):
            if gradient is None:
                raise ProbeError(f"layer '{label}' does not lead to the logits: leave it out")
        return dict(zip(outputs, found, strict=True))


@contextmanager
def frozen(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Put the network into eval mode with frozen parameters, then back.

    Yields the tensors to run it with in place of its own: none, but for a network made in inference mode, whose
    parameters autograd may not save.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanting = [p for p in model.parameters() if p.requires_grad and not p.is_inference()]
    named = [*model.named_parameters(), *model.named_buffers()]
    copies = {n: t.detach().clone() for n, t in named} if any(t.is_inference() for _, t in named) else {}
    try:
        model.eval()
        for parameter in wanting:
            parameter.requires_grad_(False)
        yield copies
    finally:
        for module, training in modes:
            module.training = training
        for parameter in wanting:
            parameter.requires_grad_(True)


@contextmanager
def _hooks(
    model: nn.Module, layers: Sequence[Layer], calls: dict[str, list[tuple[Tensor, int]]], overwritten: set[str]
) -> Iterator[None]:
    modules = dict(model.named_modules())
    handles = []
    try:
        for layer in layers:
            hook = _recorder(layer, calls[layer.label], overwritten)
            # First, so that hooks of the network's own, which some use to collect features, get what is passed on.
            handles.append(modules[layer.module].register_forward_hook(hook, prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _recorder(
    layer: Layer, fired: list[tuple[Tensor, int]], overwritten: set[str]
) -> Callable[[nn.Module, object, object], object]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> object:
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor) or first.ndim not in (3, 4):
            got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            raise ProbeError(
                f"layer '{layer.label}' gave {got}: only feature maps (b, c, h, w) and tokens (b, n, c) can be probed; "
                "choose another layer"
            )
        # What is kept is a node of its own: a module may return its very input, which other branches use too. With
        # frozen parameters the first layer's output needs no gradient, so it becomes a leaf that does. What goes on
        # from a leaf, or from an output that is known to be overwritten later, is a copy, and so is then what is kept.
        leaf, copied = not first.requires_grad, layer.label in overwritten
        own = first.clone() if copied else first
        kept = own.detach().requires_grad_() if leaf else own.view_as(own)
        fired.append((kept, kept._version))
        passed_on = kept.clone() if leaf or copied else kept
        if not isinstance(output, tuple):
            return passed_on
        parts = (passed_on, *output[1:])
        return type(output)._make(parts) if hasattr(output, "_make") else parts

    return hook


def logits_of(output: object) -> Float[Tensor, "b k h w"]:
    """Return the logits that a network gave as a tensor, in a mapping or in an object.

    Raises:
        ProbeError: they are not there, or have other dimensions.
    """
    found = output
    if isinstance(output, Mapping):
        found = next((output[key] for key in ("out", "logits") if key in output), None)
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", None)
    if not isinstance(found, Tensor) or found.ndim != 4:
        got = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(output).__name__}"
        if isinstance(output, Mapping):
            got += f" with {', '.join(map(repr, output))}"
        raise ProbeError(
            f"the network returned {got}: logits (b, classes, h, w) are needed, as a tensor, as a mapping with 'out' "
            "or 'logits', or as an object with .logits; wrap the network in a Module that returns them"
        )
    return found
