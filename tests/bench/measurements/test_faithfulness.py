"""The study of faithfulness: rows of one checkpoint's maps."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench.measurements import faithfulness
from bench.measurements.material.selection import end_layers
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.measurement import MeasureJob, quiet
from bench.planning.profile import read
from bench.planning.request import Request
from segcam import Batch, InputError, Layer, Probe, Sample, Target
from segcam.checks.faithfulness import Subjects, area_matched, curves, order
from segcam.methods import METHODS
from segcam.methods.material.subject import examining
from segcam.models import create

SETTINGS = [
    "faithfulness.steps=3",
    "faithfulness.samples=3",
    "faithfulness.draws=2",
    'faithfulness.imputations=["blur", "noisy_linear"]',
    'faithfulness.methods=["grad_cam", "random", "mask_oracle"]',
]
SIZE = 32
IDS = ("a", "b", "c")
KEYS = ["layer", "method", "measure", "imputation", "outcome", "order", "image"]


def job(settings: list[str] = SETTINGS, *, blind: bool = False) -> MeasureJob:
    """A network of random weights, which predicts half of all pixels as the class, or, `blind`, none; three images."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, SIZE, SIZE), np.uint8)
    masks[:, 8:20, 10:24], masks[:, 20:22] = 1, 255
    samples = [Sample(i, rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), m) for i, m in zip(IDS, masks, strict=True)]
    profile = read("smoke", settings)
    model = create("unet", 2, {"width": 2}, 0).eval()
    batch = Batch.of(samples)
    with torch.no_grad():
        logits = model(batch.inputs())
        gap = (logits[:, 1] - logits[:, 0]).flatten(1)
        last = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        last.bias[1] -= gap.max() + 1 if blind else gap.median()
    request = Request.of(profile.score, "unet", model)
    cell = MeasureCell("faithfulness", TrainCell("unet", 0, "id"), 50, "000", tuple(range(len(samples))), "id")
    data: Any = SimpleNamespace(test=samples)
    return MeasureJob(profile, data, cell, model, request, quiet, quiet)


def examined(job: MeasureJob) -> tuple[pd.DataFrame, pd.DataFrame]:
    steps: list[tuple[int, str]] = []
    areas, points = faithfulness.run(replace(job, advance=lambda n, text: steps.append((n, text)))).values()
    assert sum(n for n, _ in steps) == len(IDS)
    assert (0, "deletion, blur, map order") in steps
    return pd.DataFrame(areas), pd.DataFrame(points)


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return examined(job())


def test_a_row_for_each_thing_measured(tables):
    areas, points = tables
    assert list(areas.columns) == [
        *("image", "target", "layer", "method", "measure", "imputation", "outcome", "order", "value"),
    ]
    keys = [name for name in areas if name != "value"]
    assert not areas.duplicated(keys).any()
    assert not points.duplicated([name for name in points if name != "value"]).any()
    assert areas["value"].dtype == points["value"].dtype == points["share"].dtype == np.float32
    layers = ["Encoder 1_1", "Encoder 5_2", "Decoder 1_2"]
    assert sorted(areas["layer"].unique()) == sorted(["", *layers])
    of_maps = areas[areas["layer"] != ""]
    per_image = of_maps.groupby("image").size()
    # 3 x 3 maps, 3 outcomes: four kinds by the maps' order, two by matched ones, ROAD's two; two of subsets; stability
    assert (per_image == 9 * (3 * (4 + 2 + 2) + 2) + 3 * 2).all()
    assert len(areas[areas["layer"] == ""]) == 3 * 3 * (4 + 2)
    assert set(areas.loc[areas["measure"].str.startswith("max_sens"), "method"]) == {"grad_cam"}
    assert (areas["target"] == "best_pixel:logit").all()
    assert areas.groupby("measure")["order"].agg(lambda names: tuple(sorted(set(names)))).to_dict() == {
        "deletion": ("area_matched", "map", "random"),
        "insertion": ("area_matched", "map", "random"),
        "context_deletion": ("map", "random"),
        "context_insertion": ("map", "random"),
        **dict.fromkeys(
            ("infidelity", "sensitivity_n", "max_sensitivity_frozen", "max_sensitivity_repicked"), ("map",)
        ),
    }


