"""Finer-CAM: what speaks for the class and not for those most like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.errors import InputError, NotApplicableError
from segcam.methods import method
from segcam.methods.material.pair import combined
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.probe.probe import Probe
from segcam.probe.targets.dense import membership, of_class

STRENGTH = 0.6
REFERENCES = 3


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["references"])


@method("run", label="Finer-CAM", family="cam", passes=_passes, all_layers=True, least={"references": 1})
def finer_cam(
    subject: Subject, layer: Layer, strength: float = STRENGTH, references: int = REFERENCES
) -> Float[Tensor, "b h w"]:
    """Grad-CAM of the score less that of the classes most like it, positive part.

    `L = ReLU(sum_k w_k A_k)`, `w_k` the mean over positions of `dy/dA_k - strength * mean over d of dy_d/dA_k`. `y` is
    the target's score and `y_d` the mean logit of another class d over the same pixels. Of the other classes the
    `references` are taken whose `y_d` is nearest to the class's own mean logit, in each image; all where there are
    fewer. Under the score 'logit' that is the paper's difference of logits. With a strength of 0 it is Grad-CAM.

    The gradient of `y` is that of the shared pass. Those of the `y_d` take one backward pass each, for all layers
    together; segmentation of two classes has one.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; NaN for images whose pixel set is
        empty.

    Raises:
        InputError: fewer than 1 reference is asked for.
        NotApplicableError: the pixels count for a class each, as along a border, or all classes count as the one
            explained.

    Source: Zhang et al., CVPR 2025 (Finer-CAM), the difference of logits; the mean over references and 0.6 as in
    torch-cam.
    """
    if references < 1:
        raise InputError(f"references is {references}: the class is compared with 1 other or more")
    gradients = subject.once(f"gradients of {references} like classes", lambda: _gradients(subject, references))
    activations, own = (
        at_least_float32(maps[layer.label]) for maps in (subject.capture.activations, subject.capture.gradients)
    )
    weights = (own - strength * gradients[layer.label].to(own)).mean((2, 3))
    return undefined_where_empty(combined(activations, weights[:, None])[:, 0].relu(), subject)


def _gradients(subject: Subject, references: int) -> dict[str, Float[Tensor, "b c h w"]]:
    """Return the mean over the most like classes of their logits' gradients by each layer's output."""
    capture, target = subject.capture, subject.target
    explained = capture.explained
    if explained.signs is not None:
        raise NotApplicableError("the explained pixels count for and against a class each: there is none to compare")
    like = _most_like(subject, references)
    output = target.meaning or "logits"
    probe = Probe(subject.model, capture.layers, output=output, element=target.element)
    at = [replace(target, class_id=tuple(like[:, n].tolist()), score="logit", other=None) for n in range(like.shape[1])]
    pixels = [replace(explained, class_ids=like[:, n]) for n in range(like.shape[1])]
    captures = probe.many(subject.images, at, fixed=pixels)
    labels = [layer.label for layer in capture.layers]
    return {label: torch.stack([one.gradients[label] for one in captures]).mean(0) for label in labels}


@torch.no_grad()
def _most_like(subject: Subject, references: int) -> Int[Tensor, "b n"]:
    """Return the other classes whose mean logit over the explained pixels is nearest to the class's, nearest first."""
    capture, target = subject.capture, subject.target
    output = target.dense(capture.logits, capture.size, capture.explained.class_ids)
    chosen = capture.explained.chosen[:, None]
    counts = chosen.flatten(1).sum(1).clamp(min=1)[:, None]
    means, own = ((one * chosen).flatten(2).sum(2) / counts for one in (output.logits, of_class(output)[:, None]))
    inside = membership(output.class_ids, means.shape[1])
    distances = (means - own).abs().masked_fill(inside, torch.inf)
    left = int((~inside).sum(1).amin())
    if not left:
        raise NotApplicableError("there is no class beside those that count as the one explained")
    return distances.argsort(dim=1, stable=True)[:, : min(references, left)]
