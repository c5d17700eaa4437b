"""captum's attributions to layers. What is pinned and why, units and the baseline are said in `calls`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.methods.captum import limits
from segcam.methods.captum.calls import BASELINE, STEPS, Ask, captum, passes_by, path


@captum("LayerGradCam", "layer", signed=False)
def layer_grad_cam(ask: Ask) -> Float[Tensor, "b h w"]:
    """Grad-CAM as captum computes it, with ReLU; no tokens.

    `ReLU(sum_k alpha_k A_k)`, `alpha_k` the mean of `dY/dA_k`: segcam's `grad_cam`, by another tool in a pass a layer.
    Of tokens and channels last captum would average the wrong dimensions without a word: they are refused.

    Source: Selvaraju et al., ICCV 2017, eq. 1-2.
    """
    limits.feature_maps_only(ask.subject, ask.layer)
    return ask({"relu_attributions": True})[:, 0]


@captum("LayerGradientXActivation", "layer")
def layer_gradient_x_activation(ask: Ask) -> Float[Tensor, "b h w"]:
    """Gradient times activation, summed over channels; signed.

    `sum_k G_k A_k`, HiResCAM before ReLU.

    Source: Shrikumar et al. 2016 (arXiv:1605.01713) on a layer; summed: Draelos and Carin 2020.
    """
    return ask().sum(1)


@captum("LayerActivation", "layer", needs_gradients=False)
def layer_activation(ask: Ask) -> Float[Tensor, "b h w"]:
    """Activations, summed over channels, whatever the target; signed.

    `sum_k A_k`, in the units of the layer.

    Source: captum, LayerActivation.
    """
    return ask().sum(1)


@captum("LayerIntegratedGradients", "layer", passes=passes_by("n_steps", beside=2), least={"n_steps": 1})
def layer_integrated_gradients(ask: Ask, n_steps: int = STEPS) -> Float[Tensor, "b h w"]:
    """Gradients along the straight path of the layer's output from the baseline's, summed over channels.

    `sum_k (A_k - A'_k) int_0^1 dY/dA_k(A' + t (A - A')) dt`, with `A'` the layer's output for the baseline, while what
    bypasses the layer stays as it is in the image. Its sum over cells is the score less that with the layer's output
    replaced by `A'`, up to the error of the quadrature at `n_steps` points. captum fails where what follows the layer
    writes into its output by a function.

    Source: Sundararajan et al., ICML 2017, eq. 1 and 3, on a layer.
    """
    return ask(path(n_steps), copies=n_steps).sum(1)


@captum("LayerConductance", "layer", passes=passes_by("n_steps", beside=1), least={"n_steps": 1})
def layer_conductance(ask: Ask, n_steps: int = STEPS) -> Float[Tensor, "b h w"]:
    """What of the input's integrated gradients flows through each cell, summed over channels.

    `sum_k sum_i G_k(t_i) (A_k(t_{i+1}) - A_k(t_i))`, with `A(t)` and `G(t)` the layer's output and the score's gradient
    by it for the input on its straight way from the baseline to the image. The `n_steps + 1` places `t_i` are those of
    Gauss-Legendre, captum's default, so that a piece next to either end is left out.

    Source: Dhamdhere et al., ICLR 2019; computed as in Shrikumar et al. 2018 (arXiv:1807.09946).
    """
    return ask(path(n_steps), copies=n_steps + 1).sum(1)


@captum("InternalInfluence", "layer", passes=passes_by("n_steps"), least={"n_steps": 1})
def internal_influence(ask: Ask, n_steps: int = STEPS) -> Float[Tensor, "b h w"]:
    """Gradients by the layer averaged along the input's path from the baseline, summed over channels.

    `sum_k int_0^1 G_k(t) dt`, with `G(t)` as in `layer_conductance`. It is not multiplied by anything, so it tells what
    would raise the score, not what did.

    Source: Leino et al., ITC 2018, distributional influence of internal units, with the straight path as distribution.
    """
    return ask(path(n_steps), copies=n_steps).sum(1)


@captum("LayerDeepLift", "layer", passes=2)
def layer_deep_lift(ask: Ask) -> Float[Tensor, "b h w"]:
    """Differences from the baseline times multipliers of the rescale rule, summed over channels.

    `sum_k m_k (A_k - A'_k)`, with `A'` the layer's output for the baseline and `m` as in `inputs.deep_lift`. Only where
    all that follows the layer is linear or has a rule.

    Source: Shrikumar et al., ICML 2017, section 3, on a layer.
    """
    limits.rules_for_deep_lift(ask.subject, ask.module)
    return ask({"baselines": BASELINE}, copies=2).sum(1)
