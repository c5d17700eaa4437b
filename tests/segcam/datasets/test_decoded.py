"""The decoded cache: what it holds, when it is made anew, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest
from PIL import Image

from segcam.datasets import decoded
from segcam.datasets.decoded import Decoded, Loaded, Source, SplitImages, decode, fingerprint
from segcam.errors import DataError, InputError, SegcamError
from segcam.files import cache_folder
from segcam.locks import held

COUNT, SIZE = 7, 8


def picture(index: int) -> Loaded:
    rng = np.random.default_rng(index)
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return Loaded(image, rng.integers(0, 3, (20, 30), dtype=np.uint8), {"number": index})


def source(load: Callable[[int], Loaded] = picture, count: int = COUNT, **key: object) -> Source:
    return Source("drawn", [f"p{i}" for i in range(count)], load, dict(key), "files that cannot be used")


def never(index: int) -> Loaded:
    raise AssertionError(f"{index} was decoded again")


def entries(cache: Path) -> list[str]:
    """What lies in the cache but for the locks."""
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def test_holds_every_photograph_in_order(tmp_path: Path) -> None:
    made = decode(source(), SIZE, tmp_path)
    assert made.images.shape == (COUNT, SIZE, SIZE, 3)
    assert made.ids == [f"p{i}" for i in range(COUNT)]
    assert made.notes == [{"number": i} for i in range(COUNT)]
    rows = np.floor((np.arange(SIZE) + 0.5) * 20 / SIZE).astype(int)
    columns = np.floor((np.arange(SIZE) + 0.5) * 30 / SIZE).astype(int)
    for i in range(COUNT):
        # nearest neighbour, written out: the source pixel under each pixel's centre
        np.testing.assert_array_equal(made.masks[i], picture(i).mask[np.ix_(rows, columns)])
        np.testing.assert_array_equal(made.images[i], picture(i).image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def test_photographs_are_smoothed_before_they_are_thinned(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    image = Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8))
    made = decode(source(lambda _: Loaded(image, np.zeros((64, 64), np.uint8), {}), count=1), SIZE, tmp_path)
    assert abs(made.images.astype(int) - 127).max() <= 2  # without antialias some pixels are 0 or 255


def test_second_run_starts_from_the_cache(tmp_path: Path) -> None:
    first = decode(source(), SIZE, tmp_path)
    again = decode(source(never), SIZE, tmp_path)
    assert again.folder == first.folder == tmp_path / f"drawn-{SIZE}-{first.digest[:16]}"
    np.testing.assert_array_equal(again.images, first.images)
    assert len(entries(tmp_path)) == 1


def test_whatever_defines_the_result_names_another_cache(tmp_path: Path) -> None:
    made = [
        decode(source(), SIZE, tmp_path),
        decode(source(), SIZE + 1, tmp_path),
        decode(source(files=[("a", 1, 2)]), SIZE, tmp_path),
        decode(source(count=3), SIZE, tmp_path),
    ]
    assert len({m.folder for m in made}) == len(made)


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    assert fingerprint([file], tmp_path) == [("a.jpg", None, None)]
    file.write_bytes(b"12")
    before = fingerprint([file], tmp_path)
    file.write_bytes(b"123")
    longer = fingerprint([file], tmp_path)
    os.utime(file, ns=(1, 1))
    assert len({str(f) for f in (before, longer, fingerprint([file], tmp_path))}) == 3


def rewritten(index: Path, **changes: object) -> None:
    """Change what an index holds, and not its hash."""
    read = json.loads(index.read_text())
    index.write_text(json.dumps(read | {"content": read["content"] | changes}))


def flip(file: Path, at: int) -> None:
    """Change one byte, counted from the end where negative."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def replaced(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


