"""What of a run is published: a folder that decides the claims again, and an archive that redraws everything."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from PIL import Image
from rich.console import Console

from analyses import Results
from analyses.paper.claims.decisive import decisive, methods
from analyses.reading.files import LOG
from analyses.report import told
from bench.output import publish, terminal
from bench.output.archive import unpack
from bench.output.drawing import with_palette
from bench.output.publish import FROM_TABLES, MOST_BYTES, MOST_OF_TABLE, REDRAWN
from bench.output.report import report
from bench.output.store import Store
from segcam.errors import InputError
from tests.bench.harness import LEVELS, bench, contents, rewritten, run


@pytest.fixture(scope="module")
def published(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `light/` and `run.zip`; look, do not touch."""
    folder = tmp_path_factory.mktemp("published")
    outcome = bench("publish", "--out", finished, "--to", folder / "light", "--archive", folder / "run.zip")
    assert outcome.code == 0, outcome.err
    assert "published" in outcome.err
    (folder / "light" / "README.md").write_text("mine\n")
    return folder


@pytest.fixture
def light(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published / "light", tmp_path / "light"))


@pytest.fixture
def hidden(copied: Path) -> Path:
    """A copy of the run whose figures may not show photographs."""
    rewritten(copied, lambda values: values["profile"]["figures"].update(photographs=False))
    return copied


def test_the_folder_is_what_people_read(published: Path, finished: Path) -> None:
    files = contents(published / "light")
    assert {"manifest.json", "captions.md", LOG, "README.md"} <= files.keys()
    assert {name.partition("/")[0] for name in files if "/" in name} == {"scores", "tables", "figures", "report"}
    assert {Path(name).suffix for name in contents(published / "light", "figures")} == {".png", ".webp"}
    small = {name: data for name, data in contents(finished, "tables").items() if len(data) <= MOST_OF_TABLE}
    assert contents(published / "light", "tables") == small
    assert len(small) > 30
    drawn = {Path(name).stem for name in contents(finished, "figures") if name.endswith((".png", ".webp"))}
    there = {Path(name).stem: Path(name).suffix for name in contents(published / "light", "figures")}
    assert drawn - there.keys() == {name for name in drawn if "_layers-" in name}, "the page shows these"
    maps = {name for name in there if name.startswith(("figure1", "when_wrong_maps", "groups", "film"))}
    assert {name for name, suffix in there.items() if suffix == ".webp"} == maps
    assert max(map(len, files.values())) <= MOST_BYTES


