"""The profiles that come with the package, by name; nothing of them is checked."""

from __future__ import annotations

import tomllib
from importlib.resources import files

FOLDER = files("bench") / "profiles"
DEFAULT = "quick"


def profiles() -> dict[str, str]:
    """Return the names of the profiles that come with the package, with a line on each."""
    names = sorted(path.name.removesuffix(".toml") for path in FOLDER.iterdir() if path.name.endswith(".toml"))
    return {name: tomllib.loads(text(name)).get("summary", "") for name in names}


def text(name: str) -> str:
    """Return a profile's file as it is."""
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
