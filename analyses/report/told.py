"""What a report tells of its tables and figures, `sections.json`: with it a page is made of files without drawing anew.

A folder that was joined from parts also says here which of them each table and figure is of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

import pandas as pd

from analyses.artifacts import Caption, Drawn, Section, Table
from analyses.printing import Direction
from analyses.reading.files import SECTIONS
from analyses.reading.sealed import Document, Entry

FIGURE, TABLE = "figure", "table"


class Words(Entry):
    """A caption; that of a table is `details` alone."""

    finding: str = ""
    reading: str = ""
    details: str = ""


class Part(Entry):
    """What a part of a study tells of a table or figure: the seeds of each model that it is of, and its caption."""

    seeds: dict[str, tuple[int, ...]]
    caption: Words


class Item(Entry):
    """A table or a figure, by the name of its files.

    `base` is its name in the `parts` that it was joined from, '' where it was not; `note` says which they are, where
    they are not all. `best`, `within` and `shown` are those of a `Table`.
    """

    kind: Literal["figure", "table"]
    name: str
    label: str = ""
    caption: Words = Words()
    best: Mapping[str, Direction] = {}
    within: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    base: str = ""
    parts: tuple[Part, ...] = ()
    note: str = ""

    @classmethod
    def of(cls, item: Drawn | Table) -> Self:
        """Return what is told of a table or figure that was made."""
        if isinstance(item, Table):
            looks = {"best": dict(item.best), "within": tuple(item.within), "shown": tuple(item.shown)}
            return cls(kind=TABLE, name=item.name, caption=Words(details=item.caption), **looks)
        return cls(kind=FIGURE, name=item.name, label=item.label, caption=Words.model_validate(item.caption))

    def table(self, frame: pd.DataFrame) -> Table:
        """Return the table of these rows."""
        return Table(self.name, frame, _joined(self.caption.details, self.note), self.best, self.within, self.shown)

    def figure(self, files: Mapping[str, bytes]) -> Drawn:
        """Return the figure of these files."""
        caption = Caption(self.caption.finding, _joined(self.caption.reading, self.note), self.caption.details)
        return Drawn(self.name, caption, files, self.label)

    def markdown(self) -> list[str]:
        """Return the paragraphs of its caption, with its name in front."""
        if self.kind == TABLE:
            return [f"**{self.name}.** {_joined(self.caption.details, self.note)}"]
        name = f"**{self.label} ({self.name}).**" if self.label else f"**{self.name}.**"
        first = _joined(name, self.caption.finding, self.caption.reading, self.note)
        return [first, *([self.caption.details] if self.caption.details else [])]


class SectionTold(Entry):
    """What one analysis made, and its question in one line."""

    name: str
    title: str
    items: tuple[Item, ...]


class Told(Document):
    """All sections of a report, in the order of its captions."""

    WHAT: ClassVar[str] = "list of sections"
    CURE: ClassVar[str] = "run report writes it anew; what was published is fetched or published again"

    sections: tuple[SectionTold, ...]

    @classmethod
    def of(cls, sections: Iterable[Section]) -> Self:
        """Return what is told of sections that were made."""
        told = [SectionTold(name=one.name, title=one.title, items=tuple(map(Item.of, one.items))) for one in sections]
        return cls(sections=tuple(told))

    def replaced(self, sections: Iterable[Section], from_tables: Collection[str] = ()) -> Self:
        """Return it with some sections made anew, by the sections' names in their order.

        Args:
            sections: that were made.
            from_tables: those of them that are figures alone, drawn from their tables, which stay as they are; what is
                noted of a table is true of its figures, too.
        """
        all_of = {one.name: one for one in self.sections}
        for made in self.of(sections).sections:
            items = made.items
            if made.name in from_tables and made.name in all_of:
                tables = [item for item in all_of[made.name].items if item.kind == TABLE]
                note = next((item.note for item in tables if item.name == made.name), "")
                items = (*tables, *(item.model_copy(update={"note": note}) if note else item for item in items))
            all_of[made.name] = made.model_copy(update={"items": items})
        return self.model_copy(update={"sections": tuple(all_of[name] for name in sorted(all_of))})

    def of_analyses(self, names: Collection[str]) -> Self:
        """Return what some analyses made alone."""
        return self.without({one.name for one in self.sections if one.name not in names})

    def tables_alone(self, names: Collection[str]) -> Self:
        """Return it without the figures of some analyses."""
        sections = [
            one.model_copy(update={"items": tuple(item for item in one.items if item.kind == TABLE)})
            if one.name in names
            else one
            for one in self.sections
        ]
        return self.model_copy(update={"sections": tuple(sections)})

    def without(self, names: Collection[str]) -> Self:
        """Return it without what some analyses made."""
        return self.model_copy(update={"sections": tuple(one for one in self.sections if one.name not in names)})

    def captions(self, note: str = "") -> bytes:
        """Return the captions as Markdown below what is true of them all, the `note`."""
        items = [item for section in self.sections for item in section.items]
        paragraphs = [*([note] if note else []), *(line for item in items for line in item.markdown())]
        return "".join(f"{paragraph}\n\n" for paragraph in paragraphs).removesuffix("\n").encode()

    def made(self, frames: Mapping[str, pd.DataFrame], pictures: Mapping[str, Mapping[str, bytes]]) -> list[Section]:
        """Return the sections as they were made, of tables and figures by name; what is not there is left out."""
        out = []
        for section in self.sections:
            items: list[Drawn | Table] = []
            for item in section.items:
                if item.kind == TABLE and item.name in frames:
                    items.append(item.table(frames[item.name]))
                elif item.kind == FIGURE and item.name in pictures:
                    items.append(item.figure(pictures[item.name]))
            out.append(Section(section.name, section.title, items))
        return out


def read(folder: Path) -> Told | None:
    """Return what a folder tells of its tables and figures; None where an earlier version wrote it.

    Raises:
        ResultsError: the file is damaged.
    """
    return Told.read(folder / SECTIONS) if (folder / SECTIONS).exists() else None


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
