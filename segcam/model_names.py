"""Names of models: an architecture, its variant after a colon, and what tells a training from others after an '@'."""

from __future__ import annotations

import re
from typing import NamedTuple


class Name(NamedTuple):
    """What a model's name says: the architecture, its variant, and how one training of it differs from another."""

    family: str
    variant: str = ""
    tag: str = ""


TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What may stand behind the '@' of a name."""


def parsed(name: str) -> Name:
    """Take a model's name apart; nothing is said of whether there is such a model.

    >>> parsed("segformer:b1@with-hints")
    Name(family='segformer', variant='b1', tag='with-hints')
    """
    base, _, tag = name.partition("@")
    family, _, variant = base.partition(":")
    return Name(family, variant, tag)
