"""captum's gradient attributions to the input's pixels. What is pinned and why and the units are said in `calls`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError, NotApplicableError
from segcam.methods.captum import limits
from segcam.methods.captum.calls import BASELINE, STEPS, Ask, captum, passes_by, path
from segcam.methods.material.subject import Subject
from segcam.probe.layers import Layer


@captum("Saliency", "input", signed=False)
def saliency(ask: Ask) -> Float[Tensor, "b H W"]:
    """Largest absolute gradient of the colour channels.

    `max_c |dY/dx_c|`.

    Source: Simonyan et al., ICLR Workshop 2014, section 3.1.
    """
    return ask({"abs": True}).amax(1)


@captum("InputXGradient", "input")
def input_x_gradient(ask: Ask) -> Float[Tensor, "b H W"]:
    """Input times gradient, summed over colour channels.

    `sum_c x_c dY/dx_c`.

    Source: Shrikumar et al. 2016 (arXiv:1605.01713).
    """
    return ask().sum(1)


@captum("IntegratedGradients", "input", passes=passes_by("n_steps"), least={"n_steps": 1})
def integrated_gradients(ask: Ask, n_steps: int = STEPS) -> Float[Tensor, "b H W"]:
    """Gradients along the straight path from the mean colour to the image, times the difference.

    `sum_c (x_c - x'_c) int_0^1 dY/dx_c(x' + t (x - x')) dt`, with `x'` the baseline. Its sum over pixels is the score
    of the image less that of the baseline, up to the error of the quadrature at `n_steps` points.

    Source: Sundararajan et al., ICML 2017, eq. 1 and 3.
    """
    return ask(path(n_steps), copies=n_steps).sum(1)


@captum("GuidedBackprop", "input")
def guided_backprop(ask: Ask) -> Float[Tensor, "b H W"]:
    """Gradient with negative parts cut at every ReLU; only where all activations are nn.ReLU.

    A ReLU with the input `f` passes `R` back as `(f > 0) (R > 0) R`. Summed over colour channels.

    Source: Springenberg et al., ICLR Workshop 2015, section 3.4.
    """
    limits.rectifiers_only(ask.subject, ask.tool, once=False)
    return ask().sum(1)


@captum("Deconvolution", "input")
def deconvolution(ask: Ask) -> Float[Tensor, "b H W"]:
    """Gradient with every ReLU applied backwards; only where all activations are nn.ReLU.

    A ReLU passes `R` back as `(R > 0) R`, whatever its input was; it must run once. Summed over colour channels.

    Source: Zeiler and Fergus, ECCV 2014, section 2.1.
    """
    limits.rectifiers_only(ask.subject, ask.tool, once=True)
    return ask().sum(1)


@captum("DeepLift", "input", passes=2)
def deep_lift(ask: Ask) -> Float[Tensor, "b H W"]:
    """Differences from the mean colour times multipliers of the rescale rule; not for every network.

    `sum_c m_c (x_c - x'_c)`, with `m` gradients in which each activation's derivative is replaced by the ratio of its
    differences from the baseline. The sum over pixels is the score of the image less that of the baseline.

    Source: Shrikumar et al., ICML 2017, section 3.
    """
    limits.rules_for_deep_lift(ask.subject)
    return ask({"baselines": BASELINE}, copies=2).sum(1)


@captum("GuidedGradCam", "input", passes=2)
def guided_grad_cam(ask: Ask, of: str = "") -> Float[Tensor, "b H W"]:
    """Guided backpropagation times Grad-CAM of the deepest of the coarsest layers, or of the one named.

    Grad-CAM is upsampled, so the product lives at input resolution whatever layer it is of, and is scored there; in
    units of the score squared over those of the input. `of` is the label or module path of the probed layer; '' for the
    last of those with the fewest cells, of the probed layers that give feature maps.

    Source: Selvaraju et al., ICCV 2017.
    """
    layer = _cam_layer(ask.subject, of)
    limits.rectifiers_only(ask.subject, "GuidedBackprop", once=False)
    limits.feature_maps_only(ask.subject, layer)
    return ask({"interpolate_mode": "bilinear"}, module=limits.layer_module(ask.subject, layer)).sum(1)


def _cam_layer(subject: Subject, of: str) -> Layer:
    layers = subject.capture.layers
    if of:
        named = [layer for layer in layers if of in (layer.label, layer.module)]
        if not named:
            raise InputError(f"no layer '{of}' was probed: there are {', '.join(layer.label for layer in layers)}")
        return named[0]
    candidates = [layer for layer in layers if layer.call is None and limits.gives_feature_maps(subject, layer)]
    if not candidates:
        raise NotApplicableError("no probed layer gives feature maps (b, c, h, w), which Grad-CAM needs")
    cells = {layer: subject.capture.activations[layer.label][0, 0].numel() for layer in candidates}
    return max(candidates, key=lambda layer: (-cells[layer], layer.depth))
