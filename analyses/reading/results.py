"""The files of one run, read when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from analyses.reading import error_maps, files, manifest, small_maps
from analyses.reading.files import FILMS, GALLERY, LOG, SCORES, ResultsError, folder
from analyses.reading.manifest import (
    INPUT,
    Checkpoint,
    Explained,
    Layer,
    Manifest,
    Method,
    Metric,
    Model,
    Target,
    level_name,
)
from analyses.reading.records import Film, Gallery
from analyses.reading.small_maps import KeptSmall

__all__ = ["KEYS", "Results", "ResultsError"]

KEYS = ("dataset", "model", "level", "seed", "image", "target", "layer", "method")
_SCENE = re.compile(r"scenes(_\w+)?-\d+-(train|val|test)-(?P<number>\d+)")
"""The names of drawn images."""


class Results:
    """The results folder of one run: its manifest, what is asked of it often, and its tables.

    Args:
        folder: the output folder of the harness, with `manifest.json` in it. Nothing is read until it is asked for.
        explained: of a run that explains several classes, the one that is looked at, by its label; the first by
            default. All that is returned is of it.
    """

    def __init__(self, folder: str | Path, explained: str | None = None) -> None:
        self.folder = Path(folder)
        self._explained = explained
        self._checked: dict[Path, files.Version] = {}

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            ResultsError: it is missing, damaged, of another schema, or lacks what it needs.
        """
        whole = manifest.read(self.folder / "manifest.json")
        if self._explained is None and not whole.views:
            return whole
        labels = [view.label for view in whole.views]
        if self._explained is not None and self._explained not in labels:
            raise ResultsError(
                f"unknown class '{self._explained}': the run explains {', '.join(labels) or 'one alone'}"
            )
        view = whole.views[0 if self._explained is None else labels.index(self._explained)]
        ids = view.ids[0] if len(view.ids) == 1 else view.ids
        targets = {name: target.model_copy(update={"class_id": ids}) for name, target in whole.targets.items()}
        chosen = {"gallery": view.gallery, "own_passes": view.own_passes, "studies": view.studies}
        return whole.model_copy(update={**chosen, "targets": targets})

    @property
    def view(self) -> Explained | None:
        """The class that is looked at, of a run that explains several."""
        if not (views := self.manifest.views):
            return None
        return next(view for view in views if self._explained in (None, view.label))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; the first one is the background."""
        return self.manifest.dataset.classes

    @property
    def photographs(self) -> bool:
        """Whether figures may show photographs; not allowed where the profile does not say so."""
        return bool(self.manifest.profile.get("figures", {}).get("photographs", False))

    @property
    def raw(self) -> bool:
        """Whether maps are shown linearly up to their maxima, as the profile says."""
        return bool(self.manifest.profile.get("figures", {}).get("raw", False))

    @property
    def one_column(self) -> bool:
        """Whether figures of maps are for one of a journal's two columns, as the profile says."""
        return bool(self.manifest.profile.get("figures", {}).get("columns", 2) == 1)

    @property
    def placement(self) -> str:
        """How maps were laid over the images: 'stretched', or where their cells look, 'receptive_field'."""
        return str(self.manifest.profile.get("score", {}).get("placement", "stretched"))

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in the manifest's order."""
        return tuple(self.manifest.models)

    @property
    def trained(self) -> tuple[str, ...]:
        """The names of the models that the run trained; the others were there already."""
        return tuple(name for name, model in self.manifest.models.items() if not model.given)

    @property
    def region(self) -> str:
        """What maps are measured against: 'mask', or 'predicted region' where there are no masks."""
        return "mask" if self.manifest.dataset.masked else "predicted region"

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' names, in the manifest's order."""
        return tuple(self.manifest.targets)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' names, in the manifest's order, controls among them."""
        return tuple(self.manifest.methods)

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the methods that are controls."""
        return tuple(name for name, method in self.manifest.methods.items() if method.kind == "control")

    @property
    def main_method(self) -> str:
        """`grad_cam` where the run has it, else its first method that has maps of all images and is no control."""
        of_all = [name for name in self.methods if name not in self.own_passes]
        others = [name for name in of_all if name not in self.controls]
        return "grad_cam" if "grad_cam" in others or not self.methods else (others or of_all or list(self.methods))[0]

    @property
    def own_passes(self) -> tuple[str, ...]:
        """The names of the methods without maps of all layers and images: of own passes, or of the input's pixels."""
        methods = self.manifest.methods.items()
        return tuple(name for name, method in methods if method.own_passes or method.scope == "input")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics, in the manifest's order."""
        return tuple(self.manifest.metrics.values())

    @property
    def gallery_ids(self) -> tuple[str, ...]:
        """The gallery's images, first those that anyone may show; none where no maps are kept."""
        kept = self.manifest.gallery
        return (*kept.free, *kept.ids) if self._files(GALLERY, ".npz") else ()

    @property
    def free(self) -> Mapping[str, str]:
        """The credits of the gallery's photographs that anyone may show, by their names; they have no masks."""
        return self.manifest.gallery.free

    def label(self, kind: Literal["models", "methods", "targets"], name: str) -> str:
        """Return what the manifest calls `name` in print; the name itself where it does not know it."""
        entries: Mapping[str, Model | Method | Target] = getattr(self.manifest, kind)
        return entries[name].label if name in entries else name

    def image_label(self, image: str) -> str:
        """Return what an image is called in print: a drawn scene's number, a pet's breed and number, else its name."""
        if scene := _SCENE.fullmatch(image):
            return f"scene {int(scene['number'])}"
        return image.replace("_", " ") if self.manifest.dataset.name == "oxford_pet" else image

    def foreground(self, target: str) -> tuple[int, ...]:
        """Return the index of the class that `target` explains, or those of the classes that count as one.

        It is the first after the background where the target names none.
        """
        class_id = self.manifest.targets[target].class_id if target in self.manifest.targets else None
        if class_id is None:
            return (min(1, len(self.classes) - 1),)
        return (class_id,) if isinstance(class_id, int) else class_id

    def class_name(self, target: str) -> str:
        """Return the name of the class that `target` explains; of several that count as one, joined by '+'."""
        return "+".join(self.classes[index] for index in self.foreground(target))

    def layers(self, model: str) -> tuple[Layer, ...]:
        """Return the layers of `model`, by depth; of one depth in the manifest's order. The input is none of them."""
        return tuple(layer for layer in self._places(model) if layer.role != INPUT)

    def input_layer(self, model: str) -> Layer | None:
        """Return what stands for the input's pixels beside the layers of `model`; None where nothing explains them."""
        return next((layer for layer in self._places(model) if layer.role == INPUT), None)

    def main_layers(self, model: str) -> tuple[Layer, ...]:
        """Return the layers of `model` at its main probe point, by depth."""
        return tuple(layer for layer in self.layers(model) if layer.point == self.points(model)[0])

    def points(self, model: str) -> tuple[str, ...]:
        """Return the probe points of the layers of `model`, the first one being the run's main one."""
        return tuple(dict.fromkeys(layer.point for layer in self.layers(model)))

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints, reached or not, by model (in the manifest's order), level and seed."""
        order = {model: i for i, model in enumerate(self.models)}
        return tuple(sorted(self.manifest.checkpoints, key=lambda c: (order[c.model], c.level, c.seed)))

    def reached(self, model: str, level: int) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of `model` that reached `level`, by seed."""
        return tuple(c for c in self.checkpoints if (c.model, c.level) == (model, level) and c.reached)

    def level(self, model: str, level: int, *, measured: bool = True) -> str:
        """Return a level of `model` in words: '30 %', 'best, 93.4 %' as `measured`, or its own name, as 'epoch 5'."""
        points = [c for c in self.checkpoints if (c.model, c.level) == (model, level)]
        names = [point.name for point in points if point.name]
        return names[0] if names else level_name(level, [c.miou for c in points if c.reached] if measured else ())

    def level_phrase(self, model: str, level: int, *, measured: bool = True) -> str:
        """Return a level of `model` with what it is a level of: '30 % mean IoU', 'epoch 5'."""
        named = any(c.name for c in self.checkpoints if (c.model, c.level) == (model, level))
        return self.level(model, level, measured=measured) + ("" if named else " mean IoU")

    def levels(self, model: str) -> tuple[int, ...]:
        """Return the levels wanted of `model`, rising, whether reached or not."""
        return tuple(sorted({c.level for c in self.checkpoints if c.model == model}))

    def seeds(self, model: str | None = None) -> tuple[int, ...]:
        """Return the training seeds of `model`, or of all models."""
        return tuple(sorted({c.seed for c in self.checkpoints if model in (None, c.model)}))

    def pictured(self, model: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints, reached or not, of the seed of `model` whose maps are shown, by level.

        It is the first seed of which maps are kept of every level reached; without any, the first seed.
        """
        of_seeds = [[c for c in self.checkpoints if (c.model, c.seed) == (model, s)] for s in self.seeds(model)]
        kept = self._files(GALLERY, ".npz")
        for points in of_seeds:
            exist = [self.gallery_path(c.model, c.seed, c.level) in kept for c in points if c.reached]
            if exist and all(exist):
                return tuple(points)
        return tuple(of_seeds[0]) if of_seeds else ()

    def has_training(self) -> bool:
        """Return whether the training log is there: a run may be handed on without it."""
        return self.folder / LOG in self._files(folder("training"), ".parquet")

    def training(self) -> pd.DataFrame:
        """Return the training log: a row an evaluation, its steps counted from its `initial_answer` ('': unknown)."""
        paths = self._seen(self._files(folder("training"), ".parquet")) or [self.folder / LOG]
        return files.with_answers(files.frame(paths, ("model", "seed", "step", "images_seen", "miou")))

    def parts(self, table: str) -> list[Path]:
        """Return the files of a table, such as 'scores' or 'predictions'; none where it was not made.

        Raises:
            ResultsError: one that the manifest lists is missing, or is not what the run wrote.
        """
        return self._seen(self._files(folder(table), ".parquet"))

    def required(self, name: str) -> list[Path]:
        """Return the files of a table.

        Raises:
            ResultsError: there are none; see `parts`.
        """
        if not (paths := self.parts(name)):
            place = self.folder / folder(name)
            raise ResultsError(f"{place}: holds no *.parquet; run the benchmark with this folder first")
        return paths

    def check(self) -> None:
        """See that every file that the manifest lists is there, and is what the run wrote.

        Raises:
            ResultsError: one is not.
        """
        self._seen([self.folder / name for name in self.manifest.files or ()])

    def left_out(self) -> list[str]:
        """Return the tables and kept maps in the folder that are not read, since the manifest does not list them."""
        listed = self.manifest.files
        if listed is None:
            return []
        paths = (self.folder / SCORES).rglob("*")
        names = [path.relative_to(self.folder).as_posix() for path in paths if path.suffix in (".parquet", ".npz")]
        return sorted(name for name in names if name not in listed and not Path(name).name.startswith("."))

    def scores(
        self,
        where: Mapping[str, Collection[Any]] | None = None,
        columns: Sequence[str] | None = None,
        optional: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return the scores: a row a map.

        Args:
            where: for a column the values wanted, `{"model": ["unet"], "level": [30, 50]}`; all rows by default.
            columns: the columns wanted; all by default.
            optional: columns wanted beside these where there are any.

        Raises:
            ResultsError: there are no scores, a file is damaged, or a key column is missing.
        """
        if columns is None:
            return files.frame(self.required(SCORES), KEYS, where)
        return files.frame(self.required(SCORES), columns, where, [*columns, *optional])

    def predictions(self) -> pd.DataFrame:
        """Return the confusion counts on the scored images: a row an image and checkpoint."""
        needed = ("model", "level", "seed", "image", "predicted", *self.counts)
        return files.frame(self.required("predictions"), needed)

    def attention(self) -> pd.DataFrame | None:
        """Return what was measured of attention: a row an image, block, head and checkpoint; None without any."""
        paths = self.parts("attention")
        needed = ("model", "level", "seed", "image", "block", "stage", "depth", "head", "training_data")
        return files.frame(paths, needed) if paths else None

    def agreement(self) -> pd.DataFrame | None:
        """Return how far maps of two targets agree: a row an image, layer, method and pair; None without any."""
        paths = self.parts("agreement")
        needed = (*KEYS, "other", "correlation", "difference", "training_data")
        return files.frame(paths, needed) if paths else None

    def placements(self) -> pd.DataFrame | None:
        """Return where layers lie on the images, in pixels: a row a layer, checkpoint and part; None without any."""
        paths = self.parts("placements")
        needed = ("model", "level", "seed", "layer", "origin_y", "origin_x", "step_y", "step_x", "offset_y", "offset_x")
        return files.frame(paths, (*needed, "agreed")) if paths else None

    def resolution(self) -> pd.DataFrame | None:
        """Return the confusion counts of tests at other sizes: a row an image and size; None without any."""
        paths = self.parts("resolution")
        needed = ("model", "level", "seed", "factor", "size", "image", *self.counts)
        return files.frame(paths, needed) if paths else None

    def table(self, name: str) -> pd.DataFrame | None:
        """Return the table of a study, such as 'faithfulness' or 'sanity'; None for runs without it."""
        paths = self.parts(name)
        return files.frame(paths, ("dataset", "model", "level", "seed")) if paths else None

    def evidence(self) -> pd.DataFrame | None:
        """Return the energy of maps on known evidence: a row a map, for each cue that decides; None without any."""
        paths = self.parts("evidence")
        needed = ("cue", "model", "seed", "scene", "told", "target", "layer", "method")
        return files.frame(paths, needed) if paths else None

    @property
    def counts(self) -> tuple[str, ...]:
        """The columns of confusion counts, `n_<truth>_<predicted>`, truth by truth."""
        indices = range(len(self.classes))
        return tuple(f"n_{truth}_{predicted}" for truth in indices for predicted in indices)

    def gallery(self, model: str, seed: int, level: int) -> Gallery:
        """Return the kept maps of a checkpoint; photographs that the profile allows to show, or that anyone may."""
        (path,) = self._seen([self.gallery_path(model, seed, level)])
        return files.gallery(path, photographs=self.photographs, free=self.free)

    def small_maps(self, model: str, seed: int, level: int) -> list[KeptSmall]:
        """Return the small maps of a checkpoint, file by file; photographs only where the profile allows it."""
        start = f"{self.gallery_path(model, seed, level).stem}-"
        paths = [path for path in self._files(small_maps.FOLDER, ".npz") if path.name.startswith(start)]
        return [small_maps.read(path, photographs=self.photographs) for path in self._seen(paths)]

    def error_maps(self, model: str, seed: int, level: int) -> list[Gallery]:
        """Return the kept maps of hits, false alarms and misses of a checkpoint, file by file; none without any.

        Photographs are those that the profile allows to show, or that anyone may.
        """
        start = f"{self.gallery_path(model, seed, level).stem}-"
        paths = [path for path in self._files(error_maps.PLACE, ".npz") if path.name.startswith(start)]
        return [files.gallery(path, photographs=self.photographs, free=self.free) for path in self._seen(paths)]

    def gallery_path(self, model: str, seed: int, level: int) -> Path:
        """Return the file of the kept maps of a checkpoint, be it there or not."""
        return self.folder / GALLERY / f"{self._prefix}{model.replace(':', '-')}-s{seed}-l{level}.npz"

    def film(self, model: str) -> Film | None:
        """Return the film of a model's first training; None where there is none."""
        seeds = {f"{model.replace(':', '-')}-s{seed}" for seed in self.seeds(model)}
        found = self._seen([path for path in self._files(FILMS, ".npz") if path.stem in seeds])
        return files.film(found[0], photographs=self.photographs, free=self.free) if found else None

    @property
    def _prefix(self) -> str:
        """What the names of the files of the class that is looked at begin with."""
        return self.view.prefix if self.view else ""

    def _files(self, place: str, suffix: str) -> list[Path]:
        """Return the files of a folder: those that the manifest lists, or all where it has no list."""
        if (listed := self.manifest.files) is None:
            return sorted((self.folder / place).glob(f"*{suffix}"))
        names = (name for name in listed if name.endswith(suffix) and name.rpartition("/")[0] == place)
        of_class = "" if place in (folder("training"), FILMS) else self._prefix
        return [self.folder / name for name in sorted(names) if Path(name).name.startswith(of_class)]

    def _seen(self, paths: list[Path]) -> list[Path]:
        """Return files, having seen that each is what the manifest says of it, unless it is as it was seen before."""
        for path in paths:
            version = files.version_of(path) if path.exists() else None
            if version and self._checked.get(path) == version:
                continue
            entry = (self.manifest.files or {}).get(path.relative_to(self.folder).as_posix())
            if entry and not path.exists():
                raise ResultsError(f"{path}: it is missing; {files.CURE}")
            with files.reading(path):
                if entry and files.sha256(files.plain_file(path)) != entry.sha256:
                    raise ResultsError(f"{path}: it is not the file that the run wrote; {files.CURE}")
            if path.parent == self.folder / SCORES:
                files.check(path, entry.rows if entry else None, self._bounds)
            if version:
                self._checked[path] = version
        return paths

    @cached_property
    def _bounds(self) -> dict[str, tuple[float, float]]:
        return {metric.name: (metric.lower, metric.upper) for metric in self.metrics}

    def _places(self, model: str) -> list[Layer]:
        return sorted(self.manifest.layers[model], key=lambda layer: layer.depth)
