"""Finished runs of `explain`, shared by the tests that look at their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.explaining.material import NETS, explain, light, photographs, weights


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nets.py`, `photos`, `masks` and weights; look, do not touch."""
    folder = photographs(tmp_path_factory.mktemp("explaining") / "place")
    (folder / "nets.py").write_text(NETS)
    weights(folder)
    return folder


@pytest.fixture(scope="session")
def unmasked(place: Path) -> Path:
    """A finished run without masks, of the class of the most pixels; look, do not touch."""
    out = place.parent / "unmasked"
    outcome = explain(place, out, *light())
    assert outcome.code == 0, outcome.err
    assert "explained: cat" not in outcome.err
    (out.parent / "unmasked.txt").write_text(outcome.err)
    return out


@pytest.fixture(scope="session")
def masked(place: Path) -> Path:
    """A finished run with masks, two epochs, a class and a set of two; look, do not touch."""
    out = place.parent / "masked"
    files = ["--weights", place / "e05.pt", "--weights", place / "e10.pt", "--level", "epoch {n}"]
    chosen = ["--masks", place / "masks", "--names", "background,cat,dog", "--classes", "cat,{cat, dog}"]
    outcome = explain(place, out, *files, *chosen, *light("sanity.images=0"))
    assert outcome.code == 0, outcome.err
    (out.parent / "masked.txt").write_text(outcome.err)
    return out
