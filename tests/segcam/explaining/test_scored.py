"""Maps beside those of the shared pass: of methods with passes of their own, and of attention."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from torch import nn

import segcam
from segcam import Batch, Probe, Sample, Target
from segcam.errors import InputError, ProbeError
from segcam.explaining import Explained
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.metrics.attention import attention_distance
from segcam.models import MODELS, create
from segcam.probe.attention.finding import NO_ATTENTION, NOT_BEHIND
from segcam.probe.layers import INPUT
from segcam.scoring.reference import Scenery

DRAWN = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
MASKS = np.zeros((3, 32, 48), np.uint8)
MASKS[:, 8:20, 10:30] = 1
OWN = ["score_cam", "captum_saliency"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def explain(**options: Any) -> Explained:
    return segcam.explain(network(), DRAWN, 1, **{"masks": MASKS, "metrics": ["energy_inside"], **options})


@pytest.fixture(scope="module")
def own() -> Explained:
    return explain(methods=["grad_cam", *OWN, "attention_rollout", "sobel"])


def test_maps_are_those_of_the_methods(own: Explained) -> None:
    batch = Batch.of([Sample("image 3", DRAWN[2], MASKS[2])])
    probe = Probe(network(), "*")
    capture = probe(batch.inputs(), Target(1, "predicted"))
    with examining(probe, batch.inputs(), capture, Scenery.of(batch, 1)) as subject:
        for name, layer in ((OWN[0], capture.layers[2]), (OWN[1], INPUT)):
            run = METHODS.get(name).run
            assert run is not None
            np.testing.assert_allclose(own.grid("image 3", layer.label, name), run(subject, layer)[0], atol=1e-6)


def test_they_explain_a_few_images(own: Explained) -> None:
    rows = own.scores.groupby("method")["image"].unique().map(list).to_dict()
    assert rows["grad_cam"] == ["image 1", "image 2", "image 3"]
    assert rows["score_cam"] == rows["captum_saliency"] == ["image 1", "image 3"]
    on_input = own.scores[own.scores["layer"] == INPUT.label]
    assert set(on_input["method"]) == {"captum_saliency", "sobel"}
    assert own.map(0, method="captum_saliency").shape == (32, 48)
    assert set(own.faithfulness(1, steps=2)["layer"]) == {"", "0", "2", "4", INPUT.label}
    for arguments, why in (
        ({"image": 1, "method": "score_cam"}, "raise own_pass_images"),
        ({"layer": INPUT.label, "method": "score_cam"}, "explains layers"),
        ({"layer": "2", "method": "captum_saliency"}, "explains 'Input' alone"),
        ({"layer": "2", "method": "attention_rollout"}, NO_ATTENTION),
    ):
        with pytest.raises(InputError, match=re.escape(why)):
            own.map(**arguments)


def test_a_strip_of_the_inputs_pixels(own: Explained) -> None:
    shown = [text.get_text() for text in own.show(method="captum_saliency").findobj(Text)]
    assert INPUT.label in shown
    assert "2" not in shown


def test_attention_is_read_and_measured() -> None:
    model = create("segformer", 2, seed=1)
    found = segcam.explain(
        model, DRAWN[:1], 1, masks=MASKS[:1], metrics=["energy_inside"], methods=["attention_rollout"], size=32
    )
    places = MODELS.get("segformer").attentions(model)
    assert len(found.attention()) == sum(attention.heads for attention in _attentions(model, found, places))
    assert set(found.skipped.values()) <= {NOT_BEHIND}
    distances = torch.cat([attention_distance(one, _scenery(found))[0] for one in _attentions(model, found, places)])
    np.testing.assert_allclose(found.attention()["attention_distance"], distances, rtol=1e-5)
    with pytest.raises(InputError, match=NO_ATTENTION):
        explain(methods=["uniform"], own_pass_images=0).attention()


def _scenery(found: Explained) -> Scenery:
    return Scenery.of(Batch.of([found.prepared[0].sample]), 1)


def _attentions(model: nn.Module, found: Explained, places: Any) -> Any:
    batch = Batch.of([found.prepared[0].sample])
    probe = Probe(model, found.choice.layers, attention=places)
    return probe(batch.inputs(), Target(1, "predicted"), valid=batch.valid).attentions.values()


def test_little_memory_changes_no_score() -> None:
    asked: dict[str, Any] = {"methods": ["grad_cam", *OWN, "sobel"], "class_id": 1}
    whole = segcam.explain(network(), DRAWN, **asked)
    with pytest.raises(ProbeError, match="give at least") as refused:
        segcam.explain(network(), DRAWN, **asked, max_memory=1)
    found = re.search(r"at least (\d+)", str(refused.value))
    assert found is not None
    parted = segcam.explain(network(), DRAWN, **asked, max_memory=int(found[1]))
    pd.testing.assert_frame_equal(
        *(one.scores.sort_values(["image", "layer", "method"], ignore_index=True) for one in (whole, parted)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "options", [{"max_memory": -1}, {"max_memory": 1e9}, {"own_pass_images": -1}, {"own_pass_images": True}]
)
def test_what_is_no_number_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a whole number from"):
        explain(methods=["grad_cam"], **options)


def test_a_bar_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    explain(methods=["grad_cam"], progress=True)
    assert "3/3" in capsys.readouterr().err
    explain(methods=["grad_cam"])  # no terminal, no bar
    assert capsys.readouterr().err == ""
