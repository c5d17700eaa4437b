"""Which classes a run explains, one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from bench.planning import profile as profiles
from bench.planning.profile import Profile
from bench.planning.views import View, index_of, pixels_of, shown_in, views
from segcam import DataError, InputError
from segcam.samples import IGNORE, Sample

CLASSES = ("background", "cat", "dog", "cow")


def asked(*classes: object, **score: object) -> Profile:
    values = {
        "name": "p",
        "data": {"dataset": "scenes"},
        "models": {"unet": {}},
        "score": {"classes": list(classes), **score},
    }
    return profiles.of_values(values, "p", [])


def images(*masks: list[int]) -> list[Sample]:
    """Images of two pixels a side: the mask of each, row by row."""
    return [
        Sample(f"{i}", np.zeros((2, 2, 3), np.uint8), np.array(mask, np.uint8).reshape(2, 2))
        for i, mask in enumerate(masks)
    ]


FEW = pixels_of(images([0, 0, 1, 1], [0, 2, 2, 2], [0, 0, 0, IGNORE]), 4)


@pytest.mark.parametrize(
    ("classes", "explained", "folders", "without"),
    [
        (["cat", "dog"], [1, 2], ["", "classes/dog"], ()),
        ([2, "cat"], [2, 1], ["", "classes/cat"], ()),
        ([["cat", "dog"], "cat"], [frozenset({1, 2}), 1], ["", "classes/cat"], ()),
        (["all"], [1, 2], ["", "classes/dog"], ("cow",)),
        (["cat", "cow"], [1], [""], ("cow",)),
        ([["cow", "dog"], "cat"], [frozenset({2, 3}), 1], ["", "classes/cat"], ()),
    ],
)
def test_several_classes(
    classes: list[object], explained: list[object], folders: list[str], without: tuple[str, ...]
) -> None:
    found, left_out = views(asked(*classes), CLASSES, lambda: FEW)
    assert [view.explained for view in found] == explained
    assert [view.folder for view in found] == folders
    assert len({view.prefix for view in found}) == len(found), "their files are told apart"
    assert left_out == without


def test_one_class_has_no_folder_of_its_own() -> None:
    for classes in (["dog"], [2]):
        found, _ = views(asked(*classes), CLASSES, lambda: FEW)
        assert found == (View("dog", 2),)
    assert views(asked(class_id=3), CLASSES, lambda: FEW)[0] == (View("cow", 3),)
    assert views(asked("cow"), CLASSES, lambda: FEW)[0] == (View("cow", 3),), "though none shows it"


@pytest.mark.parametrize(
    ("masks", "explained"),
    [([[0, 0, 1, 1], [0, 2, 2, 2]], 2), ([[0] * 4], 0), ([[IGNORE, IGNORE, 0, 3]], 3)],
)
def test_the_class_of_the_most_pixels(masks: list[list[int]], explained: int) -> None:
    """The first one where no other is there."""
    found, _ = views(asked("most"), CLASSES, lambda: pixels_of(images(*masks), 4))
    assert found == (View(CLASSES[explained], explained),)


def test_nothing_to_explain() -> None:
    with pytest.raises(DataError, match="no image shows any class"):
        views(asked("most"), CLASSES, lambda: pixels_of(images([IGNORE] * 4), 4))
    with pytest.raises(DataError, match="no image shows cat, dog, cow: nothing could be explained"):
        views(asked("all"), CLASSES, lambda: pixels_of(images([0] * 4), 4))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["catt", "dog"], "unknown class 'catt'"),
        ([7, 1], "is 7: there are 0 = background, 1 = cat"),
        ([1, "cat"], "names cat twice"),
        ([[1, 2], ["dog", "cat"]], "twice"),
    ],
)
def test_wrong_classes(classes: list[object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        views(asked(*classes), CLASSES, lambda: FEW)


def test_a_profile_of_one_view() -> None:
    profile = asked(["cat", "dog"], "cow")
    found, _ = views(profile, CLASSES, lambda: pixels_of(images([0, 1, 2, 3]), 4))
    one = found[0].of(profile)
    assert one.score.explained == frozenset({1, 2})
    assert one.score.classes == ()


def test_a_set_of_one_is_a_class() -> None:
    assert index_of(["cat"], CLASSES) == 1
    assert index_of(["cat", "cat"], CLASSES) == 1


def test_what_images_show() -> None:
    assert shown_in(FEW, 2) == 1
    assert shown_in(FEW, frozenset({1, 3, 2})) == 2
    assert not shown_in(FEW, 3)
