"""The tables and figures of publications, in pieces: the rows of a model, or a whole table or figure of some models.

No two trainings are mixed in a piece. Where several parts of a study have the same one, it is that of the most
trainings, of equals the one with the lowest seeds; so it does not matter which parts are joined first.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analyses import printing
from analyses.artifacts import MOVING
from analyses.reading.drawn_tables import table
from analyses.reading.manifest import Manifest
from analyses.report.told import FIGURE, TABLE, Item, Part, SectionTold, Told
from bench.output.store import Store, digest

MODEL = "model"
"""The column of a table that says which network a row is of."""
SUFFIXES = ("png", MOVING)
"""Of published figures."""


@dataclass(frozen=True)
class Piece:
    """A table's rows of one model, or a whole table or figure.

    Attributes:
        section: the analysis that made it; `title` is its question.
        item: what its part told of it.
        part: the seeds that it is of, and its caption.
        files: the contents by suffix; of a table the CSV.
    """

    section: str
    title: str
    item: Item
    part: Part
    files: dict[str, bytes]

    @property
    def base(self) -> str:
        """The name that it had in the part that made it."""
        return self.item.base or self.item.name

    @property
    def key(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What it is: no two of one key stand beside each other."""
        return self.section, self.item.kind, self.base, tuple(sorted(self.part.seeds))

    @property
    def rank(self) -> tuple[int, list[tuple[str, tuple[int, ...]]], str]:
        """Its place among those of one key, of which the first is kept."""
        trainings = sum(map(len, self.part.seeds.values()))
        return -trainings, sorted(self.part.seeds.items()), digest(b"".join(self.files.values()))


def of(part: Store, manifest: Manifest, told: Told) -> Iterator[Piece]:
    """Yield the pieces of a publication; a table or figure that was too large for it has none."""
    models = tuple(manifest.models)
    seeds = {name: _seeds(manifest, name) for name in models}
    for section in told.sections:
        for item in section.items:
            folder, suffixes = ("tables", ("csv",)) if item.kind == TABLE else ("figures", SUFFIXES)
            paths = {suffix: part.path(f"{folder}/{item.name}.{suffix}") for suffix in suffixes}
            files = {suffix: path.read_bytes() for suffix, path in paths.items() if path.is_file()}
            if not files:
                continue
            rows = _rows(files["csv"]) if item.kind == TABLE else pd.DataFrame()
            by_model = {name: each for each in item.parts for name in each.seeds}
            if MODEL in rows:
                for name in (name for name in models if (rows[MODEL] == name).any()):
                    told_of = by_model.get(name) or Part(seeds={name: seeds[name]}, caption=item.caption)
                    of_model = rows[rows[MODEL] == name].to_csv(index=False, lineterminator="\n").encode()
                    yield Piece(section.name, section.title, item, told_of, {"csv": of_model})
                continue
            named = tuple(name for name in models if item.kind == FIGURE and _ending(item.base or item.name, name))
            own = Part(seeds={name: seeds[name] for name in named or models}, caption=item.caption)
            for told_of in item.parts or (own,):
                yield Piece(section.name, section.title, item, told_of, files)


def kept(pieces: Iterable[Piece]) -> list[Piece]:
    """Return one piece of each key."""
    found: dict[object, Piece] = {}
    for piece in pieces:
        before = found.get(piece.key)
        if before is None or piece.rank < before.rank:
            found[piece.key] = piece
    return list(found.values())


def joined(pieces: Sequence[Piece], whole: Manifest) -> tuple[Told, dict[str, bytes]]:
    """Return what is told of all pieces together, and the files of their tables and figures by name.

    Args:
        pieces: one of each key.
        whole: the manifest of all parts.
    """
    order = {name: at for at, name in enumerate(whole.models)}
    groups: dict[tuple[str, str, str], list[Piece]] = {}
    for piece in sorted(pieces, key=lambda one: _place(one, order)):
        groups.setdefault((piece.section, piece.item.kind, piece.base), []).append(piece)
    items: dict[str, list[Item]] = {}
    files: dict[str, bytes] = {}
    for (section, kind, base), group in groups.items():
        if kind == TABLE and MODEL in _rows(group[0].files["csv"]):
            made = [_table(base, group, whole)]
        elif all(one.files == group[0].files for one in group):
            made = [(_item(base, base, group, whole), group[0].files)]
        else:
            made = [(_item(_named(one, whole), base, [one], whole), one.files) for one in group]
        for item, contents in made:
            items.setdefault(section, []).append(item)
            folder = "tables" if kind == TABLE else "figures"
            files |= {f"{folder}/{item.name}.{suffix}": data for suffix, data in contents.items()}
            if kind == TABLE:
                printed = item.table(table(io.BytesIO(contents["csv"]))).files()
                files |= {f"tables/{item.name}.{k}": text.encode() for k, text in printed.items() if k != "csv"}
    titles = {piece.section: piece.title for piece in pieces}
    told = [
        SectionTold(name=name, title=titles[name], items=tuple(of_section))
        for name, of_section in sorted(items.items())
    ]
    return Told(sections=tuple(told)), files


