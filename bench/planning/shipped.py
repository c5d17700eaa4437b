"""The profiles that come with the package, by name; nothing of them is checked."""

from __future__ import annotations

import tomllib
from importlib.resources import files

FOLDER = files("bench") / "profiles"
DEFAULT = "quick"


def profiles() -> dict[str, str]:
    """Return the names of the profiles that come with the package, with a line on each."""
    texts = {
        path.name.removesuffix(".toml"): path.read_text(encoding="utf-8")
        for path in FOLDER.iterdir()
        if path.name.endswith(".toml")
    }
    return {name: tomllib.loads(text).get("summary", "") for name, text in sorted(texts.items())}
