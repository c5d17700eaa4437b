"""The decoded cache: photographs and masks, read once, squashed to one size and kept as memory-mapped uint8 arrays.

Decoding JPEGs costs far more than a training step on a small network, so it is done once for each dataset and size. The
cache's name holds a hash of all that defines its content; a changed file gives another name, never a stale answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
from filelock import FileLock
from PIL import Image

from segcam.errors import DataError, InputError, SegcamError, first_of
from segcam.samples import Sample, Split

UInt8 = npt.NDArray[np.uint8]
Progress = Callable[[int, int, str], None]

FORMAT = 1  # version of the cache's layout and of the resize rule; raise it when either changes
RESIZE = "squash to a square: photographs bilinear with antialias (PIL), masks nearest"
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
"""What PIL raises, by format and kind of damage, on a file it cannot read."""

_CHUNK = 256  # photographs in flight: bounds the memory that finished but unwritten ones hold


@dataclass(frozen=True, slots=True)
class Loaded:
    """One photograph (mode RGB) at its own size, the class index of each pixel, and what to remember of the files."""

    image: Image.Image
    mask: UInt8
    note: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be decoded: the photographs called `ids` of the dataset called `dataset`.

    Attributes:
        load: reads one of them by its index; raises `DataError`, a line for each fault, where it cannot be used.
        key: all that defines the result beside ids, size and resize rule; JSON-ready (see `fingerprint`).
        heading: first line of the error that lists the files that cannot be used.
    """

    dataset: str
    ids: Sequence[str]
    load: Callable[[int], Loaded]
    key: dict[str, Any]
    heading: str

    def only(self, rows: Sequence[int]) -> Source:
        """Return the source of some of the photographs alone."""
        key = {**self.key, "rows": list(rows)}
        return Source(self.dataset, [self.ids[r] for r in rows], lambda i: self.load(rows[i]), key, self.heading)


class Decoded:
    """A finished cache, opened read-only.

    Attributes:
        images: RGB, `(n, size, size, 3)` uint8, memory-mapped.
        masks: class indices, `(n, size, size)` uint8, memory-mapped.
        ids: names of the photographs; `notes`: what `load` noted of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.digest: str = index["digest"]
        self.ids: list[str] = index["ids"]
        self.notes: list[dict[str, Any]] = index["notes"]
        self.images: UInt8 = np.load(folder / "images.npy", mmap_mode="r")
        self.masks: UInt8 = np.load(folder / "masks.npy", mmap_mode="r")

    def __reduce__(self) -> tuple[type[Decoded], tuple[Path]]:
        # a memory map would be pickled as the whole array; a worker process opens its own
        return Decoded, (self.folder,)


class SplitImages:
    """One split: some rows of a cache, as samples."""

    def __init__(self, decoded: Decoded, rows: Iterable[int]) -> None:
        self.decoded = decoded
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Sample:
        row = self.rows[index]
        # copies: a read-only view makes torch warn, and outlives nothing
        return Sample(self.decoded.ids[row], np.array(self.decoded.images[row]), np.array(self.decoded.masks[row]))

    @property
    def ids(self) -> list[str]:
        """Names of the samples, in order."""
        return [self.decoded.ids[r] for r in self.rows]

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What was noted of the samples' files, in order."""
        return [self.decoded.notes[r] for r in self.rows]

    def arrays(self, indices: Sequence[int] | npt.NDArray[np.integer] | None = None) -> tuple[UInt8, UInt8]:
        """Return images `(n, size, size, 3)` and masks `(n, size, size)` of many samples; None takes all."""
        samples = slice(None) if indices is None else np.asarray(indices, dtype=np.int64)
        rows = np.asarray(self.rows, dtype=np.int64)[samples]
        return np.asarray(self.decoded.images[rows]), np.asarray(self.decoded.masks[rows])


def open_splits(
    source: Source, rows: Mapping[Split, Sequence[int]], size: int, cache: Path | None, progress: Progress | None
) -> dict[Split, SplitImages]:
    """Decode a source and return its splits, of which `rows` has the indices of the photographs; see `decode`.

    All of the source is decoded, except where the test split is asked for alone.
    """
    if list(rows) == ["test"]:
        decoded = decode(source.only(rows["test"]), size, cache, progress)
        return {"test": SplitImages(decoded, range(len(decoded.ids)))}
    decoded = decode(source, size, cache, progress)
    return {split: SplitImages(decoded, of_split) for split, of_split in rows.items()}


def file_facts(
    splits: Mapping[Split, SplitImages], labels: Sequence[str], kinds_of: Callable[[dict[str, Any]], Iterable[str]]
) -> tuple[dict[Split, Any], dict[Split, Any], dict[Split, Any]]:
    """Return what a reader of the results must know of the files of each split.

    Args:
        splits: the images; their notes have the number of pixels of each label as 'pixels'.
        labels: the classes, the background first, and at the end what stands for ignored pixels.
        kinds_of: a photograph's note in, in what its file is odd out.

    Returns:
        The odd files by kind, the images without foreground, and the mean share of the pixels of each label.
    """
    odd: dict[Split, Any] = {}
    bare: dict[Split, Any] = {}
    shares: dict[Split, Any] = {}
    for split, images in splits.items():
        kinds: dict[str, list[str]] = {}
        for name, note in zip(images.ids, images.notes, strict=True):
            for kind in kinds_of(note):
                kinds.setdefault(kind, []).append(name)
        odd[split] = {kind: {"count": len(names), "names": names} for kind, names in sorted(kinds.items())}
        pixels = np.array([note["pixels"] for note in images.notes], dtype=float)
        empty = [name for name, count in zip(images.ids, pixels[:, 1:-1].sum(1), strict=True) if count == 0]
        bare[split] = {"count": len(empty), "names": empty}
        share = (pixels / pixels.sum(1, keepdims=True)).mean(0).round(4)
        shares[split] = dict(zip(labels, share.tolist(), strict=True))
    return odd, bare, shares


