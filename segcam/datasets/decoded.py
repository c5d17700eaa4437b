"""The decoded cache: photographs and masks, read once, brought to one size and kept as memory-mapped arrays.

Decoding JPEGs costs far more than a training step on a small network, so it is done once for each dataset and size. The
cache's name holds a hash of all that defines its content; a changed file gives another name, never a stale answer. Each
photograph's pixels are compared with their hash before they are used; what is damaged is decoded anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcam.channels import RGB, Channels
from segcam.datasets import DatasetOptions
from segcam.datasets.resizing import RULES, Box, Resize, filling, resized
from segcam.errors import DataError, InputError, SegcamError, first_line, first_of, shown
from segcam.files import cache_folder, plain_file
from segcam.locks import HeldError, held
from segcam.samples import Sample, Split

UInt8 = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]

FORMAT = 1  # version of the cache's layout and of the resize rule; raise it when either changes
SCHEMA = 1  # version of index.json; raise it when what it holds changes
ELSEWHERE = (
    "name another folder for it with data.cache, or with the environment variable SEGCAM_CACHE where none is given"
)

_IMAGES, _MASKS, _INDEX = FILES = ("images.npy", "masks.npy", "index.json")
_UNFINISHED = re.compile(r"\.(?P<name>[\w.-]+-\d+-[0-9a-f]{16})(\.[0-9a-f]+)?\.tmp")
_IN_FLIGHT = 2**28  # bytes of photographs that are finished but not yet written
_AT_ONCE = 64  # photographs compared by one call: a call costs as much as comparing a small one

_compared: dict[tuple[object, ...], set[int]] = {}
"""Rows that this process has compared with their hashes, by cache and by what the system says of its files."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One photograph at its own size, the class index of each pixel, and what to remember of the files.

    The photograph is of mode RGB, or an array `(h, w, c)` of the source's dtype and channels.
    """

    image: Image.Image | Array
    mask: UInt8
    note: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be decoded: the photographs called `ids` of the dataset called `dataset`.

    Attributes:
        load: reads one of them by its index; raises `DataError`, a line for each fault, where it cannot be used.
        key: all that defines the result beside ids, size and resize rule; JSON-ready (see `fingerprint`).
        heading: first line of the error that lists the files that cannot be used.
        channels: what the photographs' channels hold.
        dtype: what they are kept as.
    """

    dataset: str
    ids: Sequence[str]
    load: Callable[[int], Loaded]
    key: dict[str, Any]
    heading: str
    channels: Channels = RGB
    dtype: str = "uint8"

    def only(self, rows: Sequence[int]) -> Source:
        """Return the source of some of the photographs alone."""
        key = {**self.key, "rows": list(rows)}
        ids = [self.ids[r] for r in rows]
        return replace(self, ids=ids, load=lambda i: self.load(rows[i]), key=key)


class DamagedError(SegcamError):
    """A cache is not as it was written; the next `decode` makes it anew."""


