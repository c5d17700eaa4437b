"""Photographs of one's own: with masks or without, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcam import DataError, InputError
from segcam.datasets import DATASETS, DatasetOptions
from segcam.samples import IGNORE, Opened

CLASSES = ("background", "cat")


def save(folder: Path, *names: str, size: tuple[int, int] = (20, 30), value: int = 90) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(folder / name)
    return folder


def save_masks(folder: Path, *names: str, value: int = 1, size: tuple[int, int] = (20, 30)) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        mask = np.zeros(size, np.uint8)
        mask[:10, :10] = value
        Image.fromarray(mask).save(folder / name)
    return folder


def opened(root: Path, masks: Path | None = None, **options: object) -> Opened:
    given: dict[str, object] = {"size": 32, "resize": "pad", "classes": CLASSES} | options
    return DATASETS.get("photographs").open(DatasetOptions(root=root, masks=masks, **given))  # type: ignore[arg-type]


def test_without_masks_nothing_is_known_of_a_pixel(tmp_path: Path) -> None:
    data = opened(save(tmp_path / "photos", "a.png", "中 文.jpg", "it's <b>.png"))
    assert not data.info.masked
    assert [sample.id for sample in data.splits["test"]] == ["a", "it's <b>", "中 文"]
    assert all((sample.mask == IGNORE).all() for sample in data.splits["test"])
    assert set(data.splits) == {"test"}


def test_one_photograph(tmp_path: Path) -> None:
    assert len(opened(save(tmp_path / "photos", "a.png", "b.png") / "b.png").splits["test"]) == 1


@pytest.mark.parametrize("name", ["{}.png", "{}_mask.png", "{}_gt.png", "{}-label.png"])
def test_masks_are_found_by_name(tmp_path: Path, name: str) -> None:
    photos = save(tmp_path / "photos", "a.jpg", "b.png")
    data = opened(photos, save_masks(tmp_path / "masks", name.format("a"), name.format("b")))
    assert data.info.masked
    assert [set(np.unique(sample.mask)) for sample in data.splits["test"]] == [{0, 1, IGNORE}] * 2


def test_masks_among_the_photographs(tmp_path: Path) -> None:
    """In one folder, told apart by their names, or in a folder below."""
    photos = save(tmp_path / "photos", "a.jpg", "b.png")
    save_masks(photos, "a_mask.png", "b_mask.png")
    assert [sample.id for sample in opened(photos, photos).splits["test"]] == ["a", "b"]
    above = save(tmp_path / "above", "a.png")
    save_masks(above / "masks", "a.png")
    data = opened(above, above / "masks")
    assert [sample.id for sample in data.splits["test"]] == ["a"]
    assert (data.splits["test"][0].mask == 1).any()


def test_a_limit_spreads_over_the_names(tmp_path: Path) -> None:
    photos = save(tmp_path / "photos", *(f"{i}.png" for i in range(9)))
    assert [sample.id for sample in opened(photos, counts=(None, None, 3)).splits["test"]] == ["0", "4", "8"]


def test_photographs_of_very_different_sizes(tmp_path: Path) -> None:
    photos = save(save(tmp_path / "photos", "one.png", size=(1, 1)).parent / "photos", "tall.png", size=(700, 9))
    assert [sample.mask.shape for sample in opened(photos).splits["test"]] == [(32, 32)] * 2


def turned(folder: Path) -> Path:
    """A photograph whose file says that it is to be turned."""
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 250
    Image.fromarray(image).save(folder / "a.jpg", exif=exif, quality=100)
    return folder


def test_what_is_turned_is_turned_where_no_mask_could_differ(tmp_path: Path) -> None:
    sample = opened(turned(tmp_path / "photos")).splits["test"][0]
    known = sample.image[sample.valid] if sample.valid is not None else sample.image
    rows = sample.image.mean((1, 2))
    assert known.max() > 200
    assert rows[28] > 100 > rows[3], "its right half is below now"


def test_what_is_turned_beside_masks_is_asked(tmp_path: Path) -> None:
    photos, masks = turned(tmp_path / "photos"), save_masks(tmp_path / "masks", "a.png", size=(30, 20))
    with pytest.raises(DataError, match="EXIF"):
        opened(photos, masks)
    (masks / "classes.toml").write_text('exif = "apply"')
    assert opened(photos, masks).info.masked


def no_image(root: Path) -> tuple[Path, Path | None]:
    (root / "photos").mkdir()
    (root / "photos" / "a.txt").write_text("x")
    return root / "photos", None


def damaged(root: Path) -> tuple[Path, Path | None]:
    photos = save(root / "photos", "a.png", "b.png")
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:60])
    return photos, None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda root: (root / "nowhere", None), "nowhere does not exist: name it with --images"),
        (lambda root: (save(root / "photos"), None), "photos holds no photograph (.jpg"),
        (no_image, "it holds other files"),
        (damaged, "photograph {root}/photos/a.png"),
        (lambda root: (save(root / "photos", "a.png", "a.jpg"), None), "one name but for their endings"),
        (
            lambda root: (save(root / "photos", "a.png"), root / "nowhere"),
            "nowhere does not exist: name it with --masks",
        ),
        (
            lambda root: (save(root / "photos", "a.png", "b.png"), save_masks(root / "masks", "a.png")),
            "{root}/photos/b.png",
        ),
        (
            lambda root: (save(root / "photos", "A.png"), save_masks(root / "masks", "a.png")),
            "(a.png differs in case or encoding)",
        ),
        (
            lambda root: (save(root / "photos", "a.png"), save_masks(root / "masks", "a.png", "a_mask.png")),
            "two masks of photograph",
        ),
        (
            lambda root: (save(root / "photos", "a.png"), save_masks(root / "masks", "a.png", size=(20, 31))),
            "a.png is 31 x 20, its photograph 30 x 20",
        ),
        (
            lambda root: (save(root / "photos", "a.png"), save_masks(root / "masks", "a.png", value=7)),
            "holds 7: not declared",
        ),
        (
            lambda root: (save(root / "photos", "a.png"), save_masks(root / "masks", "a.png", value=255)),
            "100 pixels are 255, which is ignored; where that is the class 'cat', say so in classes.toml, values =",
        ),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, made: Callable[[Path], tuple[Path, Path | None]], words: str) -> None:
    with pytest.raises(DataError) as error:
        opened(*made(tmp_path))
    assert words.format(root=tmp_path) in str(error.value)


def test_black_and_white_masks_as_the_refusal_says(tmp_path: Path) -> None:
    """What it says to write is enough: the classes are the network's."""
    photos, masks = save(tmp_path / "photos", "a.png"), save_masks(tmp_path / "masks", "a.png", value=255)
    (masks / "classes.toml").write_text("values = {0 = 0, 255 = 1}")
    data = opened(photos, masks)
    assert data.info.classes == CLASSES
    assert (data.splits["test"][0].mask == 1).sum() > 50


