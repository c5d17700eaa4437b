"""The store: whole files or none, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.output.store import FOLDERS, LOCKS, Store, StoreError, made_by
from segcam import InputError
from segcam.locks import HeldError
from tests.bench.harness import dead_process


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "out").mkdir()
    return Store(tmp_path / "out")


def files(store: Store) -> set[str]:
    return {str(p.relative_to(store.out)) for p in store.out.rglob("*") if p.is_file()}


def test_makes_its_folder_with_the_first_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    assert store.names("cells") == []
    with store.writing(), store.drawing():
        pass
    assert list(tmp_path.iterdir()) == [], "nothing was written"
    with store.writing():
        store.write("tables/c.csv", b"data")
    assert files(store) - {*LOCKS} == {"tables/c.csv"}


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
    with pytest.raises(StoreError, match=r"a\.csv is a folder.*move it away"):
        store.write("a.csv", b"data")
    with pytest.raises(StoreError, match="cannot remove"):
        store.remove("a.csv")
    assert files(store) == {"a.csv/b.csv"}


def test_sweep_removes_what_a_dead_process_left_and_nothing_else(store: Store) -> None:
    dead, lives = f".a.csv.{dead_process()}-ab12.tmp", f".a.csv.{os.getpid()}-ab12.tmp"
    store.write("tables/a.csv", b"whole")
    store.write("b.tmp", b"whole")
    store.write("scores/resolution/a.parquet", b"whole")
    for name in (
        f"tables/{dead}",
        f"scores/resolution/{dead}",
        dead,
        f"tables/{lives}",
        f"elsewhere/{dead}",
        ".mine.tmp",
    ):
        store.write(name, b"half")
    assert store.names("tables") == ["tables/a.csv"]
    store.sweep()
    assert files(store) == {
        *("tables/a.csv", "scores/resolution/a.parquet", f"tables/{lives}"),
        *("b.tmp", f"elsewhere/{dead}", ".mine.tmp"),
    }


def test_a_planted_link_is_not_followed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.output.drafts.secrets.token_hex", lambda _: "ab12")
    store.path("mine").write_bytes(b"mine")
    store.path(f".a.csv.{os.getpid()}-ab12.tmp").symlink_to(store.path("mine"))
    with pytest.raises(StoreError, match="File exists"):
        store.write("a.csv", b"data")
    assert store.path("mine").read_bytes() == b"mine"


def test_a_folder_with_files_of_no_run(store: Store) -> None:
    store.path(f".manifest.json.{dead_process()}-ab12.tmp").write_bytes(b"half")
    with store.writing():  # after a run that was killed at its first write
        pass
    store.path("mine.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds files but no run \(mine.txt\)"), store.writing():
        pass
    store.write("manifest.json", b"{}")
    with store.writing():
        pass
    assert store.path("mine.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_linked_folder_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    store.write("manifest.json", b"{}")
    (tmp_path / "elsewhere").mkdir()
    store.path(name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{name} is a link"), store.writing():
        pass


def test_one_writes_at_a_time_and_one_draws_beside_it(store: Store) -> None:
    told = pytest.raises(HeldError, match=rf"in use by process {os.getpid()} .*--wait")
    with store.writing(), store.drawing(), told, Store(store.out).writing():
        pass
    with Store(store.out).writing():
        pass


def test_a_report_writes_over_its_own_files_alone(store: Store) -> None:
    store.draw({"tables/a.csv": b"1", "tables/b.csv": b"2", "tables/c.csv": b"3"}, whole=True)
    store.write("tables/mine.csv", b"mine")
    store.write("tables/c.csv", b"changed by somebody")
    store.draw({"tables/a.csv": b"4"}, whole=True)
    assert files(store) == {"tables/a.csv", "tables/mine.csv", "tables/c.csv", "drawn.json"}
    assert store.path("tables/a.csv").read_bytes() == b"4"
    with pytest.raises(InputError, match=r"mine\.csv is not of this run.*move it away"):
        store.draw({"tables/a.csv": b"5", "tables/mine.csv": b"6"}, whole=True)
    assert store.path("tables/mine.csv").read_bytes() == b"mine"
    assert store.path("tables/a.csv").read_bytes() == b"4", "nothing is half-written"


def test_a_folder_is_replaced_as_a_whole(store: Store) -> None:
    store.replace({"manifest.json": b"old", "tables/a.csv": b"old", "tables/b.csv": b"old"}, ())
    store.write("README.md", b"mine")
    earlier = ("manifest.json", "tables/a.csv", "tables/b.csv")
    store.replace({"manifest.json": b"new", "tables/a.csv": b"new"}, earlier)
    contents = {name: store.path(name).read_bytes() for name in files(store)}
    assert contents == {"manifest.json": b"new", "tables/a.csv": b"new", "README.md": b"mine"}
    assert [path.name for path in store.out.parent.iterdir()] == ["out"]
    with pytest.raises(InputError, match=r"README\.md is not of an earlier publication"):
        store.replace({"README.md": b"new"}, earlier)


def test_a_replacement_that_fails_or_is_killed_leaves_the_old_folder(store: Store) -> None:
    store.replace({"a.csv": b"old"}, ())
    renames = iter([False, True])

    def fail(self: Path, target: Path) -> Path:
        if next(renames, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return renamed(self, target)

    renamed = Path.rename
    with mock.patch.object(Path, "rename", fail), pytest.raises(StoreError, match="cannot write"):
        store.replace({"a.csv": b"new"}, ("a.csv",))
    assert store.path("a.csv").read_bytes() == b"old"
    full = mock.patch("bench.output.store.os.fsync", side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    words = r"cannot write \S+/out: No space left on device; free space, or choose another folder with --to$"
    with full, pytest.raises(StoreError, match=words):
        Store(store.out, "--to").replace({"a.csv": b"new"}, ("a.csv",))
    assert [path.name for path in store.out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_replacement_that_is_killed_is_old_or_new_and_keeps_what_is_ones_own(store: Store, step: int) -> None:
    names = ("manifest.json", "drawn.json")
    store.replace(dict.fromkeys(names, b"old"), ())
    store.write("mine/README.md", b"mine")
    foreign = store.out.with_name(".out.old")
    foreign.mkdir()
    killed = dead_process()
    steps = iter(range(1, 4))

    def kill(self: Path, target: Path) -> Path:
        if self.name.startswith((".out.", "out")) and next(steps) == step:
            os._exit(9)
        return renamed(self, target)

    renamed = Path.rename
    if (process := os.fork()) == 0:
        sweep = mock.patch("bench.output.store.shutil.rmtree", side_effect=lambda *_, **__: os._exit(9))
        with mock.patch.object(Path, "rename", kill), mock.patch.object(os, "getpid", return_value=killed), sweep:
            store.replace(dict.fromkeys(names, b"new"), names)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    with store.writing():
        store.recover()
        store.replace(dict.fromkeys(names, b"newer"), names)
    assert store.path("drawn.json").read_bytes() == b"newer"
    assert store.path("mine/README.md").read_bytes() == b"mine"
    assert sorted(path.name for path in store.out.parent.iterdir()) == [".out.old", "out"]


def test_tables_code_their_keys_and_are_the_same_bytes(store: Store) -> None:
    columns: dict[str, Any] = {
        "model": np.array(["a", "b", "a"]),
        "level": np.array([30, 50, 50]),
        "value": np.array([0.5, np.nan, 1], np.float32),
    }
    one, other = (store.write_table(n, columns, ("model", "absent"), "c1") for n in ("a.parquet", "b.parquet"))
    assert one == other
    assert (one.cell, one.rows) == ("c1", 3)
    file = store.path("a.parquet")
    assert made_by(file) == "c1"
    assert store.intact("a.parquet", one)
    table = pq.read_table(file, read_dictionary=[])
    types = {name: str(table.schema.field(name).type).partition(",")[0] for name in columns}
    assert types == {"model": "dictionary<values=string", "level": "int64", "value": "float"}
    assert table["model"].to_pylist() == ["a", "b", "a"]
    np.testing.assert_array_equal(table["value"].to_numpy(), columns["value"])