class Decoded:
    """A finished cache, opened read-only.

    Attributes:
        images: `(n, h, w, c)`, memory-mapped; RGB of uint8 unless the source says otherwise.
        masks: class indices, `(n, h, w)` uint8, memory-mapped.
        boxes: where each picture is amid its padding: top, left, height and width; None where there is none.
        ids: names of the photographs.
        notes: what `load` noted of each.
        hashes: sha256 of the bytes of each image followed by its mask's.

    Raises:
        DamagedError: the cache is not there, or not as it was written.
        SegcamError: a newer segcam wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = _content(folder / _INDEX)
        self.digest: str = content["digest"]
        self.ids: list[str] = content["ids"]
        self.notes: list[dict[str, Any]] = content["notes"]
        self.hashes: list[str] = content["hashes"]
        size = content["size"]
        height, width, channels = content.get("shape", (size, size, 3))  # as it was before there were others
        self.boxes: list[Box | None] = content.get("boxes", [None] * len(self.ids))
        shape = (len(self.ids), height, width)
        self.images: Array = _mapped(folder / _IMAGES, (*shape, channels), content.get("dtype", "uint8"))
        self.masks: UInt8 = _mapped(folder / _MASKS, shape, "uint8")

    def __reduce__(self) -> tuple[type[Decoded], tuple[Path]]:
        # a memory map would be pickled as the whole array; a worker process opens its own
        return Decoded, (self.folder,)

    def compare(self, rows: Iterable[int]) -> None:
        """Compare photographs with their hashes, each once a process.

        Raises:
            DamagedError: one was changed.
        """
        stats = [(self.folder / name).stat() for name in (_IMAGES, _MASKS)]
        key = (self.folder.resolve(), self.digest, *((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats))
        compared = _compared.setdefault(key, set())
        left = sorted(set(rows) - compared)

        def same(start: int) -> bool:
            some = left[start : start + _AT_ONCE]
            return all(_hash(self.images[row], self.masks[row]) == self.hashes[row] for row in some)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing leaves the GIL
            if not all(pool.map(same, range(0, len(left), _AT_ONCE))):
                raise DamagedError(
                    f"the decoded photographs in {self.folder} were changed: run again to decode them anew"
                )
        compared.update(left)


class SplitImages:
    """One split: some rows of a cache, as samples."""

    def __init__(self, decoded: Decoded, rows: Iterable[int], channels: Channels = RGB) -> None:
        self.decoded = decoded
        self.rows = list(rows)
        self.channels = channels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Sample:
        row = self.rows[index]
        # copies: a read-only view makes torch warn, and outlives nothing
        image, mask = np.array(self.decoded.images[row]), np.array(self.decoded.masks[row])
        valid = None
        if (box := self.decoded.boxes[row]) is not None:
            top, left, height, width = box
            valid = np.zeros(mask.shape, np.bool_)
            valid[top : top + height, left : left + width] = True
        return Sample(self.decoded.ids[row], image, mask, valid=valid, channels=self.channels)

    @property
    def ids(self) -> list[str]:
        """Names of the samples, in order."""
        return [self.decoded.ids[r] for r in self.rows]

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What was noted of the samples' files, in order."""
        return [self.decoded.notes[r] for r in self.rows]

    @property
    def hashes(self) -> list[str]:
        """The samples' hashes, in order: sha256 of the bytes of the image followed by the mask's."""
        return [self.decoded.hashes[r] for r in self.rows]

    def arrays(self, indices: Sequence[int] | npt.NDArray[np.integer] | None = None) -> tuple[Array, UInt8]:
        """Return images `(n, h, w, c)` and masks `(n, h, w)` of many samples; None takes all."""
        samples = slice(None) if indices is None else np.asarray(indices, dtype=np.int64)
        rows = np.asarray(self.rows, dtype=np.int64)[samples]
        return np.asarray(self.decoded.images[rows]), np.asarray(self.decoded.masks[rows])


def open_splits(
    source: Source, rows: Mapping[Split, Sequence[int]], options: DatasetOptions
) -> dict[Split, SplitImages]:
    """Decode a source and return its splits, of which `rows` has the indices of the photographs; see `decode`.

    All of the source is decoded, except where the test split is asked for alone.
    """
    if list(rows) == ["test"]:
        decoded = decode(
            source.only(rows["test"]), options.size, options.cache, options.progress, resize=options.resize
        )
        return {"test": SplitImages(decoded, range(len(decoded.ids)), source.channels)}
    used = [row for of_split in rows.values() for row in of_split]
    decoded = decode(source, options.size, options.cache, options.progress, used, options.resize)
    return {split: SplitImages(decoded, of_split, source.channels) for split, of_split in rows.items()}


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


