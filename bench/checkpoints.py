"""The checkpoints of a run: of networks that it trained, and of those that were there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import nn

from analyses.reading.manifest import Checkpoint
from bench.networks.given import Given
from bench.networks.predictions import PredictedMasks
from bench.planning import plan
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.request import Request
from bench.planning.sections import Score
from bench.planning.views import Pixels
from bench.training.run import Trainings
from segcam.models import create
from segcam.probe.network.elements import OVERLAPPING


class Checkpoints:
    """All checkpoints of a run; what asks for one does not know where it came from.

    Args:
        trainings: the networks that are trained here.
        given: those that are there already.
    """

    def __init__(self, trainings: Trainings, given: Given) -> None:
        self.trainings, self.given = trainings, given
        self.profile, self.data = trainings.profile, trainings.data
        self.store, self.console = trainings.store, trainings.console
        self._requests: dict[tuple[str, str], Request] = {}
        self._masked: tuple[tuple[Any, ...], PredictedMasks] | None = None

    @cached_property
    def cells(self) -> list[TrainCell]:
        """What they come from: trainings, teachers first, then networks that are there already."""
        return [*self.trainings.cells, *self.given.cells]

    def finished(self, cell: TrainCell) -> bool:
        """Return whether a cell's checkpoints are there."""
        return self.given.has(cell) or self.trainings.finished(cell)

    def missing(self) -> list[TrainCell]:
        """Return the cells whose checkpoints are not there yet."""
        return [cell for cell in self.cells if not self.finished(cell)]

    def weights(self, cells: Sequence[TrainCell]) -> dict[TrainCell, dict[int, str]]:
        """Return for cells their levels that were reached, with the hash of each checkpoint's weights."""
        trained = self.trainings.weights([cell for cell in cells if not self.given.has(cell)])
        return {cell: self.given.weights(cell) if self.given.has(cell) else trained[cell] for cell in cells}

    def network(self, cell: TrainCell, level: int) -> nn.Module:
        """Return a checkpoint's network on its device, in eval mode.

        Raises:
            InputError: its file was changed, or is gone.
        """
        source = self.given if self.given.has(cell) else self.trainings
        return source.network(cell, level)

    def request(self, cell: TrainCell, score: Score, model: nn.Module | None = None) -> Request:
        """Return what is asked of every image of a cell's networks.

        Args:
            cell: what the network comes from.
            score: the section of the profile, for one class.
            model: one of them, where one is at hand.

        Raises:
            InputError: something that is asked for is unknown.
        """
        if self.given.has(cell):
            key = (cell.model, score.model_dump_json())
            if key not in self._requests:
                self._requests[key] = self.given.request(cell, score)
            return self._requests[key]
        if model is None:
            parameters = plan.parameters(self.profile, cell.model)
            model = create(cell.model, len(self.data.opened.info.classes), parameters, pretrained=False)
        return Request.of(score, cell.model, model)

    def data_of(self, data: Data, cell: TrainCell, level: int, model: nn.Module, request: Request) -> Data:
        """Return the images that a checkpoint is measured on: without masks, with what it predicts in their place.

        Args:
            data: the run's, with the images chosen for a class.
            cell: what the network comes from.
            level: its level.
            model: the network.
            request: what is asked of it.
        """
        if data.opened.info.masked:
            return data
        key = (cell, level, request.explained if request.output in OVERLAPPING else None)
        if self._masked is None or self._masked[0] != key:
            self._masked = key, PredictedMasks(data.test, model, request)
        splits = {**data.opened.splits, "test": self._masked[1]}
        return replace(data, opened=replace(data.opened, splits=splits))

    def predicted(self) -> Iterator[Pixels]:
        """Yield what each network predicts at its last level: how many pixels of each image show each class."""
        for cell, levels in self.weights([cell for cell in self.cells if self.finished(cell)]).items():
            level = max(levels)
            model = self.network(cell, level)
            request = self.request(cell, self.profile.score, model)
            predictions = self.data_of(self.data, cell, level, model, request).test
            assert isinstance(predictions, PredictedMasks)  # asked without masks alone
            yield predictions.pixels(len(self.data.opened.info.classes))

    def entries(self) -> list[Checkpoint]:
        """Return what is known of every level's checkpoint, reached or not."""
        return [*self.trainings.entries(), *self.given.entries()]

    def trained(self) -> Iterator[TrainCell]:
        """Yield the finished trainings."""
        return (cell for cell in self.trainings.cells if self.trainings.finished(cell))
