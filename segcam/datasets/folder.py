"""A folder of one's own photographs and masks, with any number of classes, or of a known data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segcam.datasets import DATASETS, Dataset, DatasetOptions, left_out
from segcam.datasets.decoded import Loaded, Source, SplitImages, file_facts, fingerprint, open_splits
from segcam.datasets.described.arrays import Slice, same_place
from segcam.datasets.described.description import Description, describe, labels_of
from segcam.datasets.described.doubts import see_that_masks_agree
from segcam.datasets.described.known import Place
from segcam.datasets.described.labels import read_mask
from segcam.datasets.described.pairing import WANTED, Pair, chosen, find, listed, locate, sliced
from segcam.datasets.described.photographs import read_image
from segcam.datasets.described.splits import FOLDERS, Given, completed, given_splits, ranked
from segcam.datasets.pictures import seen
from segcam.errors import DataError, InputError, first_of, shown
from segcam.files import one_line, plain_folder, user_path
from segcam.samples import SPLITS, DatasetInfo, Opened, Split

NAME = "folder"


def open_folder(options: DatasetOptions) -> Opened:
    """Open the photographs and masks in `options.root`, decoding them into the cache where that has not been done.

    Where neither `classes.toml` nor folders say which the test (val) photographs are, they are drawn: the names are
    ranked by a hash; the first 20 % are for testing, whatever the seed, and `options.val_share` of the rest (ranked
    anew for each `options.seed`) for validation. At least one each. `options.counts` are upper limits, taken from such
    a ranking, too.

    Raises:
        InputError: an option has no meaning.
        DataError: the folder, its `classes.toml` or its files cannot be used; lists the files.
    """
    root = _root(options)
    file = root / "classes.toml"
    described, pairs, given, passed = _found(root, describe(file), file)
    names = [pair.name for pair in pairs]
    if "train" in given:  # what is in no split is not looked at
        wanted = {name for split in given.values() for name in split}
        pairs = [pair for pair in pairs if pair.name in wanted]
    kept = [pair.name for pair in pairs]
    if len(kept) < len(SPLITS) and not (options.test_only and given.get("test")):
        raise DataError(f"{root} holds {len(kept)} photographs, wanted at least 3: one to train, validate and test on")
    slices = _slices(pairs, described, root)
    every = {
        split: ranked((pair.name for name in of_split for pair in slices[name]), f"limit {options.seed}")
        for split, of_split in completed(given, kept, options, file).items()
    }
    members = {split: every[split][:count] for split, count in zip(SPLITS, options.counts, strict=True)}
    pairs = [pair for name in kept for pair in slices[name]]
    row = {pair.name: i for i, pair in enumerate(pairs)}
    split_names: tuple[Split, ...] = ("test",) if options.test_only else SPLITS
    rows = {split: sorted(row[n] for n in members[split]) for split in split_names}
    splits = open_splits(_source(root, pairs, described), rows, options)
    see_that_masks_agree(splits, root, described)
    source = f"the user's folder '{root.resolve().name}'; its licence is the user's to state"
    info = DatasetInfo(
        name=NAME,
        classes=described.classes,
        training_data=f"{len(members['train'])} masks of the folder '{root.resolve().name}'",
        facts=_facts(described, splits, len(names), given, {"passed_over": passed, "left_out": len(names) - len(kept)})
        | left_out(every, members),
        source=f"{described.layout}, as it is published, in {source}" if described.layout else source,
    )
    return Opened(info, dict(splits))


def _root(options: DatasetOptions) -> Path:
    if options.root is None:
        raise InputError(f"dataset {NAME} needs a folder: name it with --data-root; {WANTED}")
    root = plain_folder(
        user_path(options.root, "data root"), "data root", DataError, f"name one with --data-root; {WANTED}"
    )
    if not one_line(name := root.resolve().name):
        raise InputError(f"data root {name!r}: the name is not UTF-8 or has control characters; rename it")
    return root


def _found(root: Path, described: Description, file: Path) -> tuple[Description, list[Pair], Given, int]:
    """Return what masks hold, the photographs with their masks, which splits are given, and how many files are not."""
    if not described.layout:
        found = [find(root, place) for place in _places(root, described.place)]
        pairs = [pair for of_place, _ in found for pair in of_place]
        return described, pairs, given_splits(described, root, pairs, file), sum(passed for _, passed in found)
    base, layout = locate(root, described.layout)
    found = [find(base, place) for place in layout.places]
    pairs = [pair for of_place, _ in found for pair in of_place]
    names = [pair.name for pair in pairs]
    given: dict[Split, list[str]] = {}
    for split, name in layout.lists.items():
        given[split], strange = chosen(listed(base / name, "list"), names, files=True)
        if strange:
            raise DataError(
                first_of([f"{shown(n)}: no such photograph" for n in strange], f"{base / name} cannot be used")
            )
    for pair in pairs:
        if pair.split is not None:
            given.setdefault(pair.split, []).append(pair.name)
    if len(set(names)) < len(names):
        twice = sorted({shown(name) for name in names if names.count(name) > 1})
        raise DataError(first_of(twice, f"photographs of {base} that are in two splits; remove them from one"))
    return labels_of(described, layout.labels), pairs, given, sum(passed for _, passed in found)


def _places(root: Path, place: Place) -> list[Place]:
    """Return where photographs and masks are: in one folder each, or below the folders of splits, as `train/images`."""
    folders = sorted(entry.name for entry in root.iterdir() if entry.name.casefold() in FOLDERS)
    below = [name for name in folders if all((root / name / part).is_dir() for part in (place.images, place.masks))]
    if (root / place.images).is_dir() or not below:
        return [place]
    return [replace(place, images=f"{n}/{place.images}", masks=f"{n}/{place.masks}", above=f"{n}/") for n in below]


def _slices(pairs: Sequence[Pair], described: Description, root: Path) -> dict[str, list[Pair]]:
    """Return the slices of each photograph that is a volume, so that all of one are in one split; else it alone."""
    slices: dict[str, list[Pair]] = {}
    problems: list[str] = []
    for pair in pairs:
        try:
            slices[pair.name] = [pair] if described.slices is None else sliced(pair, described.slices)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(first_of(problems, f"{root} holds files that cannot be used; mend or remove them"))
    return slices


def _source(root: Path, pairs: Sequence[Pair], described: Description) -> Source:
    """Describe what is decoded; names without exactly one photograph and one mask are found wanting when read."""

    def load(index: int) -> Loaded:
        pair = pairs[index]
        for files, what in ((pair.images, "photograph"), (pair.masks, "mask")):
            for file in files:
                seen(file, what)
        for files, others, what in ((pair.images, pair.masks, "photograph"), (pair.masks, pair.images, "mask")):
            if len(files) > 1:
                raise DataError(f"{' and '.join(map(str, files))}: two files of one name, keep one {what}")
            if not files:
                folder = root / (pair.place.images if what == "photograph" else pair.place.masks)
                pattern = pair.place.image if what == "photograph" else pair.place.mask
                above, _, name = pair.name.removeprefix(pair.place.above).rpartition("/")
                missing = folder / above / f"{pattern.format(name=name)}.*"
                cure = f"; {pair.near} differs in case or in how it is encoded: rename it" if pair.near else ""
                raise DataError(f"{others[0]} has no {what} {missing}{cure}")
        return load_pair(pair.images[0], pair.masks[0], described, pair.at)

    key = {
        "files": fingerprint(sorted({f for pair in pairs for f in (*pair.images, *pair.masks)}), root),
        **described.key,
    }
    heading = f"{root} holds files that cannot be used; mend or remove them"
    return Source(NAME, [p.name for p in pairs], load, key, heading, described.channels, str(described.dtype))


def load_pair(image_file: Path, mask_file: Path, described: Description, at: Slice | None = None) -> Loaded:
    """Read one photograph and its mask; what is wrong with them is one line a fault."""
    problems: list[str] = []

    def read(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except DataError as error:
            problems.append(str(error))
            return None

    image = read(partial(read_image, image_file, described, at))
    mask = read(partial(read_mask, mask_file, described, at))
    if image is not None and mask is not None and image.size != mask.classes.shape:
        (height, width), (rows, columns) = image.size, mask.classes.shape
        cure = ""
        if described.exif == "apply" and (rows, columns) == (width, height):
            cure = ": it was drawn on the photograph as it is stored; save the photograph without its EXIF tag"
        problems.append(f"mask {mask_file} is {columns} x {rows}, its photograph {width} x {height}{cure}")
    if not problems and not same_place(image_file, mask_file):
        problems.append(
            f"mask {mask_file} lies elsewhere than its photograph, as their headers (affines) say: resample it to the "
            "photograph's voxels"
        )
    if problems:
        raise DataError("\n".join(problems))
    note = {"odd": image.odd, "pixels": mask.pixels, "colours": mask.colours, "ignored": mask.ignored}
    return Loaded(image.image, mask.classes, note)


def _facts(
    described: Description, splits: dict[Split, SplitImages], photographs: int, given: Given, unused: dict[str, int]
) -> dict[str, Any]:
    """Count what a reader of the results must know of the photographs and masks."""
    labels = (*described.classes, "(ignored)")
    odd, bare, shares = file_facts(splits, labels, lambda note: note["odd"])
    present = {
        split: dict(zip(labels, (np.array([note["pixels"] for note in images.notes]) > 0).sum(0).tolist(), strict=True))
        for split, images in splits.items()
    }
    facts = {
        "images_found": photographs,
        "images_used": {split: len(images) for split, images in splits.items()},
        "drawn_by_hash": [s for s in ("val", "test") if s not in given],
        "odd_files": odd,
        "images_without_foreground": bare,
        "images_with_class": present,
        "pixel_share": shares,
    }
    return facts | {f"files_{key}": count for key, count in unused.items() if count}


FOLDER = DATASETS.add(
    Dataset(NAME, "your own photographs and masks: DIR/images/*, DIR/masks/* and DIR/classes.toml", open_folder)
)
