"""The site in a real browser, from disk, without a network."""

from __future__ import annotations

import pytest


@pytest.fixture
def visit(browser, written):
    """Return a function that opens the index; afterwards nothing may have been said, asked or failed."""
    opened, said = [], []

    def go(address="", **settings):
        context = browser.new_context(offline=True, accept_downloads=True, **settings)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url[:120]}"))
        page.goto((written / "index.html").as_uri() + address)
        page.locator(".board .dt-buttons").first.wait_for()
        return page

    yield go
    for context in opened:
        context.close()
    assert said == []


def methods(page):
    return page.locator(".board table").first.locator("tbody th").all_inner_texts()


def test_methods_are_sorted_by_their_heads_and_saved(visit, tmp_path):
    page = visit()
    first = methods(page)
    head = page.locator(".board table").first.locator("thead th", has_text="Sanity")
    head.click()
    head.and_(page.locator("[aria-sort]")).wait_for()  # rows are drawn when the click's event is done, and so is this
    assert methods(page) != first
    assert methods(page)[0] == first[1]  # Grad-CAM's maps are least alike; those without a value come last
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").first.click()
    text = (saved.value.path()).read_text()
    assert "0.80 [0.70, 0.90]" in text
    assert "fails" in text


def test_a_study_is_opened_and_leads_back(visit):
    page = visit()
    page.locator(".card h3 a", has_text="evidence").click()
    page.locator("#view-overview.current").wait_for()
    assert "known_evidence_scene" in page.locator(".seen img").first.get_attribute("src")
    page.locator("#studies a", has_text="timing").click()
    page.wait_for_url("**/timing/report/index.html")
    page.locator("#studies a", has_text="All studies").click()
    page.wait_for_url("**/index.html")
    page.locator(".board .dt-buttons").first.wait_for()


def test_paper_shows_what_is_folded(visit):
    page = visit()
    folded = page.locator(".board details table").first
    assert not folded.is_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert folded.is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not folded.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anyone_out(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = visit(color_scheme=scheme)
    found = axe.run(page, options={"preload": False}).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("width", [400, 1024])
def test_nothing_is_wider_than_the_window(visit, width):
    page = visit(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
