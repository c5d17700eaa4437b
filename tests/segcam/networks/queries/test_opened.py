"""Networks of queries and prompts, opened as users name them: read as dense, with their own weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from segcam import Probe, Target
from segcam.networks import open_network
from segcam.networks.queries import PromptedMask, Semantic
from tests.segcam.networks.queries.small import PROMPTED, QUERIED, images, network


@pytest.mark.filterwarnings("ignore:no prompt was given")
@pytest.mark.parametrize("name", [*QUERIED, *PROMPTED])
def test_a_folder_of_transformers(name: str, tmp_path: Path) -> None:
    model = copy.deepcopy(network(name)).float()
    model.save_pretrained(tmp_path)
    opened = open_network(f"hf:{tmp_path}")
    assert isinstance(opened.model, Semantic if name in QUERIED else PromptedMask)
    assert opened.classes == tuple(f"class {i}" for i in range(5 if name in QUERIED else 2))
    batch = images(name).float()
    capture = Probe(opened.model, "*", classes=opened.classes)(batch, Target("class 1", "image"))
    assert torch.allclose(capture.logits, type(opened.model)(model)(batch), atol=1e-5)
    assert len(capture.activations) > 40


def test_weights_of_a_network_that_a_function_builds(tmp_path: Path) -> None:
    model = network("mask2former")
    others = {name: x + 0.01 if x.is_floating_point() else x for name, x in model.state_dict().items()}
    torch.save(others, tmp_path / "other.pt")
    copied = network.__wrapped__("mask2former")
    opened = open_network(copied, weights=tmp_path / "other.pt")
    assert isinstance(opened.model, Semantic)
    name = "model.pixel_level_module.decoder.mask_projection.weight"
    assert torch.equal(opened.model.get_parameter(name), model.get_parameter(name) + 0.01)


def test_a_network_whose_output_is_said_is_left_alone() -> None:
    class Plain(nn.Conv2d):
        pass

    assert type(open_network(Plain(3, 2, 1)).model) is Plain
    own = open_network(network("eomt"), output=lambda output: output.masks_queries_logits, inputs={"size": 64})
    assert own.model is network("eomt")
