"""A folder of one's own photographs and masks, with any number of classes."""

from __future__ import annotations

import hashlib
import math
import os
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.decoded import Loaded, Source, SplitImages, file_facts, fingerprint, open_splits
from segcam.datasets.pictures import read_photograph, read_values, seen
from segcam.errors import DataError, InputError, first_of, shown
from segcam.files import one_line, plain_folder, read_toml, user_path
from segcam.samples import IGNORE, SPLITS, DatasetInfo, Opened, Split

NAME = "folder"
TEST_SHARE = 0.2
LAYOUT = "wanted are DIR/images/*, DIR/masks/* with the same names, and DIR/classes.toml"
EXAMPLE = """an example of classes.toml:
  classes = ["background", "cat", "dog"]   # the values 0, 1, 2 of the masks
  ignore = 255                             # optional: the value of pixels that belong to no class
  [splits]                                 # optional: names of photographs, without their endings
  val = ["img_007"]
  test = ["img_008", "img_009"]"""

_KNOWN = {"classes", "ignore", "splits"}
_LONGEST = 100  # characters of a class's name: it stands in captions and columns


@dataclass(frozen=True, slots=True)
class Description:
    """What `classes.toml` says: class names by index, the value to ignore, and the names in splits where given."""

    classes: tuple[str, ...]
    ignore: int = IGNORE
    splits: dict[str, list[str]] = field(default_factory=dict)


def open_folder(options: DatasetOptions) -> Opened:
    """Open the photographs and masks in `options.root`, decoding them into the cache where that has not been done.

    Where `classes.toml` names no test (val) photographs, they are drawn: the names are ranked by a hash; the first 20 %
    are for testing, whatever the seed, and `options.val_share` of the rest (ranked anew for each `options.seed`) for
    validation. At least one each. `options.counts` are upper limits, taken from such a ranking, too.

    Raises:
        InputError: an option has no meaning.
        DataError: the folder, its `classes.toml` or its files cannot be used; lists the files.
    """
    root = _root(options)
    described = _describe(root / "classes.toml")
    files = {folder: _by_name(root / folder) for folder in ("images", "masks")}
    names = sorted(files["images"] | files["masks"])
    if len(names) < len(SPLITS):
        raise DataError(f"{root} holds {len(names)} photographs, wanted at least 3: one to train, validate and test on")
    members = _split(described, names, options, root / "classes.toml")
    row = {name: i for i, name in enumerate(names)}
    split_names: tuple[Split, ...] = ("test",) if options.test_only else SPLITS
    rows = {split: sorted(row[n] for n in members[split]) for split in split_names}
    splits = open_splits(_source(root, names, files, described), rows, options.size, options.cache, options.progress)
    _agree(splits, root, described)
    info = DatasetInfo(
        name=NAME,
        classes=described.classes,
        training_data=f"{len(members['train'])} masks of the folder '{root.resolve().name}'",
        facts=_facts(described, splits, len(names)),
        source=f"the user's folder '{root.resolve().name}'; its licence is the user's to state",
    )
    return Opened(info, dict(splits))


def _root(options: DatasetOptions) -> Path:
    if options.root is None:
        raise InputError(f"dataset {NAME} needs a folder: name it with --data-root; {LAYOUT}")
    root = plain_folder(
        user_path(options.root, "data root"), "data root", DataError, f"name one with --data-root; {LAYOUT}"
    )
    if not one_line(name := root.resolve().name):
        raise InputError(f"data root {name!r}: the name is not UTF-8 or has control characters; rename it")
    for part in ("images", "masks"):
        plain_folder(root / part, "folder", DataError, LAYOUT)
    return root


def _describe(file: Path) -> Description:
    """Read `classes.toml`; whatever is wrong with it goes into one error."""
    if not os.path.lexists(file):
        raise DataError(f"{file} is missing: it names the classes; {EXAMPLE}")
    try:
        table = read_toml(file, "description", DataError)
    except DataError as error:
        raise DataError(f"{error}; {EXAMPLE}") from error
    classes, ignore, splits = table.get("classes", []), table.get("ignore", IGNORE), table.get("splits", {})
    problems = [
        f"unknown key {shown(key)}: known are {', '.join(sorted(_KNOWN))}" for key in sorted(table.keys() - _KNOWN)
    ]
    if not _are_names(classes) or not 2 <= len(classes) <= IGNORE:
        problems.append(f"classes = {shown(classes)}: wanted 2 to {IGNORE} different names, the background's first")
    else:
        problems += _unfit(classes)
        if type(ignore) is int and 0 <= ignore < len(classes):
            problems.append(f"ignore = {ignore}: that is the class {shown(classes[ignore])}")
    if type(ignore) is not int or not 0 <= ignore < 2**16:
        problems.append(f"ignore = {shown(ignore)}: wanted a whole number from 0 to 65535")
    if not isinstance(splits, dict):
        problems.append(f"splits = {shown(splits)}: wanted a table [splits] with val, test or both")
        splits = {}
    for key, names in splits.items():
        if key not in ("val", "test"):
            problems.append(
                f"unknown key {shown(key)} in [splits]: known are val, test; all other photographs are for training"
            )
        elif not _are_names(names):
            problems.append(f"{key} = {shown(names)} in [splits]: wanted a list of different names, at least one")
    if problems:
        raise DataError(f"{first_of(problems, f'{file} cannot be used')}\n{EXAMPLE}")
    return Description(tuple(classes), ignore, splits)


