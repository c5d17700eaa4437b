"""What a mask's values mean: values, colours, ids and what is ignored, by what `classes.toml` says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcam.samples import IGNORE
from tests.segcam.datasets.described.roots import SIZE, Root, halves

TWO = 'classes = ["background", "polyp"]\n'
THREE = 'classes = ["background", "cat", "dog"]\n'
COLOURS = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)
IN_COLOUR = "colours = {background = [0, 0, 0], cat = [200, 0, 0], dog = [0, 0, 200]}\n"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def random_labels(classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, (SIZE, SIZE), dtype=np.uint8)


class TestBlackAndWhite:
    """0 and 255, where 255 is also what is ignored by default."""

    def test_is_asked_about_and_the_cure_works(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 255) for i in range(5)})
        for ignored in ("", "ignore = 255\n"):
            root.describe(TWO + ignored)
            text = root.error("no mask", "320 pixels are 255, which is ignored", "where that is the class 'polyp'")
        cure = re.search(r"values = \{.*?\}", text)
        assert cure is not None
        root.describe(TWO + cure[0])
        for sample in root.samples().values():
            np.testing.assert_array_equal(sample.mask, halves(0, 1))

    def test_masks_that_are_all_blank_are_not_the_masks(self, root: Root) -> None:
        """Each class's pixels were empty, and no metric would have a value."""
        root.fill({f"{i}": halves(0, 0) for i in range(5)})
        root.describe(TWO)
        root.error("no mask", "holds a class but the background, 'background': all 5 are blank", "folders = {...}")
        root.fill({f"{i}": halves(0, int(i == 4)) for i in range(5)})
        assert root.open().info.classes == ("background", "polyp")

    def test_the_cure_names_all_classes(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 255) for i in range(5)})
        root.describe(THREE)
        cure = re.search(r"values = \{.*?\}", root.error("where that is the class 'cat'"))
        assert cure is not None
        root.describe(THREE + cure[0])
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(0, 1))

    def test_another_value_to_ignore_does_not_make_it_a_class(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 255) for i in range(5)})
        root.describe(TWO + "ignore = 254\n")
        root.error("holds 255: not declared", "known are 0 to 1 and 254 (ignored)", "values = {0 = 0, ...}")
        root.describe(TWO + "ignore = 254\nvalues = {0 = 0, 255 = 'polyp'}\n")
        assert root.open().info.facts["images_with_class"]["train"]["polyp"] == 3

    @pytest.mark.parametrize("ignored", ["", "ignore = 255\n"])
    def test_files_of_both_kinds(self, root: Root, ignored: str) -> None:
        root.fill({f"{i}": halves(0, 1 if i % 2 else 255) for i in range(8)})
        root.describe(TWO + ignored)
        text = root.error("4 of 8 masks", "hold the background and 255 alone", "is 255 a class?")
        first, second = re.findall(r"values = \{.*?\}", text)
        root.describe(TWO + first)
        for sample in root.samples().values():
            np.testing.assert_array_equal(sample.mask, halves(0, 1))
        root.describe(TWO + second + "\nignore = 255\n")
        for sample in root.samples().values():
            np.testing.assert_array_equal(sample.mask, halves(0, 1 if int(sample.id) % 2 else IGNORE))
        root.describe(TWO + "values = {0 = 0, 255 = 1}\n")
        root.error("holds 1: not declared in classes.toml, known are 0, 255")

    def test_a_border_around_classes_is_not_asked_about(self, root: Root) -> None:
        bordered = halves(0, 1)
        bordered[4] = 255
        root.fill({f"{i}": bordered for i in range(5)})
        root.describe(TWO)
        assert (root.samples()["0"].mask == bordered).all()
        root.save("masks/3.png", halves(0, 255))  # no object, and something unclear
        root.error("1 of 5 masks", "such as that of 3")
        root.describe(TWO + "ignore = 255\n")
        assert root.open()

    def test_three_greys(self, root: Root) -> None:
        greys = np.array([0, 128, 255], np.uint8)
        masks = {f"{i}": random_labels(3, i) for i in range(4)}
        root.fill({name: greys[mask] for name, mask in masks.items()})
        root.describe(THREE + "values = {0 = 0, 128 = 1, 255 = 2}\n")
        for name, sample in root.samples().items():
            np.testing.assert_array_equal(sample.mask, masks[name])

    def test_several_values_of_a_class_and_several_ignored(self, root: Root) -> None:
        root.fill({f"{i}": np.arange(256, dtype=np.uint8).reshape(16, 16) // 32 for i in range(4)})
        root.describe(TWO + "values = {0 = 0, 1 = 1, 2 = 1, 5 = 0}\nignore = [3, 4, 6, 7]\n")
        assert np.unique(root.samples()["0"].mask[::2, 0]).tolist() == [0, 1, 255]
        assert root.samples()["0"].mask[::2, 0].tolist() == [0, 1, 1, 255, 255, 0, 255, 255]


class TestZeroIgnored:
    """ADE20K's way: 0 is 'not labelled', classes count from 1."""

    def test_classes_from_one(self, root: Root) -> None:
        masks = {f"{i}": random_labels(4, i) for i in range(5)}
        root.fill(masks)
        for more in ("", "ignore = 0\n", "ignore = [0, 255]\n"):
            root.describe(f'classes = ["wall", "sky", "tree"]\nreduce_zero_label = true\n{more}')
            for name, sample in root.samples().items():
                np.testing.assert_array_equal(sample.mask, np.where(masks[name] == 0, IGNORE, masks[name] - 1))

    @pytest.mark.parametrize("classes", ['["wall", "sky", "tree"]', '["unlabelled", "wall", "sky", "tree"]'])
    def test_ignoring_a_class_is_a_contradiction_with_a_cure(self, root: Root, classes: str) -> None:
        root.fill({f"{i}": random_labels(4, i) for i in range(5)})
        root.describe(f"classes = {classes}\nignore = 0\n")
        root.error(
            "ignore = 0: that is the class", "write reduce_zero_label = true, and in classes the names from 1 on"
        )
        root.describe('classes = ["wall", "sky", "tree"]\nreduce_zero_label = true')
        assert sorted(np.unique(root.samples()["0"].mask)) == [0, 1, 2, 255]

    def test_a_first_class_that_fills_the_image_is_no_background(self, root: Root) -> None:
        root.fill({f"{i}": halves(1, 0) for i in range(4)})
        root.describe('classes = ["wall", "sky"]\nreduce_zero_label = true')
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(0, IGNORE))


class TestColours:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "npy"])
    def test_masks_are_read_by_colour(self, root: Root, mode: str) -> None:
        masks = {f"{i}": random_labels(3, i) for i in range(4)}
        ending = "npy" if mode == "npy" else "png"
        for name, mask in masks.items():
            picture: Image.Image = Image.fromarray(COLOURS[mask])
            if mode == "P":
                picture = picture.quantize(3)
            root.fill(
                {name: np.asarray(picture) if mode == "npy" else picture.convert(mode)}, mask=f"masks/{{}}.{ending}"
            )
        root.describe(THREE + IN_COLOUR)
        for name, sample in root.samples().items():
            np.testing.assert_array_equal(sample.mask, masks[name])

    def test_a_palette_of_its_own_for_each_mask(self, root: Root) -> None:
        """Files made one by one: index 1 is another class in each."""
        masks = {f"{i}": halves(0, 1 + i % 2) for i in range(8)}
        as_palettes = {
            name: Image.fromarray(COLOURS[mask]).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
            for name, mask in masks.items()
        }
        root.fill(as_palettes)
        root.describe(THREE)
        root.error("the palettes of the masks", "differ", "colours = {...}, of [0, 0, 0], [0, 0, 200], [200, 0, 0]")
        root.describe(THREE + IN_COLOUR)
        for name, sample in root.samples().items():
            np.testing.assert_array_equal(sample.mask, masks[name])

    def test_a_palette_that_begins_with_the_object(self, root: Root) -> None:
        """As programs write it that sort colours: all files agree, and all have the classes the wrong way round."""
        picture = Image.fromarray(halves(1, 0))
        picture.putpalette([200, 0, 0, 0, 0, 0])
        root.fill({f"{i}": picture for i in range(5)})
        root.describe(TWO)
        root.error("0 is the colour [200, 0, 0] and 1 is black: is 'background' the black one?")
        root.describe(TWO + "colours = {background = [0, 0, 0], polyp = [200, 0, 0]}\n")
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(0, 1))
        root.describe(TWO + "values = {0 = 0, 1 = 1}\n")
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(1, 0))

    def test_a_named_table_of_values_does_not_look_at_palettes(self, root: Root) -> None:
        picture = Image.fromarray(halves(7, 26))
        picture.putpalette([9, 8, 7] * 256)
        root.fill({f"{i}": picture for i in range(5)})
        root.describe("classes = ['road', 'car']\nvalues = 'cityscapes'\n")
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(0, 1))
        root.describe("classes = ['road', 'car']\ncolours = 'cityscapes'\n")
        root.error("holds the colours [9, 8, 7]: not declared")

    def test_undeclared_colours(self, root: Root) -> None:
        shaded = COLOURS[halves(0, 1)]
        shaded[3] = [100, 0, 0]
        root.fill({f"{i}": COLOURS[halves(0, 2)] for i in range(4)} | {"shaded": shaded})
        root.describe(THREE)
        root.error("(5 in all)", "holds colours (mode RGB)", "colours = {...} in classes.toml")
        root.describe(THREE + IN_COLOUR)
        root.error("(1 in all)", "holds the colours [100, 0, 0]: not declared", "known are [0, 0, 0], [200, 0, 0]")
        root.describe(THREE + IN_COLOUR + "ignore = [[100, 0, 0]]\n")
        assert (root.samples()["shaded"].mask[3] == IGNORE).all()
        root.describe(THREE + IN_COLOUR + "ignore = [100, 0, 0]\n")  # one colour needs no list around it
        assert (root.samples()["shaded"].mask[3] == IGNORE).all()

    def test_several_colours_of_a_class_in_the_order_of_the_classes(self, root: Root) -> None:
        root.fill({f"{i}": COLOURS[random_labels(3, i)] for i in range(4)})
        root.describe(TWO + "colours = [[0, 0, 0], [[200, 0, 0], [0, 0, 200]]]\n")
        assert np.unique(root.samples()["0"].mask).tolist() == [0, 1]

    def test_white_is_a_colour_and_not_ignored(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 255) for i in range(4)})
        root.describe(TWO + "colours = {background = [0, 0, 0], polyp = [255, 255, 255]}\n")
        np.testing.assert_array_equal(root.samples()["0"].mask, halves(0, 1))
        root.describe(TWO + "colours = {background = [0, 0, 0], polyp = [9, 9, 9]}\nignore = 255\n")
        root.error("no mask", "pixels are [255, 255, 255], which is ignored")

    def test_greys_by_value_beside_colours(self, root: Root) -> None:
        root.fill({f"{i}": COLOURS[random_labels(3, i)] if i % 2 else random_labels(3, i) for i in range(4)})
        root.describe(THREE + IN_COLOUR + "values = {0 = 0, 1 = 1, 2 = 2}\n")
        for name, sample in root.samples().items():
            np.testing.assert_array_equal(sample.mask, random_labels(3, int(name)))

    def test_grey_indices_are_no_colours(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 1) for i in range(4)})
        root.describe(THREE + IN_COLOUR)
        root.error("holds the colours [1, 1, 1]: not declared")


