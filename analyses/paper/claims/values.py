"""The values that a claim's part compares: a number a seed and image, or what is missing, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.paper.claims import coarse
from analyses.paper.claims.registration import HIGHEST, Group, Part, Quantity, registered
from analyses.reading import files
from analyses.reading.arrays import Floats, distinct, fill, nan_mean
from analyses.reading.choices import described, highest, model_of
from analyses.reading.cubes import Where, cube, there
from analyses.reading.files import SCORES
from analyses.reading.manifest import Layer, level_name
from analyses.reading.results import Results
from analyses.reading.variants import SPECIFICATIONS, Variant
from analyses.statistics.bounds import ANY, CORRELATION, Bounds
from analyses.statistics.paired import trend_weights

LEAST = 0.05
"""What another map must score for a ratio to it to mean anything: below it, the grid holds no object to speak of."""


class NotMeasuredError(Exception):
    """The run lacks what a part compares; the message says what."""


@dataclass(frozen=True)
class PartValues:
    """What a part compares.

    Attributes:
        numbers: the number claimed, a row a seed and a column an image: the group's value, the first's less the
            second's, or the change of the fitted line over all; NaN where a group has no map with a value.
        cells: the models and levels compared, in words.
        training_data: what the networks were trained on.
        bounds: what the number can be.
    """

    numbers: pd.DataFrame
    cells: str
    training_data: str
    bounds: Bounds = ANY

    @property
    def left_out(self) -> int:
        """Images that were measured but have no number of any seed."""
        return int(self.numbers.isna().all(axis=0).sum())

    @property
    def defined(self) -> float:
        """The share of the seeds' images that have a number."""
        return float(self.numbers.notna().to_numpy().mean()) if self.numbers.size else 0.0


@dataclass(frozen=True)
class Numbers:
    """The numbers of a model and level in a table, as arrays.

    Attributes:
        layers, methods, seeds, images: the axes.
        values: by column, (methods, layers, seeds, images); NaN where undefined or not there.
        present: (methods, layers, seeds, images), whether there is a row.
        training_data: what the networks were trained on.
    """

    layers: list[str]
    methods: list[str]
    seeds: list[int]
    images: list[str]
    values: Mapping[str, NDArray[np.floating[Any]]]
    present: NDArray[np.bool_]
    training_data: tuple[str, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, table: str) -> Numbers:
        """Take the rows of a table, one a method, layer, seed and image."""
        axes: dict[str, Any] = {name: distinct(frame[name]) for name in ("method", "layer", "seed", "image")}
        columns = [str(name) for name in frame if name not in {*axes, "training_data", "model", "level", "target"}]
        columns = [name for name in columns if pd.api.types.is_numeric_dtype(frame[name])]
        values, present = fill(frame, axes, columns, table)
        methods, layers, seeds, images = (list(axes[name]) for name in ("method", "layer", "seed", "image"))
        data = tuple(sorted(str(name) for name in frame["training_data"].unique()))
        return cls(layers, methods, seeds, images, dict(zip(columns, values, strict=True)), present, data)

    def quantity(self, quantity: Quantity, method: str) -> tuple[Floats, NDArray[np.bool_]]:
        """Return a quantity of a method's maps, (layers, seeds, images), and where there is a map.

        Raises:
            NotMeasuredError: the metric or the method is not there.
        """
        if quantity.metric not in self.values:
            raise NotMeasuredError(f"metric {quantity.metric}")
        numbers = self.values[quantity.metric]
        at = self._method("" if self.methods == [""] else method)
        own = numbers[at].astype(np.float64)
        if not quantity.relative or quantity.table:
            return own, self.present[at]
        other = numbers[self._method(quantity.to)].astype(np.float64)
        if quantity.relative == "difference":
            return own - other, self.present[at]
        return own / np.where(other >= LEAST, other, np.nan), self.present[at]

    def _method(self, name: str) -> int:
        if name not in self.methods:
            raise NotMeasuredError(f"maps of {name}")
        return self.methods.index(name)

    def on(self, values: Floats, seeds: Sequence[int], images: Sequence[str]) -> Floats:
        """Return (layers, seeds, images) on other seeds, all of which are here, and images; NaN where one is not."""
        rows = [self.seeds.index(seed) for seed in seeds]
        places = {image: i for i, image in enumerate(self.images)}
        columns = np.array([places.get(image, -1) for image in images])
        taken = values[:, rows][:, :, columns]
        return np.where(columns >= 0, taken, np.nan)