def _are_names(value: object) -> TypeGuard[list[str]]:
    """Return whether `value` is a list of different, non-empty strings, at least one."""
    return (
        isinstance(value, list) and all(isinstance(v, str) and v for v in value) and 0 < len(set(value)) == len(value)
    )


def _unfit(classes: list[str]) -> list[str]:
    """Say which names no caption, column or file could bear, and which look the same."""
    problems = []
    seen: dict[str, str] = {}
    for name in classes:
        if not one_line(name) or name != name.strip() or len(name) > _LONGEST:
            problems.append(
                f"class {shown(name)}: wanted a name on one line, at most {_LONGEST} characters, no space at its ends"
            )
        if (other := seen.setdefault(_alike(name), name)) != name:
            problems.append(f"classes {shown(other)} and {shown(name)} differ in case or in how they are encoded alone")
    return problems


def _alike(name: str) -> str:
    """Return what names have in common that look the same, or are the same file on some disks."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Group a folder's files by their names without endings; hidden files are nobody's data."""
    files: dict[str, list[Path]] = {}
    strange = []
    for file in sorted(folder.iterdir()):
        if not file.name.startswith("."):
            files.setdefault(file.stem, []).append(file)
            if not one_line(file.name):
                strange.append(f"{file.name!r}")
    if strange:
        heading = f"{folder} holds files whose names are not UTF-8 or have control characters; rename or remove them"
        raise DataError(first_of(strange, heading))
    return files


def _split(described: Description, names: list[str], options: DatasetOptions, file: Path) -> dict[Split, list[str]]:
    """Return the names in each split, as described or drawn by hash."""
    given = described.splits
    problems: list[str] = []
    photographs = set(names)
    alike = {_alike(name): name for name in names}
    for key, wanted in given.items():
        for name in wanted:
            if name not in photographs:
                near = f"; did you mean {shown(alike[_alike(name)])}?" if _alike(name) in alike else ""
                problems.append(f"{shown(name)} in {key}: no such photograph{near}")
    both = set(given.get("val", [])) & set(given.get("test", []))
    problems += [f"{shown(name)} is in both val and test" for name in sorted(both)]
    if problems:
        heading = f"[splits] of {file} cannot be used; names are those of the files without their endings"
        raise DataError(first_of(problems, heading))
    free = photographs - {n for split in given.values() for n in split}
    test = given.get("test") or _first(free, TEST_SHARE, "test")
    free -= set(test)
    val = given.get("val") or _first(free, options.val_share, f"val {options.seed}")
    train = free - set(val)
    if not (train and val and test):
        raise DataError(
            f"{file} leaves {len(train)} photographs to train on, {len(val)} to validate and {len(test)} to test: "
            "each needs at least one; add photographs or shorten [splits]"
        )
    members = zip(SPLITS, (train, val, test), options.counts, strict=True)
    return {split: _ranked(group, f"limit {options.seed}")[:count] for split, group, count in members}


def _first(names: Iterable[str], share: float, salt: str) -> list[str]:
    ranked = _ranked(names, salt)
    return ranked[: max(1, min(len(ranked) - 1, math.floor(share * len(ranked) + 1e-9)))]


def _ranked(names: Iterable[str], salt: str) -> list[str]:
    """Shuffle names by hash: the order depends on nothing but the names and the salt."""
    return sorted(names, key=lambda n: hashlib.sha256(f"{salt}/{n}".encode()).digest())


def _source(root: Path, names: list[str], files: dict[str, dict[str, list[Path]]], described: Description) -> Source:
    """Describe what is decoded; names without exactly one photograph and one mask are found wanting when read."""

    def load(index: int) -> Loaded:
        matches = {folder: files[folder].get(names[index], []) for folder in files}
        for folder, what in (("images", "photograph"), ("masks", "mask")):
            for file in matches[folder]:
                seen(file, what)
        for folder, other, what in (("images", "masks", "photograph"), ("masks", "images", "mask")):
            if len(matches[folder]) > 1:
                raise DataError(f"{' and '.join(map(str, matches[folder]))}: two files of one name, keep one {what}")
            if not matches[folder]:
                near = [n for n in files[folder] if _alike(n) == _alike(names[index])]
                cure = (
                    f"; {files[folder][near[0]][0]} differs in case or in how it is encoded: rename it" if near else ""
                )
                raise DataError(f"{matches[other][0]} has no {what} {root / folder / names[index]}.*{cure}")
        return _load(matches["images"][0], matches["masks"][0], described)

    every = sorted(f for folder in files.values() for group in folder.values() for f in group)
    key = {"files": fingerprint(every, root), "classes": len(described.classes), "ignore": described.ignore}
    return Source(NAME, names, load, key, f"{root} holds files that cannot be used; mend or remove them")


