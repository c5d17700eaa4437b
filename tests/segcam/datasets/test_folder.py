"""The folder dataset: a user's own photographs and masks, and what it says when they are not as they must be."""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segcam.datasets import DatasetOptions
from segcam.datasets.described.description import describe as _describe
from segcam.datasets.described.pairing import Pair
from segcam.datasets.described.splits import completed, given_splits
from segcam.datasets.folder import open_folder
from segcam.errors import DataError, InputError
from segcam.samples import SPLITS, Opened
from tests.segcam.datasets.refused import refused

SIZE = 12
NAMES = [f"img_{i:02}" for i in range(10)]
TOML = 'classes = ["background", "cat", "dog"]\n'


def mask(number: int) -> npt.NDArray[np.uint8]:
    """Values 0, 1, 2 and 255 in quarters, a little different in each."""
    values = np.zeros((24, 36), np.uint8)
    values[:12, 18:] = 1
    values[12:, : 6 + number] = 2
    values[12:, 24:] = 255
    return values


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, each a name and what it holds."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


class Root:
    """A small folder of photographs and masks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cache = path.parent / "cache"
        self.toml = path / "classes.toml"
        for part in ("images", "masks"):
            (path / part).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            Image.new("RGB", (36, 24), (number * 20, 100, 200)).save(self.image(name))
            Image.fromarray(mask(number)).save(self.mask(name))
        self.toml.write_text(TOML)

    def image(self, name: str, ending: str = "jpg") -> Path:
        return self.path / "images" / f"{name}.{ending}"

    def mask(self, name: str, ending: str = "png") -> Path:
        return self.path / "masks" / f"{name}.{ending}"

    def open(self, **options: Any) -> Opened:
        return open_folder(replace(DatasetOptions(size=SIZE, root=self.path, cache=self.cache), **options))

    def error(self, *words: str, **options: Any) -> str:
        return refused(lambda: self.open(**options), self.cache, *words)

    def describe(self, text: str) -> None:
        self.toml.write_text(TOML + text)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "mine")


def ids(opened: Opened) -> list[list[str]]:
    return [[opened.splits[s][i].id for i in range(len(opened.splits[s]))] for s in SPLITS]


def by_name(opened: Opened, name: str) -> npt.NDArray[np.uint8]:
    (found,) = (p[i].mask for p in opened.splits.values() for i in range(len(p)) if p[i].id == name)
    return found


def squashed(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return values[1::2, 1::3]  # 24 x 36 to 12 x 12: the pixel under each centre


class TestMasks:
    def test_values_are_class_indices(self, root: Root) -> None:
        opened = root.open()
        assert opened.info.classes == ("background", "cat", "dog")
        for number, name in enumerate(NAMES):
            np.testing.assert_array_equal(by_name(opened, name), squashed(mask(number)))

    def test_photographs_are_read(self, root: Root) -> None:
        part = root.open().splits["train"]
        for sample in (part[i] for i in range(len(part))):
            colour = (NAMES.index(sample.id) * 20, 100, 200)
            assert abs(sample.image.astype(int) - colour).max() <= 3  # JPEG

    @pytest.mark.parametrize(
        ("dtype", "format"), [("uint16", "PNG"), ("int32", "TIFF"), ("uint8", "BMP")], ids=["16", "32", "BMP"]
    )
    def test_kinds_of_masks(self, root: Root, dtype: str, format: str) -> None:  # noqa: A002
        Image.fromarray(mask(3).astype(dtype)).save(root.mask(NAMES[3]), format=format)
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(mask(3)))

    def test_palettes_say_nothing_of_the_indices(self, root: Root) -> None:
        picture = Image.fromarray(mask(3))
        picture.putpalette([7, 7, 7, 0, 0, 0, 250, 1, 1] + [2] * 759)
        assert picture.mode == "P"
        picture.save(root.mask(NAMES[3]))
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(mask(3)))

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_grey_masks_of_few_bits_keep_their_indices(self, root: Root, bits: int) -> None:
        values = np.where(mask(3) == 255, 0, mask(3)).astype(np.uint8)
        values = np.minimum(values, 2**bits - 1).astype(np.uint8)
        digits = np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(24, -1)
        lines = b"".join(b"\0" + line.tobytes() for line in np.packbits(digits, axis=1))
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 36, 24, bits, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines)),
            (b"IEND", b""),
        ]
        root.mask(NAMES[3]).write_bytes(png(chunks))
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(values))

    def test_another_ignore_value(self, root: Root) -> None:
        root.describe("ignore = 1000\n")
        for number, name in enumerate(NAMES):
            Image.fromarray(np.where(mask(number) == 255, np.uint16(1000), mask(number))).save(root.mask(name))
        np.testing.assert_array_equal(by_name(root.open(), NAMES[0]), squashed(mask(0)))

    def test_many_classes(self, root: Root) -> None:
        root.toml.write_text(f"classes = {[f'class {i}' for i in range(255)]}")
        Image.new("L", (36, 24), 254).save(root.mask(NAMES[0]))
        assert (by_name(root.open(), NAMES[0]) == 254).all()

    def test_second_run_starts_from_the_cache(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        first = root.open()
        root.toml.write_text('classes = ["background", "Katze", "Hund"]\n')  # new words, same pixels
        monkeypatch.setattr("segcam.datasets.folder.load_pair", None)
        again = root.open()
        assert again.info.classes[1] == "Katze"
        np.testing.assert_array_equal(by_name(again, NAMES[4]), by_name(first, NAMES[4]))

    def test_changes_are_seen(self, root: Root) -> None:
        root.open()
        root.describe("ignore = 7\n")
        with pytest.raises(DataError, match="holds 255"):
            root.open()
        root.toml.write_text('classes = ["background", "cat"]\n')
        with pytest.raises(DataError, match="holds 2:"):
            root.open()
        root.describe("")
        Image.fromarray(np.zeros((24, 36), np.uint8)).save(root.mask(NAMES[0]))
        assert not by_name(root.open(), NAMES[0]).any()


class TestValuesThatAreNoClasses:
    def test_a_palette_of_its_own_for_each_mask(self, root: Root) -> None:
        for name, colour in zip(NAMES[:2], ((200, 0, 0), (0, 0, 200)), strict=True):
            picture = Image.fromarray(mask(3))
            picture.putpalette([0, 0, 0, *colour])
            picture.save(root.mask(name))
        with pytest.raises(DataError, match=r"palettes of the masks .* differ") as caught:
            root.open()
        assert "1 is the colour" in str(caught.value)
        for name in NAMES[:2]:  # the cure
            Image.fromarray(mask(3)).save(root.mask(name))
        assert root.open()

    def test_black_and_white(self, root: Root) -> None:
        for name in NAMES:
            Image.fromarray(np.where(mask(0) == 255, mask(0), np.uint8(0))).save(root.mask(name))
        with pytest.raises(DataError, match=r"pixels are 255, which is ignored; where that is the class 'cat'"):
            root.open()

    def test_grey_values_that_pil_spreads(self, root: Root) -> None:
        values = np.where(mask(3) == 255, 2, mask(3)).astype(np.uint8)
        root.mask(NAMES[3]).unlink()
        root.mask(NAMES[3], "pgm").write_bytes(b"P5 36 24 2\n" + values.tobytes())
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(values))
        deep = values.astype(">u2").tobytes()
        root.mask(NAMES[3], "pgm").write_bytes(b"P5 36 24 300\n" + deep)
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(values))
        plain = " ".join(map(str, values.ravel().tolist()))
        root.mask(NAMES[3], "pgm").write_text(f"P2 36 24 2\n{plain}\n")
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(values))

    def test_signed_values_are_not_wrapped(self, root: Root) -> None:
        Image.fromarray(mask(3)).save(root.mask(NAMES[3]), format="TIFF", tiffinfo={339: 2})
        root.error(f"mask {root.mask(NAMES[3])} holds -1: not declared")

    @pytest.mark.parametrize(
        ("save", "words"),
        [
            ({"format": "TIFF", "tiffinfo": {262: 0}}, "counts from white"),
            ({"format": "TIFF", "compression": "jpeg"}, "is a TIFF compressed as JPEG"),
        ],
    )
    def test_files_that_change_values(self, root: Root, save: dict[str, Any], words: str) -> None:
        Image.fromarray(mask(3)).save(root.mask(NAMES[3]), **save)
        root.error(f"mask {root.mask(NAMES[3])} {words}", "as PNG")

    @pytest.mark.parametrize("mode", ["CMYK", "RGBA", "RGB"])
    def test_colours(self, root: Root, mode: str) -> None:
        root.mask(NAMES[3]).unlink()
        picture = Image.new("RGB", (36, 24))
        picture.putpixel((3, 5), (1, 1, 2))
        picture.convert(mode).save(root.mask(NAMES[3], "tif"))
        root.error(f"holds colours (mode {mode})", "greyscale")

    @pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), 1e20])
    def test_fractions(self, root: Root, value: float) -> None:
        root.mask(NAMES[3]).unlink()
        Image.new("F", (36, 24), value).save(root.mask(NAMES[3], "tif"))
        root.error(f"mask {root.mask(NAMES[3], 'tif')} holds fractions, wanted whole numbers", "greyscale")

    @pytest.mark.parametrize("mode", ["F", "LA", "RGBA", "RGB"])
    def test_grey_in_other_modes(self, root: Root, mode: str) -> None:
        root.mask(NAMES[3]).unlink()
        Image.fromarray(mask(3)).convert(mode).save(root.mask(NAMES[3], "tif"))
        np.testing.assert_array_equal(by_name(root.open(), NAMES[3]), squashed(mask(3)))

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparent_pixels(self, root: Root, mode: str) -> None:
        picture = Image.fromarray(mask(3)).convert(mode)
        picture.putalpha(Image.new("L", (36, 24), 254))
        picture.save(root.mask(NAMES[3]))
        root.error("has transparent pixels: save it without an alpha channel")


class TestFacts:
    def test_counts(self, root: Root) -> None:
        bare = np.where(mask(0) == 255, mask(0), np.uint8(0))  # what is ignored is no foreground
        Image.fromarray(bare).save(root.mask(NAMES[0]))
        root.describe(f"ignore = 255\n[splits]\ntest = {NAMES[:2]}\nval = {NAMES[2:4]}\n")
        info = root.open().info
        assert info.training_data == "6 masks of the folder 'mine'"
        assert info.facts["images_found"] == 10
        assert info.facts["images_used"] == {"train": 6, "val": 2, "test": 2}
        assert info.facts["images_without_foreground"]["test"] == {"count": 1, "names": [NAMES[0]]}
        assert info.facts["images_without_foreground"]["train"]["count"] == 0
        assert info.facts["images_with_class"]["test"] == {"background": 2, "cat": 1, "dog": 1, "(ignored)": 2}
        shares = info.facts["pixel_share"]["test"]
        for value, name in enumerate(("background", "cat", "dog")):
            wanted = ((mask(1) == value).mean() + (bare == value).mean()) / 2
            assert shares[name] == pytest.approx(wanted, abs=1e-4)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        assert info.facts["drawn_by_hash"] == []

    def test_odd_files(self, root: Root) -> None:
        root.describe(f"[splits]\ntest = {NAMES[:4]}\nval = {NAMES[4:6]}\n")
        picture = Image.new("RGB", (36, 24))
        picture.save(root.image(NAMES[0]), format="GIF")
        picture.convert("RGBA").save(root.image(NAMES[1]), format="PNG")
        odd = root.open().info.facts["odd_files"]
        assert odd["train"] == odd["val"] == {}
        assert {kind: found["names"] for kind, found in odd["test"].items()} == {
            "GIF named .jpg": [NAMES[0]],
            "PNG named .jpg": [NAMES[1]],
            "mode P": [NAMES[0]],
            "mode RGBA": [NAMES[1]],
        }


class TestSplits:
    def test_as_described(self, root: Root) -> None:
        root.describe(f"[splits]\nval = {NAMES[3:4]}\ntest = {[NAMES[7], NAMES[5]]}\n")
        train, val, test = ids(root.open(seed=5))
        assert (val, test) == ([NAMES[3]], [NAMES[5], NAMES[7]])
        assert train == [n for n in NAMES if n not in val + test]

    def test_one_described_the_other_drawn(self, root: Root) -> None:
        root.describe(f"[splits]\ntest = {NAMES[:5]}\n")
        opened = root.open(val_share=0.4)
        train, val, test = ids(opened)
        assert test == NAMES[:5]
        assert len(val) == 2
        assert sorted(train + val) == NAMES[5:]
        assert opened.info.facts["drawn_by_hash"] == ["val"]

    def test_drawn(self, root: Root) -> None:
        opened = root.open(val_share=0.25)
        assert ids(opened) == ids(root.open(val_share=0.25))
        assert [len(part) for part in ids(opened)] == [6, 2, 2]
        assert opened.info.facts["drawn_by_hash"] == ["val", "test"]
        seeds = [ids(root.open(seed=s)) for s in range(8)]
        assert len({str(s[1]) for s in seeds}) > 2, "the seed does not choose validation"
        assert len({str(s[2]) for s in seeds}) == 1, "the seed must not choose the test photographs"

    @given(count=st.integers(3, 60), share=st.floats(0.001, 0.999), seed=st.integers(0, 9))
    def test_every_photograph_is_in_onesplit(self, count: int, share: float, seed: int) -> None:
        names = [f"n{i}" for i in range(count)]
        options = DatasetOptions(val_share=share, seed=seed)
        parts = completed({}, names, options, Path("classes.toml"))
        assert sorted(n for part in parts.values() for n in part) == sorted(names)
        assert len(parts["test"]) == max(1, count // 5)
        assert all(parts.values())
        shuffled = completed({}, names[::-1], options, Path("classes.toml"))
        assert {s: set(p) for s, p in shuffled.items()} == {s: set(p) for s, p in parts.items()}

    def test_limits(self, root: Root) -> None:
        whole, some = ids(root.open(val_share=0.4)), ids(root.open(val_share=0.4, counts=(2, 1, 1)))
        assert [len(part) for part in some] == [2, 1, 1]
        for less, more in zip(some, whole, strict=True):
            assert set(less) < set(more)

    def test_three_photographs_are_enough(self, root: Root) -> None:
        for name in NAMES[3:]:
            root.image(name).unlink()
            root.mask(name).unlink()
        assert sorted(n for part in ids(root.open()) for n in part) == NAMES[:3]
        root.image(NAMES[2]).unlink()
        root.mask(NAMES[2]).unlink()
        with pytest.raises(DataError, match="holds 2 photographs, wanted at least 3"):
            root.open()

    def test_unknown_names(self, root: Root) -> None:
        root.describe(f'[splits]\nval = ["nobody", "{NAMES[0]}.jpg"]\ntest = ["{NAMES[1]}"]\n')
        words = ("'nobody' in val: no such photograph", f"'{NAMES[0]}.jpg' in val", "without their endings")
        root.error("(2 in all)", *words)

    def test_names_that_look_the_same_are_offered(self, root: Root) -> None:
        root.describe(f'[splits]\nval = ["{NAMES[0].upper()}"]\n')
        root.error(f"'{NAMES[0].upper()}' in val: no such photograph; did you mean '{NAMES[0]}'?")
        root.describe("")
        root.mask(NAMES[0]).rename(root.mask(NAMES[0].upper()))
        root.error(f"{root.mask(NAMES[0].upper())} differs in case or in how it is encoded: rename it")

    def test_name_in_both(self, root: Root) -> None:
        root.describe(f"[splits]\nval = {NAMES[:2]}\ntest = {NAMES[1:3]}\n")
        root.error(f"'{NAMES[1]}' is in both val and test")
        root.describe(f"[splits]\nval = {NAMES[:5]}\ntest = {NAMES[5:]}\n")
        root.error("leaves 0 photographs to train on")


class TestDescription:
    def test_missing(self, root: Root) -> None:
        root.toml.unlink()
        root.error(f"{root.toml} is missing", 'classes = ["background", "cat", "dog"]')

    @pytest.mark.parametrize(
        ("toml", "wanted"),
        [
            ("classes = [", "cannot be read"),
            (b"classes = ['\xff']", "cannot be read"),
            ("", "classes = []: wanted 2 to 255 different names"),
            ('classes = ["background"]', "wanted 2 to 255"),
            ('classes = ["a", "a"]', "wanted 2 to 255 different names"),
            ('classes = ["a", ""]', "wanted 2 to 255"),
            ("classes = [1, 2]", "wanted 2 to 255"),
            ('classes = "cat"', "wanted 2 to 255"),
            (f"classes = {[str(i) for i in range(256)]}", "wanted 2 to 255"),
            (TOML + "ignore = 2", "ignore = 2: that is the class 'dog'"),
            (TOML + "ignore = -1", "ignore = -1: wanted a whole number"),
            (TOML + "ignore = 65536", "ignore = 65536: wanted a whole number"),
            (TOML + "ignore = true", "ignore = True: wanted a whole number"),
            (TOML + "ignore = '255'", "ignore = '255': wanted a whole number"),
            (TOML + "labels = 3", "unknown key 'labels': known are classes, colours, exif"),
            (TOML + "ignore = nan", "ignore = nan: wanted a whole number"),
            (TOML + "ignore = 2026-01-01", "wanted a whole number"),
            (TOML + f"ignore = 0x{'f' * 5000}", "ignore = a value too long to show: wanted a whole number"),
            (TOML + f"ignore = {'9' * 5000}", "cannot be read (Exceeds the limit"),
            (TOML + f"ignore = {'[' * 5000}", "cannot be read (it is nested too deeply)"),
            (TOML + '"a\\nb" = 3', "unknown key 'a\\nb'"),
            ('classes = ["a", "b\\nc"]', "class 'b\\nc': wanted a name on one line"),
            ('classes = ["a", " "]', "class ' ': wanted a name on one line"),
            (f'classes = ["a", "{"b" * 101}"]', "at most 100 characters"),
            (
                'classes = ["a", "Cat", "cat"]',
                "classes 'Cat' and 'cat' differ in case or in how",
            ),
            ('classes = ["a", "\\u00e9", "e\\u0301"]', "differ in case or in how they are encoded alone"),
            (TOML + "splits = 3", "splits = 3: wanted a table"),
            (TOML + "[splits]\nsome = ['a']", "unknown key 'some' in [splits]: known are train, val, test"),
            (
                TOML + "[splits]\nval = '../a'",
                "val = '../a' in [splits]: wanted a list of names, or a file",
            ),
            (TOML + "[splits]\nval = []", "val = [] in [splits]: wanted a list of different names"),
            (TOML + "[splits]\nval = ['a', 'a']", "val = ['a', 'a'] in [splits]"),
        ],
    )
    def test_wrong(self, root: Root, toml: str | bytes, wanted: str) -> None:
        root.toml.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        root.error(wanted, str(root.toml), "an example of classes.toml")

    def test_a_mark_before_the_text_is_no_part_of_it(self, root: Root) -> None:
        root.toml.write_bytes(b"\xef\xbb\xbf" + TOML.encode())
        assert root.open().info.classes == ("background", "cat", "dog")

    @pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link"])
    def test_is_no_plain_file(self, root: Root, kind: str) -> None:
        root.toml.unlink()
        {
            "pipe": lambda: os.mkfifo(root.toml),
            "folder": root.toml.mkdir,
            "device": lambda: root.toml.symlink_to("/dev/zero"),
            "link": lambda: root.toml.symlink_to("nowhere"),
        }[kind]()
        words = {"pipe": "is a pipe", "folder": "is a folder", "device": "is a device", "link": "does not exist"}
        root.error(words[kind], str(root.toml), "an example of classes.toml")

    def test_all_faults_are_in_one_error(self, root: Root) -> None:
        root.toml.write_text("classes = 3\nignore = 'x'\ncolour = 1\n[splits]\ntrain = 1\nval = 2\n")
        root.error("(4 in all)")


names = st.sampled_from(["cat", "Cat", "background", "", " ", "a\\nb", "\\u0000", "\\u00e9", "e\\u0301", *NAMES[:4]])
scalars = st.one_of(
    names.map('"{}"'.format),
    st.sampled_from(["true", "nan", "-inf", "1e400", "2026-11-28", "07:32:00", "0", "1", "2", "255", "256", "1000"]),
    st.sampled_from(["-1", "65536", "1.0", "0x" + "f" * 4000, "9" * 5000, "[" * 2000]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda v: f"[{', '.join(v)}]"), inner.map(lambda v: f"{{a = {v}}}")
    ),
    max_leaves=6,
)
lists = st.lists(names, min_size=1, max_size=5).map(
    lambda v: f"[{', '.join(map(json.dumps, v))}]".replace("\\\\", "\\")
)
some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(json.dumps)
wanted = {
    "classes": st.sampled_from(['["background", "cat", "dog"]', '["0", "1"]']),
    "ignore": st.sampled_from(["255", "7", "65535", "[7, 255]", "[]"]),
    "splits": st.dictionaries(st.sampled_from(["train", "val", "test"]), some, max_size=1),
}
right = {
    "values": st.sampled_from(["{0 = 0, 1 = 1, 2 = 2}", "{0 = 0, 255 = 1}", '"cityscapes"', "{9 = 'cat'}"]),
    "colours": st.sampled_from(["[[0, 0, 0], [1, 1, 1], [2, 2, 2]]", "{0 = [9, 9, 9], 1 = [[1, 2, 3]]}", '"voc"']),
    "reduce_zero_label": st.sampled_from(["true", "false"]),
    "layout": st.sampled_from(['"voc"', '"camvid"']),
    "folders": st.sampled_from(['{images = "a"}', '{masks = "images"}']),
    "stems": st.sampled_from(['"{name}_mask"', '{images = "x{name}"}']),
    "exif": st.sampled_from(['"apply"', '"refuse"']),
    "inputs": st.sampled_from(["{}", "{channels = 1, bits = 16, mean = 0.5, std = [0.2]}", "{range = [0, 1]}"]),
}
strange = {
    "classes": st.one_of(lists, values),
    "ignore": st.one_of(scalars, values),
    "splits": st.dictionaries(st.sampled_from(["val", "test", "train"]), st.one_of(some, lists, values), max_size=3),
    "labels": values,
    **{key: st.one_of(values, value) for key, value in right.items()},
}


@st.composite
def descriptions(draw: st.DrawFn) -> bytes:
    """A `classes.toml` in which a key or two may be strange or absent, and that may end in what is no text."""
    table: dict[str, Any] = {key: draw(value) for key, value in wanted.items()}
    for key in draw(st.lists(st.sampled_from(sorted(right)), max_size=2)):
        table[key] = draw(right[key])
    for key in draw(st.lists(st.sampled_from(sorted(strange)), max_size=2)):
        table[key] = draw(strange[key])
    for key in draw(st.lists(st.sampled_from(sorted(wanted)), max_size=1)):
        table.pop(key)
    if isinstance(table.get("splits"), dict):
        table["splits"] = "{" + ", ".join(f"{key} = {value}" for key, value in table["splits"].items()) + "}"
    text = "\n".join(f"{key} = {value}" for key, value in table.items()).encode()
    return text + draw(st.sampled_from([b"", b"", b"", b"\xff", b"\0", b"\n[["]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=descriptions())
def test_any_description_is_understood_or_one_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "classes.toml"
    file.write_bytes(content)
    try:
        read = _describe(file)
        pairs = [Pair(name, (), (), None, read.place) for name in NAMES]
        parts = completed(given_splits(read, tmp_path, pairs, file), NAMES, DatasetOptions(), file)
    except DataError as error:
        text = str(error)
    else:
        text = f"{file}"
        assert 1 <= len(set(read.classes)) == len(read.classes) <= 255
        assert all(name.strip() and name.isprintable() for name in read.classes)
        of_masks = {*read.values.values(), *read.colours.values()}
        assert of_masks <= {*range(len(read.classes)), 255}
        assert read.layout or of_masks >= {*range(len(read.classes))}, "a class that no mask can hold"
        assert all(parts.values())
        found = sorted(n for part in parts.values() for n in part)
        assert found == NAMES or ("train" in read.splits and set(found) < set(NAMES))
    assert str(file) in text
    assert len(text) < 4000


class TestErrors:
    def test_absent_root(self, root: Root, tmp_path: Path) -> None:
        root.error("nowhere does not exist", root=tmp_path / "nowhere")
        (root.path / "masks").rename(root.path / "labels")
        root.error(f"folder {root.path / 'masks'} does not exist", "DIR/masks/*")
        (root.path / "masks").write_text("x")
        root.error(f"folder {root.path / 'masks'} is no folder", "DIR/masks/*")

    @pytest.mark.parametrize("part", ["images", "masks"])
    def test_what_is_no_plain_file_is_neither_opened_nor_waited_for(self, root: Root, part: str) -> None:
        files = [next((root.path / part).glob(f"{name}.*")) for name in NAMES[:6]]
        for file in files:
            file.unlink()
        pipe, folder, device, loose, empty, eps = files
        os.mkfifo(pipe)
        folder.mkdir()  # which is looked into, and holds nothing
        device.symlink_to("/dev/zero")
        loose.symlink_to("nowhere")
        empty.touch()
        eps.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 36 24\n")
        text = root.error(
            "(6 in all)",
            f"{pipe} is a pipe",
            f"{folder.stem}.",
            f"{device} is a device",
            f"{loose} is a link to a file that does not exist",
            f"{empty} is empty",
            f"{eps} is damaged, or none of PNG, JPEG, BMP, TIFF, WEBP, GIF, PPM",
        )
        assert len(text.splitlines()) == 7

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_files_of_several_pictures(self, root: Root, kind: str) -> None:
        frames = [Image.new("L", (36, 24), grey).convert("RGB" if kind == "WEBP" else "L") for grey in (0, 90, 200)]
        for file in (root.image(NAMES[0]), root.mask(NAMES[1])):
            frames[0].save(file, format=kind, save_all=True, append_images=frames[1:])
        words = "holds 3 pictures: save the one that is meant as a file of its own"
        root.error(f"photograph {root.image(NAMES[0])} {words}", f"mask {root.mask(NAMES[1])} {words}")

    @pytest.mark.parametrize("name", [b"a\xff.jpg", b"a\nb.jpg", b"\x1b[2J.jpg"])
    def test_names_that_cannot_be_shown(self, root: Root, name: bytes) -> None:
        Path(os.fsdecode(os.fsencode(root.path / "images") + b"/" + name)).write_bytes(b"x")
        text = root.error("names are not UTF-8 or have control characters; rename", repr(os.fsdecode(name)))
        assert text.isascii()

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
    def test_what_may_not_be_read(self, root: Root) -> None:
        root.image(NAMES[0]).chmod(0)
        root.error(f"photograph {root.image(NAMES[0])} may not be read")
        (root.path / "masks").chmod(0)
        root.error(f"{root.path / 'masks'} may not be read")
        (root.path / "masks").chmod(0o700)

    def test_too_many_pixels(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
        root.error("(20 in all)", f"photograph {root.image(NAMES[0])} has more than 400 pixels: save it smaller")

    def test_one_pixel_is_a_picture(self, root: Root) -> None:
        Image.new("RGB", (1, 1)).save(root.image(NAMES[0]))
        Image.new("L", (1, 1), 2).save(root.mask(NAMES[0]))
        assert (by_name(root.open(), NAMES[0]) == 2).all()

    @pytest.mark.parametrize(
        "path", ["~nobody-of-this-name/x", " ", "a\0b", os.fsdecode(b"a\xff"), "/dev/null", "x" * 300]
    )
    def test_roots_that_are_no_folders(self, root: Root, path: str) -> None:
        with pytest.raises(InputError, match="data root"):
            root.open(root=Path(path))

    def test_home_is_spelled_out(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(root.path.parent))
        assert root.open(root=Path("~") / root.path.name)

    def test_sixteen_bits_a_colour(self, root: Root) -> None:
        root.image(NAMES[0]).unlink()
        root.image(NAMES[0], "ppm").write_bytes(b"P6 36 24 65535\n" + bytes(36 * 24 * 6))
        lines = zlib.compress(bytes(24 * (1 + 36 * 6)))
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 36, 24, 16, 2, 0, 0, 0)), (b"IDAT", lines), (b"IEND", b"")]
        root.image(NAMES[1]).write_bytes(png(chunks))
        deep = "has more than 8 bits (mode RGB): save it with 8"
        root.error(f"{root.image(NAMES[0], 'ppm')} {deep}", f"{root.image(NAMES[1])} {deep}")

    def test_hidden_files_are_nobodys(self, root: Root) -> None:
        (root.path / "images" / ".DS_Store").write_bytes(b"x")
        assert root.open().info.facts["images_found"] == 10

    def test_all_broken_files_are_in_one_error(self, root: Root) -> None:
        root.mask(NAMES[0]).unlink()
        root.image(NAMES[1]).unlink()
        Image.new("L", (36, 23)).save(root.mask(NAMES[2]))
        root.image(NAMES[3]).write_text("no picture")
        root.mask(NAMES[3]).write_bytes(root.mask(NAMES[4]).read_bytes()[:-40])
        Image.fromarray(mask(5) // 2 + 1).save(root.mask(NAMES[5]))
        Image.new("RGB", (36, 24), (0, 0, 1)).save(root.mask(NAMES[6]))
        Image.new("L", (36, 24)).save(root.mask(NAMES[7]), format="JPEG")
        Image.new("RGB", (36, 24)).save(root.image(NAMES[8], "png"))
        Image.fromarray(np.zeros((24, 36), np.uint16)).save(root.image(NAMES[9]), format="PNG")
        text = root.error(
            "(10 in all)",
            f"{root.image(NAMES[0])} has no mask {root.mask(NAMES[0], '*')}",
            f"{root.mask(NAMES[1])} has no photograph {root.image(NAMES[1], '*')}",
            f"mask {root.mask(NAMES[2])} is 36 x 23, its photograph 36 x 24",
            f"photograph {root.image(NAMES[3])} is damaged, or none of PNG, JPEG, BMP",
            f"mask {root.mask(NAMES[3])} cannot be read",
            f"mask {root.mask(NAMES[5])} holds 128: not declared in classes.toml, known are 0 to 2 and 255 (ignored)",
            f"mask {root.mask(NAMES[6])} holds colours (mode RGB), wanted one channel",
            f"mask {root.mask(NAMES[7])} is a JPEG, which changes values",
            f"{root.image(NAMES[8])} and {root.image(NAMES[8], 'png')}: two files of one name, keep one photograph",
            f"photograph {root.image(NAMES[9])} has more than 8 bits",
        )
        assert len(text.splitlines()) == 11

    def test_a_folder_among_the_photographs(self, root: Root) -> None:
        (root.path / "images" / "more").mkdir()
        Image.new("RGB", (36, 24)).save(root.image("more/one"))
        root.error(f"{root.image('more/one')} has no mask {root.mask('more/one', '*')}")

    @pytest.mark.parametrize("tag", [3, 6])
    def test_a_turned_photograph_is_explained(self, root: Root, tag: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.new("RGB", (36, 24)).save(root.image(NAMES[0]), exif=exif)
        root.error(f"{root.image(NAMES[0])} is turned by its EXIF tag", "save it upright")
        exif[0x0112] = 1
        Image.new("RGB", (36, 24)).save(root.image(NAMES[0]), exif=exif)
        assert root.open()


def test_the_test_images_alone_are_decoded_at_another_size(root: Root) -> None:
    whole = root.open()
    root.image(whole.splits["train"][0].id).unlink()  # not looked at
    alone = root.open(size=2 * SIZE, test_only=True)
    assert list(alone.splits) == ["test"]
    test = alone.splits["test"]
    assert [test[i].id for i in range(len(test))] == ids(whole)[2]
    assert test[0].image.shape == (2 * SIZE, 2 * SIZE, 3)
    assert alone.info.training_data == whole.info.training_data
