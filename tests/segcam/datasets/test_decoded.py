"""The decoded cache: what it holds, when it is made anew, and what a failure leaves behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from PIL import Image

from segcam.datasets import decoded as module
from segcam.datasets.decoded import Decoded, Loaded, Part, Source, cache_folder, decode, fingerprint
from segcam.errors import DataError, InputError, SegcamError

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
    return sorted(p.name for p in cache.iterdir())


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
    assert again.folder == first.folder
    np.testing.assert_array_equal(again.images, first.images)
    assert len(entries(tmp_path)) == 1


def test_folder_is_named_after_dataset_size_and_hash(tmp_path: Path) -> None:
    made = decode(source(), SIZE, tmp_path)
    assert made.folder.parent == tmp_path
    assert made.folder.name == f"drawn-{SIZE}-{made.digest[:16]}"
    assert entries(made.folder) == ["images.npy", "index.json", "masks.npy"]


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


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "shape", "dtype", "index", "notes", "digest"])
def test_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    made = decode(source(), SIZE, tmp_path)
    folder, wanted = made.folder, made.images.copy()
    del made
    images, index = folder / "images.npy", folder / "index.json"
    words = json.loads(index.read_text())
    if damage == "truncated":
        os.truncate(images, images.stat().st_size - 1)
    elif damage == "empty":
        images.write_bytes(b"")
    elif damage == "missing":
        (folder / "masks.npy").unlink()
    elif damage == "shape":
        np.save(images, wanted[:-1])
    elif damage == "dtype":
        np.save(images, wanted.astype(np.int8))
    elif damage == "index":
        index.write_text("{")
    elif damage == "notes":
        index.write_text(json.dumps({**words, "notes": words["notes"][:-1]}))
    else:
        index.write_text(json.dumps({**words, "digest": "0" * 64}))
    with pytest.raises(AssertionError, match="decoded again"):
        decode(source(never), SIZE, tmp_path)
    np.testing.assert_array_equal(decode(source(), SIZE, tmp_path).images, wanted)
    np.testing.assert_array_equal(decode(source(never), SIZE, tmp_path).images, wanted)
    assert entries(tmp_path) == [folder.name]


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


@pytest.mark.parametrize("size", [0, -1])
def test_size_must_be_positive(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match=f"size {size}"):
        decode(source(), size, tmp_path)


def test_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SegcamError, match="No space left on device") as caught:
        decode(source(), SIZE, tmp_path)
    assert caught.value.exit_code == 1
    assert str(tmp_path) in str(caught.value)
    assert "SEGCAM_CACHE" in str(caught.value)
    assert entries(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_that_fills_up_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = module._write

    def write(*arguments: object) -> None:
        (arguments[3] / "images.npy").symlink_to("/dev/full")
        written(*arguments)

    monkeypatch.setattr(module, "_write", write)
    with pytest.raises(SegcamError, match="No space left on device"):
        decode(source(), SIZE, tmp_path)
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


KILLED = """
import sys, time
from pathlib import Path
from tests.segcam.datasets.test_decoded import SIZE, picture, source
from segcam.datasets.decoded import decode

def hang(index):
    print("at", index, flush=True)
    time.sleep(600)
decode(source(hang if sys.argv[2] == "hang" else picture), SIZE, Path(sys.argv[1]))
print("done", flush=True)
"""


def process(cache: Path, mode: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", KILLED, str(cache), mode]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders there")
def test_killed_run_is_never_seen_as_complete_and_is_swept(tmp_path: Path) -> None:
    with process(tmp_path, "hang") as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline().startswith("at")
            (left,) = tmp_path.iterdir()
            age(left, 120)
            module._sweep(tmp_path)
            assert left.exists(), "a living run's folder was removed"
        finally:
            running.kill()
    assert left.exists()
    made = decode(source(), SIZE, tmp_path)
    assert entries(tmp_path) == [made.folder.name]
    np.testing.assert_array_equal(made.masks, decode(source(never), SIZE, tmp_path).masks)


@pytest.mark.slow
def test_processes_that_decode_at_once_agree(tmp_path: Path) -> None:
    together = [process(tmp_path, "decode") for _ in range(2)]
    for running in together:
        assert running.communicate(timeout=120)[0] == "done\n"
    assert entries(tmp_path) == [decode(source(never), SIZE, tmp_path).folder.name]


def test_slower_of_two_runs_takes_what_the_faster_made(tmp_path: Path) -> None:
    def nested(done: int, total: int, what: str) -> None:
        if done == total:
            decode(source(), SIZE, tmp_path)

    made = decode(source(), SIZE, tmp_path, nested)
    assert entries(tmp_path) == [made.folder.name]
    assert made.notes[3] == {"number": 3}


def test_young_and_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    young, old, other = (tmp_path / n for n in (".drawn-8-1.tmp", ".drawn-8-2.tmp", "mine"))
    for folder in (young, old, other):
        folder.mkdir()
        (folder / "images.npy").write_bytes(b"half")
    age(old, 2 * 86_400)
    age(other, 2 * 86_400)
    decode(source(), SIZE, tmp_path)
    assert young.exists()
    assert other.exists()
    assert not old.exists()


def test_cache_folder_prefers_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAM_CACHE", str(tmp_path))
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SEGCAM_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("segcam"))
    assert cache_folder(Path("~/x")) == Path.home() / "x"


class TestPart:
    @pytest.fixture
    def part(self, tmp_path: Path) -> Part:
        return Part(decode(source(), SIZE, tmp_path), [4, 1, 6])

    def test_is_a_sequence_of_samples(self, part: Part) -> None:
        assert [s.id for s in part] == part.ids == ["p4", "p1", "p6"]
        assert part[-1].id == "p6"
        assert part.notes[0] == {"number": 4}
        np.testing.assert_array_equal(part[1].image, part.decoded.images[1])
        np.testing.assert_array_equal(part[1].mask, part.decoded.masks[1])

    @pytest.mark.parametrize("index", [3, -4])
    def test_ends(self, part: Part, index: int) -> None:
        with pytest.raises(IndexError):
            part[index]

    def test_samples_can_be_written_to_without_harm(self, part: Part) -> None:
        part[0].image[:] = 0
        part.arrays()[0][:] = 0
        assert part[0].image.any()

    def test_arrays(self, part: Part) -> None:
        images, masks = part.arrays([2, 0])
        np.testing.assert_array_equal(images, np.stack([part[2].image, part[0].image]))
        np.testing.assert_array_equal(masks, np.stack([part[2].mask, part[0].mask]))
        assert part.arrays()[0].shape == (3, SIZE, SIZE, 3)
        assert part.arrays([])[1].shape == (0, SIZE, SIZE)
        assert not isinstance(images, np.memmap)

    def test_travels_to_other_processes_without_its_pixels(self, part: Part) -> None:
        sent = pickle.dumps(part)
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent)[2].image, part[2].image)
        assert isinstance(part.decoded, Decoded)
