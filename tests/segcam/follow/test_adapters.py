"""Callbacks of Lightning and transformers, and writers: told once an epoch."""

from __future__ import annotations

import random
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from segcam.errors import InputError
from segcam.follow import Follow, lightning
from segcam.follow.scoring import SIGN_BALANCE
from segcam.follow.transformers import FollowCallback
from segcam.metrics import METRICS
from tests.segcam.follow.test_follow import plain
from tests.segcam.follow.trainings import IMAGES, MASKS, network
from tests.small_networks import equal


def follower(model: nn.Module, out: Path, **options: Any) -> Follow:
    return Follow(model, IMAGES[:2], masks=MASKS[:2], out=out, strict=True, **options)


class SummaryWriter:
    """What TensorBoard's has of this name."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}
        self.images: dict[tuple[str, int], tuple[int, ...]] = {}

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag, step] = value

    def add_image(self, tag: str, image: np.ndarray, step: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.images[tag, step] = image.shape

    def flush(self) -> None:
        pass


class Run:
    """What a run of Weights & Biases has."""

    def __init__(self) -> None:
        self.defined: dict[str, str | None] = {}
        self.logged: list[dict[str, Any]] = []

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.defined[name] = step_metric

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)


def test_writers_are_told_the_means_over_images(tmp_path: Path) -> None:
    board, run = SummaryWriter(), Run()
    follow = follower(plain(), tmp_path, layers=["0", "2"], writer=[board, run])
    follow(3)
    wanted = np.mean([row["spread"] for row in follow.rows if (row["layer"], row["method"]) == ("2", "grad_cam")])
    assert board.scalars["segcam/spread/2", 3] == pytest.approx(wanted)
    assert run.logged[0]["segcam/spread/2"] == pytest.approx(wanted)
    assert run.logged[0]["segcam/step"] == 3
    assert run.defined == {"segcam/step": None, "segcam/*": "segcam/step"}
    names = {tag.split("/")[1] for tag, _ in board.scalars}
    assert names <= {*METRICS.names(), SIGN_BALANCE}
    assert not any(np.isnan(value) for value in board.scalars.values())
    (shape,) = board.images.values()
    assert shape[2] == 3


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_tensorboard_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pip install tensorboard"):
        follower(plain(), tmp_path, writer="tensorboard")


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard(tmp_path: Path) -> None:
    follower(plain(), tmp_path, writer="tensorboard")(0)
    assert list(tmp_path.glob("events.out.tfevents.*"))


def states(*epochs: float | None) -> list[Any]:
    return [SimpleNamespace(epoch=epoch) for epoch in epochs]


@pytest.mark.parametrize("late", [False, True])
def test_events_of_transformers_trainer(tmp_path: Path, late: bool) -> None:
    model = plain()
    made = (lambda given: follower(given, tmp_path)) if late else follower(model, tmp_path)
    callback = FollowCallback(made)
    begun, first, second = states(None, 0.99999999, 2.0)
    callback.on_train_begin(None, begun, None, model=model)
    callback.on_epoch_end(None, first, None, model=model)
    callback.on_epoch_end(None, second, None, model=model)
    assert isinstance(callback.follow, Follow)
    assert callback.follow.network is model
    assert callback.follow.folder.steps() == [0, 1, 2]


@pytest.mark.skipif(find_spec("accelerate") is None, reason="transformers' Trainer needs accelerate")
def test_transformers_trainer(tmp_path: Path) -> None:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer, TrainingArguments

    sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4, "decoder_hidden_size": 8}
    images = nn.functional.interpolate(IMAGES, (64, 64))
    masks = (images[:, 0] > 0.5).long()
    data = [{"pixel_values": image, "labels": mask} for image, mask in zip(images, masks, strict=True)]
    arguments = TrainingArguments(
        str(tmp_path / "hf"), num_train_epochs=2, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True
    )

    def trained(followed: bool) -> dict[str, Tensor]:
        torch.manual_seed(1)
        model = SegformerForSemanticSegmentation(SegformerConfig(num_labels=2, **sizes))
        options = {"masks": masks[:2], "class_id": "LABEL_1", "out": tmp_path / "run", "strict": True}
        callbacks = [FollowCallback(Follow(model, images[:2], **options))] if followed else []  # type: ignore[arg-type]
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks).train()
        return model.state_dict()  # type: ignore[no-any-return]

    assert equal(trained(True), trained(False))
    assert [path.stem for path in sorted((tmp_path / "run" / "steps").iterdir())] == ["000000", "000001", "000002"]


@pytest.mark.skipif(
    find_spec("lightning") is None and find_spec("pytorch_lightning") is None, reason="Lightning is not installed"
)
@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path: Path) -> None:
    pl = pytest.importorskip("lightning.pytorch" if find_spec("lightning") else "pytorch_lightning")

    class Module(pl.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def trained(followed: bool) -> dict[str, Tensor]:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        module = Module()
        made = [lightning.FollowCallback(lambda given: follower(given.net, tmp_path / "run"))] if followed else []
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        trainer = pl.Trainer(max_epochs=2, callbacks=made, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(module, DataLoader(TensorDataset(IMAGES, MASKS), 4, shuffle=True))
        return module.net.state_dict()

    plain_states = trained(False)
    assert equal(trained(True), plain_states)
    assert [path.stem for path in sorted((tmp_path / "run" / "steps").iterdir())] == ["000000", "000001", "000002"]


@pytest.mark.skipif(lightning.FollowCallback.__mro__[1] is not object, reason="Lightning is installed")
def test_lightning_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip install lightning"):
        lightning.FollowCallback(follower(plain(), tmp_path))
