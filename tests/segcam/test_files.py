"""What is no file to read is one error that names it and says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcam.errors import InputError, shown
from segcam.files import one_line, plain_folder, read_toml, unreadable, user_path


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


@pytest.mark.parametrize(
    ("text", "words"), [("a\nb", "one line"), ("x" * 256, "no name is as long"), ("x/" * 3000, "no name is as long")]
)
def test_names_that_no_line_or_no_path_holds(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^--out .*{words}") as error:
        user_path(text, "--out")
    assert len(str(error.value)) < 200
    assert user_path("x" * 255, "--out").name == "x" * 255


def test_folders(tmp_path: Path) -> None:
    assert plain_folder(tmp_path, "place") == tmp_path
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    wrong = {"nowhere": "does not exist: name", "file": "is no folder: name", "file/x": "is no folder", "pipe": "is no"}
    for name, words in (
        wrong | {"x" * 300: r"cannot be read \(File name too long\)", "a\0b": "cannot be read"}
    ).items():
        with pytest.raises(InputError, match=f"place .* {words}"):
            plain_folder(tmp_path / name, "place")


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("cat", True),
        ("\u732b \u200c x", True),
        ("a\nb", False),
        ("\x1b[2J", False),
        ("\u2028", False),
        ("\udcff", False),
    ],
)
def test_names_that_can_be_shown(name: str, fit: bool) -> None:
    assert one_line(name) == fit


def test_an_error_without_words_is_told_by_its_kind(tmp_path: Path) -> None:
    assert "cannot be read (EOFError): correct it" in str(unreadable(tmp_path, "file", EOFError()))


def test_what_is_shown_of_a_value() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown(int("f" * 5000, 16)) == shown([int("f" * 5000, 16)]) == "a value too long to show"
    assert len(shown(list(range(1000)))) == 103
    assert shown("\udcff").isascii()
