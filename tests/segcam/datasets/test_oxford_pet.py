"""Oxford-IIIT Pet, on small drawn roots, and on the real photographs where there are any."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from segcam.datasets import DatasetOptions
from segcam.datasets.decoded import SplitImages
from segcam.datasets.oxford_pet import open_oxford_pet
from segcam.errors import InputError
from segcam.samples import IGNORE, SPLITS, Opened
from tests.segcam.datasets.refused import refused

SIZE = 16
TRAINVAL, TEST = [f"Bengal_{i}" for i in range(20)], [f"beagle_{i}" for i in range(10)]


def photograph(number: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    grey = np.stack([across * 3 + number, down * 4, across + down + number * 7], -1) % 256
    return Image.fromarray(grey.astype(np.uint8))


def trimap(number: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    values = np.full(size[::-1], 2, np.uint8)
    values[5:20, 5 : 20 + number % 10] = 3
    values[8:17, 8 : 17 + number % 10] = 1
    return Image.fromarray(values)


class Root:
    """A small copy of the official layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = path / "oxford-iiit-pet"
        (self.base / "images").mkdir(parents=True)
        (self.base / "annotations" / "trimaps").mkdir(parents=True)
        self.cache = path / "cache"
        for number, name in enumerate(TRAINVAL + TEST):
            photograph(number).save(self.image(name), quality=95)
            trimap(number).save(self.trimap(name))
        self.list("trainval", TRAINVAL)
        self.list("test", TEST)

    def image(self, name: str) -> Path:
        return self.base / "images" / f"{name}.jpg"

    def trimap(self, name: str) -> Path:
        return self.base / "annotations" / "trimaps" / f"{name}.png"

    def text(self, name: str) -> Path:
        return self.base / "annotations" / f"{name}.txt"

    def list(self, split: str, names: list[str]) -> None:
        self.text(split).write_text("".join(f"{n} 1 1 1\n" for n in names))

    def open(self, **options: Any) -> Opened:
        defaults = DatasetOptions(size=SIZE, root=self.path, cache=self.cache)
        return open_oxford_pet(replace(defaults, **options))

    def error(self, *words: str, **options: Any) -> str:
        return refused(lambda: self.open(**options), self.cache, *words)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "data")


def squashed(photograph: Image.Image | Path) -> np.ndarray:
    image = Image.open(photograph) if isinstance(photograph, Path) else photograph
    with image:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def ids(opened: Opened, split: str) -> list[str]:
    samples = opened.splits[split]  # type: ignore[index]
    return [samples[i].id for i in range(len(samples))]


