"""captum's attributions to layers. What is pinned and why, the baseline too, is said in `calls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from segcam.methods import METHODS, Method, Value
from segcam.methods.captum import calls as bridge
from segcam.methods.captum import limits
from segcam.methods.captum.calls import Part
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer


def layer_grad_cam(subject: Subject, layer: Layer) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerGradCam, with ReLU: `ReLU(sum_k alpha_k A_k)`, `alpha_k` the mean of `dY/dA_k`.

    It is `segcam.grad_cam`, made by another tool in a pass a layer.

    Args:
        subject: the network, the batch and the pixels.
        layer: a layer that gives feature maps.

    Returns:
        The map on the layer's grid, not negative, in the units of the score; zero everywhere (blank) where nothing
        speaks for the target; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: the layer gives tokens or channels last, of which captum would average the wrong dimensions
            without a word; its module runs more than once in a pass; or captum fails.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """
    limits.feature_maps_only(subject, layer)
    module = limits.layer_module(subject, layer)

    def ask(attr: Any, part: Part) -> Any:
        tool = attr.LayerGradCam(subject.objective, module)
        return tool.attribute(part.images, additional_forward_args=part.extra, relu_attributions=True)

    found = bridge.answer(subject, "LayerGradCam", ask, layer=module)
    return undefined_where_empty(found[:, 0], subject)


def layer_gradient_x_activation(subject: Subject, layer: Layer) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerGradientXActivation, summed over channels: `sum_k G_k A_k`, HiRes-CAM before ReLU.

    Args:
        subject: the network, the batch and the pixels.
        layer: any layer; tokens are laid on their grid.

    Returns:
        The map on the layer's grid, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: the layer's module runs more than once in a pass, or captum fails.

    Source: Shrikumar et al. 2016 (arXiv:1605.01713), on a layer; summed: Draelos and Carin 2020.
    """
    module = limits.layer_module(subject, layer)

    def ask(attr: Any, part: Part) -> Any:
        tool = attr.LayerGradientXActivation(subject.objective, module)
        return tool.attribute(part.images, additional_forward_args=part.extra)

    return _summed(subject, layer, bridge.answer(subject, "LayerGradientXActivation", ask, layer=module))


def layer_activation(subject: Subject, layer: Layer) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerActivation, summed over channels: `sum_k A_k`; the target plays no part.

    Args:
        subject: the network and the batch.
        layer: any layer; tokens are laid on their grid.

    Returns:
        The map on the layer's grid, signed, in the units of the layer; NaN for images whose pixel set is empty, as
        with the other methods.

    Raises:
        NotApplicableError: the layer's module runs more than once in a pass, or captum fails.

    Source: captum, LayerActivation.
    """
    module = limits.layer_module(subject, layer)

    def ask(attr: Any, part: Part) -> Any:
        tool = attr.LayerActivation(subject.objective, module)
        return tool.attribute(part.images, additional_forward_args=part.extra)

    return _summed(subject, layer, bridge.answer(subject, "LayerActivation", ask, layer=module))


