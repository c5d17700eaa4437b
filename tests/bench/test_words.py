"""Text on terminals of any width."""

from __future__ import annotations

import io

import pytest

from bench import endings, words


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, and has no number of the system's."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 40, 20])
def test_lines_end_between_words_and_paths_stay_whole(width: int) -> None:
    path = f"/{'folder/' * 12}file.parquet"
    text = f"error: {path} is not the checkpoint that was written: did you mean 'edge_alignment'?\n  - a well-kept one"
    lines = words.wrapped(text, width, "  ").split("\n")
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert path in [word for line in lines for word in line.split()]
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)
    assert "well-kept" in " ".join(lines)
    assert words.wrapped(text, None) == text


def test_a_stream_without_a_terminal_has_no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert words.columns(io.StringIO()) is words.columns(None) is None
    assert words.columns(Terminal()) == words.MANY
    monkeypatch.setenv("COLUMNS", "40")
    assert words.columns(Terminal()) == 40
    assert words.columns(io.StringIO()) is None


def test_errors_are_broken_on_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = "error: unknown metric 'edge': known are average_precision, background_ratio, edge_alignment"
    for stream, lines in ((io.StringIO(), 1), (Terminal(), 3)):
        monkeypatch.setattr("sys.stderr", stream)
        endings.say(text)
        assert stream.getvalue().count("\n") == lines
        assert " ".join(stream.getvalue().split()) == text
