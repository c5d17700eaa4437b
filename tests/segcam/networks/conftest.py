"""Each test hears what is said once in a process."""

from __future__ import annotations

import pytest

from segcam import errors


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_said", set())
