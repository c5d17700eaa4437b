"""The measurement of robustness: what it asks for, and that its tables are what the library says of these images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench.measurements import robustness
from bench.measurements.robustness import Robustness, methods_of, strongest
from bench.planning import plan
from bench.planning import profile as profiles
from bench.planning.cells import MeasureCell
from bench.planning.data import open_data
from bench.planning.measurement import MeasureJob, quiet
from bench.planning.request import Request
from segcam import InputError, Probe
from segcam.checks.robustness import PERTURBATIONS, Perturbation, similarity
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.models import create

KEYS = ["image", "target", "layer", "method", "kind", "strength"]
SETTINGS = [
    'score.methods=["grad_cam", "hires_cam", "sobel", "activation", "score_cam", "captum_saliency"]',
    'score.own_pass_targets=["predicted:logit"]',
    "score.parameters.score_cam.channels=2",
    "robustness.images=3",
    "robustness.own_pass_images=1",
    "robustness.noise=[0.1, 0.3]",
    "robustness.blur=[]",
    'robustness.targets=["predicted:logit"]',
    'robustness.layers=["Encoder 1_1", "Decoder 1_2"]',
]
CHANGES = [("noise", 0.1), ("noise", 0.3), ("brightness", -0.2), ("brightness", 0.2), ("contrast", 0.2)]


@pytest.fixture(scope="module")
def job(tiny: Path) -> MeasureJob:
    """A network with its first weights and three photographs."""
    profile = profiles.read(str(tiny), SETTINGS)
    data = open_data(profile, root=None, download=False)
    (cell,) = plan.training(profile, data.digest)
    model = create("unet", 2, {"width": 2}, seed=1).eval()
    request = Request.of(profile.score, "unet", model)
    rows, _ = data.choose(3)
    measured = MeasureCell("robustness", cell, 40, "000", rows, "id")
    return MeasureJob(profile, data, measured, model, request, quiet, quiet)


@pytest.fixture(scope="module")
def tables(job: MeasureJob) -> dict[str, pd.DataFrame]:
    steps: list[int] = []
    found = robustness.run(replace(job, advance=lambda by, _text: steps.append(by)))
    assert sum(steps) == 3
    return {name: pd.DataFrame(columns) for name, columns in found.items()}


def test_every_map_is_compared_once_a_change(tables: dict[str, pd.DataFrame], job: MeasureJob) -> None:
    frame = tables["robustness"]
    assert not frame.duplicated(KEYS).any()
    shared = frame[frame["method"].isin(["grad_cam", "hires_cam", "activation"])]
    assert len(shared) == 3 * 2 * 3 * len(CHANGES), "images, layers, methods, changes"
    own = frame[frame["method"].isin(["score_cam", "captum_saliency"])]
    assert len(own) == (2 + 1) * 3, "layers and the input, the strongest change of each kind, one image"
    assert set(own["image"]) == {job.batch.ids[0]}
    assert len(shared) + len(own) == len(frame), "a control that does not look at the network is not examined"
    assert set(frame["target"]) == {"predicted:logit"}


def test_the_numbers_are_those_of_the_changed_images(tables: dict[str, pd.DataFrame], job: MeasureJob) -> None:
    """Made again for one layer and change, without the library's function."""
    layers = [layer for layer in job.request.layers if layer.label == "Encoder 1_1"]
    target = next(target for target in job.request.targets if target.name == "predicted:logit")
    probe = Probe(job.model, layers)
    images = job.batch.inputs()
    clean = probe(images, target)
    change = Perturbation("noise", 0.3).on(images, job.batch.ids, seed=job.scenery.seed)
    (changed,) = probe.many(change, [target], fixed=[clean.explained])
    methods = [METHODS.get("grad_cam")]
    maps = [layer_maps(capture, layers[0], methods)[1] for capture in (clean, changed)]
    wanted = similarity(*maps)
    frame = tables["robustness"]
    rows = frame[(frame["layer"] == "Encoder 1_1") & (frame["method"] == "grad_cam") & (frame["kind"] == "noise")]
    rows = rows[np.isclose(rows["strength"], 0.3)].set_index("image").loc[list(job.batch.ids)]
    for name in ("spearman", "cosine", "top"):
        np.testing.assert_allclose(rows[name], getattr(wanted, name)[:, 0], atol=2e-4)


def test_every_method_is_timed(tables: dict[str, pd.DataFrame]) -> None:
    frame = tables["robustness_seconds"]
    assert (frame["seconds"] > 0).all()
    assert frame.groupby("method")["layer"].nunique().to_dict() == {
        "activation": 2,
        "captum_saliency": 1,
        "grad_cam": 2,
        "hires_cam": 2,
        "score_cam": 2,
    }


