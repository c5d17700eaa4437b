"""The film of a training in a real browser: a slider over its pictures, and a button that plays them."""

from __future__ import annotations

import pytest

from analyses import report, run
from analyses.artifacts import Section

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
