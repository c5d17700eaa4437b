"""The classes that a run explains, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.printing import slug
from bench.planning.profile import Profile
from bench.planning.sections import Explained, members
from segcam.classes import label
from segcam.errors import DataError, InputError, shown, unknown
from segcam.samples import IGNORE, Images

ALL = "all"
"""All classes but the first that some image shows."""
MOST = "most"
"""That of them that has the most pixels."""
Pixels = npt.NDArray[np.int64]
"""How many pixels of each image show each class, `(images, classes)`."""


@dataclass(frozen=True)
class View:
    """A class that a run explains.

    Attributes:
        label: its name in print.
        explained: its index, or those of a set that counts as one.
        prefix: what the names of its files begin with; '' where the run explains no other.
        folder: where its tables, figures and page are; '' for those of the run.
    """

    label: str
    explained: Explained
    prefix: str = ""
    folder: str = ""

    def of(self, profile: Profile) -> Profile:
        """Return a profile that explains this class alone."""
        class_id = self.explained if isinstance(self.explained, int) else tuple(sorted(self.explained))
        score = profile.score.model_copy(update={"class_id": class_id, "classes": ()})
        return profile.model_copy(update={"score": score})


def views(
    profile: Profile, classes: Sequence[str], test: Callable[[], Pixels]
) -> tuple[tuple[View, ...], tuple[str, ...]]:
    """Return the classes that a run explains, and those that no image shows and that are left out.

    Args:
        profile: the run's.
        classes: names of the data's classes.
        test: gives how many pixels of each test image show each class, by masks or by what is predicted in their place;
            asked where that decides.

    Raises:
        InputError: there is no such class.
        DataError: no image shows any of them.
    """
    asked = profile.score.classes
    if asked == (MOST,):
        most = _most(test())
        return (View(label(most, classes), most),), ()
    if len(asked) == 1 and asked != (ALL,):
        (only,) = asked
        explained = index_of(only, classes)
        return (View(label(explained, classes), explained),), ()
    if not asked:
        return (View(label(profile.score.explained, classes), profile.score.explained),), ()
    named = range(1, len(classes)) if asked == (ALL,) else asked
    wanted = [index_of(one, classes) for one in named]
    if twice := next((one for one in wanted if wanted.count(one) > 1), None):
        raise InputError(f"key 'score.classes' names {label(twice, classes)} twice: name each once")
    present = frozenset(np.flatnonzero(test().any(0)).tolist())
    kept = [one for one in wanted if members(one) & present]
    if not kept:
        raise DataError(f"no image shows {_listed(wanted, classes)}: nothing could be explained")
    labels = [label(one, classes) for one in kept]
    found = tuple(
        View(text, one, f"{_prefix(one)}.", f"classes/{name}" if i else "")
        for i, (one, text, name) in enumerate(zip(kept, labels, _slugs(labels), strict=True))
    )
    return found, tuple(label(one, classes) for one in wanted if one not in kept)


def index_of(wanted: int | str | Sequence[int | str], classes: Sequence[str]) -> Explained:
    """Return the index of a class by itself or its name, or the indices of a set.

    Raises:
        InputError: there is no such class.
    """
    if isinstance(wanted, (list, tuple)):
        indices = frozenset(one for part in wanted for one in members(index_of(part, classes)))
        return next(iter(indices)) if len(indices) == 1 else indices
    if isinstance(wanted, str):
        if wanted not in classes:
            raise unknown("class", wanted, classes, "key 'score.classes'")
        return list(classes).index(wanted)
    assert isinstance(wanted, int)
    if not 0 <= wanted < len(classes):
        listed = ", ".join(f"{i} = {name}" for i, name in enumerate(classes))
        raise InputError(f"key 'score.classes' is {shown(wanted)}: there are {listed}")
    return wanted


def pixels_of(images: Images, classes: int) -> Pixels:
    """Return how many pixels of each image show each class, by its mask."""
    counts = [np.bincount(images[index].mask.ravel(), minlength=IGNORE + 1)[:classes] for index in range(len(images))]
    return np.array(counts, np.int64).reshape(-1, classes)


def shown_in(pixels: Pixels, explained: Explained) -> int:
    """Return how many images show a class, or one of a set."""
    return int(pixels[:, sorted(members(explained))].any(1).sum())


def _prefix(explained: Explained) -> str:
    return "c" + "+".join(map(str, sorted(members(explained))))


def _slugs(labels: Iterable[str]) -> list[str]:
    found: list[str] = []
    for n, text in enumerate(labels):
        name = slug(text) or f"class-{n}"
        found.append(name if name not in found else f"{name}-{n}")
    return found


def _most(pixels: Pixels) -> int:
    """Return the class with the most pixels, but for the first where others are there.

    Raises:
        DataError: there is none.
    """
    known = pixels.sum(0)
    if not known.any():
        raise DataError("no image shows any class: nothing could be explained")
    return int(known[1:].argmax()) + 1 if known[1:].any() else 0


def _listed(wanted: Collection[Explained], classes: Sequence[str]) -> str:
    names = [label(one, classes) for one in wanted]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
