"""Finds photographs and their masks in a folder: by names or patterns of names, in subfolders, too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segcam.datasets.described.arrays import Slice, is_array, shape_of
from segcam.datasets.described.description import alike
from segcam.datasets.described.known import LAYOUTS, Layout, Place
from segcam.errors import DataError, first_of
from segcam.files import one_line, plain_folder, read_text
from segcam.samples import Split

WANTED = (
    "wanted are DIR/images/*, DIR/masks/* with the same names, and DIR/classes.toml, where "
    "folders = {images = 'images', masks = 'masks'} may name others"
)
_DOUBLE = (".nii.gz",)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is there of one photograph: usually one file of each kind.

    Attributes:
        name: its id: its path below the folder of photographs without what the pattern adds, and without ending.
        images: its files.
        masks: its masks.
        split: the split that its place gives it.
        place: where it was found.
        near: a file of the other kind whose name looks the same, where a file lacks its partner.
        at: the slice of a volume that it is.
    """

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    split: Split | None
    place: Place
    near: Path | None = None
    at: Slice | None = None


def stem_of(file: Path) -> str:
    """Return a file's name without its ending, which may be double, such as '.nii.gz'."""
    for ending in _DOUBLE:
        if file.name.lower().endswith(ending):
            return file.name[: -len(ending)]
    return file.stem


def find(root: Path, place: Place) -> tuple[list[Pair], int]:
    """Return the photographs and masks of a place, sorted by name, and how many files fit no pattern.

    Raises:
        DataError: a folder is missing, a name cannot be shown, or no photograph has a mask.
    """
    one_folder = _folder(root, place.images) == _folder(root, place.masks)
    masks, other_masks = _by_name(root, place.masks, place.mask, None)
    images, other_images = _by_name(root, place.images, place.image, place.mask if one_folder else None)
    passed = other_images if one_folder else other_images + other_masks  # in one folder a photograph is no mask
    if not one_folder:
        for files, folder, pattern in ((images, place.images, place.image), (masks, place.masks, place.mask)):
            if not files and pattern != "{name}" and (first := next(files_below(_folder(root, folder)), None)):
                raise DataError(
                    f"no file in {_folder(root, folder)} is named as {pattern!r}: the first is {first.name!r}"
                )
    if images and masks and not images.keys() & masks.keys():
        one, other = min(images), min(masks)
        if alike(one) != alike(other):
            found = [file.relative_to(root) for file in (images[one][0], masks[other][0])]
            raise DataError(
                f"no photograph in {_folder(root, place.images)} has a mask in {_folder(root, place.masks)}: the first "
                f"are {found[0]} and {found[1]}; where names differ, say how in classes.toml: "
                f"{guessed_stems(one, other)}"
            )
    by_look = [{alike(name): files[0] for name, files in group.items()} for group in (images, masks)]
    pairs = []
    for name in sorted(images.keys() | masks.keys()):
        has = images.get(name, []), masks.get(name, [])
        near = None if all(has) else by_look[1 if has[0] else 0].get(alike(name))
        pairs.append(Pair(place.above + name, tuple(has[0]), tuple(has[1]), place.split, place, near))
    return pairs, passed


def guessed_stems(one: str, other: str) -> str:
    """Return how a photograph's and a mask's name may differ: in what follows what they have in common, or precedes it.

    >>> guessed_stems("a_1_photo", "a_1_labels")
    "stems = {images = '{name}_photo', masks = '{name}_labels'}"
    """
    names = [name.rpartition("/")[2] for name in (one, other)]
    head = _common(*names)
    tail = _common(*(name[::-1] for name in names))[::-1]
    while len(head) not in map(len, names) and head and head[-1].isalpha():
        head = head[:-1]  # 'a_1_l' of a_1_leftImg8bit and a_1_labels
    if len(head) not in map(len, names):
        head = head.rstrip("_-. ")
    if any(sign.isalnum() for sign in head) and len(head) >= len(tail):
        images, masks = (f"{{name}}{name[len(head) :]}" for name in names)
    elif any(sign.isalnum() for sign in tail):
        images, masks = (f"{name[: len(name) - len(tail)]}{{name}}" for name in names)
    else:
        images, masks = "{name}", "{name}_mask"
    return f"stems = {{images = '{images}', masks = '{masks}'}}"


def _common(one: str, other: str) -> str:
    """Return what two names begin with."""
    return one[
        : next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    ]


