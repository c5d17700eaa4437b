"""The only writer of results: whole files or none, in one folder, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from analyses.reading.files import FILMS, SCORES, sha256, version_of
from analyses.reading.manifest import File, Manifest
from analyses.reading.sealed import Document
from analyses.reading.timings import FILE
from bench import endings
from bench.output.drafts import TEMPORARY, left_behind, sweep_beside, temporary_of
from segcam.errors import InputError, SegcamError
from segcam.locks import held

MANIFEST = "manifest.json"
TIMING = FILE
CAPTIONS = "captions.md"
DRAWN = "drawn.json"
"""The list of what a report wrote."""
PAGE = "report"
"""Folder of the page."""
INDEX = "index.html"
"""What a page begins with."""
FOLDERS = ("cells", "checkpoints", FILMS, SCORES, "tables", "figures", "classes", PAGE)
OLD = re.compile(r"\..+\.\d+-\w+\.old")
"""Names of folders that a publication moved away."""
LOCKS = (".run.lock", ".drawing.lock")
CELL = b"segcam cell "
"""The key, in a table's file, of the cell that made it."""

Tell = Callable[[str], None]
Kind = TypeVar("Kind", bound=Document)


class StoreError(SegcamError):
    """A result could not be written."""


class Drawn(Document):
    """The files that a report wrote, with the hashes of their contents: no others are removed.

    Attributes:
        of: the hash of what was drawn, see `Store.draw`.
        source: the hash of all that it was drawn from.
    """

    WHAT: ClassVar[str] = "list of drawn files"
    CURE: ClassVar[str] = "remove it with the folders tables, figures and report, and run report again"

    files: dict[str, str]
    of: str = ""
    source: str = ""


