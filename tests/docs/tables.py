"""The tables that pages of docs/, and the README of the study, show of code and published results, between two marks.

`python -m tests.docs.tables` writes them anew; a test holds the pages to them.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

import analyses
from analyses.paper.claims.registration import registered
from analyses.paper.claims.verdicts import in_words
from analyses.reading.states import NOT_MEASURED
from bench.cli import listing
from segcam.methods import METHODS
from segcam.metrics import METRICS, Metric
from segcam.metrics.attention import ATTENTION_METRICS, AttentionMetric
from tests.docs import study
from tests.reference import metrics as slow

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), study.STUDY / "README.md"]
MARKED = re.compile(r"(<!-- made: (\w+) ?([\w-]*) -->\n).*?(<!-- end -->)", re.DOTALL)
SIDES = {"higher": "more", "lower": "less", "none": "neither"}
CHANCES = {None: "", "area": "the mask's share", "uniform": "that of uniform attention"}
ALIKE = (
    ("energy_inside", "energy_gain"),
    ("energy_gain", "background_ratio"),
    ("energy_gain", "pointing_game"),
    ("edge_alignment", "edge_alignment_full"),
    ("spread", "gini"),
    ("energy_gain", "average_precision"),
    ("energy_gain", "edge_alignment"),
)
COMPARED = (
    *("eigen_grad_cam", "layer_cam", "seg_xres_cam", "hires_cam", "element_wise", "grad_cam", "grad_cam_pp"),
    *("xgrad_cam", "eigen_cam", "gaussian", "sobel"),
)


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    return MARKED.sub(lambda found: found[1] + "\n".join(MAKERS[found[2]](found[3])) + "\n" + found[4], text)


def metrics(_: str) -> Iterator[str]:
    """Every metric and what three known maps score, in the order of the page's cards."""
    yield "| metric | better | range | by chance | needs the mask | mask, complement, noise |"
    yield "|---|---|---|---|---|---|"
    for name in METRICS.names():
        metric, answers = METRICS.get(name), slow.ANSWERS[name]
        values = (answers.perfect, answers.inverted, answers.random)
        known = ", ".join("none" if math.isnan(value) else f"{value:.2g}" for value in values)
        yield f"| [`{name}`](#{name}) | {_facts(metric)} | {'yes' if metric.masks else 'no'} | {known} |"


def attention(_: str) -> Iterator[str]:
    yield "| metric | definition | better | range | by chance |"
    yield "|---|---|---|---|---|"
    for metric in ATTENTION_METRICS:
        yield f"| `{metric.name}` | {metric.summary} | {_facts(metric)} |"


def metric(name: str) -> Iterator[str]:
    """A metric's definition and source."""
    found = METRICS.get(name)
    yield f"**Is**: {found.summary}. *Source:* {found.source}."
    made = listing.cards()
    card = made["metrics"][name]
    yield ""
    yield f"| cells of | {' | '.join(f'{cell} px' for cell in made['cells'])} |"
    yield f"|---|{'---|' * len(made['cells'])}"
    for one, scores in card["maps"].items():
        yield f"| {one} | {' | '.join('' if score is None else f'{score:.2f}' for score in scores)} |"
    if card["reliability"]:
        values = ", ".join(f"{where} {value:.2f}" for where, value in card["reliability"].items())
        yield ""
        yield f"**Reliability** (ICC of an image's value over trainings): {values}."
    if card["evidence"]:
        values = ", ".join(f"{model} {rho:.2f}" for model, rho in card["evidence"].items())
        yield ""
        yield f"**On known evidence** (rank correlation of methods with the truth, mean over cues): {values}."


def alike(_: str) -> Iterator[str]:
    """How alike metrics rank methods and layers, over the networks of the study."""
    table = study.table("metric_agreement")
    table = table[table["target"] == "best_pixel:logit"]
    yield "| metric | and | rank correlation |"
    yield "|---|---|---|"
    for one, other in ALIKE:
        rho = table[(table["metric"] == one) & (table["other"] == other)]["rho"]
        yield f"| `{one}` | `{other}` | {rho.min():.2f} to {rho.max():.2f} |"


