"""The one place from which captum is asked: what is pinned, how it is kept from leaving traces, what a failure becomes.

Pinned, with the reasons; a call that differs says why:

- `additional_forward_args` are the pixels chosen in the unchanged images and their classes (`Subject.extra`), so that
  steps, samples and perturbations of an image are all asked about the same pixels. captum repeats them with the images.
- Baseline: zero in the input as the network gets it. Under the usual normalisation that is ImageNet's mean colour, in
  every pixel; a network that takes colours in 0..1 gets black.
- `multiply_by_inputs=True`, captum's default: attributions in the units of the score that add up to its change.
- `attribute_to_layer_input=False`, captum's default: a layer is its output, as everywhere in segcam.
- `relu_attributions=True` for LayerGradCam, as in the paper; captum's default leaves ReLU out.
- `interpolate_mode='bilinear'` for GuidedGradCam, as in the paper; captum's default is 'nearest'.
- 16 steps of `gausslegendre`, captum's default rule, on paths; its default is 50 steps.
- Of an input's colour channels gradients keep the largest absolute value (Simonyan et al.), attributions are summed.

Methods of the input give a map `(b, H, W)` with a cell a pixel, whatever layer is named; methods of layers one on the
layer's grid, on which tokens are laid. Attributions are in the units of the score, gradients in those over the units of
the input or layer. Maps of images whose pixel set is empty are NaN.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from segcam._compat import require
from segcam.arrays import at_least_float32
from segcam.errors import InputError, NotApplicableError, first_line
from segcam.methods import Passes, Scope, Value, method
from segcam.methods.captum.limits import HOOKED, layer_module
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import INPUT, Layer
from segcam.probe.targets.dense import ClassIndices

BASELINE = 0
STEPS = 16
RULE = "gausslegendre"

IMAGES_AT_ONCE = 32
"""Images, copies included, that run through the network at once: it bounds the memory, and on a CPU costs no time."""

_WRITTEN = {"DeepLift": "DeepLIFT", "GradCam": "Grad-CAM", "Shap": "SHAP"}
"""Parts of captum's names of classes that are written otherwise in print."""