class TestSamples:
    def test_trimap_becomes_classes(self, root: Root) -> None:
        sample = root.open(size=30).splits["test"][0]
        number = (TRAINVAL + TEST).index(sample.id)
        truth = np.asarray(trimap(number).resize((30, 30), Image.Resampling.NEAREST))
        np.testing.assert_array_equal(sample.mask == 1, truth == 1)
        np.testing.assert_array_equal(sample.mask == 0, truth == 2)
        np.testing.assert_array_equal(sample.mask == IGNORE, truth == 3)

    def test_photographs_are_those_of_torchvision(self, root: Root) -> None:
        opened = root.open()
        from torchvision.datasets import OxfordIIITPet  # only after segcam has made it importable

        pets = OxfordIIITPet(root.path, split="test", target_types="segmentation")
        assert ids(opened, "test") == TEST
        for i, sample in enumerate(opened.splits["test"][j] for j in range(len(TEST))):
            image, lazy = pets[i]
            lazy.load()  # or its file stays open
            np.testing.assert_array_equal(sample.image, squashed(image))
            assert (sample.image.dtype, sample.mask.dtype) == (np.uint8, np.uint8)

    def test_second_run_does_not_decode(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        first = root.open()
        monkeypatch.setattr("segcam.datasets.oxford_pet._load", None)
        again = root.open(seed=3, counts=(4, 1, 2), val_share=0.3)
        sample = again.splits["test"][0]
        np.testing.assert_array_equal(sample.image, first.splits["test"][TEST.index(sample.id)].image)

    def test_changed_files_are_decoded_again(self, root: Root) -> None:
        root.open()
        photograph(99).save(root.image(TEST[0]))
        np.testing.assert_array_equal(root.open().splits["test"][0].image, squashed(root.image(TEST[0])))
        Image.new("L", (40, 30), 1).save(root.trimap(TEST[0]))
        assert (root.open().splits["test"][0].mask == 1).all()


class TestSplits:
    def test_validation_is_held_out_of_training(self, root: Root) -> None:
        opened = root.open(val_share=0.15)
        train, val, test = (set(ids(opened, s)) for s in SPLITS)
        assert len(val) == 3
        assert not train & val
        assert train | val == set(TRAINVAL)
        assert test == set(TEST)
        assert opened.info.training_data == "17 real masks"
        assert opened.info.self_trained == 0

    def test_validation_depends_on_the_seed_alone(self, root: Root) -> None:
        val = ids(root.open(seed=1), "val")
        assert val == ids(root.open(seed=1, counts=(3, None, 2), size=8), "val")
        assert len({tuple(ids(root.open(seed=s), "val")) for s in range(6)}) > 3

    def test_limits(self, root: Root) -> None:
        opened = root.open(counts=(5, 2, 4))
        assert [len(opened.splits[s]) for s in SPLITS] == [5, 2, 4]
        assert opened.info.training_data == "5 real masks"
        assert opened.info.facts["images_used"] == {"train": 5, "val": 2, "test": 4}
        whole, more = root.open(), root.open(counts=(9, 3, 6))
        for split in SPLITS:
            assert set(ids(opened, split)) < set(ids(more, split)) <= set(ids(whole, split))
        assert ids(opened, "test") != ids(root.open(counts=(5, 2, 4), seed=1), "test")

    @pytest.mark.parametrize(
        ("options", "sizes"), [({"counts": (99, 99, 99)}, [17, 3, 10]), ({"val_share": 0.001}, [19, 1, 10])]
    )
    def test_limits_beyond_what_there_is(self, root: Root, options: dict[str, Any], sizes: list[int]) -> None:
        opened = root.open(**options)
        assert [len(opened.splits[s]) for s in SPLITS] == sizes


class TestSelfTrained:
    @pytest.fixture
    def pseudo(self, root: Root) -> Root:
        root.text("pseudo").write_text("\n".join(TRAINVAL[8:]) + "\n")
        return root

    def test_trained_on_and_never_used_otherwise(self, pseudo: Root) -> None:
        for seed in range(5):
            opened = pseudo.open(seed=seed, val_share=0.5)
            assert set(ids(opened, "train")) > set(TRAINVAL[8:])
            assert set(ids(opened, "val")) < set(TRAINVAL[:8])
            assert len(opened.splits["val"]) == 4
            assert opened.info.training_data == "4 real + 12 self-trained masks"
            assert opened.info.self_trained == 12
            assert opened.info.facts["self_trained_found"] == 12

    def test_limits_keep_the_proportion(self, pseudo: Root) -> None:
        opened = pseudo.open(val_share=0.5, counts=(8, None, None))
        assert opened.info.training_data == "2 real + 6 self-trained masks"
        assert len(set(ids(opened, "train")) & set(TRAINVAL[8:])) == 6

    def test_training_on_real_masks_alone_says_so(self, pseudo: Root) -> None:
        opened = pseudo.open(counts=(1, None, None))
        assert opened.info.training_data == "1 real masks"
        assert opened.info.self_trained == 0

    @pytest.mark.parametrize(("name", "why"), [("beagle_3", "a test photograph"), ("Sphynx_9", "not in trainval.txt")])
    def test_wrong_names(self, pseudo: Root, name: str, why: str) -> None:
        with pseudo.text("pseudo").open("a") as file:
            file.write(f"{name}\n")
        pseudo.error("pseudo.txt", f"{name}: {why}", "(1 in all)")

    def test_too_few_real_masks(self, pseudo: Root) -> None:
        pseudo.text("pseudo").write_text("\n".join(TRAINVAL[1:]))
        pseudo.error("leaves 1 of 20 trainval photographs with real masks")

    def test_a_new_pseudo_file_is_a_new_cache(self, root: Root) -> None:
        root.open()
        root.text("pseudo").write_text(TRAINVAL[0])
        root.open()
        assert len(list(root.cache.glob("oxford_pet-*"))) == 2


class TestOddFiles:
    def test_are_read_counted_and_named(self, root: Root) -> None:
        gif, png, palette = TEST[:3]
        frames = [photograph(n).convert("P") for n in (1, 2)]
        frames[0].save(root.image(gif), format="GIF", save_all=True, append_images=frames[1:])
        photograph(3).convert("RGBA").save(root.image(png), format="PNG")
        photograph(4).convert("P").save(root.image(palette), format="PNG", transparency=b"\x00\x80\xff")
        opened = root.open()
        assert opened.info.facts["odd_files"] == {
            "train": {},
            "val": {},
            "test": {
                "GIF, the first of 2 pictures": {"count": 1, "names": [gif]},
                "PNG": {"count": 2, "names": [png, palette]},
            },
        }
        np.testing.assert_array_equal(opened.splits["test"][1].image, squashed(photograph(3)))
        np.testing.assert_array_equal(opened.splits["test"][0].image, squashed(root.image(gif)))  # its first frame
        assert root.open().info.facts == opened.info.facts, "the cache forgot what it saw"

    def test_palette_trimaps_are_read_by_index(self, root: Root) -> None:
        before = root.open().splits["test"][0].mask
        mask = trimap((TRAINVAL + TEST).index(TEST[0])).convert("L")
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 7, 7, 7])
        mask.save(root.trimap(TEST[0]))
        np.testing.assert_array_equal(root.open().splits["test"][0].mask, before)

    def test_masks_without_pet_are_counted_and_named(self, root: Root) -> None:
        for name in (TEST[4], TRAINVAL[0]):
            Image.new("L", (40, 30), 2).save(root.trimap(name))
        facts = root.open().info.facts
        assert facts["masks_without_pet"]["test"] == {"count": 1, "names": [TEST[4]]}
        assert sum(facts["masks_without_pet"][s]["count"] for s in SPLITS) == 2

    def test_a_pet_that_squashing_loses_still_counts(self, root: Root) -> None:
        values = np.full((30, 40), 2, np.uint8)
        values[0, 0] = 1
        Image.fromarray(values).save(root.trimap(TEST[0]))
        opened = root.open(size=4)
        assert not (opened.splits["test"][0].mask == 1).any()
        assert opened.info.facts["masks_without_pet"]["test"]["count"] == 0

    def test_facts_name_the_release(self, root: Root) -> None:
        facts = root.open().info.facts
        assert facts["release"] == "subset of the official release"
        assert facts["images_found"] == {"trainval": 20, "test": 10}
        assert facts["images_official"] == {"trainval": 3680, "test": 3669}
        shares = facts["pixel_share"]["test"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        truth = [np.bincount(np.asarray(trimap(n)).ravel(), minlength=4) / 1200 for n in range(20, 30)]
        assert shares["pet"] == pytest.approx(np.mean(truth, 0)[1], abs=1e-4)


class TestErrors:
    def test_wrong_roots(self, root: Root, tmp_path: Path) -> None:
        for path in ("x" * 300, "~nobody-of-this-name", "/dev/null", "a\0b"):
            with pytest.raises(InputError, match="data root"):
                root.open(root=Path(path))
        cures = ("nowhere does not exist", "parent of `oxford-iiit-pet/`", "--download")
        root.error(*cures, root=tmp_path / "nowhere")
        root.error("holds no `oxford-iiit-pet/`", root=tmp_path)
        root.error(f"--data-root {root.path}", root=root.base)
        root.base.rename(root.path / "pets")
        root.error("itself: name its parent", root=root.path / "pets")

    def test_folder_is_incomplete(self, root: Root) -> None:
        (root.base / "images").rename(root.base / "pictures")
        root.error(f"folder {root.base / 'images'} does not exist: restore {root.base}")

    @pytest.mark.parametrize("name", ["trainval", "test"])
    def test_annotation_file_is_empty_no_text_or_missing(self, root: Root, name: str) -> None:
        root.text(name).write_text("")
        root.error("lists no photographs")
        root.text(name).write_bytes(b"\xff\xfe\x00")
        root.error(f"{name}.txt cannot be read")
        root.text(name).unlink()
        root.error(f"{root.text(name)} is missing")

    def test_malformed_lines(self, root: Root) -> None:
        with root.text("trainval").open("a") as file:
            file.write("\n# comment\nBengal_99 1 1\nBengal_98 one 1 1\nBengal_3 1 1 1\n")
        lines = ("line 21: ''", "line 23: 'Bengal_99 1 1'", "line 24: 'Bengal_98 one 1 1'")
        root.error(str(root.text("trainval")), "(5 in all)", *lines, "Bengal_3 is listed twice")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("../../etc/passwd 1 1 1", "'../../etc/passwd' is no file's name"),
            ("/etc/passwd 1 1 1", "'/etc/passwd' is no file's name"),
            (".. 1 1 1", "'..' is no file's name"),
            ("a\\b 1 1 1", "is no file's name"),
            (f"{'a' * 300}_1 1 1 1", "is no file's name"),
            ("a\x1bb_1 1 1 1", r"'a\x1bb_1' is no file's name"),
            (f"Bengal_77 {'9' * 5000} 1 1", "wanted a name and three numbers"),
            ("Bengal_77 \u0661 1 1", "wanted a name and three numbers"),
        ],
    )
    def test_lines_that_name_no_photograph(self, root: Root, line: str, words: str) -> None:
        with root.text("trainval").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        assert len(root.error("line 21: ", words, "(1 in all)")) < 600

    @pytest.mark.parametrize("name", ["trainval", "test", "pseudo"])
    def test_annotations_that_are_no_plain_file(self, root: Root, name: str) -> None:
        root.text(name).unlink(missing_ok=True)
        os.mkfifo(root.text(name))
        root.error(f"annotation file {root.text(name)} is a pipe")
        root.text(name).unlink()
        root.text(name).symlink_to("/dev/zero")
        root.error(f"annotation file {root.text(name)} is a device")
        root.text(name).unlink()
        root.text(name).symlink_to("nowhere")
        root.error(f"annotation file {root.text(name)} does not exist")

    def test_one_photograph_cannot_be_trained_and_validated_on(self, root: Root) -> None:
        root.list("trainval", TRAINVAL[:1])
        root.error("trainval.txt leaves 1 of 1 trainval photographs with real masks")
        root.list("trainval", TRAINVAL[:2])
        assert [len(ids(root.open(val_share=0.9999999999), s)) for s in SPLITS] == [1, 1, 10]

    def test_files_that_are_no_pictures_of_the_list(self, root: Root) -> None:
        root.image(TEST[0]).write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n")
        root.image(TEST[1]).unlink()
        os.mkfifo(root.image(TEST[1]))
        frames = [trimap(n) for n in (1, 9)]
        frames[0].save(root.trimap(TEST[2]), save_all=True, append_images=frames[1:])
        Image.new("1", (40, 30), 1).save(root.trimap(TEST[3]))  # the value 1: all is pet
        Image.new("F", (40, 30), 1.5).save(root.trimap(TEST[4]), format="TIFF")
        root.error(
            "(4 in all)",
            f"photograph {root.image(TEST[0])} is damaged, or none of PNG, JPEG",
            f"photograph {root.image(TEST[1])} is a pipe",
            f"trimap {root.trimap(TEST[2])} holds 2 pictures",
            f"trimap {root.trimap(TEST[4])} holds fractions",
        )

    def test_name_in_both_splits(self, root: Root) -> None:
        root.list("test", [*TEST, TRAINVAL[5]])
        root.error("both trainval.txt and test.txt", TRAINVAL[5])

    def test_all_broken_files_are_in_one_error(self, root: Root) -> None:
        root.image(TEST[0]).unlink()
        root.image(TEST[1]).write_bytes(root.image(TEST[1]).read_bytes()[:-100])
        root.image(TEST[2]).write_text("not a picture")
        root.trimap(TEST[3]).unlink()
        root.trimap(TEST[2]).unlink()
        trimap(0, (30, 40)).save(root.trimap(TEST[4]))
        Image.new("L", (40, 30), 0).save(root.trimap(TEST[5]))
        Image.new("RGB", (40, 30), (1, 1, 2)).save(root.trimap(TEST[6]))
        root.trimap(TEST[7]).write_bytes(root.trimap(TEST[7]).read_bytes()[:-30])
        text = root.error(
            "(9 in all)",
            f"photograph {root.image(TEST[0])} does not exist",
            f"photograph {root.image(TEST[1])} cannot be read (image file is truncated",
            f"photograph {root.image(TEST[2])} is damaged, or none of",
            f"trimap {root.trimap(TEST[2])} does not exist",
            f"trimap {root.trimap(TEST[3])} does not exist",
            f"trimap {root.trimap(TEST[4])} is 30 x 40, its photograph 40 x 30",
            f"trimap {root.trimap(TEST[5])} holds 0; known values are 1 (pet), 2 (background), 3 (border)",
            f"trimap {root.trimap(TEST[6])} holds colours (mode RGB)",
            f"trimap {root.trimap(TEST[7])} cannot be read",
        )
        assert len(text.splitlines()) == 10