def test_tables_and_figures_of_some_analyses_alone(published: Path, finished: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    asked = ["publish", "--out", finished, "--to", few, "--analyses", "family", "--analyses", "levels"]
    refusal = bench(*asked).refusal
    assert refusal == "the page of a run shows all of its analyses: add --no-page to --analyses\n"
    unknown = bench("publish", "--out", finished, "--to", few, "--no-page", "--analyses", "levls").refusal
    assert f"--analyses levls: {finished} has " in unknown
    assert not few.exists()
    outcome = bench(*asked, "--no-page")
    assert outcome.code == 0, outcome.err
    names = {Path(name).stem for name in contents(few, "tables", "figures")}
    assert names == {"family", "levels"}
    assert contents(few, "scores") == contents(published / "light", "scores"), "the verdicts can be had all the same"
    known = Results(few).manifest.published
    assert known is not None
    assert (known.analyses, known.from_tables) == (REDRAWN, ("family",))
    report = told.read(few)
    assert report is not None
    assert [section.name for section in report.sections] == ["family", "levels"]
    before = contents(few)
    assert bench("run", "report", "--out", few).code == 0
    after = contents(few)
    assert {name for name in before if after[name] != before[name]} == {"captions.md", "drawn.json", "sections.json"}
    assert "tables/claims.csv" in after


def test_its_scores_are_those_that_decide(published: Path, finished: Path) -> None:
    """Of the layers that a level's claims are about, of the main method and what it is compared with."""
    every, few = Results(finished).scores(), Results(published / "light").scores()
    results, keys = Results(finished), ["level", "image", "layer", "method"]
    kept = decisive(results, "best_pixel:logit")
    every, few = (frame.astype(dict.fromkeys(["target", *keys], str)) for frame in (every, few))
    cells = {(str(level), layer) for (_, level), of in kept.items() for layer in of.layers}
    asked = every["method"].isin(methods(results)) & every["target"].eq("best_pixel:logit")
    asked &= np.array([cell in cells for cell in zip(every["level"], every["layer"], strict=True)])
    both = few.merge(every[asked], on=keys, validate="1:1")
    assert len(both) == len(few) == asked.sum() > 0
    for (_, level), of in kept.items():
        there = both[both["level"] == str(level)]
        assert len(there)
        for metric in of.metrics:
            np.testing.assert_array_equal(there[f"{metric}_x"], there[f"{metric}_y"])


def test_a_report_decides_the_claims_again_and_leaves_the_rest(light: Path, published: Path) -> None:
    (light / "figures" / "levels.png").unlink()
    (light / "tables" / "claims.csv").unlink()
    outcome = bench("run", "report", "--out", light)
    assert outcome.code == 0, outcome.err
    before, after = contents(published / "light"), contents(light)
    assert [name for name in before if after[name] != before[name]] == ["drawn.json"]
    more = after.keys() - before.keys()
    assert "figures/levels.svg" in more
    assert all(name.endswith(".svg") for name in more)
    assert "tables left as published: diagnosis" in " ".join(outcome.err.split())
    assert "--out FILE.zip" in outcome.err
    written = report(Store(light), Console(quiet=True))
    names = {path.stem.partition("-")[0] for path in written}
    known = {*REDRAWN, *FROM_TABLES, "faithfulness_areas", "captions", "sections"}
    assert {"claims", "family", "levels", "captions", "sections"} <= names <= known
    assert outcome.err.splitlines()[-1] == f"{len(written)} files in {light}", "and no page"


def test_a_run_with_a_gap_and_what_was_changed_are_not_published(copied: Path, tiny: Path, tmp_path: Path) -> None:
    places = ("--out", copied, "--to", tmp_path / "to", "--archive", tmp_path / "a.zip")
    table = copied / "tables" / "claims.csv"
    drawn = table.read_bytes()
    table.write_bytes(drawn.replace(b"not measured", b"supported"))
    assert f"{table} is not what the report drew: run report draws it anew" in bench("publish", *places).refusal
    table.write_bytes(drawn)
    next(copied.glob("scores/*.parquet")).unlink()
    assert run("train", tiny, copied).code == 0
    assert "is not finished (5 of 6 cells are scored): run all again" in bench("publish", *places).refusal
    (copied / "manifest.json").unlink()
    assert "holds no manifest.json: run score writes it anew" in bench("publish", *places).refusal
    assert run("score", tiny, copied).code == 0
    assert bench("publish", *places).code == 0
    assert run("score", tiny, copied, 'score.methods=["grad_cam", "uniform"]', more=["--yes"]).code == 0
    assert "was scored again since its tables were drawn: run report first" in bench("publish", *places).refusal


def test_files_that_are_too_large_are_told(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = max((path.stat().st_size, path.name) for path in (finished / "tables").glob("*.csv"))
    monkeypatch.setattr("bench.output.publish.MOST_OF_TABLE", largest[0] - 1)
    outcome = bench("publish", "--out", finished, "--to", tmp_path / "to")
    assert outcome.code == 0, outcome.err
    assert f"tables/{largest[1]} is too large for a folder" in outcome.err
    assert not (tmp_path / "to" / "tables" / largest[1]).exists()


def test_an_archive_holds_all_but_the_networks(published: Path, finished: Path, tmp_path: Path) -> None:
    """What a report draws of it, see `test_without_torch`."""
    file = Path(shutil.copy(published / "run.zip", tmp_path / "mine.zip"))
    files = contents(unpack(file))
    of_run = contents(finished, "films", "scores", "tables", "figures")
    assert {name: data for name, data in of_run.items() if not name.endswith(".svg")}.items() <= files.items()
    assert files.keys() - of_run.keys() == {"manifest.json", "captions.md", "drawn.json"}
    assert "is there already: give it to --out" in bench("run", "report", "--out", file).refusal
    assert bench("publish", "--out", finished, "--archive", tmp_path / "b.zip").code == 0
    assert (tmp_path / "b.zip").read_bytes() == file.read_bytes(), "the same bytes each time"


def test_archives_that_cannot_be_trusted_leave_nothing(published: Path, tmp_path: Path) -> None:
    data = (published / "run.zip").read_bytes()
    middle = data.index(b"PAR1") + 50
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    (tmp_path / "flipped.zip").write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    members = {"outside": "../evil.txt", "absolute": "/evil.txt", "elsewhere": "cells/a.json", "empty": "tables/a.csv"}
    members |= {"lines": "tables/a\nb", "long": f"tables/{'a' * 260}", "deep": f"tables/{'a/' * 2000}b"}
    for name, member in members.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as file:
            file.writestr(member, "text")
    words = {"cut": "cannot be unpacked", "flipped": "cannot be unpacked", "empty": "holds no manifest.json"}
    shutil.copy(published / "run.zip", tmp_path / "both.zip")
    with zipfile.ZipFile(tmp_path / "both.zip", "a") as file:
        file.writestr("tables/claims.csv/x", "text")
    words["both"] = "cannot be unpacked"
    for name in ("cut", "flipped", "both", *members):
        with pytest.raises(InputError, match=words.get(name, "no archive of a run: it holds ")):
            unpack(tmp_path / f"{name}.zip")
    assert all(path.suffix == ".zip" for path in tmp_path.iterdir())
    assert not (tmp_path.parent / "evil.txt").exists()


def test_the_page_is_published_without_maps_that_may_not_be_shown_where_it_is_not_too_large(
    published: Path, finished: Path, hidden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contents(published / "light", "report") == contents(finished, "report")
    assert bench("publish", "--out", hidden, "--to", tmp_path / "hidden").code == 0
    names = contents(tmp_path / "hidden").keys()
    assert {"report/index.html", f"report/data/scatter/unet-s0-l{min(LEVELS)}.js"} <= names
    assert not [name for name in names if "/maps/" in name or "gallery/" in name or "/images/" in name]
    there = {Path(name).stem for name in names if "figures/" in name}
    assert "curves" in there
    assert not [name for name in there if name.startswith(("figure1", "film", "groups-", "when_wrong_maps"))]
    monkeypatch.setattr(publish, "MOST_OF_PAGE", 1000)
    outcome = bench("publish", "--out", finished, "--to", tmp_path / "small")
    assert outcome.code == 0
    assert "report/ is too large for a folder" in outcome.err
    assert not (tmp_path / "small" / "report").exists()


def test_without_its_page_a_folder_holds_all_else_and_a_report_makes_one(
    published: Path, finished: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    assert bench("publish", "--out", finished, "--to", bare, "--no-page").code == 0
    assert not (bare / "report").exists()
    assert contents(published / "light", "scores") == contents(bare, "scores")
    assert contents(published / "light", "tables") == contents(bare, "tables")
    outcome = bench("run", "report", "--out", bare)
    assert outcome.code == 0, outcome.err
    assert (bare / "report" / "index.html").is_file()


def test_without_photographs_no_image_is_published(hidden: Path, tmp_path: Path) -> None:
    assert bench("publish", "--out", hidden, "--archive", tmp_path / "run.zip").code == 0
    main = [layer.name for layer in Results(hidden).layers("unet")]
    with zipfile.ZipFile(tmp_path / "run.zip") as file:
        for level in LEVELS:
            with np.load(io.BytesIO(file.read(f"scores/gallery/unet-s0-l{level}.npz"))) as kept:
                names = set(kept.files)
            others = {"ids", "masks", "predicted", "negative"}
            maps = names - others - {name for name in names if name.startswith("pixels:")}
            assert {name.rpartition("|")[2] for name in maps} <= set(main)
            assert all("|grad_cam|" in name for name in maps)
    outcome = bench("run", "report", "--out", tmp_path / "run.zip", "--set", "figures.photographs=true")
    assert "was published without photographs" in outcome.refusal


def test_publishing_again_removes_what_is_no_longer_made_and_nothing_else(
    light: Path, published: Path, finished: Path
) -> None:
    Store(light).draw({"tables/old.csv": b"published before"}, whole=False)
    mine = {"tables/mine.csv": b"mine", "scores/mine.parquet": b"mine", "figures/mine.png": b"mine"}
    for name, data in mine.items():
        (light / name).write_bytes(data)
    assert bench("publish", "--out", finished, "--to", light).code == 0
    assert contents(light) == contents(published / "light") | mine


def test_a_publication_of_another_run_is_replaced_where_one_says_so(light: Path, copied: Path) -> None:
    rewritten(copied, lambda values: values["definition"].update(digest="another"))
    before = contents(light)
    assert "holds a publication of another run" in bench("publish", "--out", copied, "--to", light).refusal
    assert contents(light) == before
    assert bench("publish", "--out", copied, "--to", light, "--yes").code == 0
    assert contents(light) != before


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_one_is_asked(
    answer: bool, light: Path, copied: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> None:
    """By the same question before a publication is replaced and before finished scores are dropped."""
    asked: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda text, **_: asked.append(text) or answer)
    monkeypatch.setattr(terminal, "on_terminal", lambda: True)
    digest = Results(copied).manifest.definition["digest"]
    rewritten(copied, lambda values: values["definition"].update(digest="another"))
    outcome = bench("publish", "--out", copied, "--to", light)
    assert outcome.code == (0 if answer else 2), outcome.err
    assert asked == [f"{light} holds a publication of another run: drop it?"]
    rewritten(copied, lambda values: values["definition"].update(digest=digest))
    outcome = run("train", tiny, copied, 'score.methods=["grad_cam", "uniform"]')
    assert outcome.code == (0 if answer else 2), outcome.err
    assert len(asked) == 2
    assert f"{copied} holds " in asked[1]
    assert "finished cells of other settings" in asked[1]


@pytest.mark.parametrize("place", [("--to", "to"), ("--archive", "a.zip")])
def test_beside_who_scores_nothing_is_published(copied: Path, tmp_path: Path, place: tuple[str, str]) -> None:
    """Whatever is there or missing then; the message says who is at it."""
    where = (place[0], tmp_path / place[1])
    with Store(copied).writing():
        next((copied / "scores").glob("*.parquet")).unlink()
        outcome = bench("publish", "--out", copied, *where)
        assert outcome.code == 1
        assert re.search(rf"{copied} is in use by process {os.getpid()} of .*, since \d{{4}}-.*--wait", outcome.error)
    assert not where[1].exists()


@pytest.mark.parametrize(("option", "name"), [("--to", "light"), ("--archive", "run.zip")])
def test_a_full_disk_leaves_the_earlier_publication(
    option: str, name: str, published: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(published, tmp_path / "disk")
    before = contents(tmp_path / "disk")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    writes = "zipfile.ZipFile.writestr" if option == "--archive" else "bench.output.store.os.fsync"
    with mock.patch(writes, side_effect=full):
        outcome = bench("publish", "--out", finished, option, tmp_path / "disk" / name)
    assert outcome.code == 1
    assert f"cannot write {tmp_path / 'disk' / name}: No space left on device; free space, or " in outcome.error
    assert outcome.error.strip().endswith(f"with {option}")
    assert contents(tmp_path / "disk") == before


def test_what_was_drawn_and_deleted_is_drawn_anew(redrawn: Path, tiny: Path, tmp_path: Path) -> None:
    for name in ("tables/levels.csv", "figures/levels.png"):
        (redrawn / name).unlink()
        for place in (("--to", tmp_path / "to"), ("--archive", tmp_path / "a.zip")):
            message = bench("publish", "--out", redrawn, *place).refusal
            assert f"{redrawn / name} is missing, which was drawn: run report draws it anew" in message
        assert run("report", tiny, redrawn).code == 0
    for file in (redrawn / "figures").glob("*.svg"):
        file.unlink()  # a publication has none
    assert bench("publish", "--out", redrawn, "--to", tmp_path / "to").code == 0


@pytest.mark.parametrize("damage", ["missing", "half", "another's", "out of bounds"])
def test_damaged_scores_are_neither_drawn_nor_published(copied: Path, tmp_path: Path, damage: str) -> None:
    file = next((copied / "scores").glob("*.parquet"))
    if damage == "missing":
        file.unlink()
    elif damage == "another's":
        shutil.copy(sorted((copied / "scores").glob("*.parquet"))[-1], file)
    else:
        table = pq.read_table(file)
        wrong = pa.array(np.full(table.num_rows, 9.0))
        changed = table.slice(0, table.num_rows // 2)
        if damage == "out of bounds":
            changed = table.set_column(table.schema.get_field_index("iou"), "iou", wrong)
        pq.write_table(changed, file)
    for arguments in (("run", "report"), ("publish", "--to", tmp_path / "to"), ("publish", "--archive", "a.zip")):
        assert str(file) in bench(*arguments, "--out", copied).refusal
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    "what", ["nothing asked", "of nothing", "of what is published", "over a run", "onto itself", "no zip"]
)
def test_refused(what: str, published: Path, finished: Path, copied: Path, tmp_path: Path) -> None:
    arguments = {
        "nothing asked": (["--out", finished], "needs --to FOLDER"),
        "of nothing": (["--out", tmp_path / "none", "--to", tmp_path / "to"], "holds no finished run"),
        "of what is published": (["--out", published / "light", "--to", tmp_path / "to"], "is published already"),
        "over a run": (["--out", finished, "--to", copied], "holds a run, which would be lost"),
        "onto itself": (["--out", finished, "--to", finished], "holds the run itself: choose another folder"),
        "no zip": (["--out", finished, "--archive", tmp_path / "to"], "name a .zip file"),
    }
    given, words = arguments[what]
    assert words in bench("publish", *given).refusal
    assert not (tmp_path / "to").exists()


def test_nothing_is_run_in_what_is_published(published: Path, tiny: Path) -> None:
    assert "holds a published run" in run("all", tiny, published / "light").refusal


def test_a_palette_keeps_flat_colours_and_size() -> None:
    picture = Image.new("RGB", (40, 30), (255, 255, 255))
    picture.paste((200, 10, 30), (5, 5, 20, 20))
    buffer = io.BytesIO()
    picture.save(buffer, "png", dpi=(120, 120))
    few = Image.open(io.BytesIO(with_palette(buffer.getvalue(), 8)))
    assert few.mode == "P"
    assert few.info["dpi"] == pytest.approx((120, 120), abs=0.1)
    np.testing.assert_array_equal(np.asarray(few.convert("RGB")), np.asarray(picture))
