"""What an error about a checkpoint or a state tells one to do is done, and the run ends as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyses.reading.files import LOG
from segcam.models.weights.checkpoints import pack, unpack
from tests.bench.harness import contents, finish, run

CHECKPOINT = "checkpoints/unet-s0-l30.safetensors"


def trained(folder: Path) -> dict[str, bytes]:
    """What a run trained, and the log of it, which are the same in every run."""
    return contents(folder, "checkpoints") | {LOG: (folder / LOG).read_bytes()}


def cut(file: Path) -> bytes:
    return file.read_bytes()[:1000]


def another_head(file: Path) -> bytes:
    tensors, header = unpack(file)
    return pack({**tensors, "head.weight": tensors["head.weight"] + 0.1}, header)


@pytest.mark.parametrize("damage", [cut, another_head])
def test_a_checkpoint_is_removed_and_trained_again(
    copied: Path, finished: Path, tiny: Path, damage: Callable[[Path], bytes]
) -> None:
    file = copied / CHECKPOINT
    file.write_bytes(damage(file))
    for name in contents(copied, "scores"):
        (copied / name).unlink()
    message = run("score", tiny, copied).refusal
    assert str(file) in message
    assert "trains it again" in message
    file.unlink()
    finish("train", tiny, copied)
    assert trained(copied) == trained(finished)


@pytest.mark.parametrize("content", [b"half", pack({}, {"step": 3})], ids=["damaged", "of something else"])
def test_a_state_is_deleted_and_training_starts_anew(copied: Path, finished: Path, tiny: Path, content: bytes) -> None:
    (record,) = copied.glob("cells/train-unet-s0-*.json")
    (copied / CHECKPOINT).unlink()
    record.unlink()
    state = record.with_suffix(".safetensors")
    state.write_bytes(content)
    before = contents(copied)
    message = run("train", tiny, copied).refusal
    assert str(state) in message
    assert message.rstrip().endswith(
        "delete it, and this training starts anew from its first step; no other result is touched"
    )
    assert {n: d for n, d in contents(copied).items() if n != "manifest.json" and d != before.get(n)} == {}
    state.unlink()
    finish("train", tiny, copied)
    assert trained(copied) == trained(finished)
