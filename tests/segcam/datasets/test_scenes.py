"""The drawn scenes: deterministic, truthful about their parts, with the shares that the levels rest on."""

from typing import Any

import numpy as np
import pytest

from segcam import memory
from segcam.datasets import DATASETS, DatasetOptions
from segcam.datasets.drawn import PARTS, Scene, draw
from segcam.datasets.drawn.cues import sketch
from segcam.datasets.drawn.shapes import Layer, Shape, covered_share, moved, pixel_centres
from segcam.datasets.drawn.texture import noise
from segcam.datasets.scenes import DEFAULT_COUNTS, SceneSplit, open_scenes
from segcam.errors import InputError
from segcam.samples import IGNORE, SPLITS

SIZE = 64


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(0, i, SIZE) for i in range(120)]


def shares(scene: Scene) -> tuple[float, float]:
    """The share of pet among the pixels off the border, and the border's share of all."""
    border = scene.mask == IGNORE
    return float((scene.mask == 1).sum() / (~border).sum()), float(border.mean())


def test_shapes_dtypes_and_values(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (SIZE, SIZE, 3)
        assert scene.mask.shape == scene.parts.shape == (SIZE, SIZE)
        assert scene.image.dtype == scene.mask.dtype == scene.parts.dtype == np.uint8
        assert set(np.unique(scene.mask)) == {0, 1, IGNORE}
        assert scene.parts.max() < len(PARTS)
        assert scene.image.std() > 8, "a picture of one colour shows nothing"


def test_same_seed_and_index_give_the_same_bits() -> None:
    first, second = draw(3, 17, 96), draw(3, 17, 96)
    for name in ("image", "mask", "parts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(0, 0, SIZE)
    sketch(0, 0, SIZE).draw((0, 0, 0))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("other", [(0, 1), (1, 0)], ids=["index", "seed"])
def test_another_index_or_seed_gives_another_scene(other: tuple[int, int]) -> None:
    first, second = draw(0, 0, SIZE), draw(*other, SIZE)
    assert (first.mask != second.mask).mean() > 0.05
    assert (first.image != second.image).mean() > 0.5


def test_parts_agree_with_the_mask(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert (scene.parts[scene.mask == 1] > 0).all()
        assert (scene.parts[scene.mask == 0] == 0).all()
        border = scene.parts[scene.mask == IGNORE]
        assert (border > 0).any(), "the border lies on both sides of the outline"
        assert (border == 0).any(), "the border lies on both sides of the outline"


def test_every_part_is_seen(scenes: list[Scene]) -> None:
    seen = {part: np.mean([(s.parts == i).sum() > 10 for s in scenes]) for i, part in enumerate(PARTS)}
    assert seen["head"] == 1, "the camera keeps the face in the picture"
    assert min(seen["body"], seen["ears"], seen["legs"]) > 0.8
    assert seen["tail"] > 0.4


def test_pet_shares(scenes: list[Scene]) -> None:
    pet, border = np.array([shares(s) for s in scenes]).T
    assert 0.38 < pet.mean() < 0.46, "answering 'background' everywhere must stay under a mean IoU of 0.30"
    assert pet.min() > 0.03
    assert pet.max() < 0.80
    assert np.quantile(pet, 0.9) - np.quantile(pet, 0.1) > 0.25, "near and far animals"
    assert 0.06 < border.mean() < 0.12


def test_background_everywhere_scores_under_the_lowest_level(scenes: list[Scene]) -> None:
    background = sum(int((s.mask == 0).sum()) for s in scenes)
    pet = sum(int((s.mask == 1).sum()) for s in scenes)
    assert 0.26 < 0.5 * background / (background + pet) < 0.30


@pytest.mark.parametrize("index", range(8))
def test_same_geometry_at_every_size(index: int) -> None:
    small, large = draw(5, index, 64), draw(5, index, 128)
    pooled = (large.parts > 0).reshape(64, 2, 64, 2).mean((1, 3)) > 0.5
    pet = small.parts > 0
    assert (pooled & pet).sum() / (pooled | pet).sum() > 0.9
    other = draw(5, index + 1, 64).parts > 0
    assert (other & pet).sum() / (other | pet).sum() < 0.9, "the check must be able to fail"
    pictures = small.image.astype(float).mean(-1), large.image.astype(float).mean(-1).reshape(64, 2, 64, 2).mean((1, 3))
    assert np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1] > 0.8


def test_colour_alone_does_not_give_the_pet_away(scenes: list[Scene]) -> None:
    """The best threshold on the colour's distance from the pet's own mean colour leaves much to be found."""
    scores = []
    for scene in scenes[:40]:
        colours = scene.image.reshape(-1, 3).astype(float)
        pet, background = scene.mask.ravel() == 1, scene.mask.ravel() == 0
        near = np.linalg.norm(colours - colours[pet].mean(0), axis=1)
        cuts = np.quantile(near, np.linspace(0.05, 0.95, 19))
        scores.append(max(0.5 * ((near < c)[pet].mean() + (near >= c)[background].mean()) for c in cuts))
    assert np.mean(scores) < 0.85


def test_opened_contract() -> None:
    opened = DATASETS.get("scenes").open(DatasetOptions(size=SIZE, seed=2, counts=(3, 2, None)))
    assert DATASETS.get("scenes").needs_root is False
    assert opened.info.name == "scenes"
    assert opened.info.classes == ("background", "pet")
    assert opened.info.training_data == "3 drawn scenes"
    assert opened.info.facts["counts"] == {"train": 3, "val": 2, "test": DEFAULT_COUNTS["test"]}
    assert (opened.info.facts["seed"], opened.info.facts["size"]) == (2, SIZE)
    assert list(opened.splits) == list(SPLITS)
    assert [len(opened.splits[s]) for s in SPLITS] == [3, 2, DEFAULT_COUNTS["test"]]
    assert opened.splits["test"][17].id == "scenes-2-test-000017"
    assert [s.id for s in opened.splits["val"]] == ["scenes-2-val-000000", "scenes-2-val-000001"]


def test_splits_share_no_scene() -> None:
    opened = open_scenes(DatasetOptions(size=32, counts=(20, 20, 20)))
    images = {opened.splits[s][i].image.tobytes() for s in SPLITS for i in range(20)}
    assert len(images) == 60


def test_a_split_grows_without_changing_its_first_scenes() -> None:
    few, many = (open_scenes(DatasetOptions(size=32, counts=(n, 1, 1))).splits["train"] for n in (2, 5))
    np.testing.assert_array_equal(few[1].image, many[1].image)


def test_samples_are_the_drawn_scene_and_the_callers_own() -> None:
    split = SceneSplit(seed=4, split="train", count=3, size=SIZE)
    expected = draw(4, 1, SIZE)
    for _ in range(2):
        sample, parts = split[1], split.parts(1)
        np.testing.assert_array_equal(sample.image, expected.image)
        np.testing.assert_array_equal(sample.mask, expected.mask)
        np.testing.assert_array_equal(parts, expected.parts)
        sample.image[:], sample.mask[:], parts[:] = 0, 0, 0
    np.testing.assert_array_equal(split[-1].image, split[2].image)


@pytest.mark.parametrize("index", [3, -4])
def test_out_of_range(index: int) -> None:
    split = SceneSplit(seed=0, split="val", count=3, size=SIZE)
    with pytest.raises(IndexError, match=str(index)):
        split[index]
    with pytest.raises(IndexError, match=str(index)):
        split.parts(index)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scenes", {"counts": (None, None, 2**31)}, "test images"),
        ("scenes", {"size": 8}, "size 8 is too small"),
        ("scenes", {"counts": (10**9, None, None), "size": 4096}, "1000000000 train, .* of memory, .*data.size"),
        ("scenes", {"counts": (1, 1, 10**9), "size": 4096, "test_only": True}, "1000000000 test scenes of 4096 px"),
        ("scenes_texture", {"counts": (None, None, 2**31)}, "test images"),
        ("scenes_texture", {"counts": (10**9, 1, 1), "size": 256}, "1000000000 train, .* of memory, .*data.size"),
        ("scenes_texture", {"size": 16}, "size 16 is too small"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        DATASETS.get(name).open(DatasetOptions(**options))


def test_scenes_as_many_as_memory_holds_open(monkeypatch: pytest.MonkeyPatch) -> None:
    options = DatasetOptions(size=SIZE, counts=(8, 1, 1))
    monkeypatch.setattr(memory, "available", lambda: 10 * 5 * SIZE**2)
    assert len(open_scenes(options).splits["train"]) == 8
    monkeypatch.setattr(memory, "available", lambda: 10 * 5 * SIZE**2 - 1)
    with pytest.raises(InputError, match=r"scenes of .* px takes at least .*: take fewer \(data.train"):
        open_scenes(options)
    monkeypatch.setattr(memory, "available", lambda: None)
    assert open_scenes(options)


def slow_distance(q: Shape, x: float, y: float) -> float:
    """The distance of one point to a tapered capsule, point by point in float64."""
    bx, by = q.bx - q.ax, q.by - q.ay
    t = min(max(((x - q.ax) * bx + (y - q.ay) * by) / (bx * bx + by * by), 0.0), 1.0)
    return float(np.hypot(x - q.ax - t * bx, y - q.ay - t * by)) - (q.ra + t * (q.rb - q.ra))


def test_capsule_distance_against_a_slow_twin() -> None:
    q = Shape(0.3, 0.35, 0.6, 0.7, 0.15, 0.08, part=2)
    layer = Layer(32, (0.0, -1.0), 0.05, np.zeros((32, 32), np.float32))
    layer.paint(q)
    steps = pixel_centres(32)
    truth = np.array([[slow_distance(q, float(x), float(y)) for x in steps] for y in steps])
    near = layer.distance < 0.04
    assert near.sum() > 100
    np.testing.assert_allclose(layer.distance[near], truth[near], atol=1e-6)
    np.testing.assert_array_equal(layer.parts == 2, truth < 0)


def test_covered_share_of_a_disc() -> None:
    disc = np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]], dtype=np.float32)
    assert covered_share(disc, 0.3, 0.5, 0.5, cells=200) == pytest.approx(np.pi * 0.09, rel=0.01)
    assert covered_share(disc, 0.3, 0.0, 0.5, cells=200) == pytest.approx(np.pi * 0.045, rel=0.02)


def test_moved_turns_mirrors_and_scales() -> None:
    (q,) = moved([Shape(1, 0, 0, 2, 0.1, 0.2, part=3)], np.pi / 2, 2.0, 10.0, 20.0, flip=True)
    assert (q.ax, q.ay, q.bx, q.by) == pytest.approx((10, 18, 6, 20))
    assert (q.ra, q.rb, q.part) == pytest.approx((0.2, 0.4, 3))


def test_noise_is_the_same_at_every_size() -> None:
    small, large = (noise(np.random.default_rng(0), n, 4, 6) for n in (60, 180))
    np.testing.assert_allclose(small, large[1::3, 1::3], atol=1e-5)
    assert 0 <= small.min() < small.max() <= 1