def schema(folder: Path, number: object) -> None:
    index = folder / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"schema": number}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: os.truncate(folder / "images.npy", (folder / "images.npy").stat().st_size - 1),
    "empty": lambda folder: (folder / "images.npy").write_bytes(b""),
    "missing": lambda folder: (folder / "masks.npy").unlink(),
    "shape": lambda folder: np.save(folder / "images.npy", np.load(folder / "images.npy")[:-1]),
    "dtype": lambda folder: np.save(folder / "images.npy", np.load(folder / "images.npy").astype(np.int8)),
    "header": lambda folder: flip(folder / "images.npy", 100),
    "image": lambda folder: flip(folder / "images.npy", -1),
    "mask": lambda folder: flip(folder / "masks.npy", -1),
    "longer": lambda folder: os.truncate(folder / "masks.npy", (folder / "masks.npy").stat().st_size + 1),
    "pipe": lambda folder: replaced(folder / "masks.npy", os.mkfifo),
    "device": lambda folder: replaced(folder / "index.json", lambda file: file.symlink_to("/dev/zero")),
    "index": lambda folder: (folder / "index.json").write_text("{"),
    "no table": lambda folder: (folder / "index.json").write_text("[]"),
    "no text": lambda folder: (folder / "index.json").write_bytes(b"\xff"),
    "digits": lambda folder: (folder / "index.json").write_text("9" * 5000),
    "nested": lambda folder: (folder / "index.json").write_text("[" * 100_000),
    "before schemas": lambda folder: (folder / "index.json").write_text('{"digest": "0", "ids": [], "notes": []}'),
    "schema": lambda folder: schema(folder, "1"),
    "ids": lambda folder: rewritten(folder / "index.json", ids=[1] * COUNT),
    "hashes": lambda folder: rewritten(folder / "index.json", hashes=None),
    "content": lambda folder: (folder / "index.json").write_text('{"schema": 1, "sha256": "", "content": null}'),
    "notes": lambda folder: rewritten(folder / "index.json", notes=[{}] * (COUNT - 1)),
    "digest": lambda folder: rewritten(folder / "index.json", digest="0" * 64),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    made = decode(source(), SIZE, tmp_path)
    folder, images = made.folder, made.images.copy()
    del made
    DAMAGES[damage](folder)
    with pytest.raises(AssertionError, match="decoded again"):
        decode(source(never), SIZE, tmp_path)
    np.testing.assert_array_equal(decode(source(), SIZE, tmp_path).images, images)
    np.testing.assert_array_equal(decode(source(never), SIZE, tmp_path).images, images)
    assert entries(tmp_path) == [folder.name]


def test_photographs_are_compared_with_their_hashes_once_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = decode(source(), SIZE, tmp_path)
    expected = [hashlib.sha256(made.images[i].tobytes() + made.masks[i].tobytes()).hexdigest() for i in range(COUNT)]
    assert SplitImages(made, [4, 1]).hashes == [expected[4], expected[1]]
    calls: list[int] = []
    plain = decoded._hash
    monkeypatch.setattr(decoded, "_hash", lambda image, mask: calls.append(1) or plain(image, mask))
    for used, count in (([2, 3], 2), ([3, 4], 3), ([2, 3, 4], 3), (None, COUNT), (None, COUNT)):
        decode(source(never), SIZE, tmp_path, used=used)
        assert len(calls) == count
    os.utime(made.folder / "masks.npy", ns=(1, 1))  # touched: no longer what was compared
    decode(source(never), SIZE, tmp_path)
    assert len(calls) == 2 * COUNT


def test_what_a_newer_segcam_wrote_is_left_alone(tmp_path: Path) -> None:
    made = decode(source(), SIZE, tmp_path)
    schema(made.folder, decoded.SCHEMA + 1)
    before = {file: file.read_bytes() for file in made.folder.iterdir()}
    with pytest.raises(SegcamError, match=r"newer segcam \(schema 2, this one knows 1\).*SEGCAM_CACHE"):
        decode(source(), SIZE, tmp_path)
    assert {file: file.read_bytes() for file in made.folder.iterdir()} == before
    assert len(decode(source(), SIZE, tmp_path / "another").ids) == COUNT  # the cure


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_the_caches_is_not_removed(tmp_path: Path, kind: str) -> None:
    folder = decode(source(), SIZE, tmp_path).folder
    (folder / "index.json").write_text("{")
    mine = folder / "mine.txt"
    if kind == "folder":
        mine.write_text("x")
    else:
        shutil.rmtree(folder)
        mine = folder
        folder.write_text("x")
    with pytest.raises(SegcamError, match=r"is no intact cache and cannot be replaced .*: move it away"):
        decode(source(), SIZE, tmp_path)
    assert mine.read_text() == "x"
    folder.rename(tmp_path / "away")  # the cure
    assert len(decode(source(), SIZE, tmp_path).ids) == COUNT


