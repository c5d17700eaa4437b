"""Methods with passes of their own: a few images, every gap with its reason, and little lost where a run stops."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bench.measurements import own_passes
from bench.measurements.material.own_maps import OwnPasses
from bench.output.store import Store
from bench.output.terminal import gaps
from bench.planning import plan
from bench.planning import profile as config
from bench.planning.measurement import quiet
from bench.planning.profile import Profile, Score
from bench.planning.request import Gap, Request
from segcam import Probe, Target
from segcam.errors import NotApplicableError
from segcam.methods import METHODS, Method
from segcam.methods.material.subject import Subject, examining
from segcam.models import create
from segcam.models.weights.checkpoints import load
from segcam.probe.layers import INPUT, Layer
from segcam.samples import Batch, Images, Sample
from segcam.scoring.reference import Scenery
from tests.bench.harness import IMAGES, LEVELS, contents, finish, manifest, planned, rewritten, run, tables
from tests.bench.harness import bench as command
from tests.reference.metrics import TWINS
from tests.sceneries import scene_of

METRICS = ("energy_inside", "spread", "blank")
ASKED = ("grad_cam", "uniform", "sobel", "activation", "cam", "score_cam", "captum_input_x_gradient")
LAST = "Decoder 1_2 ReLU"
SETTINGS = (
    f"score.methods={json.dumps(ASKED)}",
    f"score.metrics={json.dumps(METRICS)}",
    "score.parameters.score_cam.channels=2",
    "score.points=['conv', 'head']",
    "score.own_pass_images=3",
    "score.own_pass_targets=['predicted:logit']",
)


@pytest.fixture(scope="module")
def scored(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, scored anew with methods that run the network; look, do not touch."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("own-passes") / "out"))
    outcome = finish("score", tiny, folder, *SETTINGS, more=["--yes"])
    maps = len(LEVELS) * 3 * (19 + 19 + 1)  # two methods of layers and one of the input
    assert f"own passes: {maps}/{maps} in " in outcome.err
    assert "1 method skipped on 18 layers: see 'skipped' in manifest.json" in outcome.err
    return folder


@pytest.fixture(scope="module")
def rows(scored: Path) -> pd.DataFrame:
    names = sorted(file.name for file in (scored / "scores").glob("*-own-pass-*"))
    assert names == [f"unet-s0-l{n}-own-pass-00{i}.parquet" for n in LEVELS for i in (0, 1)]
    return tables(scored, "*-own-pass-*.parquet")


@pytest.fixture
def folder(scored: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(scored, tmp_path / "out"))


def test_every_map_of_a_few_images_once(rows: pd.DataFrame, scored: Path) -> None:
    images = manifest(scored)["own_passes"]
    assert len(images["ids"]) == 3
    assert images["targets"] == ["predicted:logit"]
    assert "percentiles 17, 50, 83" in images["rule"]
    assert set(rows["target"]) == {"predicted:logit"}
    assert not rows.duplicated(["level", "image", "target", "layer", "method"]).any()
    layers = rows.groupby(["level", "method"], observed=True)["layer"].unique().map(list)
    for level, maps in rows.groupby("level"):
        assert set(maps["image"]) == set(images["ids"]), "the same images for all levels"
        assert layers[level].map(len).to_dict() == {
            "cam": 1,
            "score_cam": 19,
            "captum_input_x_gradient": 1,
            "uniform": 1,
            "sobel": 1,
        }
        assert layers[level, "cam"] == [LAST]
        assert all(layers[level, name] == ["Input"] for name in ("captum_input_x_gradient", "uniform", "sobel"))
        assert len(maps) == 3 * (1 + 19 + 1 + 1 + 1)


def test_rows_are_like_those_of_other_methods(rows: pd.DataFrame, scored: Path) -> None:
    shards = tables(scored, "unet-s0-l??-[0-9]*.parquet")
    assert list(shards) == list(rows)
    assert set(shards["method"]) == {"grad_cam", "uniform", "sobel", "activation"}
    both = rows.merge(shards, on=["level", "image", "target"], suffixes=("", "_of_shard"))
    assert len(both) > 0
    for column in ("area", "target_pixels", "target_predicted"):
        assert (both[column] == both[f"{column}_of_shard"]).all()
    assert both["target_score"].to_numpy() == pytest.approx(both["target_score_of_shard"].to_numpy(), abs=1e-5)


def test_values_are_of_the_methods_own_maps(rows: pd.DataFrame, scored: Path, images: Images) -> None:
    """Each method run by hand on one image, measured by the slow twins."""
    compared = 0
    for level, i in product(LEVELS, range(IMAGES)):
        batch = Batch.of([images[i]])
        if batch.ids[0] not in set(rows["image"]):
            continue
        model = load(scored / "checkpoints" / f"unet-s0-l{level}.safetensors")[0]
        layers = Request.of(config.read("smoke").score, "unet", model).layers
        of_image = rows[(rows["level"] == level) & (rows["image"] == batch.ids[0])].set_index(["layer", "method"])
        probe = Probe(model, layers)
        capture = probe(batch.inputs(), Target.parse("predicted"))
        scenery, scene = Scenery.of(batch), scene_of(batch, 0)
        with examining(probe, batch.inputs(), capture, scenery) as subject:
            for name, label in (("score_cam", "Encoder 3_1"), ("cam", LAST), ("captum_input_x_gradient", "Input")):
                method = METHODS.get(name).configured({"channels": 2} if name == "score_cam" else {})
                layer = next(layer for layer in (INPUT, *layers) if layer.label == label)
                maps = method.run(subject, layer)[0].detach().double().numpy()
                row = of_image.loc[(label, name)]
                for metric in ("energy_inside", "spread"):
                    value = TWINS[metric](maps.clip(0), scene)
                    assert row[metric] == pytest.approx(value, abs=2e-3, nan_ok=True), (level, i, name, metric)
                    compared += not np.isnan(value)
                if method.signed and capture.target_pixels[0]:
                    assert row["sign_balance"] == pytest.approx(maps.clip(0).sum() / abs(maps).sum(), abs=2e-3)
        for name in ("uniform", "sobel"):
            maps = METHODS.get(name).control(scenery.on((32, 32)))[0].double().numpy()
            spread = of_image.loc[("Input", name), "spread"]
            assert spread == pytest.approx(TWINS["spread"](maps, scene), abs=1e-4)
    assert compared > 10


def test_signs_are_told_of_signed_maps_alone(rows: pd.DataFrame) -> None:
    signed = rows[rows["sign_balance"].notna()]
    assert set(signed["method"]) == {"cam", "captum_input_x_gradient"}
    assert signed["sign_balance"].between(0, 1).all()


def test_gaps_and_their_reasons(scored: Path, finished: Path, folder: Path) -> None:
    values = manifest(scored)
    skipped = values["skipped"]
    layers = {layer["layer"] for layer in values["layers"]["unet"] if layer["role"] != "input"}
    assert sorted(gap["layer"] for gap in skipped) == sorted(layers - {LAST})
    assert {(gap["model"], gap["method"], gap["cells"]) for gap in skipped} == {("unet", "cam", 4)}
    assert all("no linear head follows" in gap["reason"] for gap in skipped)
    for file in scored.glob("cells/own_passes-*.json"):
        record = json.loads(file.read_text())
        assert len(record["skipped"]) == 18
        assert set(record["skipped"][0]) == {"layer", "method", "reason"}
    assert all("skipped" not in record for record in values["cells"].values())

    assert gaps(Store(finished)) == ""
    (folder / "tables" / "skipped.csv").write_text("")
    assert gaps(Store(folder)) == "1 method skipped on 18 layers: see tables/skipped.csv"
    other = {"model": "unet", "method": "other", "reason": "why", "cells": 1}
    more = [other | {"layer": layer} for layer in ("", "Input")]
    rewritten(folder, lambda changed: changed["skipped"].extend(more))
    assert gaps(Store(folder)) == "2 methods skipped on 20 layers: see tables/skipped.csv", "all layers and the input"


def test_what_the_manifest_says_of_layers_and_methods(scored: Path) -> None:
    first, *rest = manifest(scored)["layers"]["unet"]
    assert (first["layer"], first["role"], first["depth"], first["point"]) == ("Input", "input", -1, "")
    assert (len(rest), rest[-1]["layer"]) == (19, LAST)
    assert not any(layer["role"] == "input" for layer in rest)
    methods = manifest(scored)["methods"]
    assert list(methods) == list(ASKED)
    keys = "kind family label summary source scope signed needs_gradients own_passes passes each parameters"
    assert all(list(entry) == keys.split() for entry in methods.values())
    assert methods["score_cam"]["parameters"] == {"channels": 2}
    assert methods["score_cam"]["passes"] == 2, "with the parameters that it runs with"
    assert [methods[name]["own_passes"] for name in ASKED] == [False] * 4 + [True] * 3
    families = ["cam", "control", "control", "control", "cam", "perturbation", "captum"]
    assert [methods[name]["family"] for name in ASKED] == families
    assert methods["captum_input_x_gradient"]["scope"] == "input"


def test_their_cells_are_small_and_of_all_checkpoints(tiny: Path) -> None:
    profile = config.read(str(tiny), [*SETTINGS])
    (train,) = plan.training(profile, "digest")
    weights = {train: {30: "a", 40: "b"}}
    cells = planned(profile, weights, "own_passes")
    assert [(c.level, c.part, c.rows) for c in cells] == [
        (level, part, rows) for level in (30, 40) for part, rows in (("own-pass-000", (4, 0)), ("own-pass-001", (2,)))
    ]
    assert len({c.id for c in cells}) == len(cells)
    highest = config.read(str(tiny), [*SETTINGS, "score.own_pass_levels=highest"])
    assert planned(highest, weights, "own_passes") == [c for c in cells if c.level == 40]
    assert planned(highest, weights, "scores") == planned(profile, weights, "scores")
    first = config.read(str(tiny), [*SETTINGS, "score.own_pass_seeds=first", "train.seeds=[0, 1]"])
    two = {train: {30: "a"} for train in plan.training(first, "digest")}
    assert planned(first, two, "own_passes") == [c for c in cells if c.level == 30]
    assert {c.train.seed for c in planned(first, two, "scores")} == {0, 1}
    for number in (1, 2, 3):
        few = config.read(str(tiny), [*SETTINGS, f"score.own_pass_seeds={number}", "train.seeds=[0, 1, 2]"])
        three = {train: {30: "a"} for train in plan.training(few, "digest")}
        assert {c.train.seed for c in planned(few, three, "own_passes")} == set(range(number))
    none = config.read(str(tiny), [*SETTINGS, "score.own_pass_images=0"])
    assert planned(none, weights, "own_passes") == planned(config.read(str(tiny)), weights, "own_passes") == []


@pytest.mark.parametrize(
    ("setting", "apart", "shared"),
    [
        ("score.own_pass_images=2", False, False),  # other rows make other cells: the settings alone do not
        ("score.own_pass_targets=['best_pixel:logit']", True, False),
        ("score.parameters.score_cam.channels=3", True, False),
        ("score.parameters.gaussian.width=0.1", True, True),  # it stands beside methods that explain the input
        ("score.parameters.seg_xres_cam.pool=1", False, True),
        ("score.shard=3", False, True),
        ("score.batch_size=3", False, False),
        ("score.max_memory=1 GB", False, False),
        ("score.attention=false", False, True),
        ("score.precision=bf16", False, True),
        ("score.counter=true", True, True),
        ("score.class_id=0", True, True),
        ("score.points=['conv']", True, True),
    ],
)
def test_what_is_scored_again_after_a_change(tiny: Path, setting: str, apart: bool, shared: bool) -> None:
    settings = [*SETTINGS, f"score.methods={json.dumps([*ASKED, 'gaussian', 'seg_xres_cam'])}"]
    before, after = (config.read(str(tiny), [*settings, *change]) for change in ([], [setting]))
    (train,) = plan.training(config.read(str(tiny)), "digest")

    def ids(profile: Profile, *names: str) -> set[str]:
        return {cell.id for cell in planned(profile, {train: {30: "a"}}, *names)}

    assert ids(before, "own_passes").isdisjoint(ids(after, "own_passes")) is apart
    assert (ids(before, "scores", "kept_maps") != ids(after, "scores", "kept_maps")) is shared


def test_stale_rows_are_removed(folder: Path, scored: Path, tiny: Path, finished: Path) -> None:
    """Back and forth between settings: each leaves its own files alone."""
    assert contents(folder, "scores/agreement")
    finish("score", tiny, folder, "score.targets=['best_pixel:logit']", more=["--yes"])
    assert contents(folder, "scores/agreement") == {}
    assert not any("own-pass" in name for name in contents(folder))
    assert manifest(folder)["skipped"] == []
    assert manifest(folder)["own_passes"] == {"rule": "", "ids": [], "targets": [], "levels": "", "seeds": ""}
    finish("score", tiny, folder, more=["--yes"])
    assert contents(folder, "scores") == contents(finished, "scores")
    finish("score", tiny, folder, *SETTINGS, more=["--yes"])
    assert contents(folder, "scores") == contents(scored, "scores")


def test_little_memory_gives_the_same_scores(folder: Path, scored: Path, tiny: Path) -> None:
    """All measurements of the section score, one image at a time; and what is too little is said at once."""
    for file in [p for place in ("scores", "cells") for p in (folder / place).rglob("*-l40*") if p.is_file()]:
        file.unlink()
    message = run("score", tiny, folder, *SETTINGS, "score.max_memory=5 kB").refusal
    assert re.match(r"max_memory is 5000 bytes, .* one image at a time: give at least \d+ ", message)
    finish("score", tiny, folder, *SETTINGS, "score.max_memory=4 MB")
    assert contents(folder).keys() == contents(scored).keys()
    for name in contents(scored, "scores"):
        if name.endswith(".parquet"):
            before, after = (pd.read_parquet(out / name) for out in (scored, folder))
            pd.testing.assert_frame_equal(after, before, rtol=2e-3, atol=2e-3)


def test_other_settings_of_these_methods_leave_the_rest_alone(folder: Path, tiny: Path) -> None:
    files = [p for place in ("scores", "agreement", "gallery") for p in folder.rglob(f"{place}/*.*")]
    before = {p: p.stat().st_mtime_ns for p in files if "own-pass" not in p.name}
    fewer = ("score.own_pass_images=1", "score.own_pass_targets=['best_pixel:logit']", "score.own_pass_seeds=2")
    finish("score", tiny, folder, *SETTINGS, *fewer, more=["--yes"])
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len([name for name in contents(folder, "scores") if "own-pass" in name]) == len(LEVELS)
    assert manifest(folder)["own_passes"]["seeds"] == 2


def test_without_images_set_aside_there_are_no_rows_but_a_reason(folder: Path, tiny: Path) -> None:
    finish("score", tiny, folder, *SETTINGS, "score.own_pass_images=0", more=["--yes"])
    values = manifest(folder)
    assert not any("own-pass" in name for name in contents(folder, "scores"))
    assert not any(layer["role"] == "input" for layer in values["layers"]["unet"])
    assert {gap["method"] for gap in values["skipped"]} == {"cam", "score_cam", "captum_input_x_gradient"}
    assert {(gap["layer"], gap["cells"]) for gap in values["skipped"]} == {("", 0)}
    assert all("score.own_pass_images is 0" in gap["reason"] for gap in values["skipped"])


def test_a_run_that_stops_goes_on_where_it_was(folder: Path, scored: Path, tiny: Path, registry: None) -> None:
    """An exception that is no gap stops the run; what was finished is not done again, and the rest is the same."""
    for file in [*folder.glob("cells/*-own-pass-*"), *folder.glob("scores/*-own-pass-*")]:
        file.unlink()
    plain, left, done = METHODS.get("score_cam"), [2 * 19 + 5], []  # which ends in the midst of the third cell

    def failing(subject: Subject, layer: Layer, **parameters: Any) -> torch.Tensor:
        if len(done) == left[0]:
            raise RuntimeError("out of luck")
        done.append(layer.label)
        return plain.run(subject, layer, **parameters)

    METHODS._items["score_cam"] = replace(plain, run=failing)
    with pytest.raises(RuntimeError, match="out of luck"):
        run("score", tiny, folder, *SETTINGS, more=["--yes"])
    assert len(list(folder.glob("scores/*-own-pass-*"))) == 2
    done.clear()
    left[0] = 1000
    finish("score", tiny, folder, *SETTINGS, more=["--yes"])
    assert len(done) == 2 * 19, "the two cells that were left"
    assert contents(folder, "scores") == contents(scored, "scores")


def own_passes_of(settings: Score, images: Images, model: nn.Module | None = None) -> tuple[pd.DataFrame, Any, Any]:
    """The table, the gaps and the steps of three images."""
    gaps: list[Gap] = []
    steps: list[tuple[int, str]] = []
    model = model or create("unet", 2, {"width": 2}, seed=1)
    request = Request.of(settings, "unet", model)
    advance = lambda by, step: steps.append((by, step))  # noqa: E731
    columns = own_passes.score(model, request, settings, images, range(3), advance, gaps.append)
    return pd.DataFrame(columns), gaps, steps


def test_a_gap_of_one_layer_leaves_the_others(images: Images, registry: None) -> None:
    def once(subject: Subject, layer: Layer) -> torch.Tensor:
        if layer.label == "Encoder 2_1":
            raise NotApplicableError("not here")
        return subject.capture.activations[layer.label].mean(1)

    METHODS.add(Method("mean", "Mean", "mean", "segcam", run=once, signed=True))
    settings = Score(methods=("grad_cam", "mean"), metrics=("spread",), batch_size=2)
    frame, gaps, steps = own_passes_of(settings, images)
    assert set(gaps) == {Gap("Encoder 2_1", "mean", "not here")}
    assert len(frame) == 3 * 17
    assert "Encoder 2_1" not in set(frame["layer"])
    assert sum(by for by, _ in steps) == 3 * 18, "gaps are gone past as well"
    assert (0, "mean, Encoder 1_1") in steps
    assert frame["sign_balance"].between(0, 1).all()


def test_these_methods_always_run_in_float32(images: Images, registry: None) -> None:
    seen = set()

    def look(subject: Subject, layer: Layer) -> torch.Tensor:
        seen.add((subject.capture.activations[layer.label].dtype, torch.is_autocast_enabled("cpu")))
        return subject.capture.activations[layer.label].mean(1)

    METHODS.add(Method("look", "Look", "look", "segcam", run=look))
    own_passes_of(Score(methods=("look",), metrics=("spread",), precision="bf16"), images)
    assert seen == {(torch.float32, False)}


def test_maps_of_empty_sets_are_undefined_whatever_the_method_says(images: Images, registry: None) -> None:
    def ones(subject: Subject, layer: Layer) -> torch.Tensor:
        return torch.ones_like(subject.capture.activations[layer.label][:, 0])

    METHODS.add(Method("ones", "Ones", "ones", "segcam", run=ones))
    model = create("unet", 2, {"width": 2}, seed=1)
    model.head.bias.data[:] = torch.tensor([1e3, -1e3])  # nothing is predicted as class 1
    settings = Score(methods=("ones",), targets=("best_pixel", "predicted"), metrics=("spread", "blank"))
    frame, _, _ = own_passes_of(settings, images, model)
    empty = frame["target_pixels"] == 0
    assert (empty == (frame["target"] == "predicted:logit")).all()
    assert frame.loc[empty, ["spread", "blank"]].isna().all(axis=None)
    assert (frame.loc[~empty, "spread"] == 1).all()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("score.parameters.score_cam.chanels=2", "did you mean 'channels'?"),
        ("score.parameters.score_cam.channels=many", "parameter channels of method score_cam is 'many'"),
        ("score.parameters.scorecam.channels=2", "did you mean 'score_cam'?"),
        ("score.parameters.ablation_cam.channels=2", "score.methods does not name 'ablation_cam'"),
        ("score.parameters.score_cam=2", "key 'score.parameters.score_cam' is 2"),
        ("score.parameters.score_cam.channels=[2]", "is (2,): a number, a text, true or false is needed"),
        ("score.own_pass_targets=['image']", "key 'score.own_pass_targets': unknown target of score.targets 'image'"),
        ("score.own_pass_images=-1", "key 'score.own_pass_images' is -1"),
        ("score.points=['head', 'head']", "each may be named once"),
        ("score.methods=['score_cam']", "add one that sees all, such as grad_cam"),
    ],
)
def test_wrong_settings_are_told_early_and_in_a_line(tiny: Path, tmp_path: Path, setting: str, words: str) -> None:
    message = run("all", tiny, tmp_path / "out", *SETTINGS, setting).refusal
    assert words in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_list_of_methods_says_what_they_cost() -> None:
    listed = {row["name"]: row for row in json.loads(command("list", "methods", "--json").out)}
    assert set(listed) == set(METHODS.names())
    assert (listed["grad_cam"]["passes"], listed["uniform"]["passes"]) == (1, 0)
    shown = command("list", "methods", "score_cam").out
    assert f"{listed['score_cam']['passes']} a layer" in shown
    assert not any(word in json.dumps(row) for row in listed.values() for word in ("partial", "<function"))


def test_all_built_in_methods_are_in_the_profile_of_real_photographs() -> None:
    for profile in ("pets", "paper"):
        assert set(config.read(profile).score.methods) == set(METHODS.names())
    assert config.read("pets").score.own_pass_images >= 6
    kinds = {METHODS.get(name).kind for name in config.read("smoke").score.methods}
    assert kinds == {"gradient", "control", "attention", "run"}
    shared = {method.name for method in METHODS if method.kind in ("gradient", "control")}
    newer = {"seg_eigen_cam"}  # than the published run of quick, which the profile makes again
    assert shared - newer <= set(config.read("quick").score.methods)


def test_little_memory_makes_smaller_steps_of_many_passes() -> None:
    """RISE hides eight images at once, or as many as fit; its map is the same."""
    model = create("unet", 2, {"width": 4}, seed=3).eval()
    request = Request.of(Score(methods=("rise",), parameters={"rise": {"masks": 40}}), "unet", model)
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    batch, sizes = Batch.of([Sample("a", picture, np.tri(32, dtype=np.uint8))]), list[int]()
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    maps, most = [], []
    for limit in (None, 1_000_000):
        passes = OwnPasses(model, request, limit)
        scenery = Scenery.of(batch, 1)
        captures = passes.probe.many(batch.inputs(), request.own_pass_targets, masks=batch.masks)
        sizes.clear()
        maps += [made.maps for made in passes.maps(batch, scenery, captures, quiet, quiet)]
        most.append(max(sizes))
    assert most[1] < most[0]
    torch.testing.assert_close(*maps)
