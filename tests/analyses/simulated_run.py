"""A run of any size, made up: the layout of a published run, with more images and seeds, and drawn numbers.

    python -m tests.analyses.simulated_run --images 3669 --seeds 5 --out DIR

writes a folder that `run report` reads as one of a real run. Networks, layers, levels, methods, targets and metrics are
those of `results/pets`, and so is what has no map. The numbers have effects of level, depth, method, image and seed,
and some are missing. A file at a time is in memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analyses.depth.attention import ALL_HEADS
from analyses.reading.files import LOG, LOG_TEXT, SCORES, folder, with_answers
from analyses.reading.manifest import INPUT, Checkpoint, File, Gallery, Images, Manifest, Metric, Planned
from bench.output.store import MANIFEST, Store
from tests.docs import study

LIKE = study.STUDY
SHARD = 128
"""Images of a file of scores."""
BEYOND = ("sign_balance", "counter_share")
"""Columns of scores that are no metric."""
COARSE = np.uint32(0xFFFFF000)
"""Keeps 11 bits of a number, as published scores have: files are a third as large."""
Floats = NDArray[np.float32]


class Simulation:
    """Makes up the tables of a run.

    Args:
        like: the folder of the published run whose layout it has.
        images: how many are scored.
        seeds: how many trainings each network has.
        models: the networks; all of the published run by default.
    """

    def __init__(self, like: Path, images: int, seeds: int, models: Sequence[str] = ()) -> None:
        self.like = like
        self.template = of_models(Manifest.read(like / MANIFEST), models)
        self.ids = np.array([f"image_{n:05d}" for n in range(images)])
        self.seeds = range(seeds)
        self.metrics = list(self.template.metrics.values())
        rng = np.random.default_rng(0)
        self.of_images = rng.normal(0, 0.6, (images, len(self.metrics))).astype(np.float32)
        self.area = coarse(rng.beta(3, 7, images).astype(np.float32))
        self.predicted = rng.random(images)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """A checkpoint a network, level and seed; beyond those of the template's seeds they repeat."""
        known = {(c.model, c.level, c.seed): c for c in self.template.checkpoints}
        first = sorted({seed for *_, seed in known})
        points = {(model, level) for model, level, _ in known}
        return [
            known[model, level, first[seed % len(first)]].model_copy(update={"seed": seed})
            for model, level in sorted(points)
            for seed in self.seeds
        ]

    def places(self, model: str, kinds: Sequence[str]) -> list[tuple[str, str]]:
        """Return the layers and methods of these kinds that a network has maps of."""
        gaps = {(gap.layer, gap.method) for gap in self.template.skipped if gap.model in ("", model)}
        return [
            (layer.name, name)
            for layer in self.template.layers[model]
            for name, method in self.template.methods.items()
            if method.kind in kinds and not gaps & {(layer.name, name), ("", name)}
            if (layer.role == INPUT) == (method.scope == "input")
        ]

    def tables(self, point: Checkpoint, part: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the tables of a checkpoint's shard of images, by their names."""
        images = np.arange(part * SHARD, min((part + 1) * SHARD, len(self.ids)))
        rng = np.random.default_rng([*point.model.encode(), point.level, point.seed, part])
        yield "scores", self._scores(point, images, rng)
        yield "predictions", self._counts(point, images, rng, self.template.dataset.size, {})
        if self.template.attention.blocks.get(point.model):
            yield "attention", self._attention(point, images, rng)
        if len(self.template.targets) > 1:
            yield "agreement", self._agreement(point, images, rng)
        if point.level == max(c.level for c in self.template.checkpoints if c.model == point.model):
            sizes = [
                (factor, round(factor * self.template.dataset.size))
                for factor in self.template.profile.get("resolution", {}).get("factors", ())
            ]
            tables = [self._counts(point, images, rng, size, {"factor": f, "size": size}) for f, size in sizes]
            if tables:
                yield "resolution", {k: np.concatenate([table[k] for table in tables]) for k in tables[0]}

    def _keys(self, point: Checkpoint, rows: int) -> dict[str, Any]:
        names = {"dataset": self.template.dataset.name, "model": point.model}
        keys: dict[str, Any] = {key: coded(np.zeros(rows, np.int8), [name]) for key, name in names.items()}
        keys |= {"level": np.full(rows, point.level), "seed": np.full(rows, point.seed)}
        return keys | {"training_data": coded(np.zeros(rows, np.int8), [point.training_data])}

    def _scores(self, point: Checkpoint, images: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        shared = self.places(point.model, ("gradient", "attention", "control"))
        targets = list(self.template.targets)
        grid = np.stack(np.meshgrid(images, range(len(targets)), range(len(shared)), indexing="ij"), -1).reshape(-1, 3)
        places = shared
        if (
            0 in images
            and point.seed == 0
            and point.level == max(c.level for c in self.checkpoints if c.model == point.model)
        ):
            own = self.places(point.model, ("run",))  # methods with passes of their own: two images, one target
            own += [("Input", name) for name, m in self.template.methods.items() if m.kind == "control"]
            places = [*shared, *own]
            few = np.meshgrid(images[:2], [0], range(len(shared), len(places)), indexing="ij")
            grid = np.concatenate([grid, np.stack(few, -1).reshape(-1, 3)])
        image, target, place = grid.T
        layers, methods = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
        at = np.array([(layers.index(layer), methods.index(method)) for layer, method in places])[place]
        return (
            self._keys(point, len(grid))
            | {"image": coded(image, self.ids), "target": coded(target, targets)}
            | {"layer": coded(at[:, 0], layers), "method": coded(at[:, 1], methods)}
            | {"area": self.area[image], "target_pixels": np.ones(len(grid), np.int32)}
            | {"target_predicted": np.ones(len(grid), bool), "target_bias": np.zeros(len(grid), bool)}
            | self._numbers(point, image, target, place, places, rng)
        )

    def _numbers(
        self,
        point: Checkpoint,
        image: NDArray[np.int64],
        target: NDArray[np.int64],
        place: NDArray[np.int64],
        places: Sequence[tuple[str, str]],
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """Return the numbers of maps: sums of effects, taken to the metric's range."""
        effects = np.random.default_rng([*point.model.encode()])  # the same for all levels, seeds and images
        of_place = effects.normal(0, 0.5, (len(self.metrics), len(self.template.targets), len(places)))
        learnt = effects.normal(0, 0.8, (len(self.metrics), 1, len(places))) * (point.level / 100)
        blank_share = np.minimum(0.6, effects.exponential(0.06, len(places)))
        controls = np.array([self.template.methods[name].kind == "control" for _, name in places])
        of_seed = np.random.default_rng([*point.model.encode(), point.seed]).normal(0, 0.25, of_place.shape)
        base = (of_place + learnt + of_seed * ~controls).astype(np.float32)
        blank = (rng.random(len(image), np.float32) < np.where(controls, 0, blank_share)[place]) & (target == 0)
        undefined = (target > 0) & (self.predicted[image] > 0.6 + point.level / 250)
        columns: dict[str, Any] = {}
        for k, metric in enumerate(self.metrics):
            if metric.name == "blank":
                columns[metric.name] = np.where(undefined, np.nan, blank).astype(np.float32)
                continue
            z = base[k, target, place] + self.of_images[image, k]
            z += np.float32(0.5) * rng.standard_normal(len(image), np.float32)
            values = coarse(within(z, metric))
            values[blank | undefined | (rng.random(len(image), np.float32) < 0.002)] = np.nan
            columns[metric.name] = values
        signed = ~controls[place] & ~undefined
        for name in BEYOND:
            share = coarse(rng.random(len(image), np.float32))
            columns[name] = np.where(signed, np.where(blank, 0, share), np.nan).astype(np.float32)
        return columns

    def _agreement(self, point: Checkpoint, images: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        places = self.places(point.model, ("gradient",))
        image, place = (axis.ravel() for axis in np.meshgrid(images, range(len(places)), indexing="ij"))
        layers, methods = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
        at = np.array([(layers.index(layer), methods.index(method)) for layer, method in places])[place]
        one, other = list(self.template.targets)[:2]
        values = coarse(rng.random((2, len(place)), np.float32))
        values[:, self.predicted[image] > 0.6 + point.level / 250] = np.nan
        names = {"target": one, "other": other}
        keys = {key: coded(np.zeros(len(place), np.int8), [name]) for key, name in names.items()}
        return (
            self._keys(point, len(place))
            | {"image": coded(image, self.ids), "layer": coded(at[:, 0], layers), "method": coded(at[:, 1], methods)}
            | keys
            | {"correlation": values[0], "difference": values[1]}
        )

    def _attention(self, point: Checkpoint, images: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        known = pd.read_csv(self.like / "tables" / "attention.csv")
        known = known[(known["model"] == point.model) & (known["head"] != ALL_HEADS)]
        of_model = known[["block", "stage", "depth", "head"]].drop_duplicates()
        image, row = (axis.ravel() for axis in np.meshgrid(images, range(len(of_model)), indexing="ij"))
        blocks = list(dict.fromkeys(of_model["block"].astype(str)))
        block = np.array([blocks.index(name) for name in of_model["block"].astype(str)])[row]
        numbers = {name: of_model[name].to_numpy()[row] for name in ("stage", "depth", "head")}
        values = {
            metric.name: coarse(within(rng.standard_normal(len(row), np.float32), metric))
            for metric in self.template.attention.metrics.values()
        }
        keys = self._keys(point, len(row)) | {"image": coded(image, self.ids), "block": coded(block, blocks)}
        return keys | numbers | values

    def _counts(
        self, point: Checkpoint, images: NDArray[np.int64], rng: np.random.Generator, size: int, beside: dict[str, Any]
    ) -> dict[str, Any]:
        """Return confusion counts of two classes: the better the level, the fewer pixels are wrong."""
        pixels, area = size**2, self.area[images]
        wrong = rng.uniform(0.5, 1.5, (2, len(images))) * max(0.02, 0.6 - 0.6 * point.level / 100)
        wrong *= 1 + abs(np.log2(size / self.template.dataset.size)) / 2
        miss, false = np.minimum(wrong, 1) * np.stack([area, 1 - area]) * pixels
        counts = {"n_0_0": (1 - area) * pixels - false, "n_0_1": false, "n_1_0": miss, "n_1_1": area * pixels - miss}
        rows = len(images)
        keys = {**self._keys(point, rows), "training_data": np.full(rows, point.training_data)}
        keys |= {key: np.full(rows, value) for key, value in beside.items()}
        keys |= {"model": np.full(rows, point.model), "dataset": np.full(rows, self.template.dataset.name)}
        numbers = {name: np.round(values).astype(np.int64) for name, values in counts.items()}
        return keys | {"image": self.ids[images], "predicted": np.ones(rows, bool)} | numbers

    def training(self) -> dict[str, Any]:
        """Return the training log, of the template's seeds in turn."""
        log = with_answers(pd.read_parquet(self.like / LOG))
        frames = []
        for _, of_model in log[log["model"].isin(list(self.template.models))].groupby("model", observed=True):
            known = sorted(of_model["seed"].unique())
            frames += [of_model[of_model["seed"] == known[s % len(known)]].assign(seed=s) for s in self.seeds]
        joined = pd.concat(frames, ignore_index=True).astype(dict.fromkeys(LOG_TEXT, str))
        return {str(name): joined[name].to_numpy() for name in joined}

    def manifest(self, files: Mapping[str, File]) -> Manifest:
        """Return the manifest of the run that has these files."""
        several = {"scored_images": len(self.ids), "checkpoints": tuple(self.checkpoints), "files": dict(files)}
        own = self.template.own_passes.model_copy(update={"ids": tuple(map(str, self.ids[:2]))})
        none: dict[str, Images] = {}
        gone = {"gallery": Gallery(rule="", ids=()), "studies": none, "cells": {}, "planned": Planned()}
        dataset = self.template.dataset.model_copy(
            update={"splits": {**self.template.dataset.splits, "test": len(self.ids)}}
        )
        return self.template.model_copy(
            update={**several, **gone, "dataset": dataset, "own_passes": own, "published": None}
        )


def of_models(manifest: Manifest, models: Sequence[str]) -> Manifest:
    """Return a manifest with some of its networks alone; with all where none is named."""
    if not models:
        return manifest
    update = {
        "models": {name: manifest.models[name] for name in models},
        "layers": {name: manifest.layers[name] for name in models},
        "checkpoints": tuple(point for point in manifest.checkpoints if point.model in models),
        "skipped": tuple(gap for gap in manifest.skipped if gap.model in models),
    }
    return manifest.model_copy(update=update)


def coarse(values: Floats) -> Floats:
    """Return numbers with fewer bits, rounded towards zero."""
    return (values.view(np.uint32) & COARSE).view(np.float32)


def coded(codes: NDArray[Any], names: Sequence[str]) -> pa.DictionaryArray:
    """Return a column of few different names."""
    kept, few = np.unique(codes, return_inverse=True)
    small = np.int8 if len(kept) < 128 else np.int16
    return pa.DictionaryArray.from_arrays(pa.array(few.astype(small)), pa.array([str(names[k]) for k in kept]))


def within(z: Floats, metric: Metric) -> Floats:
    """Take numbers around 0 to a metric's range."""
    low, high = np.float32(metric.lower), np.float32(metric.upper)
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) / (1 + np.exp(-z))
    if np.isfinite(high):
        return high - np.exp(-z)
    return low + np.exp(z) if np.isfinite(low) else z


def simulate(out: Path, images: int, seeds: int, models: Sequence[str] = (), like: Path = LIKE) -> int:
    """Write a run and return how many rows of scores it has."""
    made, store, files, rows = Simulation(like, images, seeds, models), Store(out), dict[str, File](), 0
    for point in made.checkpoints:
        for part in range(-(-images // SHARD)):
            for table, columns in made.tables(point, part):
                name = f"{point.model.replace(':', '-')}-s{point.seed}-l{point.level}-{part:03d}.parquet"
                text = [key for key, values in columns.items() if getattr(values, "dtype", np.dtype(int)).kind in "UO"]
                entry = store.write_table(f"{folder(table)}/{name}", columns, keys=text)
                files[f"{folder(table)}/{name}"] = entry
                if table == "scores":
                    rows += entry.rows
    files[LOG] = store.write_table(LOG, made.training(), keys=LOG_TEXT)
    store.write(MANIFEST, made.manifest(files).written())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--like", type=Path, default=LIKE)
    asked = parser.parse_args()
    rows = simulate(asked.out, asked.images, asked.seeds, asked.models, asked.like)
    size = sum(path.stat().st_size for path in (asked.out / SCORES).rglob("*.parquet"))
    sys.stdout.write(f"{rows:,} rows of scores, {size / 1e6:,.0f} MB on disk\n")


if __name__ == "__main__":
    main()
