"""Photographs of one's own for a network that is there already: no splits, and masks only where there are some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segcam.datasets import DATASETS, Dataset, DatasetOptions, left_out
from segcam.datasets.decoded import Loaded, Source, file_facts, fingerprint, open_splits
from segcam.datasets.described.arrays import is_array
from segcam.datasets.described.description import Description, alike, among, describe
from segcam.datasets.described.doubts import see_that_masks_agree
from segcam.datasets.described.pairing import files_below, guessed_stems, stem_of
from segcam.datasets.described.photographs import read_image
from segcam.datasets.folder import load_pair
from segcam.errors import DataError, InputError, first_of
from segcam.files import plain_file, plain_folder, user_path
from segcam.samples import IGNORE, DatasetInfo, Opened

NAME = "photographs"
DESCRIPTION = "classes.toml"
MOST_CLASSES = 255
ADDED = ("", "_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_labelIds", "-mask", "-label")
"""What a mask's name may add to its photograph's, where no `classes.toml` says."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A photograph: its id, its file, and its mask's where there are masks."""

    name: str
    image: Path
    mask: Path | None


def open_photographs(options: DatasetOptions) -> Opened:
    """Open the photographs in `options.root`, a folder or a file, and their masks in `options.masks`.

    All are test images. Masks have their photographs' names, or those with `_mask` and the like behind them, and hold
    the classes' indices, 255 where there is none; `classes.toml` beside the masks or photographs says otherwise.
    Without masks every pixel is ignored, and `Opened.info.masked` is False.

    Raises:
        InputError: an option has no meaning.
        DataError: there are no photographs, masks are missing, or files cannot be used; lists the files.
    """
    if options.root is None:
        raise InputError(f"dataset {NAME} needs a folder of photographs: name it with --images, or --data-root")
    root = user_path(options.root, "the folder of photographs")
    images, passed = _images(root)
    masks = None if options.masks is None else _folder(options.masks, "folder of masks", "name it with --masks")
    if masks is not None:
        images = _without(images, masks)
    described = _described(root if root.is_dir() else root.parent, masks, options.classes)
    found = _paired(images, masks, described)
    count = options.counts[2]
    taken = found if count is None else _spread(found, count)
    bases = [image.image.parent for image in found] + ([masks] if masks else [])
    base = Path(os.path.commonpath([path.resolve() for path in bases]))
    splits = open_splits(_source(taken, base, described), {"test": range(len(taken))}, replace(options, test_only=True))
    labels = (*described.classes, "(ignored)")
    odd, bare, shares = file_facts(splits, labels, lambda note: note["odd"])
    facts: dict[str, Any] = {"images_found": len(found), "odd_files": odd}
    if masks is not None:
        place = replace(described.place, masks=".")
        see_that_masks_agree(splits, masks, replace(described, place=place), alone=True)
        facts |= {"images_without_foreground": bare, "pixel_share": shares}
    if passed:
        facts["files_passed_over"] = passed
    folder = root.resolve().name
    info = DatasetInfo(
        name=NAME,
        classes=described.classes,
        training_data="unknown: the networks were there already",
        facts=facts | left_out({"test": found}, {"test": taken}),
        source=f"the user's photographs '{folder}'; their licence is the user's to state",
        masked=masks is not None,
    )
    return Opened(info, dict(splits))


def _images(root: Path) -> tuple[list[Path], int]:
    """Return the files that may be photographs, and how many others there are.

    Raises:
        DataError: there is none.
    """
    if root.is_file():
        return [plain_file(root, "photograph", DataError)], 0
    folder = _folder(root, "folder of photographs", "name it with --images")
    endings = Image.registered_extensions()
    files = [file for file in files_below(folder) if file.name != DESCRIPTION]
    images = [file for file in files if file.suffix.lower() in endings or is_array(file)]
    if not images:
        names = first_of([file.name for file in files], "; it holds other files") if files else ""
        raise DataError(f"{folder} holds no photograph (.jpg, .png, .tif, .webp, .npy and the like){names}")
    return images, len(files) - len(images)


def _without(images: Sequence[Path], masks: Path) -> list[Path]:
    """Return the photographs without masks that lie among them: below, or beside them with `_mask` and the like."""
    folder = masks.resolve()
    inside = [file.resolve().is_relative_to(folder) for file in images]
    if not all(inside):
        return [file for file, within in zip(images, inside, strict=True) if not within]
    names = {file.with_name(stem_of(file)) for file in images}

    def is_mask(file: Path) -> bool:
        stem = stem_of(file)
        return any(stem.endswith(a) and file.with_name(stem.removesuffix(a)) in names for a in ADDED if a)

    return [file for file in images if not is_mask(file)]