def test_areas_are_those_of_the_curves(tables):
    areas, points = tables
    keys = ["image", "layer", "method", "imputation", "outcome", "order"]
    wide = points.pivot_table(index=["kind", *keys], columns="share", values="value", dropna=False)
    wide = wide.reindex(
        areas.loc[areas["measure"].isin(points["kind"]), ["measure", *keys]].to_records(index=False).tolist()
    )
    assert list(wide.columns) == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    integrals = np.trapezoid(wide.to_numpy(), dx=1 / 3, axis=1)
    np.testing.assert_allclose(integrals, areas.loc[areas["measure"].isin(points["kind"]), "value"], atol=1e-5)
    begins = points[(points["kind"] == "deletion") & (points["share"] == 0)]["value"].dropna()
    assert len(begins)
    assert (begins == 1).all()


def test_rows_are_what_the_library_measures(tables):
    same, (areas, _) = job(), tables
    probe = Probe(same.model, [x for x in same.request.layers if x.label == "Encoder 5_2"], channels_last=True)
    capture = probe(same.batch.inputs(), Target(1))
    maps = capture.maps(METHODS.get("grad_cam").maps)[:, None]
    sides = (same.scenery.foreground, same.scenery.background)
    subjects = Subjects.of(same.model, same.batch.inputs(), 1, sides, IDS)
    pixels = order(maps, IDS, (SIZE, SIZE))
    for name, ordered in (("map", pixels), ("area_matched", area_matched(pixels, subjects.chosen, IDS))):
        expected = curves(subjects, ordered, "insertion", steps=3).area("dice")[:, 0]
        rows = areas[(areas["layer"] == "Encoder 5_2") & (areas["method"] == "grad_cam") & (areas["order"] == name)]
        rows = rows[(rows["measure"] == "insertion") & (rows["imputation"] == "blur") & (rows["outcome"] == "dice")]
        np.testing.assert_allclose(rows.set_index("image").loc[list(IDS), "value"], expected, rtol=1e-4)


def test_images_without_predicted_pixels_have_rows_of_nan():
    areas, points = examined(job(blind=True))
    assert areas["value"].isna().all()
    assert points["value"].isna().all()
    assert set(areas["image"]) == set(IDS)


def test_what_is_asked_is_done_and_no_more():
    asked = job(
        [
            'faithfulness.methods=["hires_cam"]',
            'faithfulness.layers=["Decoder 1_?"]',
            'faithfulness.targets=["predicted:margin"]',
            'faithfulness.kinds=["context_deletion"]',
            'faithfulness.imputations=["mean"]',
            'faithfulness.outcomes=["dice"]',
            "faithfulness.steps=2",
            "faithfulness.samples=0",
            "faithfulness.draws=0",
        ]
    )
    areas = pd.DataFrame(faithfulness.run(asked)["faithfulness"])
    assert {name: set(areas[name]) for name in ("layer", "method", "target", "measure", "outcome", "imputation")} == {
        "layer": {"", "Decoder 1_1", "Decoder 1_2"},
        "method": {"", "hires_cam"},
        "target": {"predicted:margin"},
        "measure": {"context_deletion"},
        "outcome": {"dice"},
        "imputation": {"mean"},
    }