def decode(
    source: Source,
    size: int,
    cache: Path | None = None,
    progress: Progress | None = None,
    used: Iterable[int] | None = None,
    resize: Resize = "squash",
) -> Decoded:
    """Return the source's cache at `size` pixels below `cache`; decode first where there is none, or a damaged one.

    Of several processes one decodes and the others wait. A cache gets its name when it is complete, so that none is
    ever seen half-written; what killed processes left in `cache` is removed by the next that decodes anything.

    Args:
        source: what is decoded.
        size: side of the square images and masks, in pixels.
        cache: folder of the caches; see `cache_folder`.
        progress: called with (done, total, "decoding photographs"), or with (0, total, who is waited for).
        used: the rows that will be used, and are compared with their hashes; None for all.
        resize: how images come to that size; with 'none' they keep their own, which must be one.

    Raises:
        InputError: the size is not positive, or the cache's folder is no path.
        DataError: files cannot be used; lists them.
        SegcamError: the cache cannot be written, or a newer segcam wrote it.
    """
    if size < 1:
        raise InputError(f"size {size}: must be at least 1 pixel")
    defining = {
        "format": FORMAT,
        "resize": RULES[resize],
        "dataset": source.dataset,
        "size": size,
        "ids": list(source.ids),
    }
    if resize == "pad":
        defining["fill"] = filling(source.channels)
    text = json.dumps({**defining, "source": source.key}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = cache_folder(cache) / f"{source.dataset}-{size}-{digest[:16]}"
    rows = range(len(source.ids)) if used is None else list(used)
    if (decoded := _intact(folder, digest, rows)) is not None:
        return decoded

    def waiting(message: str) -> None:
        if progress is not None:
            progress(0, len(source.ids), message)

    try:
        with held(_lock(folder), f"the cache of decoded photographs {folder}", wait=True, waiting=waiting):
            if (decoded := _intact(folder, digest, rows)) is not None:
                return decoded  # made by another process meanwhile
            _sweep(folder)
            unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
            try:
                _write(source, size, resize, digest, unfinished, progress)
                _make_way(folder)
                unfinished.rename(folder)
            finally:
                with suppress(OSError):
                    _remove(unfinished)
            return Decoded(folder)
    except OSError as error:
        raise SegcamError(
            f"the cache of decoded photographs cannot be written to {folder.parent}: {error.strerror or error}; "
            f"make room there, or {ELSEWHERE}"
        ) from error


def _hash(image: Array, mask: UInt8) -> str:
    hashed = hashlib.sha256(image.data)
    hashed.update(mask.data)
    return hashed.hexdigest()


def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return what a .npy file begins with."""
    file = io.BytesIO()
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _mapped(file: Path, shape: tuple[int, ...], dtype: str) -> Array:
    """Map an array of bytes into memory; raise DamagedError where the file is anything but one of this shape."""
    header = _header(shape, dtype)
    size = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
    try:
        plain_file(file, "array")
        with file.open("rb") as opened:
            sound = opened.read(len(header)) == header and file.stat().st_size == size
        if sound:
            return np.memmap(file, np.dtype(dtype), "r", len(header), shape)
    except (OSError, ValueError, InputError) as problem:
        raise DamagedError(f"{file} cannot be read ({problem}): run again to decode the photographs anew") from problem
    raise DamagedError(f"{file} is not {shape} {dtype}: run again to decode the photographs anew")


def _content(file: Path) -> dict[str, Any]:
    """Read what an index holds; it carries its own hash, so that no damage to it goes unseen."""
    try:
        index = json.loads(plain_file(file, "index").read_bytes())
    except (OSError, ValueError, RecursionError, InputError) as problem:
        raise DamagedError(f"{first_line(problem)}: run again to decode the photographs anew") from problem
    schema = index.get("schema") if isinstance(index, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise SegcamError(
            f"the cache {file.parent} was written by a newer segcam (schema {shown(schema)}, this one knows {SCHEMA}): "
            f"update segcam, or {ELSEWHERE}"
        )
    if schema == SCHEMA and index.keys() == {"schema", "sha256", "content"}:
        with suppress(ValueError, RecursionError):
            if index["sha256"] == _sha256(index["content"]):
                return dict(index["content"])
    raise DamagedError(f"{file} was changed: run again to decode the photographs anew")


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _intact(folder: Path, digest: str, rows: Iterable[int]) -> Decoded | None:
    """Open a cache; None where there is none or where it is not what it must be."""
    try:
        decoded = Decoded(folder)
        if decoded.digest == digest:  # of the ids and the size, too
            decoded.compare(rows)
            return decoded
    except (DamagedError, OSError):
        pass
    return None


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _sweep(folder: Path) -> None:
    """Remove what killed processes left beside a cache whose lock is held; what another lock's holder writes stays."""
    for entry in folder.parent.iterdir():
        named = _UNFINISHED.fullmatch(entry.name)
        if named is None or entry.is_symlink():
            continue
        with suppress(HeldError, OSError):  # in use; or somebody else's, and not to be removed
            if named["name"] == folder.name:
                _remove(entry)
            else:
                with held(_lock(folder.with_name(named["name"])), str(entry)):
                    _remove(entry)


def _remove(folder: Path) -> None:
    """Remove a cache's files and its folder; where anything else lies in it, that stays and is an error."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _make_way(folder: Path) -> None:
    """Remove the damaged cache in whose place a new one is put."""
    try:
        if folder.is_symlink():
            folder.unlink()
        elif os.path.lexists(folder):
            _remove(folder)
    except OSError as problem:
        raise SegcamError(
            f"{folder} is no intact cache and cannot be replaced ({problem.strerror}): move it away, or {ELSEWHERE}"
        ) from problem


def _has_room(folder: Path, needed: int) -> None:
    """Raise SegcamError where a disk has too little room."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SegcamError(
            f"the decoded photographs take {needed:,} bytes, and {folder} has {free:,} free: choose a smaller size, "
            f"make room, or {ELSEWHERE}"
        )