def cache_folder(folder: Path | None = None) -> Path:
    """Return the folder of all caches: the given one, else `SEGCAM_CACHE`, else the user's cache folder."""
    return Path(folder or os.environ.get("SEGCAM_CACHE") or platformdirs.user_cache_dir("segcam")).expanduser()


def fingerprint(files: Iterable[Path], base: Path) -> list[tuple[str, int | None, int | None]]:
    """Return name, size and time of change of each file: a key that is cheap to take and changes with the files."""
    stats: list[tuple[str, int | None, int | None]] = []
    for file in files:
        name = file.relative_to(base).as_posix()
        try:
            stat = file.stat()
        except OSError:
            stats.append((name, None, None))  # `load` reports it
        else:
            stats.append((name, stat.st_size, stat.st_mtime_ns))
    return stats


def decode(source: Source, size: int, cache: Path | None = None, progress: Progress | None = None) -> Decoded:
    """Return the source's cache at `size` pixels below `cache`; decode first where there is none, or a damaged one.

    Of several processes one decodes and the others wait. A cache gets its name when it is complete, so that none is
    ever seen half-written; what a killed process left is removed by the next that decodes the same.

    `progress` is called with (done, total, "decoding photographs").

    Raises:
        InputError: the size is not positive.
        DataError: files cannot be used; lists them.
        SegcamError: the cache cannot be written.
    """
    if size < 1:
        raise InputError(f"size {size}: must be at least 1 pixel")
    defining = {"format": FORMAT, "resize": RESIZE, "dataset": source.dataset, "size": size, "ids": list(source.ids)}
    text = json.dumps({**defining, "source": source.key}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = cache_folder(cache) / f"{source.dataset}-{size}-{digest[:16]}"
    unfinished = folder.with_name(f".{folder.name}.tmp")
    if (decoded := _intact(folder, digest, size)) is not None:
        return decoded
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if (decoded := _intact(folder, digest, size)) is not None:
                return decoded  # made by another process meanwhile
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                _write(source, size, digest, unfinished, progress)
                shutil.rmtree(folder, ignore_errors=True)  # damaged, if it is there
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            return Decoded(folder)
    except OSError as error:
        raise SegcamError(
            f"the cache of decoded photographs cannot be written to {folder.parent}: {error.strerror or error}; "
            "make room or name a writable folder with the environment variable SEGCAM_CACHE"
        ) from error


def _intact(folder: Path, digest: str, size: int) -> Decoded | None:
    """Open a cache; None where there is none or where it is not what it must be."""
    try:
        decoded = Decoded(folder)
    except (OSError, ValueError, KeyError, TypeError, EOFError):  # ValueError: shorter than its header says; bad JSON
        return None
    shape = (len(decoded.notes), size, size)
    sound = (
        decoded.digest == digest
        and (decoded.images.shape, decoded.masks.shape) == ((*shape, 3), shape)
        and decoded.images.dtype == decoded.masks.dtype == np.uint8
    )
    return decoded if sound else None


def _write(source: Source, size: int, digest: str, folder: Path, progress: Progress | None) -> None:
    """Decode all into a new folder; by plain writes, since a full disk under a writable memory map kills."""
    notes: list[dict[str, Any]] = []
    problems: list[str] = []
    count = len(source.ids)
    folder.mkdir()
    with (folder / "images.npy").open("wb") as images, (folder / "masks.npy").open("wb") as masks:
        for file, shape in ((images, (count, size, size, 3)), (masks, (count, size, size))):
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with closing(_rows(source, size)) as rows:
            for done, row in enumerate(rows, start=1):
                if isinstance(row, str):
                    problems += row.splitlines()
                else:
                    images.write(row[0].tobytes())
                    masks.write(row[1].tobytes())
                    notes.append(row[2])
                if progress is not None:
                    progress(done, count, "decoding photographs")
        if problems:
            raise DataError(first_of(problems, source.heading))
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    index = {"digest": digest, "ids": list(source.ids), "notes": notes}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _rows(source: Source, size: int) -> Generator[tuple[UInt8, UInt8, dict[str, Any]] | str]:
    """Yield image, mask and note of each photograph in order, or what is wrong with it."""

    def row(index: int) -> tuple[UInt8, UInt8, dict[str, Any]] | str:
        try:
            loaded = source.load(index)
        except DataError as error:
            return str(error)
        image = loaded.image.resize((size, size), Image.Resampling.BILINEAR)
        mask = Image.fromarray(loaded.mask).resize((size, size), Image.Resampling.NEAREST)
        return np.asarray(image), np.asarray(mask), loaded.note

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes outside the GIL
        # torchvision opens files without closing them, and drops a palette's transparency; both are harmless here
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
        warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning)
        for start in range(0, len(source.ids), _CHUNK):
            yield from pool.map(row, range(start, min(start + _CHUNK, len(source.ids))))