def test_layers_by_default_are_the_ends_of_encoder_and_decoder():
    def layers(*roles: str) -> list[Layer]:
        return [Layer(f"m.{i}", f"{role} {i}", depth=i, role=role) for i, role in enumerate(roles)]

    relu = Layer("m.9", "Decoder ReLU", depth=9, role="decoder", point="relu")
    ends = end_layers((), [*layers("encoder", "encoder", "encoder", "decoder", "decoder"), relu])
    assert [layer.label for layer in ends] == ["encoder 0", "encoder 2", "decoder 4"]
    ends = end_layers((), layers("before attention", "after attention", "encoder", "decoder"))
    assert [layer.label for layer in ends] == ["before attention 0", "encoder 2", "decoder 3"]
    assert [layer.label for layer in end_layers((), layers("", ""))] == [" 0", " 1"]
    assert len(end_layers(("enc*",), layers("encoder", "encoder", "decoder"))) == 2


def test_methods_with_passes_of_their_own_are_examined_as_others_are():
    shared = [*SETTINGS[:-1], 'score.methods=["score_cam", "grad_cam"]', "score.parameters.score_cam.channels=4"]
    settings = [*shared, 'faithfulness.methods=["score_cam", "grad_cam", "random"]']
    areas, _ = examined(job(settings))
    alone, _ = examined(job([*shared, 'faithfulness.methods=["grad_cam", "random"]']))
    of_map = areas[areas["measure"].isin(["deletion", "insertion"]) & (areas["order"] == "map")]
    counts = of_map.groupby("method")["value"].count()
    assert counts["score_cam"] == counts["grad_cam"] > 0
    others = areas[areas["method"] != "score_cam"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        others.sort_values(KEYS, ignore_index=True), alone.sort_values(KEYS, ignore_index=True)
    )
    noisy = areas[areas["measure"] == "max_sensitivity_frozen"]
    assert set(noisy["method"]) == {"grad_cam"}, "its passes a noisy copy would be many"

    same = job(settings)
    probe = Probe(same.model, [x for x in same.request.layers if x.label == "Encoder 5_2"], channels_last=True)
    capture = probe(same.batch.inputs(), Target(1))
    method = next(method for method in same.request.own_pass_methods if method.name == "score_cam")
    with examining(probe, same.batch.inputs(), capture, same.scenery) as subject:
        expected = method.run(subject, probe.layers[0])
    sides = (same.scenery.foreground, same.scenery.background)
    subjects = Subjects.of(same.model, same.batch.inputs(), 1, sides, IDS)
    area = curves(subjects, order(expected[:, None], IDS, (SIZE, SIZE)), "deletion", steps=3).area("dice")[:, 0]
    rows = of_map[(of_map["layer"] == "Encoder 5_2") & (of_map["method"] == "score_cam")]
    rows = rows[(rows["measure"] == "deletion") & (rows["imputation"] == "blur") & (rows["outcome"] == "dice")]
    np.testing.assert_allclose(rows.set_index("image").loc[list(IDS), "value"], area, rtol=1e-4)


@pytest.mark.parametrize("name", ["captum_saliency", "winsor_cam", "attention_rollout"])
def test_methods_without_a_map_a_layer_are_refused(name):
    settings = read("smoke", [f'faithfulness.methods=["{name}"]']).faithfulness
    with pytest.raises(InputError, match=f"{name}, which is no control, and makes no maps of layers"):
        faithfulness.methods_of(settings)


def test_methods_are_those_of_the_section_score():
    settings = read("smoke").faithfulness
    with pytest.raises(InputError, match="unknown method 'gradcam'"):
        faithfulness.methods_of(settings.model_copy(update={"methods": ("gradcam",)}))
    wider = METHODS.get("gaussian").configured({"width": 0.5})
    methods = faithfulness.methods_of(settings.model_copy(update={"methods": ()}), [wider])
    assert [method.name for method in methods] == list(faithfulness.METHODS)
    assert wider in methods


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("faithfulness.samples=2", "at least 3 samples"),
        ("faithfulness.steps=1", "greater than or equal to 2"),
        ('faithfulness.imputations=["blurr"]', "imputations"),
        ("faithfulness.kinds=[]", "kinds"),
    ],
)
def test_wrong_settings_are_refused(setting, words):
    with pytest.raises(InputError, match=words):
        read("smoke", [setting])
