"""Opens the profile's data set and says what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.planning.profile import Profile
from bench.planning.sections import Explained, members
from segcam.channels import RGB
from segcam.classes import IGNORE, label
from segcam.datasets import DATASETS, LEFT_OUT, DatasetOptions
from segcam.datasets.decoded import SplitImages
from segcam.datasets.free import FREE, free_sample
from segcam.errors import DataError, InputError
from segcam.models import complete
from segcam.samples import SPLITS, Images, Opened, Sample, Split

SAID = ("size", "counts", "parts")
"""Facts of drawn data that the profile or the first line says, or nobody needs before a run."""
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while images are decoded or drawn."""


@dataclass(frozen=True)
class Data:
    """The run's data.

    Attributes:
        opened: the data set and its splits.
        digest: hash of its name and its images and masks; of drawn data, of a few of them.
        gallery: indices of the test images that figures show.
        rule: how they were chosen.
        choose: `count -> indices of as many test images, and how they are chosen`, as for figures.
        test_at: `size -> the test images` at another size.
        free: photographs that anyone may show, without masks: maps of them are kept, and nothing is scored on them.
    """

    opened: Opened
    digest: str
    gallery: tuple[int, ...]
    rule: str
    choose: Callable[[int], tuple[tuple[int, ...], str]]
    test_at: Callable[[int], Images]
    free: tuple[Sample, ...] = ()

    def tested(self, most: int) -> Sequence[int]:
        """Return indices of test images in their order: all, or as many as are wanted, chosen as for figures."""
        return range(len(self.test)) if most >= len(self.test) else sorted(self.choose(most)[0])

    @property
    def train(self) -> Images:
        """The training images."""
        return self.opened.splits["train"]

    @property
    def val(self) -> Images:
        """The validation images."""
        return self.opened.splits["val"]

    @property
    def test(self) -> Images:
        """The test images."""
        return self.opened.splits["test"]


def open_data(profile: Profile, *, root: Path | None, download: bool, progress: Progress | None = None) -> Data:
    """Open the profile's data set.

    Raises:
        InputError: unknown data set, one that cannot be read, or drawn data with files named for it; or the class
            explained does not exist.
    """
    section = profile.data
    plugin = DATASETS.get(section.dataset)
    files = {"--data-root": root, "--download": download, "data.root": section.root, "data.cache": section.cache}
    files["data.masks"] = section.masks
    files["data.resize"] = section.resize if section.resize != "squash" else None
    if not plugin.needs_root and (ignored := [name for name, value in files.items() if value]):
        raise InputError(f"{ignored[0]}: the data set {section.dataset} is drawn and reads no files: leave it out")
    options = DatasetOptions(
        size=section.size,
        root=root or (Path(section.root) if section.root else None),
        download=download,
        seed=section.seed,
        counts=(section.train, section.val, section.test),
        val_share=section.val_share,
        cache=Path(section.cache) if section.cache else None,
        progress=progress,
        resize=section.resize,
        masks=Path(section.masks) if section.masks else None,
        classes=section.classes,
    )
    opened = plugin.open(options)
    if profile.models and (lacking := [split for split in SPLITS if split not in opened.splits]):
        raise InputError(
            f"the data set {section.dataset} has no {lacking[0]} images, so {next(iter(profile.models))} cannot be "
            "trained: take another data set, or a network that is there already ([networks.NAME])"
        )
    _fits(opened, profile)

    @cache
    def test_at(size: int) -> Images:
        if size == section.size:
            return opened.splits["test"]
        if section.resize == "none":
            raise InputError(
                f"data.resize = 'none' leaves images as they are, and not at {size} px: take 'pad' or 'squash'"
            )
        again = replace(options, size=size, test_only=True, download=False, progress=None)
        return plugin.open(again).splits["test"]

    free = [sample for name in plugin.free if (sample := free_sample(name, section.size, section.resize))]
    digest = _digest(opened, drawn=not plugin.needs_root)
    data = Data(opened, digest, (), "", lambda _: ((), ""), test_at, tuple(free))
    return data if profile.score.classes else of_class(data, profile, profile.score.explained)


def of_class(data: Data, profile: Profile, explained: Explained) -> Data:
    """Return a run's data with the images that are chosen to show one class, or a set that counts as one.

    Raises:
        InputError: there is no such class.
        DataError: no image shows it.
    """
    opened, classes = data.opened, data.opened.info.classes
    if wrong := [one for one in members(explained) if one >= len(classes)]:
        raise InputError(
            f"score.class_id is {wrong[0]}, but {profile.data.dataset} has {len(classes)} classes: "
            + ", ".join(f"{i} = {name}" for i, name in enumerate(classes))
        )
    ids, areas = [], []
    for index in range(len(data.test)):  # one sample at a time: the split may not fit into memory as a list
        sample = data.test[index]
        ids.append(sample.id)
        areas.append(float(np.isin(sample.mask, list(members(explained))).mean()))
    choose = partial(choose_images, np.array(areas), ids) if opened.info.masked else partial(spread_images, ids)
    if "val" in opened.splits:
        _holds(opened, "val", explained)
    if opened.info.masked and not any(areas):
        there = {int(c) for i in range(len(data.test)) for c in np.unique(data.test[i].mask)} - {IGNORE}
        raise DataError(
            f"no test image holds a pixel of class '{label(explained, classes)}': nothing could be scored; masks hold "
            f"{', '.join(classes[c] for c in sorted(there)) or 'ignored pixels alone'}. What else their values mean is "
            "said by classes.toml beside them, see docs/data.md"
        )
    gallery, rule = choose(profile.figures.images)
    return replace(data, gallery=gallery, rule=rule, choose=choose)