def _table(base: str, group: Sequence[Piece], whole: Manifest) -> tuple[Item, dict[str, bytes]]:
    """Return the table of the rows of several models."""
    rows = pd.concat([_rows(piece.files["csv"]) for piece in group]).fillna("")
    return _item(base, base, group, whole), {"csv": rows.to_csv(index=False, lineterminator="\n").encode()}


def _item(name: str, base: str, group: Sequence[Piece], whole: Manifest) -> Item:
    """Return what is told of a table or figure of some pieces: the captions of all, and which seeds they are of."""
    first = group[0]
    captions = list(dict.fromkeys(piece.part.caption for piece in group))
    caption = first.part.caption
    if len(captions) > 1:
        of_each = [
            f"{_labels(piece, whole)}: {' '.join(filter(None, (words.finding, words.reading, words.details)))}"
            for piece in group
            if (words := piece.part.caption)
        ]
        caption = caption.model_copy(update={"details": " ".join(of_each)})
    label, note = first.item.label, _fewer(group, whole)
    if name != base:
        label = f"{first.item.label.partition(': ')[0] or base}: {_labels(first, whole)}"
        note = f"Of a part of the study: {in_words(first, whole)}."
    update = {
        "name": name,
        "base": base,
        "label": label if first.item.kind == FIGURE else "",
        "caption": caption,
        "parts": tuple(piece.part for piece in group),
        "note": note,
    }
    return first.item.model_copy(update=update)


def _fewer(group: Sequence[Piece], whole: Manifest) -> str:
    """Say of which networks a table or figure has fewer trainings than the study, or none; '' where of no network."""
    there = {model: seeds for piece in group for model, seeds in piece.part.seeds.items()}
    fewer = [
        f"of {whole.models[model].label} {_in_words(seeds)} alone"
        for model, seeds in there.items()
        if seeds != _seeds(whole, model)
    ]
    missing = [entry.label for model, entry in whole.models.items() if model not in there]
    if group[0].item.kind == TABLE and missing:
        fewer.append(f"nothing of {printing.listed(missing)}")
    return f"Of the study's parts: {'; '.join(fewer)}." if fewer else ""


def in_words(piece: Piece, whole: Manifest) -> str:
    """Return the trainings that a piece is of, in words."""
    of_models = piece.part.seeds.items()
    return "; ".join(f"{whole.models[model].label}, {_in_words(seeds)}" for model, seeds in of_models)


def _place(piece: Piece, order: Mapping[str, int]) -> tuple[str, bool, str, list[int], str]:
    """Return where a piece stands: tables first, then by name, of one name by model."""
    stem = next((piece.base[: found.start()] for name in piece.part.seeds if (found := _ending(piece.base, name))), "")
    return piece.section, piece.item.kind != TABLE, stem or piece.base, _models(piece, order), piece.base


def _models(piece: Piece, order: Mapping[str, int]) -> list[int]:
    return sorted(order[name] for name in piece.part.seeds)


def _labels(piece: Piece, whole: Manifest) -> str:
    return printing.listed([entry.label for name, entry in whole.models.items() if name in piece.part.seeds])


def _ending(base: str, model: str) -> re.Match[str] | None:
    """Return where a figure's name ends with a model's, with a page's number behind it or not."""
    return re.search(rf"-{re.escape(printing.slug(model))}(-\d+)?$", base)


def _named(piece: Piece, whole: Manifest) -> str:
    """Return the name of a piece that stands beside others of its name."""
    return f"{piece.base}-{printing.slug('-'.join(name for name in whole.models if name in piece.part.seeds))}"


def _seeds(manifest: Manifest, model: str) -> tuple[int, ...]:
    return tuple(sorted({point.seed for point in manifest.checkpoints if point.model == model}))


def _in_words(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {printing.listed([str(seed) for seed in seeds])}"


def _rows(csv: bytes) -> pd.DataFrame:
    """Return the cells of a table as they are written."""
    return pd.read_csv(io.BytesIO(csv), dtype=str, keep_default_na=False)
