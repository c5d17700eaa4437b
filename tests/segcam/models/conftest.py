"""A hub in the place of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def asked_of_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was asked of a hub that gives `model.safetensors` of the test's folder, whatever the repository."""
    repositories: list[str] = []

    def from_hub(repository: str, _model: str) -> Path:
        repositories.append(repository)
        return tmp_path / "model.safetensors"

    for module in ("segformer", "weights.pretrained"):
        monkeypatch.setattr(f"segcam.models.{module}.from_hub", from_hub)
    return repositories
