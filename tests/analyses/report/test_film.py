"""The film of a training in a real browser: a slider over its pictures, and a button that plays them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from analyses import report, run
from analyses.artifacts import Section
from tests.analyses.report.browsing import picture

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FILM = (1, 6, 25, 200)


@pytest.fixture
def film(make, browser, tmp_path):
    """The view of a film, on a page from disk without a network; afterwards nothing may have been said."""
    results = make(film=FILM, gallery=1, methods=("grad_cam",), levels=(90,), size=24, stages=2)
    drawn = [item.drawn(["png"], 60) for item in run(results, ["film"])]
    for name, content in report.build(results, [Section("film", "Film", drawn)]):
        path = tmp_path / "page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    context, said = browser.new_context(offline=True, viewport={"width": 400, "height": 900}), []
    page = context.new_page()
    page.set_default_timeout(8000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{(tmp_path / 'page' / 'index.html').as_uri()}#results-film")
    page.locator(".film canvas").wait_for()
    yield page
    context.close()
    assert said == []


def test_a_slider_goes_through_the_pictures(film):
    slider, said = film.locator(".film-controls input"), film.locator(".film-controls output")
    api.expect(said).to_have_text("4 of 4")
    seen = []
    for number in range(1, 5):
        slider.fill(str(number))
        api.expect(said).to_have_text(f"{number} of 4")
        seen.append(film.locator(".film canvas").screenshot())
    assert len(set(seen)) == 4
    assert film.evaluate("document.documentElement.scrollWidth") == 400
    slider.focus()
    film.keyboard.press("ArrowLeft")
    api.expect(said).to_have_text("3 of 4")


def test_the_last_picture_is_the_sharp_still_one(film):
    canvas = film.locator(".film canvas")
    at_rest, width = seen(canvas), canvas.evaluate("c => c.width")
    film.locator(".film-controls input").fill("3")
    on_the_way = seen(canvas)
    canvas.evaluate(
        """async canvas => { const still = new Image(); still.src = 'figures/film-unet.webp'; await still.decode();
           still.id = 'still'; still.style = 'display: block; width: 100%'; canvas.replaceWith(still); }"""
    )
    assert film.locator("#still").evaluate("i => i.naturalWidth") == width
    apart = [abs(seen(film.locator("#still")) - one).mean() for one in (at_rest, on_the_way)]
    assert apart[0] < 1 < apart[1]


def seen(place):
    return np.array(Image.open(io.BytesIO(place.screenshot())).convert("RGB")).astype(int)


def test_a_key_says_what_colours_are(film):
    key = film.locator("#view-results-film .key")
    assert "percentile of each map" in key.inner_text()
    colours = picture(key.locator("canvas"))[0, :, :3].sum(1)
    assert colours[0] < 30
    assert colours[-1] > 400


def test_it_plays_from_the_first_to_the_last_and_stops(film):
    said, play = film.locator(".film-controls output"), film.locator(".film-controls button")
    last = film.locator(".film canvas").screenshot()
    play.click()
    api.expect(play).to_have_text("Pause")
    api.expect(said).to_have_text("4 of 4")
    api.expect(play).to_have_text("Play")
    assert film.locator(".film canvas").screenshot() == last
    play.click()
    play.click()
    api.expect(play).to_have_text("Play")
    api.expect(said).not_to_have_text("4 of 4")