def _folder(path: Path, what: str, cure: str) -> Path:
    return plain_folder(user_path(path, what), what, DataError, cure)


def _described(images: Path, masks: Path | None, classes: Sequence[str]) -> Description:
    """Return what `classes.toml` says, or that masks hold the indices of the classes.

    Raises:
        InputError: no class is named.
        DataError: `classes.toml` cannot be used.
    """
    places = [place for place in (masks, images, images.parent) if place is not None]
    file = next((place / DESCRIPTION for place in places if (place / DESCRIPTION).is_file()), None)
    if file is not None:
        described = describe(file, classes)
        if other := [name for name in described.classes if classes and name not in classes]:
            raise InputError(
                f"{file} names {', '.join(other)}, and the network's classes are {', '.join(classes)}: name them as "
                f"the network does, or leave classes out of {file.name} and give the network's in values = {{...}}"
            )
        return among(described, classes) if classes else described
    if not classes:
        raise InputError(f"dataset {NAME} needs the names of the classes: data.classes, or {DESCRIPTION} beside it")
    if len(classes) > MOST_CLASSES:
        raise InputError(f"{len(classes)} classes: masks of 8 bits hold {MOST_CLASSES} at most")
    values = {**{i: i for i in range(len(classes))}, IGNORE: IGNORE}
    return Description(tuple(classes), values, exif="refuse" if masks else "apply")


def _paired(images: Sequence[Path], masks: Path | None, described: Description) -> list[_Found]:
    """Return the photographs with their masks, by name.

    Raises:
        DataError: two have one name, or a photograph has no mask.
    """
    top = Path(os.path.commonpath([file.parent for file in images]))
    names = [(file.relative_to(top).parent / stem_of(file)).as_posix() for file in images]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(first_of(twice, f"photographs in {top} of one name but for their endings; keep one of each"))
    if masks is None:
        return [_Found(name, file, None) for name, file in zip(names, images, strict=True)]
    of_mask: dict[str, list[Path]] = {}
    for file in files_below(masks):
        if file.name != DESCRIPTION and file not in images:
            of_mask.setdefault((file.relative_to(masks).parent / stem_of(file)).as_posix(), []).append(file)
    pattern = described.place.mask
    spellings = [pattern.replace("{name}", "{}")] if pattern != "{name}" else [f"{{}}{added}" for added in ADDED]
    found, without = [], []
    for name, file in zip(names, images, strict=True):
        above, _, last = name.rpartition("/")
        spelled = [f"{above}/{s.format(last)}" if above else s.format(last) for s in spellings]
        fitting = [mask for one in spelled for mask in of_mask.get(one, [])]
        if len(fitting) > 1:
            raise DataError(f"{fitting[0]} and {fitting[1]}: two masks of photograph {file}, keep one")
        if fitting:
            found.append(_Found(name, file, fitting[0]))
        else:
            near = next((mask for mask in of_mask if alike(mask) == alike(name)), "")
            without.append(f"{file}" + (f" ({of_mask[near][0].name} differs in case or encoding)" if near else ""))
    if without:
        cure = "give each one of its name, or leave --masks out to measure against what the network predicts"
        if not found and of_mask:
            stems = guessed_stems(names[0], next(iter(of_mask)))
            cure = f"where names differ, say how in {masks / DESCRIPTION}: {stems}"
        raise DataError(first_of(without, f"photographs without a mask in {masks}; {cure}"))
    return found


def _spread(found: Sequence[_Found], count: int) -> list[_Found]:
    """Return as many photographs, evenly spread over their names."""
    return [found[int(i)] for i in np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round())]


def _source(found: Sequence[_Found], base: Path, described: Description) -> Source:
    def load(index: int) -> Loaded:
        one = found[index]
        if one.mask is not None:
            return load_pair(one.image, one.mask, described)
        image = read_image(one.image, described)
        mask = np.full(image.size, IGNORE, np.uint8)
        pixels = [0] * len(described.classes) + [mask.size]
        return Loaded(image.image, mask, {"odd": image.odd, "pixels": pixels, "colours": {}, "ignored": []})

    files = [file.resolve() for one in found for file in (one.image, one.mask) if file is not None]
    key = {
        "files": fingerprint(sorted(set(files)), base),
        "masks": [None if one.mask is None else one.mask.name for one in found],
        **described.key,
    }
    heading = f"{base} holds files that cannot be used; mend or remove them"
    names = [one.name for one in found]
    return Source(NAME, names, load, key, heading, described.channels, str(described.dtype))


PHOTOGRAPHS = DATASETS.add(
    Dataset(NAME, "your own photographs, with masks or without, for a network that you have", open_photographs)
)
