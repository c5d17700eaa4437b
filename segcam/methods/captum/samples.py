"""captum's attributions to the input's pixels that draw or perturb: noise, baselines, windows, superpixels.

What is pinned and why and the units are said in `calls`. What is drawn is fixed by the scenery's seed and the image's
name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.methods.captum.calls import BASELINE, IMAGES_AT_ONCE, Ask, Chunk, captum, passes_by, positive
from segcam.methods.material.superpixels import superpixels

SAMPLES = 16
NOISE = 0.15
WINDOWS = 16
SEGMENTS = 50
COALITIONS = 200


@captum(
    "NoiseTunnel(Saliency)",
    "input",
    label="SmoothGrad",
    signed=False,
    passes=passes_by("samples"),
    least={"samples": 1, "noise": 1e-6},
)
def smooth_grad(ask: Ask, samples: int = SAMPLES, noise: float = NOISE) -> Float[Tensor, "b H W"]:
    """NoiseTunnel of Saliency: gradient averaged over noisy copies, largest absolute value of the channels.

    `max_c |mean_i dY/dx_c(x + e_i)|`, `e_i ~ N(0, s^2)`. Gradients are averaged before their absolute value is taken,
    as in the paper: noise then cancels. `s` is the share `noise` of the range of the image's values, as the network
    gets them; the paper recommends 0.1 to 0.2.

    Source: Smilkov et al. 2017 (arXiv:1706.03825), section 2.
    """
    positive("samples", samples)
    positive("noise", noise)

    def settings(chunk: Chunk) -> dict[str, Any]:
        images = chunk.images.detach()
        deviation = noise * float(images.max() - images.min())
        sizes = {"nt_samples": samples, "nt_samples_batch_size": IMAGES_AT_ONCE}
        return {"nt_type": "smoothgrad", "stdevs": deviation, "abs": False, **sizes}

    def build(attr: Any) -> Any:
        return attr.NoiseTunnel(attr.Saliency(ask.subject.objective))

    return ask(settings, drawn=True, build=build).abs().amax(1)


@captum("GradientShap", "input", passes=passes_by("samples"), least={"samples": 1})
def gradient_shap(ask: Ask, samples: int = SAMPLES) -> Float[Tensor, "b H W"]:
    """Gradients between the image and baselines of noise, times the difference.

    `sum_c mean_i (x_c - b_ic) dY/dx_c(b_i + t_i (x - b_i))`, `t_i` uniform on 0..1. The baselines `b_i` are drawn, with
    replacement, from `samples` images of independent standard normal noise: pixels of the mean and spread that
    normalised photographs have, without any structure. Other images of the batch, the usual choice, would make a map
    depend on its batch. No noise is added to the image, as is captum's default.

    Source: Lundberg and Lee, NeurIPS 2017; Erion et al., Nature Machine Intelligence 2021 (expected gradients).
    """
    positive("samples", samples)

    def settings(chunk: Chunk) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(chunk.seed % 2**63)
        noise = torch.randn((samples, *chunk.images.shape[1:]), generator=generator, dtype=torch.float64)
        return {"baselines": noise.to(chunk.images), "n_samples": samples, "stdevs": 0.0}

    return ask(settings, drawn=True).sum(1)


def _windows_passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return (int(parameters["windows"]) - 1) ** 2 + 1


@captum("Occlusion", "input", needs_gradients=False, passes=_windows_passes, least={"windows": 2})
def occlusion(ask: Ask, windows: int = WINDOWS) -> Float[Tensor, "b H W"]:
    """Fall of the score when a window is covered with the mean colour.

    A window is moved by `s = ceil(side / windows)` pixels and covers `2 s`, so that its number of places, at most
    `(windows - 1)^2`, does not depend on the image's size. A pixel gets the mean over the windows that cover it.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2.
    """
    if windows < 2:
        raise InputError(f"windows is {windows}: a window covers two steps, so a side must have at least 2")

    def settings(chunk: Chunk) -> dict[str, Any]:
        channels, *sides = chunk.images.shape[1:]
        strides = [math.ceil(side / windows) for side in sides]
        window = (channels, *(min(2 * stride, side) for stride, side in zip(strides, sides, strict=True)))
        return {"sliding_window_shapes": window, "strides": (channels, *strides), **_perturbing(chunk)}

    return ask(settings)[:, 0]  # a window covers all channels, and captum repeats its value in each


@captum(
    "FeatureAblation", "input", needs_gradients=False, passes=passes_by("segments", beside=1), least={"segments": 2}
)
def feature_ablation(ask: Ask, segments: int = SEGMENTS) -> Float[Tensor, "b H W"]:
    """Fall of the score when a superpixel is covered with the mean colour.

    There are about `segments` superpixels; the map is constant on each.

    Source: captum, FeatureAblation; Achanta et al., TPAMI 2012 (SLIC).
    """
    regions = _regions(ask, segments)
    return ask(lambda chunk: {"feature_mask": regions[chunk.rows, None], **_perturbing(chunk)})[:, 0]


@captum("KernelShap", "input", needs_gradients=False, passes=passes_by("samples"), least={"segments": 2, "samples": 2})
def kernel_shap(ask: Ask, segments: int = SEGMENTS, samples: int = COALITIONS) -> Float[Tensor, "b H W"]:
    """Shapley values of superpixels, by regression on random sets of them.

    Of each set the other superpixels are covered with the baseline; sizes are drawn by Shapley's kernel, the first two
    sets are all and none. There should be several times as many sets (`samples`) as superpixels: with fewer, the
    regression has many solutions. The map is constant on each superpixel.

    Source: Lundberg and Lee, NeurIPS 2017, theorem 2; Achanta et al., TPAMI 2012 (SLIC).
    """
    if samples < 2:
        raise InputError(f"samples is {samples}: all and none of the superpixels are two, so ask for at least 2")
    regions = _regions(ask, segments)
    settings = {"n_samples": samples}
    return ask(lambda chunk: {"feature_mask": regions[chunk.rows, None], **settings, **_perturbing(chunk)}, drawn=True)[
        :, 0
    ]


def _perturbing(chunk: Chunk) -> dict[str, Any]:
    return {"baselines": BASELINE, "perturbations_per_eval": chunk.copies}


def _regions(ask: Ask, segments: int) -> Tensor:
    subject = ask.subject
    return subject.once(f"superpixels {segments}", lambda: superpixels(subject.images, segments))
