"""What a measurement of a checkpoint is. `bench/measurements/` has one a file; they are found by being there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.sections import FewImages, Seeds, Settings, of_seeds
from segcam.registry import Registry

if TYPE_CHECKING:  # a profile is read where torch is not installed
    import torch
    from torch import nn

    from bench.planning.data import Data
    from bench.planning.profile import Profile
    from bench.planning.request import Gap, Request
    from segcam.samples import Batch
    from segcam.scoring.reference import Scenery

Columns = dict[str, Any]
"""A table: an array a column."""
Advance = Callable[[int, str], None]
"""Called with the number of steps finished since the last call (0 for a sign of life), and what is done."""


def quiet(*_: object) -> None:
    """Tell nobody of steps and gaps."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network before it is loaded.

    Attributes:
        train: what made it.
        level: its level.
        highest: whether the training reached no higher level.
        place: of its seed among the model's, from 0.
    """

    train: TrainCell
    level: int
    highest: bool
    place: int

    @property
    def first(self) -> bool:
        """Whether its seed is the first of the model's."""
        return self.place == 0

    def among(self, levels: str, seeds: Seeds) -> bool:
        """Return whether it is meant by `levels`, 'all' or 'highest', and by `seeds`."""
        return (levels == "all" or self.highest) and of_seeds(seeds, self.place)


@dataclass(frozen=True)
class CellPlan:
    """What becomes a cell.

    Attributes:
        name: which of the checkpoint's cells it is; '' for the only one.
        rows: indices of its test images.
        settings: what defines the result beside the checkpoint and the images, JSON-ready.
    """

    name: str
    rows: tuple[int, ...]
    settings: Any


@dataclass(frozen=True)
class MeasureJob:
    """A cell at work.

    Attributes:
        profile: the run's.
        data: all images.
        cell: the checkpoint, and which test images.
        model: the checkpoint's network, on its device.
        request: what the section score asks of every image.
        advance: told of what is done.
        note: told of every map that there is not.
    """

    profile: Profile
    data: Data
    cell: MeasureCell
    model: nn.Module
    request: Request
    advance: Advance
    note: Callable[[Gap], None]

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.model.parameters()).device

    @cached_property
    def batch(self) -> Batch:
        """All the cell's images together."""
        from segcam.samples import Batch  # noqa: PLC0415  (needs torch)

        return Batch.of([self.data.test[i] for i in self.cell.rows], self.device)

    @cached_property
    def scenery(self) -> Scenery:
        """What is known of these images."""
        from segcam.scoring.reference import Scenery  # noqa: PLC0415  (as above)

        return Scenery.of(self.batch, self.profile.score.explained)


@dataclass(frozen=True)
class Measurement:
    """A measurement of checkpoints on test images.

    Attributes:
        name: of its section in the profile, if it has one, and what its cells' records begin with; no hyphens.
        run: does a cell and returns the columns of each table, but those that are the same in all rows; bytes are kept
            as an .npz file.
        plan: `(profile, data, checkpoint) -> its cells`; by default a few images each, as its section says.
        settings: its section in the profile; every key has a default.
        steps: `request -> steps of an image` that its progress counts, where an image is too long to wait for; by
            default an image is one.
        sizes: `profile -> sides of the images that networks must take` beside the training size. It raises
            InputError where the section does not fit the rest of the profile.
        cost: about how long an image takes, in steps of a training; for the time that is left alone.
        stage: of the run that it belongs to.
        turn: those of lower numbers are done before others.
    """

    name: str
    run: Callable[[MeasureJob], Mapping[str, Columns | bytes]]
    plan: Callable[[Profile, Data, Checkpoint], Iterable[CellPlan]] | None = None
    settings: type[Settings] | None = None
    steps: Callable[[Request], int] | None = None
    sizes: Callable[[Profile], Sequence[int]] = lambda _: ()
    cost: float = 1.0
    stage: str = "score"
    turn: int = 1

    def cells(self, profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterable[CellPlan]:
        """Plan the cells of a checkpoint."""
        if self.plan:
            return self.plan(profile, data, checkpoint)
        section: FewImages = profile.section(self.name)
        if not checkpoint.among(section.levels, section.training_seeds):
            return ()
        settings = section.model_dump(mode="json", exclude=set(FewImages.model_fields))
        score = profile.score.model_dump(
            mode="json", include={"class_id", "targets", "methods", "points", "parameters"}
        )
        rows, _ = data.choose(section.images)
        return numbered(rows, section.batch_size, [settings, score])

    def images(self, profile: Profile, data: Data) -> tuple[tuple[int, ...], str]:
        """Return the few test images that its section asks for, and how they are chosen; none where it has no say."""
        few = self.settings is not None and issubclass(self.settings, FewImages)
        return data.choose(profile.section(self.name).images) if few else ((), "")


def numbered(rows: Sequence[int], size: int, settings: Any, prefix: str = "") -> list[CellPlan]:
    """Split images into cells of `size`, named by their numbers."""
    return [
        CellPlan(f"{prefix}{n:03d}", tuple(rows[at : at + size]), settings)
        for n, at in enumerate(range(0, len(rows), size))
    ]


MEASUREMENTS: Registry[Measurement] = Registry("measurement", "bench.measurements")
