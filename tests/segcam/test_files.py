"""What is no file to read is one error that names it and says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcam.errors import InputError
from segcam.files import read_json, read_toml, user_path


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _nested(path: Path) -> None:
    path.write_text("x = " + "[" * 100_000)


def _digits(path: Path) -> None:
    path.write_text("x = " + "9" * 5000)


def _bytes(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "is a folder: name a file"),
        (lambda path: None, "does not exist: correct the path"),
        (lambda path: path.symlink_to(path), "cannot be read"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device: name a plain file"),
        (_fifo, "is a pipe: name a plain file"),
        (_nested, "nested too deeply"),
        (_digits, "cannot be read"),
        (_bytes, "save it as UTF-8"),
    ],
)
def test_what_is_no_text(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(file := tmp_path / "a")
    with pytest.raises(InputError, match=words) as error:
        read_toml(file, "profile")
    assert f"profile {file}" in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40) | st.binary(max_size=40).map(os.fsdecode))
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    try:
        path = user_path(text, "--out")
    except InputError as error:
        assert "--out" in str(error)  # noqa: PT017
        str(error).encode()
    else:
        os.fsencode(path).decode()


@given(st.text())
def test_any_text_is_json_or_an_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("json") / "a.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_json(file, "record")
    except InputError as error:
        assert str(file) in str(error)  # noqa: PT017
