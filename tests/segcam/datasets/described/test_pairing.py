"""Which photograph a mask belongs to: names, patterns, subfolders, splits by folder and by list."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.segcam.datasets.described.roots import Root, halves

TWO = 'classes = ["background", "polyp"]\n'
HALF = halves(0, 1)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


class TestPatterns:
    @pytest.mark.parametrize(
        ("image", "mask"),
        [
            ("{}", "{}_mask"),
            ("aachen_{}_leftImg8bit", "aachen_{}_gtFine_labelTrainIds"),
            ("{}", "mask_{}"),
            ("img_{}", "lbl_{}"),
            ("case.{}.image", "case.{}.seg"),
        ],
    )
    def test_names_that_differ_are_told_how_to_be_described(self, root: Root, image: str, mask: str) -> None:
        root.fill({f"{i}": HALF for i in range(4)}, f"images/{image}.png", f"masks/{mask}.png")
        root.describe(TWO)
        text = root.error("no photograph in", "has a mask in", "where names differ, say how in classes.toml: stems = ")
        cure = re.search(r"stems = \{.*\}", text)
        assert cure is not None
        root.describe(TWO + cure[0])
        assert len(root.samples()) == 4

    def test_other_files_beside_the_masks_are_passed_over(self, root: Root) -> None:
        root.fill({f"{i}": HALF for i in range(4)}, mask="masks/{}_mask.png")
        root.save("masks/0_outline.png", HALF)
        root.save("masks/0_polygons.json", "{}")
        root.describe(TWO + "stems = '{name}_mask'\n")
        assert root.open().info.facts["files_passed_over"] == 2
        root.describe(TWO + "stems = '{name}_seg'\n")
        root.error("no file in", "is named as '{name}_seg': the first is '0_mask.png'")

    def test_images_and_masks_in_one_folder(self, root: Root) -> None:
        root.fill({f"{i}": HALF for i in range(4)}, "data/benign ({}).png", "data/benign ({})_mask.png")
        root.describe(TWO + "stems = '{name}_mask'\nfolders = {images = 'data', masks = 'data'}\n")
        assert sorted(root.samples()) == [f"benign ({i})" for i in range(4)]
        root.describe(TWO + "folders = {images = 'data', masks = 'data'}\n")
        root.error("nothing tells one from the other")

    def test_files_in_the_root_itself(self, root: Root) -> None:
        root.fill({f"{i}": HALF for i in range(4)}, "{}.jpg", "{}_mask.png")
        root.describe(TWO + "stems = '{name}_mask'\nfolders = {images = '.', masks = '.'}\n")
        assert sorted(root.samples()) == list("0123")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("stems = '_mask'", "masks = '_mask' in stems: wanted a name without its ending with {name} once"),
            ("stems = '{name}_{name}'", "with {name} once"),
            ("stems = 'a/{name}'", "in stems: wanted"),
            ("stems = {photos = '{name}'}", "wanted a table with images, masks or both, a pattern each"),
            ("stems = 3", "stems = 3: wanted a table"),
            ("folders = {images = '/etc'}", "images = '/etc' in folders: wanted a folder below the root"),
            ("folders = {masks = '../x'}", "masks = '../x' in folders: wanted a folder below the root"),
            ("folders = {masks = 'labels'}", "labels does not exist"),
        ],
    )
    def test_that_cannot_be(self, root: Root, text: str, words: str) -> None:
        root.fill({f"{i}": HALF for i in range(4)})
        root.describe(TWO + text)
        root.error(words)


class TestFolders:
    def test_nested_ones(self, root: Root) -> None:
        root.fill({f"{city}/{i}": HALF for city in ("aachen", "bochum") for i in range(3)})
        root.describe(TWO)
        assert sorted(root.samples()) == [f"{city}/{i}" for city in ("aachen", "bochum") for i in range(3)]

    def test_a_link_to_a_folder_above_has_an_end(self, root: Root) -> None:
        root.fill({f"{i}": HALF for i in range(4)})
        (root.path / "images" / "again").symlink_to(root.path / "images")
        root.describe(TWO)
        assert sorted(root.samples()) == list("0123")

    @pytest.mark.parametrize(
        "names", [("train", "val", "test"), ("training", "validation", "testing"), ("Train", "Val", "Test")]
    )
    def test_of_splits(self, root: Root, names: tuple[str, ...]) -> None:
        root.fill({f"{name}/{i}": HALF for name in names for i in range(2)})
        root.describe(TWO)
        assert list(root.ids().values()) == [[f"{name}/0", f"{name}/1"] for name in names]
        assert root.open().info.facts["drawn_by_hash"] == []

    def test_of_splits_above(self, root: Root) -> None:
        for split in ("train", "valid", "test"):
            root.fill({f"{i}": HALF for i in range(2)}, f"{split}/images/{{}}.png", f"{split}/masks/{{}}.png")
        root.describe(TWO)
        assert list(root.ids().values()) == [[f"{name}/0", f"{name}/1"] for name in ("train", "valid", "test")]
        (root.path / "valid/masks/1.png").unlink()
        root.error(f"{root.path / 'valid/images/1.png'} has no mask {root.path / 'valid/masks/1.*'}")

    def test_of_two_splits_the_third_is_drawn(self, root: Root) -> None:
        root.fill({f"{name}/{i}": HALF for name in ("train", "val") for i in range(5)})
        root.describe(TWO)
        ids = root.ids()
        assert ids["val"] == [f"val/{i}" for i in range(5)]
        assert [len(ids[s]) for s in ("train", "test")] == [4, 1]
        assert root.open().info.facts["drawn_by_hash"] == ["test"]

    def test_of_other_names_are_no_splits(self, root: Root) -> None:
        root.fill({f"{name}/{i}": HALF for name in ("train", "val", "day3") for i in range(2)})
        root.describe(TWO)
        assert root.open().info.facts["drawn_by_hash"] == ["val", "test"]
        root.describe(TWO + "[splits]\ntrain = 'day3'\nval = 'val'\ntest = 'train/'\n")
        assert root.ids() == {"train": ["day3/0", "day3/1"], "val": ["val/0", "val/1"], "test": ["train/0", "train/1"]}


class TestLists:
    def test_in_files(self, root: Root) -> None:
        root.fill({f"a/{i}": HALF for i in range(6)})
        root.save("lists/train.txt", "0\na/1\nimages/a/2.png masks/a/2.png\n\n".replace("images/a/2.png", "a/2.png"))
        root.save("lists/test.txt", "/data/set/a/5.png /data/set/masks/5.png\n")
        root.describe(TWO + "[splits]\ntrain = 'lists/train.txt'\nval = ['3']\ntest = 'lists/test.txt'\n")
        assert root.ids() == {"train": ["a/0", "a/1", "a/2"], "val": ["a/3"], "test": ["a/5"]}
        assert root.open().info.facts["files_left_out"] == 1

    def test_photographs_in_no_list_need_no_mask(self, root: Root) -> None:
        root.fill({f"{i}": HALF for i in range(6)})
        (root.path / "masks/5.png").unlink()
        root.describe(TWO)
        root.error("has no mask")
        root.describe(TWO + "[splits]\ntrain = ['0', '1']\nval = ['2']\ntest = ['3']\n")
        assert sorted(root.samples()) == list("0123")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("val = 'nowhere'", "val = 'nowhere': neither a file"),
            ("val = 'empty.txt'", "empty.txt names no photograph: list one a line"),
            ("val = 'odd.txt'", "'nobody.png' in val: no such photograph"),
            ("val = ['0']\ntest = ['0', '1']", "'0' is in both val and test"),
            ("train = ['0']\nval = ['1']\ntest = ['1']", "'1' is in both val and test"),
        ],
    )
    def test_that_cannot_be(self, root: Root, text: str, words: str) -> None:
        root.fill({f"{i}": HALF for i in range(4)})
        root.save("empty.txt", "\n \n")
        root.save("odd.txt", "0.png\nnobody.png\n")
        root.describe(TWO + "[splits]\n" + text)
        root.error(words)

    def test_a_last_part_that_is_in_two_folders_is_no_name(self, root: Root) -> None:
        root.fill({f"{part}/{i}": HALF for part in "ab" for i in range(3)})
        root.describe(TWO + "[splits]\nval = ['1']\n")
        root.error("'1' in val: no such photograph")
        root.describe(TWO + "[splits]\nval = ['b/1']\n")
        assert root.ids()["val"] == ["b/1"]


def test_two_masks_of_one_photograph(root: Root) -> None:
    root.fill({f"{i}": HALF for i in range(4)})
    np.save(root.path / "masks/1.npy", HALF)
    root.describe(TWO)
    root.error("masks/1.npy and", "masks/1.png: two files of one name, keep one mask")
