"""What studies say side by side: the claims, the evidence that is known, the time that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analyses.reading.states import NOT_MEASURED, OPPOSITE, SUPPORTED
from analyses.reading.timings import FILE, Timings
from analyses.site.leaderboard import Estimate, named
from analyses.site.studies import EVIDENCE, Study
from analyses.verdicts import ClaimVerdict

KNOWN = "known_evidence_summary"


@dataclass(frozen=True)
class ClaimRow:
    """A claim, and what came of it in each study of the matrix; None where a study did not ask."""

    claim: str
    sentence: str
    cells: list[ClaimVerdict | None]


@dataclass(frozen=True)
class Matrix:
    """Claims by studies.

    Attributes:
        studies: the columns: studies that tested claims.
        rows: a row a claim.
        findings: where the studies differ, a sentence a claim; else one sentence that they do not.
    """

    studies: list[Study]
    rows: list[ClaimRow]
    findings: list[str]


@dataclass(frozen=True)
class CueRow:
    """A method, and its energy gain on the evidence of each cue; None where it was not measured."""

    label: str
    control: bool
    cells: list[Estimate | None]


@dataclass(frozen=True)
class Cues:
    """Methods by cue, of a study of known evidence."""

    study: Study
    target: str
    cues: list[str]
    rows: list[CueRow]
    finding: str


def matrix(studies: Sequence[Study]) -> Matrix:
    """Return the claims by studies."""
    asking = [study for study in studies if study.verdicts]
    claims = dict.fromkeys((one.claim, one.sentence) for study in asking for one in study.verdicts)
    rows = []
    for claim, sentence in sorted(claims):
        found = [{(one.claim, one.sentence): one for one in study.verdicts}.get((claim, sentence)) for study in asking]
        rows.append(ClaimRow(claim, sentence, found))
    return Matrix(asking, rows, list(_differences(asking, rows)))


def _differences(studies: Sequence[Study], rows: Sequence[ClaimRow]) -> Iterator[str]:
    compared = 0
    opposite = []
    for row in rows:
        states = [(study.name, one.state) for study, one in zip(studies, row.cells, strict=True) if one]
        told = [(name, state) for name, state in states if state != NOT_MEASURED]
        compared += len(told) > 1
        if {SUPPORTED, OPPOSITE} <= {state for _, state in told}:
            opposite.append(row.claim)
            by_state = {state: [name for name, of in told if of == state] for _, state in told}
            sentence = f"{row.sentence[:1].lower()}{row.sentence[1:]}".rstrip(".")
            said = named([f"{state} in {named(names)}" for state, names in by_state.items()])
            yield f"{row.claim}, \N{LEFT DOUBLE QUOTATION MARK}{sentence}\N{RIGHT DOUBLE QUOTATION MARK}, is {said}."
    if compared and not opposite:
        yield f"No claim is supported in one study and opposite in another, of {compared} that several measured."


def cues(studies: Sequence[Study]) -> list[Cues]:
    """Return the methods by cue of each study of known evidence."""
    return [one for study in studies if study.kind == EVIDENCE and KNOWN in study.tables for one in _cues(study)]


def _cues(study: Study) -> Iterator[Cues]:
    frame = study.tables[KNOWN]
    frame = frame[frame["told_apart"].astype(str) == "True"]
    for model in frame["model"].unique():
        rows = frame[(frame["model"] == model) & (frame["scope"] == "layer")]
        if rows.empty:
            continue
        rows = rows[rows["target"] == rows["target"].iloc[0]]
        names = list(rows["cue"].unique())
        gain = rows.set_index(["method", "cue"])
        order = rows.groupby("method")["gain"].mean().sort_values(ascending=False).index
        family = rows.drop_duplicates("method").set_index("method")["family"]
        out = []
        for method in order:
            at = [gain.loc[(method, cue)] if (method, cue) in gain.index else None for cue in names]
            cells = [None if one is None or pd.isna(one["gain"]) else _gain(one) for one in at]
            out.append(CueRow(study.words.label("methods", method), family[method] == "control", cells))
        out.sort(key=lambda row: row.control)
        label = study.words.label("targets", str(rows["target"].iloc[0]))
        yield Cues(study, label, names, out, _best(names, out))


def _gain(row: pd.Series) -> Estimate:
    return Estimate(float(row["gain"]), float(row["gain_low"]), float(row["gain_high"]))


def _best(names: Sequence[str], rows: Sequence[CueRow]) -> str:
    """Say which method finds the evidence best, cue by cue, and by how much."""
    said: dict[str, list[str]] = {}
    for i, cue in enumerate(names):
        of_cue = [(cell.value, row.label) for row in rows if not row.control and (cell := row.cells[i])]
        if of_cue:
            value, label = max(of_cue)
            said.setdefault(label, []).append(f"{cue} ({value:.2f})")
    each = [f"{label} for {named(of_label)}" for label, of_label in said.items()]
    return f"Most energy on the evidence, as a mean over layers, has {named(each)}." if each else ""


def timing(study: Study) -> str:
    """Return in a sentence what timings say; '' for a study without."""
    if not (study.folder / FILE).is_file():
        return ""
    rows = [row for row in Timings.read(study.folder / FILE).rows if row["ratio"]]
    times = [row for row in rows if row["quantity"] == "time" and row["same"]]
    less = sum(row["ratio"]["high"] < 1 for row in times if row["ratio"])
    more = sum(row["ratio"]["low"] > 1 for row in times if row["ratio"])
    barred = [row for row in rows if row["bar"] is not None]
    met = sum(bool(row["met"]) for row in barred)
    return (
        f"Of {len(times)} comparisons with another tool's same maps, segcam takes less time in {less} and more in "
        f"{more}, by the quartiles of the rounds; {met} of {len(barred)} bars set beforehand are met."
    )
