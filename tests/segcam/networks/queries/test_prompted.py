"""Networks of prompts: prompts pass through, and one mask is what is explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import InputError, Probe, ProbeError, Target
from segcam.errors import SegcamWarning
from segcam.networks.queries import PromptedMask, adapted
from tests.segcam.foreign.reference import Lay, agrees, nchw, nhwc
from tests.segcam.networks.queries.small import PROMPTED, images, network

POINTS = torch.tensor([[[[30.0, 40.0]], [[90.0, 20.0]]], [[[64.0, 64.0]], [[10.0, 100.0]]]]).double()
"""A point for each of two prompts, in each of two images."""

LAYERS: dict[str, dict[str, Lay]] = {
    "sam": {
        "vision_encoder.patch_embed.projection": nchw,
        "vision_encoder.layers.0": nhwc,
        "vision_encoder.layers.1.mlp.lin1": nhwc,
        "vision_encoder.neck.conv1": nchw,
    },
    "sam 2": {
        "vision_encoder.backbone.blocks.0": nhwc,
        "vision_encoder.backbone.blocks.3.layer_norm1": nhwc,
        "vision_encoder.neck.convs.2": nchw,
        "mask_decoder.conv_s0": nchw,
    },
}


def plain_cam(name: str, label: str, lay: Lay, image: Tensor, points: Tensor, prompt: int, mask: int) -> Tensor:
    kept: list[Any] = []
    handle = network(name).get_submodule(label).register_forward_hook(lambda *args: kept.append(args[2]))
    output = network(name)(image.clone().requires_grad_(), input_points=points)
    handle.remove()
    logits = nnf.interpolate(output.pred_masks[:, prompt, mask, None], image.shape[2:], mode="bilinear")
    (gradient,) = torch.autograd.grad(logits.mean(), kept)
    return (lay(gradient).mean((2, 3), keepdim=True) * lay(kept[0].detach())).sum(1)


@pytest.mark.parametrize("name", PROMPTED)
def test_maps_are_those_of_plain_autograd(name: str) -> None:
    batch = images(name)
    model = PromptedMask(network(name), mask=1, prompt=1)
    capture = Probe(model, list(LAYERS[name]))(batch, Target(1, "image"), inputs={"input_points": POINTS})
    for label, lay in LAYERS[name].items():
        for n in range(2):
            wanted = plain_cam(name, label, lay, batch[n : n + 1], POINTS[n : n + 1], 1, 1)
            assert agrees(capture, label, wanted, slice(n, n + 1)), label


@pytest.mark.parametrize("name", PROMPTED)
def test_the_best_mask_is_that_of_the_largest_predicted_iou(name: str) -> None:
    batch = images(name)
    with torch.no_grad():
        output = network(name)(batch, input_points=POINTS)
        found = adapted(network(name))(batch, input_points=POINTS)
    for n in range(2):
        assert torch.equal(found[n, 0], output.pred_masks[n, 0, output.iou_scores[n, 0].argmax()])


@pytest.mark.parametrize("name", PROMPTED)
def test_every_module_has_a_map_or_a_reason(name: str) -> None:
    inputs = {"input_points": POINTS[:, :1]}
    capture = Probe(adapted(network(name)), "*")(images(name), Target(1, "image"), inputs=inputs)
    assert {*capture.activations, *capture.skipped} == {path for path, _ in network(name).named_modules() if path}
    image_side = ("vision_encoder", "mask_decoder.upscale", "mask_decoder.conv_s", "mask_decoder.output_hyper")
    assert all(label.startswith(image_side) for label in capture.activations)
    prompt = "mask_decoder.transformer.layers.0.self_attn"
    assert "lie nowhere on the image, as queries and prompts do" in capture.skipped[prompt]
    image = "mask_decoder.transformer.layers.0.cross_attn_image_to_token"
    assert "holds all cells of a grid" in capture.skipped[image]
    windows = {"sam": "layers.0.attn", "sam 2": "backbone.blocks.0.attn"}[name]
    assert "folded into the batch" in capture.skipped[f"vision_encoder.{windows}"]


def test_boxes_are_prompts_too() -> None:
    boxes = torch.tensor([[[10.0, 10.0, 60.0, 80.0]], [[0.0, 0.0, 90.0, 90.0]]]).double()
    batch = images("sam")
    capture = Probe(adapted(network("sam")), "vision_encoder.neck.conv1")(
        batch, Target(1, "best_pixel"), inputs={"input_boxes": boxes}
    )
    with torch.no_grad():
        output = network("sam")(batch, input_boxes=boxes)
    best = output.iou_scores[:, 0].argmax(1)
    masks = nnf.interpolate(output.pred_masks[[0, 1], 0, best][:, None], (128, 128), mode="bilinear")
    assert torch.allclose(capture.scores, masks.amax((1, 2, 3)))


def test_prompts_of_all_images() -> None:
    boxes = torch.tensor([[[10.0, 10.0, 60.0, 80.0]]]).double()
    model = PromptedMask(network("sam"), mask=0, prompts={"input_boxes": boxes.tolist()})
    with torch.no_grad():
        found = model(images("sam"))
        wanted = network("sam")(images("sam"), input_boxes=boxes.expand(2, 1, 4)).pred_masks[:, 0, :1]
        told = model(images("sam"), input_points=POINTS)
        own = network("sam")(images("sam"), input_points=POINTS).pred_masks[:, 0, :1]
    assert torch.allclose(found, wanted)
    assert torch.allclose(told, own)  # what goes with the images is taken alone
    with pytest.raises(InputError, match=r"prompts\['input_points'\] are \(2, 2, 1, 2\): one row is needed"):
        PromptedMask(network("sam"), prompts={"input_points": POINTS})


def test_without_a_prompt_the_middle_is_taken_and_said() -> None:
    middle = torch.full((2, 1, 1, 2), 64.0).double()
    with torch.no_grad():
        wanted = adapted(network("sam"))(images("sam"), input_points=middle)
        with pytest.warns(SegcamWarning, match="no prompt was given, and the point in the middle of the image"):
            found = adapted(network("sam"))(images("sam"))
    assert torch.equal(found, wanted)


def test_wrong_masks_and_prompts_are_told() -> None:
    model = network("sam")
    with pytest.raises(ProbeError, match="there is no prompt 2: 2 were given, 0 to 1"):
        PromptedMask(model, prompt=2)(images("sam"), input_points=POINTS)
    with pytest.raises(ProbeError, match="there is no mask 3: the network gave 3 a prompt, 0 to 2"):
        PromptedMask(model, mask=3)(images("sam"), input_points=POINTS)
    for wrong in ({"mask": -1}, {"mask": "worst"}, {"mask": True}, {"prompt": -1}, {"prompt": 0.5}):
        with pytest.raises(InputError, match="give an index from 0"):
            PromptedMask(model, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="the network failed on images"):
        Probe(adapted(model), "*")(torch.rand(1, 3, 96, 96), Target(1), inputs={"input_points": POINTS[:1].float()})
    with pytest.raises(ProbeError, match=r"needs 'pred_masks' of 5 dimensions, and it is a Tensor without it"):
        PromptedMask(Dense())(torch.rand(1, 3, 8, 8))


class Dense(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(3, 1, 1)

    def forward(self, x: Tensor, input_points: Tensor) -> Tensor:
        return super().forward(x) + input_points.sum()
