"""Memory: what is free is the least of what the machine and the group tell, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcam import InputError, memory

GIB = 2**30


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of files, without any of them."""
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    return tmp_path


def group(system: Path, limit: str, used: int, inactive: int = 0) -> None:
    (system / "cgroup" / "memory.max").write_text(f"{limit}\n")
    (system / "cgroup" / "memory.current").write_text(f"{used}\n")
    (system / "cgroup" / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_the_least_counts(system: Path) -> None:
    (system / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    assert memory.available() == 8 * GIB
    group(system, "max", 3 * GIB)
    assert memory.available() == 8 * GIB
    group(system, str(4 * GIB), 3 * GIB, inactive=GIB // 2)
    assert memory.available() == 3 * GIB // 2
    group(system, str(4 * GIB), 5 * GIB)
    assert memory.available() == 0


def test_the_first_version_of_groups(system: Path) -> None:
    (system / "meminfo").write_text(f"MemAvailable: {8 * GIB // 1024} kB\n")
    folder = system / "cgroup" / "memory"
    (folder / "memory.limit_in_bytes").write_text(str(2 * GIB))
    (folder / "memory.usage_in_bytes").write_text(str(GIB))
    assert memory.available() == GIB


def test_a_system_that_does_not_tell(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (memory.available() or 0) > 0, "the whole machine's"
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.available() is None
    memory.must_fit("all", 10**30, "take less")


def test_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: GIB)
    memory.must_fit("this", GIB, "take less")
    with pytest.raises(InputError) as caught:
        memory.must_fit("this", GIB + 1, "take less")
    assert str(caught.value) == "this takes at least 1.0 GiB of memory, and 1.0 GiB are free: take less"
    memory.must_fit("this", GIB + 1, "take less", free=2 * GIB)
