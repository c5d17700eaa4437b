"""The report page of a made-up run in a real browser, from disk, without a network: what its tests share."""

from __future__ import annotations

import io
import itertools
import re
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from PIL import Image

from analyses.artifacts import Caption, Drawn, Table
from tests.analyses.report.test_page import contrast

HOSTILE = "<img src=x onerror=alert(1)>"
CLOSING = "</script><script>alert(2)</script>"
IMAGES = ("cat_1", HOSTILE, CLOSING)
FAR = ("far_4", "far_5", "far_6")
"""Images of which small maps alone are kept."""
MODELS = ("unet", HOSTILE)
ROWS = 4000


def hostile_table():
    rng = np.random.default_rng(0)
    kinds = [HOSTILE if number % 2 else f"& {CLOSING}" for number in range(ROWS)]
    frame = pd.DataFrame({"layer": kinds, "row": range(ROWS), "gain": rng.normal(size=ROWS).round(4)})
    frame["some"] = frame["gain"].where(frame["row"] < 3)  # most cells are empty
    frame["same"] = CLOSING
    return Table("numbers", frame, f"Numbers of {HOSTILE}. And {CLOSING} & more.")


def score_table():
    rows = [
        {
            "model": model,
            "level": level,
            "target": "best_pixel:logit",
            "method": method,
            "layer": layer,
            "energy_gain": g,
        }
        for g, (model, level, method, layer) in enumerate(
            itertools.product(MODELS, (30, 90), ("grad_cam",), ("Encoder 1_1", "Encoder 1_2"))
        )
    ]
    frame = pd.DataFrame(rows).astype({"energy_gain": float})
    frame = frame.assign(energy_gain_low=frame["energy_gain"] - 0.1, energy_gain_high=frame["energy_gain"] + 0.1)
    return Table("scores", frame, "Scores.")


def claims():
    row = contrast(sentence=HOSTILE, part=CLOSING, verdict="undecided", overall="undecided", overall_reason=CLOSING)
    return Table("claims", pd.DataFrame([row]), "Claims.")


def wide_figure():
    Image.new("RGB", (1300, 400), "white").save(buffer := io.BytesIO(), "png")
    return Drawn("wide", Caption("A figure of two columns.", "Of nothing."), {"png": buffer.getvalue()})


def link(**state):
    return f"#gallery?{urlencode(state)}"


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def lightness(element, what):
    """Return the mean of red, green and blue of a colour of an element, 0 to 255."""
    colour = element.evaluate(f"e => getComputedStyle(e).{what}")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def drawn(page, **state):
    """Wait until the gallery has drawn a state, and return it."""
    pattern = "".join(f"(?=.*[?&]{name}={re.escape(urlencode({'': value})[1:])}(&|$))" for name, value in state.items())
    wait = "pattern => new RegExp(pattern).test(document.getElementById('maps').dataset.drawn ?? '')"
    page.wait_for_function(wait, arg=pattern)
    query = "new URLSearchParams(document.getElementById('maps').dataset.drawn.split('?')[1])"
    return page.evaluate(f"Object.fromEntries({query})")


def picture(canvas):
    """Return what a canvas shows, (height, width, 4) in 0..255."""
    read = """c => {
      const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(c, 0, 0);
      return Array.from(copy.getImageData(0, 0, c.width, c.height).data);
    }"""
    width, height = canvas.evaluate("c => [c.width, c.height]")
    return np.array(canvas.evaluate(read)).reshape(height, width, 4)
