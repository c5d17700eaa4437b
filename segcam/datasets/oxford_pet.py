"""Oxford-IIIT Pet: photographs of cats and dogs with trimaps, downloaded through torchvision and cached decoded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segcam._compat import require
from segcam.datasets import DATASETS, Dataset, DatasetOptions, left_out
from segcam.datasets.decoded import Loaded, Source, SplitImages, file_facts, fingerprint, open_splits
from segcam.datasets.pictures import read_photograph, read_values
from segcam.errors import DataError, InputError, first_of, shown
from segcam.files import one_line, plain_folder, read_text, user_path
from segcam.samples import IGNORE, SPLITS, DatasetInfo, Opened, Split

NAME = "oxford_pet"
FOLDER = "oxford-iiit-pet"
OFFICIAL = {"trainval": 3680, "test": 3669}
SOURCE = (
    "Oxford-IIIT Pet: O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar, 'Cats and Dogs', CVPR 2012; "
    "CC BY-SA 4.0, copyright of each photograph remains with its owner"
)
CURE = "name the parent of `oxford-iiit-pet/` with --data-root, or add --download where there is a network"

_NUMBER = re.compile("[0-9]{1,9}")
_CLASSES = np.full(256, IGNORE, np.uint8)
_CLASSES[1], _CLASSES[2] = 1, 0  # trimap: 1 pet, 2 background, 3 border


def open_oxford_pet(options: DatasetOptions) -> Opened:
    """Open the photographs below `options.root`, decoding them into the cache where that has not been done.

    Validation images are a share of trainval's real (not self-trained) ones, drawn by `options.seed` alone, and leave
    training. `options.counts` are upper limits: a seeded subset is taken, in training with real and self-trained masks
    in their proportion. Smaller subsets are contained in larger ones.

    Raises:
        InputError: an option has no meaning.
        DataError: the photographs cannot be had or used; lists the files.
    """
    base = _base(options)
    lists = {split: _read_list(base, split) for split in OFFICIAL}
    pseudo = _read_pseudo(base, lists)
    real = [i for i, name in enumerate(lists["trainval"]) if name not in pseudo]
    ends = len(lists["trainval"]), len(lists["test"])
    every, rows = (_split(real, *ends, other) for other in (replace(options, counts=(None, None, None)), options))
    missing = left_out(every, rows)
    trained = sum(lists["trainval"][row] in pseudo for row in rows["train"])
    masks = f"{len(rows['train']) - trained} real"
    if options.test_only:
        rows = {"test": rows["test"]}
    splits = open_splits(_source(base, lists, bool(pseudo)), rows, options)
    info = DatasetInfo(
        name=NAME,
        classes=("background", "pet"),
        training_data=f"{masks} + {trained} self-trained masks" if trained else f"{masks} masks",
        self_trained=trained,
        facts=_facts(splits, lists, len(real)) | missing,
        source=SOURCE,
    )
    return Opened(info, dict(splits))


def _base(options: DatasetOptions) -> Path:
    """Return the folder `oxford-iiit-pet`, downloaded where that is wanted."""
    if options.root is None:
        raise InputError(f"dataset {NAME} needs a folder: {CURE}")
    root = user_path(options.root, "data root")
    base = root / FOLDER
    if not options.download:
        plain_folder(root, "data root", DataError, CURE)
    if not os.path.lexists(base) and (root.name == FOLDER or os.path.lexists(root / "annotations")):
        raise DataError(f"{root} is `{FOLDER}` itself: name its parent, --data-root {root.parent}")
    if options.download:
        try:
            _download(root)
        except (OSError, RuntimeError, EOFError, ValueError) as error:  # network, checksum, archive, old leftovers
            raise DataError(
                f"Oxford-IIIT Pet could not be downloaded to {root}: {error}; check the network and the free space, "
                f"remove what is left in {base}, or name an existing copy's parent with --data-root"
            ) from error
    if not os.path.lexists(base):
        raise DataError(f"data root {root} holds no `oxford-iiit-pet/`: {CURE}")
    for folder in (base, base / "images", base / "annotations", base / "annotations" / "trimaps"):
        plain_folder(folder, "folder", DataError, f"restore {base} from the official archives, or {CURE}")
    return base


def _lines(file: Path) -> list[str]:
    if not os.path.lexists(file):
        raise DataError(f"annotation file {file} is missing: restore it from the official annotations.tar.gz")
    return read_text(file, "annotation file", DataError).splitlines()


def _is_name(text: str) -> bool:
    """Return whether a text names a file in a folder, and not one elsewhere."""
    return one_line(text) and not text.startswith(".") and not {"/", "\\"} & set(text) and len(os.fsencode(text)) < 250


def _read_list(base: Path, split: str) -> list[str]:
    """Return the names in a split's annotation file, checked as strictly as torchvision reads it."""
    file = base / "annotations" / f"{split}.txt"
    names: list[str] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(_lines(file), start=1):
        fields = line.split()
        if len(fields) != 4 or not all(_NUMBER.fullmatch(f) for f in fields[1:]):
            problems.append(f"line {number}: {shown(line)}, wanted a name and three numbers as in 'Abyssinian_1 1 1 1'")
        elif not _is_name(fields[0]):
            problems.append(
                f"line {number}: {shown(fields[0])} is no file's name: wanted one as in 'Abyssinian_1 1 1 1'"
            )
        elif fields[0] in seen:
            problems.append(f"line {number}: {fields[0]} is listed twice")
        else:
            names.append(fields[0])
            seen.add(fields[0])
    if problems:
        raise DataError(
            first_of(problems, f"annotation file {file} has lines that cannot be used; mend or remove them")
        )
    if not names:
        raise DataError(f"annotation file {file} lists no photographs: restore it from annotations.tar.gz")
    return names


