"""The networks of a run that are there already: opened, prepared for its images, and their layers found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from analyses.reading import manifest
from bench.networks.predictions import lookup
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.given import Network
from bench.planning.plan import identity
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.planning.sections import Explained, Score, members
from segcam.classes import label
from segcam.errors import InputError, SegcamError, first_of, unknown
from segcam.models.weights.checkpoints import digest
from segcam.networks import OwnNetwork, open_network, prepare
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention.finding import find_attention
from segcam.probe.choice import Choice, choose_layers
from segcam.probe.layers import Layer
from segcam.probe.network.elements import OVERLAPPING
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.samples import Batch


@dataclass(frozen=True, eq=False)
class Looked:
    """What one image showed of a network.

    Attributes:
        choice: the layers that are probed, and the others.
        places: the blocks whose attention can be read.
        output: what its output means.
        channels: classes that its output tells apart.
        grid: rows and columns of its output.
    """

    choice: Choice
    places: tuple[AttentionPlace, ...]
    output: Any
    channels: int
    grid: tuple[int, int]


class Given:
    """The networks of a run that are there already, with one seed, 0, and a level for each file of weights.

    Args:
        profile: the run's.
        data: the images.
        device: where networks run.
    """

    def __init__(self, profile: Profile, data: Data, device: torch.device) -> None:
        self.profile, self.data, self.device = profile, data, device
        self._open: tuple[tuple[str, int], OwnNetwork] | None = None
        self._looked: dict[str, Looked] = {}
        self._hashes: dict[tuple[str, int], str] = {}

    @cached_property
    def cells(self) -> list[TrainCell]:
        """A cell a network, in the place of a training."""
        return [TrainCell(name, 0, self._identity(name)) for name in self.profile.networks]

    def has(self, cell: TrainCell) -> bool:
        """Return whether a cell is of a network that is there already."""
        return cell.model in self.profile.networks

    def weights(self, cell: TrainCell) -> dict[int, str]:
        """Return a network's levels, from 1, with the hash of what it weighs there."""
        settings = self.profile.networks[cell.model]
        return {level: self._hash(cell.model, level) for level in range(1, len(settings.level_names()) + 1)}

    def network(self, cell: TrainCell, level: int) -> nn.Module:
        """Return a network with the weights of a level, on the device, which takes the run's images."""
        return self.opened(cell.model, level).model

    def request(self, cell: TrainCell, score: Score) -> Request:
        """Return what is asked of every image of a network.

        Args:
            cell: in the place of a training.
            score: the section of the profile, for one class.
        """
        name = cell.model
        looked, network = self.looked(name), self._of(name)
        ids = self._explained(name, network, score.explained)
        if len(ids) == len(network.classes) and looked.output not in OVERLAPPING:
            raise InputError(
                f"networks.{name}: the set '{label(ids, network.classes)}' holds all its {len(ids)} classes, of which "
                "one holds at every pixel: leave one out"
            )
        explained: Any = next(iter(ids)) if len(ids) == 1 else ids
        return Request.of_layers(
            score,
            looked.choice.layers,
            looked.places,
            explained=explained,
            output=looked.output,
            element=self.profile.networks[name].element,
            lookup=lookup(network.classes, self.data.opened.info.classes, ids, score.explained),
        )

    def entries(self) -> list[manifest.Checkpoint]:
        """Return what the manifest says of the levels."""
        return [
            manifest.Checkpoint(
                model=cell.model,
                seed=cell.seed,
                level=level,
                reached=True,
                training_data=self.data.opened.info.training_data,
                sha256=sha256,
                name=name,
            )
            for cell in self.cells
            for (level, sha256), name in zip(
                self.weights(cell).items(), self.profile.networks[cell.model].level_names(), strict=True
            )
        ]

    def described(self, name: str) -> tuple[manifest.Model, tuple[Layer, ...], tuple[AttentionPlace, ...]]:
        """Return what the manifest says of a network, its layers, and the blocks whose attention can be read."""
        settings, network = self.profile.networks[name], self._of(name)
        parameters = sum(p.numel() for p in network.model.parameters())
        shown = {**settings.arguments, "classes": len(network.classes)}
        model = manifest.Model(
            label=settings.label or name,
            source=settings.source.rpartition("/")[2],
            settings=shown,
            parameters=parameters,
            given=True,
        )
        looked = self.looked(name)
        return model, looked.choice.layers, looked.places

    def looked(self, name: str) -> Looked:
        """Return what the first test image shows of a network, with its first weights."""
        if name not in self._looked:
            self._looked[name] = self._look(name, self._of(name))
        return self._looked[name]

    def opened(self, name: str, level: int) -> OwnNetwork:
        """Open a network with the weights of a level; the last one is kept.

        Raises:
            InputError: it cannot be built, or its weights do not fit.
        """
        if self._open is None or self._open[0] != (name, level):
            settings = self.profile.networks[name]
            self._open = None  # two large networks may not fit into memory together
            network = self._prepared(name, settings, settings.weights[level - 1] if settings.weights else None)
            self._open = ((name, level), network)
            self._hashes[name, level] = digest(dict(network.model.state_dict()), {})
        return self._open[1]

    def _of(self, name: str) -> OwnNetwork:
        """Return a network with any of its weights: for what does not depend on them."""
        if self._open is not None and self._open[0][0] == name:
            return self._open[1]
        return self.opened(name, 1)

    def _prepared(self, name: str, settings: Network, weights: str | None) -> OwnNetwork:
        try:
            network = open_network(
                settings.source,
                arguments=settings.arguments,
                weights=weights,
                prefix=settings.prefix,
                classes=settings.classes or None,
                ignore=settings.ignore,
                output=settings.element or settings.output,
                inputs=dict(settings.inputs) or None,
            )
        except SegcamError as error:
            raise InputError(f"networks.{name}: {error}") from error
        prepare(network.model, network.inputs, self.data.test[0].channels)
        network.model.to(self.device)
        return network

    def _hash(self, name: str, level: int) -> str:
        if (name, level) not in self._hashes:
            self.opened(name, level)
        return self._hashes[name, level]

    def _identity(self, name: str) -> str:
        """Hash what defines a network's maps beside its weights, the image and what is measured."""
        settings, network = self.profile.networks[name], self._of(name)
        values = settings.model_dump(mode="json", exclude={"weights", "levels", "label", "source", "prefix"})
        values["file"] = (network.facts or {}).get("file_sha256")  # the code of one that a file of Python builds
        section = self.profile.data.model_dump(mode="json", exclude={"root", "cache", "masks"})
        return identity("given", name, values, repr(network.inputs), list(network.classes), section, self.data.digest)

    def _look(self, name: str, network: OwnNetwork) -> Looked:
        settings = self.profile.networks[name]
        images = Batch.of([self.data.test[0]], self.device).inputs()
        try:
            choice = choose_layers(
                network.model,
                images,
                settings.layers,
                most=settings.most_layers,
                output=settings.output,
                element=settings.element,
            )
            capture = Probe(network.model, choice.layers[-1:], output=settings.output, element=settings.element)(
                images, Target(0, pixels="image")
            )
            places = find_attention(network.model, images, choice.layers).places
        except SegcamError as error:
            raise InputError(f"networks.{name}: {error}") from error
        grid = (int(capture.logits.shape[2]), int(capture.logits.shape[3]))
        return Looked(choice, places, capture.target.output, int(capture.logits.shape[1]), grid)

    def _explained(self, name: str, network: OwnNetwork, explained: Explained) -> frozenset[int]:
        """Return which of a network's classes are the class explained, which the data call otherwise perhaps.

        Raises:
            InputError: a name is none of its classes; or none is named, and none is called as the data's.
        """
        settings, classes = self.profile.networks[name], network.classes
        wanted = members(explained)
        if settings.explained:
            for one in settings.explained:
                if one not in classes and not (one.isdecimal() and int(one) < len(classes)):
                    raise unknown("class", one, classes, f"key 'networks.{name}.explained'")
            return frozenset(classes.index(one) if one in classes else int(one) for one in settings.explained)
        named = self.data.opened.info.classes
        if classes == named or len(classes) == len(named):
            return wanted
        if found := {classes.index(named[i]) for i in wanted if named[i] in classes}:
            return frozenset(found)
        raise InputError(
            f"{first_of(list(classes), f'networks.{name}: none of its {len(classes)} classes is called')}; name "
            f"those that are '{label(explained, named)}' with networks.{name}.explained"
        )
