"""Methods side by side, a board a network: energy, sanity, faithfulness and cost, from a study's tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from analyses import printing
from analyses.comparisons.method_ranks import METRIC
from analyses.reading.catalogue import FEWEST
from analyses.reading.choices import at_highest
from analyses.site.studies import RUN, Study
from analyses.statistics.decisions import side
from analyses.trust import sanity

BEST = 3
"""How many methods count as those best in energy: of a dozen the upper quarter."""
ASKED = ("insertion", "deletion")
"""Measures of faithfulness that the board counts: what the map names comes first, or goes first."""
ALPHA = 0.05
"""Of the rank correlation of energy and sanity over the methods."""
FAIR = ("noisy_linear", "blur")
"""Imputations by how fair they are: of the first the board takes what there is."""
OUTCOMES = ("probability", "dice", "iou")


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval, which are NaN where the tables hold none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def text(self) -> str:
        """The number in words, with its interval."""
        ends = "" if math.isnan(self.low) else f" [{_fixed(self.low)}, {_fixed(self.high)}]"
        return f"{_fixed(self.value)}{ends}"


@dataclass(frozen=True)
class Faithful:
    """How often a map's order was told to be more, or less, faithful than its reference, of how many comparisons."""

    better: int
    worse: int
    compared: int
    mean: float
    images: int

    @property
    def text(self) -> str:
        """The counts in words; of few images, the mean difference alone."""
        mean = f"{round(self.mean, 3) + 0.0:+.3f}".replace("-", printing.MINUS)
        if self.images < FEWEST:
            return f"{mean}, of {self.images} images"
        return f"{mean}; better {self.better}, worse {self.worse} of {self.compared}"


@dataclass(frozen=True)
class Line:
    """A method on a board; what was not measured is None.

    Attributes:
        method, label: its name, and that in print.
        scope: 'layer' or 'input': of what its maps are.
        control: whether it is there to compare the others with.
        images: of how many images it has maps; `whole` says whether that is all of them.
        energy: energy gain, mean over layers.
        rank: its mean rank by energy among the methods, over images.
        sanity: similarity of its maps to those of a network of random weights; `fails` by the rule of `trust.sanity`.
        faithful: what it is worth where pixels go.
        passes: passes of the network for the maps of all layers of an image, forward and backward as one.
        cost: the same in words.
    """

    method: str
    label: str
    scope: str
    control: bool
    images: int
    whole: bool
    energy: Estimate | None
    rank: float | None
    sanity: Estimate | None
    fails: bool
    faithful: Faithful | None
    passes: int
    cost: str

    @property
    def told(self) -> bool:
        """Whether an interval tells how like its maps are to those of random weights; of one image there is none."""
        return self.sanity is not None and math.isfinite(self.sanity.low)


@dataclass(frozen=True)
class Board:
    """The methods of one network.

    Attributes:
        study: of which it is.
        model, label, level: the network, its name in print, and the level that it was trained to.
        lines: best in energy first; controls last.
        finding: what is seen, in a sentence; `contrary` says whether some of the best fail.
        notes: what the columns are of.
    """

    study: Study
    model: str
    label: str
    level: str
    lines: tuple[Line, ...]
    finding: str
    contrary: bool
    notes: tuple[str, ...]

    @property
    def groups(self) -> list[tuple[str, list[Line]]]:
        """The lines by what their maps are of: 'layers', and 'input' where there are any."""
        scopes = {"layers": "layer", "input": "input"}
        groups = [(name, [line for line in self.lines if line.scope == scope]) for name, scope in scopes.items()]
        return [(name, lines) for name, lines in groups if lines]

    @property
    def key(self) -> str:
        """Its place in the page's address."""
        return f"board-{self.study.slug}-{printing.slug(self.model)}"


def boards(studies: Sequence[Study]) -> list[Board]:
    """Return a board a network of each run that compared methods."""
    return [board for study in studies if study.kind == RUN for board in _boards(study)]


