"""Known data sets, as they are published: folders, names, values or colours, what is ignored, and splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcam.datasets.described.known import LABELS, LAYOUTS
from segcam.samples import IGNORE
from tests.segcam.datasets.described.roots import SIZE, Root

NOISE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def squares(values: list[int] | list[tuple[int, int, int]]) -> np.ndarray:
    """A mask of four quarters."""
    four = np.array(values, np.uint8)[np.arange(4).reshape(2, 2)]
    return four.repeat(SIZE // 2, 0).repeat(SIZE // 2, 1)


def cityscapes(root: Root, ending: str = "labelIds", values: tuple[int, ...] = (7, 26, 3, 33)) -> None:
    for split, city, count in (
        ("train", "aachen", 6),
        ("train", "bochum", 2),
        ("val", "munster", 3),
        ("test", "bonn", 2),
    ):
        for i in range(count):
            name = f"{split}/{city}/{city}_00000{i}_000019"
            root.save(f"leftImg8bit/{name}_leftImg8bit.png", NOISE)
            root.save(f"gtFine/{name}_gtFine_{ending}.png", squares(list(values)))
            root.save(f"gtFine/{name}_gtFine_color.png", NOISE)
            root.save(f"gtFine/{name}_gtFine_polygons.json", "{}")


class TestCityscapes:
    def test_ids_become_train_ids(self, root: Root) -> None:
        cityscapes(root)
        root.describe('layout = "cityscapes"\n')
        opened = root.open()
        assert opened.info.classes[:3] == ("road", "sidewalk", "building")
        assert len(opened.info.classes) == 19
        ids = root.ids()
        assert ids["test"] == [f"munster/munster_00000{i}_000019" for i in range(3)], "the test masks are not public"
        assert len(ids["train"]) == 7
        assert len(ids["val"]) == 1
        assert opened.info.facts["drawn_by_hash"] == ["val"]
        for sample in root.samples().values():
            np.testing.assert_array_equal(sample.mask, squares([0, 13, IGNORE, 18]))

    def test_below_the_root(self, root: Root) -> None:
        cityscapes(root)
        root.describe('layout = "cityscapes"\n')
        ids = root.ids()
        (root.path / "cityscapes").mkdir()
        for folder in ("leftImg8bit", "gtFine"):
            (root.path / folder).rename(root.path / "cityscapes" / folder)
        assert root.ids() == ids

    def test_the_test_images_alone(self, root: Root) -> None:
        """As one explains a network that somebody else trained."""
        cityscapes(root)
        shutil.rmtree(root.path / "leftImg8bit/train")
        root.describe('layout = "cityscapes"\n')
        assert list(root.ids(test_only=True)) == ["test"]
        assert len(root.ids(test_only=True)["test"]) == 3
        root.error("leaves 0 photographs to train on")

    def test_train_ids_where_there_are_no_others(self, root: Root) -> None:
        cityscapes(root, "labelTrainIds", (0, 13, 255, 18))
        root.describe('layout = "cityscapes"\n')
        np.testing.assert_array_equal(
            root.samples()["munster/munster_000001_000019"].mask, squares([0, 13, IGNORE, 18])
        )

    def test_some_of_the_classes(self, root: Root) -> None:
        cityscapes(root)
        root.describe('layout = "cityscapes"\nclasses = ["road", "car"]\n')
        np.testing.assert_array_equal(
            root.samples()["munster/munster_000001_000019"].mask, squares([0, 1, IGNORE, IGNORE])
        )
        root.describe('layout = "cityscapes"\nclasses = ["road", "cow"]\n')
        root.error("classes: 'cow' not among the classes of 'cityscapes', which are road, sidewalk")

    def test_ids_in_a_folder_of_ones_own(self, root: Root) -> None:
        root.fill({f"{i}": squares([7, 8, 11, 26]) for i in range(4)})
        root.describe("values = 'cityscapes'\nclasses = ['road', 'sidewalk', 'building', 'car']\n")
        np.testing.assert_array_equal(root.samples()["1"].mask, squares([0, 1, 2, 3]))
        root.describe("values = {7 = 'road', 8 = 1, 11 = 2, 26 = 'car'}\nclasses = ['road', 'b', 'c', 'car']\n")
        np.testing.assert_array_equal(root.samples()["1"].mask, squares([0, 1, 2, 3]))

    def test_one_class_alone(self, root: Root) -> None:
        root.fill({f"{i}": squares([0, 1, 2, 255]) for i in range(4)})
        root.describe("values = 'cityscapes-train'\nclasses = ['road']\n")
        np.testing.assert_array_equal(root.samples()["1"].mask, squares([0, IGNORE, IGNORE, IGNORE]))

    def test_colours_in_a_folder_of_ones_own(self, root: Root) -> None:
        root.fill({f"{i}": squares([(128, 64, 128), (0, 0, 142), (0, 0, 0), (81, 0, 81)]) for i in range(4)})
        root.describe("colours = 'cityscapes'\n")
        np.testing.assert_array_equal(root.samples()["1"].mask, squares([0, 13, IGNORE, IGNORE]))


class TestCamVid:
    SKY, ARCHWAY, VOID, TRAIN = (128, 128, 128), (192, 0, 128), (0, 0, 0), (192, 64, 128)

    def test_as_cambridge_publishes_it(self, root: Root) -> None:
        for i in range(5):
            root.save(f"701_StillsRaw_full/0001TP_00669{i}.png", NOISE)
            root.save(
                f"LabeledApproved_full/0001TP_00669{i}_L.png", squares([self.SKY, self.ARCHWAY, self.VOID, self.TRAIN])
            )
        root.describe('layout = "camvid"\n')
        opened = root.open()
        assert opened.info.classes[:3] == ("sky", "building", "pole")
        assert len(opened.info.classes) == 11
        assert opened.info.facts["drawn_by_hash"] == ["val", "test"]
        np.testing.assert_array_equal(root.samples()["0001TP_006693"].mask, squares([0, 1, IGNORE, 8]))

    def test_in_folders_of_splits_by_colour(self, root: Root) -> None:
        for split, count in (("train", 3), ("val", 1), ("test", 2)):
            for i in range(count):
                root.save(f"{split}/{split}_{i}.png", NOISE)
                root.save(f"{split}_labels/{split}_{i}_L.png", squares([self.SKY, self.ARCHWAY, self.VOID, self.TRAIN]))
        root.save("class_dict.csv", "name,r,g,b")
        root.describe('layout = "camvid"\n')
        assert root.ids() == {
            "train": ["train_0", "train_1", "train_2"],
            "val": ["val_0"],
            "test": ["test_0", "test_1"],
        }
        np.testing.assert_array_equal(root.samples()["val_0"].mask, squares([0, 1, IGNORE, 8]))

    def test_as_segnet_publishes_it(self, root: Root) -> None:
        for split, count in (("train", 3), ("val", 1), ("test", 2)):
            for i in range(count):
                root.save(f"{split}/{split}_{i}.png", NOISE)
                root.save(f"{split}annot/{split}_{i}.png", squares([0, 1, 11, 10]))
        root.describe('layout = "camvid"\n')
        assert root.open().info.facts["drawn_by_hash"] == []
        np.testing.assert_array_equal(root.samples()["val_0"].mask, squares([0, 1, IGNORE, 10]))


def test_ade20k(root: Root) -> None:
    for folder, split, count in (("training", "train", 5), ("validation", "val", 2)):
        for i in range(count):
            root.save(f"images/{folder}/ADE_{split}_0000000{i}.jpg", NOISE)
            root.save(f"annotations/{folder}/ADE_{split}_0000000{i}.png", squares([0, 1, 150, 13]))
    root.describe('layout = "ade20k"\n')
    classes = root.open().info.classes
    assert (classes[0], classes[12], classes[149], len(classes)) == ("wall", "person", "flag", 150)
    assert root.ids()["test"] == ["ADE_val_00000000", "ADE_val_00000001"]
    np.testing.assert_array_equal(root.samples()["ADE_val_00000001"].mask, squares([IGNORE, 0, 149, 12]))


@pytest.mark.parametrize("below", ["", "VOCdevkit/VOC2012/", "VOC2012/", "VOCdevkit/VOC2007/"])
def test_voc(root: Root, below: str) -> None:
    mask = Image.fromarray(squares([0, 15, 255, 20]))
    palette = np.zeros((256, 3), np.uint8)
    palette[[0, 15, 20, 255]] = [[0, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]
    mask.putpalette(palette.tobytes())
    for i in range(8):
        root.save(f"{below}JPEGImages/2007_00{i}.jpg", NOISE)
    for i in range(6):  # most photographs have no mask, and are in no list
        root.save(f"{below}SegmentationClass/2007_00{i}.png", mask)
    root.save(f"{below}ImageSets/Segmentation/train.txt", "2007_000\n2007_001\n2007_003\n")
    root.save(f"{below}ImageSets/Segmentation/val.txt", "2007_002\n2007_005\n")
    root.describe('layout = "voc"\n')
    opened = root.open()
    assert opened.info.classes[15] == "person"
    assert opened.info.facts["files_left_out"] == 3
    assert root.ids()["test"] == ["2007_002", "2007_005"]
    assert sorted(root.ids()["train"] + root.ids()["val"]) == ["2007_000", "2007_001", "2007_003"]
    np.testing.assert_array_equal(root.samples()["2007_001"].mask, squares([0, 15, IGNORE, 20]))
    root.save(f"{below}ImageSets/Segmentation/val.txt", "2007_009\n")
    root.error("val.txt cannot be used (1 in all)", "'2007_009': no such photograph")


def test_what_is_not_there(root: Root) -> None:
    for name in LAYOUTS:
        root.describe(f"layout = {name!r}\n")
        root.error(f"holds no {name} as it is published; wanted are")
    root.describe("layout = 'kitti'\n")
    root.error("layout = 'kitti': known are camvid, cityscapes, ade20k, voc")
    root.describe("layout = 'voc'\nignore = 3\n")
    root.error("ignore: the layout 'voc' says it already; leave one of them out")


@pytest.mark.parametrize("name", LABELS)
def test_no_value_or_colour_means_two_things(name: str) -> None:
    labels = LABELS[name]
    values = [v for listed in labels.values.values() for v in listed]
    assert len({*values, *labels.ignored}) == len(values) + len(labels.ignored)
    colours = [v for listed in labels.colours.values() for v in listed]
    assert len({*colours, *labels.ignored_colours}) == len(colours) + len(labels.ignored_colours)
    assert not labels.colours or labels.colours.keys() == labels.values.keys()
