"""What the tests of several measurements share."""

from __future__ import annotations

import pytest

from segcam.datasets import DATASETS, DatasetOptions
from segcam.methods import METHODS
from segcam.samples import Images
from tests.bench.harness import IMAGES


@pytest.fixture(scope="session")
def images() -> Images:
    """The test images of the finished run."""
    return DATASETS.get("scenes").open(DatasetOptions(size=32, counts=(60, 12, IMAGES))).splits["test"]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the registry of methods back as it was."""
    METHODS.names()
    monkeypatch.setattr(METHODS, "_items", dict(METHODS._items))
