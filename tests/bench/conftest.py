"""One finished run, shared by the tests that look at its files or change a copy of them."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import analyses
from analyses.reading.files import SECTIONS
from bench import endings
from bench.output.store import CAPTIONS, DRAWN
from tests.bench.harness import TINY, bench, own_signals

FEW = ("levels", "claims", "skipped", "figure1", "timing")
"""Analyses of a report in tests that ask what becomes of it, not what is in it; the last is of timings alone."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of a run of seconds."""
    file = tmp_path_factory.mktemp("profile") / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; look, do not touch."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    outcome = bench("run", "all", "-p", tiny, "--out", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


@pytest.fixture(scope="session")
def brief(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run with a report of a few analyses; look, do not touch."""
    assert set(FEW) < set(analyses.names())
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("brief") / "out"))
    for name in ("tables", "figures", "report"):
        shutil.rmtree(folder / name)
    for name in (CAPTIONS, DRAWN, SECTIONS):
        (folder / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "names", lambda: list(FEW))
        outcome = bench("run", "report", "--out", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def redrawn(brief: Path, few_analyses: None, tmp_path: Path) -> Path:
    """A copy of the run with a report of a few analyses, which is drawn again with as few."""
    return Path(shutil.copytree(brief, tmp_path / "copied"))


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals stop what runs, as in a process of the command line."""
    with own_signals():
        for number in endings.SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # a shell's background processes ignore some
        endings.install()
        yield
        endings.close()
        endings.install()


@pytest.fixture
def few_analyses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are of a few analyses."""
    monkeypatch.setattr(analyses, "names", lambda: list(FEW))
