"""captum's attributions to the input's pixels that draw or perturb: noise, baselines, windows, superpixels.

What is pinned and why is said in `calls`. All are asked about the whole input, whatever layer is named,
and give a map `(b, H, W)` with a cell a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import METHODS, Method
from segcam.methods.captum import calls as bridge
from segcam.methods.captum.calls import Part
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.methods.material.superpixels import superpixels
from segcam.probe.layers import Layer

SAMPLES = 16
NOISE = 0.15
WINDOWS = 16
SEGMENTS = 50
COALITIONS = 200


def smooth_grad(
    subject: Subject,
    _layer: Layer,
    samples: int = SAMPLES,
    noise: float = NOISE,
) -> Float[Tensor, "b H W"]:
    """Compute SmoothGrad, captum's NoiseTunnel of Saliency: `max_c |mean_i dY/dx_c(x + e_i)|`, `e_i ~ N(0, s^2)`.

    Gradients are averaged before their absolute value is taken, as in the paper: noise then cancels. `s` is the share
    `noise` of the range of the image's values, as the network gets them.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        samples: noisy copies of each image.
        noise: the noise's standard deviation as a share of the image's range; the paper recommends 0.1 to 0.2.

    Returns:
        The map at input resolution, not negative, in units of the score over those of the input; NaN for images whose
        pixel set is empty. An image's noise is fixed by the scenery's seed and the image's name, on each kind of
        device.

    Raises:
        InputError: the number of samples or the noise is not positive.
        NotApplicableError: captum fails.

    Source: Smilkov et al. 2017 (arXiv:1706.03825), section 2.
    """
    bridge.positive("samples", samples)
    bridge.positive("noise", noise)

    def ask(attr: Any, part: Part) -> Any:
        images = part.images.detach()
        return attr.NoiseTunnel(attr.Saliency(subject.objective)).attribute(
            images,
            nt_type="smoothgrad",
            nt_samples=samples,
            nt_samples_batch_size=bridge.IMAGES_AT_ONCE,
            stdevs=noise * float(images.max() - images.min()),
            abs=False,
            additional_forward_args=part.extra,
        )

    found = bridge.answer(subject, "NoiseTunnel(Saliency)", ask, drawn=True)
    return undefined_where_empty(found.abs().amax(1), subject)


def gradient_shap(subject: Subject, _layer: Layer, samples: int = SAMPLES) -> Float[Tensor, "b H W"]:
    """Compute captum's GradientShap, summed over channels: `sum_c mean_i (x_c - b_ic) dY/dx_c(b_i + t_i (x - b_i))`.

    `t_i` is uniform on 0..1. The baselines `b_i` are drawn, with replacement, from `samples` images of independent
    standard normal noise: pixels of the mean and spread that normalised photographs have, without any structure. Other
    images of the batch, the usual choice, would make a map depend on its batch. No noise is added to the image, as is
    captum's default.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        samples: pairs of a baseline and a point on the way to it, and baselines that they are drawn from.

    Returns:
        The map at input resolution, signed, in the units of the score; NaN for images whose pixel set is empty. What is
        drawn is fixed by the scenery's seed and the image's name.

    Raises:
        InputError: the number of samples is not positive.
        NotApplicableError: captum fails.

    Source: Lundberg and Lee, NeurIPS 2017; Erion et al., Nature Machine Intelligence 2021 (expected gradients).
    """
    bridge.positive("samples", samples)

    def ask(attr: Any, part: Part) -> Any:
        generator = torch.Generator().manual_seed(part.seed % 2**63)
        shape = (samples, *part.images.shape[1:])
        baselines = torch.randn(shape, generator=generator, dtype=torch.float64).to(part.images)
        return attr.GradientShap(subject.objective).attribute(
            part.images, baselines=baselines, n_samples=samples, stdevs=0.0, additional_forward_args=part.extra
        )

    return _summed(subject, bridge.answer(subject, "GradientShap", ask, drawn=True))


def occlusion(subject: Subject, _layer: Layer, windows: int = WINDOWS) -> Float[Tensor, "b H W"]:
    """Compute captum's Occlusion: by how much the score falls when a window is covered with the baseline.

    A window is moved by `s = ceil(side / windows)` pixels and covers `2 s`, so that its number of places, at most
    `(windows - 1)^2`, does not depend on the image's size. A pixel gets the mean over the windows that cover it.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        windows: steps a side.

    Returns:
        The map at input resolution, signed, in the units of the score; NaN for images whose pixel set is empty.

    Raises:
        InputError: there are fewer than 2 steps a side.
        NotApplicableError: captum fails.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2.
    """
    if windows < 2:
        raise InputError(f"windows is {windows}: a window covers two steps, so a side must have at least 2")

    def ask(attr: Any, part: Part) -> Any:
        channels, height, width = part.images.shape[1:]
        strides = [math.ceil(side / windows) for side in (height, width)]
        return attr.Occlusion(subject.objective).attribute(
            part.images.detach(),
            sliding_window_shapes=(channels, min(2 * strides[0], height), min(2 * strides[1], width)),
            strides=(channels, *strides),
            baselines=bridge.BASELINE,
            additional_forward_args=part.extra,
            perturbations_per_eval=part.copies,
        )

    return _of_regions(subject, bridge.answer(subject, "Occlusion", ask))


def feature_ablation(subject: Subject, _layer: Layer, segments: int = SEGMENTS) -> Float[Tensor, "b H W"]:
    """Compute captum's FeatureAblation of superpixels: by how much the score falls without each of them.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        segments: about how many superpixels an image is divided into.

    Returns:
        The map at input resolution, constant on each superpixel, signed, in the units of the score; NaN for images
        whose pixel set is empty.

    Raises:
        InputError: fewer than 2 superpixels are asked for.
        NotApplicableError: captum fails.

    Source: captum, FeatureAblation; superpixels: Achanta et al., TPAMI 2012 (SLIC).
    """
    regions = _regions(subject, segments)

    def ask(attr: Any, part: Part) -> Any:
        return attr.FeatureAblation(subject.objective).attribute(
            part.images.detach(),
            baselines=bridge.BASELINE,
            additional_forward_args=part.extra,
            feature_mask=regions[part.rows, None],
            perturbations_per_eval=part.copies,
        )

    return _of_regions(subject, bridge.answer(subject, "FeatureAblation", ask))


def kernel_shap(
    subject: Subject,
    _layer: Layer,
    segments: int = SEGMENTS,
    samples: int = COALITIONS,
) -> Float[Tensor, "b H W"]:
    """Compute captum's KernelShap of superpixels: their Shapley values, by a weighted linear regression on samples.

    Samples are random sets of superpixels, the others covered with the baseline, of sizes drawn by Shapley's kernel;
    the first two are all and none.

    Args:
        subject: the network, the batch and the pixels.
        _layer: `INPUT`.
        segments: about how many superpixels an image is divided into.
        samples: sets that are tried. There should be several times as many as superpixels: with fewer, the regression
            has many solutions.

    Returns:
        The map at input resolution, constant on each superpixel, signed, in the units of the score; NaN for images
        whose pixel set is empty. The sets are fixed by the scenery's seed and the image's name.

    Raises:
        InputError: fewer than 2 superpixels or samples are asked for.
        NotApplicableError: captum fails.

    Source: Lundberg and Lee, NeurIPS 2017, theorem 2; superpixels: Achanta et al., TPAMI 2012 (SLIC).
    """
    if samples < 2:
        raise InputError(f"samples is {samples}: all and none of the superpixels are two, so ask for at least 2")
    regions = _regions(subject, segments)

    def ask(attr: Any, part: Part) -> Any:
        return attr.KernelShap(subject.objective).attribute(
            part.images.detach(),
            baselines=bridge.BASELINE,
            additional_forward_args=part.extra,
            feature_mask=regions[part.rows, None],
            n_samples=samples,
            perturbations_per_eval=part.copies,
        )

    return _of_regions(subject, bridge.answer(subject, "KernelShap", ask, drawn=True))


def _regions(subject: Subject, segments: int) -> Int[Tensor, "b H W"]:
    return subject.once(f"superpixels {segments}", lambda: superpixels(subject.images, segments))


def _summed(subject: Subject, attributions: Float[Tensor, "b ch H W"]) -> Float[Tensor, "b H W"]:
    return undefined_where_empty(attributions.sum(1), subject)


def _of_regions(subject: Subject, attributions: Float[Tensor, "b ch H W"]) -> Float[Tensor, "b H W"]:
    """Keep one channel: regions cover all channels together, and captum repeats their value in each."""
    return undefined_where_empty(attributions[:, 0], subject)


METHODS.add(
    Method(
        name="captum_smooth_grad",
        label="SmoothGrad (captum)",
        summary="NoiseTunnel of Saliency: gradient averaged over noisy copies, largest absolute value of the channels",
        source="Smilkov et al. 2017, section 2",
        run=smooth_grad,
        scope="input",
        passes=lambda parameters: int(parameters["samples"]),
        parameters={"samples": SAMPLES, "noise": NOISE},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_gradient_shap",
        label="GradientShap (captum)",
        summary="gradients between the image and baselines of noise, times the difference",
        source="Lundberg and Lee, NeurIPS 2017; Erion et al. 2021",
        run=gradient_shap,
        signed=True,
        scope="input",
        passes=lambda parameters: int(parameters["samples"]),
        parameters={"samples": SAMPLES},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_occlusion",
        label="Occlusion (captum)",
        summary="fall of the score when a window is covered with the mean colour",
        source="Zeiler and Fergus, ECCV 2014, section 4.2",
        run=occlusion,
        signed=True,
        needs_gradients=False,
        scope="input",
        passes=lambda parameters: (int(parameters["windows"]) - 1) ** 2 + 1,
        parameters={"windows": WINDOWS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_feature_ablation",
        label="FeatureAblation (captum)",
        summary="fall of the score when a superpixel is covered with the mean colour",
        source="captum, FeatureAblation; Achanta et al., TPAMI 2012 (SLIC)",
        run=feature_ablation,
        signed=True,
        needs_gradients=False,
        scope="input",
        passes=lambda parameters: int(parameters["segments"]) + 1,
        parameters={"segments": SEGMENTS},
        family="captum",
    )
)

METHODS.add(
    Method(
        name="captum_kernel_shap",
        label="KernelShap (captum)",
        summary="Shapley values of superpixels, by regression on random sets of them",
        source="Lundberg and Lee, NeurIPS 2017, theorem 2; Achanta et al., TPAMI 2012 (SLIC)",
        run=kernel_shap,
        signed=True,
        needs_gradients=False,
        scope="input",
        passes=lambda parameters: int(parameters["samples"]),
        parameters={"segments": SEGMENTS, "samples": COALITIONS},
        family="captum",
    )
)
