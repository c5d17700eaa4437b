"""Attention in runs: a row an image, block and head, maps only where they belong, and nothing for other networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from bench.measurements.scores import Scorer
from bench.planning.profile import Score
from bench.planning.request import Request
from segcam import Probe
from segcam.datasets import DATASETS, DatasetOptions
from segcam.models import MODELS, create
from segcam.samples import Batch, Images
from tests.bench.harness import bench as command
from tests.bench.harness import contents, finish, manifest
from tests.bench.harness import tables as read
from tests.reference import attention as slow
from tests.reference.metrics import TWINS
from tests.sceneries import scene_of

SETTINGS = (
    *("data.train=12", "data.val=4", "data.test=5", "models.segformer={}"),
    *("train.levels=[20]", "train.tolerance=15.0", "train.steps=2", "train.batch_size=6", "train.longest_interval=2"),
    *("receptive_field.images=2", "receptive_field.batch_size=2"),
    *("score.shard=3", "score.batch_size=2", "score.targets=['best_pixel:logit']"),
    *("score.methods=['grad_cam', 'uniform', 'attention_rollout']", "score.metrics=['energy_inside', 'spread']"),
)
METRICS = ("attention_background_ratio", "attention_distance")
HEADS = {1: 1, 2: 2, 3: 5, 4: 8}


@pytest.fixture(scope="module")
def images() -> Images:
    return DATASETS.get("scenes").open(DatasetOptions(size=64, counts=(1, 1, 5))).splits["test"]


def tables(model: nn.Module, name: str, images: Images, settings: Score) -> list[pd.DataFrame]:
    scorer = Scorer(model, Request.of(settings, name, model), settings, ("background", "pet"), "ignore")
    return [pd.DataFrame(t) for t in scorer.score(images, range(len(images))).values()]


@pytest.mark.parametrize("name", ["segformer", "vit"])
def test_rows_are_what_a_slow_second_way_gives(name: str, images: Images) -> None:
    model, architecture = create(name, 2, seed=2), MODELS.get(name)
    settings = Score(batch_size=2, methods=("attention_rollout",), metrics=("energy_inside", "spread"))
    maps, _, heads = tables(model, name, images, settings)
    places = architecture.attentions(model)
    batch = Batch.of([images[3]])
    capture = Probe(model, architecture.layers(model, "conv"), attention=places)(batch.inputs())
    blocks = {label: slow.Block(a.weights[0].numpy(), a.grid, a.reduction) for label, a in capture.attentions.items()}
    scene = scene_of(batch, 0)
    assert not heads.duplicated(["image", "block", "head"]).any()
    assert len(heads) == len(images) * sum(len(block.weights) for block in blocks.values())
    rows = heads[heads["image"] == batch.ids[0]].set_index(["block", "head"])
    for label in (places[0].label, places[3].label, places[-1].label):
        for head in range(len(blocks[label].weights)):
            row = rows.loc[(label, head + 1)]
            ratio = slow.background_ratio(blocks[label], head, scene.foreground, scene.background)
            assert row["attention_background_ratio"] == pytest.approx(ratio, rel=1e-4)
            assert row["attention_distance"] == pytest.approx(slow.distance(blocks[label], head, (64, 64)), rel=1e-4)
        alike = slow.Block(np.ones_like(blocks[label].weights), blocks[label].grid, blocks[label].reduction)
        by_chance = rows.loc[label, "attention_distance_by_chance"]
        assert by_chance.tolist() == pytest.approx([slow.distance(alike, 0, (64, 64))] * len(by_chance), rel=1e-5)
    rolled = slow.rollout(list(blocks.values()), capture.explained.chosen[0].numpy())
    of_image = maps[maps["image"] == batch.ids[0]].set_index("layer")
    assert list(of_image.index) == [place.layer for place in places]
    for place, rollout in zip(places, rolled, strict=True):
        for metric in ("energy_inside", "spread"):
            assert of_image.loc[place.layer, metric] == pytest.approx(TWINS[metric](rollout, scene), rel=1e-4)


def test_only_maps_behind_attention_are_rolled_out(images: Images) -> None:
    model = create("segformer", 2)
    settings = Score(methods=("grad_cam", "attention_rollout", "legrad", "uniform"), metrics=("spread",))
    maps = tables(model, "segformer", images, settings)[0]
    layers = maps.groupby("method")["layer"].unique()
    for name in ("attention_rollout", "legrad"):
        assert all(layer.startswith("After attention") for layer in layers[name])
        assert len(layers[name]) == 8
    assert set(layers["grad_cam"]) == set(layers["uniform"])
    assert len(layers["grad_cam"]) == 29
    assert not maps.duplicated(["image", "target", "layer", "method"]).any()
    assert maps["spread"].notna().any()
    alone = tables(model, "segformer", images, Score(methods=("grad_cam", "uniform"), metrics=("spread",)))[0]
    others = maps[~maps["method"].isin(["attention_rollout", "legrad"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, alone, rtol=1e-4, atol=1e-5)


def test_without_attention_there_is_none(images: Images) -> None:
    settings = Score(methods=("grad_cam", "attention_rollout"), metrics=("spread",))
    found = tables(create("unet", 2, {"width": 2}), "unet", images, settings)
    assert len(found) == 2
    assert set(found[0]["method"]) == {"grad_cam"}
    found = tables(create("segformer", 2), "segformer", images, settings.model_copy(update={"attention": False}))
    assert len(found) == 2, "not wanted, though read for the rollout"
    assert set(found[0]["method"]) == {"grad_cam", "attention_rollout"}


def test_nothing_is_read_where_nothing_wants_it() -> None:
    model = create("segformer", 2)
    assert Request.of(Score(attention=False), "segformer", model).places == ()
    assert len(Request.of(Score(), "segformer", model).places) == 8
    assert Request.of(Score(), "unet", create("unet", 2, {"width": 2})).places == ()


@pytest.fixture(scope="module")
def ran(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a scored run; look, do not touch."""
    folder = tmp_path_factory.mktemp("attention") / "out"
    finish("train", tiny, folder, *SETTINGS)
    finish("score", tiny, folder, *SETTINGS)
    return folder