def _read_pseudo(base: Path, lists: dict[str, list[str]]) -> set[str]:
    """Return the names of the photographs whose masks were predicted; also see that no split shares a name."""
    test, trainval = set(lists["test"]), set(lists["trainval"])
    if shared := sorted(test & trainval):
        heading = f"photographs in both trainval.txt and test.txt of {base / 'annotations'}; remove them from one"
        raise DataError(first_of(shared, heading))
    file = base / "annotations" / "pseudo.txt"
    names = {line.strip() for line in _lines(file)} - {""} if os.path.lexists(file) else set()
    problems = [f"{n}: a test photograph, which must have a real mask" for n in sorted(names & test)]
    problems += [f"{shown(n)[1:-1]}: not in trainval.txt" for n in sorted(names - test - trainval)]
    if problems:
        raise DataError(first_of(problems, f"{file} names photographs that cannot be self-trained; remove the names"))
    if len(trainval - names) < 2:
        raise DataError(
            f"{file if names else file.with_name('trainval.txt')} leaves {len(trainval - names)} of {len(trainval)} "
            "trainval photographs with real masks: at least two are needed, one to train on and one to hold out"
        )
    return names


def _download(root: Path) -> None:
    """Fetch through torchvision, which is slow to import."""
    require("torchvision", "models", f"dataset {NAME}")
    from torchvision.datasets import OxfordIIITPet  # noqa: PLC0415  (slow to import)

    OxfordIIITPet(root, download=True)


def _source(base: Path, lists: dict[str, list[str]], pseudo: bool) -> Source:
    """Describe what is decoded: trainval, then test, in the order of their lists."""
    ids = [name for split in OFFICIAL for name in lists[split]]
    images = [base / "images" / f"{name}.jpg" for name in ids]
    trimaps = [base / "annotations" / "trimaps" / f"{name}.png" for name in ids]
    annotations = [base / "annotations" / f"{n}.txt" for n in (*OFFICIAL, *(["pseudo"] if pseudo else []))]
    key = {"files": fingerprint([*annotations, *images, *trimaps], base), "classes": "1 pet, 2 background, 3 ignored"}
    heading = f"{base} holds files that cannot be used; restore them or remove their names"
    return Source(NAME, ids, lambda index: _load(images[index], trimaps[index]), key, heading)


