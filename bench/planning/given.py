"""The section [networks.NAME] of a profile: a network that is there already, and its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from bench.planning.sections import Limit, Settings, Value, distinct

MOST_LAYERS = 24
"""Layers of a network that are probed unless told: as many as a figure shows."""
MOST_WEIGHTS = 99
"""Files of weights of one network; each is a level."""
NUMBER = "{n}"
"""In the name of levels what stands for the number in a file's name."""
WORD = re.compile(r"[^\W\d_]+")
ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".zip", ".safetensors")


def _listed(value: Any) -> Any:
    """Take one text for a list of one, and a list for the tuple that it is checked as."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Network(Settings):
    """A network that is there already; see docs/own-network.md.

    `source` says how it is built: `FILE.py:FUNCTION`, `package.module:FUNCTION`, `torchvision:NAME`, `hf:FOLDER`,
    `smp:CLASS`, a network of segcam's (`timm_unet:resnet18`), `onnx:FILE`, or a checkpoint that segcam wrote, with
    `arguments`. `weights` are files, each a level; `levels` are their names, or one such as 'epoch {n}' with the number
    in the file's name.

    `classes` names what the network tells apart, where it does not say so itself, and `explained` those of them that
    are the class explained, where they are called otherwise. `output` is what its numbers mean; unless given that is
    found out. `element` is which part of what the network returns is its output: a key, an index, a path such as
    'aux.0'. `inputs` says how it takes images: mean, std, range, order, size, multiple.

    `layers` are paths or patterns; of more than `most_layers` that give a map some stand for all ('all' takes them).
    """

    source: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Value | None] = Field(default_factory=dict)
    weights: Texts = ()
    prefix: str | None = None
    ignore: Texts = ()
    levels: Texts = ()
    classes: Texts = ()
    explained: Texts = ()
    output: Literal["logits", "probabilities", "log-probabilities", "multilabel", "multilabel-probabilities"] | None = (
        None
    )
    element: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    layers: Annotated[Texts, Field(min_length=1)] = ("*",)
    most_layers: Limit = MOST_LAYERS
    label: str = ""

    _once = field_validator("weights", "levels", "ignore", "classes", "explained", "layers")(distinct)

    @field_validator("weights")
    @classmethod
    def _few(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) > MOST_WEIGHTS:
            raise ValueError(f"{len(values)} files of weights: at most {MOST_WEIGHTS} are levels of one network")
        return values

    @field_validator("levels")
    @classmethod
    def _named(cls, values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """See that there is a name for each file of weights."""
        if "weights" in info.data:  # else they are wrong themselves
            level_names(info.data["weights"], values)
        return values

    def level_names(self) -> tuple[str, ...]:
        """Return the names of the levels, one for each file of weights."""
        return level_names(self.weights, self.levels)


def level_names(weights: Sequence[str], levels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the levels, one for each file of weights; of a network without any one for it as built.

    Raises:
        ValueError: there are more or fewer names than files, or a file's name has no number where one is asked for.

    >>> level_names(["e05.pt", "e10.pt"], ["epoch {n}"])
    ('epoch 5', 'epoch 10')
    """
    stems = [_stem(Path(file).name) for file in weights]
    if len(levels) == 1 and NUMBER in levels[0]:
        if not weights:
            raise ValueError("it asks for the number in a file's name, and there are no weights: name files of weights")
        numbers = _numbers(weights, levels[0])
        if without := [file for file, found in zip(weights, numbers, strict=True) if not found]:
            raise ValueError(f"it asks for the number in a file's name, and '{without[0]}' has none: name each level")
        names = tuple(levels[0].replace(NUMBER, str(int(found))) for found in numbers)
    elif levels:
        if len(levels) != max(1, len(weights)):
            raise ValueError(
                f"there are {len(levels)} names for {len(weights)} files of weights: give one for each, or one such as "
                f"'epoch {NUMBER}'"
            )
        names = tuple(levels)
    else:
        names = tuple(_short(stems)) or ("as built",)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two levels are called '{twice[0]}': name each of the files of weights with levels")
    return names


def in_order(weights: Sequence[str], levels: Sequence[str]) -> tuple[str, ...]:
    """Return files of weights by the numbers in their names where these tell them apart; else as they are given.

    >>> in_order(["e10.pt", "e5.pt"], []), in_order(["last.pt", "best.pt"], []), in_order(["b2", "a1"], ["{n}"])
    (('e5.pt', 'e10.pt'), ('last.pt', 'best.pt'), ('a1', 'b2'))
    """
    stems = [_stem(Path(file).name) for file in weights]
    if len(levels) == 1 and NUMBER in levels[0]:
        keys = [[int(number)] if number else [] for number in _numbers(weights, levels[0])]
    elif not levels and len({re.sub(r"\d+", "", stem) for stem in stems}) == 1:
        keys = [list(map(int, re.findall(r"\d+", stem))) for stem in stems]
    else:
        return tuple(weights)
    return tuple(file for _, file in sorted(zip(keys, weights, strict=True), key=lambda pair: pair[0]))


def _numbers(weights: Sequence[str], pattern: str) -> list[str]:
    """Return the number that each file of weights gives a pattern such as 'epoch {n}'; '' where it has none."""
    stems = [_stem(Path(file).name) for file in weights]
    alike = len(set(stems)) < len(stems)  # then their folders tell them apart
    named = [Path(file).parent.name if alike else stem for file, stem in zip(weights, stems, strict=True)]
    word = ["", *WORD.findall(pattern.partition(NUMBER)[0])][-1]
    return [_number(word, name) for name in named]


def _number(word: str, stem: str) -> str:
    """Return the number behind a word in a name, or the last one; '' where there is none.

    >>> _number("epoch", "epoch=05-step=100"), _number("epoch", "e10")
    ('05', '10')
    """
    behind: list[str] = re.findall(rf"{re.escape(word)}[\W_]?(\d+)", stem, re.IGNORECASE) if word else []
    every: list[str] = re.findall(r"\d+", stem)
    return ["", *every, *behind[:1]][-1]


def _stem(name: str) -> str:
    """Return a file's name without what says that it holds weights.

    >>> _stem("unet.epoch10.pth.tar"), _stem("checkpoint-500")
    ('unet.epoch10', 'checkpoint-500')
    """
    stem = name
    while Path(stem).suffix in ENDINGS:
        stem = Path(stem).stem
    return stem


def _short(stems: list[str]) -> list[str]:
    """Return the stems of files; where these are alike, as in folders of one run each, with a number."""
    return stems if len(set(stems)) == len(stems) else [f"{stem} {n}" for n, stem in enumerate(stems, 1)]
