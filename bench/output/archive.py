"""A whole run as one zip file: the same bytes each time, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bench.output.store import CAPTIONS, MANIFEST, TIMING
from segcam.errors import InputError

FOLDERS = ("scores", "tables", "figures")
TEXTS = (".csv", ".json", ".md", ".tex")
"""Suffixes of what gets smaller; the other files are compressed already."""


def is_archive(path: Path | None) -> bool:
    """Return whether a path is meant as an archive, by its suffix."""
    return path is not None and path.suffix == ".zip"


def pack(file: Path, contents: Mapping[str, Path | bytes]) -> Path:
    """Write an archive.

    Args:
        file: the archive; what was there is replaced once all of it is written.
        contents: the files by their names in the run's folder, as places or as bytes.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in sorted(contents.items()):
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(TEXTS) else zipfile.ZIP_STORED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
        temporary.replace(file)
    finally:
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
    temporary = file.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(file) as archive:
            if strange := [name for name in archive.namelist() if not _of_a_run(name)]:
                raise InputError(f"{file} is no archive of a run: it holds {strange[0]}")
            if MANIFEST not in archive.namelist():
                raise InputError(f"{file} is no archive of a run: it holds no {MANIFEST}")
            archive.extractall(temporary)
        json.loads((temporary / MANIFEST).read_text(encoding="utf-8"))
        temporary.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{file} cannot be unpacked ({error}): fetch or publish it again") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(temporary)
    return folder


def _of_a_run(name: str) -> bool:
    """Return whether a file of this name may lie in a run's folder, and in it alone."""
    segments = PurePosixPath(name).parts
    if "\\" in name or ":" in name or ".." in segments or name != "/".join(segments):
        return False
    return name in (MANIFEST, TIMING, CAPTIONS) or (len(segments) > 1 and segments[0] in FOLDERS)