def layer_integrated_gradients(subject: Subject, layer: Layer, n_steps: int = bridge.STEPS) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerIntegratedGradients, summed over channels.

    `sum_k (A_k - A'_k) int_0^1 dY/dA_k(A' + t (A - A')) dt`, with `A'` the layer's output for the baseline: a straight
    path in the space of the layer's outputs, while what bypasses the layer stays as it is in the image. Its sum over
    cells is the score less that with the layer's output replaced by `A'`, up to the quadrature's error.

    Args:
        subject: the network, the batch and the pixels.
        layer: any layer; tokens are laid on their grid.
        n_steps: points of the Gauss-Legendre quadrature.

    Returns:
        The map on the layer's grid, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        InputError: the number of steps is not positive.
        NotApplicableError: the layer's module runs more than once in a pass, or captum fails, as it does where what
            follows the layer writes into its output by a function.

    Source: Sundararajan et al., ICML 2017, equations 1 and 3, on a layer.
    """
    return _along_path(subject, layer, "LayerIntegratedGradients", n_steps, n_steps)


def layer_conductance(subject: Subject, layer: Layer, n_steps: int = bridge.STEPS) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerConductance, summed over channels: `sum_k sum_i G_k(t_i) (A_k(t_{i+1}) - A_k(t_i))`.

    `A(t)` and `G(t)` are the layer's output and the score's gradient by it for the input on its straight way from the
    baseline to the image: what part of the input's integrated gradients flows through each cell. The `n_steps + 1`
    places `t_i` are those of Gauss-Legendre, captum's default, so that a piece next to either end is left out.

    Args:
        subject: the network, the batch and the pixels.
        layer: any layer; tokens are laid on their grid.
        n_steps: differences that are summed.

    Returns:
        The map on the layer's grid, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        InputError: the number of steps is not positive.
        NotApplicableError: the layer's module runs more than once in a pass, or captum fails.

    Source: Dhamdhere et al., ICLR 2019, the conductance of a neuron; computed as in Shrikumar et al. 2018
    (arXiv:1807.09946).
    """
    return _along_path(subject, layer, "LayerConductance", n_steps, n_steps + 1)


def internal_influence(subject: Subject, layer: Layer, n_steps: int = bridge.STEPS) -> Float[Tensor, "b h w"]:
    """Compute captum's InternalInfluence, summed over channels: `sum_k int_0^1 G_k(t) dt`.

    `G(t)` is the score's gradient by the layer's output for the input on its straight way from the baseline to the
    image. It is not multiplied by anything, so it tells what would raise the score, not what did.

    Args:
        subject: the network, the batch and the pixels.
        layer: any layer; tokens are laid on their grid.
        n_steps: points of the Gauss-Legendre quadrature.

    Returns:
        The map on the layer's grid, signed, in units of the score over those of the layer; NaN for images whose pixel
        set is empty.

    Raises:
        InputError: the number of steps is not positive.
        NotApplicableError: the layer's module runs more than once in a pass, or captum fails.

    Source: Leino et al., ITC 2018, distributional influence of internal units, with the straight path as distribution.
    """
    return _along_path(subject, layer, "InternalInfluence", n_steps, n_steps)


def layer_deep_lift(subject: Subject, layer: Layer) -> Float[Tensor, "b h w"]:
    """Compute captum's LayerDeepLift, summed over channels: `sum_k m_k (A_k - A'_k)`.

    `A'` is the layer's output for the baseline and `m` the multipliers of the rescale rule: gradients, with each
    activation's derivative replaced by the ratio of its differences from the baseline.

    Args:
        subject: the network, the batch and the pixels.
        layer: a layer behind which there are only modules that captum has a rule for, and linear steps.

    Returns:
        The map on the layer's grid, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: something behind the layer has no rule (`limits.rules_for_deep_lift`), the
            layer's module runs more than once in a pass, or captum fails.

    Source: Shrikumar et al., ICML 2017, section 3 (rescale rule), on a layer.
    """
    module = limits.layer_module(subject, layer)
    limits.rules_for_deep_lift(subject, module)

    def ask(attr: Any, part: Part) -> Any:
        tool = attr.LayerDeepLift(subject.objective, module, multiply_by_inputs=True)
        return tool.attribute(part.images, baselines=bridge.BASELINE, additional_forward_args=part.extra)

    return _summed(subject, layer, bridge.answer(subject, "LayerDeepLift", ask, copies=2, layer=module))


def _along_path(subject: Subject, layer: Layer, tool: str, n_steps: int, copies: int) -> Float[Tensor, "b h w"]:
    """Ask one of captum's methods that follow a path, `copies` points of it at once."""
    bridge.positive("n_steps", n_steps)
    module = limits.layer_module(subject, layer)

    def ask(attr: Any, part: Part) -> Any:
        return getattr(attr, tool)(subject.objective, module).attribute(
            part.images,
            baselines=bridge.BASELINE,
            additional_forward_args=part.extra,
            n_steps=n_steps,
            method=bridge.RULE,
            internal_batch_size=bridge.IMAGES_AT_ONCE,
        )

    return _summed(subject, layer, bridge.answer(subject, tool, ask, copies=copies, layer=module))


def _summed(subject: Subject, layer: Layer, attributions: Tensor) -> Float[Tensor, "b h w"]:
    return undefined_where_empty(subject.as_maps(attributions, layer).sum(1), subject)


def _path(beside: int) -> Any:
    """Return the number of passes of a path's steps and of some points beside them, by the parameters."""

    def passes(parameters: Mapping[str, Value]) -> int:
        return int(parameters["n_steps"]) + beside

    return passes


METHODS.add(
    Method(
        name="captum_layer_grad_cam",
        label="LayerGradCam (captum)",
        summary="Grad-CAM as captum computes it, with ReLU; no tokens",
        source="Selvaraju et al., ICCV 2017, eq. 1-2",
        run=layer_grad_cam,
        each="layer",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_layer_gradient_x_activation",
        label="LayerGradientXActivation (captum)",
        summary="gradient times activation, summed over channels; signed",
        source="Shrikumar et al. 2016 on a layer; summed: Draelos and Carin 2020",
        run=layer_gradient_x_activation,
        signed=True,
        each="layer",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_layer_activation",
        label="LayerActivation (captum)",
        summary="activations, summed over channels, whatever the target; signed",
        source="captum, LayerActivation",
        run=layer_activation,
        signed=True,
        needs_gradients=False,
        each="layer",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_layer_integrated_gradients",
        label="LayerIntegratedGradients (captum)",
        summary="gradients along the straight path of the layer's output from the baseline's, summed over channels",
        source="Sundararajan et al., ICML 2017, eq. 1 and 3, on a layer",
        run=layer_integrated_gradients,
        signed=True,
        passes=_path(2),
        each="layer",
        parameters={"n_steps": bridge.STEPS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_layer_conductance",
        label="LayerConductance (captum)",
        summary="what of the input's integrated gradients flows through each cell, summed over channels",
        source="Dhamdhere et al., ICLR 2019; Shrikumar et al. 2018",
        run=layer_conductance,
        signed=True,
        passes=_path(1),
        each="layer",
        parameters={"n_steps": bridge.STEPS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_internal_influence",
        label="InternalInfluence (captum)",
        summary="gradients by the layer averaged along the input's path from the baseline, summed over channels",
        source="Leino et al., ITC 2018",
        run=internal_influence,
        signed=True,
        passes=_path(0),
        each="layer",
        parameters={"n_steps": bridge.STEPS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_layer_deep_lift",
        label="LayerDeepLift (captum)",
        summary="differences from the baseline times multipliers of the rescale rule, summed over channels",
        source="Shrikumar et al., ICML 2017, section 3, on a layer",
        run=layer_deep_lift,
        signed=True,
        passes=2,
        each="layer",
        family="captum",
    )
)