def _load(image_file: Path, mask_file: Path, described: Description) -> Loaded:
    """Read one photograph and its mask; what is wrong with them is one line a fault."""
    problems: list[str] = []

    def read(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except DataError as error:
            problems.append(str(error))
            return None

    photograph = read(partial(_photograph, image_file))
    mask: npt.NDArray[np.integer] | None
    mask, palette = read(partial(read_values, mask_file, "mask")) or (None, [])
    classes = len(described.classes)
    pixels: list[int] = []
    colours: dict[str, list[int]] = {}
    if mask is not None:
        values, counts = np.unique(mask, return_counts=True)
        by_value = dict(zip(values.tolist(), counts.tolist(), strict=True))
        colours = {str(v): palette[v] for v in by_value if 0 <= v < len(palette)}
        pixels = [by_value.get(v, 0) for v in (*range(classes), described.ignore)]
        if strange := sorted(by_value.keys() - {*range(classes), described.ignore}):
            listed = ", ".join(map(str, strange[:10])) + (", ..." if len(strange) > 10 else "")
            problems.append(
                f"mask {mask_file} holds {listed}: not declared in classes.toml, "
                f"known are 0 to {classes - 1} and {described.ignore} (ignored); save it with these"
            )
    if photograph is not None and mask is not None and photograph[0].size != mask.shape[::-1]:
        (width, height), (rows, columns) = photograph[0].size, mask.shape
        problems.append(f"mask {mask_file} is {columns} x {rows}, its photograph {width} x {height}")
    if photograph is None or mask is None or problems:
        raise DataError("\n".join(problems))
    note = {"odd": photograph[1], "pixels": pixels, "colours": colours}
    return Loaded(photograph[0], np.where(mask == described.ignore, IGNORE, mask).astype(np.uint8), note)


def _photograph(file: Path) -> tuple[Image.Image, list[str]]:
    """Read a photograph as RGB, and say what is odd about its file."""
    photograph = read_photograph(file)
    if photograph.turned:
        raise DataError(
            f"photograph {file} is turned by its EXIF tag, which tools that draw masks may ignore: save it upright, "
            "without the tag, as its mask is"
        )
    odd = []
    if photograph.format != Image.registered_extensions().get(file.suffix.lower()):
        odd.append(f"{photograph.format} named {file.suffix or 'without ending'}")
    if photograph.mode not in ("RGB", "L"):
        odd.append(f"mode {photograph.mode}")
    return photograph.image, odd


def _agree(splits: dict[Split, SplitImages], root: Path, described: Description) -> None:
    """See that the masks' values can be classes.

    Raises:
        DataError: palettes give one value several colours, or all that is not background is ignored.
    """
    first: dict[str, tuple[list[int], str]] = {}
    problems = []
    pixels = np.zeros(len(described.classes) + 1, np.int64)
    for images in splits.values():
        for name, note in zip(images.ids, images.notes, strict=True):
            pixels += np.array(note["pixels"])
            for value, colour in note["colours"].items():
                other, where = first.setdefault(value, (colour, name))
                if other != colour:
                    problems.append(
                        f"{value} is the colour {other} in the mask of {where}, and {colour} in that of {name}"
                    )
    if problems:
        heading = (
            f"the palettes of the masks in {root / 'masks'} differ, so that their values are no classes; save masks as "
            "greyscale PNG with the classes' indices as values"
        )
        raise DataError(first_of(problems, heading))
    if set(splits) == set(SPLITS) and pixels[-1] and not pixels[1:-1].any():
        raise DataError(
            f"no mask in {root / 'masks'} holds a class but the background: {pixels[-1]:,} pixels are "
            f"{described.ignore}, which is ignored; where that is the class '{described.classes[1]}', save it as 1"
        )


def _facts(described: Description, splits: dict[Split, SplitImages], photographs: int) -> dict[str, Any]:
    """Count what a reader of the results must know of the photographs and masks."""
    labels = (*described.classes, "(ignored)")
    odd, bare, shares = file_facts(splits, labels, lambda note: note["odd"])
    present = {
        split: dict(zip(labels, (np.array([note["pixels"] for note in images.notes]) > 0).sum(0).tolist(), strict=True))
        for split, images in splits.items()
    }
    return {
        "images_found": photographs,
        "images_used": {split: len(images) for split, images in splits.items()},
        "drawn_by_hash": [s for s in ("val", "test") if s not in described.splits],
        "odd_files": odd,
        "images_without_foreground": bare,
        "images_with_class": present,
        "pixel_share": shares,
    }


FOLDER = DATASETS.add(
    Dataset(NAME, "your own photographs and masks: DIR/images/*, DIR/masks/* and DIR/classes.toml", open_folder)
)