def test_receptive_fields_of_a_run(ran: Path) -> None:
    files = sorted((ran / "scores" / "receptive_field").iterdir())
    assert [file.name for file in files] == ["segformer-s0-l20-000.parquet"]
    frame = read(ran, "receptive_field/*.parquet")
    assert set(frame["cell"]) == {0, 1, 2, 3}
    assert set(frame["layer"]) == {
        f"{when} attention {s}_{n}" for when in ("Before", "After") for s in range(1, 5) for n in (1, 2)
    }
    cells = frame.groupby(["stage", "layer", "image"], observed=True).size().groupby("stage").unique()
    assert [list(count) for count in cells] == [[4], [4], [4], [1]], "at 32 pixels a side stage 4 has one cell"
    means = frame.groupby("layer", observed=True)["width"].mean()
    assert frame[["width", "width_untrained"]].stack().between(1, 64).all()
    assert not np.allclose(frame["width"], frame["width_untrained"]), "the weights are others"
    assert means["Before attention 1_1"] < 0.7 * means["After attention 1_1"], "attention looks beyond the patch"


def test_the_tables_of_a_run(ran: Path) -> None:
    files = sorted((ran / "scores" / "attention").iterdir())
    assert [file.name for file in files] == [f"segformer-s0-l20-{n:03d}.parquet" for n in (0, 1)]
    frame = read(ran, "attention/*.parquet")
    keys = ["dataset", "model", "level", "seed", "training_data", "image", "block", "stage", "depth", "head"]
    assert list(frame) == [*keys, *METRICS, "attention_distance_by_chance"]
    assert len(frame) == 5 * 2 * sum(HEADS.values())
    assert not frame.duplicated(["image", "block", "head"]).any()
    assert frame.groupby("stage")["head"].max().to_dict() == HEADS
    assert frame["attention_distance"].between(0, 32 * np.sqrt(2)).all()
    assert (frame["attention_background_ratio"].dropna() >= 0).all()
    schema = pq.read_schema(files[0])
    assert all(str(schema.field(name).type) == "float" for name in METRICS)
    assert str(schema.field("block").type).startswith("dictionary<values=string")


def test_the_manifest_of_a_run(ran: Path) -> None:
    found = manifest(ran)
    blocks = found["attention"]["blocks"]
    assert blocks["unet"] == []
    assert [block["label"] for block in blocks["segformer"]][:3] == ["Attention 1_1", "Attention 1_2", "Attention 2_1"]
    assert {"stage", "depth"} <= set(blocks["segformer"][0])
    assert list(found["attention"]["metrics"]) == list(METRICS)
    assert found["attention"]["metrics"]["attention_distance"]["unit"] == "px"
    assert found["methods"]["attention_rollout"]["kind"] == "attention"
    assert {gap["method"] for gap in found["skipped"]} == {"attention_rollout"}
    unet, segformer = ([gap for gap in found["skipped"] if gap["model"] == name] for name in ("unet", "segformer"))
    assert [(gap["layer"], gap["reason"]) for gap in unet] == [("", "the network has no attention")]
    behind = {block["layer"] for block in blocks["segformer"]}
    layers = {layer["layer"] for layer in found["layers"]["segformer"]}
    assert {gap["layer"] for gap in segformer} == layers - behind
    assert {(gap["reason"], gap["cells"]) for gap in segformer} == {("no block's attention ends at this layer", 2)}


def test_kept_maps_of_the_rollout(ran: Path) -> None:
    with np.load(ran / "scores" / "gallery" / "segformer-s0-l20.npz") as file:
        kept = {name: file[name] for name in file.files if "|attention_rollout|" in name}
    assert len(kept) == 8
    assert all(values.shape == (1, 8, 8) for values in kept.values()), "on the first stage's grid"
    assert all(values.sum() == pytest.approx(1, abs=1e-4) for values in kept.values())


def test_attention_can_be_left_out(ran: Path, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ran, tmp_path / "copied"))
    finish("score", tiny, folder, *SETTINGS, "score.attention=false", more=["--yes"])
    assert contents(folder, "scores/attention") == {}
    assert manifest(folder)["attention"] == {"blocks": {}, "metrics": {}}


def test_listed_among_the_metrics() -> None:
    rows = json.loads(command("list", "metrics", "--json").out)
    assert {row["name"] for row in rows if row["table"] == "attention"} == set(METRICS)
    assert "energy_gain" in {row["name"] for row in rows if row["table"] == "scores"}


def test_a_gpu_gives_the_same(images: Images) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    model = create("segformer", 2)
    settings = Score(methods=("attention_rollout",), metrics=("spread",))
    wanted, found = tables(model, "segformer", images, settings), tables(model.cuda(), "segformer", images, settings)
    pd.testing.assert_frame_equal(wanted[2], found[2], rtol=1e-3)