_FAILURES = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, AttributeError)
# Memory that has run out, or a device that is in a state of error, is no property of the method.
_FATAL = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_NOTES = ("input", "output", "input_ref")
_EXPECTED_WARNINGS = (
    "Setting forward, backward hooks and attributes on non-linear",  # what DeepLift is: all are removed here
    "Setting backward hooks on ReLU activations",  # the same of GuidedBackprop and Deconvolution
)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some images of a batch, as captum gets them.

    Attributes:
        images: a copy that requires gradients.
        extra: their pixels and classes.
        rows: which of the batch they are.
        seed: of the first image's random stream.
    """

    images: Float[Tensor, "n ch h w"]
    extra: tuple[Bool[Tensor, "n H W"] | Int8[Tensor, "n H W"], ClassIndices]
    rows: slice
    seed: int

    @property
    def copies(self) -> int:
        """How many copies of each image may run at once."""
        return max(1, IMAGES_AT_ONCE // len(self.images))


Settings = Mapping[str, Any] | Callable[[Chunk], Mapping[str, Any]]
"""Arguments of captum's `attribute` beside the images and their pixels, or how they follow from the images."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One of captum's methods, ready to be asked about a batch.

    Attributes:
        subject: the network, the batch and the pixels.
        layer: what is asked about; `INPUT` for the input's pixels.
        tool: captum's name of the method.
    """

    subject: Subject
    layer: Layer
    tool: str

    @property
    def module(self) -> nn.Module:
        """The layer's module.

        Raises:
            NotApplicableError: it does not run once in a pass.
        """
        return layer_module(self.subject, self.layer)

    def __call__(
        self,
        settings: Settings | None = None,
        *,
        copies: int = 1,
        drawn: bool = False,
        module: nn.Module | None = None,
        build: Callable[[Any], Any] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return the attributions, float32 or wider, asked for in parts that fit the memory.

        Args:
            settings: arguments of captum's `attribute`.
            copies: copies of each image that captum runs at once of itself (steps of a path, samples).
            drawn: whether captum draws random numbers. Then each image is asked about alone, with a stream fixed by
                the scenery's seed and the image's name (without a scenery by the image itself): results do not depend
                on the batch and are repeatable, on each kind of device. The global generators are then as they were.
            module: the module that the question is about; by default the layer's.
            build: `captum.attr -> the tool`, where it is more than the class of its name.

        Raises:
            NotApplicableError: captum failed, the message is the first line of its error's; or the layer's module does
                not run once in a pass.
        """
        subject = self.subject
        if self.layer is not INPUT:
            module = self.module
        size = 1 if drawn else max(1, IMAGES_AT_ONCE // copies)
        attributions = []
        for at in range(0, len(subject.images), size):
            chunk = _chunk(subject, slice(at, at + size), drawn=drawn)
            with ExitStack() as stack:
                stack.enter_context(_failures_as_reasons(self.tool))
                stack.enter_context(_no_traces(subject.objective))
                stack.enter_context(warnings.catch_warnings())
                for message in _EXPECTED_WARNINGS:
                    warnings.filterwarnings("ignore", message, UserWarning)
                stack.enter_context(separated(subject.objective, module))
                if drawn:
                    stack.enter_context(_stream(chunk.seed, chunk.images.device))
                require("captum", "captum", "a method of Captum")
                from captum import attr  # noqa: PLC0415  (slow to import)

                about = () if module is None else (module,)
                tool = build(attr) if build else getattr(attr, self.tool)(subject.objective, *about)
                given = settings(chunk) if callable(settings) else settings or {}
                output = tool.attribute(chunk.images, additional_forward_args=chunk.extra, **given)
                first = output[0] if isinstance(output, (tuple, list)) else output
                attributions.append(at_least_float32(first.detach()))
        maps = torch.cat(attributions)
        return maps if self.layer is INPUT else subject.as_maps(maps, self.layer)


def in_words(tool: str) -> str:
    """Return a class's name in words, as papers write them.

    >>> in_words("LayerDeepLift"), in_words("IntegratedGradients"), in_words("InputXGradient"), in_words("Saliency")
    ('Layer DeepLIFT', 'Integrated gradients', 'Input x gradient', 'Saliency')
    """
    first, *rest = re.findall("|".join([*_WRITTEN, "[A-Z][a-z]*"]), tool)
    return " ".join([_WRITTEN.get(first, first), *(_WRITTEN.get(part, part.lower()) for part in rest)])


def captum(
    tool: str,
    scope: Scope,
    *,
    label: str = "",
    signed: bool = True,
    needs_gradients: bool = True,
    passes: Passes = 1,
    least: Mapping[str, float] | None = None,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register `(Ask, parameters) -> maps` as the method 'captum_<the function's name>'; see `segcam.methods.method`.

    `tool` is captum's name of the method; in words it is its label in figures unless one is given.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @wraps(function)
        def run(subject: Subject, layer: Layer, **parameters: Value) -> Tensor:
            asked = layer if scope == "layer" else INPUT
            return undefined_where_empty(function(Ask(subject, asked, tool), **parameters), subject)

        return method(
            "run",
            label=f"{label or in_words(tool)} (Captum)",
            family="captum",
            signed=signed,
            needs_gradients=needs_gradients,
            scope=scope,
            passes=passes,
            least=least,
            name=f"captum_{function.__name__}",
        )(run)

    return register


def path(n_steps: int) -> dict[str, Any]:
    """Return the settings of a path of `n_steps` steps from the baseline.

    Raises:
        InputError: the number of steps is not positive.
    """
    positive("n_steps", n_steps)
    return {"baselines": BASELINE, "n_steps": n_steps, "method": RULE, "internal_batch_size": IMAGES_AT_ONCE}


def passes_by(parameter: str, beside: int = 0) -> Callable[[Mapping[str, Value]], int]:
    """Return the number of passes of a method that takes one for each of what a parameter counts, and some beside."""
    return lambda parameters: int(parameters[parameter]) + beside


def positive(name: str, value: float) -> None:
    """Check a parameter.

    Raises:
        InputError: it is not positive.
    """
    if value <= 0:
        raise InputError(f"{name} is {value}: it must be positive")


def _chunk(subject: Subject, rows: slice, *, drawn: bool) -> Chunk:
    images = subject.images[rows].detach().clone().requires_grad_()
    pixels, class_ids = subject.extra
    return Chunk(images, (pixels[rows], class_ids[rows]), rows, subject.seed(rows.start) if drawn else 0)


@contextmanager
def _stream(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of torch and numpy, from which captum draws, and put them back."""
    state = np.random.get_state()  # noqa: NPY002  (captum draws from it)
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if on_cuda else []):
        torch.default_generator.manual_seed(seed % 2**63)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed % 2**63)
        np.random.seed([seed >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)])  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


@contextmanager
def _failures_as_reasons(tool: str) -> Iterator[None]:
    try:
        yield
    except _FATAL:
        raise
    except _FAILURES as error:
        if "DefaultCPUAllocator" in str(error):  # memory has run out
            raise
        raise NotApplicableError(f"captum {tool}: {first_line(error)}") from error


@contextmanager
def _no_traces(network: nn.Module) -> Iterator[None]:
    """Remove the hooks that captum leaves, and the tensors that DeepLift notes on modules and forgets.

    Only captum's own hooks go: a network may set some of its own in its first pass.
    """
    modules = list(network.modules())
    tables = [getattr(module, name) for module in modules for name in _HOOKS]
    before = [set(table) for table in tables]
    noted = [{name: vars(module)[name] for name in _NOTES if name in vars(module)} for module in modules]
    try:
        yield
    finally:
        for table, earlier in zip(tables, before, strict=True):
            for key in [key for key, hook in table.items() if key not in earlier and _is_captums(hook)]:
                del table[key]
        for module, notes in zip(modules, noted, strict=True):
            for name in _NOTES:
                vars(module).pop(name, None)
            vars(module).update(notes)


def _is_captums(hook: Any) -> bool:
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("captum")


@contextmanager
def separated(network: nn.Module, layer: nn.Module | None = None) -> Iterator[None]:
    """Give modules inputs of their own, and a layer an output of its own.

    captum changes the gradient of a hooked module's input in place of the gradient of the module alone. Where others
    use this tensor too (a skip connection beside max-pooling), or the module before is hooked as well (max-pooling
    behind ReLU), it loses their part: DeepLift's attributions do not add up then. With a copy the module's input is the
    module's alone. In-place modules write into the copy. A layer that passes its very input on, as dropout does, gets
    an output that is not used elsewhere.
    """

    def copied(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(given.clone() if isinstance(given, Tensor) else given for given in inputs)

    def fresh(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return output.clone() if any(output is given for given in inputs) else None

    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, HOOKED) or getattr(module, "inplace", False) is True:
                stack.callback(module.register_forward_pre_hook(copied).remove)
        if layer is not None:
            stack.callback(layer.register_forward_hook(fresh).remove)
        yield
