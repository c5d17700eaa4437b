"""Classes as people give them: indices, names, sets that count as one, and one for each image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam import Batch, InputError, Sample
from segcam.classes import belonging, class_ids, label, members
from segcam.samples import with_border
from segcam.scoring import Scenery

GIVEN: list[tuple[object, object]] = [
    (1, 1),
    (np.uint8(3), 3),
    (torch.tensor(2), 2),
    ("dog", "dog"),
    ({2, 1}, frozenset({1, 2})),
    (frozenset({"cat", 3}), frozenset({"cat", 3})),
    ({np.int64(4), 4}, 4),
    ({7: None}.keys(), 7),
    ([1, 2], (1, 2)),
    (torch.tensor([0, 2]), (0, 2)),
    ([{1, 2}, 3, "dog"], (frozenset({1, 2}), 3, "dog")),
]


@pytest.mark.parametrize(("given", "classes"), GIVEN)
def test_what_people_give(given: object, classes: object) -> None:
    assert class_ids(given) == classes


@pytest.mark.parametrize(
    "wrong", [set(), [[1, 2], [1, 2]], range(3), {1: 2}, [{1}, set()], torch.zeros(2, 2), [1.5], []]
)
def test_what_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match=r"a whole number|an empty set|a set, such as \{1, 2\}"):
        class_ids(wrong)


def test_names_and_order() -> None:
    assert members(frozenset({"b", 10, 9, "a"})) == (9, 10, "a", "b")
    assert label(frozenset({2, 1, 5}), ("background", "cat", "dog")) == "cat+dog+5"


def batch() -> Batch:
    generator = np.random.default_rng(0)
    masks = generator.choice([0, 1, 2, 3, 255], (3, 6, 8)).astype(np.uint8)
    picture = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Batch.of([Sample(str(i), picture, mask) for i, mask in enumerate(masks)])


@pytest.mark.parametrize("classes", [2, {1, 3}, {0}, [1, {2, 3}, 0]])
def test_both_sides_of_a_batch(classes: object) -> None:
    images = batch()
    per_image = classes if isinstance(classes, list) else [classes] * 3
    members = [sorted(one) if isinstance(one, set) else one for one in per_image]
    inside = np.stack([np.isin(mask, one) for mask, one in zip(images.masks, members, strict=True)])
    found = [images.foreground(classes).numpy(), images.background(classes).numpy()]  # type: ignore[arg-type]
    assert np.array_equal(found[0], inside)
    assert np.array_equal(found[1], ~inside & (images.masks.numpy() != 255))
    scenery = Scenery.of(images, classes)  # type: ignore[arg-type]
    assert torch.equal(scenery.foreground, images.foreground(classes))  # type: ignore[arg-type]
    assert torch.equal(scenery.background, images.background(classes))  # type: ignore[arg-type]


def test_classes_that_masks_cannot_hold() -> None:
    with pytest.raises(InputError, match="2 classes are given for 3 images"):
        batch().foreground([1, 2])
    with pytest.raises(InputError, match="the class is 255"):
        batch().background({1, 255})
    with pytest.raises(InputError, match="'dog'"):
        Scenery.of(batch(), "dog")
    with pytest.raises(InputError, match="class is 300"):
        belonging(batch().masks, 300)


def test_a_border_has_one_class() -> None:
    masks = batch().masks
    assert torch.equal(with_border(masks, "pet", {3}), with_border(masks, "pet", 3))
    assert torch.equal(with_border(masks, "background", {1, 2}), with_border(masks, "background"))
    with pytest.raises(InputError, match="several classes at once"):
        with_border(masks, "pet", {1, 2})
