"""The report page in a real browser, from disk, without a network: sort, filter, link, print, hostile names."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode

import pandas as pd
import pytest

from tests.analyses.report.browsing import CLOSING, HOSTILE, ROWS, drawn, hostile_table, lightness, number

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def test_the_overview_says_the_verdicts_and_leads_to_all_sections(visit):
    page = visit()
    assert page.locator(".claim-sentence").inner_text() == HOSTILE
    assert page.locator(".claim .verdict").inner_text().endswith("undecided")
    assert page.locator(".claim-found").inner_text().startswith(CLOSING)
    assert page.locator(".seen img").first.evaluate("i => i.decode().then(() => i.naturalWidth)") > 100
    assert page.locator(".seen").bounding_box()["y"] < page.locator(".claims").bounding_box()["y"]
    assert page.locator("#view-overview .unreached").count() == 2
    for anchor in page.locator("nav a").all():
        anchor.click()
        name = anchor.get_attribute("href")[1:]
        page.locator(f"[data-view='{name}'].current h1").wait_for()
        assert page.locator(".view.current").count() == 1
        assert anchor.get_attribute("aria-current") == "page"
    assert page.locator("#view-results-levels figure img").evaluate("i => i.decode().then(() => i.naturalWidth)") > 100
    page.evaluate("location.hash = '#no-such-part'")
    page.locator("#page-note", has_text="no part called").wait_for()
    assert "\N{LEFT DOUBLE QUOTATION MARK}no-such-part" in page.locator("#page-note").inner_text()


def saved(page, name, path, table="numbers"):
    with page.expect_download() as download:
        page.locator(f"#table-{table} button", has_text=name).click()
    download.value.save_as(path)
    assert download.value.suggested_filename == f"{table}.csv"
    return pd.read_csv(path)


def test_a_long_table_sorts_filters_and_is_saved(visit, tmp_path):
    page = visit("#table-numbers")
    table = page.locator("#table-numbers .scroll > table")
    table.wait_for()
    assert table.locator("tbody tr").count() == 25
    assert table.locator("tbody td").first.inner_text() == f"& {CLOSING}"
    assert CLOSING in page.locator("#table-numbers .alike").inner_text()
    head = table.locator("thead th", has_text="gain")
    head.click()
    page.locator("#table-numbers th[aria-sort=ascending]", has_text="gain").wait_for()
    shown = [number(text) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert shown == sorted(shown)
    for way, sign in (("ascending", 1), ("descending", -1)):  # empty cells are last, whichever way
        table.locator("thead th", has_text="some").click()
        page.locator(f"#table-numbers th[aria-sort={way}]", has_text="some").wait_for()
        texts = table.locator("tbody td:last-child").all_inner_texts()
        assert texts[:3] == sorted(texts[:3], key=lambda text: sign * number(text))
        assert set(texts[3:]) == {""}
    head.click()
    page.locator("#table-numbers th[aria-sort=ascending]", has_text="gain").wait_for()
    head.locator("[role=button]").focus()
    page.keyboard.press("Enter")
    page.locator("#table-numbers th[aria-sort=descending]", has_text="gain").wait_for()
    page.locator("#table-numbers").get_by_label("Search").fill("onerror=alert 3999")
    page.locator("#table-numbers .dt-info", has_text="1 to 1 of 1 rows").wait_for()
    page.locator("#table-numbers").get_by_label("Search").fill("")
    page.locator("#table-numbers button", has_text="Filter").click()
    page.locator(".dtsp-searchPanes td", has_text=HOSTILE).locator("visible=true").first.click()
    page.locator("#table-numbers .dt-info", has_text="of 2,000 rows").wait_for()
    page.keyboard.press("Escape")
    assert set(table.locator("tbody td:first-child").all_inner_texts()) == {HOSTILE}
    frame = hostile_table().frame
    shown = frame.query("layer == @HOSTILE").sort_values("gain", ascending=False).drop(columns="same")
    found = saved(page, "Save as CSV", tmp_path / "shown.csv")
    assert found["gain"].is_monotonic_decreasing
    order = ["gain", "row"]
    pd.testing.assert_frame_equal(
        *(one.sort_values(order, ignore_index=True) for one in (found, shown)), check_dtype=False
    )
    pd.testing.assert_frame_equal(saved(page, "Save all", tmp_path / "all.csv"), frame, check_dtype=False)


def test_a_tables_state_is_in_the_address_and_comes_back_from_it(visit):
    page = visit("#table-scores")
    table = page.locator("#table-scores .scroll > table")
    table.wait_for()
    page.locator("#table-scores").get_by_label("Search").fill('unet grad_cam "90 %"')
    table.locator("thead th", has_text="Energy gain").click()
    page.wait_for_function("() => location.hash.includes('order=energy_gain.asc')")
    page.locator("#table-scores button", has_text="Filter").click()
    page.locator(".dtsp-searchPanes td", has_text="Encoder 1_1").locator("visible=true").first.click()
    page.wait_for_function("() => location.hash.includes('in.layer=')")
    page.keyboard.press("Escape")
    kept = page.url
    assert set(parse_qs(kept.partition("?")[2])) == {"search", "in.layer", "order"}
    rows = table.locator("tbody tr").all_inner_texts()
    assert len(rows) == 1
    assert "U-Net" in rows[0]
    again = visit(kept[kept.index("#") :])
    table = again.locator("#table-scores .scroll > table")
    table.wait_for()
    assert table.locator("tbody tr").all_inner_texts() == rows
    assert again.locator("#table-scores button", has_text="Filter (1)").is_visible()
    again.evaluate("location.hash = '#table-scores?columns=energy_gain'")
    api.expect(table.locator("thead th").nth(1)).to_contain_text("Energy gain")
    assert table.locator("thead th").count() == 2


def test_rows_lead_to_their_maps_and_heads_say_what_they_mean(visit, tmp_path):
    page = visit(f"#table-scores?{urlencode({'in.model': HOSTILE, 'search': 'Encoder 1_2'})}")
    table = page.locator("#table-scores .scroll > table")
    table.wait_for()
    head = table.locator("thead th", has_text="Energy gain")
    assert "95 % interval" in head.get_attribute("title")
    page.locator("#table-scores summary", has_text="What the columns mean").click()
    assert page.locator("#table-scores .meanings dd").first.is_visible()
    shown = saved(page, "Save as CSV", tmp_path / "shown.csv", "scores")
    assert list(shown)[-3:] == ["Energy gain", "Energy gain, lower end", "Energy gain, upper end"]
    assert set(shown["layer"]) == {"Encoder 1_2"}
    table.locator("tbody a", has_text="maps").first.click()
    state = drawn(page, model=HOSTILE, method="grad_cam")
    assert state["layer"] == "Encoder 1_2"


def test_heads_of_a_long_table_stay_in_sight(visit):
    page = visit("#table-numbers", viewport={"width": 1280, "height": 500})
    frame = page.locator("#table-numbers .scroll")
    frame.wait_for()
    frame.evaluate("e => { e.scrollTop = e.scrollHeight; }")
    assert frame.evaluate("e => e.scrollTop") > 50
    top = frame.bounding_box()["y"]
    head = frame.locator("thead th").first
    assert head.bounding_box()["y"] == pytest.approx(top, abs=2)
    page.evaluate("by => scrollBy(0, by)", top + 100)
    bar = page.locator(".top").bounding_box()["height"]
    assert frame.bounding_box()["y"] < bar - 50
    page.wait_for_function(f"() => document.querySelector('.current thead th').getBoundingClientRect().y > {bar} - 2")
    assert head.bounding_box()["y"] == pytest.approx(bar, abs=2)


def test_all_rows_and_columns_are_printed_and_afterwards_all_is_as_before(visit):
    page = visit("#table-numbers?page=2")
    table = page.locator("#table-numbers .scroll > table")
    table.wait_for()
    first = table.locator("tbody tr").first.inner_text()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert table.locator("tbody tr").count() == ROWS
    assert page.locator("#table-numbers .caption p").is_visible()
    assert page.locator("#table-numbers .dt-buttons").is_hidden()
    page.set_viewport_size({"width": 1000, "height": 700})  # a landscape page
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert table.locator("tbody tr").count() == 25
    assert table.locator("tbody tr").first.inner_text() == first
    assert page.url.endswith("?page=2")


def test_everything_is_one_page_for_the_printer(visit):
    page = visit("#everything")
    page.locator("#everything[aria-busy=false]").wait_for()
    assert page.locator(".view.current").count() == page.locator(".view").count() - 2  # but for atlas and scatter
    assert page.locator("#table-claims tbody tr").count() == 1
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#table-numbers tbody tr").count() == 200
    assert page.locator("#table-numbers").get_attribute("data-cut") == "The first 200 of 4,000 rows."
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.locator("nav a", has_text="Overview").click()
    api.expect(page.locator(".view.current")).to_have_count(1)


def test_light_and_dark_follow_the_system_and_the_choice(visit):
    assert lightness(visit(color_scheme="light").locator("body"), "backgroundColor") > 200
    page = visit("#table-numbers", color_scheme="dark")
    assert lightness(page.locator("body"), "backgroundColor") < 60
    cell = page.locator("#table-numbers tbody td").first
    cell.wait_for()
    assert lightness(cell, "color") > 150
    page.locator("#theme").select_option("light")
    assert lightness(page.locator("body"), "backgroundColor") > 200
    page.reload()
    assert lightness(page.locator("body"), "backgroundColor") > 200


def test_paper_is_light_in_the_dark(visit):
    page = visit("#table-numbers", color_scheme="dark")
    cell = page.locator("#table-numbers tbody td").first
    cell.wait_for()
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("() => document.documentElement.classList.contains('light')")
    for place in (page.locator("#title-overview"), cell):
        assert lightness(place, "color") < 90


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anyone_out(visit, scheme):
    """Axe's rules for those who see, hear or point otherwise."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = visit(color_scheme=scheme)
    views = page.evaluate("[...document.querySelectorAll('.view')].map(view => `#${view.dataset.view}`)")
    for address in (*views, "#everything"):
        page.evaluate("address => { location.hash = address; }", address)
        if address == "#gallery":
            drawn(page, level=90)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.current [data-table]')].every("
            "article => article.querySelector('.dt-info'))"
        )
        found = axe.run(page, options={"preload": False}).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], address


