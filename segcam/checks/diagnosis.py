"""Why is my map blank or negative? For each layer how often, how much is below zero, and what it speaks for instead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import real
from segcam.errors import InputError, ProbeError, unknown
from segcam.maps import layer_maps
from segcam.methods import METHODS, Method
from segcam.probe.captures import Capture
from segcam.probe.gradients.rounding import CANCELLED
from segcam.probe.layers import Layer
from segcam.probe.network.inputs import Inputs
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.probe.targets.names import split


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """What one layer's maps are like, and why.

    Attributes:
        layer: its label.
        blank: share of the images whose map has no positive part, 0..1.
        undefined: share of the images whose map is undefined, 0..1: their pixel set is empty, or what the method sums
            cancels.
        sign_balance: for each image, the positive part of the map before ReLU over its absolute values, `(b,)`; see
            `sign_balance`. NaN too for methods that tell no map before ReLU.
        counter_map: the map of the best other class at the same pixels, `(b, h, w)`, on the layer's grid.
        counter_share: for each image, its share of the energy of both maps, `(b,)`; see `counter_share`.
        text: the same in words, with the reason for blank and undefined maps.
        offset: how far the layer's cells lie, by kernels, strides and paddings, from where its map is laid, down and
            across, in input pixels; None where that cannot be told.
    """

    layer: str
    blank: float
    undefined: float
    sign_balance: Float[Tensor, " b"]
    counter_map: Float[Tensor, "b h w"]
    counter_share: Float[Tensor, " b"]
    text: str
    offset: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the maps of a method are like for one target, layer by layer; `print` it for a table.

    Attributes:
        method: the method's label.
        target: what was explained.
        layers: a record a layer, in the probe's order.
        counter_classes: for each image, the best other class at most of the explained pixels, `(b,)`; -1 where there
            are none.
        bias_alone: where no layer takes part in the score, see `bias_alone`, `(b,)`.
    """

    method: str
    target: Target
    layers: tuple[LayerDiagnosis, ...]
    counter_classes: Int[Tensor, " b"]
    bias_alone: Bool[Tensor, " b"]

    def __getitem__(self, label: str) -> LayerDiagnosis:
        records = {record.layer: record for record in self.layers}
        if label not in records:
            raise unknown("layer", label, records)
        return records[label]

    def __str__(self) -> str:
        head = ("layer", "blank", "undefined", "sign balance", "counter share")
        rows = [
            (r.layer, f"{r.blank:.0%}", f"{r.undefined:.0%}", _mean(r.sign_balance), _mean(r.counter_share))
            for r in self.layers
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in (head, *rows)
        ]
        alike: dict[str, list[str]] = {}
        for record in self.layers:
            alike.setdefault(record.text, []).append(record.layer)
        title = f"{self.method} of {self.target.name}, {len(self.counter_classes)} images"
        reasons = [f"{', '.join(labels)}: {text}" for text, labels in alike.items()]
        if count := int(self.bias_alone.sum()):
            of = f"{count} of {len(self.bias_alone)} images"
            reasons.append(f"in {of} no layer takes part in the score: it is the last layer's bias alone")
        return "\n".join([title, *lines, *reasons])