def test_a_link_in_the_caches_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folder = decode(source(), SIZE, tmp_path).folder
    elsewhere = folder.rename(tmp_path / "elsewhere")
    (elsewhere / "index.json").write_text("{")
    folder.symlink_to(elsewhere)
    decode(source(), SIZE, tmp_path)
    assert not folder.is_symlink()
    assert (elsewhere / "images.npy").is_file()


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    mine = decode(source(count=2), SIZE, tmp_path).folder.name
    left = [f".{mine}.0a1b.tmp", f".{mine}.tmp", ".other-64-0123456789abcdef.0a1b.tmp"]
    for name in left:
        (tmp_path / name).mkdir()
        (tmp_path / name / "images.npy").write_bytes(b"x")
    foreign = tmp_path / ".other-64-0123456789abcdef.ffff.tmp"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("x")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "images.npy").write_bytes(b"x")
    (tmp_path / ".linked-64-0123456789abcdef.0a1b.tmp").symlink_to(tmp_path / "target")
    living = tmp_path / ".living-64-0123456789abcdef.0a1b.tmp"
    living.mkdir()
    (living / "images.npy").write_bytes(b"x")
    (tmp_path / "report.tmp").mkdir()
    with held(tmp_path / ".living-64-0123456789abcdef.lock", "it"):
        decode(source(), SIZE, tmp_path)
    assert not [name for name in left if (tmp_path / name).exists()]
    assert (foreign / "notes.txt").exists()
    assert (living / "images.npy").exists()
    assert (tmp_path / "target" / "images.npy").exists()
    assert (tmp_path / "report.tmp").exists()


def test_a_disk_that_is_too_small_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 4 * SIZE * SIZE * COUNT
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(SegcamError, match=rf"take {needed:,} bytes, and .* has {needed - 1:,} free: .*SEGCAM_CACHE"):
        decode(source(never), SIZE, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed))
    assert len(decode(source(), SIZE, tmp_path).ids) == COUNT


def test_tells_who_is_waited_for(tmp_path: Path) -> None:
    name = decode(source(), SIZE, tmp_path).folder.name
    shutil.rmtree(tmp_path / name)
    has_it, may_end = threading.Event(), threading.Event()
    seen: list[tuple[int, int, str]] = []

    def hold() -> None:
        with held(tmp_path / f".{name}.lock", "it"):
            has_it.set()
            may_end.wait(60)

    def progress(*step: object) -> None:
        seen.append(step)  # type: ignore[arg-type]
        may_end.set()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert has_it.wait(60)
        decode(source(), SIZE, tmp_path, progress)
    done, total, message = seen[0]
    assert (done, total) == (0, COUNT)
    assert f"{name} is in use by process {os.getpid()} of " in message
    assert seen[-1] == (COUNT, COUNT, "decoding photographs")


def test_reports_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    decode(source(), SIZE, tmp_path, lambda *step: seen.append(step))
    assert seen == [(i + 1, COUNT, "decoding photographs") for i in range(COUNT)]


def test_lists_at_most_twenty_problems_and_their_number(tmp_path: Path) -> None:
    def load(index: int) -> Loaded:
        if index % 2:
            raise DataError(f"photograph {index} is bad")
        return picture(index)

    with pytest.raises(DataError) as caught:
        decode(source(load, count=50), SIZE, tmp_path)
    text = str(caught.value)
    assert text.startswith("files that cannot be used (25 in all):")
    assert text.count("is bad") == 20
    assert "photograph 1 is bad" in text
    assert "and 5 more" in text
    assert entries(tmp_path) == []


