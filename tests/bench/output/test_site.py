"""The command that writes a site: into a folder of its own, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.harness import bench, contents


def test_a_site_is_written_and_written_again(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    outcome = bench("site", finished, "--out", out)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1] == (out / "index.html").as_uri()
    first = contents(out)
    page = contents(finished, "report")
    assert {f"{finished.name}/report/{name.removeprefix('report/')}" for name in page} <= first.keys()
    (out / "old.txt").write_text("of an earlier site")
    assert bench("site", finished, "-o", out).code == 0
    assert contents(out) == first
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_is_there_is_not_lost(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    outcome = bench("site", finished, "--out", tmp_path)
    assert outcome.code != 0
    assert "mine.txt" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("place", [".", "site", ".."])
def test_a_site_lies_beside_the_studies(copied: Path, place: str) -> None:
    before = contents(copied)
    outcome = bench("site", copied, "--out", copied / place)
    assert outcome.code != 0
    assert "choose another folder with --out" in outcome.err
    assert contents(copied) == before


def test_no_study_is_one_clear_error(tmp_path: Path) -> None:
    outcome = bench("site", tmp_path, "--out", tmp_path / "site")
    assert outcome.code != 0
    assert "holds no study" in outcome.err
    assert not (tmp_path / "site").exists()