@pytest.mark.parametrize("address", ["", "#gallery", "#scatter", "#results-levels", "#run"])
def test_nothing_is_wider_than_a_narrow_window(visit, address):
    page = visit(address, viewport={"width": 400, "height": 800})
    if address == "#gallery":
        drawn(page, level=90)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#menu").click()
    page.locator("nav a", has_text="Overview").click()
    page.locator("#view-overview.current").wait_for()


@pytest.mark.parametrize(("address", "scrolls"), [("#results-claims", True), ("#results-levels", False)])
def test_in_a_narrow_window_a_wide_figure_keeps_its_size_and_scrolls(visit, address, scrolls):
    """One of a single column fits."""
    page = visit(address, viewport={"width": 400, "height": 800})
    sizes = page.evaluate(
        "[...document.querySelectorAll('.current .paper')].map(paper => {"
        " const image = paper.querySelector('img');"
        " return [image.clientWidth, paper.scrollWidth, paper.clientWidth]; })"
    )
    assert sizes
    for shown, inside, seen in sizes:
        assert (shown >= 640) == (inside > seen) == scrolls


def test_every_control_has_a_name(visit):
    page = visit("#gallery")
    drawn(page, level=90)
    nameless = """() => [...document.querySelectorAll('button, select, input')].filter(e =>
      !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []
