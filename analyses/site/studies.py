"""A study: what lies in one folder, be it a run, a run of known evidence or timings; read, and shown as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from analyses import printing, report, verdicts
from analyses.artifacts import Caption, Drawn
from analyses.reading.files import ResultsError
from analyses.reading.results import Results
from analyses.reading.timings import FILE, Timings
from analyses.report import data, facts, figures
from analyses.report.words import Words
from analyses.site import about, published

MANIFEST, PAGE, INDEX = "manifest.json", "report", "index.html"
RUN, EVIDENCE, TIMING = "run", "evidence", "timing"
PICTURED = ("known_evidence_scene", "figure1", "explained", "methods_summary", "claims", "levels", "timing")
"""What the names of figures begin with, of which the index shows the first that a study has."""


@dataclass(frozen=True)
class Study:
    """One folder.

    Attributes:
        folder: where it lies.
        name: what the index calls it; `slug` is the name of its folder in the site.
        kind: 'run', 'evidence' or 'timing'.
    """

    folder: Path
    name: str
    slug: str
    kind: str

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by their names."""
        return published.tables(self.folder)

    @cached_property
    def results(self) -> Results:
        """What the folder holds, read when it is asked for."""
        return Results(self.folder)

    @cached_property
    def words(self) -> Words:
        """What names stand for in it."""
        return Words() if self.kind == TIMING else Words.of(self.results)

    @cached_property
    def facts(self) -> facts.Facts:
        """What is said of it."""
        if self.kind == RUN:
            return facts.of(self.results)
        if self.kind == EVIDENCE:
            return about.of_evidence(self.results.manifest)
        return about.of_timings(Timings.read(self.folder / FILE), self.name)

    @cached_property
    def verdicts(self) -> list[verdicts.ClaimVerdict]:
        """The verdict on each claim that it tested."""
        frame = self.tables.get(verdicts.CLAIMS)
        units = {metric.name: metric.unit for metric in self.results.metrics} if self.kind == RUN else {}
        return [] if frame is None else verdicts.of_frame(frame, units)

    @property
    def page(self) -> str:
        """Where its page begins, from the index."""
        return f"{self.slug}/{PAGE}/{INDEX}"

    @cached_property
    def picture(self) -> figures.PagePicture | None:
        """Its picture for the index; None where it has no figures."""
        drawn = published.pictures(self.folder)
        found = [name for start in PICTURED for name in drawn if name.startswith(start)] or list(drawn)
        if not found:
            return None
        return figures.small(Drawn(found[0], Caption("", ""), {"png": drawn[found[0]]["png"]}), THUMB)

    def files(self, others: Sequence[Study], docs: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield the files of its page in the site: that which lies in the folder, else one of what lies there.

        Args:
            others: all studies of the site.
            docs: the address of the documentation; '' for none.
        """
        if (self.folder / PAGE / "static" / "home.js").is_file():  # else it is of a time before there were sites
            folders = sorted({path.parent for path in self.folder.rglob(f"{PAGE}/{INDEX}")})
            for folder in folders:
                place = folder.relative_to(self.folder)
                kept = {
                    path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
                }
                for name, path in kept.items():
                    if name != f"{data.FOLDER}/{report.SITE}.js" and not path.name.startswith("."):
                        yield f"{self.slug}/{place.as_posix()}/{name}", path.read_bytes()
                yield self._home(place, others, docs)
            return
        made = published.sections(self.folder, self.tables)
        page = (
            report.build(self.results, made) if self.kind == RUN else report.without_maps(self.facts, made, self.words)
        )
        for name, content in page:
            if name != f"{data.FOLDER}/{report.SITE}.js":
                yield f"{self.slug}/{PAGE}/{name}", content
        yield self._home(Path(PAGE), others, docs)

    def _home(self, place: Path, others: Sequence[Study], docs: str) -> tuple[str, bytes]:
        """Return the file that tells the page of the site."""
        up = "../" * (1 + len(place.parts))
        links = [{"name": one.name, "address": "" if one is self else up + one.page} for one in others]
        site = {"address": f"{up}{INDEX}", "studies": links, "docs": docs}
        name, content = data.script(report.SITE, site)
        return f"{self.slug}/{place.as_posix()}/{name}", content


THUMB = 720
"""Pixels of the width of a study's picture."""


def kind_of(folder: Path) -> str:
    """Return what lies in a folder: a kind of study, or ''.

    Raises:
        ResultsError: its manifest is damaged.
    """
    if (folder / MANIFEST).is_file():
        return EVIDENCE if Results(folder).manifest.kind else RUN
    return TIMING if (folder / FILE).is_file() else ""


def find(folders: Sequence[Path]) -> tuple[list[Study], list[str]]:
    """Return the studies in folders, or in the folders in these, and lines on what was left out.

    Raises:
        ResultsError: a folder is none, holds no study, or one whose tables were not drawn.
    """
    found: dict[Path, str] = {}
    left: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise ResultsError(
                f"{folder} is no folder: name that of a run, such as results/quick, or one that holds several"
            )
        if kind := kind_of(folder):
            _drawn(folder)
            found.setdefault(folder.resolve(), kind)
            continue
        inside = {path: kind for path in sorted(folder.iterdir()) if path.is_dir() and (kind := kind_of(path))}
        for path, of_path in inside.items():
            try:
                _drawn(path)
            except ResultsError as error:
                left.append(f"left out: {error}")
            else:
                found.setdefault(path.resolve(), of_path)
        if not inside:
            raise ResultsError(
                f"{folder} holds no study, nor do the folders in it ({MANIFEST} or {FILE} is missing): name a run's "
                "folder, such as results/quick"
            )
    if not found:
        raise ResultsError(f"no study is drawn; {'; '.join(left)}")
    order = (RUN, EVIDENCE, TIMING)
    return _named(dict(sorted(found.items(), key=lambda one: order.index(one[1])))), left


def _drawn(folder: Path) -> None:
    if not any((folder / "tables").glob("*.csv")):
        raise ResultsError(f"{folder} has no tables: python -m bench run report --out {folder} draws them")


def _named(found: dict[Path, str]) -> list[Study]:
    """Return the studies by the names of their folders; those of one name by the folder around it, too."""
    names = [path.name for path in found]
    studies: list[Study] = []
    for path, kind in found.items():
        name = path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        slug, taken = printing.slug(name), {study.slug for study in studies}
        number = next(n for n in range(1, len(found) + 1) if f"{slug}-{n}" not in taken)
        studies.append(Study(path, name, f"{slug}-{number}" if slug in taken or slug in RESERVED else slug, kind))
    return studies


RESERVED = ("static", data.FOLDER, "figures", INDEX)
