"""The store: whole files or none, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.output.store import Store, StoreError
from segcam import InputError


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
def full(how: str) -> Iterator[None]:
    """Make writing fail: at the sync, at the rename, or for real in the middle of the data."""
    if how == "limit":
        resource = pytest.importorskip("resource")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return
    call = {"sync": "bench.output.store.os.fsync", "rename": "pathlib.Path.replace"}[how]
    with mock.patch(call, side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        yield


@pytest.mark.parametrize("how", ["sync", "rename", "limit"])
@pytest.mark.parametrize("before", [b"old", None])
def test_a_failed_write_leaves_what_was_there(store: Store, how: str, before: bytes | None) -> None:
    if before is not None:
        store.write("tables/a.csv", before)
    names = files(store)
    with full(how), pytest.raises(StoreError) as caught:
        store.write("tables/a.csv", bytes(100_000))
    assert caught.value.exit_code == 1
    assert files(store) == names, "no temporary file is left"
    assert before is None or store.path("tables/a.csv").read_bytes() == before
    reason = os.strerror(errno.EFBIG if how == "limit" else errno.ENOSPC)
    for text in (str(store.path("tables/a.csv")), "100,000 bytes", reason, "--out"):
        assert text in str(caught.value)
    store.write("tables/a.csv", b"new")
    assert store.path("tables/a.csv").read_bytes() == b"new"


def test_a_folder_in_a_files_place(store: Store) -> None:
    store.write("a.csv/b.csv", b"data")
    with pytest.raises(StoreError, match=r"cannot write .*a\.csv"):
        store.write("a.csv", b"data")
    with pytest.raises(StoreError, match="cannot remove"):
        store.remove("a.csv")
    assert files(store) == {"a.csv/b.csv"}


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


def test_json_has_null_for_what_is_no_number(store: Store) -> None:
    nan, inf = float("nan"), float("inf")
    values = {"a": nan, "b": [inf, 0.1 + 0.2, (-inf, 2)], 3: {"c": None, "d": True}, "e": "\u00e9"}
    text = store.write_json("a.json", values).read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    read = {"a": None, "b": [None, 0.1 + 0.2, [None, 2]], "3": {"c": None, "d": True}, "e": "\u00e9"}
    assert store.read_json("a.json") == json.loads(text) == read


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_damaged_json_is_named(store: Store, content: bytes | None) -> None:
    if content is not None:
        store.path("a.json").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(store.path("a.json")))):
        store.read_json("a.json")


def test_tables_code_their_keys_and_are_the_same_bytes(store: Store) -> None:
    columns: dict[str, Any] = {
        "model": np.array(["a", "b", "a"]),
        "level": np.array([30, 50, 50]),
        "value": np.array([0.5, np.nan, 1], np.float32),
    }
    file, again = (store.write_table(name, columns, keys=("model", "absent")) for name in ("a.parquet", "b.parquet"))
    assert file.read_bytes() == again.read_bytes()
    table = pq.read_table(file, read_dictionary=[])
    types = {name: str(table.schema.field(name).type).partition(",")[0] for name in columns}
    assert types == {"model": "dictionary<values=string", "level": "int64", "value": "float"}
    assert table["model"].to_pylist() == ["a", "b", "a"]
    np.testing.assert_array_equal(table["value"].to_numpy(), columns["value"])
