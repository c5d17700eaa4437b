"""What a data set of files says where it does not open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segcam.errors import DataError


def refused(opening: Callable[[], object], cache: Path, *words: str) -> str:
    """The error's text, which holds all of the words; nothing but locks is left in the cache."""
    with pytest.raises(DataError) as caught:
        opening()
    assert {file.suffix for file in cache.glob("*")} <= {".lock"}, "a failed run left something in the cache"
    text = str(caught.value)
    for word in words:
        assert word in text, text
    return text
