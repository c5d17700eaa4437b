"""Files of the user's, read safely: what is no plain file, no text or no end is one error that says what to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import platformdirs

from segcam.errors import InputError, first_line

MOST_TEXT = 64 * 2**20
"""Bytes of the longest text that is read: a device has no end."""
LONGEST_NAME = 1000
"""Characters of a path that errors show: a text in a path's place may have no end."""
LONGEST_PATH, LONGEST_PART = 4095, 255
"""Bytes of a path, and of a name in it, in the file systems that are common."""
CURES = {
    FileNotFoundError: "does not exist: correct the path",
    PermissionError: "may not be read: give yourself the right to read it",
    IsADirectoryError: "is a folder: name a file",
    NotADirectoryError: "does not exist: a part of the path is no folder; correct the path",
}
"""What is wrong with a file, and what to do, by what the system says."""
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def user_path(text: str | Path, what: str) -> Path:
    """Return a path as the user means it, with `~` spelled out.

    Args:
        text: the path.
        what: how errors call it, such as '--out'.

    Raises:
        InputError: it is empty or longer than a path can be, holds characters that no path, no table or no line can
            hold, or names an unknown home.
    """
    if not isinstance(text, (str, os.PathLike)):
        raise InputError(f"{what} is {text!r}: name a path")
    text = str(text)
    if not text.strip() or "\0" in text:
        raise InputError(f"{what} {text!r}: name a path")
    if not text.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError(f"{what} {text!r}: the name is not UTF-8; rename it, or choose another")
    if not one_line(text):
        raise InputError(f"{what} {text[:LONGEST_NAME]!r}: a name is one line; rename it, or choose another")
    if len(text.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_PART for part in Path(text).parts):
        raise InputError(f"{what} {text[:40]}...: no name is as long; choose a shorter one")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{what} {text}: no such user's home is known; write the path out") from error


def cache_folder(folder: Path | None = None) -> Path:
    """Return the folder of all caches: the given one, else `SEGCAM_CACHE`, else the user's cache folder.

    Raises:
        InputError: that is no path; see `user_path`.
    """
    if folder is not None:
        return user_path(folder, "the cache's folder")
    if named := os.environ.get("SEGCAM_CACHE"):
        return user_path(named, "SEGCAM_CACHE")
    return user_path(platformdirs.user_cache_dir("segcam"), "the user's cache folder")


def one_line(name: str) -> bool:
    """Return whether a name can be shown: it has no line breaks, control characters or bytes that are not UTF-8."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name)


def plain_folder(path: Path, what: str, error: type[InputError] = InputError, cure: str = "name a folder") -> Path:
    """See that a path is a folder, and that its files may be listed.

    Args:
        path: the folder.
        what: how errors call it, such as 'data root'.
        error: the error that is raised.
        cure: what to do where it is absent or no folder.

    Raises:
        InputError: it is absent, no folder, or may not be listed.
    """
    try:
        with os.scandir(path):
            return path
    except FileNotFoundError as problem:
        raise error(f"{what} {path} does not exist: {cure}") from problem
    except NotADirectoryError as problem:
        raise error(f"{what} {path} is no folder: {cure}") from problem
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the name
        raise unreadable(path, what, problem, error, cure) from problem


def plain_file(path: Path, what: str, error: type[InputError] = InputError) -> Path:
    """See that a path is a file with an end, and that it may be read.

    Args:
        path: the file.
        what: how errors call it, such as 'profile'.
        error: the error that is raised.

    Raises:
        InputError: it is absent, a folder, a pipe or a device, or may not be read.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the name
        raise unreadable(path, what, problem, error) from problem
    if kind == stat.S_IFDIR:
        raise unreadable(path, what, IsADirectoryError(), error)
    if kind != stat.S_IFREG:
        raise error(f"{what} {path} is {KINDS.get(kind, 'no file')}: name a plain file")
    return path


def unreadable(
    path: Path, what: str, problem: Exception, error: type[InputError] = InputError, cure: str = "correct it"
) -> InputError:
    """Return the error for a file that cannot be read, with the cure for what the system says of it."""
    name = str(path) if len(str(path)) <= LONGEST_NAME else f"{str(path)[:LONGEST_NAME]}..."
    for kind, words in CURES.items():
        if isinstance(problem, kind):
            return error(f"{what} {name} {words}")
    reason = "it is nested too deeply" if isinstance(problem, RecursionError) else first_line(problem, 200)
    if isinstance(problem, OSError):
        reason = problem.strerror or reason
    return error(f"{what} {name} cannot be read ({reason}): {cure}")


def read_text(path: Path, what: str, error: type[InputError] = InputError) -> str:
    """Read a text in UTF-8.

    Raises:
        InputError: as `plain_file`; or it is no such text, or has more than 64 MiB.
    """
    plain_file(path, what, error)
    try:
        if path.stat().st_size > MOST_TEXT:
            raise error(f"{what} {path} has {path.stat().st_size:,} bytes: at most {MOST_TEXT:,} are read")
        return path.read_text(encoding="utf-8-sig")  # some editors put a mark before the text
    except (OSError, UnicodeDecodeError) as problem:
        raise unreadable(path, what, problem, error, "save it as UTF-8") from problem


def read_toml(path: Path, what: str, error: type[InputError] = InputError, cure: str = "correct it") -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: as `read_text`; or it is no TOML.
    """
    try:
        return tomllib.loads(read_text(path, what, error))
    except (ValueError, RecursionError) as problem:  # ValueError: numbers of thousands of digits, too
        raise unreadable(path, what, problem, error, cure) from problem


def sha256(path: Path, what: str) -> str:
    """Return the hash of a file's content, in hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    plain_file(path, what)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise unreadable(path, what, problem) from problem


def write_whole(path: Path, parts: Iterable[bytes], what: str) -> None:
    """Write a file so that it is seen whole or not at all: beside its place, and renamed when it is done.

    Args:
        path: the file; what was there is replaced.
        parts: its content; it may be made from the file that is replaced.
        what: how errors call it.

    Raises:
        InputError: it cannot be written; what was there before still is.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as problem:
        raise InputError(
            f"{what} {path} cannot be written ({problem.strerror or first_line(problem)}): free space, or choose a "
            "folder that you may write to"
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