class TestDownload:
    def test_failure_is_one_error(self, root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*arguments: object, **named: object) -> None:
            raise URLError("Name or service not known")

        monkeypatch.setattr("torchvision.datasets.oxford_iiit_pet.download_and_extract_archive", fails)
        words = ("could not be downloaded", "Name or service not known", "--data-root")
        root.error(*words, root=tmp_path / "new", download=True)

    def test_what_is_there_is_not_fetched(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torchvision.datasets.oxford_iiit_pet.download_and_extract_archive", None)
        assert len(root.open(download=True).splits["test"]) == 10

    def test_fetches(self, root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fetch(url: str, download_root: str, md5: str) -> None:
            (root.base / Path(url).name.split(".")[0]).rename(Path(download_root) / Path(url).name.split(".")[0])

        (tmp_path / "new" / "oxford-iiit-pet").mkdir(parents=True)
        monkeypatch.setattr("torchvision.datasets.oxford_iiit_pet.download_and_extract_archive", fetch)
        assert len(root.open(root=tmp_path / "new", download=True).splits["test"]) == 10


@pytest.mark.real
@pytest.mark.skipif("SEGCAM_DATA" not in os.environ, reason="SEGCAM_DATA names no real photographs")
def test_real_photographs(tmp_path: Path) -> None:
    options = DatasetOptions(size=64, root=Path(os.environ["SEGCAM_DATA"]), cache=tmp_path)
    opened = open_oxford_pet(options)
    found = opened.info.facts["images_found"]
    real = found["trainval"] - opened.info.facts["self_trained_found"]
    assert len(opened.splits["test"]) == found["test"]
    assert len(opened.splits["val"]) == int(0.15 * real)
    assert len(opened.splits["train"]) == found["trainval"] - int(0.15 * real)
    for split in SPLITS:
        part = opened.splits[split]
        assert isinstance(part, SplitImages)
        images, masks = part.arrays()
        assert set(np.unique(masks)) == {0, 1, IGNORE}
        assert 20 < images.mean() < 235
        pet = ((masks == 1).sum() / masks.size).item()
        assert pet == pytest.approx(opened.info.facts["pixel_share"][split]["pet"], abs=0.01)
        assert 0.2 < pet < 0.4


@pytest.mark.parametrize("limit", [None, 2])
def test_the_test_images_alone_are_decoded_at_another_size(root: Root, limit: int | None) -> None:
    counts = (None, None, limit)
    whole = root.open(counts=counts)
    alone = root.open(size=2 * SIZE, counts=counts, test_only=True)
    assert list(alone.splits) == ["test"]
    assert ids(alone, "test") == ids(whole, "test")
    assert alone.splits["test"][0].image.shape == (2 * SIZE, 2 * SIZE, 3)
    assert alone.info.training_data == whole.info.training_data
    own = root.open(counts=counts, test_only=True).splits["test"]
    for i in range(len(own)):
        assert (own[i].image == whole.splits["test"][i].image).all()
        assert (own[i].mask == whole.splits["test"][i].mask).all()
