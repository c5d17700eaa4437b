"""A whole run as one zip file: the same bytes each time, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from analyses.reading.files import ResultsError
from analyses.reading.manifest import Manifest
from bench.output.drafts import sweep_beside, temporary_of
from bench.output.store import CAPTIONS, DRAWN, MANIFEST, TIMING, StoreError
from segcam.errors import InputError, first_line
from segcam.files import one_line, plain_file

FOLDERS = ("films", "scores", "tables", "figures")
TEXTS = (".csv", ".json", ".md", ".tex")
"""Suffixes of what gets smaller; the other files are compressed already."""

LONGEST = 250
"""Bytes of the longest name: no run's is near it, and every file system holds it."""


def is_archive(path: Path | None) -> bool:
    """Return whether a path is meant as an archive, by its suffix."""
    return path is not None and path.suffix == ".zip"


def pack(file: Path, contents: Mapping[str, Path | bytes]) -> Path:
    """Write an archive.

    Args:
        file: the archive; what was there is replaced once all of it is written.
        contents: the files by their names in the run's folder, as places or as bytes.

    Raises:
        StoreError: it cannot be written; what was there before is still there.
    """
    temporary = temporary_of(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(file)
        with temporary.open("xb") as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, content in sorted(contents.items()):
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(TEXTS) else zipfile.ZIP_STORED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
        temporary.replace(file)
    except OSError as error:
        raise StoreError(
            f"cannot write {file}: {error.strerror or error}; free space, or name another place with --archive"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return file


def unpack(file: Path) -> Path:
    """Unpack an archive into a folder of its name beside it, and return the folder.

    Raises:
        InputError: there is such a folder already, or the file is damaged or no archive of a run.
    """
    folder = file.with_suffix("")
    if folder.exists():
        raise InputError(f"{folder} is there already: give it to --out in place of {file}, or move it away")
    plain_file(file, "archive")
    sweep_beside(folder)
    temporary = temporary_of(folder)
    try:
        with zipfile.ZipFile(file) as archive:
            needed, free = sum(entry.file_size for entry in archive.infolist()), shutil.disk_usage(file.parent).free
            if needed > free:
                raise InputError(f"{file} needs {needed:,} bytes unpacked, and {free:,} are free: make room")
            if min((entry.header_offset for entry in archive.infolist()), default=0):
                raise ValueError("it is cut off: what is left ends with another archive inside it")
            if strange := [name for name in archive.namelist() if not _of_a_run(name)]:
                raise InputError(f"{file} is no archive of a run: it holds {strange[0]}")
            if MANIFEST not in archive.namelist():
                raise InputError(f"{file} is no archive of a run: it holds no {MANIFEST}")
            archive.extractall(temporary)
        Manifest.read(temporary / MANIFEST)
        temporary.rename(folder)
    except ResultsError as error:
        text = str(error).replace(f"{temporary}/", "").replace(Manifest.CURE, "fetch or publish the archive again")
        raise InputError(f"{file}: {text}") from error
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError),
        *(NotADirectoryError, IsADirectoryError, FileExistsError),  # a file in it has the name of a folder in it
    ) as error:
        raise InputError(f"{file} cannot be unpacked ({first_line(error)}): fetch or publish it again") from error
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}; make room, or move {file} away") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _of_a_run(name: str) -> bool:
    """Return whether a file of this name may lie in a run's folder, and in it alone."""
    segments = PurePosixPath(name).parts
    if len(name.encode()) > LONGEST or not one_line(name):
        return False
    if "\\" in name or ":" in name or ".." in segments or name != "/".join(segments):
        return False
    return name in (MANIFEST, TIMING, CAPTIONS, DRAWN) or (len(segments) > 1 and segments[0] in FOLDERS)
