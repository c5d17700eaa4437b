"""The film of a training: maps of a few images at steps that are spaced by their logarithm."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from analyses.reading.files import PREDICTED, STEPS, TOP
from bench.measurements.material.kept import image_arrays, map_arrays, npz
from bench.measurements.material.made_maps import gradient_maps
from bench.networks.predictions import class_maps
from bench.output.store import Store
from bench.planning import plan
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.training.trainer import Filming
from segcam.checks.sanity import evenly
from segcam.classes import members
from segcam.draw import display, overlay
from segcam.errors import NotFiniteError
from segcam.samples import Batch, Sample

LAYERS = 7
"""Layers in the film, from the first to the last: as many as one can follow at once."""
SEEN = 128
"""Pixels of a side that one sees something in: smaller pictures are enlarged."""
GREYS = 255
"""Of a map: it is kept as bytes, with its maximum."""


def steps_of(total: int, frames: int) -> tuple[int, ...]:
    """Return the steps of the frames: before the first one, then spaced by their logarithm up to the last.

    >>> steps_of(700, 8)
    (0, 1, 3, 9, 26, 79, 235, 700)
    """
    if frames < 2 or total < 1:
        return (0,) if frames else ()
    spaced = np.geomspace(total, 1, frames - 1)  # of one alone the last
    return (0, *sorted({round(float(step)) for step in spaced}))


@dataclass
class Film:
    """Takes the frames of one training, and keeps them in a file as they come.

    A training that is interrupted goes on with the same steps, so that frames that were taken stay.

    Attributes:
        store: where the file goes.
        file: its name.
        id: what the frames are of: frames of another training, or of other images, are dropped.
        samples: the images.
        request: what is asked of the network.
        steps: of the frames, were the training to go on to its last step.
        look: the name of a picture of the newest frame; none is made where it is empty.
        bare: the names of images whose photographs are not shown.
    """

    store: Store
    file: str
    id: str
    samples: Sequence[Sample]
    request: Request
    steps: tuple[int, ...]
    look: str = ""
    bare: frozenset[str] = frozenset()
    _frames: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._frames = self._taken()

    def take(self, network: nn.Module, step: int, last: bool = False, *, device: torch.device) -> None:
        """Take the frame of a step, where there is to be one; the network and the random state stay as they are.

        The last step has one in any case: a training ends early where it has reached what it is for.
        """
        if (step not in self.steps and not last) or step in self._frames:
            return
        modes = {name: module.training for name, module in network.named_modules()}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            frame = self._frame(network, device)
        for name, module in network.named_modules():
            module.training = modes[name]
        if frame:
            self._frames[step] = frame
            self._write()
            if self.look:
                self.store.write(self.look, self._picture(frame))

    def _frame(self, network: nn.Module, device: torch.device) -> dict[str, NDArray[Any]]:
        """Return the arrays of a frame; of a network that answers with NaN none, which its training tells of."""
        request, batch = self.request, Batch.of(self.samples, device)
        probe = request.probe(network)
        try:
            captures = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
        except NotFiniteError:
            return {}
        frame = {PREDICTED: class_maps(captures[0], request).to(torch.uint8).cpu().numpy()}
        maps = map_arrays(request, chain.from_iterable(gradient_maps(request, captures)), captures[0].size)
        for name, values in maps.items():
            top = np.nan_to_num(np.fmax.reduce(values, axis=(1, 2)))  # a map that is nowhere defined is blank
            scaled = np.nan_to_num(values) / np.where(top > 0, top, 1)[:, None, None]
            frame |= {name: (GREYS * scaled).round().astype(np.uint8), TOP + name: top.astype(np.float32)}
        return frame

    def _picture(self, frame: dict[str, NDArray[Any]]) -> bytes:
        """Return a frame as WebP: a row an image, first with its prediction, then its maps by depth."""
        rows, classes = [], list(members(self.request.class_id))
        for i, sample in enumerate(self.samples):
            photograph = None if sample.id in self.bare else sample.displayed()
            ground = display.dimmed(None, sample.mask.shape) if photograph is None else photograph / 255
            tiles = [display.to_bytes(display.tinted(ground, np.isin(frame[PREDICTED][i], classes)))]
            for layer in self.request.layers:
                (name,) = [name for name in frame if name.endswith(f"|{layer.label}") and not name.startswith(TOP)]
                tiles.append(overlay(photograph, frame[name][i].astype(np.float32), mask=np.isin(sample.mask, classes)))
            rows.append(np.hstack([np.pad(tile, ((1, 1), (1, 1), (0, 0)), constant_values=255) for tile in tiles]))
        picture = Image.fromarray(np.vstack(rows))
        times = max(1, SEEN // (picture.width // (len(self.request.layers) + 1)))
        buffer = io.BytesIO()
        picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST).save(buffer, "webp")
        return buffer.getvalue()

    def _write(self) -> None:
        steps = sorted(self._frames)
        frames = [self._frames[step] for step in steps]
        stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
        about = {"id": np.array(self.id), STEPS: np.array(steps)}
        self.store.write(self.file, npz(about | image_arrays(Batch.of(self.samples)) | stacked))

    def _taken(self) -> dict[int, dict[str, NDArray[Any]]]:
        """Return the frames that an earlier process took of the same training."""
        if not self.store.has(self.file):
            return {}
        try:
            with np.load(io.BytesIO(self.store.path(self.file).read_bytes()), allow_pickle=False) as kept:
                if str(kept["id"]) != self.id:
                    return {}
                arrays = {name: kept[name] for name in kept.files if "|" in name or name == PREDICTED}
                return {int(step): {n: arrays[n][i] for n in arrays} for i, step in enumerate(kept[STEPS])}
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ):  # what cannot be read is taken anew
            return {}


def film_of(
    profile: Profile, data: Data, store: Store, cell: TrainCell, model: nn.Module, total: int
) -> Filming | None:
    """Return what takes the film of a training: of the first gradient method, the first target, and some layers.

    None where the profile wants none, where it has no such method or target, and for all but each model's first seed.

    Args:
        profile: the run's.
        data: the images.
        store: where the film goes.
        cell: the training.
        model: its network, on its device.
        total: its steps.
    """
    wanted = profile.film
    if not wanted.frames or cell.seed != min(profile.recipe(cell.model).seeds):
        return None
    request = Request.of(profile.score, cell.model, model)
    methods = [method for method in request.methods if method.gradient is not None]
    if not methods or not request.targets:
        return None
    layers = tuple(request.layers[i] for i in evenly(len(request.layers), LAYERS))
    request = replace(request, methods=tuple(methods[:1]), targets=request.targets[:1], layers=layers)
    rows = data.gallery or evenly(len(data.test), wanted.images)
    samples = [*data.free, *(data.test[i] for i in rows)][: wanted.images]
    asked = (request.targets[0].name, methods[0].name, [layer.label for layer in layers])
    identity = plan.identity(cell.id, *asked, [sample.id for sample in samples], wanted.frames)
    free = {sample.id for sample in data.free}
    bare = {sample.id for sample in samples} - free if not profile.figures.photographs else set[str]()
    steps = steps_of(total, wanted.frames)
    film = Film(store, cell.film, identity, samples, request, steps, cell.look, frozenset(bare))
    return partial(film.take, device=next(model.parameters()).device)
