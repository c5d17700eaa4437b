"""The command line's last word: memory that ran out is one error, and a mistake of ours stays a traceback."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from tests.bench.harness import bench


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_ran_out(error: Exception) -> None:
    with patch("bench.planning.profile.read", side_effect=error):
        outcome = bench("run", "train")
    assert outcome.code == 1
    assert outcome.error.startswith("there is not enough memory (")
    assert "lower train.batch_size where it trains, score.batch_size or score.max_memory" in outcome.error


def test_what_is_no_lack_of_memory_is_not_hidden() -> None:
    with patch("bench.planning.profile.read", side_effect=RuntimeError("a bug")), pytest.raises(RuntimeError):
        bench("run", "train")
