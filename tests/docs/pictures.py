"""README's pictures that no run draws.

    python -m tests.docs.pictures page
    python -m tests.docs.pictures own-network --data-root DIR

write docs/pictures/NAME.webp. `page` is the atlas of the page in runs/quick, which `python -m bench run all` makes, in
the browser that the tests of pages use. `own-network` trains a U-Net with a pretrained encoder for 300 steps on the
photographs in DIR, some minutes, and explains scikit-image's cat.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

from segcam.explaining import explain
from tests import browsers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "runs" / "quick" / "report" / "index.html"
PICTURES = ROOT / "docs" / "pictures"
WIDE, HIGH = 1280, 1180
"""Of the window, in pixels."""
QUALITY = 80
TRAINED = ROOT / "runs" / "own-network"
NETWORK, STEPS = "timm_unet:tf_efficientnet_lite0", 300
DPI = 200


def page() -> Image.Image:
    """Return the atlas as it opens, when its maps are drawn."""
    if not PAGE.is_file():
        raise SystemExit(f"{PAGE} is missing: python -m bench run all makes it")
    with sync_playwright() as playwright:
        browser = browsers.launched(playwright)
        if browser is None:
            raise SystemExit(browsers.NONE)
        opened = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
        opened.goto(f"{PAGE.as_uri()}#gallery")
        opened.locator("#maps canvas:visible").first.wait_for()
        opened.wait_for_timeout(1500)  # maps are drawn as they come into view
        shown = opened.screenshot()
        browser.close()
    return Image.open(io.BytesIO(shown)).convert("RGB")


def own_network(root: Path) -> Image.Image:
    """Return `explained.show()` of the cat, for a network that is trained unless it was before."""
    settings = ["train.seeds=[0]", f'recipes."{NETWORK}".steps={STEPS}']
    subprocess.run(
        [sys.executable, "-m", "bench", "run", "train", "--profile", "pets", "--model", NETWORK, "--workers", "1"]
        + ["--data-root", str(root), "--out", str(TRAINED)]
        + [word for setting in settings for word in ("--set", setting)],
        cwd=ROOT,
        check=True,
    )
    weights = sorted((TRAINED / "checkpoints").rglob("*.safetensors"))[-1]
    explained = explain(str(weights), Path(data.__file__).with_name("chelsea.png"), class_id="pet")
    buffer = io.BytesIO()
    explained.show().savefig(buffer, format="png", dpi=DPI)
    return Image.open(buffer).convert("RGB")


def main() -> None:
    """Write the picture that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("page", "own-network"))
    parser.add_argument("--data-root", type=Path, help="the folder that holds oxford-iiit-pet")
    asked = parser.parse_args()
    if asked.name == "own-network" and asked.data_root is None:
        parser.error("own-network needs --data-root")
    picture = page() if asked.name == "page" else own_network(asked.data_root.resolve())
    picture.save(PICTURES / f"{asked.name}.webp", "webp", quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
