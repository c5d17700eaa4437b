"""The picture of a page's atlas that README shows.

    python -m tests.docs.pictures

writes docs/pictures/page.webp from the page in results/quick, with the browser that the tests of pages use.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "results" / "quick" / "report" / "index.html"
PICTURE = ROOT / "docs" / "pictures" / "page.webp"
WIDE, HIGH = 1280, 1180
"""Of the window, in pixels."""
QUALITY = 80
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def picture() -> bytes:
    """Return the picture as WebP: the atlas as it opens, when its maps are drawn."""
    with sync_playwright() as playwright:
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        browser = playwright.chromium.launch(
            executable_path=found or playwright.chromium.executable_path, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
        page.goto(f"{PAGE.as_uri()}#gallery")
        page.locator("#maps canvas:visible").first.wait_for()
        page.wait_for_timeout(1500)  # maps are drawn as they come into view
        shown = page.screenshot()
        browser.close()
    buffer = io.BytesIO()
    Image.open(io.BytesIO(shown)).convert("RGB").save(buffer, "webp", quality=QUALITY, method=6)
    return buffer.getvalue()


if __name__ == "__main__":
    PICTURE.write_bytes(picture())
