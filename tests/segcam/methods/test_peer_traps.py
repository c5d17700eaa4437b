"""What other tools get wrong on ordinary segmentation networks, each reproduced, and that segcam does not.

The numbers are those of science's section on traps; versions: pytorch-grad-cam 1.5, torch-cam 0.5, captum 0.8 to 0.9.
Should one of these tests fail because a peer has put it right, the test may go.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from segcam.errors import InputError
from segcam.methods import METHODS
from segcam.methods.ablation_cam import ablation_cam
from segcam.methods.material.subject import examining
from segcam.models import MODELS, create
from segcam.models.segformer import attention_places
from tests.peers import best_pixels, of_grad_cam, of_torchcam, off_by, package, scores
from tests.reference import cams
from tests.reference import grad_cam as slow
from tests.small_networks import Convolutions, seeded

IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
WIDE = 0.25
"""A share of the map's maximum that no reader would call rounding."""


class AtInput(Convolutions):
    """The small network with in-place ReLU, its logits upsampled to the input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(super().forward(x), size=x.shape[2:], mode="bilinear", align_corners=False)


@pytest.fixture
def model() -> nn.Module:
    return seeded(AtInput).float()


def unet() -> nn.Module:
    return create("unet", 2, {"width": 4}, seed=3).eval()


def segformer() -> nn.Module:
    return create("segformer", 2, seed=0).eval()


def slow_maps(model: nn.Module, name: str) -> Tensor:
    model = copy.deepcopy(model)
    maps = [slow.of_layer(model, model.get_submodule(name), image, 1) for image in IMAGES]
    return torch.from_numpy(np.stack(maps)).float()


# 1. A module that works in place overwrites what a hook has saved.


def test_in_place_modules(model: nn.Module) -> None:
    """captum copies what it saves and is right; the others hold what ReLU has left of it."""
    layer = Layer("norm1", "norm1", stride=1)
    right = slow_maps(model, "norm1")
    pixels = best_pixels(model(IMAGES))
    torchcam, captum = package("torchcam.methods"), package("captum.attr")
    targets = [(1, y, x) for y, x in pixels]
    of_captum = captum.LayerGradCam(model, model.norm1).attribute(IMAGES, target=targets, relu_attributions=True)
    assert off_by(of_captum[:, 0].detach(), right) <= 1e-5
    assert off_by(of_grad_cam("GradCAM", model, [layer], IMAGES, scores(pixels))[0], right) > WIDE
    assert off_by(of_torchcam(torchcam.GradCAM, model, [layer], IMAGES, scores(pixels))[0], right) > WIDE
    assert off_by(Probe(model, layer)(IMAGES).maps(grad_cam), right) <= 1e-5


# 2. pytorch-grad-cam averages layers, each scaled to 0..1 first.


def test_several_layers_are_averaged() -> None:
    """Asked for two layers it gives one map: neither layer's, and not their mean, since each was scaled before."""
    tool = package("pytorch_grad_cam").GradCAM
    model = unet()
    layers = [x for x in MODELS.get("unet").layers(model, "conv") if x.label in ("Encoder 1_2", "Encoder 3_2")]
    capture = Probe(model, layers)(IMAGES)
    with tool(model, [model.get_submodule(layer.module) for layer in layers]) as peer:
        theirs = torch.from_numpy(peer(IMAGES, scores(best_pixels(capture.logits))))
    assert theirs.shape == (2, 32, 48)
    maps = [capture.maps(grad_cam, layer) for layer in layers]
    each = [larger(scaled(layer)) for layer in maps]
    assert off_by(theirs, scaled((each[0] + each[1]) / 2)) <= 1e-5  # this is what it is
    for wanted in (*each, scaled(larger(maps[0]) + larger(maps[1]))):
        assert off_by(theirs, wanted) > WIDE
    for layer, found in zip(layers, maps, strict=True):
        assert off_by(found, slow_maps(model, layer.module)) <= 1e-5


def scaled(maps: Tensor) -> Tensor:
    """Maps of 0..1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (maps.amax((1, 2), keepdim=True) + 1e-7)


def larger(maps: Tensor) -> Tensor:
    """Maps of the images' size."""
    return F.interpolate(maps[:, None], size=IMAGES.shape[2:], mode="bilinear", align_corners=False)[:, 0]


# 3. captum takes tokens for a row of maps.


def test_tokens_in_captum() -> None:
    """Its LayerGradCam averages over channels and weighs tokens: (b, 1, c) in the place of (b, h, w), and no error."""
    model = segformer()
    layer = next(x for x in MODELS.get("segformer").layers(model, "conv") if x.label == "Before attention 2_1")
    images = IMAGES[:, :, :, :32]
    pixels = best_pixels(model(images))
    peer = package("captum.attr").LayerGradCam(model, model.get_submodule(layer.module))
    theirs = peer.attribute(images, target=[(1, y, x) for y, x in pixels])
    assert theirs.shape == (2, 1, 64)  # 64 channels of 4 x 4 tokens
    found = Probe(model, layer)(images).maps(grad_cam)
    assert found.shape == (2, 4, 4)
    assert off_by(found, of_grad_cam("GradCAM", model, [layer], images, scores(pixels))[0]) <= 1e-4


# 4. pytorch-grad-cam needs parameters with gradients, and numbers that NumPy has.


def test_frozen_and_bf16_networks(model: nn.Module) -> None:
    layer = Layer("conv2", "conv2", stride=2)
    free = Probe(model, layer)(IMAGES).maps(grad_cam)
    pixels = best_pixels(model(IMAGES))
    frozen = copy.deepcopy(model).requires_grad_(False)
    package("pytorch_grad_cam")
    with pytest.raises(RuntimeError, match="does not require grad"):
        of_grad_cam("GradCAM", frozen, [layer], IMAGES, scores(pixels))
    assert torch.equal(Probe(frozen, layer)(IMAGES).maps(grad_cam), free)
    rough = copy.deepcopy(model).to(torch.bfloat16)
    with pytest.raises(TypeError, match="BFloat16"):
        of_grad_cam("GradCAM", rough, [layer], IMAGES.bfloat16(), scores(pixels))
    found = Probe(rough, layer)(IMAGES).maps(grad_cam)
    assert found.dtype == torch.float32
    assert torch.corrcoef(torch.stack([found.flatten(), free.flatten()]))[0, 1] > 0.9


# 5. captum's defaults are not the paper's.


def test_captums_defaults(model: nn.Module) -> None:
    """No ReLU, and `interpolate` repeats cells: both must be asked for."""
    captum = package("captum.attr")
    targets = [(1, y, x) for y, x in best_pixels(model(IMAGES))]
    theirs = captum.LayerGradCam(model, model.conv2).attribute(IMAGES, target=targets).detach()
    found = Probe(model, "conv2")(IMAGES).maps(grad_cam)
    assert off_by(theirs[:, 0], found) > WIDE
    assert off_by(theirs[:, 0].relu(), found) <= 1e-5
    default, bilinear = (
        captum.LayerAttribution.interpolate(theirs.relu(), (32, 48), **more)[:, 0]
        for more in ({}, {"interpolate_mode": "bilinear"})
    )
    assert off_by(default, larger(found)) > WIDE
    assert off_by(bilinear, larger(found)) <= 1e-5


# 6. A module that runs twice in a pass.


def test_modules_that_run_twice() -> None:
    """Asked for `drop_path`, one tool maps its first call and the other its second, and neither says so."""
    model = segformer()
    name = next(n for n, _ in model.named_modules() if n.endswith("drop_path") and n.split(".")[-2] == "1")
    layer = Layer(name, name, stride=4)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    pixels = best_pixels(model(images))
    calls = [Layer(name, which, stride=4, call=call) for call, which in enumerate(("first", "second"))]
    capture = Probe(model, calls)(images)
    first, second = (capture.maps(grad_cam, which) for which in ("first", "second"))
    of_one = of_grad_cam("GradCAM", model, [layer], images, scores(pixels))[0]
    of_the_other = of_torchcam(package("torchcam.methods").GradCAM, model, [layer], images, scores(pixels))[0]
    assert off_by(of_one, first) <= 1e-3
    assert off_by(of_the_other, second) <= 1e-3
    assert off_by(first, second) > WIDE
    with pytest.raises(ProbeError, match="runs 2 times in one forward pass"):
        Probe(model, layer)(images)


# 7. Names of modules. That segcam finds SegFormer's layers under every version is shown in test_models_segformer.py.


def test_names_belong_to_a_version() -> None:
    """A layer's name in a script is one version's of transformers; by its place in the block it is found in all."""
    tool = package("torchcam.methods").GradCAM
    model = segformer()
    spellings = ("stages.0.blocks.0.layernorm_before", "encoder.block.0.0.layer_norm_1")  # of versions 5 and 4
    known = dict(model.named_modules())
    there, gone = sorted((f"network.segformer.{name}" for name in spellings), key=lambda name: name not in known)
    assert (there in known, gone in known) == (True, False)
    with pytest.raises(ValueError, match="unknown `target_layer` names"):
        tool(model, gone)
    layer = next(x for x in MODELS.get("segformer").layers(model, "conv") if x.label == "Before attention 1_1")
    assert layer.module == there
    with pytest.raises(InputError, match="no module"):
        Probe(model, gone)


# 8. Attention matrices. That segcam's are the network's own is shown in probe/attention/test_matrices.py.


def test_attention_must_be_asked_for() -> None:
    """transformers 5 gives none, and no error, where a fused kernel computes attention; 4 has no such kernel here."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    shape = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 3, 4]}
    model = SegformerForSemanticSegmentation(SegformerConfig(**shape)).eval()
    if model.config._attn_implementation == "eager":
        pytest.skip("this version of transformers computes SegFormer's attention step by step anyway")
    images = IMAGES[:, :, :, :32]
    with torch.no_grad():
        found = model(images, output_attentions=True).attentions
    assert not [matrix for matrix in found or () if matrix is not None]
    places = attention_places(model)
    capture = Probe(model, "*dwconv.dwconv", attention=places)(images)
    shapes = [tuple(capture.attentions[place.label].weights.shape) for place in places]
    assert shapes == [(2, 1, 64, 1), (2, 2, 16, 1), (2, 3, 4, 1), (2, 4, 1, 1)]


# Found beside these.


def grad_cam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ by its slow twin, which segcam's is."""
    both = zip(activations.numpy(), gradients.numpy(), strict=True)
    right = torch.from_numpy(np.stack([cams.maps("grad_cam_pp", a, g)[1] for a, g in both])).float()
    assert off_by(METHODS.get("grad_cam_pp").maps(activations, gradients), right) <= 1e-5
    return right


def test_grad_cam_pp_of_torchcam_leaves_out_its_division(model: nn.Module) -> None:
    """It divides a copy of alpha, so that weights are the sum of the gradients' cubes."""
    layer = Layer("relu", "relu", stride=1)
    capture = Probe(model, layer)(IMAGES)
    pixels = best_pixels(capture.logits)
    tool = package("torchcam.methods").GradCAMpp
    theirs = of_torchcam(tool, model, [layer], IMAGES, scores(pixels))[0]
    activations, gradients = capture.activations["relu"], capture.gradients["relu"]
    assert off_by(theirs, torch.einsum("bchw,bc->bhw", activations, gradients.relu().pow(3).sum((2, 3)))) <= 1e-4
    right = grad_cam_pp(activations, gradients)
    assert off_by(theirs / theirs.amax((1, 2), keepdim=True), right / right.amax((1, 2), keepdim=True)) > 0.1


def test_grad_cam_pp_of_pytorch_grad_cam_depends_on_an_epsilon() -> None:
    """1e-6 beside squared gradients, which of one pixel of a deep layer are smaller."""
    model = unet()
    layer = next(x for x in MODELS.get("unet").layers(model, "relu") if x.label == "Encoder 5_2 ReLU")
    capture = Probe(model, layer)(IMAGES)
    theirs = of_grad_cam("GradCAMPlusPlus", model, [layer], IMAGES, scores(best_pixels(capture.logits)))[0]
    activations, gradients = capture.activations[layer.label], capture.gradients[layer.label]
    assert gradients.abs().max() ** 2 < 1e-4
    right = grad_cam_pp(activations, gradients)
    assert off_by(theirs, right) > WIDE


@pytest.mark.parametrize("where", ["signed", "negative score"])
def test_ablation_cam_of_pytorch_grad_cam(where: str) -> None:
    """A layer with negative outputs loses a channel to -1e7, not to 0; a negative score turns the weights round."""
    between = nn.Tanh() if where == "signed" else nn.ReLU()
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), between, nn.Conv2d(6, 2, 3, padding=1)))
    layer = Layer("0" if where == "signed" else "1", "layer", stride=1)
    images = IMAGES[:, :, :12, :16].double()
    shift = 5.0 if where == "signed" else -50.0
    with torch.no_grad():
        model[2].bias += shift
    probe = Probe(model, layer)
    capture = probe(images)
    assert ((capture.scores > 0) == (shift > 0)).all()
    theirs = of_grad_cam("AblationCAM", model, [layer], images, scores(best_pixels(capture.logits)))[0]
    with examining(probe, images, capture) as subject:
        ours = ablation_cam(subject, layer, 0)
    assert off_by(scaled(theirs), scaled(ours)) > WIDE


def test_a_dense_target_is_a_mean_here_and_a_sum_there() -> None:
    """pytorch-grad-cam's segmentation target sums over the mask: the same map for Grad-CAM, times the pixels."""
    package("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    model = unet()
    layer = MODELS.get("unet").layers(model, "conv")[3]
    capture = Probe(model, layer)(IMAGES, Target(pixels="predicted"))
    masks = capture.explained.chosen.numpy().astype(np.float32)
    targets = [SemanticSegmentationTarget(1, mask) for mask in masks]
    theirs = of_grad_cam("GradCAM", model, [layer], IMAGES, targets)[0]
    pixels = capture.target_pixels
    assert (pixels > 10).all()
    assert off_by(theirs / pixels[:, None, None], capture.maps(grad_cam)) <= 1e-4
