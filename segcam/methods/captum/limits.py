"""What captum cannot do on a network or layer, found before it is asked where it would be wrong without a word."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import NotApplicableError
from segcam.methods.material.graph import Step, Structure, named, steps_to, structure_of
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer

HOOKED = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
"""Modules that captum hooks to change their gradients; DeepLift also hooks Softmax, by a rule that mixes images."""

_RECTIFIERS = (
    "Celu Clamp ClampMax ClampMin Elu Gelu Glu Hardsigmoid Hardswish Hardtanh LeakyRelu Mish Prelu PreluKernel Relu "
    "RreluWithNoise Selu Silu Softplus Threshold"
)
RECTIFIERS = frozenset(_RECTIFIERS.split())
"""Autograd's names of activations that stand where a ReLU could."""

_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def structure(subject: Subject) -> Structure:
    """Return the network's steps, read once from the first image."""
    return subject.once("structure", lambda: structure_of(subject.model, subject.images[:1], subject.target.element))


def layer_module(subject: Subject, layer: Layer) -> nn.Module:
    """Return the layer's module.

    Raises:
        NotApplicableError: it runs more than once in a pass: captum keeps the last call alone. Or it does not run, or
            its output begins with another dimension than the images.
    """
    module = subject.module(layer)
    calls = structure(subject).calls.get(module, 0)
    if calls != 1:
        raise NotApplicableError(f"the module runs {calls} times in a forward pass: captum cannot tell its calls apart")
    if subject.layout(layer).form == "LNC":
        raise NotApplicableError("its tokens come before the images (n, b, c), and captum takes the first for images")
    return module


def gives_feature_maps(subject: Subject, layer: Layer) -> bool:
    """Tell whether a layer's output is `(b, c, h, w)`, the one form that captum's Grad-CAM can average."""
    module = subject.model.get_submodule(layer.module)
    layout = subject.capture.layouts.get(layer.label)
    return structure(subject).dims.get(module, 0) == 4 and (layout is None or layout.form == "NCHW")


def feature_maps_only(subject: Subject, layer: Layer) -> None:
    """Refuse layers whose output captum's Grad-CAM would average over channels.

    Raises:
        NotApplicableError: the layer gives tokens, or channels last.
    """
    if not gives_feature_maps(subject, layer):
        raise NotApplicableError(
            "captum's Grad-CAM averages gradients over all dimensions but the first two, which are not the positions "
            "of tokens (b, n, c) or of channels-last maps (b, h, w, c)"
        )


def rules_for_deep_lift(subject: Subject, module: nn.Module | None = None) -> None:
    """Refuse networks in which captum's DeepLift would not be DeepLift.

    Its rule replaces the gradient of an activation or of max-pooling by the ratio of differences from the baseline. It
    is applied to modules of certain classes alone; through everything else plain gradients pass, and attributions do
    not add up to the change of the score. What lies before a layer plays no part for the layer.

    Args:
        subject: the network, the batch and the pixels.
        module: the layer's module; None for the input.

    Raises:
        NotApplicableError: what is not linear between the layer and the score is of no class that has a rule, is no
            module at all, or runs more than once; windows of max-pooling overlap; or the score itself is not linear in
            the logits.
    """
    graph = structure(subject)
    steps = [step for step in graph.after(module) if not step.linear]
    without = [step for step in steps if type(step.module) not in HOOKED]
    if without:
        raise NotApplicableError(
            f"captum's DeepLift has no rule for {named(without)}: plain gradients would pass there, and attributions "
            "not add up"
        )
    for step in steps:
        assert step.module is not None  # its class has a rule
        calls = graph.calls[step.module]
        if step.call != calls - 1:
            raise NotApplicableError(
                f"module '{_path(subject, step.module)}' runs {calls} times in a forward pass: captum's DeepLift "
                "remembers the last call alone"
            )
        if isinstance(step.module, _POOLS) and _overlaps(step.module):
            raise NotApplicableError(
                f"windows of max-pooling '{_path(subject, step.module)}' overlap: captum's rule counts a pixel that "
                "is the maximum of several windows once, and attributions do not add up"
            )
    _linear_score(subject)


def rectifiers_only(subject: Subject, tool: str, *, once: bool) -> None:
    """Refuse networks in which a rule for ReLU would leave activations out.

    Args:
        subject: the network, the batch and the pixels.
        tool: captum's name of the method.
        once: whether modules must run once.

    Raises:
        NotApplicableError: there is no `nn.ReLU`, another activation, a ReLU called as a function, or where modules
            must run once an `nn.ReLU` that does not.
    """
    graph = structure(subject)
    steps = [step for step in graph.steps if step.name in RECTIFIERS]
    modules = {step.module for step in steps if _is_relu(step)}
    missed = [step for step in steps if not _is_relu(step)]
    if missed or not modules:
        what = f"here activations are also {named(missed)}" if missed else "here there is none"
        raise NotApplicableError(
            f"{tool} changes the gradient of nn.ReLU modules alone, and {what}: the plain gradient would pass"
        )
    for module in subject.model.modules():
        if once and module in modules and graph.calls[module] > 1:
            raise NotApplicableError(
                f"module '{_path(subject, module)}' runs {graph.calls[module]} times in a forward pass: captum's "
                f"{tool} remembers the gradient of one call alone"
            )


def _is_relu(step: Step) -> bool:
    return step.name == "Relu" and isinstance(step.module, nn.ReLU)


def _path(subject: Subject, module: nn.Module) -> str:
    path: str = next(name for name, child in subject.model.named_modules() if child is module)
    return path


def _overlaps(pool: nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d) -> bool:
    """Tell whether a pixel may lie in several windows, or between the cells of one."""

    def sides(size: int | tuple[int, ...]) -> tuple[int, ...]:
        return (size,) * 3 if isinstance(size, int) else size

    wide = any(kernel > step for kernel, step in zip(sides(pool.kernel_size), sides(pool.stride), strict=True))
    return wide or any(step != 1 for step in sides(pool.dilation))


def _linear_score(subject: Subject) -> None:
    """Refuse scores that are not linear in the logits; the best other class of two is the one other.

    Raises:
        NotApplicableError: the score is none.
    """

    def refused() -> str:
        with torch.enable_grad():
            logits: Tensor = at_least_float32(subject.capture.logits[:1]).detach().clone().requires_grad_()
            pixels, class_ids = subject.extra
            score = subject.target.score_again(logits, subject.capture.size, pixels[:1], class_ids[:1])
        allowed = {"MaskedFill"} | ({"Amax"} if logits.shape[1] <= 2 else set())
        return named(step for step in steps_to(score) if not step.linear and step.name not in allowed)

    nonlinear = subject.once("score beyond linear", refused)
    if nonlinear:
        raise NotApplicableError(
            f"the score '{subject.target.score}' is not linear in the logits ({nonlinear}), and captum's DeepLift has "
            "no rule for it"
        )
