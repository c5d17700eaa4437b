"""What an error says to do, done: the run then ends with the results that it had before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyses.reading.files import LOG, ResultsError
from analyses.reading.manifest import Manifest
from analyses.reading.sealed import Document, sealed
from bench.output.store import DRAWN, Drawn, Store
from bench.planning.records import MeasureRecord
from bench.training.record import TrainRecord
from tests.bench.harness import assert_same_results, bench, contents, finish, run

RECORDS = {"training record": "train-*.json", "record": "scores-*.json", "kept maps": "kept_maps-*.json"}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "no text": lambda _: b"\xff\xfe\x00",
    "nested": lambda _: b"[" * 100_000,
    "digits": lambda _: b'{"schema": ' + b"9" * 5000 + b"}",
    "a list": lambda _: b"[1]",
    "changed by hand": lambda data: data.replace(b'"seconds": ', b'"seconds": 1', 1),
    "a key lost": lambda data: data.replace(b'"level"', b'"lever"').replace(b'"sha256"', b'"sha"'),
}

pytestmark = pytest.mark.usefixtures("few_analyses")


@pytest.fixture(scope="session")
def finished(brief: Path) -> Path:
    """The finished run with a report of a few analyses."""
    return brief


def first(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def refused(folder: Path, profile: Path, file: Path, *words: str, stage: str = "all") -> None:
    """The run is refused in words that name the file and the cure, and changes nothing."""
    before = contents(folder)
    message = run(stage, profile, folder).refusal
    assert str(file) in message
    for text in words:
        assert text in message
    assert len(message.splitlines()) == 1
    assert contents(folder) == before


@pytest.mark.parametrize("kind", ["record", "kept maps"])
def test_the_record_of_another_cell_is_removed(copied: Path, finished: Path, tiny: Path, kind: str) -> None:
    file, other = sorted(copied.glob(f"cells/{RECORDS[kind]}"))[:2]
    file.write_bytes(other.read_bytes())
    refused(copied, tiny, file, "it is of another cell", "remove it and run the same command again")
    file.unlink()
    finish("score", tiny, copied)
    assert_same_results(finished, copied)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", RECORDS)
def test_a_damaged_record_is_removed(copied: Path, finished: Path, tiny: Path, kind: str, damage: str) -> None:
    file = first(copied, f"cells/{RECORDS[kind]}")
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    refused(copied, tiny, file, "remove it and run the same command again")
    if damage == "half":  # the cure is the same for all
        file.unlink()
        finish("train", tiny, copied)
        finish("score", tiny, copied)
        assert_same_results(finished, copied)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_removed(copied: Path, finished: Path, tiny: Path, damage: str) -> None:
    file = copied / "manifest.json"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    for stage in ("all", "report"):
        refused(copied, tiny, file, "remove it and run the same command again", stage=stage)
    assert bench("status", "-p", tiny, "--out", copied).code == 2
    file.unlink()
    if damage == "half":
        finish("score", tiny, copied)
        assert_same_results(finished, copied)
        assert contents(copied).keys() == contents(finished).keys()


@pytest.mark.parametrize("kind", ["manifest.json", *(f"cells/{pattern}" for pattern in RECORDS.values())])
def test_a_newer_file_is_left_alone(copied: Path, tiny: Path, kind: str) -> None:
    file = first(copied, kind)
    file.write_bytes(file.read_bytes().replace(b'"schema": 1', b'"schema": 2', 1))
    refused(copied, tiny, file, "it has schema 2", "reads schema 1: update segcam")


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *(("scores", "half"), ("scores", "missing"), ("scores/predictions", "another's"), ("scores/gallery", "empty")),
        *(("scores", "a pipe"), ("scores/gallery", "a pipe"), ("scores/predictions", "a folder")),
    ],
)
def test_a_damaged_table_is_made_anew(copied: Path, finished: Path, tiny: Path, kind: str, damage: str) -> None:
    file, other = sorted(path for path in (copied / kind).iterdir() if path.is_file())[:2]
    if damage in ("missing", "a pipe", "a folder"):
        file.unlink()
        {"a pipe": os.mkfifo, "a folder": os.mkdir, "missing": lambda _: None}[damage](file)
    else:
        data = file.read_bytes()
        file.write_bytes({"half": data[: len(data) // 2], "empty": b"", "another's": other.read_bytes()}[damage])
    refused(copied, tiny, file, "run score makes it anew", stage="report")
    if damage == "a folder":
        refused(copied, tiny, file, "move it away: run score", stage="report")
        file.rename(copied.parent / "away")
    finish("score", tiny, copied)
    assert_same_results(finished, copied)


def test_a_damaged_log_is_written_anew(copied: Path, finished: Path, tiny: Path) -> None:
    (copied / LOG).write_bytes(b"PAR1")
    finish("score", tiny, copied)
    assert_same_results(finished, copied)


def test_a_damaged_list_of_drawn_files_is_removed_with_what_was_drawn(copied: Path, finished: Path, tiny: Path) -> None:
    (copied / DRAWN).write_bytes(b"{")
    refused(copied, tiny, copied / DRAWN, "remove it with the folders tables, figures and report", stage="report")
    (copied / DRAWN).unlink()
    for name in ("tables", "figures", "report"):
        shutil.rmtree(copied / name)
    (copied / "captions.md").unlink()
    finish("report", tiny, copied)
    assert_same_results(finished, copied)


def test_a_checkpoint_is_put_back_or_trained_again(copied: Path, finished: Path, tiny: Path) -> None:
    file = first(copied, "checkpoints/*-l30.*")
    file.write_bytes(file.read_bytes()[:-4] + b"\0\1\2\3")
    first(copied, "cells/scores-*").unlink()
    assert f"{file} is not the checkpoint" in (message := run("score", tiny, copied).refusal)
    assert "put the right file back, or remove this one" in message
    file.unlink()
    finish("train", tiny, copied)
    finish("score", tiny, copied)
    assert_same_results(finished, copied)


def test_a_file_in_the_way_of_scores_is_moved(copied: Path, finished: Path, tiny: Path) -> None:
    place = first(copied, "scores/*.parquet")
    next(copied.glob(f"cells/scores-{place.stem}-*")).unlink()
    place.write_bytes(b"mine")
    message = run("score", tiny, copied).refusal
    assert f"{place} is not of this run" in message
    assert "move it away" in message
    place.rename(copied / "mine")
    finish("score", tiny, copied)
    assert_same_results(finished, copied)
    assert (copied / "mine").read_bytes() == b"mine"


def test_a_file_in_the_way_of_a_report_is_moved(copied: Path, finished: Path, tiny: Path) -> None:
    place = copied / "tables" / "levels.csv"
    drawn = Store(copied).drawn()
    del drawn["tables/levels.csv"]
    (copied / DRAWN).write_bytes(Drawn(files=drawn).written())
    place.write_bytes(b"mine")
    refused(copied, tiny, place, "is not of this run", "move it away", stage="report")
    place.rename(copied / "mine")
    finish("report", tiny, copied)
    assert_same_results(finished, copied)
    assert (copied / "mine").read_bytes() == b"mine"


def test_a_link_is_removed(copied: Path, finished: Path, tiny: Path, tmp_path: Path) -> None:
    (copied / "figures").rename(tmp_path / "mine")
    (copied / "figures").symlink_to(tmp_path / "mine")
    before = contents(tmp_path / "mine")
    refused(copied, tiny, copied / "figures", "is a link", "remove the link", stage="report")
    assert contents(tmp_path / "mine") == before
    (copied / "figures").unlink()
    finish("report", tiny, copied)
    assert_same_results(finished, copied)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(copied: Path, finished: Path, tiny: Path) -> None:
    for file in (copied / "manifest.json", first(copied, "cells/train-*")):
        file.chmod(0)
        refused(copied, tiny, file, "give yourself the right to read it")
        file.chmod(0o644)
    finish("score", tiny, copied)
    assert_same_results(finished, copied)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return where there is something in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, inner in items for place in places(inner, (*path, key))]


@pytest.mark.parametrize("seal", [True, False], ids=["sealed", "not sealed"])
@pytest.mark.parametrize(
    ("kind", "pattern"),
    [(Manifest, "manifest.json"), (TrainRecord, "cells/train-*"), (MeasureRecord, "cells/scores-*"), (Drawn, DRAWN)],
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_read_or_is_one_error(
    finished: Path, tmp_path: Path, kind: type[Document], pattern: str, seal: bool, data: st.DataObject
) -> None:
    original = first(finished, pattern)
    values = kind.read_values(original)
    place = data.draw(st.sampled_from(places(values)), "place")
    inner = values
    for key in place[:-1]:
        inner = inner[key]  # type: ignore[index]
    if data.draw(st.booleans(), "removed"):
        del inner[place[-1]]  # type: ignore[index, arg-type]
    else:
        inner[place[-1]] = data.draw(JSON, "value")  # type: ignore[index]
    file = tmp_path / original.name
    file.write_bytes(sealed(values) if seal else json.dumps(values).encode())
    try:
        kind.read(file)
    except ResultsError as error:
        assert str(file) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