class Store:
    """A run's output folder.

    Every file is written to a temporary neighbour, synced and renamed, so that a file is seen whole or not at all,
    whatever ends the process. Who writes holds a lock: `writing` the results, or `drawing` tables, figures and page.

    Args:
        out: the folder; it is made with the first file.
        option: what names it on the command line, for errors.
    """

    def __init__(self, out: Path, option: str = "--out") -> None:
        self.out = out
        self.option = option
        self._read: dict[str, tuple[Any, Document]] = {}

    @contextmanager
    def writing(self, *, wait: bool = False, tell: Tell | None = None) -> Iterator[None]:
        """Be the one who trains, scores and publishes in this folder, while the block runs.

        Args:
            wait: whether to wait for another one.
            tell: told who is waited for.

        Raises:
            InputError: the folder cannot be written to, holds files that no run wrote, or folders that are links.
            HeldError: another process is at it.
        """
        self._free()
        with self._locked(LOCKS[0], wait=wait, tell=tell):
            self.sweep()
            yield

    @contextmanager
    def drawing(self, tell: Tell | None = None) -> Iterator[None]:
        """Be the one who writes tables, figures and page, while the block runs; results may be written beside it.

        Another one, who takes seconds, is waited for.
        """
        self._free()
        with self._locked(LOCKS[1], wait=True, tell=tell):
            yield

    @contextmanager
    def still(self, *, wait: bool = False, tell: Tell | None = None) -> Iterator[None]:
        """Keep others from writing or drawing here while the block reads; in a folder that is closed nobody does.

        Args:
            wait: whether to wait for who trains or scores; who draws is waited for.
            tell: told who is waited for.

        Raises:
            HeldError: another process trains or scores.
        """
        begun = any(self.path(name).exists() for name in (LOCKS[0], MANIFEST, TIMING))
        with contextlib.ExitStack() as stack:
            for name, patient in zip(LOCKS, (wait, True), strict=True) if begun else ():
                with contextlib.suppress(OSError):
                    stack.enter_context(held(self.path(name), str(self.out), wait=patient, waiting=tell))
            yield

    @contextmanager
    def _locked(self, name: str, *, wait: bool, tell: Tell | None) -> Iterator[None]:
        made = [folder for folder in (self.out, *self.out.parents) if not folder.exists()]
        with contextlib.ExitStack() as stack:
            stack.callback(self._leave_nothing, made)
            try:
                stack.enter_context(held(self.path(name), str(self.out), wait=wait, waiting=tell))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _leave_nothing(self, made: list[Path]) -> None:
        """Remove the folders that were made for a run that wrote nothing."""
        with contextlib.suppress(OSError):
            if made and {path.name for path in self.out.iterdir()} <= {*LOCKS}:
                shutil.rmtree(self.out)
                for folder in made[1:]:
                    folder.rmdir()

    def _free(self) -> None:
        """See that a run may write here."""
        try:
            nearest = next(folder for folder in (self.out.absolute(), *self.out.absolute().parents) if folder.exists())
            if not nearest.stat().st_mode & 0o222:  # root may write there, but somebody closed the folder on purpose
                raise PermissionError(13, f"{nearest} is read-only")
            with tempfile.TemporaryFile(dir=nearest):
                pass
            is_run = any(map(self.has, (MANIFEST, TIMING))) or any(self.names("cells"))
            names = [] if is_run or not self.out.exists() else sorted(p.name for p in self.out.iterdir())
        except OSError as error:
            raise self._unwritable(error) from error
        strange = [name for name in names if not TEMPORARY.fullmatch(name) and not name.startswith(LOCKS)]
        strange = [name for name in strange if name != "cells"]  # of a run that was stopped before its first file
        if strange:
            raise InputError(
                f"{self.out} holds files but no run ({', '.join(strange[:3])}): choose another folder with "
                f"{self.option}, for a run replaces what lies in its own"
            )
        for name in FOLDERS:
            if self.path(name).is_symlink():
                raise InputError(
                    f"{self.path(name)} is a link, and a run writes and removes files in folders of its own alone: "
                    f"remove the link, or choose another folder with {self.option}"
                )

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"cannot write to {self.out}: {error.strerror or error}; {self._elsewhere(error)}")

    def _elsewhere(self, error: OSError) -> str:
        room = "free space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return f"{room}choose another folder with {self.option}"

    def path(self, name: str) -> Path:
        """Return the path of a file of the run, be it there or not."""
        return self.out / name

    def has(self, name: str) -> bool:
        """Return whether a file of the run is there."""
        return self.path(name).is_file()

    def read(self, kind: type[Kind], name: str) -> Kind:
        """Read a JSON file of the run; what was read is kept while the file stays as it is.

        Raises:
            ResultsError: it is absent or damaged, or of another schema.
        """
        version = version_of(self.path(name)) if self.has(name) else None
        if version is None or self._read.get(name, (None, None))[0] != version:
            self._read[name] = (version, kind.read(self.path(name)))
        document = self._read[name][1]
        assert isinstance(document, kind)  # a name is of one kind
        return document

    def manifest(self) -> Manifest:
        """Return the run's manifest.

        Raises:
            ResultsError: it is absent or damaged, or of another schema.
        """
        return self.read(Manifest, MANIFEST)

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
        temporary = temporary_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            if path.is_dir():
                raise StoreError(
                    f"{path} is a folder, where a file of the run goes: move it away, and run the same command again"
                ) from error
            raise StoreError(
                f"cannot write {path} ({len(data):,} bytes): {error.strerror or error}; {self._elsewhere(error)}, then "
                "run the same command again: finished parts are kept"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
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
        """Remove what processes that were killed while writing left behind."""
        for search in (self.out.glob, *(self.path(name).rglob for name in FOLDERS)):
            for leftover in search(".*.tmp"):
                if left_behind(leftover) and leftover.is_file():
                    leftover.unlink(missing_ok=True)

    def write_table(self, name: str, columns: Mapping[str, Any], keys: Iterable[str] = (), cell: str = "") -> File:
        """Write a parquet table; the columns named in `keys` are dictionary-coded.

        Args:
            name: the file.
            columns: its columns.
            keys: columns of few different values.
            cell: the id of the cell that made it.

        Returns:
            What the manifest says of it.
        """
        coded = set(keys)
        arrays = {n: pa.array(c).dictionary_encode() if n in coded else pa.array(c) for n, c in columns.items()}
        table = pa.table(arrays).replace_schema_metadata({CELL: cell.encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return File(cell=cell, rows=table.num_rows, sha256=sha256(self.write(name, buffer.getvalue())))

    def intact(self, name: str, file: File) -> bool:
        """Return whether a file is there and holds what was written."""
        return self.has(name) and sha256(self.path(name)) == file.sha256

    def holds(self, name: str, value: str) -> bool:
        """Return whether there is a file, and no link, whose content has this hash."""
        path = self.path(name)
        return not path.is_symlink() and path.is_file() and digest(path.read_bytes()) == value

    def drawn(self) -> dict[str, str]:
        """Return the files that reports wrote, with the hashes of their contents."""
        return dict(self._drawn().files)

    def drawn_of(self) -> str:
        """Return the hash of what the last report drew; '' where that is not known."""
        return self._drawn().of

    def drawn_from(self) -> str:
        """Return the hash of all that the last report drew from; '' where that is not known."""
        return self._drawn().source

    def _drawn(self) -> Drawn:
        return Drawn.read(self.path(DRAWN)) if self.path(DRAWN).exists() else Drawn(files={})

    def draw(self, files: Mapping[str, bytes], *, whole: bool, of: str = "", source: str = "") -> list[Path]:
        """Write what a report made.

        Args:
            files: contents by name.
            whole: whether that is all there is, so that what an earlier report wrote beside it is removed.
            of: the hash of what was drawn, so that tables of other scores are told; '' where nobody asks.
            source: the hash of all that it was drawn from, so that nothing is drawn twice; '' where nobody asks.

        Raises:
            InputError: a file that no report wrote stands in the way.
        """
        before = self.drawn()
        hashes = {name: digest(data) for name, data in files.items()}
        for name, value in hashes.items():
            if name not in before and os.path.lexists(self.path(name)) and not self.holds(name, value):
                raise InputError(
                    f"{self.path(name)} is not of this run, and a report would write over it: move it away, and run "
                    "report again"
                )
        self.write(DRAWN, Drawn(files={**before, **hashes}).written())  # first, so that a killed report is known
        written = [self.write(name, data) for name, data in files.items()]
        if whole:
            for name in before.keys() - hashes.keys():
                if self.holds(name, before[name]):  # what somebody changed since is somebody's
                    self.remove(name)
            self.write(DRAWN, Drawn(files=hashes, of=of, source=source).written())
        return written

    def replace(self, contents: Mapping[str, bytes], earlier: Collection[str]) -> list[Path]:
        """Put a whole folder in the place of this one, so that it is seen as it was or as it will be.

        Args:
            contents: of the files, by name.
            earlier: the files here that go; all others stay.

        Raises:
            InputError: a file that stays has the name of one that comes, or the folder is a link.
            StoreError: it cannot be written; the folder is as it was.
        """
        out = self.out.absolute()
        if out.is_symlink():
            raise InputError(f"{self.out} is a link: name the folder itself")
        stay = [name for name in self._all() if name not in earlier]
        if both := sorted(set(stay) & contents.keys()):
            raise InputError(f"{self.path(both[0])} is not of an earlier publication: move it away, and publish again")
        draft = Store(temporary_of(out))
        old = draft.out.with_suffix(".old")
        try:
            for name, data in contents.items():
                draft.write(name, data)
            for name in stay:
                draft.path(name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.path(name), draft.path(name), follow_symlinks=False)
            with endings.deferred():
                if out.exists():
                    out.rename(old)
                draft.out.rename(out)
            _sync_folder(out.parent)
        except (OSError, StoreError) as error:
            if old.exists():
                self._put_back(old)
            cause = error if isinstance(error, OSError) else error.__cause__
            reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else error
            raise StoreError(
                f"cannot write {self.out}: {reason}; free space, or choose another folder with {self.option}"
            ) from error
        finally:
            shutil.rmtree(draft.out, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        return [self.path(name) for name in contents]

    def recover(self) -> None:
        """Undo or finish what a publication that was killed left beside this folder.

        Raises:
            HeldError: another process is at it.
        """
        out = self.out.absolute()
        for old in sorted(out.parent.glob(f".{glob.escape(out.name)}.*.old")):
            if not OLD.fullmatch(old.name) or not old.is_dir() or old.is_symlink():
                continue
            with held(old / LOCKS[0], str(self.out)):  # the lock of who moved it away went with it
                if self.has(DRAWN):  # the new one came whole
                    shutil.rmtree(old, ignore_errors=True)
                elif not self._all():
                    self._put_back(old)
        sweep_beside(out)

    def _put_back(self, old: Path) -> None:
        """Put a folder that was moved away in its place, where there are locks at most; they stay locks."""
        out, aside = self.out.absolute(), temporary_of(self.out.absolute())
        if out.exists():
            out.rename(aside)
        old.rename(out)
        if aside.exists():
            for lock in aside.iterdir():
                lock.replace(self.path(lock.name))
            shutil.rmtree(aside)

    def _all(self) -> list[str]:
        """Return all files and links here."""
        paths = (path for path in self.out.rglob("*") if path.is_symlink() or not path.is_dir())
        whole = (path for path in paths if not path.name.startswith(LOCKS) and not TEMPORARY.fullmatch(path.name))
        return [path.relative_to(self.out).as_posix() for path in whole]


def digest(data: bytes) -> str:
    """Return the hash of some bytes, as `analyses.reading.files.sha256` does of a file."""
    return hashlib.sha256(data).hexdigest()


def with_cell(archive: bytes, cell: str) -> bytes:
    """Return a file of arrays (npz) that names the cell that made it."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = CELL + cell.encode()
    return buffer.getvalue()


def made_by(file: Path) -> str:
    """Return the cell that made a table or a file of kept maps; '' for a file that no run made."""
    try:
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as archive:
                return archive.comment.removeprefix(CELL).decode() if archive.comment.startswith(CELL) else ""
        return str((pq.read_schema(file).metadata or {}).get(CELL, b"").decode())
    except (OSError, ValueError, zipfile.BadZipFile, pa.ArrowException):
        return ""


def of_profile(store: Store) -> Store:
    """See that a folder holds no run of a stage that writes a manifest of its own."""
    if store.has(MANIFEST) and (kind := store.manifest().kind):
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