def methods(family: str) -> Iterator[str]:
    """The methods of a family: what each does, in one line, and what it costs."""
    yield "| method | what it is | passes |"
    yield "|---|---|---|"
    for name in METHODS.names():
        method = METHODS.get(name)
        if (method.family or method.kind) == family:
            passes = f"{method.passes(method.parameters) if callable(method.passes) else method.passes}"
            each = " a layer" if method.each == "layer" else ""
            yield f"| `{name}` | {method.summary} | {passes + each if method.own_passes else 'shared'} |"


def compared(_: str) -> Iterator[str]:
    """Methods side by side: energy on the animal, what random weights leave, whether the ball is found."""
    gains, sanity = study.energy_gains(), study.kept_with_random_weights()
    gains = gains[(gains["model"] == "unet") & (gains["level"] == 90)].set_index("method")["estimate"]
    evidence = pd.read_csv(ROOT / "results" / "evidence" / "tables" / "known_evidence_summary.csv")
    evidence = evidence[(evidence["target"] == "predicted:contrast") & (evidence["scope"] == "layer")]
    ball, ears = (evidence[evidence["cue"] == cue].set_index("method") for cue in ("context", "shape"))
    measured = (
        "energy gain on the animal | like the map of random weights | energy gain on the ball | layers that find ears"
    )
    yield f"| method | {measured} |"
    yield "|---|---|---|---|---|"
    for name in COMPARED:
        random = f"{sanity[name]:.2f}" if name in sanity else ""
        found = f"{ears.loc[name, 'layers_above_elsewhere']:.0f} of {ears.loc[name, 'n_layers']}"
        numbers = f"{gains[name]:.2f} | {random} | {ball.loc[name, 'gain']:.2f} | {found}"
        yield f"| {METHODS.get(name).label} | {numbers} |".replace("-0.00", "0.00")


def claims(_: str) -> Iterator[str]:
    """The claims, what decides on each, and the published verdict."""
    verdicts = study.decided()
    run = study.table("claims").groupby("claim")["n_seeds"].max()
    yield "| claim | it is said | supported where, on average | trainings registered (run) | verdict |"
    yield "|---|---|---|---|---|"
    for claim in registered().claims:
        parts = [part.says if part.decides else f"*{part.says}*" for part in claim.parts]
        if len(parts) > 3:
            parts = [*parts[:1], f"and {len(parts) - 1} more"]
        seeds = f"{claim.seeds}{f' ({run[claim.id]:.0f})' if claim.id in run.dropna() else ''}"
        seeds += ", underpowered" if claim.underpowered else ""
        verdict = verdicts.get(claim.id, NOT_MEASURED)
        yield f"| {claim.id} | {claim.sentence} | {'; '.join(parts)} | {seeds} | {verdict} |"


def measures(_: str) -> Iterator[str]:
    """What claims are measured by, and the smallest effect of each with its reason."""
    yield "| measure | is | smallest effect | since |"
    yield "|---|---|---|---|"
    for name, measure in registered().measures.items():
        yield f"| {name.replace('_', ' ')} | `{measure.words}` | {measure.smallest:g} | {measure.reason} |"


def rule(_: str) -> Iterator[str]:
    yield in_words(registered().rule)


def all_analyses(_: str) -> Iterator[str]:
    """Every analysis by its question, the first line of its file."""
    yield "| analysis | what |"
    yield "|---|---|"
    for name, analyse in analyses.find().items():
        first = (sys.modules[analyse.__module__].__doc__ or "").splitlines()[0]
        yield f"| `{name}` | {first.rstrip('.')} |"


def _facts(metric: Metric | AttentionMetric) -> str:
    """Direction, range and chance."""
    unit = f" {metric.unit}" if metric.unit else ""
    low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.lower, metric.upper))
    bounds = f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"
    chance = f"{metric.chance:g}" if isinstance(metric.chance, float) else CHANCES[metric.chance]
    return f"{SIDES[metric.direction]} | {bounds}{unit} | {chance}"


MAKERS: dict[str, Callable[[str], Iterator[str]]] = {
    "alike": alike,
    "analyses": all_analyses,
    "attention": attention,
    "claims": claims,
    "compared": compared,
    "gains": study.gains,
    "levels": study.levels,
    "measures": measures,
    "methods": methods,
    "metric": metric,
    "metrics": metrics,
    "rule": rule,
    "verdicts": study.verdicts,
}


def main() -> None:
    """Write the tables of all pages anew."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