def test_attention_and_placements_are_examined_as_well(tiny: Path) -> None:
    """Of a transformer with its first weights, methods of attention have maps of the layers behind it."""
    settings = ['score.methods=["grad_cam", "attention_rollout", "legrad"]', 'score.placement="receptive_field"']
    profile = profiles.read(str(tiny), [*settings, "robustness.images=2", "models.segformer={}"])
    data = open_data(profile, root=None, download=False)
    cell = next(one for one in plan.training(profile, data.digest) if one.model == "segformer")
    model = create("segformer", 2, seed=1).eval()
    request = Request.of(profile.score, "segformer", model)
    rows, _ = data.choose(2)
    measured = MeasureCell("robustness", cell, 40, "000", rows, "id")
    found = robustness.run(MeasureJob(profile, data, measured, model, request, quiet, quiet))
    frame = pd.DataFrame(found["robustness"])
    assert {"grad_cam", "attention_rollout"} <= set(frame["method"])
    assert not frame.duplicated(KEYS).any()
    assert frame["cosine"].dropna().between(0, 1).all()
    assert frame.groupby("method")["cosine"].count().min() > 0
    seconds = pd.DataFrame(found["robustness_seconds"])
    pairs = [set(zip(table["method"], table["layer"], strict=True)) for table in (frame, seconds)]
    assert pairs[0] == pairs[1], "what has a map is timed, and nothing else"


def test_the_strongest_change_of_each_kind() -> None:
    found = [(one.kind, one.strength) for one in strongest(PERTURBATIONS)]
    assert found == [("noise", 0.2), ("brightness", 0.2), ("contrast", 0.2), ("blur", 0.01)]
    assert strongest([Perturbation("brightness", -0.5), Perturbation("brightness", 0.2)])[0].strength == -0.5


def test_by_default_all_that_share_the_pass_are_examined() -> None:
    scored = [METHODS.get(name) for name in ("grad_cam", "attention_rollout", "uniform", "activation")]
    assert [method.name for method in methods_of(Robustness(), scored, attentive=False)] == ["grad_cam", "activation"]
    assert len(methods_of(Robustness(), scored, attentive=True)) == 3
    assert [one.strength for one in Robustness().perturbations()] == [one.strength for one in PERTURBATIONS]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("robustness.noise=[-1.0]", "noise of strength -1: wanted is a number above 0"),
        ("robustness.contrast=[2.0]", "contrast of strength 2: wanted is a number above 0, up to 1"),
        ("robustness.blur=[0.01, 0.01]", "each may be named once"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(tiny: Path, setting: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        profiles.read(str(tiny), [setting])


def test_nothing_to_do_is_told(tiny: Path) -> None:
    nothing = [f"robustness.{kind}=[]" for kind in ("noise", "brightness", "contrast", "blur")]
    with pytest.raises(InputError, match="no change is left"):
        profiles.read(str(tiny), nothing)


def test_methods_that_make_no_map_from_the_pass_are_refused() -> None:
    settings = Robustness(methods=("score_cam",))
    with pytest.raises(InputError, match=r"robustness\.methods names score_cam, which makes no map from the pass"):
        methods_of(settings, [], attentive=True)


def test_without_a_method_it_is_told_before_the_first_pass(job: MeasureJob) -> None:
    def refused(*_: object) -> torch.Tensor:
        raise AssertionError("the network ran")

    blind = [METHODS.get(name) for name in ("sobel", "score_cam")]
    profile = job.profile.model_copy(update={"robustness": Robustness(images=3)})
    handle = job.model.register_forward_pre_hook(refused)
    try:
        with pytest.raises(InputError, match=r"no method that robustness can examine: name one in robustness\.methods"):
            robustness.run(replace(job, profile=profile, request=replace(job.request, methods=tuple(blind))))
    finally:
        handle.remove()


def test_without_images_there_is_nothing_to_do(tiny: Path) -> None:
    profile = profiles.read(str(tiny))
    assert profile.section("robustness").images == 0


def test_the_same_noise_whatever_the_batch(job: MeasureJob, tables: dict[str, pd.DataFrame]) -> None:
    alone = replace(job, cell=replace(job.cell, rows=job.cell.rows[2:]))
    found = pd.DataFrame(robustness.run(alone)["robustness"])
    rows = tables["robustness"].merge(found, on=KEYS, suffixes=("", "_alone"))
    assert len(rows) == len(found) > 0
    np.testing.assert_allclose(rows["cosine"], rows["cosine_alone"], atol=1e-4)
    assert torch.is_grad_enabled()
