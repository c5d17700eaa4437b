"""Whether maps depend on what was learned: how they change when weights are random, or learned from wrong masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.reading.arrays import each_once, sources
from analyses.reading.choices import at_highest, first_target
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.decisions import side
from analyses.statistics.intervals import NOTE, bootstrap_interval

FAILS = 0.5
"""A method fails whose interval of Spearman's correlation lies above this where all weights are random."""
MOST_NAMED = 3
"""Of methods that fail, in a title."""
ALL = "all"
"""What stands for the mean over the layers in the column `layer`."""
MEASURES = ("spearman", "spearman_reached", "ssim")
CASCADING, INDEPENDENT, SHUFFLED = "cascading", "independent", "shuffled_masks"
SPEARMAN = "spearman"
"""The measure that is drawn, and by which a method fails; the table has all."""
REFERENCES = [lines.Reference(0, color="#999999", behind=True), lines.Reference(FAILS, behind=True)]
WHERE = "Depth of randomisation"
ENDS = ("", "_low", "_high")
GROUP = ["model", "level", "target"]
STEP = ["kind", "step", "share", "module"]
COLUMNS = [
    *(*GROUP, *STEP, "layer", "method"),
    *(f"{name}{end}" for name in MEASURES for end in ENDS),
    *("reached", "randomised", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all similarities, and a figure for each model and target; nothing for runs without."""
    frame = summarise(results)
    if frame.empty:
        return
    yield Table("sanity", frame, f"{_ABOUT} {_COLUMNS} {_READING}")
    yield Table("sanity_random", all_random(frame), f"{_ABOUT} {_RANDOM} {_READING}", best={"spearman": "lower"})
    target = first_target(results, frame)
    shown = frame[frame["target"] == target]
    for ending, models in networks.pages([model for model in results.models if (shown["model"] == model).any()]):
        highest = pd.concat([at_highest(shown[shown["model"] == model]) for model in models])
        mean = highest[highest["layer"] == ALL]
        with style.context():
            drawn = draw(results, mean, models)
        each = [
            f"{_where(results, rows)} {_verdict(results, rows[rows['layer'] == ALL])} {_trained(results, rows)}".strip()
            for rows in (highest[highest["model"] == model] for model in models)
        ]
        details = f"{_ABOUT} Target: {results.label('targets', target)}. {' '.join(each)} {_DRAWN}"
        caption = Caption(finding(results, mean), READING, f"{details} How they are made: the table sanity.")
        yield Figure(f"sanity{ending}", drawn, caption, "Sanity checks")


READING = (
    "Similarity of maps to those of the trained network (Spearman's correlation; 1: the same), as weights are made "
    "random from the output to the input, a line a method. A map that explains what was learned has to change: above "
    f"{FAILS:g} (dotted) where all is random, with its whole interval, a method fails."
)


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say how many methods fail in each network, how alike their maps stay, and the main one's.

    And how many do so over the cells alone that have a gradient, where no zeros make maps alike.
    """
    rows = all_random(frame)
    words = []
    for model in [name for name in results.models if (rows["model"] == name).any()]:
        of_model = rows[rows["model"] == model].sort_values(SPEARMAN, ascending=False, kind="stable")
        failed = of_model[of_model["fails"]]
        main = of_model[(of_model["method"] == results.main_method) & ~of_model["fails"] & of_model[SPEARMAN].notna()]
        named = [
            ", ".join(
                f"{results.label('methods', str(row['method']))} {printing.short(row[SPEARMAN])}"
                for row in part.to_dict("records")
            )
            for part in (failed.head(MOST_NAMED), main)
            if len(part)
        ]
        if len(main):
            named[-1] = f"not {named[-1]}"
        numbers = f" ({'; '.join(named)})" if named else ""
        reached = int((side((of_model[f"spearman_reached{end}"] for end in ENDS), FAILS) > 0).sum())
        beside = f", {reached or 'none'} over the cells with a gradient" if len(failed) else ""
        words.append(f"{len(failed)} of {len(of_model)} in {networks.name_of(results, model)}{numbers}{beside}")
    return f"Methods whose maps stay alike with all weights random: {printing.listed(words)}." if words else ""


_ABOUT = (
    "Similarity of maps to those of the trained network, for the same images and the pixels that the trained network "
    "chose, when weights are made random from the output to the input: all modules behind (cascading), or one alone "
    "(independent)."
)
_RANDOM = (
    "Here all weights are random, and values are means over the layers. fails: the interval of Spearman's correlation "
    f"lies above {FAILS:g}."
)
_READING = (
    f"Means over images, of each image's mean over draws and layers, with {CONFIDENCE:.0%} intervals from {RESAMPLES} "
    f"resamples of images and seeds {NOTE}. Similarity is not "
    "defined where a map is blank, undefined or constant. A map that explains the network has to change. Where a few "
    "pixels are explained, the gradient is zero beyond their receptive field whatever the weights, and maps that are "
    "zero there with it are similar for that alone: the second correlation is over the cells that have a gradient in "
    "either network, which leaves this out."
)
_DRAWN = "Mean over the layers; bands are intervals, and at 0 nothing is random."
_COLUMNS = (
    f"layer {ALL}: mean over the layers. share: how far the step is from the output (0) to the input (1), in modules "
    "with weights; reached: share of cells with a gradient; randomised: share of maps whose layer has other "
    "activations, the rest differ by their gradients alone; n_undefined: maps without a similarity, which are left out "
    f"(of {ALL} those of every layer)."
)


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, target, change of the network, layer (and their mean) and method."""
    table = results.table("sanity")
    rows: list[pd.DataFrame] = []
    if table is not None and len(table):
        table = table.astype(dict.fromkeys(("model", "target", "kind", "module", "layer", "method", "image"), str))
        each_once(table, [*GROUP, "kind", "draw", "step", "layer", "method", "seed", "image"], "sanity")
        for (model, level, target), of_group in table.groupby(GROUP):
            rows.append(_means(of_group).assign(model=str(model), level=int(str(level)), target=str(target)))
    frame = pd.concat(rows) if rows else pd.DataFrame(columns=COLUMNS)
    methods = {name: i for i, name in enumerate(results.methods)}
    depths = {(model, layer.name): layer.depth for model in results.models for layer in results.layers(model)}
    places = [depths.get(key, -2) for key in zip(frame["model"], frame["layer"], strict=True)]  # their mean first
    frame = frame.assign(_place=places, _method=frame["method"].map(methods))
    return tidy(frame, [*GROUP, "kind", "step", "_place", "_method", "method"])[COLUMNS]


def all_random(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `summarise` where all weights are random, means over the layers; `fails` says which fail."""
    rows = frame[(frame["kind"] == CASCADING) & (frame["share"] >= 1) & (frame["layer"] == ALL)]
    kept = [*GROUP, "method", *(f"{name}{end}" for name in MEASURES for end in ENDS)]
    kept += ["n_images", "n_seeds", "n_undefined", "training_data"]
    return rows[kept].assign(fails=fails(rows)).reset_index(drop=True)


def fails(rows: pd.DataFrame) -> pd.Series:
    """Return of which rows, all weights random, the interval of Spearman's correlation lies above `FAILS` for sure."""
    return pd.Series(side((rows[f"spearman{end}"] for end in ENDS), FAILS) > 0, rows.index)


def _means(group: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one model, level and target."""
    numbers = [*MEASURES, "reached", "randomised"]
    group = group.assign(randomised=group["randomised"].astype("float64"))
    unit, keys = ["seed", "image"], [*STEP, "layer", "method"]
    of_layers = group.groupby([*keys, *unit], as_index=False)[numbers].mean()
    over = of_layers.groupby([*STEP, "method", *unit], as_index=False)[numbers].mean().assign(layer=ALL)
    maps = pd.concat([over, of_layers]).set_index([*keys, *unit])
    units = pd.MultiIndex.from_product([sorted(set(group[name])) for name in unit])
    cubes = [maps[name].unstack(unit).reindex(columns=units) for name in MEASURES]
    shape = (len(cubes[0]), len(units.levels[0]), len(units.levels[1]))
    values = np.stack([cube.to_numpy(np.float64).reshape(shape) for cube in cubes])
    ends = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, CORRELATION)
    frame = cubes[0].index.to_frame(index=False)
    for i, name in enumerate(MEASURES):
        frame = frame.assign(**{name: ends.estimate[i], f"{name}_low": ends.low[i], f"{name}_high": ends.high[i]})
    groups = maps.reset_index().groupby(keys)
    lacking = pd.concat([of_layers, of_layers.assign(layer=ALL)])  # of their mean each layer's: it is of the others
    counts = (
        groups[["reached", "randomised"]]
        .mean()
        .assign(
            n_images=groups["image"].nunique(),
            n_seeds=groups["seed"].nunique(),
            n_undefined=lacking["spearman"].isna().groupby([lacking[name] for name in keys]).sum(),
        )
    )
    return frame.merge(counts.reset_index(), on=keys, validate="1:1").assign(training_data=sources(group))


def _where(results: Results, frame: pd.DataFrame) -> str:
    """Say which network, layers and images it is of."""
    model, level = str(frame["model"].iloc[0]), int(frame["level"].iloc[0])
    layers = ", ".join(layer.label for layer in results.layers(model) if (frame["layer"] == layer.name).any())
    return (
        f"{results.label('models', model)} at its highest level ({results.level_phrase(model, level)}); layers: "
        f"{layers}; {frame['n_images'].max()} images."
    )


def _verdict(results: Results, frame: pd.DataFrame) -> str:
    """Name the methods whose maps stay as they were when all weights are random."""
    random = frame[(frame["kind"] == CASCADING) & (frame["share"] >= 1)]
    failing = random[fails(random)]
    named = [
        f"{results.label('methods', str(row['method']))} ({row['spearman']:.2f} [{row['spearman_low']:.2f}, "
        f"{row['spearman_high']:.2f}]; over cells with a gradient {row['spearman_reached']:.2f} "
        f"[{row['spearman_reached_low']:.2f}, {row['spearman_reached_high']:.2f}])"
        for row in failing.to_dict("records")
    ]
    rule = f"the interval of Spearman's correlation lies above {FAILS:g} where all weights are random"
    return f"Fail ({rule}): {', '.join(named)}." if named else f"No method fails ({rule})."


def _trained(results: Results, frame: pd.DataFrame) -> str:
    """Say what the networks that were trained on shuffled masks had learned."""
    table = results.table("sanity_training")
    if table is None or not (frame["kind"] == SHUFFLED).any():
        return ""
    of_model = table[table["model"].astype(str) == str(frame["model"].iloc[0])].drop_duplicates("seed")
    if of_model.empty:
        return ""
    steps = ", ".join(str(n) for n in sorted(set(of_model["steps"])))
    numbers = [f"{100 * of_model[name].mean():.1f} %" for name in ("miou_shuffled", "miou_own", "miou_validation")]
    return (
        f"Markers at the right: a network trained for {steps} steps on masks of other images, to a mean IoU of "
        f"{numbers[0]} on training images with the masks it was given, {numbers[1]} with their own masks, and "
        f"{numbers[2]} on validation images."
    )


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw similarity against depth: a panel a network, cascading; of one network also one module at a time."""
    methods = [name for name in results.methods if (frame["method"] == name).any()]
    methods += sorted(set(frame["method"]) - set(methods))
    looks = style.method_lines(methods)
    shuffled = (frame["kind"] == SHUFFLED).any()
    alone = len(models) == 1
    ticks = {0.0: "0\noutput", 0.5: "0.5", 1.0: "1\ninput"}
    beside = ticks | ({1.2: "other\nmasks"} if shuffled else {})
    panels = []
    for model in models:
        of_model = frame[frame["model"] == model]
        marks: list[lines.Line | lines.Dots] = [*_lines(of_model[of_model["kind"] == CASCADING], looks)]
        marks += _shuffled(of_model[of_model["kind"] == SHUFFLED], looks)
        panel = lines.Panel("", marks, REFERENCES, ticks=beside, dividers=[1.06] if shuffled else [], x_label=WHERE)
        images = int(of_model["n_images"].max())
        name = networks.title(results, model, len(models), images=images)
        title = f"All modules behind are random{networks.few(images)}" if alone else name
        panels.append(replace(panel, title=title, y_limits=(None, 1.05)))
    panels[0] = replace(panels[0], label="Spearman, to the trained network's map")
    if alone:
        marks = [*_lines(frame[frame["kind"] == INDEPENDENT], looks)]
        one = lines.Panel("", marks, REFERENCES, ticks=ticks, y_limits=(None, 1.05), x_label=WHERE)
        panels.append(replace(one, title="One module is random"))
    key: list[Artist] = [
        lines.line_key(look, printing.plain(results.label("methods", name))) for name, look in looks.items()
    ]
    key += [lines.band_key(), lines.reference_key(f"fails with the interval above {FAILS:g}")]
    widths = [1.25, 1] if alone else None
    return lines.draw([panels], key, 3.3, key_columns=6, key_length=3, shared=("none", "row"), widths=widths)


def _lines(frame: pd.DataFrame, looks: Mapping[str, style.Line]) -> list[lines.Line]:
    """Return a line a method from the whole network's similarity with itself on."""
    drawn = []
    for name, look in looks.items():
        rows = frame[frame["method"] == name].sort_values("share")
        if rows[SPEARMAN].notna().any():
            y, low, high = ([1.0, *rows[f"{SPEARMAN}{end}"]] for end in ENDS)  # a map is like itself
            drawn.append(lines.Line(look, [0.0, *rows["share"]], y, low, high, opacity=0.1))
    return drawn


def _shuffled(frame: pd.DataFrame, looks: Mapping[str, style.Line]) -> list[lines.Dots]:
    """Return a dot a method beside the panel's curves, with its interval."""
    rows = {str(row["method"]): row for row in frame.to_dict("records")}
    dots = []
    for x, (name, look) in zip(_beside(len(looks)), looks.items(), strict=True):
        if name in rows:
            y, low, high = ([rows[name][f"{SPEARMAN}{end}"]] for end in ENDS)
            dots.append(lines.Dots(look, [x], y, low, high, edge=1.0))
    return dots


def _beside(count: int) -> Sequence[float]:
    return [float(x) for x in np.linspace(1.1, 1.3, count)] if count > 1 else [1.2]
