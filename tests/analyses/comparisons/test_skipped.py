"""What has no maps, and why."""

from __future__ import annotations

import json

import pytest

from analyses import Results, ResultsError, Table
from analyses.comparisons import skipped
from tests.method_runs import METHODS, enrich

SMALL = {"stages": 1, "seeds": (0,), "levels": (30,), "methods": METHODS, "gallery": 0, "models": ("segformer", "unet")}
NO_ATTENTION = "the network has no attention"


def gap(model, layer, method, reason="it cannot", cells=2):
    return {"model": model, "layer": layer, "method": method, "reason": reason, "cells": cells}


def table(results):
    (item,) = skipped.analyse(results)
    assert isinstance(item, Table)
    return item.frame


def test_nothing_for_runs_that_skipped_nothing_or_did_not_record_it(make):
    assert list(skipped.analyse(make(stages=1))) == []
    assert list(skipped.analyse(enrich(make(**SMALL)))) == []


def test_layers_of_one_reason_are_joined_by_depth(make):
    gaps = [
        gap("unet", "Encoder 1_2", "layer_cam", cells=1),
        gap("unet", "Encoder 1_1", "layer_cam", cells=3),
        gap("unet", "Encoder 1_1", "hires_cam", "another reason"),
    ]
    frame = table(enrich(make(**{**SMALL, "stages": 2}), skipped=gaps))
    assert list(frame["method"]) == ["hires_cam", "layer_cam"]
    assert list(frame["layers"]) == ["Encoder 1_1", "Encoder 1_1, Encoder 1_2"]
    assert list(frame["reason"]) == ["another reason", "it cannot"]
    assert list(frame["cells"]) == [2, 3]
    assert list(frame["training_data"]) == ["577 real"] * 2


def test_the_order_is_the_manifests_whatever_the_entries_are(make):
    gaps = [
        gap("unet", "", "attention_rollout", NO_ATTENTION),
        gap("segformer", "Decode head", "score_cam"),
        gap("segformer", "Decode head", "grad_cam"),
    ]
    one = table(enrich(make(**SMALL), skipped=gaps))
    two = table(enrich(make(**SMALL), skipped=gaps[::-1]))
    assert one.equals(two)
    assert list(zip(one["model"], one["method"], strict=True)) == [
        *(("segformer", "grad_cam"), ("segformer", "score_cam")),
        ("unet", "attention_rollout"),
    ]
    assert list(one["method_label"]) == ["Grad-CAM", "Score cam", "Attention rollout"]


def test_all_layers_are_said_so_whether_named_or_not(make):
    results = make(**SMALL)
    every = [gap("unet", layer.name, "layer_cam") for layer in results.layers("unet")]
    gaps = [*every, *(gap("segformer", "", "score_cam"),), gap("unet", "Input", "captum_saliency")]
    frame = table(enrich(results, skipped=gaps))
    assert list(frame["layers"]) == ["all layers", "all layers", "Input"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"model": "unet"}, r"'skipped\.0\.layer' is missing"),
        ("none", r"skipped\.0: Input should be"),
    ],
)
def test_broken_entries_are_refused(make, broken, message):
    results = make(stages=1)
    path = results.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["skipped"] = [broken]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=message):
        list(skipped.analyse(Results(results.folder)))
