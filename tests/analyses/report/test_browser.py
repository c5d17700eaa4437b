"""The report page in a real browser, from disk, without a network: choose, slide, sort, link, keys, hostile names."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import numpy as np
import pandas as pd
import pytest

from analyses import report, run
from analyses.artifacts import Figure, Section, Table
from analyses.plots import overlay
from segcam.draw import display
from segcam.draw.display import Display
from tests.analyses.report.test_page import contrast

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOSTILE = "<img src=x onerror=alert(1)>"
CLOSING = "</script><script>alert(2)</script>"
IMAGES = ("cat_1", HOSTILE, CLOSING)
MODELS = ("unet", HOSTILE)
ROWS = 4000
COMPARED = 1
"""A layer of which both methods have a score."""


def found_browser(playwright):
    system = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    own = playwright.chromium.executable_path
    return system or (own if Path(own).exists() else None)


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


@pytest.fixture(scope="module")
def page_file(make_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = make_in(
        folder / "run",
        images=IMAGES,
        gallery=3,
        models=MODELS,
        classes=("back", f"{HOSTILE} & {CLOSING}"),
        methods=("grad_cam", "random", HOSTILE),
        targets=("best_pixel:logit", "predicted:logit"),
        points=("conv", "head"),
        levels=(30, 50, 90),
        seeds=(0, 1),
        unreached=frozenset({(0, 50)}),
        stages=2,
        size=24,
    )
    levels = [item.drawn(["png"], 60) if isinstance(item, Figure) else item for item in run(results, ["levels"])]
    sections = [
        Section("levels", f"Levels {HOSTILE}", levels),
        Section(CLOSING, CLOSING, [hostile_table(), score_table()]),
        Section("claims", "Claims", [claims()]),
    ]
    for name, content in report.build(results, sections):
        path = folder / "page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return (folder / "page" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        path = found_browser(playwright)
        if path is None:
            pytest.skip(f"no browser found: none of {', '.join(BROWSERS)}, nor playwright's own")
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, page_file):
    """Return a function that opens the page at an address; afterwards nothing may have been said, asked or fetched."""
    opened, said = [], []

    def go(address="", **settings):
        settings = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True} | settings
        context = browser.new_context(offline=True, **settings)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or said.append(f"asked: {r.url}"))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url[:120]}"))
        page.goto(page_file + address)
        return page

    yield go
    for context in opened:
        context.close()
    assert said == []


def link(**state):
    return f"#gallery?{urlencode(state)}"


@pytest.fixture
def show(visit):
    """Return a function that opens the gallery at a state, and waits until it is drawn."""

    def go(**state):
        page = visit(link(**state))
        drawn(page, **state)
        return page

    return go


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


def test_the_gallery_follows_its_controls_and_its_level_slider(visit):
    page = visit("#gallery")
    drawn(page, level=90, seed=0)
    layers = page.locator("#maps .tile").count()
    assert layers == 6
    first = page.locator("#maps canvas").first
    before = picture(first)
    page.locator("#seed").select_option("1")
    page.locator("#level").fill("1")
    drawn(page, level=50, seed=1)
    assert (picture(first) != before).any()
    assert page.locator("#level-value").inner_text() == "50 %"
    for point, tiles in (("relu", 1), ("all", layers + 1)):
        page.locator("#point").select_option(point)
        drawn(page, point=point)
        assert page.locator("#maps .tile").count() == tiles
    choices = {"method": HOSTILE, "target": "predicted:logit", "metric": "spread"}
    for name, value in choices.items():
        page.locator(f"#{name}").select_option(value)
    assert drawn(page, **choices)["image"] == "cat_1"
    page.locator("#image-1").check(force=True)
    drawn(page, image=HOSTILE)
    page.locator("#model").select_option(HOSTILE)
    drawn(page, model=HOSTILE)
    assert HOSTILE in page.locator("#shown").inner_text()
    page.locator("#outline").uncheck()
    drawn(page, outline=0)
    assert page.locator("#maps svg .outline-line").first.get_attribute("d") == ""


def test_opacity_lets_the_dimmed_photograph_through(show):
    page = show(level=90)
    found = []
    for value in (0, 50, 100):
        page.locator("#opacity").fill(str(value))
        drawn(page, opacity=value) if value < 100 else drawn(page, level=90)
        found.append(picture(page.locator("#maps canvas").first).astype(float))
    assert all((shown[..., 3] == 255).all() for shown in found)
    assert found[0].max(axis=(0, 1))[0] < 0.45 * 255 + 1
    assert (found[0][..., 0] == found[0][..., 2]).all(), "grey"
    np.testing.assert_allclose(found[1], (found[0] + found[2]) / 2, atol=1.01)


def blob(n=12, depth=3):
    """The map of `make` of the fourth layer, at 90 %."""
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    hill = np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - 0.5) / 0.3) ** 2)
    return np.maximum(hill * 90 / 90 + 0.4 * np.sin((3 + depth) * x) * np.sin(9 * y) * 0.1, 0)


def test_maps_have_the_colours_of_the_printed_figures(show):
    page = show(level=90, ground="none")
    canvas = page.locator("#maps .tile").nth(3).locator("canvas")
    for raw in (False, True):
        page.locator("#raw").set_checked(raw)
        drawn(page, **({"raw": 1} if raw else {"ground": "none"}))
        shown = picture(canvas)[..., :3] / 255
        size = shown.shape[:2]
        values = Display.of(blob(), raw=raw).values(overlay.upsampled(blob(), size))
        wanted = display.blended(values, display.dimmed(None, size))
        assert np.abs(shown - wanted).mean() < 0.006, "but for the steps that maps are kept in"
        assert np.abs(shown - wanted).max() < 0.06
    assert page.locator("#colour-end").inner_text() == "maximum of each map"


def test_the_predicted_mask_is_tinted_on_the_image_and_on_no_map(show):
    page = show(level=90)
    assert page.locator("#plain .predicted").get_attribute("d").startswith("M")
    assert not any(path.get_attribute("d") for path in page.locator("#maps .predicted").all())
    assert page.locator("#key-predicted").is_visible()
    page.locator("#outline").uncheck()
    drawn(page, outline=0)
    assert page.locator("#plain .predicted").get_attribute("d") == ""


def test_two_methods_side_by_side(show):
    page = show(seed=1, method="grad_cam", **{"with": "random"})
    first = page.locator("#maps .tile").nth(COMPARED)
    assert first.locator("canvas").count() == 2
    scores = [number(text) for text in first.locator(".score").all_inner_texts()]
    change = first.locator(".change").inner_text().partition(" ")[2]
    assert number(change) == pytest.approx(scores[1] - scores[0], abs=0.011)
    page.keyboard.press("x")
    drawn(page, method="random", **{"with": "grad_cam"})
    page.locator("#method").select_option("grad_cam")  # the other one: they change places
    drawn(page, method="grad_cam", **{"with": "random"})
    page.keyboard.press("c")
    api.expect(first.locator("canvas")).to_have_count(1)


def test_links_are_restored_and_history_goes_back(visit):
    wanted = {"image": CLOSING, "model": HOSTILE, "seed": "1", "level": "50", "target": "predicted:logit"}
    wanted |= {"method": HOSTILE, "metric": "spread", "opacity": "35"}
    page = visit(link(**wanted))
    found = drawn(page, level=50)
    assert {name: found[name] for name in wanted} == wanted
    assert CLOSING in page.locator("#checkpoint").inner_text()
    page.locator("#method").select_option("grad_cam")
    drawn(page, method="grad_cam")
    page.go_back()
    drawn(page, method=HOSTILE)
    assert page.locator("#method").input_value() == HOSTILE
    page.go_forward()
    drawn(page, method="grad_cam")
    page.evaluate("address => { location.hash = address; }", link(level=77, method="nothing", image=HOSTILE))
    page.locator("#gallery-note", has_text="there is no level").wait_for()
    assert drawn(page, image=HOSTILE)["method"] == "grad_cam"
    page.locator("#copy").click()  # the link is to what is shown, not to what was asked for
    page.wait_for_function("() => location.hash === document.getElementById('maps').dataset.drawn")


def test_a_sliding_level_does_not_call_back_from_another_part(visit):
    page = visit("#gallery")
    drawn(page, level=90)
    slide = "() => { const l = document.getElementById('level'); l.value = 0; l.dispatchEvent(new Event('input')); }"
    page.evaluate(f"({slide})(); location.hash = '#overview';")
    page.wait_for_timeout(500)  # longer than the address waits for a slider
    assert page.url.endswith("#overview")
    assert page.locator("#view-overview.current").count() == 1


def test_what_was_asked_for_last_is_shown_even_where_an_earlier_file_is_missing(show):
    page = show(seed=1, level=90)
    page.evaluate("""() => {
      const { maps, gallery, state } = segcam, open = maps.open;
      let first = true;
      maps.open = async (name) => {
        if (!first) return open(name);
        first = false;
        await new Promise((done) => setTimeout(done, 300));
        throw new Error("too late");
      };
    }""")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(600)
    assert page.locator("#gallery-problem").is_hidden()
    assert page.locator("#maps canvas").count() == 6


def test_another_model_is_shown_with_a_seed_that_has_maps(show):
    page = show(image="cat_1")
    index = """{
      models: [{ name: "one", layers: [] }, { name: "two", layers: [] }],
      checkpoints: [
        { model: "one", seed: 0, level: 90, files: { cat_1: "a" } },
        { model: "two", seed: 0, level: 90, files: {} },
        { model: "two", seed: 1, level: 90, files: { cat_1: "b" } },
      ],
    }"""
    state = '{ model: "two", seed: 0, level: 90, point: "all", layer: "" }'
    assert page.evaluate(f"segcam.state.fitting({index}, {state}, true).seed") == 1
    assert page.evaluate(f"segcam.state.fitting({index}, {state}).seed") == 0  # asked for by its number


def test_an_unreached_level_says_so(show):
    page = show(seed=0, level=50)
    page.locator("#gallery-problem", has_text="Level 50 % was not reached").wait_for()
    assert page.locator("#maps canvas").count() == 0
    page.keyboard.press("ArrowUp")
    drawn(page, level=90)
    assert page.locator("#gallery-problem").is_hidden()
    assert page.locator("#maps canvas").count() == 6


def test_keys_step_and_leave_controls_alone(show):
    page = show(image="cat_1", level=90, seed=1)
    for keys, state in (
        (("ArrowRight",), {"image": HOSTILE}),
        (("ArrowLeft", "ArrowLeft"), {"image": CLOSING}),
        (("ArrowDown",), {"level": 50}),
        (("m",), {"method": "random"}),
        (("Shift+M",), {"method": "grad_cam"}),
        (("t",), {"target": "predicted:logit"}),
    ):
        for name in keys:
            page.keyboard.press(name)
        drawn(page, **state)
    page.keyboard.press("?")
    page.locator("#help[open]").wait_for()
    page.keyboard.press("t")
    page.keyboard.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    page.locator("#metric").focus()
    page.keyboard.press("t")  # a list's own
    page.locator("#level").focus()
    page.keyboard.press("ArrowUp")  # the slider's own
    assert drawn(page, level=90)["target"] == "predicted:logit"


def test_a_map_opens_large_with_its_scores_and_levels(show):
    page = show(seed=1, level=90)
    page.locator("#maps .open").first.focus()
    page.keyboard.press("Enter")
    page.locator("#detail[open] .strip figure").nth(2).wait_for()
    assert "layer=Encoder+1_1" in page.url
    assert page.locator("#detail-scores tbody tr").count() == 7
    page.locator("#detail .pick").nth(1).click()
    drawn(page, level=50, layer="Encoder 1_1")
    page.keyboard.press("ArrowRight")
    drawn(page, level=50, layer="Encoder 1_2")
    page.keyboard.press("Escape")
    page.locator("#detail").wait_for(state="hidden")
    page.wait_for_function("() => !location.hash.includes('layer=')")


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
    assert frame.locator("thead th").first.bounding_box()["y"] == pytest.approx(top, abs=2)


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
    assert page.locator(".view.current").count() == page.locator(".view").count() - 1  # but for the gallery
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


@pytest.mark.parametrize("address", ["", "#gallery", "#results-levels", "#run"])
def test_nothing_is_wider_than_a_narrow_window(visit, address):
    page = visit(address, viewport={"width": 400, "height": 800})
    if address == "#gallery":
        drawn(page, level=90)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#menu").click()
    page.locator("nav a", has_text="Overview").click()
    page.locator("#view-overview.current").wait_for()


def test_every_control_has_a_name(visit):
    page = visit("#gallery")
    drawn(page, level=90)
    nameless = """() => [...document.querySelectorAll('button, select, input')].filter(e =>
      !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []
