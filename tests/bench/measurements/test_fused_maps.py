"""Methods that fuse layers: rows of all images on the input, as a subject gives them; controls beside them once."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from bench.measurements import own_passes
from bench.measurements.sanity import Sanity, methods_of
from bench.measurements.scores import Scorer
from bench.planning import profile as config
from bench.planning.manifest import of_profile
from bench.planning.request import Request
from bench.planning.sections import Score
from segcam import Probe, Target
from segcam.datasets import DATASETS, DatasetOptions
from segcam.errors import InputError
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.models import MODELS, create
from segcam.probe.layers import INPUT
from segcam.samples import Batch, Images
from segcam.scoring.reference import Scenery
from tests.reference.metrics import TWINS
from tests.sceneries import scene_of
from tests.small_networks import settled

FUSED = ("refine_cam", "winsor_cam")
ASKED = ("grad_cam", *FUSED, "uniform", "sobel", "captum_saliency")
KEYS = ["image", "target", "layer", "method"]


@pytest.fixture(scope="module")
def images() -> Images:
    return DATASETS.get("scenes").open(DatasetOptions(size=32, counts=(1, 1, 3))).splits["test"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return settled(create("unet", 2, {"width": 4}, seed=2)).eval()


def settings(*methods: str) -> Score:
    return Score(batch_size=2, methods=methods, metrics=("energy_inside", "spread"), targets=("best_pixel:logit",))


def rows(model: nn.Module, images: Images, *methods: str) -> pd.DataFrame:
    asked = settings(*methods)
    scorer = Scorer(model, Request.of(asked, "unet", model), asked, ("background", "pet"), "ignore")
    return pd.DataFrame(scorer.score(images, range(len(images)))["scores"])


def test_a_row_an_image_on_the_input(model: nn.Module, images: Images) -> None:
    found = rows(model, images, *ASKED)
    on_input = found[found["layer"] == INPUT.label]
    assert on_input.groupby("method").size().to_dict() == dict.fromkeys((*FUSED, "uniform", "sobel"), 3)
    assert not found.duplicated(KEYS).any()
    assert set(found[found["layer"] != INPUT.label]["method"]) == {"grad_cam", "uniform", "sobel"}


def test_rows_are_of_the_maps_that_a_subject_gives(model: nn.Module, images: Images) -> None:
    found = rows(model, images, *ASKED).set_index(["image", "layer", "method"])
    layers = MODELS.get("unet").layers(model, "conv")
    batch = Batch.of([images[1]])
    probe = Probe(model, layers)
    capture = probe(batch.inputs(), Target(1))
    scene = scene_of(batch, 0)
    with examining(probe, batch.inputs(), capture, Scenery.of(batch)) as subject:
        for name in FUSED:
            maps = METHODS.get(name).run(subject, INPUT)
            assert maps.amax() > 0
            for metric in ("energy_inside", "spread"):
                value = TWINS[metric](maps[0].double().numpy(), scene)
                assert found.loc[(batch.ids[0], INPUT.label, name), metric] == pytest.approx(value, rel=1e-3)


def test_other_rows_are_as_without_them(model: nn.Module, images: Images) -> None:
    found, alone = rows(model, images, *ASKED), rows(model, images, "grad_cam", "uniform", "sobel")
    there = found[(found["layer"] != INPUT.label)].reset_index(drop=True)
    pd.testing.assert_frame_equal(there, alone, rtol=1e-4, atol=1e-6)


def test_controls_are_on_the_input_once(model: nn.Module, images: Images) -> None:
    """Beside fusions they have maps of all images, so that methods of own passes need none of their own."""
    for methods, controls in ((ASKED, set()), (("grad_cam", "uniform", "captum_saliency"), {"uniform"})):
        asked = settings(*methods)
        columns = own_passes.score(model, Request.of(asked, "unet", model), asked, images, [0])
        assert set(columns["method"]) == {"captum_saliency"} | controls


def test_the_manifest_has_the_input() -> None:
    methods = [name for name in ASKED if not METHODS.get(name).own_passes]
    profile = config.read("smoke", [f"score.methods={methods}", "score.parameters={}"])
    (layers,) = of_profile(profile, 2).layers.values()
    assert layers[0].label == INPUT.label


def test_sanity_leaves_them_out() -> None:
    scored = [METHODS.get(name) for name in ASKED]
    assert {method.name for method in methods_of(Sanity(), scored, False)} == {"grad_cam"}
    with pytest.raises(InputError, match="refine_cam, which fuses layers"):
        methods_of(Sanity(methods=("refine_cam",)), scored, False)


def test_maps_of_empty_pixel_sets_are_undefined(model: nn.Module, images: Images) -> None:
    with torch.no_grad():
        never = create("unet", 2, {"width": 4}, seed=2)
        never.head.bias[0] += 100
    asked = settings("grad_cam", *FUSED).model_copy(update={"targets": ("predicted:logit",)})
    scorer = Scorer(never, Request.of(asked, "unet", never), asked, ("background", "pet"), "ignore")
    found = pd.DataFrame(scorer.score(images, [0])["scores"])
    assert found["spread"].isna().all()
    assert set(FUSED) <= set(found["method"])
