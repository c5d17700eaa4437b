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
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from segcam._compat import require
from segcam.errors import InputError, NotApplicableError, first_line
from segcam.methods.material.subject import Subject
from segcam.probe.targets import at_least_float32
from segcam.streams import stream_seed

BASELINE = 0
STEPS = 16
RULE = "gausslegendre"
CAM_INTERPOLATION = "bilinear"

IMAGES_AT_ONCE = 32
"""Images, copies included, that run through the network at once: it bounds the memory, and on a CPU costs no time."""

HOOKED = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
"""Modules that captum hooks to change their gradients; DeepLift also hooks Softmax, by a rule that mixes images."""

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
class Part:
    """Some images of a batch, as captum gets them.

    Attributes:
        images: a copy that requires gradients.
        extra: their pixels and classes.
        rows: which of the batch they are.
        seed: of the first image's random stream.
    """

    images: Float[Tensor, "n ch h w"]
    extra: tuple[Bool[Tensor, "n H W"], Int[Tensor, " n"]]
    rows: slice
    seed: int

    @property
    def copies(self) -> int:
        """How many copies of each image may run at once."""
        return max(1, IMAGES_AT_ONCE // len(self.images))


Question = Callable[[Any, Part], Any]
"""What captum is asked: the module `captum.attr` and some images in, attributions out."""


def answer(
    subject: Subject, tool: str, ask: Question, *, copies: int = 1, drawn: bool = False, layer: nn.Module | None = None
) -> Float[Tensor, "b ..."]:
    """Ask captum about a batch, in parts that fit the memory.

    Args:
        subject: the network, the batch and the pixels.
        tool: captum's name of the method, for messages.
        ask: the question.
        copies: copies of each image that captum runs at once of itself (steps of a path, samples).
        drawn: whether captum draws random numbers. Then each image is asked about alone, with a stream fixed by the
            scenery's seed and the image's name (without a scenery by the image itself): results do not depend on the
            batch and are repeatable, on each kind of device. The global generators are then as they were.
        layer: the module that the question is about, if any.

    Returns:
        The attributions, float32 or wider; of several outputs of a layer the first one's.

    Raises:
        NotApplicableError: captum failed; the message is the first line of its error's.
    """
    size = 1 if drawn else max(1, IMAGES_AT_ONCE // copies)
    found = []
    for at in range(0, len(subject.images), size):
        part = _part(subject, slice(at, at + size), drawn=drawn)
        with ExitStack() as stack:
            stack.enter_context(_failures_as_reasons(tool))
            stack.enter_context(_no_traces(subject.objective))
            stack.enter_context(_quiet())
            stack.enter_context(separated(subject.objective, layer))
            if drawn:
                stack.enter_context(_stream(part.seed, part.images.device))
            require("captum", "captum", "a method of Captum")
            from captum import attr  # noqa: PLC0415  (slow to import)

            attributions = ask(attr, part)
            first = attributions[0] if isinstance(attributions, (tuple, list)) else attributions
            found.append(at_least_float32(first.detach()))
    return torch.cat(found)


def positive(name: str, value: float) -> None:
    """Check a parameter.

    Raises:
        InputError: it is not positive.
    """
    if value <= 0:
        raise InputError(f"{name} is {value}: it must be positive")


def _part(subject: Subject, rows: slice, *, drawn: bool) -> Part:
    images = subject.images[rows].detach().clone().requires_grad_()
    chosen, class_ids = subject.extra
    return Part(images, (chosen[rows], class_ids[rows]), rows, _seed(subject, rows.start) if drawn else 0)


def _seed(subject: Subject, index: int) -> int:
    if subject.scenery is not None:
        return stream_seed(subject.scenery.seed, subject.scenery.ids[index])
    content = subject.images[index].detach().float().cpu().contiguous().numpy().tobytes()
    return stream_seed(0, hashlib.sha256(content).hexdigest())


@contextmanager
def _stream(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of torch and numpy, from which captum draws, and put them back."""
    kept = np.random.get_state()  # noqa: NPY002  (captum draws from it)
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
            np.random.set_state(kept)  # noqa: NPY002


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
        for table, known in zip(tables, before, strict=True):
            for key in [key for key, hook in table.items() if key not in known and _is_captums(hook)]:
                del table[key]
        for module, notes in zip(modules, noted, strict=True):
            for name in _NOTES:
                vars(module).pop(name, None)
            vars(module).update(notes)


def _is_captums(hook: Any) -> bool:
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("captum")


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, UserWarning)
        yield


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

    def own(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return output.clone() if any(output is given for given in inputs) else None

    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, HOOKED) or getattr(module, "inplace", False) is True:
                stack.callback(module.register_forward_pre_hook(copied).remove)
        if layer is not None:
            stack.callback(layer.register_forward_hook(own).remove)
        yield