def _write(source: Source, size: int, resize: Resize, digest: str, folder: Path, progress: Progress | None) -> None:
    """Decode all into a new folder; by plain writes, since a full disk under a writable memory map kills."""
    notes: list[dict[str, Any]] = []
    hashes: list[str] = []
    boxes: list[Box | None] = []
    problems: list[str] = []
    shape: tuple[int, ...] = () if resize == "none" else (size, size, len(source.channels))
    count = len(source.ids)
    folder.mkdir()
    with (folder / _IMAGES).open("wb") as images, (folder / _MASKS).open("wb") as masks:

        def begin() -> None:
            _has_room(
                folder.parent, (math.prod(shape) * np.dtype(source.dtype).itemsize + math.prod(shape[:2])) * count
            )
            images.write(_header((count, *shape), source.dtype))
            masks.write(_header((count, *shape[:2]), "uint8"))

        if shape:
            begin()
        with closing(_rows(source, size, resize)) as rows:
            for done, row in enumerate(rows, start=1):
                if isinstance(row, str):
                    problems += row.splitlines()
                else:
                    image, mask, box, note = row
                    if not shape:
                        shape, first = image.shape, source.ids[done - 1]
                        begin()
                    if image.shape == shape:
                        images.write(image.tobytes())
                        masks.write(mask.tobytes())
                        hashes.append(_hash(image, mask))
                        notes.append(note)
                        boxes.append(box)
                    else:
                        problems.append(_other_size(source.ids[done - 1], image.shape, first, shape))
                if progress is not None:
                    progress(done, count, "decoding photographs")
        if problems:
            raise DataError(first_of(problems, source.heading))
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    content = {"digest": digest, "size": size, "ids": list(source.ids), "notes": notes, "hashes": hashes}
    if (resize, source.dtype, shape) != ("squash", "uint8", (size, size, 3)):
        content |= {"shape": shape, "dtype": source.dtype, "boxes": boxes}
    index = {"schema": SCHEMA, "sha256": _sha256(content), "content": content}
    with (folder / _INDEX).open("x", encoding="utf-8") as text:
        json.dump(index, text)


def _other_size(name: str, shape: tuple[int, ...], first: str, wanted: tuple[int, ...]) -> str:
    return (
        f"{name} is {shape[1]} x {shape[0]}, {first} {wanted[1]} x {wanted[0]}: resize = 'none' needs images of one "
        "size; take 'pad' or 'squash' (data.resize)"
    )


Row = tuple[Array, UInt8, Box | None, dict[str, Any]]


def _rows(source: Source, size: int, resize: Resize) -> Generator[Row | str]:
    """Yield image, mask, box and note of each photograph in order, or what is wrong with it."""
    channels, fill = source.channels, filling(source.channels)

    def row(index: int) -> Row | str:
        try:
            loaded = source.load(index)
            image, mask, box = resized(loaded.image, loaded.mask, size, resize, fill)
            return np.ascontiguousarray(image), np.ascontiguousarray(mask), box, loaded.note
        except DataError as error:
            return str(error)
        except MemoryError:
            return f"{source.ids[index]} does not fit into memory: save it smaller, or choose a smaller size"

    bytes_each = (len(channels) * np.dtype(source.dtype).itemsize + 1) * size * size
    chunk = max(os.cpu_count() or 1, min(256, _IN_FLIGHT // bytes_each))
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes outside the GIL
        # of large pictures, of damaged EXIF data, of a palette's transparency that is dropped: harmless here
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for start in range(0, len(source.ids), chunk):
            yield from pool.map(row, range(start, min(start + chunk, len(source.ids))))