def lines(data: Data) -> list[str]:
    """Return what the reader should know of the data before the run starts, a line each."""
    info = data.opened.info
    counts = ", ".join(f"{len(images)} {name}" for name, images in data.opened.splits.items())
    trained = f"; trained on {info.training_data}" if "train" in data.opened.splits else ""
    about = [f"{info.name}: {counts} images{trained}"]
    if not info.masked:
        about = [f"{info.name}: {counts} images, without masks: what a network predicts stands for them"]
    facts = {key: _short(value) for key, value in info.facts.items() if key not in SAID}
    if facts.get(LEFT_OUT):
        facts[LEFT_OUT] += f"; --set data.{next(iter(info.facts[LEFT_OUT]))}=null takes all"
    about += [f"  {key.replace('_', ' ')}: {text}" for key, text in facts.items() if text]
    return about + [f"  beside them, in pictures alone: {FREE[sample.id].credit}" for sample in data.free]


def _short(value: Any) -> str:
    """Put a fact into a few words: what is counted and named is counted alone, and nothing is said of nothing."""
    if isinstance(value, dict):
        if "count" in value:
            return _short(value["count"])
        facts = {key: _short(v) for key, v in value.items()}
        return ", ".join(f"{key} {text}" for key, text in facts.items() if text)
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(v) for v in value)
    return str(value) if value else ""


def _holds(opened: Opened, split: Split, explained: Explained) -> None:
    """Raise DataError where no image of a split holds the class, for which no level would mean anything."""
    images = opened.splits[split]
    if not any(np.isin(images[i].mask, list(members(explained))).any() for i in range(len(images))):
        name = label(explained, opened.info.classes)
        raise DataError(
            f"none of the {len(images)} {split} images holds a pixel of class '{name}': take more images, or explain "
            "another class with score.class_id"
        )


def _fits(opened: Opened, profile: Profile) -> None:
    """See that the profile's models can take the images: squares of the stated size, of as many channels.

    Raises:
        InputError: they cannot.
    """
    section, channels = profile.data, opened.splits["test"][0].image.shape[2]
    rows, columns = opened.splits["test"][0].mask.shape
    if section.resize == "none" and (rows, columns) != (section.size, section.size):
        cure = f"data.size = {rows}" if rows == columns else "data.resize = 'pad' or 'squash'"
        raise InputError(
            f"data.resize = 'none' leaves images of {columns} x {rows} pixels, wanted are squares of data.size = "
            f"{section.size}: take {cure}"
        )
    for model, stated in profile.models.items():
        parameters = complete(model, stated)
        if (taken := parameters.get("channels", 3)) != channels:
            cure = f"set models.{model}.channels = {channels}"
            if "channels" not in parameters:
                cure = f"leave it out, for example with --model unet and models.unet.channels = {channels}"
            if channels == 1:
                cure += "; or write channels = 3 in inputs of classes.toml, which repeats grey"
            raise InputError(f"model '{model}' takes images of {taken} channels, and these have {channels}: {cure}")


def _digest(opened: Opened, *, drawn: bool) -> str:
    """Hash every image and mask, but of drawn data the first, middle and last of each split: the rest follows.

    Decoded photographs have been compared with their hashes, which stand for them.
    """
    hashed = hashlib.sha256(repr((opened.info.name, opened.info.classes, opened.info.training_data)).encode())
    for split in (split for split in SPLITS if split in opened.splits):
        images = opened.splits[split]
        if isinstance(images, SplitImages):
            hashed.update(f"{split} {list(zip(images.ids, images.hashes, strict=True))}".encode())
            if images.channels != RGB:  # so that other digests are as they were without it
                hashed.update(f"{images.channels}".encode())
            continue
        for index in sorted({0, len(images) // 2, len(images) - 1}) if drawn else range(len(images)):
            sample = images[index]
            hashed.update(f"{split} {len(images)} {sample.id}".encode())
            hashed.update(sample.image.tobytes() + sample.mask.tobytes())
    return hashed.hexdigest()[:16]


def spread_images(ids: Sequence[str], count: int) -> tuple[tuple[int, ...], str]:
    """Choose a few images of which no mask is known, evenly spread over their names, and state the rule.

    Args:
        ids: their names.
        count: how many to choose; none for 0, without a rule.
    """
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    count = min(count, len(order))
    if not count:
        return (), ""
    places = ((np.arange(count) + 0.5) / count * len(order)).astype(int)
    return tuple(order[i] for i in places), f"{count} of the {len(order)} photographs, evenly spread over their names"


def choose_images(areas: NDArray[np.float64], ids: Sequence[str], count: int) -> tuple[tuple[int, ...], str]:
    """Choose a few images, such as those that figures show, before any network is seen, and state the rule.

    Images without the class are not among them: they would show another one.

    Args:
        areas: foreground share of each test image, 0..1.
        ids: their names.
        count: how many to choose; none for 0, without a rule.
    """
    left = sorted(np.flatnonzero(areas > 0).tolist(), key=lambda i: ids[i])
    of = "test split" if len(left) == len(ids) else f"{len(left)} of {len(ids)} test images that show the class"
    count = min(count, len(left))
    if not count:
        return (), ""
    quantiles = (np.arange(count) + 0.5) / count
    indices = []
    for area in np.quantile(areas[left], quantiles):
        nearest = min(left, key=lambda i: abs(float(areas[i]) - float(area)))
        left.remove(nearest)
        indices.append(nearest)
    named = ", ".join(f"{100 * q:.0f}" for q in quantiles)
    many = (
        "images whose shares of foreground pixels are nearest to the percentiles"
        if count > 1
        else ("image whose share of foreground pixels is nearest to the percentile")
    )
    return tuple(indices), f"the test {many} {named} of the {of}, chosen before any network was trained"
