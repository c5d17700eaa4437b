"""The scatter in a real browser: all images as dots, any two scores, a brush that lists, a click that opens maps."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import numpy as np
import pytest

from analyses.reading.image_facts import image_facts
from tests.analyses.report.browsing import FAR, HOSTILE, IMAGES, drawn, picture

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

STATE = {"model": "unet", "seed": 1, "level": 90}


def opened(visit, **state):
    page = visit(f"#scatter?{urlencode({**STATE, **state})}")
    page.wait_for_function("() => document.getElementById('scatter-plot').dataset.drawn")
    return page


def test_every_image_is_a_dot_where_its_scores_say(visit, pictured):
    state = {"x": "energy_gain", "x-layer": "Encoder 1_1", "y": "spread", "y-layer": "Encoder 2_1"}
    page = opened(visit, **state)
    frame = pictured.scores({"level": [90], "seed": [1], "model": ["unet"], "method": ["grad_cam"]})
    frame = frame[frame["target"] == "best_pixel:logit"].set_index(["layer", "image"])
    both = [frame.loc[state[f"{axis}-layer"]][state[axis]].rename(axis) for axis in "xy"]
    known = both[0].to_frame().join(both[1]).dropna()
    dots = page.locator("#scatter-plot .dot")
    assert dots.count() == len(known) > 3
    places = {
        label.partition(":x ")[0].partition(": x ")[0]: [float(dot.get_attribute(name)) for name in ("cx", "cy")]
        for dot in dots.all()
        if (label := dot.get_attribute("aria-label"))
    }
    at = np.array([places[str(image)] for image in known.index])
    assert np.corrcoef(at[:, 0], known["x"])[0, 1] > 0.9999
    assert np.corrcoef(at[:, 1], known["y"])[0, 1] < -0.9999
    assert page.locator("#scatter-gone").is_visible() == (len(known) < 6)
    page.locator("#scatter-x").select_option("iou")
    api.expect(page.locator("#scatter-plot .axis").first).to_have_text("IoU of the prediction")
    assert "x=iou" in page.url
    assert page.locator("#scatter-x-layer").is_hidden()


@pytest.mark.parametrize(
    ("fact", "label"),
    [
        ("dice", "Dice of the prediction"),
        ("area", "Area of the mask"),
        ("confidence", "Confidence of the prediction"),
        ("entropy", "Entropy of the prediction (nats)"),
    ],
)
def test_what_is_known_of_an_image_can_be_an_axis(visit, pictured, fact, label):
    page = opened(visit, x=fact, y="iou")
    api.expect(page.locator("#scatter-plot .axis").first).to_have_text(label)
    assert page.locator("#scatter-note").is_hidden()
    assert page.locator("#scatter-x-layer").is_hidden()
    frame = image_facts(pictured, "unet", 90, [1]).set_index("image")
    dots = page.locator("#scatter-plot .dot").all()
    assert len(dots) == 6
    x = [float(dot.get_attribute("cx")) for dot in dots]
    said = [dot.get_attribute("aria-label").rpartition(": x ")[2].partition(",")[0] for dot in dots]
    if fact == "area":
        return  # of the scores' own column, the same for all here
    assert np.corrcoef(np.sort(x), np.sort(frame[fact]))[0, 1] > 0.99  # of three digits
    shown = np.array([float(text.replace("\N{MINUS SIGN}", "-")) for text in said])
    assert np.sort(shown) == pytest.approx(np.sort(frame[fact]), abs=6e-3)


def test_a_brush_lists_the_maps_of_its_images(visit):
    page = opened(visit, x="iou", y="area")
    dots = page.locator("#scatter-plot .dot")
    assert dots.count() == 6
    boxes = [dot.bounding_box() for dot in dots.all()]
    left = min(box["x"] for box in boxes) - 12
    right = sorted(box["x"] for box in boxes)[2] + 12
    top, bottom = min(box["y"] for box in boxes) - 12, max(box["y"] for box in boxes) + 24
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=4)
    page.mouse.up()
    inside = [box for box in boxes if left < box["x"] + box["width"] / 2 < right]
    assert 0 < len(inside) < 6
    figures = page.locator("#scatter-list figure")
    api.expect(figures).to_have_count(len(inside))
    assert page.locator("#scatter-plot .dot.picked").count() == len(inside)
    assert page.locator("#scatter-count").inner_text().startswith(f"{len(inside)} of 6 images")
    for figure in figures.all():
        said = figure.locator(".scores").all_inner_texts()
        assert [re.fullmatch(r"(\w+) [\d.]+", text)[1] for text in said] == ["IoU", "Area"], "no number without a name"
    last = figures.last.locator("canvas:visible")
    last.wait_for()
    page.wait_for_function("c => c.width > 100", arg=last.element_handle())
    assert picture(last)[..., :3].std() > 5
    page.locator("#scatter-clear").click()
    api.expect(page.locator("#scatter-plot .dot.picked")).to_have_count(0)


@pytest.mark.parametrize("way", ["mouse", "keys"])
def test_a_dot_opens_the_maps_of_its_image(visit, way):
    page = opened(visit, x="iou", y="area")
    name = FAR[1]
    dot = page.locator(f"#scatter-plot .dot[aria-label^='{name}']")
    if way == "mouse":
        dot.click()
    else:
        page.locator("#scatter-plot .dot[tabindex='0']").focus()
        for _ in range(6):
            if page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(name):
                break
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    state = drawn(page, image=name)
    assert {"model": "unet", "seed": "1", "level": "90", "method": "grad_cam"}.items() <= state.items()
    assert page.locator("#maps .column canvas").count() > 6
    page.go_back()
    page.locator("#view-scatter.current").wait_for()


def test_what_a_link_asks_for_in_vain_is_said(visit):
    page = opened(visit, x="nonsense", model=HOSTILE, level=7)
    said = page.locator("#scatter-note").inner_text()
    assert "there is no x" in said
    assert "there is no level" in said
    assert page.locator("#scatter-model").input_value() == HOSTILE
    assert page.locator("#scatter-plot .dot").count() > 0
    assert set(IMAGES) >= {"cat_1"}


@pytest.mark.parametrize("width", [1280, 400])
def test_no_number_of_an_axis_runs_into_its_name(visit, width):
    page = visit(f"#scatter?{urlencode({**STATE, 'y': 'energy_gain'})}", viewport={"width": width, "height": 800})
    page.wait_for_function("() => document.getElementById('scatter-plot').dataset.drawn")
    over = """() => { const boxes = name => [...document.querySelectorAll(`#scatter-plot ${name}`)]
        .map(one => one.getBoundingClientRect());
      return boxes('.axis').flatMap(a => boxes('.tick-x, .tick-y').filter(
        b => a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2)).length; }"""
    assert page.evaluate("() => document.querySelectorAll('#scatter-plot .tick-y').length") > 1
    assert page.evaluate(over) == 0
