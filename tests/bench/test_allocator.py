"""Keeping freed memory: done where the C library is glibc, and told where it is not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from bench.allocator import keep_freed_memory


def test_it_is_done_with_glibc_and_results_stay() -> None:
    code = (
        "import torch; from bench.allocator import keep_freed_memory as keep\n"
        "x = torch.rand(64, 512, 512, generator=torch.Generator().manual_seed(0))\n"
        "before = x.square().sum(); done = keep(); after = x.square().sum()\n"
        "print(done, bool(before == after))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(platform.libc_ver()[0] == "glibc"), "True"]


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