def sliced(pair: Pair, axis: int) -> list[Pair]:
    """Return a volume's slices across an axis, named after it: 'case_7/012'. What is no volume stays as it is.

    Raises:
        DataError: photograph and mask are no volumes of one shape, or lie elsewhere.
    """
    if len(pair.images) != 1 or len(pair.masks) != 1 or not all(map(is_array, (*pair.images, *pair.masks))):
        return [pair]
    image, mask = pair.images[0], pair.masks[0]
    shapes = shape_of(image, "photograph"), shape_of(mask, "mask")
    if len(shapes[1]) < 3:
        return [pair]
    if shapes[0][:3] != shapes[1] or len(shapes[0]) > 4:
        raise DataError(
            f"mask {mask} is {' x '.join(map(str, shapes[1]))}, its photograph {' x '.join(map(str, shapes[0]))}: save "
            "them as volumes of one shape; channels are the photograph's last axis"
        )
    digits = len(str(shapes[1][axis] - 1))
    return [replace(pair, name=f"{pair.name}/{i:0{digits}}", at=Slice(axis, i)) for i in range(shapes[1][axis])]


def locate(root: Path, name: str) -> tuple[Path, Layout]:
    """Return where a known data set lies at or below `root`, and which of its layouts it has, with the places found.

    Raises:
        DataError: none of its layouts is there.
    """
    layouts = LAYOUTS[name]
    for layout in layouts:
        for base in (root, *(root / below for below in layout.below)):
            if places := tuple(place for place in layout.places if _has_masks(base, place)):
                return base, replace(layout, places=places)
    wanted = "; or ".join(
        ", ".join(f"{place.images}/ and {place.masks}/ with {place.mask.format(name='*')}.*" for place in layout.places)
        for layout in layouts
    )
    raise DataError(f"{root} holds no {name} as it is published; wanted are {wanted}")


def listed(file: Path, what: str) -> list[str]:
    """Return the names in a list of photographs: the first word of each line.

    Raises:
        DataError: the file cannot be read, or names nothing.
    """
    names = [line.split()[0] for line in read_text(file, what, DataError).splitlines() if line.strip()]
    if not names:
        raise DataError(f"{what} {file} names no photograph: list one a line")
    return names


def _has_masks(base: Path, place: Place) -> bool:
    folders = base / place.images, base / place.masks
    if not all(folder.is_dir() for folder in folders):
        return False
    pattern = _compiled(place.mask)
    return any(pattern.fullmatch(stem_of(file)) for file in files_below(folders[1]))


def _folder(root: Path, name: str) -> Path:
    return root if name in (".", "./") else root / name


def _compiled(pattern: str) -> re.Pattern[str]:
    before, _, after = pattern.partition("{name}")
    return re.compile(f"{re.escape(before)}(?P<name>.+){re.escape(after)}", re.DOTALL)


def _by_name(root: Path, folder: str, pattern: str, unlike: str | None) -> tuple[dict[str, list[Path]], int]:
    """Group the files below a folder that fit a pattern, and not another, by their names; count the others."""
    base = plain_folder(_folder(root, folder), "folder", DataError, WANTED)
    fits, other = _compiled(pattern), _compiled(unlike) if unlike else None
    files: dict[str, list[Path]] = {}
    strange = []
    passed = 0
    for file in files_below(base):
        if not one_line(file.relative_to(base).as_posix()):
            strange.append(f"{file.name!r}")
            continue
        if base == root and file.name == "classes.toml":
            continue
        stem = stem_of(file)
        found = fits.fullmatch(stem)
        if found is None or (other is not None and other.fullmatch(stem)):
            passed += found is None
            continue
        above = file.relative_to(base).parent
        files.setdefault((above / found["name"]).as_posix(), []).append(file)
    if strange:
        heading = f"{base} holds files whose names are not UTF-8 or have control characters; rename or remove them"
        raise DataError(first_of(strange, heading))
    return files, passed


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder in the order of their names; hidden ones are nobody's data."""
    been: set[tuple[int, int]] = set()
    for above, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        stat = Path(above).stat()
        if (stat.st_dev, stat.st_ino) in been:  # a link to a folder above
            folders.clear()
            continue
        been.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(above) / name


def _raise(problem: OSError) -> None:
    path = Path(str(problem.filename))
    plain_folder(path, "folder", DataError, "give yourself the right to read it")
    raise DataError(f"folder {path} cannot be read ({problem.strerror}): restore it") from problem


def chosen(names: Sequence[str], known: Sequence[str], *, files: bool = False) -> tuple[list[str], list[str]]:
    """Return which of the known ids a list means, and which of its names are none.

    A name is an id, or its last part where no other id ends alike. Where `files` is true, it may be a file's path.
    """
    ids = set(known)
    last: dict[str, list[str]] = {}
    for name in known:
        last.setdefault(name.rpartition("/")[2], []).append(name)
    found: list[str] = []
    strange: list[str] = []
    for name in names:
        path = Path(name)
        for spelled in (name, (path.parent / stem_of(path)).as_posix(), stem_of(path)) if files else (name,):
            if spelled in ids:
                found.append(spelled)
                break
            if len(same := last.get(spelled, [])) == 1:
                found.append(same[0])
                break
        else:
            strange.append(name)
    return found, strange
