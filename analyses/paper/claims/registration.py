"""The registration: what each claim comes to, as data with a date and a hash, written before the scores it judges."""

from __future__ import annotations

import datetime as dt
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FILE = Path(__file__).with_name("registration.toml")
HIGHEST = 0
"""Stands for the highest level that a model reached: the paper has one SegFormer, of 90 %."""
EACH = "{each}"
ENOUGH_POWER = 0.8


def _level(value: Any) -> Any:
    return HIGHEST if value == "highest" else value


class Frozen(BaseModel):
    """A table of the file: nothing in it is unknown, or changed after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantity(Frozen):
    """What is measured of a map, or beside the maps.

    Attributes:
        metric: the column.
        table: where the column is: '' for the scores.
        relative: how it is referred to what another map scores on the same image and grid: as a `ratio` to it, or as
            the `difference` from it; '' for as it is.
        to: the method of that other map.
        turned: whether less of it is what the measure means by more.
        rows: of a table, the rows that count: a value a column.
        ranked_with: of a table, the columns' values that tell other rows from those of `rows`: the number is then the
            rank correlation of both, over `methods`, of a network, layer and image.
    """

    metric: str
    table: str = ""
    rows: dict[str, str | float] = {}
    ranked_with: dict[str, str | float] = {}
    methods: tuple[str, ...] = ()
    relative: Literal["", "ratio", "difference"] = ""
    to: str = ""
    turned: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Quantity:
        if bool(self.relative) != bool(self.to):
            raise ValueError("'relative' and 'to' belong together: the form, and the map that is referred to")
        if (self.rows or self.ranked_with) and not self.table:
            raise ValueError("'rows' and 'ranked_with' choose rows of a 'table': name it")
        if bool(self.ranked_with) != bool(self.methods):
            raise ValueError("'ranked_with' and 'methods' belong together: what is ranked, over which methods")
        return self

    @property
    def words(self) -> str:
        """The quantity in words, as 'energy_gain / mask_oracle'."""
        sign = {"ratio": " / ", "difference": " \N{MINUS SIGN} ", "": ""}[self.relative]
        named = self.metric
        if self.rows:
            named = str(self.rows.get("measure", self.rows.get("kind", self.metric)))
            named += f" ranked with {self.ranked_with.get('measure', named)}" if self.ranked_with else ""
        return f"{'less ' if self.turned else ''}{named}{sign}{self.to}"


class Measure(Quantity):
    """A quantity with the smallest effect of interest, in its unit, and the reason for that."""

    smallest: Annotated[float, Field(gt=0)]
    reason: Annotated[str, Field(min_length=1)]


class Group(Frozen):
    """Maps that are averaged image by image: of every pair of the layers, by label, and levels.

    Attributes:
        model, layers, levels: of the maps.
        method: whose maps; '' for the run's main one.
        rows: of a measure's table, the rows that count here, beside those of the measure.
    """

    model: str
    layers: tuple[str, ...]
    levels: tuple[Annotated[int, BeforeValidator(_level)], ...]
    method: str = ""
    rows: dict[str, str | float] = {}

    @property
    def name(self) -> str:
        """The group in words."""
        levels = [] if self.levels == (HIGHEST,) else [f"{', '.join(map(str, self.levels))} %"]
        return " at ".join([" and ".join(self.layers) or self.model, *levels])


class Part(Frozen):
    """A number that should lie on one side of 0, by the smallest effect of its measure or more.

    Attributes:
        says: what is claimed, in words.
        measure: the key of what is compared.
        compare: `value` (of one group), `difference` (the first group less the second), `trend` (the change of the
            fitted line from the first group to the last); of test sizes `change` (what the first model gains or loses
            against its training size, less what the second does) and `least` (the smallest difference of the two).
        side: 1 where the claim says above 0, -1 below.
        groups: what is compared.
        along: of a trend with one group: its layers, or its levels, are the groups in order.
        factors: of test sizes, as multiples of the training's.
        decides: False for what is shown beside the claim.
    """

    says: str
    measure: str
    compare: Literal["value", "difference", "trend", "change", "least"]
    side: Literal[1, -1]
    groups: tuple[Group, ...]
    along: Literal["", "layers", "levels"] = ""
    factors: tuple[float, ...] = ()
    decides: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Part:
        number = len(self.ordered)
        if not {"value": number == 1, "trend": number > 2}.get(self.compare, number == 2):
            raise ValueError(f"'{self.says}': '{self.compare}' does not go with {number} groups")
        if bool(self.factors) != (self.compare in ("change", "least")):
            raise ValueError(f"'{self.says}': sizes belong to 'change' and 'least', and to these alone")
        return self

    @property
    def ordered(self) -> tuple[Group, ...]:
        """The groups that are compared, in their order."""
        if not self.along:
            return self.groups
        return tuple(
            group.model_copy(update={self.along: (value,)})
            for group in self.groups
            for value in getattr(group, self.along)
        )

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose maps are compared."""
        return tuple(dict.fromkeys(group.model for group in self.groups))


class Claim(Frozen):
    """A claim, and the parts whose mean decides on it.

    Attributes:
        id, sentence: its number, and what it says, in our words.
        source: who claims it, where it is not the paper of the file's head.
        seeds: the trainings that are planned for it.
        power: the chance to support it at twice its smallest effect with these; None where nobody knows.
        random: what the parts are a sample of, as 'block', where others could stand for them; '' where they are all.
        parts: what is measured.
    """

    id: str
    sentence: str
    source: str = ""
    seeds: Annotated[int, Field(ge=1)]
    power: Annotated[float, Field(ge=0, le=1)] | None = None
    random: str = ""
    parts: tuple[Part, ...]

    @property
    def underpowered(self) -> bool:
        """Whether it would likely stay undecided were it true at twice its smallest effect."""
        return self.power is not None and self.power < ENOUGH_POWER

    @property
    def deciding(self) -> tuple[Part, ...]:
        """The parts that decide."""
        return tuple(part for part in self.parts if part.decides)