def _boards(study: Study) -> Iterator[Board]:
    summary = study.tables.get("methods_summary")
    if summary is None:
        return
    summary = summary[summary["metric"] == METRIC]
    for model in (name for name in study.results.models if (summary["model"] == name).any()):
        energy = at_highest(summary[summary["model"] == model])
        energy = energy[energy["target"] == energy["target"].iloc[0]].sort_values("scope", ascending=False)
        level = int(energy["level"].iloc[0])
        lines = tuple(sorted(_lines(study, model, energy), key=_place))
        finding, contrary = _finding(lines)
        label = study.results.label("models", model)
        of_level = study.results.level_phrase(model, level)
        yield Board(study, model, label, of_level, lines, finding, contrary, tuple(_notes(study, model, energy)))


def _place(line: Line) -> tuple[bool, bool, float]:
    return line.control, line.scope != "layer", -line.energy.value if line.energy else math.inf


def _lines(study: Study, model: str, energy: pd.DataFrame) -> Iterator[Line]:
    ranks = _of_model(study.tables.get("method_ranks"), model)
    ranked = {str(row["method"]): float(row["mean_rank"]) for row in ranks}
    random = {str(row["method"]): row for row in _of_model(randomised(study.tables), model)}
    faithful = faithfulness(study.tables.get("faithfulness"), model)
    for row in energy.to_dict("records"):
        name = str(row["method"])
        if name not in study.results.methods:
            continue
        method = study.results.manifest.methods[name]
        layers = int(row["n_layers"])
        passes = method.passes * (layers if method.each == "layer" else 1)
        of_layers = str(row["scope"]) == "layer"  # the others are measured of layers alone
        similar = random.get(name) if of_layers else None
        yield Line(
            name,
            method.label,
            str(row["scope"]),
            method.kind == "control",
            int(row["n_images"]),
            int(row["n_images"]) == int(energy["n_images"].max()),
            _estimate(row, "estimate", "low", "high"),
            ranked.get(name) if of_layers else None,
            None if similar is None else _estimate(similar, "spearman", "spearman_low", "spearman_high"),
            similar is not None and bool(similar["fails"]),
            faithful.get(name) if of_layers else None,
            passes,
            _cost(method.passes, layers, own=method.own_passes, each=method.each),
        )


def _fixed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", printing.MINUS)


def _cost(passes: int, layers: int, *, own: bool, each: str) -> str:
    if not passes:
        return "none"
    if not own:
        return f"{passes}, shared"
    return f"{passes * layers:,}, {passes} a layer" if each == "layer" and layers > 1 else f"{passes:,}"


def _estimate(row: Mapping[Any, Any], *names: str) -> Estimate | None:
    values = [float(row[name]) for name in names]
    return None if math.isnan(values[0]) else Estimate(*values)


def _of_model(frame: pd.DataFrame | None, model: str) -> list[dict[Any, Any]]:
    """Return the rows of a network at its highest level, for the first target that there is."""
    if frame is None or not (frame["model"] == model).any():
        return []
    rows = at_highest(frame[frame["model"] == model])
    records: list[dict[Any, Any]] = rows[rows["target"] == rows["target"].iloc[0]].to_dict("records")
    return records


