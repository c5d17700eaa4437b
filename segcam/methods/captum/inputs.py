"""captum's gradient attributions to the input's pixels. What is pinned and why is said in `calls`.

All are asked about the whole input, whatever layer is named, and give a map `(b, H, W)` with a cell a pixel.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError, NotApplicableError
from segcam.methods import METHODS, Method
from segcam.methods.captum import calls as bridge
from segcam.methods.captum import limits
from segcam.methods.captum.calls import Part
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer


def saliency(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Compute captum's Saliency: `max_c |dY/dx_c|` over the input's channels.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.

    Returns:
        The map at input resolution, not negative, in units of the score over those of the input; NaN for images whose
        pixel set is empty.

    Raises:
        NotApplicableError: captum fails.

    Source: Simonyan et al., ICLR Workshop 2014, section 3.1.
    """

    def ask(attr: Any, part: Part) -> Any:
        return attr.Saliency(subject.objective).attribute(part.images, abs=True, additional_forward_args=part.extra)

    return undefined_where_empty(bridge.answer(subject, "Saliency", ask).amax(1), subject)


def input_x_gradient(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Compute captum's InputXGradient, summed over the input's channels: `sum_c x_c dY/dx_c`.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.

    Returns:
        The map at input resolution, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: captum fails.

    Source: Shrikumar et al. 2016 (arXiv:1605.01713).
    """

    def ask(attr: Any, part: Part) -> Any:
        return attr.InputXGradient(subject.objective).attribute(part.images, additional_forward_args=part.extra)

    return _summed(subject, bridge.answer(subject, "InputXGradient", ask))


def integrated_gradients(subject: Subject, _layer: Layer, n_steps: int = bridge.STEPS) -> Float[Tensor, "b H W"]:
    """Compute captum's IntegratedGradients, summed over channels.

    `sum_c (x_c - x'_c) int_0^1 dY/dx_c(x' + t (x - x')) dt`, with `x'` the baseline. Its sum over pixels is the score
    of the image less that of the baseline, up to the quadrature's error.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        n_steps: points of the Gauss-Legendre quadrature.

    Returns:
        The map at input resolution, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        InputError: the number of steps is not positive.
        NotApplicableError: captum fails.

    Source: Sundararajan et al., ICML 2017, equations 1 and 3.
    """
    bridge.positive("n_steps", n_steps)

    def ask(attr: Any, part: Part) -> Any:
        return attr.IntegratedGradients(subject.objective).attribute(
            part.images,
            baselines=bridge.BASELINE,
            additional_forward_args=part.extra,
            n_steps=n_steps,
            method=bridge.RULE,
            internal_batch_size=bridge.IMAGES_AT_ONCE,
        )

    return _summed(subject, bridge.answer(subject, "IntegratedGradients", ask, copies=n_steps))


def guided_backprop(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Compute captum's GuidedBackprop, summed over channels: the gradient, with what is negative cut at every ReLU.

    A ReLU with the input `f` passes `R` back as `(f > 0) (R > 0) R`.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.

    Returns:
        The map at input resolution, signed, in units of the score over those of the input; NaN for images whose pixel
        set is empty.

    Raises:
        NotApplicableError: activations are not all modules of `nn.ReLU`, or captum fails.

    Source: Springenberg et al., ICLR Workshop 2015, section 3.4.
    """
    limits.rectifiers_only(subject, "GuidedBackprop", once=False)

    def ask(attr: Any, part: Part) -> Any:
        return attr.GuidedBackprop(subject.objective).attribute(part.images, additional_forward_args=part.extra)

    return _summed(subject, bridge.answer(subject, "GuidedBackprop", ask))


def deconvolution(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Compute captum's Deconvolution, summed over channels: the gradient, with every ReLU applied backwards.

    A ReLU passes `R` back as `(R > 0) R`, whatever its input was.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.

    Returns:
        The map at input resolution, signed, in units of the score over those of the input; NaN for images whose pixel
        set is empty.

    Raises:
        NotApplicableError: activations are not all modules of `nn.ReLU` that run once, or captum fails.

    Source: Zeiler and Fergus, ECCV 2014, section 2.1.
    """
    limits.rectifiers_only(subject, "Deconvolution", once=True)

    def ask(attr: Any, part: Part) -> Any:
        return attr.Deconvolution(subject.objective).attribute(part.images, additional_forward_args=part.extra)

    return _summed(subject, bridge.answer(subject, "Deconvolution", ask))


def deep_lift(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Compute captum's DeepLift, summed over channels: `sum_c m_c (x_c - x'_c)`.

    `m` are the multipliers of the rescale rule: gradients, with each activation's derivative replaced by the ratio of
    its differences from the baseline. The sum over pixels is the score of the image less that of the baseline.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.

    Returns:
        The map at input resolution, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: some step has no rule (`limits.rules_for_deep_lift`), or captum fails.

    Source: Shrikumar et al., ICML 2017, section 3 (rescale rule).
    """
    limits.rules_for_deep_lift(subject)

    def ask(attr: Any, part: Part) -> Any:
        return attr.DeepLift(subject.objective, multiply_by_inputs=True).attribute(
            part.images, baselines=bridge.BASELINE, additional_forward_args=part.extra
        )

    return _summed(subject, bridge.answer(subject, "DeepLift", ask, copies=2))


def guided_grad_cam(subject: Subject, _layer: Layer, of: str = "") -> Float[Tensor, "b H W"]:
    """Compute captum's GuidedGradCam, summed over channels: guided backpropagation times upsampled Grad-CAM.

    The product lives at input resolution whatever layer Grad-CAM is of, so it is scored on the input's grid, as a
    method of the input; the layer is a parameter.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        of: label or module path of the probed layer whose Grad-CAM it is; '' for the deepest of the coarsest: of the
            probed layers that give feature maps, the last of those with the fewest cells.

    Returns:
        The map at input resolution, signed, in units of the score squared over those of the input; NaN for images whose
        pixel set is empty.

    Raises:
        InputError: no probed layer has this label or path.
        NotApplicableError: activations are not all modules of `nn.ReLU`, the layer gives no feature maps or its module
            runs more than once in a pass, or captum fails.

    Source: Selvaraju et al., ICCV 2017, Guided Grad-CAM.
    """
    chosen = _cam_layer(subject, of)
    limits.rectifiers_only(subject, "GuidedBackprop", once=False)
    limits.feature_maps_only(subject, chosen)
    module = limits.layer_module(subject, chosen)

    def ask(attr: Any, part: Part) -> Any:
        return attr.GuidedGradCam(subject.objective, module).attribute(
            part.images, additional_forward_args=part.extra, interpolate_mode=bridge.CAM_INTERPOLATION
        )

    return _summed(subject, bridge.answer(subject, "GuidedGradCam", ask, layer=module))


def _cam_layer(subject: Subject, of: str) -> Layer:
    layers = subject.capture.layers
    if of:
        found = [layer for layer in layers if of in (layer.label, layer.module)]
        if not found:
            raise InputError(f"no layer '{of}' was probed: there are {', '.join(layer.label for layer in layers)}")
        return found[0]
    candidates = [layer for layer in layers if layer.call is None and limits.gives_feature_maps(subject, layer)]
    if not candidates:
        raise NotApplicableError("no probed layer gives feature maps (b, c, h, w), which Grad-CAM needs")
    cells = {layer: subject.capture.activations[layer.label][0, 0].numel() for layer in candidates}
    return max(candidates, key=lambda layer: (-cells[layer], layer.depth))


def _summed(subject: Subject, attributions: Float[Tensor, "b ch H W"]) -> Float[Tensor, "b H W"]:
    return undefined_where_empty(attributions.sum(1), subject)


METHODS.add(
    Method(
        name="captum_saliency",
        label="Saliency (captum)",
        summary="largest absolute gradient of the colour channels",
        source="Simonyan et al., ICLR Workshop 2014, section 3.1",
        run=saliency,
        scope="input",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_input_x_gradient",
        label="InputXGradient (captum)",
        summary="input times gradient, summed over colour channels",
        source="Shrikumar et al. 2016",
        run=input_x_gradient,
        signed=True,
        scope="input",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_integrated_gradients",
        label="IntegratedGradients (captum)",
        summary="gradients along the straight path from the mean colour to the image, times the difference",
        source="Sundararajan et al., ICML 2017, eq. 1 and 3",
        run=integrated_gradients,
        signed=True,
        scope="input",
        passes=lambda parameters: int(parameters["n_steps"]),
        parameters={"n_steps": bridge.STEPS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_guided_backprop",
        label="GuidedBackprop (captum)",
        summary="gradient with negative parts cut at every ReLU; only where all activations are nn.ReLU",
        source="Springenberg et al., ICLR Workshop 2015, section 3.4",
        run=guided_backprop,
        signed=True,
        scope="input",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_deconvolution",
        label="Deconvolution (captum)",
        summary="gradient with every ReLU applied backwards; only where all activations are nn.ReLU",
        source="Zeiler and Fergus, ECCV 2014, section 2.1",
        run=deconvolution,
        signed=True,
        scope="input",
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_deep_lift",
        label="DeepLift (captum)",
        summary="differences from the mean colour times multipliers of the rescale rule; not for every network",
        source="Shrikumar et al., ICML 2017, section 3",
        run=deep_lift,
        signed=True,
        scope="input",
        passes=2,
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_guided_grad_cam",
        label="GuidedGradCam (captum)",
        summary="guided backpropagation times Grad-CAM of the deepest of the coarsest layers, or of the one named",
        source="Selvaraju et al., ICCV 2017",
        run=guided_grad_cam,
        signed=True,
        scope="input",
        passes=2,
        parameters={"of": ""},
        family="captum",
    )
)