def _load(image_file: Path, trimap_file: Path) -> Loaded:
    """Read one photograph and its trimap."""
    problems: list[str] = []
    photograph, trimap = None, None
    try:
        # of an animation the first picture, as torchvision does: the official files are not the user's to change
        photograph = read_photograph(image_file, animated=True)
    except DataError as error:
        problems.append(str(error))
    try:
        trimap = read_values(trimap_file, "trimap").values
    except DataError as error:
        problems.append(str(error))
    if photograph is None or trimap is None:
        raise DataError("\n".join(problems))
    image = photograph.image
    if image.size != trimap.shape[::-1]:
        height, width = trimap.shape
        raise DataError(f"trimap {trimap_file} is {width} x {height}, its photograph {image.width} x {image.height}")
    values, pixels = np.unique(trimap, return_counts=True)
    if strange := [int(v) for v in values if v not in (1, 2, 3)]:
        listed = ", ".join(map(str, strange[:10])) + (", ..." if len(strange) > 10 else "")
        raise DataError(f"trimap {trimap_file} holds {listed}; known values are 1 (pet), 2 (background), 3 (border)")
    counts = {int(v): int(n) for v, n in zip(values, pixels, strict=True)}
    kind = photograph.format + (f", the first of {photograph.frames} pictures" if photograph.frames > 1 else "")
    note = {"format": kind, "pixels": [counts.get(2, 0), counts.get(1, 0), counts.get(3, 0)]}
    return Loaded(image, _CLASSES[trimap], note)


def _split(real: list[int], first_test: int, end: int, options: DatasetOptions) -> dict[Split, list[int]]:
    """Return the rows of each split; a number stream of its own for each choice keeps them independent."""
    limits = dict(zip(SPLITS, options.counts, strict=True))

    def drawn(rows: Sequence[int], stream: int) -> Iterator[int]:
        order = np.random.default_rng([options.seed, stream]).permutation(len(rows))
        return (rows[int(i)] for i in order)

    shuffled = list(drawn(real, 0))
    held = max(1, min(len(real) - 1, math.floor(options.val_share * len(real) + 1e-9)))
    val, train = shuffled[:held], shuffled[held:]
    pseudo = list(drawn(sorted(set(range(first_test)) - set(real)), 1))
    test = list(drawn(range(first_test, first_test + end), 2))
    limit = limits["train"]
    if limit is not None and limit < len(train) + len(pseudo):
        share = max(1, round(limit * len(train) / (len(train) + len(pseudo))))
        train, pseudo = train[:share], pseudo[: limit - share]
    members = (train + pseudo, val[: limits["val"]], test[: limits["test"]])
    return {split: sorted(rows) for split, rows in zip(SPLITS, members, strict=True)}


def _facts(splits: dict[Split, SplitImages], lists: dict[str, list[str]], real: int) -> dict[str, Any]:
    """Count what a reader of the results must know of the photographs."""
    counts = {split: len(names) for split, names in lists.items()}
    labels = ("background", "pet", "border")
    odd, bare, shares = file_facts(splits, labels, lambda note: [note["format"]] if note["format"] != "JPEG" else [])
    return {
        "release": "official release" if counts == OFFICIAL else "subset of the official release",
        "images_found": counts,
        "images_official": OFFICIAL,
        "self_trained_found": counts["trainval"] - real,
        "images_used": {split: len(images) for split, images in splits.items()},
        "odd_files": odd,
        "masks_without_pet": bare,
        "pixel_share": shares,
    }


OXFORD_PET = DATASETS.add(
    Dataset(
        NAME,
        "Oxford-IIIT Pet: photographs of cats and dogs with trimaps; class 1 is the pet",
        open_oxford_pet,
        free=("chelsea",),
    )
)
