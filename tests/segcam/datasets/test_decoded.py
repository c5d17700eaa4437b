"""The decoded cache: what it holds, when it is made anew, and what a failure leaves behind."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from PIL import Image

from segcam.datasets.decoded import Decoded, Loaded, Source, SplitImages, cache_folder, decode, fingerprint
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
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: os.truncate(folder / "images.npy", (folder / "images.npy").stat().st_size - 1),
    "empty": lambda folder: (folder / "images.npy").write_bytes(b""),
    "missing": lambda folder: (folder / "masks.npy").unlink(),
    "shape": lambda folder: np.save(folder / "images.npy", np.load(folder / "images.npy")[:-1]),
    "dtype": lambda folder: np.save(folder / "images.npy", np.load(folder / "images.npy").astype(np.int8)),
    "index": lambda folder: (folder / "index.json").write_text("{"),
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