def diagnose(
    probe: Probe,
    images: Float[Tensor, "b ch h w"],
    target: Target | None = None,
    method: str | Method = "grad_cam",
    *,
    masks: Int[Tensor, "b h w"] | None = None,
    inputs: Inputs | None = None,
    valid: Bool[Tensor, "b h w"] | None = None,
) -> Diagnosis:
    """Say of each layer why maps are blank or negative.

    A gradient CAM is the positive part of a signed map. It is blank where that is nowhere positive: the layer then
    speaks against the score. What it speaks for instead shows in the counter-class map, that of the best other class's
    logit at the very same pixels; it costs one more backward pass and shares the forward pass.

    >>> import torch
    >>> from torch import nn
    >>> from segcam import Probe, Target
    >>> net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 2, 1, bias=False))
    >>> _ = nn.init.ones_(net[0].weight), net[2].weight.data.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    >>> print(diagnose(Probe(net, ["0", "1"]), torch.rand(4, 3, 8, 8), Target(class_id=1)))
    Grad-CAM of best_pixel:logit, 4 images
    layer  blank  undefined  sign balance  counter share
    0       100%         0%          0.00           1.00
    1       100%         0%          0.00           1.00
    0, 1: blank in 4 of 4 images: the map before ReLU is nowhere positive; what is there speaks for class 0

    Args:
        probe: the network and its layers.
        images: the network's input.
        target: what is explained; the paper's choice, the best pixel's logit of class 1, unless told.
        method: a gradient method, or its name.
        masks: the true class of each pixel, for targets that look at it.
        inputs: what the network takes beside the images, see `Probe.many`.
        valid: where the pictures are and not padding; see `Probe.many`.

    Raises:
        InputError: the method is unknown or no gradient method.
        ProbeError: see `Probe.many`.
    """
    target = target or Target()
    method = METHODS.get(method) if isinstance(method, str) else method
    if method.gradient is None:
        names = ", ".join(choice.name for choice in METHODS if choice.gradient is not None)
        raise InputError(f"method {method.name} is no gradient method and cannot be diagnosed: choose one of {names}")
    # The other score is of the same pixels: no pixel set looks at the score.
    other = replace(target, score="logit" if target.score == "rival" else "rival")
    capture, counter = probe.many(images, [target, other], masks=masks, valid=valid, inputs=inputs)
    own = target.score == "rival"  # then the class itself is what else the layer may speak for
    classes = capture.target.rivals(capture.logits, capture.size, capture.explained, own=own)
    offsets = _offsets(probe, capture, images, inputs)
    records = tuple(_of_layer(capture, counter, layer, method, classes) for layer in capture.layers)
    records = tuple(_with_offset(record, offsets.get(record.layer)) for record in records)
    return Diagnosis(method.label, target, records, classes, bias_alone(capture))


def bias_alone(capture: Capture) -> Bool[Tensor, " b"]:
    """Return in which images nothing that a layer gives takes part in the score: what is left is a bias.

    Neither is a gradient zero nor an activation alone a proof: both must meet in a cell of a layer. Where they do in
    none, the score of these pixels is the same whatever is in the image, and every gradient map is blank. It happens
    where a network answers 'object' by its last bias and 'background' by what it sees.

    Args:
        capture: of any layers; the more lie on different branches, the surer is the answer.

    Returns:
        One a image; False where the pixel set is empty, as such maps are undefined.
    """
    alone = capture.target_pixels > 0
    for layer in reversed(capture.layers):
        if not bool(alone.any()):
            break
        activations, gradients = capture.activations[layer.label], capture.gradients[layer.label]
        alone = alone & ~((activations != 0) & (gradients != 0)).flatten(1).any(1)
    return alone


def sign_balance(signed: Float[Tensor, "*b h w"]) -> Float[Tensor, " *b"]:
    """Return `sum max(S, 0) / sum |S|` of maps before ReLU: 0 where all speaks against the score, 1 where all for it.

    Returns:
        Shares in 0..1; NaN for a map that is zero everywhere or undefined.
    """
    signed = real(signed, "maps")
    return signed.relu().sum((-2, -1)) / signed.abs().sum((-2, -1))


def counter_share(maps: Float[Tensor, "*b h w"], rivals: Float[Tensor, "*b h w"]) -> Float[Tensor, " *b"]:
    """Return `sum L' / (sum L + sum L')`, the counter-class map's share of the energy of both.

    Args:
        maps: `L`; their positive parts are taken.
        rivals: `L'`, of the best other class at the same pixels.

    Returns:
        Shares in 0..1; NaN where both are blank or undefined.
    """
    stacks = [real(stack, "maps") for stack in (maps, rivals)]
    if stacks[0].shape != stacks[1].shape:
        raise InputError(
            f"maps of {tuple(stacks[0].shape)} and {tuple(stacks[1].shape)} share no energy: give equal shapes"
        )
    target, rival = (stack.relu().sum((-2, -1)) for stack in stacks)
    return rival / (target + rival)


def _of_layer(
    capture: Capture, counter: Capture, layer: Layer, method: Method, classes: Int[Tensor, " b"]
) -> LayerDiagnosis:
    signed, maps = (stack[:, 0] for stack in layer_maps(capture, layer, [method]))
    rivals = layer_maps(counter, layer, [method])[1][:, 0]
    empty = capture.target_pixels == 0
    noise = torch.zeros_like(empty) if method.sums is None else capture.cancels(layer, method.sums) & ~empty
    undefined = empty | noise
    blank = ~undefined & ~(maps > 0).flatten(1).any(1)
    balance = sign_balance(signed)
    speaks = (rivals > 0).flatten(1).any(1)
    words = [
        *_undefined_words(capture.target, empty),
        *_noise_words(noise),
        *_blank_words(method, _reasons(capture, layer, method, signed), blank, classes.where(speaks, -1)),
        *_sign_words(balance, blank | undefined),
    ]
    return LayerDiagnosis(
        layer=layer.label,
        blank=float(blank.float().mean()),
        undefined=float(undefined.float().mean()),
        sign_balance=balance,
        counter_map=rivals,
        counter_share=counter_share(maps, rivals),
        text=". ".join(words) or "no map is blank",
    )


def _offsets(
    probe: Probe, capture: Capture, images: Float[Tensor, "b ch h w"], inputs: Inputs | None
) -> dict[str, tuple[float, float]]:
    """Return how far layers look from where their maps are laid, by label; none where that cannot be told."""
    try:
        placed = probe.placements(images, inputs)
    except ProbeError:
        return {}
    return {
        label: (0.0, 0.0) if capture.placements.get(label) is not None else one.offset for label, one in placed.items()
    }


def _with_offset(record: LayerDiagnosis, offset: tuple[float, float] | None) -> LayerDiagnosis:
    """Return the record with the offset, in words where it is a pixel or more."""
    text = record.text
    if offset is not None and max(map(abs, offset)) >= 1:
        sides = (
            f"{abs(number):.1f} px {name[number > 0]}"
            for number, name in zip(offset, (("up", "down"), ("left", "right")), strict=True)
            if abs(number) >= 1
        )
        text += f". By strides and paddings its cells lie {' and '.join(sides)} of where the map is laid"
    return replace(record, text=text, offset=offset)


def _reasons(capture: Capture, layer: Layer, method: Method, signed: Float[Tensor, "b h w"]) -> list[str]:
    """Return for each image why its map is blank, if it is."""
    stacks = (capture.activations[layer.label], capture.gradients[layer.label], signed)
    alive = torch.stack([(stack != 0).flatten(1).any(1) for stack in stacks], 1)
    return [_reason(method, *image) for image in alive.tolist()]


def _reason(method: Method, active: bool, depends: bool, left: bool) -> str:
    if method.needs_gradients and not depends:
        return "the score does not change with the layer, all gradients are zero"
    if not active:
        return "the layer's output is zero everywhere"
    return f"the map before ReLU is {'nowhere positive' if left else 'zero everywhere'}"


def _undefined_words(target: Target, undefined: Bool[Tensor, " b"]) -> list[str]:
    count, images = int(undefined.sum()), len(undefined)
    return [f"undefined in {count} of {images} images: pixel set '{split(target.name)[0]}' is empty"] if count else []


def _noise_words(noise: Bool[Tensor, " b"]) -> list[str]:
    count, images = int(noise.sum()), len(noise)
    return [f"undefined in {count} of {images} images: {CANCELLED}"] if count else []


def _blank_words(
    method: Method, reasons: list[str], blank: Bool[Tensor, " b"], speaks_for: Int[Tensor, " b"]
) -> list[str]:
    """Put into words in how many images the map is blank and why, a phrase a reason; -1 speaks for nothing."""
    words = []
    for reason in dict.fromkeys(why for why, is_blank in zip(reasons, blank.tolist(), strict=True) if is_blank):
        matches = [is_blank and why == reason for why, is_blank in zip(reasons, blank.tolist(), strict=True)]
        rivals = Counter(k for k, is_match in zip(speaks_for.tolist(), matches, strict=True) if is_match)
        words.append(f"blank in {sum(matches)} of {len(matches)} images: {reason}{_rival_words(method, rivals)}")
    return words


def _rival_words(method: Method, rivals: Counter[int]) -> str:
    if not method.needs_gradients:
        return "; the method does not look at gradients, so it is the same for every class"
    silent = rivals.pop(-1, 0)
    if not rivals:
        return "; nor does anything in it speak for the best other class"
    if len(rivals) == 1 and not silent:
        return f"; what is there speaks for class {next(iter(rivals))}"
    shares = [f"class {k} in {n}" for k, n in rivals.most_common()] + ([f"none in {silent}"] if silent else [])
    return f"; what is there speaks for {', '.join(shares)}"


def _sign_words(balance: Float[Tensor, " b"], without: Bool[Tensor, " b"]) -> list[str]:
    negative = int(((balance < 0.5) & ~without).sum())
    if not negative:
        return []
    of = f"{int((~without).sum())} {'others' if bool(without.any()) else 'images'}"
    return [f"mostly negative before ReLU in {negative} of {of}: the layer speaks more against the score than for it"]


def _mean(values: Float[Tensor, " b"]) -> str:
    return f"{float(values.nanmean()):.2f}"