class Rule(Frozen):
    """What holds for all verdicts.

    Attributes:
        confidence: of the intervals.
        images, seeds: that a verdict takes, at least.
        agreement: share of the specifications that a verdict should have; below it, it says so.
        controls: methods that know nothing of the network, or all of the mask: a claim that they pass says nothing.
    """

    confidence: Annotated[float, Field(gt=0, lt=1)]
    images: int
    seeds: int
    agreement: float
    controls: tuple[str, ...]


class Specifications(Frozen):
    """Choices that could as well have been made: methods, and quantities of the same construct, a measure."""

    methods: tuple[str, ...]
    measures: dict[str, tuple[Quantity, ...]]


class Registration(Frozen):
    """The file.

    Attributes:
        name, date: of the registration.
        seen: which scores had been seen before.
        seeds: the trainings of the study that it is for.
        rule, measures, claims, specifications: as above.
        sha256: of the file.
    """

    name: str
    date: dt.date
    seen: str
    seeds: tuple[int, ...]
    rule: Rule
    measures: dict[str, Measure]
    claims: tuple[Claim, ...]
    specifications: Specifications
    sha256: str = ""

    @model_validator(mode="after")
    def _known(self) -> Registration:
        asked = [part.measure for claim in self.claims for part in claim.parts] + list(self.specifications.measures)
        if unknown := sorted(set(asked) - set(self.measures)):
            raise ValueError(f"measures {', '.join(unknown)} are not described: known are {', '.join(self.measures)}")
        return self

    def smallest(self, part: Part) -> float:
        """Return the smallest effect of interest of a part, in its measure's unit."""
        return self.measures[part.measure].smallest

    @property
    def labels(self) -> frozenset[str]:
        """The layers that any claim is about, by their labels."""
        return frozenset(
            name for claim in self.claims for part in claim.parts for group in part.groups for name in group.layers
        )

    def about_maps(self, claim: Claim) -> bool:
        """Return whether all that decides on a claim is measured of maps, so that other maps can be put to it."""
        return not any(part.factors or self.measures[part.measure].table for part in claim.deciding)

    def quantities_of(self, measure: str) -> tuple[Quantity, ...]:
        """Return what could be taken for a measure, the registered one first."""
        return self.specifications.measures.get(measure, (self.measures[measure],))

    def alternatives(self, claim: Claim) -> Iterator[dict[str, Quantity]]:
        """Yield every choice of a quantity for each measure of a claim, the registered one first."""
        names = list(dict.fromkeys(part.measure for part in claim.deciding))
        for chosen in product(*map(self.quantities_of, names)):
            yield dict(zip(names, chosen, strict=True))

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is measured of maps: as registered, and what could as well have been taken."""
        every = (*self.measures.values(), *(one for ones in self.specifications.measures.values() for one in ones))
        return tuple(one for one in every if not one.table)

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics of maps that claims are judged by."""
        return frozenset(one.metric for one in self.quantities)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose maps are compared, tried or referred to, beside a run's main one."""
        return tuple(dict.fromkeys([*self.specifications.methods, *self.references]))

    @property
    def references(self) -> tuple[str, ...]:
        """The methods that the main one's maps are judged against: the controls, and those that quantities refer to."""
        return tuple(dict.fromkeys([*self.rule.controls, *(one.to for one in self.quantities if one.to)]))

    def choices(self, table: str) -> tuple[Mapping[str, str | float], ...]:
        """Return which rows of a table beside the scores claims are judged by: values by column, any of which count."""
        out: list[Mapping[str, str | float]] = []
        for part in (part for claim in self.claims for part in claim.parts):
            measure = self.measures[part.measure]
            if measure.table == table:
                out += [{**measure.rows, **group.rows} for group in part.groups]
                out += [measure.ranked_with] if measure.ranked_with else []
        return tuple(one for i, one in enumerate(out) if one not in out[:i])

    @property
    def families(self) -> frozenset[str]:
        """The models that claims are about."""
        return frozenset(group.model for claim in self.claims for part in claim.parts for group in part.groups)

    def layers(self, model: str) -> frozenset[str]:
        """Return the labels of a model's layers whose maps claims are about."""
        claims = [claim for claim in self.claims if self.about_maps(claim)]
        groups = [group for claim in claims for part in claim.parts for group in part.groups if group.model == model]
        return frozenset(label for group in groups for label in group.layers)


def read(text: str) -> Registration:
    """Read a registration; `{each}` in a part stands for one part for each entry of its `each`.

    Raises:
        ValueError: it is no TOML, or not as `Registration` describes.
    """
    values = tomllib.loads(text)
    values["claims"] = [
        {**claim, "id": key, "parts": [one for part in claim["parts"] for one in _each(part)]}
        for key, claim in values["claims"].items()
    ]
    return Registration.model_validate({**values, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def _each(part: dict[str, Any]) -> list[dict[str, Any]]:
    values = part.pop("each", [""])
    return [_filled(part, str(value)) for value in values]


def _filled(value: Any, each: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, each) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, each) for inner in value]
    return value.replace(EACH, each) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def registered() -> Registration:
    """Return the registration in force."""
    return read(FILE.read_text(encoding="utf-8"))
