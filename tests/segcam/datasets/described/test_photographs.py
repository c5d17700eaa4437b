"""Photographs of other channels and bits than RGB of 8, and those that a tag turns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segcam.channels import RGB, Channels
from segcam.samples import Batch
from tests.segcam.datasets.described.roots import SIZE, Root, halves

TWO = 'classes = ["background", "x"]\n'
GREY16 = "inputs = {channels = 1, bits = 16, mean = [0.5], std = [0.25]}\n"
HALF = halves(0, 1)
ORIENTATION = 0x0112


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.describe(TWO)
    return made


def noise(shape: tuple[int, ...], high: float, dtype: str) -> np.ndarray:
    return (np.random.default_rng(len(shape)).random(shape) * high).astype(dtype)


def fill(root: Root, ending: str, array: np.ndarray, count: int = 4) -> None:
    for i in range(count):
        root.save(f"masks/{i}.png", HALF)
        if ending == "tif" and (array.ndim > 2 or array.dtype != np.float32):
            tifffile.imwrite(
                root.save(f"images/{i}.tif", HALF),
                array,
                photometric="rgb" if array.shape[2:] == (3,) else "minisblack",
            )
        else:
            root.save(f"images/{i}.{ending}", array)


class TestChannels:
    @pytest.mark.parametrize("ending", ["png", "tif", "npy"])
    def test_grey_of_sixteen_bits(self, root: Root, ending: str) -> None:
        array = noise((SIZE, SIZE), 4000, "uint16")
        fill(root, ending, array)
        root.describe(TWO + GREY16)
        sample = root.samples()["1"]
        assert sample.channels == Channels((0.5,), (0.25,), 0, 65535)
        assert sample.image.dtype == np.uint16
        np.testing.assert_array_equal(sample.image, array[..., None])
        inputs = Batch.of([sample]).inputs()
        np.testing.assert_allclose(inputs[0, 0], (array / 65535 - 0.5) / 0.25, atol=1e-5)

    @pytest.mark.parametrize("ending", ["tif", "npy"])
    def test_floating_point_in_a_range(self, root: Root, ending: str) -> None:
        array = noise((SIZE, SIZE), 2, "float32") - 1
        fill(root, ending, array)
        root.describe(TWO + "inputs = {channels = 1, range = [-1, 1], mean = 0.5, std = 0.5}\n")
        sample = root.samples()["1"]
        assert sample.image.dtype == np.float32
        np.testing.assert_allclose(Batch.of([sample]).inputs()[0, 0], array, atol=1e-6)

    @pytest.mark.parametrize("count", [2, 4, 5, 7])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize(
        ("ending", "dtype"), [("npy", "uint8"), ("npy", "float32"), ("tif", "uint16"), ("tif", "uint8")]
    )
    def test_any_number(self, root: Root, count: int, first: bool, ending: str, dtype: str) -> None:
        array = noise((SIZE, SIZE, count), 1 if dtype == "float32" else 255, dtype)
        fill(root, ending, np.moveaxis(array, 2, 0) if first else array)
        limits = {"uint8": "bits = 8", "uint16": "bits = 16", "float32": "range = [0, 1]"}[dtype]
        root.describe(TWO + f"inputs = {{channels = {count}, {limits}, mean = 0.5, std = 0.25}}\n")
        np.testing.assert_array_equal(root.samples()["1"].image, array)
        batch = Batch.of(list(root.samples().values()))
        assert batch.inputs().shape == (4, count, SIZE, SIZE)
        assert batch.displayed().shape == (4, 3, SIZE, SIZE)

    def test_sixteen_bits_a_colour(self, root: Root) -> None:
        array = noise((SIZE, SIZE, 3), 65535, "uint16")
        fill(root, "tif", array)
        root.error("has more than 8 bits", "inputs = {channels = 3, bits = 16}")
        root.describe(TWO + "inputs = {bits = 16}\n")
        np.testing.assert_array_equal(root.samples()["0"].image, array)

    def test_grey_is_repeated_for_three_channels(self, root: Root) -> None:
        array = noise((SIZE, SIZE), 65535, "uint16")
        fill(root, "png", array)
        root.error("inputs = {channels = 1, bits = 16", "or channels = 3, which repeats them, and bits = 16 alone")
        root.describe(TWO + "inputs = {channels = 3, bits = 16}\n")
        np.testing.assert_array_equal(root.samples()["0"].image, np.repeat(array[..., None], 3, 2))

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
    def test_modes_of_eight_bits_as_grey(self, root: Root, mode: str) -> None:
        array = noise((SIZE, SIZE), 256, "uint8") // 128 * 255
        for i in range(4):
            root.save(f"masks/{i}.png", HALF)
            root.save(f"images/{i}.png", Image.fromarray(array).convert(mode))
        root.describe(TWO + "inputs = {channels = 1, mean = 0.5, std = 0.5}\n")
        np.testing.assert_array_equal(root.samples()["0"].image[..., 0], array)

    def test_colours_are_not_made_grey(self, root: Root) -> None:
        fill(root, "png", noise((SIZE, SIZE, 3), 256, "uint8"))
        root.describe(TWO + "inputs = {channels = 1, mean = 0.5, std = 0.5}\n")
        root.error("has 3 channels, wanted 1", "inputs = {channels = 3")

    def test_eight_bits_as_arrays_need_no_description(self, root: Root) -> None:
        array = noise((SIZE, SIZE, 3), 256, "uint8")
        fill(root, "npy", array)
        sample = root.samples()["1"]
        assert sample.channels == RGB
        np.testing.assert_array_equal(sample.image, array)

    def test_another_mean_is_no_other_file(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(root, "png", noise((SIZE, SIZE), 256, "uint8"))
        root.describe(TWO + "inputs = {channels = 1, mean = 0.5, std = 0.5}\n")
        root.open()
        monkeypatch.setattr("segcam.datasets.folder.load_pair", None)
        root.describe(TWO + "inputs = {channels = 1, mean = 0.25, std = 0.5}\n")
        assert root.samples()["0"].channels.mean == (0.25,)

    @pytest.mark.parametrize(
        ("ending", "dtype", "high"),
        [("png", "uint16", 4000), ("tif", "float32", 0.75), ("npy", "float64", 1), ("npy", "int16", 3000)],
    )
    def test_the_cure_of_a_refusal_works(self, root: Root, ending: str, dtype: str, high: float) -> None:
        array = noise((SIZE, SIZE), high, dtype)
        fill(root, ending, array)
        found = re.search(r"inputs = \{(.*?)(, \.\.\.)?\}", root.error("inputs = {"))
        assert found is not None
        more = "" if "mean" in found[1] else ", channels = 1, mean = 0.5, std = 0.25"
        root.describe(TWO + f"inputs = {{{found[1]}{more}}}\n")
        np.testing.assert_allclose(root.samples()["0"].image[..., 0], array, rtol=1e-6)

    @pytest.mark.parametrize(
        ("text", "array", "words"),
        [
            (GREY16, np.full((SIZE, SIZE), -1), "holds -1 to -1, outside 0 to 65535"),
            (GREY16, np.full((SIZE, SIZE), 1.5), "holds float64 numbers from 1.5 to 1.5: name the range"),
            (
                GREY16,
                np.zeros((SIZE, SIZE, 3, 2)),
                "is (16, 16, 3, 2), wanted (height, width) or (height, width, channels)",
            ),
            (GREY16, np.zeros((SIZE, SIZE, 5), "uint16"), "has 5 channels, wanted 1"),
            ("inputs = {channels = 1, range = [0, 1], mean = 0, std = 1}", np.full((SIZE, SIZE), np.nan), "holds NaN"),
            (
                "inputs = {channels = 1, range = [0, 1], mean = 0, std = 1}",
                np.full((SIZE, SIZE), 3.0),
                "holds 3 to 3, outside 0 to 1",
            ),
            ("", np.full((SIZE, SIZE, 3), 0.5), "holds float64 numbers from 0.5 to 0.5: name the range"),
            ("", np.full((SIZE, SIZE, 3), 256), "holds 256 to 256, outside 0 to 255"),
        ],
    )
    def test_arrays_that_are_refused(self, root: Root, text: str, array: np.ndarray, words: str) -> None:
        fill(root, "npy", array)
        root.describe(TWO + text)
        root.error("(4 in all)", f"photograph {root.path / 'images/0.npy'} {words}")

    def test_a_photograph_of_another_size_than_its_mask(self, root: Root) -> None:
        fill(root, "npy", noise((SIZE, SIZE + 2), 9, "uint8"))
        root.error(f"is {SIZE} x {SIZE}, its photograph {SIZE + 2} x {SIZE}")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("inputs = 3", "inputs = 3: wanted a table with some of bits, channels, mean, range, std"),
            ("inputs = {channel = 1}", "wanted a table with some of"),
            ("inputs = {channels = 0}", "channels = 0 in inputs: wanted a whole number"),
            (
                "inputs = {channels = 1}",
                "mean = None in inputs: wanted 1 number, one a channel, of values brought to 0..1",
            ),
            ("inputs = {channels = 4, mean = [0.5], std = 0.2}", "mean = [0.5] in inputs: wanted 4 numbers"),
            ("inputs = {std = [0, 0, 0]}", "inputs: deviations (0.0, 0.0, 0.0): each must be greater than 0"),
            ("inputs = {bits = 8, range = [0, 1]}", "bits and range in inputs both say"),
            ("inputs = {bits = 32}", "bits = 32 in inputs: wanted 1 to 16"),
            ("inputs = {range = [0]}", "range = [0] in inputs: wanted [lowest, highest]"),
            ("inputs = {range = [1, 0]}", "inputs: range 1 to 0"),
            (
                "resize = 'pad'",
                "unknown key 'resize': it is chosen where the images' size is: data.resize of a profile",
            ),
        ],
    )
    def test_descriptions_that_cannot_be(self, root: Root, text: str, words: str) -> None:
        fill(root, "png", noise((SIZE, SIZE), 9, "uint8"))
        root.describe(TWO + text)
        root.error(words)


class TestTurned:
    """Photographs that are stored turned, with an EXIF tag that says so; masks drawn on what viewers show."""

    TURNS = ((1, 0), (3, 2), (6, 1), (8, 3))
    """The tag, and how often what is seen is turned by a quarter to the left to be stored so."""

    def save(
        self, root: Root, tag: int, turn: int, mask_turn: int = 0, mask_tag: int = 1, shape: tuple[int, int] = (16, 16)
    ) -> np.ndarray:
        mask = np.zeros(shape, np.uint8)
        mask[1:5, 2:14] = 1
        seen = np.repeat((mask * 200)[..., None], 3, 2)
        exif, of_mask = Image.Exif(), Image.Exif()
        exif[ORIENTATION], of_mask[ORIENTATION] = tag, mask_tag
        for i in range(4):
            root.save(f"images/{i}.jpg", np.ascontiguousarray(np.rot90(seen, turn)), exif=exif, quality=95)
            stored = np.ascontiguousarray(np.rot90(mask, mask_turn))
            root.save(f"masks/{i}.png", stored, **({"exif": of_mask} if mask_tag > 1 else {}))
        return mask

    @pytest.mark.parametrize(("tag", "turn"), TURNS)
    def test_the_photograph_alone_is_turned(self, root: Root, tag: int, turn: int) -> None:
        mask = self.save(root, tag, turn)
        if tag > 1:
            root.error("is turned by its EXIF tag", "write exif = 'apply' in classes.toml")
        root.describe(TWO + "exif = 'apply'\n")
        sample = root.samples()["2"]
        np.testing.assert_array_equal(sample.mask, mask)
        assert ((sample.image[..., 0] > 100) == (sample.mask == 1)).all()

    @pytest.mark.parametrize(("tag", "turn"), TURNS[1:])
    def test_a_mask_with_a_tag_of_its_own_is_turned_too(self, root: Root, tag: int, turn: int) -> None:
        mask = self.save(root, tag, turn, turn, tag)
        root.error("is turned by its EXIF tag", f"mask {root.path / 'masks/0.png'} is turned")
        root.describe(TWO + "exif = 'apply'\n")
        sample = root.samples()["2"]
        np.testing.assert_array_equal(sample.mask, mask)
        assert ((sample.image[..., 0] > 100) == (sample.mask == 1)).all()

    def test_a_mask_that_was_drawn_on_the_stored_photograph(self, root: Root) -> None:
        self.save(root, 6, 1, 1, shape=(16, 24))
        root.describe(TWO + "exif = 'apply'\n")
        root.error("it was drawn on the photograph as it is stored; save the photograph without its EXIF tag")

    def test_a_tiff_is_turned_by_nobody(self, root: Root) -> None:
        fill(root, "png", noise((SIZE, SIZE), 9, "uint8"))
        (root.path / "images/1.png").unlink()
        root.save("images/1.tif", HALF, tiffinfo={ORIENTATION: 6})
        root.describe(TWO + "exif = 'apply'\n")
        root.error("images/1.tif is a TIFF that its orientation tag turns: save it upright")
        root.describe(TWO)
        root.error("images/1.tif is turned by its EXIF tag")

    def test_other_channels_are_turned_alike(self, root: Root) -> None:
        mask = self.save(root, 6, 1)
        for i in range(4):
            file = root.path / f"images/{i}.jpg"
            with Image.open(file) as picture:
                picture.convert("L").save(file, exif=picture.getexif())
        inputs = "inputs = {channels = 1, mean = 0.5, std = 0.5}\n"
        root.describe(TWO + inputs)
        root.error("is turned by its EXIF tag")
        root.describe(TWO + inputs + "exif = 'apply'\n")
        sample = root.samples()["2"]
        assert ((sample.image[..., 0] > 100) == (mask == 1)).all()

    def test_no_other_word(self, root: Root) -> None:
        self.save(root, 1, 0)
        root.describe(TWO + "exif = 'ignore'\n")
        root.error("exif = 'ignore': known are refuse, apply")


def nifti(root: Root, name: str, array: np.ndarray, affine: Any = None) -> None:
    nibabel = pytest.importorskip("nibabel")
    file = root.path / name
    file.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), file)


class TestNifti:
    CT = "inputs = {channels = 1, range = [-1024, 3071], mean = 0.3, std = 0.2}\n"

    @pytest.mark.parametrize("ending", ["nii", "nii.gz"])
    @pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 1)])
    def test_a_slice_a_file(self, root: Root, ending: str, shape: tuple[int, ...]) -> None:
        values = (noise((SIZE, SIZE), 4000, "int16") - 1000).astype(np.int16)
        for i in range(4):
            nifti(root, f"images/{i}.{ending}", values.reshape(shape))
            nifti(root, f"masks/{i}.{ending}", HALF.T[:, ::-1].reshape(shape))
        root.describe(TWO + self.CT)
        sample = root.samples()["1"]
        np.testing.assert_array_equal(sample.mask, HALF)  # x to the right, y up
        np.testing.assert_array_equal(sample.image[..., 0], values.T[::-1])

    def test_damaged(self, root: Root) -> None:
        pytest.importorskip("nibabel")
        fill(root, "png", noise((SIZE, SIZE), 9, "uint8"))
        (root.path / "masks/1.png").unlink()
        (root.path / "masks/1.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))
        root.error("(1 in all)", f"mask {root.path / 'masks/1.nii.gz'} cannot be read")

    def test_without_the_library(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
        fill(root, "png", noise((SIZE, SIZE), 9, "uint8"))
        (root.path / "masks/1.png").unlink()
        (root.path / "masks/1.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))
        root.error("masks/1.nii.gz needs the package nibabel: pip install 'segcam[medical]'")

    def volumes(self, root: Root, ending: str = "nii.gz", count: int = 5) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(0)
        made = {}
        for i in range(count):
            values = rng.integers(-1000, 3000, (10, 8, 3 + i), dtype=np.int16)
            mask = (values > 1000).astype(np.uint8)
            made[f"case_{i}"] = values, mask
            for folder, array in (("images", values), ("masks", mask)):
                if ending == "npy":
                    root.save(f"{folder}/case_{i}.npy", array)
                else:
                    nifti(root, f"{folder}/case_{i}.{ending}", array)
        return made

    @pytest.mark.parametrize("ending", ["nii", "nii.gz", "npy"])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_volumes_slice_by_slice(self, root: Root, ending: str, axis: int) -> None:
        turned = np.asarray if ending == "npy" else np.rot90
        slices = {
            f"{name}/{k:0{len(str(values.shape[axis] - 1))}}": (
                turned(values.take(k, axis)),
                turned(mask.take(k, axis)),
            )
            for name, (values, mask) in self.volumes(root, ending).items()
            for k in range(values.shape[axis])
        }
        root.describe(TWO + self.CT + f"slices = {axis}\n")
        read = root.samples(resize="pad", size=10)
        assert read.keys() == slices.keys()
        for name, sample in read.items():
            values, mask = slices[name]
            if max(values.shape) == 10:  # at its own size
                inside = np.ones(sample.mask.shape, bool) if sample.valid is None else sample.valid
                np.testing.assert_array_equal(sample.image[inside, 0], values.reshape(-1))
                np.testing.assert_array_equal(sample.mask[inside], mask.reshape(-1))

    def test_slices_of_a_volume_are_in_one_split(self, root: Root) -> None:
        self.volumes(root)
        root.describe(TWO + self.CT + "slices = 2\n[splits]\nval = ['case_4']\n")
        ids = root.ids()
        cases = {split: {name.partition("/")[0] for name in names} for split, names in ids.items()}
        assert cases["val"] == {"case_4"}
        assert not cases["train"] & cases["test"]
        assert sum(map(len, ids.values())) == 3 + 4 + 5 + 6 + 7
        assert [len(names) for names in root.ids(counts=(2, 1, 1)).values()] == [2, 1, 1]

    def test_volumes_are_refused_where_no_axis_is_named(self, root: Root) -> None:
        self.volumes(root)
        root.describe(TWO + self.CT)
        root.error("case_0.nii.gz holds a volume, 10 x 8 x 3: write slices = 2 in classes.toml")
        root.describe(TWO + self.CT + "slices = 3\n")
        root.error("slices = 3: wanted the axis across which slices lie, 0, 1 or 2")

    def test_volumes_of_several_channels(self, root: Root) -> None:
        for i in range(3):
            nifti(root, f"images/{i}.nii", noise((10, 10, 3, 4), 1, "float32"))
            nifti(root, f"masks/{i}.nii", np.ones((10, 10, 3), np.uint8))
        root.describe(TWO + "slices = 2\ninputs = {channels = 4, range = [0, 1], mean = 0.5, std = 0.2}\n")
        sample = root.samples(resize="none")["1/2"]
        np.testing.assert_array_equal(sample.image, np.rot90(noise((10, 10, 3, 4), 1, "float32")[:, :, 2]))

    def test_volumes_that_do_not_fit(self, root: Root) -> None:
        self.volumes(root)
        nifti(root, "masks/case_1.nii.gz", np.zeros((10, 8, 3), np.uint8))
        root.describe(TWO + self.CT + "slices = 2\n")
        root.error("(1 in all)", "case_1.nii.gz is 10 x 8 x 3, its photograph 10 x 8 x 4")
        nifti(root, "masks/case_1.nii.gz", np.ones((10, 8, 4), np.uint8), np.diag([-1, 1, 1, 1]))
        root.error("case_1.nii.gz lies elsewhere than its photograph", "resample it")
