"""The browser that tests of pages use: the system's, or else playwright's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NONE = f"no browser found: none of {', '.join(NAMES)}, nor playwright's own"


def launched(playwright: Any) -> Any:
    """Return the browser, launched; None where there is none."""
    own = playwright.chromium.executable_path
    path = next((found for name in NAMES if (found := shutil.which(name))), own if Path(own).exists() else None)
    if path is None:
        return None
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
