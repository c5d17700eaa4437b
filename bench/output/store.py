"""The only writer of results: whole files or none, in one folder."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analyses.reading.files import SCORES
from segcam.errors import InputError, SegcamError

MANIFEST = "manifest.json"
TIMING = "timing.json"
CAPTIONS = "captions.md"
PAGE = "report"
"""Folder of the page."""
FOLDERS = ("cells", "checkpoints", SCORES, "tables", "figures", PAGE)
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


class StoreError(SegcamError):
    """A result could not be written."""


class Store:
    """A run's output folder.

    Every file is written to a temporary neighbour, synced and renamed, so that a file is seen whole or not at all,
    whatever ends the process.

    Args:
        out: the folder; it is made with the first file.

    Raises:
        InputError: the folder cannot be written to, or holds files that no run wrote.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        try:
            nearest = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
            if not nearest.stat().st_mode & 0o222:  # root may write there, but somebody closed the folder on purpose
                raise PermissionError(13, f"{nearest} is read-only")
            probe = nearest / f".probe-{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
            is_run = self.has(MANIFEST) or self.has(TIMING)
            names = [] if is_run or not out.exists() else sorted(p.name for p in out.iterdir())
        except OSError as error:
            raise InputError(
                f"cannot write to {out}: {error.strerror or error}; choose another folder with --out"
            ) from error
        strange = [name for name in names if not TEMPORARY.fullmatch(name)]
        if strange:
            raise InputError(
                f"{out} holds files but no run ({', '.join(strange[:3])}): choose another folder with --out, for a run "
                "replaces what lies in its own"
            )

    def path(self, name: str) -> Path:
        """Return the path of a file of the run, be it there or not."""
        return self.out / name

    def has(self, name: str) -> bool:
        """Return whether a file of the run is there."""
        return self.path(name).is_file()

    def names(self, folder: str) -> list[str]:
        """Return the files in a sub-folder, sorted, relative to the run's folder; temporary ones are left out."""
        paths = self.path(folder).iterdir() if self.path(folder).is_dir() else ()
        return sorted(f"{folder}/{p.name}" for p in paths if p.is_file() and not p.name.startswith("."))

    def below(self, *folders: str) -> list[str]:
        """Return the files in sub-folders and below, sorted, relative to the run's folder; temporary ones left out."""
        paths = (path for folder in folders for path in self.path(folder).rglob("*"))
        return sorted(p.relative_to(self.out).as_posix() for p in paths if p.is_file() and not p.name.startswith("."))

    def write(self, name: str, data: bytes) -> Path:
        """Write a file as a whole.

        Raises:
            StoreError: it cannot be written; what was there before is still there, and nothing half-written is.
        """
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            reason = error.strerror or str(error)
            raise StoreError(
                f"cannot write {path} ({len(data):,} bytes): {reason}; free space or choose another folder with --out, "
                "then run the same command again: finished parts are kept"
            ) from error
        return path

    def remove(self, name: str) -> None:
        """Remove a file of the run, where it is there.

        Raises:
            StoreError: it cannot be removed.
        """
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot remove {self.path(name)}: {error.strerror or error}; remove it by hand"
            ) from error

    def sweep(self) -> None:
        """Remove what runs that were killed while writing left behind."""
        for search in (self.out.glob, *(self.path(name).rglob for name in FOLDERS)):
            for leftover in search(".*.tmp"):
                if TEMPORARY.fullmatch(leftover.name) and leftover.is_file():
                    leftover.unlink(missing_ok=True)

    def write_json(self, name: str, values: Mapping[str, Any]) -> Path:
        """Write a JSON file; NaN and infinity become null, which JSON has and they are not in."""
        return self.write(name, as_json(values))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the run.

        Raises:
            InputError: it is absent or damaged.
        """
        try:
            values: dict[str, Any] = json.loads(self.path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path(name)} cannot be read ({error}): delete it and run the same command again"
            ) from error
        return values

    def write_table(self, name: str, columns: Mapping[str, Any], keys: Iterable[str] = ()) -> Path:
        """Write a parquet table; the columns named in `keys` are dictionary-coded."""
        coded = set(keys)
        arrays = {n: pa.array(c).dictionary_encode() if n in coded else pa.array(c) for n, c in columns.items()}
        buffer = io.BytesIO()
        pq.write_table(pa.table(arrays), buffer, compression="zstd")
        return self.write(name, buffer.getvalue())


def as_json(values: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON file, as `write_json` writes it."""
    return (json.dumps(_plain(values), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def of_profile(store: Store) -> Store:
    """See that a folder holds no run of a stage that writes a manifest of its own."""
    if store.has(MANIFEST) and (kind := store.read_json(MANIFEST).get("kind")):
        raise InputError(
            f"{store.out} holds a run of the stage {kind}: run {kind} --out {store.out} goes on with it and redraws; "
            "for another run choose another folder with --out"
        )
    return store


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