class TestArrays:
    @pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool", "uint16"])
    @pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 1), (1, SIZE, SIZE)])
    def test_masks(self, root: Root, dtype: str, shape: tuple[int, ...]) -> None:
        for i in range(4):
            root.save(f"images/{i}.png", np.zeros((SIZE, SIZE, 3), np.uint8))
            root.save(f"masks/{i}.npy", halves(0, 1).astype(dtype).reshape(shape))
        root.describe(TWO)
        np.testing.assert_array_equal(root.samples()["2"].mask, halves(0, 1))

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((SIZE, SIZE, 2)), f"is ({SIZE}, {SIZE}, 2), wanted (height, width), a whole number a pixel"),
            (np.full((SIZE, SIZE), 0.5), "holds fractions"),
            (np.full((SIZE, SIZE), np.nan), "holds fractions"),
            (np.full((SIZE, SIZE), -1), "holds -1: not declared"),
            (np.full((SIZE, SIZE), 2**63, np.uint64), "holds"),
            (np.full((SIZE, SIZE), 1j), "holds complex128, wanted whole numbers or floating point"),
            (np.zeros((SIZE, 0), np.uint8), "it has no pixel"),
        ],
    )
    def test_that_are_no_masks(self, root: Root, array: np.ndarray, words: str) -> None:
        root.fill({f"{i}": halves(0, 1) for i in range(4)})
        (root.path / "masks/2.png").unlink()
        file = root.save("masks/2.npy", array)
        root.describe(TWO)
        root.error("(1 in all)", f"mask {file}", words)

    @pytest.mark.parametrize(
        "content", [b"", b"\x93NUMPY", b"no array", b"\x93NUMPY\x01\x00\x04\x00{}  ", b"\x80\x04."]
    )
    def test_damaged(self, root: Root, content: bytes) -> None:
        root.fill({f"{i}": halves(0, 1) for i in range(4)})
        (root.path / "masks/2.png").unlink()
        (root.path / "masks/2.npy").write_bytes(content)
        root.describe(TWO)
        root.error("(1 in all)", f"mask {root.path / 'masks/2.npy'}", "restore it")

    def test_pickled_objects_are_not_loaded(self, root: Root) -> None:
        root.fill({f"{i}": halves(0, 1) for i in range(4)})
        (root.path / "masks/2.png").unlink()
        np.save(root.path / "masks/2.npy", np.array([{}], object), allow_pickle=True)
        root.describe(TWO)
        root.error("masks/2.npy cannot be read (Array can't be memory-mapped")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("values = {}", "values = {}: wanted a table such as {0 = 0, 255 = 1}"),
        ("values = 3", "values = 3: wanted a table"),
        (
            "values = 'kitti'",
            "values = 'kitti': known are cityscapes, cityscapes-train, camvid, voc, ade20k, or a table",
        ),
        ("values = {cat = 0}", "'cat' in values: wanted a mask's value, 0 to 65535, = its class"),
        ("values = {0 = 0, 255 = 7}", "255 = 7 in values: no class; known are 0 'background', 1 'cat', 2 'dog'"),
        ("values = {0 = 0, 255 = 'Cat'}", "255 = 'Cat' in values: no class"),
        ("values = {0 = 0, 255 = 1}", "values: none for 'dog'; each class has one"),
        ("values = {0 = 0, 1 = 1, 2 = 2}\nignore = [2]", "ignore = 2: that is the class 'dog'"),
        ("values = {0 = 0, 1 = 1, 2 = 2}\nreduce_zero_label = true", "both say what values are"),
        ("reduce_zero_label = 1", "reduce_zero_label = 1: wanted true or false"),
        ("colours = {}", "colours = {}: wanted a table such as {cat = [128, 0, 0]}"),
        ("colours = [[0, 0, 0]]", "or a list of 3 colours, one a class"),
        ("colours = {cat = [0, 0]}", "cat = [0, 0] in colours: wanted [red, green, blue]"),
        ("colours = {cat = [0, 0, 256]}", "cat = [0, 0, 256] in colours: wanted"),
        ("colours = {cow = [0, 0, 0]}", "'cow' in colours: no class"),
        ("colours = {cat = [0, 0, 0], dog = [0, 0, 0]}", "[0, 0, 0] in colours is the colour of 'cat' and 'dog'"),
        ("colours = {cat = [1, 0, 0], dog = [0, 0, 0]}", "colours: none for 'background'"),
        ("ignore = [0, 'a']", "wanted a whole number from 0 to 65535, or a list of such"),
        ("ignore = [[0, 0, 0]]", "wanted a whole number from 0 to 65535, or a list of such"),
        ("values = 'cityscapes'\ncolours = 'voc'", "values and colours name two data sets"),
        ("values = 'cityscapes'\nignore = 3", "ignore: values = 'cityscapes' says it already"),
        ("values = 'cityscapes'", "'background', 'cat', 'dog' not among the classes of 'cityscapes'"),
        ("colours = 'ade20k'", "colours = 'ade20k': known are cityscapes, camvid, voc"),
    ],
)
def test_what_cannot_be_meant(root: Root, text: str, words: str) -> None:
    root.fill({f"{i}": halves(0, 1) for i in range(4)})
    root.describe(THREE + text)
    root.error(words, "classes.toml")


def test_changed_values_are_not_answered_from_the_cache(root: Root) -> None:
    root.fill({f"{i}": halves(0, 255) for i in range(4)})
    root.describe(TWO + "values = {0 = 0, 255 = 1}\n")
    first = root.samples()["1"].mask
    root.describe(TWO + "values = {0 = 1, 255 = 0}\n")
    np.testing.assert_array_equal(root.samples()["1"].mask, 1 - first)
    root.describe(TWO + "values = {0 = 0, 7 = 1}\n")
    root.error("pixels are 255, which is ignored")
