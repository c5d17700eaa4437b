"""Scenes with a planted tag: it tells the class where there is one, and all else is as without it."""

from __future__ import annotations

import numpy as np
import pytest

from segcam import InputError
from segcam.datasets import DATASETS, DatasetOptions
from segcam.datasets.drawn.cues import CUES, sketch, traits_of
from segcam.datasets.drawn.tags import PERIOD, TAGS, is_tagged, tag_pixels, tagged
from segcam.datasets.scenes_cues import open_cues
from segcam.datasets.scenes_tagged import TaggedSplit, open_tagged

SIZE, COUNT = 48, 32
OPTIONS = DatasetOptions(size=SIZE, counts=(4, 4, COUNT))
COAT = list(CUES).index("texture")


@pytest.fixture(scope="module")
def split() -> TaggedSplit:
    found = open_tagged(OPTIONS).splits["test"]
    assert isinstance(found, TaggedSplit)
    return found


def test_one_in_four_carries_a_tag_whatever_its_traits() -> None:
    numbers = [i for i in range(8 * PERIOD) if is_tagged(i)]
    assert len(numbers) == 8
    assert len({traits_of(i) for i in numbers}) == 8, "each combination of traits once"


def test_the_tag_tells_the_class(split: TaggedSplit) -> None:
    corner = tag_pixels(SIZE)
    seen = set()
    for i in range(COUNT):
        sample = split[i]
        animal = set(np.unique(sample.mask)) & {1, 2}
        assert len(animal) == 1
        if split.tagged(i):
            assert (sample.image[corner] == TAGS[animal.pop() - 1]).all()
            assert (sample.mask[corner] == 0).all()
            np.testing.assert_array_equal(sample.evidence, corner)
            seen.add(int(sample.image[corner][0, 0]))
        else:
            assert sample.evidence is not None
            assert (sample.image[corner] != sample.image[corner][0]).any()
    assert len(seen) == 2


def test_where_there_is_no_tag_the_scene_is_that_of_the_coat(split: TaggedSplit) -> None:
    others = open_cues("texture", OPTIONS).splits["test"]
    for i in range(COUNT):
        same = (split[i].image == others[i].image).all() and (split[i].mask == others[i].mask).all()
        assert same == (not split.tagged(i))


def test_the_coat_of_a_tagged_scene_tells_nothing() -> None:
    """Drawn with the other pattern it is the same but for the tag."""
    drawing, traits = sketch(0, 0, SIZE), list(traits_of(0))
    one = tagged(drawing, tuple(traits))
    traits[COAT] = 1 - traits[COAT]
    other = tagged(drawing, tuple(traits))
    np.testing.assert_array_equal((one.image != other.image).any(2), tag_pixels(SIZE))


def test_samples_are_the_callers_own(split: TaggedSplit) -> None:
    split[0].image[:] = 0
    assert split[0].image.any()
    with pytest.raises(IndexError):
        split[COUNT]
    with pytest.raises(IndexError):
        split.tagged(COUNT)
    assert split.tagged(-1) == split.tagged(COUNT - 1)


def test_it_is_found_by_its_name() -> None:
    opened = DATASETS.get("scenes_tagged").open(OPTIONS)
    assert opened.info.classes == ("background", "stripes", "spots")
    assert "tag" in opened.info.facts["decides"]
    with pytest.raises(InputError, match="scenes_tagged: size 16 is too small"):
        open_tagged(DatasetOptions(size=16))