def randomised(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Return how similar maps are where all weights are random, a row a method; None where no table says."""
    if (frame := tables.get("sanity_random")) is not None:
        return frame
    frame = tables.get("sanity")
    return None if frame is None else sanity.all_random(frame)


def faithfulness(frame: pd.DataFrame | None, model: str) -> dict[str, Faithful]:
    """Return by method how faithful its maps are: their areas less those of the reference, better being positive."""
    if frame is None:
        return {}
    rows = frame[(frame["model"] == model) & (frame["order"] == "map") & frame["measure"].isin(ASKED)]
    rows = rows[rows["difference"].notna()]
    for column, best in (("imputation", FAIR), ("outcome", OUTCOMES)):
        first = next((name for name in best if (rows[column] == name).any()), None)
        rows = rows[rows[column] == first]
    if rows.empty:
        return {}
    rows = at_highest(rows)
    sign = rows["measure"].map({"insertion": 1.0, "deletion": -1.0})
    sides = side(rows[f"difference{end}"] for end in ("", "_low", "_high")) * sign
    told = rows["n_pairs"] >= FEWEST
    counted = rows.assign(
        change=rows["difference"] * sign,
        better=(sides > 0) & told,
        worse=(sides < 0) & told,
    )
    return {
        str(name): Faithful(
            int(of_method["better"].sum()),
            int(of_method["worse"].sum()),
            len(of_method),
            float(of_method["change"].mean()),
            int(of_method["n_pairs"].max()),
        )
        for name, of_method in counted.groupby("method")
    }


def _finding(lines: Sequence[Line]) -> tuple[str, bool]:
    """Say whether the methods best in energy depend on what was learned."""
    maps = [line for line in lines if line.scope == "layer" and not line.control and line.energy and line.whole]
    if not maps:
        return "No method has maps of all images.", False
    tested = [line for line in maps if line.told]
    best = maps[: min(BEST, len(maps))]
    top = named([line.label for line in best])
    if not tested:
        lack = "interval of their sanity check" if any(line.sanity for line in maps) else "sanity check of them"
        return f"Best in energy: {top}. The tables hold no {lack}.", False
    failing = [line for line in best if line.fails]
    untested = [line.label for line in best if not line.told]
    apart = f" Not checked: {named(untested)}." if untested else ""
    order = ""
    if len(tested) >= FEWEST:
        of_energy = [line.energy.value for line in tested if line.energy]
        told = stats.spearmanr(of_energy, [line.sanity.value for line in tested if line.sanity])
        rho = f"{float(told.statistic):.2f}".replace("-", printing.MINUS)
        way = {True: "more energy goes with less dependence on the weights", False: "more energy goes with more change"}
        said = way[told.statistic > 0] if told.pvalue < ALPHA else "energy and sanity are in no clear order"
        order = f" Over {len(tested)} methods, {said} (rank correlation {rho})."
    if failing:
        said = (
            f"Of the {len(best)} best in energy over all images ({top}), {named([line.label for line in failing])} fail"
        )
        said += "s the sanity check." if len(failing) == 1 else " the sanity check."
        return f"{said}{apart}{order}", True
    others = [line.label for line in tested if line.fails]
    also = f"; {named(others)} fail{'s' if len(others) == 1 else ''} it" if others else ""
    return (
        f"None of the {len(best)} best in energy over all images ({top}) fails the sanity check{also}.{apart}{order}",
        False,
    )


def named(names: Sequence[str]) -> str:
    """Return names in a row.

    >>> named(["A", "B", "C"]), named(["A"])
    ('A, B and C', 'A')
    """
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def _notes(study: Study, model: str, energy: pd.DataFrame) -> Iterator[str]:
    results = study.results
    target = results.label("targets", str(energy["target"].iloc[0]))
    counts = [int(energy[name].max()) for name in ("n_images", "n_seeds")]
    yield f"Energy: target {target}; up to {counts[0]} images, {counts[1]} {'seed' if counts[1] == 1 else 'seeds'}."
    if rows := _of_model(randomised(study.tables), model):
        of_target = results.label("targets", str(rows[0]["target"]))
        yield f"Sanity: target {of_target}; {max(int(row['n_images']) for row in rows)} images."
    else:
        yield "Sanity: no table in this folder."
    if faithfulness(study.tables.get("faithfulness"), model):
        frame = study.tables["faithfulness"]
        rows_of = frame[(frame["model"] == model) & frame["measure"].isin(ASKED) & frame["difference"].notna()]
        fill = next(name for name in FAIR if (rows_of["imputation"] == name).any())
        against = {"noisy_linear": "the blur-matched control", "blur": "random pixels, as many of the object"}[fill]
        yield f"Faithfulness: against {against}; {int(rows_of['n_pairs'].max())} images."
    else:
        yield "Faithfulness: no table in this folder."
