"""What a run knows of its data before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.planning import plan
from bench.planning import profile as profiles
from bench.planning.data import Data, _digest, choose_images, open_data
from segcam import DataError, InputError
from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.datasets.decoded import Loaded, Source, open_splits
from segcam.samples import DatasetInfo, Opened, Sample


def opened(tiny: Path, *settings: str) -> Data:
    return open_data(profiles.read(str(tiny), list(settings)), root=None, download=False)


def test_the_splits(tiny: Path) -> None:
    data = opened(tiny)
    assert [len(split) for split in (data.train, data.val, data.test)] == [60, 12, 6]
    assert data.gallery == opened(tiny).gallery
    assert len(data.gallery) == 1


@pytest.mark.parametrize("setting", ["data.seed=1", "data.size=48", "data.train=61", "data.val=13", "data.test=7"])
def test_the_digest_tells_data_apart(tiny: Path, setting: str) -> None:
    assert opened(tiny).digest == opened(tiny).digest
    assert opened(tiny).digest != opened(tiny, setting).digest


def test_the_digest_is_of_the_data_alone(tiny: Path) -> None:
    assert opened(tiny).digest == opened(tiny, "train.epochs=1", "data.border=pet", "figures.images=3").digest


def test_a_class_that_does_not_exist(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"score.class_id is 2, but scenes has 2 classes: 0 = background, 1 = pet"):
        opened(tiny, "score.class_id=2")


def plain(monkeypatch: pytest.MonkeyPatch, tiny: Path, val: int, test: int, other: int = 1) -> Data:
    """Open a data set of files, as far as the harness can tell: black images whose masks hold one class."""

    def images(*labels: int) -> list[Sample]:
        black, mask = np.zeros((16, 16, 3), np.uint8), np.ones((16, 16), np.uint8)
        return [Sample(f"{i}", black, label * mask) for i, label in enumerate(labels)]

    def made(_: DatasetOptions) -> Opened:
        info = DatasetInfo("plain", ("background", "pet"), "5 images")
        splits = {"train": images(1, 1, 1, other, 1), "val": images(*[val] * 5), "test": images(*[test] * 5)}
        return Opened(info, splits)

    DATASETS.names()
    monkeypatch.setitem(DATASETS._items, "plain", Dataset("plain", "for tests", made))
    return opened(tiny, "data.dataset=plain")


@pytest.mark.parametrize(("val", "test", "words"), [(0, 1, "none of the 5 val images"), (1, 0, "no test image holds")])
def test_splits_without_the_class_are_refused(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, val: int, test: int, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        plain(monkeypatch, tiny, val, test)


def test_of_files_every_image_counts(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    digests = {plain(monkeypatch, tiny, 1, 1, other).digest for other in (0, 1)}
    assert len(digests) == 2


def test_of_decoded_photographs_those_that_are_used_count(tmp_path: Path) -> None:
    def digest(greys: list[int], cache: str) -> str:
        def load(row: int) -> Loaded:
            return Loaded(Image.new("RGB", (8, 8), (greys[row],) * 3), np.ones((8, 8), np.uint8), {})

        source = Source("plain", list("abcdef"), load, {"greys": greys}, "none")
        options = DatasetOptions(size=8, cache=tmp_path / cache)
        splits = open_splits(source, {"train": [0, 1], "val": [2], "test": [3]}, options)
        return _digest(Opened(DatasetInfo("plain", ("background", "pet"), "2 images"), dict(splits)), drawn=False)

    first = digest([1, 2, 3, 4, 5, 6], "one")
    assert digest([1, 2, 3, 4, 5, 6], "another") == first
    assert digest([1, 2, 3, 4, 99, 6], "one") == first, "an image that is not used"
    assert len({first, *(digest([*range(1, row), 99, *range(row + 1, 7)], "one") for row in range(1, 5))}) == 5


def test_figures_take_the_images_nearest_to_evenly_spaced_percentiles() -> None:
    areas = np.array([0.5, 0.1, 0.3, 0.2, 0.4])
    indices, rule = choose_images(areas, list("abcde"), 3)
    assert [areas[i] for i in indices] == pytest.approx([0.2, 0.3, 0.4])
    assert np.abs(np.quantile(areas, [1 / 6, 1 / 2, 5 / 6]) - areas[list(indices)]).max() < 0.1
    assert "percentiles 17, 50, 83" in rule
    assert "before any network was trained" in rule
    indices, rule = choose_images(np.array([0.2, 0.9, 0.4]), list("abc"), 1)
    assert indices == (2,)
    assert "image whose share of foreground pixels is nearest to the percentile 50" in rule


@settings(max_examples=60, deadline=None)
@given(
    tenths=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    count=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_the_choice_does_not_depend_on_the_order_of_the_images(tenths: list[int], count: int, order: object) -> None:
    """Few different areas, so that ties are the rule: names decide them, not places."""
    areas, ids = np.array(tenths) / 10, [f"image-{i}" for i in range(len(tenths))]
    indices, rule = choose_images(areas, ids, count)
    places = list(range(len(ids)))
    order.shuffle(places)  # type: ignore[attr-defined]
    again, same = choose_images(areas[places], [ids[p] for p in places], count)
    assert [ids[places[i]] for i in again] == [ids[i] for i in indices]
    assert rule == same
    assert len(set(indices)) == len(indices) == min(count, np.count_nonzero(areas))


def filled(tmp_path: Path, channels: int = 1, size: tuple[int, int] = (32, 32)) -> Path:
    """A folder of a user's whose arrays have some channels."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for i in range(12):
        mask = np.zeros(size, np.uint8)
        mask[: size[0] // 2, 2 + i :] = 1
        np.save(tmp_path / f"set/images/{i}.npy", rng.integers(0, 4000, (*size, channels), dtype=np.uint16))
        np.save(tmp_path / f"set/masks/{i}.npy", mask)
    text = f'classes = ["a", "b"]\ninputs = {{channels = {channels}, bits = 12, mean = 0.5, std = 0.25}}\n'
    (tmp_path / "set/classes.toml").write_text(text)
    return tmp_path / "set"


FOLDER = ("data.dataset=folder", "data.train=6", "data.val=2", "data.test=2")


def test_channels_that_a_model_does_not_take(tiny: Path, tmp_path: Path) -> None:
    root = filled(tmp_path, 2)
    settings = [*FOLDER, f"data.cache={tmp_path / 'cache'}"]
    with pytest.raises(InputError, match=r"model 'unet' takes images of 3 channels, and these have 2: set models.unet"):
        open_data(profiles.read(str(tiny), settings), root=root, download=False)
    data = open_data(profiles.read(str(tiny), [*settings, "models.unet.channels=2"]), root=root, download=False)
    assert data.test[0].channels.high == 4095
    text = (root / "classes.toml").read_text()
    (root / "classes.toml").write_text(text.replace("mean = 0.5", "mean = 0.4"))
    again = open_data(profiles.read(str(tiny), [*settings, "models.unet.channels=2"]), root=root, download=False)
    assert again.digest != data.digest


def test_images_that_keep_their_aspect_ratio(tiny: Path, tmp_path: Path) -> None:
    settings = [*FOLDER, "models.unet.channels=1", f"data.cache={tmp_path / 'cache'}", "data.size=32"]
    root = filled(tmp_path, 1, (32, 48))
    data = open_data(profiles.read(str(tiny), [*settings, "data.resize=pad"]), root=root, download=False)
    assert data.test[0].valid is not None
    assert data.test_at(64)[0].valid is not None
    with pytest.raises(
        InputError, match=r"leaves images of 48 x 32 pixels, wanted are squares .* = 32: take data.resize"
    ):
        open_data(profiles.read(str(tiny), [*settings, "data.resize=none"]), root=root, download=False)
    data = open_data(
        profiles.read(str(tiny), [*settings, "data.resize=none"]), root=filled(tmp_path / "square"), download=False
    )
    assert data.test[0].valid is None
    with pytest.raises(InputError, match="not at 64 px: take 'pad' or 'squash'"):
        data.test_at(64)
    with pytest.raises(InputError, match="the data set scenes is drawn and reads no files: leave it out"):
        opened(tiny, "data.resize=pad")


def test_squashing_is_no_part_of_a_definition(tiny: Path) -> None:
    """So that runs begun before there was another way go on."""
    read = profiles.read(str(tiny), [])
    assert "resize" not in plan.definition(read, "digest")["data"]
    assert plan.definition(profiles.read(str(tiny), ["data.resize=pad"]), "digest")["data"]["resize"] == "pad"
