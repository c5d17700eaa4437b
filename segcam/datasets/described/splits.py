"""Which photographs are for training, validation and testing: as given, or drawn by hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from segcam.datasets import DatasetOptions
from segcam.datasets.described.description import Description, alike
from segcam.datasets.described.pairing import Pair, chosen, listed
from segcam.errors import DataError, first_of, shown
from segcam.samples import Split

TEST_SHARE = 0.2
FOLDERS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folders among the photographs that are taken for splits, where there are no others and no file says more."""

Given = Mapping[Split, Sequence[str]]


def given_splits(described: Description, root: Path, pairs: Sequence[Pair], file: Path) -> dict[Split, list[str]]:
    """Return the names in the splits that `classes.toml` or the folders' names say.

    Raises:
        DataError: a name is no photograph's, or in two splits.
    """
    names = [pair.name for pair in pairs]
    given: dict[Split, list[str]] = {}
    problems: list[str] = []
    same = {alike(name): name for name in names}
    for split, wanted in described.splits.items():
        if isinstance(wanted, list):
            given[split], strange = chosen(wanted, names)
        elif (root / wanted).is_file():
            given[split], strange = chosen(listed(root / wanted, "list"), names, files=True)
        elif inside := [name for name in names if name.startswith(f"{wanted.rstrip('/')}/")]:
            given[split], strange = inside, []
        else:
            folder = root / described.place.images / wanted
            problems.append(f"{split} = {shown(wanted)}: neither a file {root / wanted} nor photographs in {folder}")
            continue
        for name in strange:
            near = f"; did you mean {shown(same[alike(name)])}?" if alike(name) in same else ""
            problems.append(f"{shown(name)} in {split}: no such photograph{near}")
    splits = list(given)
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            problems += [
                f"{shown(name)} is in both {one} and {other}" for name in sorted(set(given[one]) & set(given[other]))
            ]
    if problems:
        heading = f"[splits] of {file} cannot be used; names are those of the files without their endings"
        raise DataError(first_of(problems, heading))
    if not described.splits and names and all("/" in name and _folder_of(name) in FOLDERS for name in names):
        for name in names:
            given.setdefault(FOLDERS[_folder_of(name)], []).append(name)
    return given


def _folder_of(name: str) -> str:
    return name.partition("/")[0].casefold()


def completed(given: Given, names: Sequence[str], options: DatasetOptions, file: Path) -> dict[Split, list[str]]:
    """Return the names in each split, as given or drawn by hash from those that are for training."""
    free = set(given["train"]) if "train" in given else set(names) - {n for split in given.values() for n in split}
    if options.test_only and given.get("test"):
        return {"train": sorted(free), "val": list(given.get("val", [])), "test": list(given["test"])}
    test = given.get("test") or _first(free, TEST_SHARE, "test")
    free -= set(test)
    val = given.get("val") or _first(free, options.val_share, f"val {options.seed}")
    train = free - set(val)
    if not (train and val and test):
        raise DataError(
            f"{file} leaves {len(train)} photographs to train on, {len(val)} to validate and {len(test)} to test: "
            "each needs at least one; add photographs or shorten [splits]"
        )
    return {"train": list(train), "val": list(val), "test": list(test)}


def _first(names: Iterable[str], share: float, salt: str) -> list[str]:
    order = ranked(names, salt)
    return order[: max(1, min(len(order) - 1, math.floor(share * len(order) + 1e-9)))]


def ranked(names: Iterable[str], salt: str) -> list[str]:
    """Shuffle names by hash: the order depends on nothing but the names and the salt."""
    return sorted(names, key=lambda n: hashlib.sha256(f"{salt}/{n}".encode()).digest())