def test_masks_of_background_alone(tmp_path: Path) -> None:
    """A few photographs may show no class at all."""
    data = opened(save(tmp_path / "photos", "a.png"), save_masks(tmp_path / "masks", "a.png", value=0))
    assert data.info.facts["images_without_foreground"]["test"] == {"count": 1, "names": ["a"]}


def test_masks_name_some_of_the_networks_classes(tmp_path: Path) -> None:
    """In a numbering of their own, or by the network's names: the others are in no mask."""
    photos, masks = save(tmp_path / "photos", "a.png"), save_masks(tmp_path / "masks", "a.png", value=1)
    network = ("background", "bird", "cat", "dog")
    for text in ('classes = ["background", "dog"]', 'values = {0 = 0, 1 = "dog"}\nignore = [2, 3]'):
        (masks / "classes.toml").write_text(text)
        data = opened(photos, masks, classes=network)
        assert data.info.classes == network
        assert set(np.unique(data.splits["test"][0].mask)) == {0, 3, 255}  # 255 is the padding


def test_classes_that_are_not_the_networks(tmp_path: Path) -> None:
    photos, masks = save(tmp_path / "photos", "a.png"), save_masks(tmp_path / "masks", "a.png")
    (masks / "classes.toml").write_text('classes = ["background", "dog"]')
    with pytest.raises(InputError, match=r"names dog, and the network's classes are background, cat"):
        opened(photos, masks)
    (masks / "classes.toml").write_text("values = {0 = 0, 1 = 255}")
    with pytest.raises(DataError, match=r"a value that is ignored stands in ignore = \[1\]"):
        opened(photos, masks)
    (masks / "classes.toml").unlink()
    with pytest.raises(InputError, match=r"needs the names of the classes"):
        opened(photos, masks, classes=())


def test_no_folder_at_all() -> None:
    with pytest.raises(InputError, match="needs a folder of photographs: name it with --images"):
        opened(None)  # type: ignore[arg-type]