class Cells(NamedTuple):
    """A group's numbers, (seeds x images), the models and levels that they are of, and what these were trained on."""

    values: pd.DataFrame
    pairs: list[tuple[str, int]]
    training_data: set[str]


class ClaimScores:
    """The scores of a run that claims are judged by, for one target and probe point.

    Args:
        results: the run.
        target: whose maps are compared.
        point: of the layers; the run's main one by default.
        variant: how the maps were scored; the run's own way by default.
    """

    def __init__(
        self,
        results: Results,
        target: str,
        point: str = "",
        variant: Variant | None = None,
    ) -> None:
        self.results = results
        self.target = target
        self.point = point
        self.variant = variant
        self.metrics = registered().metrics
        self._read: dict[tuple[str, str, int], Numbers] = {}

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        """The methods whose maps are compared, referred to or tried, as far as the run has them."""
        names = dict.fromkeys([self.results.main_method, *registered().methods])
        return tuple(name for name in names if name in self.results.methods)

    def values(self, part: Part, quantity: Quantity, method: str = "", *, rounded: bool = False) -> PartValues:
        """Return what a part compares.

        Args:
            part: of a claim, of maps.
            quantity: what is compared of each map.
            method: whose maps; the run's main one by default.
            rounded: whether its numbers are wanted as a publication keeps those of other choices, see `coarse`.

        Raises:
            NotMeasuredError: a model, level, layer, metric or method is not in the run, or no seed has all cells.
            ResultsError: a map is there twice, or a file is damaged.
        """
        method, share = method or self.results.main_method, self._rounded if rounded else self.share
        whole = _weighted([(share(part, model, quantity, method), 1.0) for model in part.models])
        cells = "; ".join(described(self.results, model, level) for model, level in whole.pairs)
        bounds = self._bounds(quantity).weighted(_weights(part, quantity))
        return PartValues(whole.values, cells, " / ".join(sorted(whole.training_data)), bounds)

    def share(self, part: Part, model: str, quantity: Quantity, method: str) -> Cells:
        """Return what the groups of one model come to in a part, which is the sum over its models; see `values`."""
        groups = zip(part.ordered, _weights(part, quantity), strict=True)
        return _weighted(
            [(self._group(group, quantity, method), weight) for group, weight in groups if group.model == model]
        )

    def _rounded(self, part: Part, model: str, quantity: Quantity, method: str) -> Cells:
        """Return the same, rounded; of a publication as it was kept."""
        smallest = registered().smallest(part)
        if (kept := coarse.kept(self.results)) is None:
            found = self.share(part, model, quantity, method)
            return found._replace(values=coarse.rounded(found.values, smallest))
        if (name := model_of(self.results, model)) is None:
            raise NotMeasuredError(f"no {model} in the run")
        numbers = kept.numbers(self.choice(part, name, quantity, method), smallest)
        if numbers is None:
            raise NotMeasuredError(f"{quantity.words} of {method}, chosen otherwise")
        pairs = {pair for group in part.ordered if group.model == model for pair in self.cells(group)[1]}
        return Cells(numbers, sorted(pairs), {self.results.manifest.dataset.training_data})

    def choice(self, part: Part, model: str, quantity: Quantity, method: str) -> coarse.Choice:
        """Return what tells a part's numbers of a model of the run from those of other choices."""
        variant = self.variant or Variant(self.results.placement)
        point = self.point or self.results.points(model)[0]
        made = (method, self.target, point, variant.placement, variant.border)
        return coarse.Choice(model, part.says, quantity.words, *made)

    def _bounds(self, quantity: Quantity) -> Bounds:
        """Return what a quantity of a map can be; of tables beside the scores little is said."""
        if quantity.ranked_with:
            return CORRELATION
        metric = None if quantity.table else self.results.manifest.metrics.get(quantity.metric)
        if metric is None:
            return ANY
        own = Bounds(metric.lower, metric.upper)
        if quantity.relative == "difference":
            return own.weighted([1, -1])
        if quantity.relative == "ratio":  # to what is no less than LEAST
            return Bounds(min(metric.lower, 0.0) / LEAST, max(metric.upper, 0.0) / LEAST)
        return own

    def _group(self, group: Group, quantity: Quantity, method: str) -> Cells:
        """Return the mean over a group's cells of seeds that have all."""
        method = group.method or method
        quantity = quantity.model_copy(update={"rows": {**quantity.rows, **group.rows}})
        names, pairs = self.cells(group)
        of_pairs = []
        for pair in pairs:
            table = self._scores(quantity, *pair)
            at = [table.layers.index(name) for name in names if name in table.layers]
            values, present = table.quantity(quantity, method)
            whole = present[at].any(axis=2).all(axis=0)
            complete = [table.seeds[i] for i in np.flatnonzero(whole)] if len(at) == len(names) else []
            of_pairs.append((table, values[at], complete))
        seeds = sorted(set.intersection(*(set(complete) for _, _, complete in of_pairs)))
        if not seeds:
            raise NotMeasuredError(f"no seed with all maps of {group.name}")
        images = sorted(set().union(*(table.images for table, _, _ in of_pairs)))
        cells = [table.on(values, seeds, images) for table, values, _ in of_pairs]
        mean = pd.DataFrame(nan_mean(np.concatenate(cells), axis=0), index=seeds, columns=images)
        return Cells(mean, pairs, {name for table, _, _ in of_pairs for name in table.training_data})

    def cells(self, group: Group) -> tuple[list[str], list[tuple[str, int]]]:
        """Return the names of a group's layers, and its pairs of model and level.

        Raises:
            NotMeasuredError: the run has no such model, level or layer.
        """
        model = model_of(self.results, group.model)
        if model is None:
            raise NotMeasuredError(f"no {group.model} in the run")
        names = _named(self._layers(model), group.layers, self.results.label("models", model))
        return names, [(model, self._level(model, level)) for level in group.levels]

    def _layers(self, model: str) -> Sequence[Layer]:
        point = self.point or self.results.points(model)[0]
        return [layer for layer in self.results.layers(model) if layer.point == point]

    def _level(self, model: str, asked: int) -> int:
        level = highest(self.results, model) if asked == HIGHEST else asked
        if level is None or not self.results.reached(model, level):
            name = "any level" if asked == HIGHEST else level_name(asked)
            # A level that nobody asked the network for is not one that it failed to reach.
            verb = "did not reach" if level is None or level in self.results.levels(model) else "was not trained to"
            raise NotMeasuredError(f"{self.results.label('models', model)} {verb} {name}")
        return level

    def _scores(self, quantity: Quantity, model: str, level: int) -> Numbers:
        key = (quantity.model_dump_json() if quantity.table else "", model, level)
        if key not in self._read:
            if quantity.table:
                self._read[key] = Numbers.of(self._table(quantity, model, level), quantity.table)
            else:
                self._read[key] = self._maps(model, level)
        return self._read[key]

    def _maps(self, model: str, level: int) -> Numbers:
        """Read the layers that claims name, on the methods, seeds and images of all layers."""
        metrics = [metric.name for metric in self.results.metrics if metric.name in self.metrics]
        layers, named = self._layers(model), registered().labels
        where: Where = {"model": [model], "level": [level], "target": [self.target]}
        table = SCORES
        if self.variant is not None:
            where = {**where, "placement": [self.variant.placement], "border": [self.variant.border]}
            table = SPECIFICATIONS
        of_maps = {**where, "method": self._wanted, "layer": [layer.name for layer in layers]}
        axes = there(self.results, of_maps, ["method", "seed", "image"], table)
        names = [layer.name for layer in layers if layer.label in named]
        of = {"method": axes["method"], "layer": names, "seed": axes["seed"], "image": axes["image"]}
        # A publication keeps some of the metrics alone.
        maps = cube(self.results, where, of, (), optional=metrics, table=table)
        return Numbers(
            layers=names,
            methods=of["method"],
            seeds=of["seed"],
            images=of["image"],
            values=maps.values,
            present=maps.present,
            training_data=(maps.training_data,),
        )

    def _table(self, quantity: Quantity, model: str, level: int) -> pd.DataFrame:
        paths = self.results.parts(quantity.table)
        if not paths:
            raise NotMeasuredError(f"no table {quantity.table}")
        keys = ("model", "level", "seed", "image", "layer")
        rows = files.frame(paths, keys, {"model": [model], "level": [level]})
        if missing := [name for name in (quantity.metric, *quantity.rows, *quantity.ranked_with) if name not in rows]:
            raise NotMeasuredError(f"column {missing[0]} of {quantity.table}")
        rows["training_data"] = rows["training_data"].astype(str) if "training_data" in rows else ""
        texts = [name for name in ("image", "layer", "target", "method") if name in rows]
        rows = self._of_target(rows.astype(dict.fromkeys(texts, str)))
        if quantity.methods:
            rows = rows[rows["method"].isin(quantity.methods)]
        chosen = rows[matching(rows, quantity.rows)]
        if quantity.rows and chosen.empty:
            asked = ", ".join(f"{name} {value}" for name, value in quantity.rows.items())
            raise NotMeasuredError(f"no rows of {quantity.table} with {asked}")
        # A table of one number a layer has no methods; of an image several cells may be measured.
        method = ["method"] if quantity.rows else []
        by = ["seed", "image", "layer", "training_data", *method]
        of_rows = chosen.groupby(by, as_index=False)[[quantity.metric]].mean()
        if quantity.ranked_with:
            others = rows[matching(rows, quantity.ranked_with)].groupby(by, as_index=False)[[quantity.metric]].mean()
            return _ranked(of_rows, others, [name for name in by if name != "method"], quantity.metric)
        return pd.DataFrame(of_rows if method else of_rows.assign(method=""))

    def _of_target(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the target whose maps are compared, or, where it was not measured, of the run's next."""
        if "target" not in rows:
            return rows
        there = set(rows["target"])
        return rows[
            rows["target"] == next((name for name in (self.target, *self.results.targets) if name in there), "")
        ]


LEAST_METHODS = 5
"""Methods that a rank correlation over methods takes: of four the perfect order comes once in 24 by chance."""


def matching(rows: pd.DataFrame, wanted: Mapping[str, str | float]) -> NDArray[np.bool_]:
    """Return which rows have the values wanted, a number up to single precision."""
    matching = np.ones(len(rows), bool)
    for name, value in wanted.items():
        of_text = isinstance(value, str)
        matching &= rows[name].astype(str) == value if of_text else np.isclose(rows[name].astype(float), value)
    return matching


def _ranked(rows: pd.DataFrame, others: pd.DataFrame, by: list[str], metric: str) -> pd.DataFrame:
    """Return Spearman's correlation of two numbers over the methods that have both; NaN where these are too few.

    Raises:
        NotMeasuredError: fewer than `LEAST_METHODS` methods have both.
    """
    both = rows.merge(others, on=[*by, "method"], suffixes=("", "_other"))
    if (count := both["method"].nunique()) < LEAST_METHODS:
        raise NotMeasuredError(f"{count} methods with both, where {LEAST_METHODS} are needed")
    pair = both.dropna(subset=[metric, f"{metric}_other"])
    if pair.empty:
        none = both[by].drop_duplicates().assign(method="")
        none[metric] = math.nan
        return none
    ranks = pair.groupby(by)[[metric, f"{metric}_other"]].rank()
    correlations = pd.concat([pair[by], ranks], axis=1).groupby(by)[[metric, f"{metric}_other"]].apply(_pearson)
    index = both[by].drop_duplicates()
    return index.merge(correlations.rename(metric).reset_index(), how="left").assign(method="")


def _pearson(pair: pd.DataFrame) -> float:
    constant = len(pair) < LEAST_METHODS or bool((pair.nunique() < 2).any())
    return math.nan if constant else float(np.corrcoef(pair.to_numpy(), rowvar=False)[0, 1])


def _named(layers: Sequence[Layer], labels: tuple[str, ...], model: str) -> list[str]:
    names = {layer.label: layer.name for layer in layers}
    if missing := [label for label in labels if label not in names]:
        raise NotMeasuredError(f"{model} has no layer {', '.join(missing)}")
    return [names[label] for label in labels]


def _weights(part: Part, quantity: Quantity) -> list[float]:
    """Return what each group counts for in a part."""
    groups = len(part.ordered)
    weights = trend_weights(groups) if part.compare == "trend" else np.array([1.0, -1.0][:groups])
    return [float(weight) * (-1.0 if quantity.turned else 1.0) for weight in weights]


def _weighted(terms: Sequence[tuple[Cells, float]]) -> Cells:
    """Return a weighted sum, of the seeds that all terms have and of all their images.

    Raises:
        NotMeasuredError: they have no seed in common.
    """
    seeds = sorted(set.intersection(*(set(one.values.index) for one, _ in terms)))
    if not seeds:
        raise NotMeasuredError("no seed with all cells")
    images = sorted(set().union(*(one.values.columns for one, _ in terms)))
    stacked = np.stack([one.values.reindex(index=seeds, columns=images).to_numpy(np.float64) for one, _ in terms])
    total = np.tensordot(np.array([weight for _, weight in terms]), stacked, axes=1)
    pairs = sorted({pair for one, _ in terms for pair in one.pairs})
    sources = {name for one, _ in terms for name in one.training_data}
    return Cells(pd.DataFrame(total, index=seeds, columns=images), pairs, sources)