def test_size_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="size 0"):
        decode(source(), 0, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def on_a_full_disk(folder: Path, *arguments: object, **options: object) -> None:
        mkdir(folder, *arguments, **options)  # type: ignore[arg-type]
        if folder.suffix == ".tmp":
            (folder / "images.npy").symlink_to("/dev/full")

    monkeypatch.setattr(Path, "mkdir", on_a_full_disk)
    with pytest.raises(SegcamError, match=r"No space left on device.*SEGCAM_CACHE") as caught:
        decode(source(), SIZE, tmp_path)
    assert caught.value.exit_code == 1
    assert str(tmp_path) in str(caught.value)
    assert entries(tmp_path) == []


def test_unwritable_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SegcamError, match=r"cannot be written.*SEGCAM_CACHE") as caught:
        decode(source(), SIZE, tmp_path / "file" / "cache")
    assert not isinstance(caught.value, InputError)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_read_only_folder_is_one_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SegcamError, match="Permission denied"):
            decode(source(), SIZE, tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(source(), SIZE, tmp_path, stop)
    assert entries(tmp_path) == []


PROCESS = """
import sys, time
from pathlib import Path
from tests.segcam.datasets.test_decoded import SIZE, picture, source
from segcam.datasets import decoded
from segcam.datasets.decoded import decode

def hang(index):
    print("at", index, flush=True)
    time.sleep(600)
print("ready", flush=True)
decode(source(hang if sys.argv[2] == "hang" else picture), SIZE, Path(sys.argv[1]))
print("done", flush=True)
"""


def process(cache: Path, mode: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PROCESS, str(cache), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


@pytest.mark.slow
def test_others_wait_for_a_run_and_take_over_when_it_is_killed(tmp_path: Path) -> None:
    with process(tmp_path, "hang") as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            assert running.stdout.readline().startswith("at")  # it has the lock
            waiting = process(tmp_path, "decode")
            assert waiting.stdout is not None
            assert waiting.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(1)
            assert entries(tmp_path)[0].endswith(".tmp")
        finally:
            running.kill()
    assert waiting.communicate(timeout=120)[0] == "done\n"
    assert entries(tmp_path) == [decode(source(never), SIZE, tmp_path).folder.name]


@pytest.mark.slow
def test_processes_that_decode_at_once_agree(tmp_path: Path) -> None:
    for running in [process(tmp_path, "decode") for _ in range(2)]:
        assert running.communicate(timeout=120)[0] == "ready\ndone\n"
    assert entries(tmp_path) == [decode(source(never), SIZE, tmp_path).folder.name]


def test_cache_folder_prefers_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAM_CACHE", str(tmp_path))
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SEGCAM_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("segcam"))
    assert cache_folder(Path("~/x")) == Path.home() / "x"
    for wrong in ("~nobody-of-this-name/x", " ", "a\udcff"):
        monkeypatch.setenv("SEGCAM_CACHE", wrong)
        with pytest.raises(InputError, match="SEGCAM_CACHE"):
            cache_folder()


class TestSplitImages:
    @pytest.fixture
    def split(self, tmp_path: Path) -> SplitImages:
        return SplitImages(decode(source(), SIZE, tmp_path), [4, 1, 6])

    def test_is_a_sequence_of_samples(self, split: SplitImages) -> None:
        assert [s.id for s in split] == split.ids == ["p4", "p1", "p6"]
        assert split[-1].id == "p6"
        assert split.notes[0] == {"number": 4}
        np.testing.assert_array_equal(split[1].image, split.decoded.images[1])
        np.testing.assert_array_equal(split[1].mask, split.decoded.masks[1])
        with pytest.raises(IndexError):
            split[3]

    def test_samples_can_be_written_to_without_harm(self, split: SplitImages) -> None:
        split[0].image[:] = 0
        split.arrays()[0][:] = 0
        assert split[0].image.any()

    def test_arrays(self, split: SplitImages) -> None:
        images, masks = split.arrays([2, 0])
        np.testing.assert_array_equal(images, np.stack([split[2].image, split[0].image]))
        np.testing.assert_array_equal(masks, np.stack([split[2].mask, split[0].mask]))
        assert split.arrays()[0].shape == (3, SIZE, SIZE, 3)
        assert split.arrays([])[1].shape == (0, SIZE, SIZE)
        assert not isinstance(images, np.memmap)

    def test_travels_to_other_processes_without_its_pixels(self, split: SplitImages) -> None:
        sent = pickle.dumps(split)
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent)[2].image, split[2].image)
        assert isinstance(split.decoded, Decoded)
