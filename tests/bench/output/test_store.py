"""The store: whole files or none, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.output.store import Store, StoreError
from segcam import InputError, SegcamError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "out").mkdir()
    return Store(tmp_path / "out")


def files(store: Store) -> set[str]:
    return {str(p.relative_to(store.out)) for p in store.out.rglob("*") if p.is_file()}


def test_makes_its_folder_with_the_first_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == [], "nothing was asked for yet"
    assert store.names("cells") == []
    store.sweep()
    store.write("tables/c.csv", b"data")
    assert files(store) == {"tables/c.csv"}


def test_looks_whether_the_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    try:
        with pytest.raises(InputError, match="cannot write to"):
            Store(tmp_path / "closed" / "a" / "b")
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_writes_reads_lists_and_removes(store: Store) -> None:
    path = store.write("folder/file.bin", b"data")
    assert path == store.path("folder/file.bin")
    assert path.read_bytes() == b"data"
    assert store.has("folder/file.bin")
    assert not store.has("folder")
    assert store.names("folder") == ["folder/file.bin"]
    assert store.names("nowhere") == []
    store.write("folder/file.bin", b"other")
    assert path.read_bytes() == b"other"
    store.remove("folder/file.bin")
    store.remove("folder/file.bin")
    assert files(store) == set()


def test_files_are_synced_before_they_get_their_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    synced, replaced = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        synced(descriptor)

    def replace(self: Path, target: Path) -> Path:
        assert self.parent == Path(target).parent, "a rename is atomic within one folder alone"
        assert self.read_bytes() == b"data", "all of it is written"
        done.append("rename")
        return replaced(self, target)

    monkeypatch.setattr("bench.output.store.os.fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    store.write("a.bin", b"data")
    assert done == ["file", "rename", "folder"]


@contextmanager
def full(how: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make writing fail: at the sync, at the rename, or for real in the middle of the data."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if how == "limit":
        resource = pytest.importorskip("resource")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return
    with monkeypatch.context() as patch:
        if how == "sync":
            patch.setattr("bench.output.store.os.fsync", fail)
        else:
            patch.setattr(Path, "replace", fail)
        yield


@pytest.mark.parametrize("how", ["sync", "rename", "limit"])
@pytest.mark.parametrize("before", [b"old", None])
def test_a_failed_write_leaves_what_was_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, how: str, before: bytes | None
) -> None:
    if before is not None:
        store.write("tables/a.csv", before)
    there = files(store)
    with full(how, monkeypatch), pytest.raises(StoreError) as caught:
        store.write("tables/a.csv", bytes(100_000))
    assert files(store) == there, "no temporary file is left"
    assert before is None or store.path("tables/a.csv").read_bytes() == before
    message = str(caught.value)
    assert str(store.path("tables/a.csv")) in message
    assert "100,000 bytes" in message
    assert os.strerror(errno.EFBIG if how == "limit" else errno.ENOSPC) in message
    assert "--out" in message
    store.write("tables/a.csv", b"new")
    assert store.path("tables/a.csv").read_bytes() == b"new"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = Store(small_disk)
    store.write("a.bin", b"old")
    with pytest.raises(StoreError, match="No space left on device"):
        store.write("a.bin", bytes(200_000))
    assert store.path("a.bin").read_bytes() == b"old"
    assert files(store) == {"a.bin"}


def test_store_errors_exit_with_1(store: Store) -> None:
    assert issubclass(StoreError, SegcamError)
    assert StoreError.exit_code == 1


def test_a_folder_in_a_files_place(store: Store) -> None:
    store.path("a.csv").mkdir()
    with pytest.raises(StoreError, match=r"a\.csv"):
        store.write("a.csv", b"data")
    assert files(store) == set()


def test_a_closed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    try:
        with pytest.raises(InputError) as caught:
            Store(folder)
    finally:
        folder.chmod(0o755)
    assert str(folder) in str(caught.value)
    assert "--out" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_in_the_folders_place(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write to"):
        Store(tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"


def test_sweep_removes_what_was_left_behind_and_nothing_else(store: Store) -> None:
    store.write("tables/a.csv", b"whole")
    store.write("b.tmp", b"whole")
    store.path("tables/.a.csv.123.tmp").write_bytes(b"half")
    store.write("scores/resolution/a.parquet", b"whole")
    store.path("scores/resolution/.a.parquet.123.tmp").write_bytes(b"half")
    store.path(".manifest.json.7.tmp").write_bytes(b"half")
    store.write("elsewhere/.a.csv.7.tmp", b"somebody's")
    store.path(".mine.tmp").write_bytes(b"somebody's")
    assert store.names("tables") == ["tables/a.csv"]
    store.sweep()
    assert files(store) == {
        *("tables/a.csv", "scores/resolution/a.parquet"),
        *("b.tmp", "elsewhere/.a.csv.7.tmp", ".mine.tmp"),
    }


def test_a_folder_with_files_of_no_run(store: Store) -> None:
    store.path(".manifest.json.7.tmp").write_bytes(b"half")
    Store(store.out)  # a run that was killed at its first write
    store.path("mine.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds files but no run \(mine.txt\)"):
        Store(store.out)
    store.write("manifest.json", b"{}")
    Store(store.out)


def test_what_cannot_be_removed_is_told(store: Store) -> None:
    store.write("folder/a.csv", b"data")
    with pytest.raises(StoreError, match="cannot remove"):
        store.remove("folder")


def test_json_has_null_for_what_is_no_number(store: Store) -> None:
    values = {"a": float("nan"), "b": [float("inf"), 1.5, (float("-inf"), 2)], 3: {"c": None, "d": True}, "e": "\u00e9"}
    store.write_json("a.json", values)
    text = store.path("a.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == {"a": None, "b": [None, 1.5, [None, 2]], "3": {"c": None, "d": True}, "e": "\u00e9"}
    assert store.read_json("a.json") == json.loads(text)


def test_json_keeps_every_bit_of_a_number(store: Store) -> None:
    store.write_json("a.json", {"x": 0.1 + 0.2})
    assert store.read_json("a.json")["x"] == 0.1 + 0.2


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_damaged_json_is_named(store: Store, content: bytes | None) -> None:
    if content is not None:
        store.path("a.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        store.read_json("a.json")
    assert str(store.path("a.json")) in str(caught.value)


def test_tables_code_their_keys(store: Store) -> None:
    columns: dict[str, Any] = {
        "model": np.array(["a", "b", "a"]),
        "level": np.array([30, 50, 50]),
        "value": np.array([0.5, np.nan, 1], np.float32),
    }
    table = pq.read_table(store.write_table("t.parquet", columns, keys=("model", "absent")), read_dictionary=[])
    assert str(table.schema.field("model").type).startswith("dictionary<values=string")
    assert str(table.schema.field("value").type) == "float"
    assert str(table.schema.field("level").type) == "int64"
    assert table["model"].to_pylist() == ["a", "b", "a"]
    assert np.isnan(table["value"].to_numpy()[1])


def test_the_same_table_is_the_same_bytes(store: Store) -> None:
    columns = {"model": np.array(["a", "b"]), "value": np.array([0.5, 1], np.float32)}
    one, two = (store.write_table(name, columns, keys=("model",)).read_bytes() for name in ("a.parquet", "b.parquet"))
    assert one == two
