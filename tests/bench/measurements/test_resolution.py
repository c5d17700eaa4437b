"""Tests at other sizes: the counts are those of the predictions, and a run makes them once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.measurements.material.columns import PIXELS, count_columns, counted
from segcam.datasets import DATASETS, DatasetOptions
from segcam.samples import IGNORE, Batch, Sample
from tests.bench.harness import bench, contents, finish, run, status, tables

CLASSES = ("background", "pet")
TAUGHT = "timm_unet:mobilenetv3_small_050"


class Bright(nn.Module):
    """Predicts class 1 where the red channel is above its mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return torch.stack([-x[:, 0], x[:, 0]], 1) + self.shift


def sample(name: str, side: int = 16) -> Sample:
    mask = np.zeros((side, side), np.uint8)
    mask[: side // 2] = 1
    mask[0] = IGNORE
    image = np.zeros((side, side, 3), np.uint8)
    image[:, : side // 2] = 255
    return Sample(name, image, mask)


def test_counts_by_hand() -> None:
    batch = Batch.of([sample("a")])
    predictions = torch.zeros(1, 16, 16, dtype=torch.long)
    predictions[:, :, :8] = 1
    columns = count_columns(batch, predictions, 2, "ignore", 1)
    expected = {"image": "a", "predicted": True, "n_0_0": 64, "n_0_1": 64, "n_1_0": 56, "n_1_1": 56}
    assert {name: value.item() for name, value in columns.items()} == expected
    assert count_columns(batch, predictions, 2, "pet", 1)["n_1_1"].tolist() == [64]


@pytest.mark.parametrize("side", [16, 512])
def test_all_images_are_counted_in_batches_of_as_many_pixels(side: int) -> None:
    model, images, done = Bright().eval(), [sample(str(i), side) for i in range(5)], []
    columns = counted(model, images, CLASSES, "ignore", 1, done.append)
    assert columns["image"].tolist() == list("01234")
    assert sum(done) == 5
    assert max(model.batches) * side**2 <= max(PIXELS, side**2)
    counts = sum(columns[f"n_{i}_{j}"] for i in range(2) for j in range(2))
    assert counts.tolist() == [side * side - side] * 5
    assert (columns["n_0_1"] == side * side // 4).all()


@pytest.mark.parametrize("size", [32, 48])
def test_the_test_images_alone_are_the_same_ones_at_another_size(size: int) -> None:
    plugin = DATASETS.get("scenes")
    every = plugin.open(DatasetOptions(size=32, counts=(3, 2, 4)))
    alone = plugin.open(DatasetOptions(size=size, counts=(3, 2, 4), test_only=True))
    assert list(alone.splits) == ["test"]
    test = alone.splits["test"]
    assert [test[i].id for i in range(4)] == [every.splits["test"][i].id for i in range(4)]
    assert test[0].image.shape == (size, size, 3)
    assert alone.info.training_data == every.info.training_data


@pytest.fixture(scope="module")
def family(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of two networks, one the other's teacher, tested at two sizes; and its profile."""
    folder = tmp_path_factory.mktemp("family")
    profile = folder / "family.toml"
    extra = f"""
[models."{TAUGHT}"]
width = 2
[recipes."{TAUGHT}"]
levels = ["best"]
steps = 6
teacher = "unet"
[resolution]
factors = [1.0, 1.5]
"""
    profile.write_text(tiny.read_text() + extra)
    assert "best" in finish("train", profile, folder / "out").err
    finish("score", profile, folder / "out")
    return profile, folder / "out"


def test_a_row_an_image_network_and_size(family: tuple[Path, Path]) -> None:
    rows = tables(family[1], "resolution/*.parquet")
    assert len(rows) == 2 * 2 * 6
    assert set(zip(rows["factor"], rows["size"], strict=True)) == {(1.0, 32), (1.5, 48)}
    assert set(zip(rows["model"], rows["level"], strict=True)) == {("unet", 40), (TAUGHT, 100)}
    counts = rows[[f"n_{i}_{j}" for i in range(2) for j in range(2)]].sum(axis=1)
    assert (counts <= rows["size"] ** 2).all()


def test_at_the_size_of_training_it_is_what_was_scored(family: tuple[Path, Path]) -> None:
    tested = tables(family[1], "resolution/unet-s0-l40-32px.parquet").set_index("image")
    scored = tables(family[1], "predictions/unet-s0-l40-*.parquet").set_index("image").loc[tested.index]
    counts = [name for name in scored if name.startswith("n_")]
    np.testing.assert_array_equal(tested[counts], scored[counts])


def test_going_on_does_nothing_again_and_mends_what_is_lost(family: tuple[Path, Path]) -> None:
    profile, out = family
    before = contents(out, "scores", "checkpoints")
    lost = out / "scores" / "resolution" / "unet-s0-l40-48px.parquet"
    stray = out / "scores" / "resolution" / "unet-s0-l30-48px.parquet"
    stray.write_bytes(lost.read_bytes())
    lost.unlink()
    finish("score", profile, out)
    assert contents(out, "scores", "checkpoints") == before
    progress = status(profile, out)
    assert progress["scored"] == progress["to_score"]


def test_one_model_alone_brings_its_teacher_and_adds_to_the_folder(family: tuple[Path, Path], tmp_path: Path) -> None:
    profile, out = family
    assert bench("run", "train", "-p", profile, "--out", tmp_path, "--model", "unet").code == 0
    alone = contents(tmp_path, "checkpoints")
    kept = ["unet-s0-l100.safetensors", "unet-s0-l30.safetensors", "unet-s0-l40.safetensors"]  # the best one, too
    assert sorted(Path(name).name for name in alone) == kept
    outcome = bench("run", "train", "-p", profile, "--out", tmp_path, "--model", TAUGHT)
    assert outcome.code == 0, outcome.err
    assert contents(tmp_path, "checkpoints") == contents(out, "checkpoints")
    wrong = bench("run", "train", "-p", profile, "--out", tmp_path, "--model", "unett")
    assert "did you mean 'unet'?" in wrong.refusal


def test_scores_of_other_models_are_not_thrown_away(family: tuple[Path, Path]) -> None:
    profile, out = family
    before = contents(out)
    for stage in ("all", "score"):
        message = bench("run", stage, "-p", profile, "--out", out, "--model", "unet").refusal
        assert "holds scores of timm_unet:mobilenetv3_small_050, which this run does not have" in message
    assert before.keys() <= contents(out).keys()
    finish("score", profile, out)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("resolution.factors=[1.0, 1.001]", "'resolution.factors': 1 and 1.001 give the same size"),
        ("resolution.factors=[1.0, 1.0]", "'resolution.factors' is"),
        ("resolution.factors=[0.25]", "unet cannot take images of 8 x 8 pixels"),
        ("train.teacher=unet", "a teacher must be another model"),
    ],
)
def test_what_cannot_be_tested_is_told_before_training(
    family: tuple[Path, Path], tmp_path: Path, setting: str, words: str
) -> None:
    assert words in run("train", family[0], tmp_path, setting).refusal
    assert not contents(tmp_path, "checkpoints")
