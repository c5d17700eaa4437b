"""The atlas in a real browser: rows, blocks, two states compared, percentiles, keys, links, pictures saved."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from analyses.plots import overlay
from analyses.report.standing import percentiles
from segcam.draw import display
from segcam.draw.display import Display
from tests.analyses.report.browsing import CLOSING, FAR, HOSTILE, drawn, link, number, picture

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ONE = {"rows": ""}
TILES = "#maps .column .tile"
MAPS = "#maps .column canvas"
SCORED = 1
"""A layer of which both methods have a score."""
APART = np.array([[255, 170, 40], [60, 170, 255]])


def blob(n=12, depth=3, level=90):
    """The map of `make` of the fourth layer."""
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    hill = np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - 0.5) / 0.3) ** 2)
    return np.maximum(hill * level / 90 + 0.4 * np.sin((3 + depth) * x) * np.sin(9 * y) * (1 - level / 100), 0)


def test_the_atlas_follows_its_controls(visit):
    page = visit("#gallery")
    drawn(page, level=90, seed=0, rows="level")
    assert page.locator("#maps .row").count() == 3
    page.locator("#rows").select_option("")
    drawn(page, rows="")
    layers = page.locator(TILES).count()
    assert layers == 6
    first = page.locator(MAPS).first
    before = picture(first)
    page.locator("#seed").select_option("1")
    page.locator("#level").select_option("50")
    drawn(page, level=50, seed=1)
    assert (picture(first) != before).any()
    for point, tiles in (("relu", 1), ("all", layers + 1)):
        page.locator("#point").select_option(point)
        drawn(page, point=point)
        assert page.locator(TILES).count() == tiles
    choices = {"method": HOSTILE, "target": "predicted:logit", "metric": "spread"}
    for name, value in choices.items():
        page.locator(f"#{name}").select_option(value)
    assert drawn(page, **choices)["image"] == "cat_1"
    page.locator("#image-1").check(force=True)
    drawn(page, image=HOSTILE)
    page.locator("#model").select_option(HOSTILE)
    drawn(page, model=HOSTILE)
    assert HOSTILE in page.locator("#shown").inner_text()
    page.locator("#drawing summary").click()
    page.locator("#outline").uncheck()
    drawn(page, outline=0)
    assert page.locator("#maps svg .outline-line").first.get_attribute("d") == ""


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ("level", ["30 %", "50 %", "90 %"]),
        ("method", ["Grad-CAM", "Random", HOSTILE]),
        ("model", ["U-Net, 90 %", f"{HOSTILE}, 90 %"]),
        ("seed", ["seed 0", "seed 1"]),
        ("target", ["best pixel, logit", "predicted, logit"]),
    ],
)
def test_rows_are_any_one_of_what_maps_differ_in(show, rows, names):
    page = show(rows=rows, seed=1, level=90)
    found = page.locator("#maps .row-name").all_inner_texts()
    assert [name.casefold() for name in found] == [name.casefold() for name in names]
    assert page.locator("#maps .row").count() == len(names)
    assert page.locator(TILES).count() == 6 * len(names)
    page.locator("#maps .row-name").first.click()
    current = page.locator("#maps .row-name[aria-current=true]")
    api.expect(current).to_have_text(re.compile(re.escape(names[0]), re.IGNORECASE))
    assert drawn(page)["rows"] == rows


def test_columns_are_blocks_so_that_before_and_after_attention_stand_above_each_other(show):
    page = show(**ONE)
    roles = ("before attention", "after attention", "mix-ffn")
    layers = [f'{{role: "{role}", label: "{role} {b}", stage: 1}}' for b in ("1_1", "1_2") for role in roles]
    layers = ['{role: "input", label: "Input"}', *layers, '{role: "encoder", label: "Stage 1 output", stage: 1}']
    layers += [f'{{role: "decoder", label: "Decoder 1_{k}", stage: 1}}' for k in (1, 2)]
    found = page.evaluate(f"segcam.blocks.columns([{', '.join(layers)}])")
    assert [column["heading"] for column in found] == ["Input", "Block 1_1", "Block 1_2", "Stage 1 output", "Decoder 1"]
    assert [layer["role"] for layer in found[1]["layers"]] == list(roles)
    own = [f'{{role: "output", label: "net.{name}"}}' for name in ("a.0", "b.head.1", "b.head.2")]
    found = page.evaluate(f"segcam.blocks.columns([{', '.join(own)}])")
    assert [column["heading"] for column in found] == ["a.0", "b.head.1", "b.head.2"]
    assert page.locator("#maps .column-name").all_inner_texts() == ["Encoder 1", "Encoder 2", "Decoder 1"]
    tops = [page.locator(TILES).nth(n).bounding_box()["y"] for n in (0, 2, 1, 3)]
    assert tops[0] == tops[1] < tops[2] == tops[3]


def test_opacity_lets_the_dimmed_photograph_through(show):
    page = show(level=90, **ONE)
    page.locator("#drawing summary").click()
    found = []
    for value in (0, 50, 100):
        page.locator("#opacity").fill(str(value))
        drawn(page, opacity=value) if value < 100 else drawn(page, level=90)
        found.append(picture(page.locator(MAPS).first).astype(float))
    assert all((shown[..., 3] == 255).all() for shown in found)
    assert found[0].max(axis=(0, 1))[0] < 0.45 * 255 + 1
    assert (found[0][..., 0] == found[0][..., 2]).all(), "grey"
    np.testing.assert_allclose(found[1], (found[0] + found[2]) / 2, atol=1.01)


def wanted(values, size, **scale):
    shown = Display.of(values, **scale)
    return display.blended(shown.values(overlay.upsampled(values, size)), display.dimmed(None, size))


def test_maps_have_the_colours_of_the_printed_figures_on_each_scale(show):
    page = show(rows="level", seed=1, level=90, ground="none")
    one = page.locator("#maps .row").nth(0).locator("canvas:visible").nth(3)
    size = picture(one).shape[:2]
    common = Display.of(blob()).upper
    scales = {"robust": {}, "own": {"raw": True}, "common": {"upper": common}}
    assert common > 2 * Display.of(blob(level=30)).upper
    page.locator("#drawing summary").click()
    for name, scale in scales.items():
        page.locator("#scale").select_option(name)
        drawn(page, **({"scale": name} if name != "robust" else {"ground": "none"}))
        shown = picture(one)[..., :3] / 255
        assert np.abs(shown - wanted(blob(level=30), size, **scale)).mean() < 0.02, name
    assert "brightest map" in page.locator("#colour-end").inner_text()


def test_a_common_scale_is_of_one_method_as_methods_share_no_unit(show):
    page = show(rows="method", seed=1, level=90, ground="none", scale="common")
    for row in page.locator("#maps .row").all()[:2]:  # the second one's values are a thousand times the first's
        canvas = row.locator(".column .tile").nth(3).locator("canvas").first
        shown = picture(canvas)
        assert np.abs(shown[..., :3] / 255 - wanted(blob(), shown.shape[:2])).mean() < 0.02


def test_the_prediction_and_its_errors_are_on_the_image_and_on_no_map(show):
    page = show(level=90, **ONE)
    assert page.locator("#maps .plain .predicted").get_attribute("d").startswith("M")
    assert not any(path.get_attribute("d") for path in page.locator("#maps .column .predicted").all())
    assert page.locator("#key-predicted").is_visible()
    page.keyboard.press("e")
    drawn(page, errors=1)
    assert page.locator("#maps .plain .layer").inner_text() == "Errors"
    tile = page.locator("#maps .plain .stack")
    pixels = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("RGB")).astype(int)
    greens = (pixels[..., 1] > pixels[..., 0] + 40).mean()
    oranges = (pixels[..., 0] > pixels[..., 2] + 80).mean()
    assert greens > 5 * oranges > 0, "the made-up prediction is the mask moved by two pixels"
    page.keyboard.press("e")
    page.keyboard.press("o")
    drawn(page, outline=0)
    assert page.locator("#maps .plain .predicted").get_attribute("d") == ""


def test_under_a_map_stands_the_percentile_of_its_score(show, pictured):
    page = show(level=90, seed=1, metric="energy_gain", **ONE)
    frame = pictured.scores({"level": [90], "seed": [1], "model": ["unet"], "method": ["grad_cam"]})
    frame = frame[frame["target"] == "best_pixel:logit"]
    for tile in page.locator(TILES).all():
        of_layer = frame[frame["layer"] == tile.get_attribute("data-layer")].set_index("image")["energy_gain"]
        places, counts = percentiles(of_layer.to_numpy()[None], list(of_layer.index).index("cat_1"))
        rank = tile.locator(".rank")
        assert rank.inner_text() == ("" if np.isnan(places[0]) else f"p{round(places[0])}")
        if rank.inner_text():
            assert rank.get_attribute("title").endswith(f"among {counts[0]} images")


def test_two_states_side_by_side(show):
    page = show(seed=1, method="grad_cam", **ONE, **{"b-method": "random"})
    first = page.locator(TILES).nth(SCORED)
    assert first.locator("canvas").count() == 2
    scores = [number(text) for text in first.locator(".score").all_inner_texts()]
    change = first.locator(".change").inner_text().partition(" ")[2]
    assert number(change) == pytest.approx(scores[1] - scores[0], abs=0.011)
    page.keyboard.press("x")
    drawn(page, method="random", **{"b-method": "grad_cam"})
    page.keyboard.press("c")
    api.expect(first.locator("canvas")).to_have_count(1)


def test_what_is_shown_can_be_kept_and_compared_with_anything(show):
    page = show(seed=1, level=30, **ONE)
    page.locator("#comparing summary").click()
    page.locator("#pin").click()
    page.locator("#level").select_option("90")
    page.locator("#model").select_option(HOSTILE)
    found = drawn(page, level=90, model=HOSTILE, **{"b-level": 30, "b-model": "unet"})
    assert {name for name in found if name.startswith("b-")} == {
        *("b-image", "b-model", "b-seed", "b-level", "b-target", "b-method")
    }
    assert page.locator("#shown").inner_text().endswith("predicted, logit (B)") is False
    assert "30 %" in page.locator("#shown").inner_text().split("against")[1]
    page.locator("#stop").click()
    assert not [name for name in drawn(page, level=90) if name.startswith("b-")] or page.wait_for_function(
        "() => !location.hash.includes('b-level')"
    )


def test_a_difference_is_orange_where_a_is_higher_and_blue_where_b_is(show):
    page = show(level=90, seed=1, ground="none", mode="difference", **ONE, **{"b-level": 30})
    canvas = page.locator(TILES).nth(3).locator("canvas")
    shown = picture(canvas)[..., :3]
    size = shown.shape[:2]
    values = [blob(level=level) for level in (90, 30)]
    one, two = (Display.of(v).values(overlay.upsampled(v, size)) for v in values)
    by = (one - two)[..., None]
    assert np.abs(shown - np.where(by > 0, by * APART[0], -by * APART[1])).mean() < 3
    assert (by > 0.1).any()
    assert (by < -0.1).any()
    page.locator("#b-level").select_option("90")
    drawn(page, **{"b-level": 90})
    assert not picture(canvas)[..., :3].any()


def test_swipe_and_blink_lay_b_over_a(show):
    page = show(level=90, seed=1, mode="swipe", **ONE, **{"b-level": 30})
    page.locator("#swipe").fill("25")
    over = page.locator(TILES).first.locator(".stack").nth(1)
    assert "25%" in over.evaluate("e => getComputedStyle(e).clipPath")
    page.keyboard.press("d")
    drawn(page, mode="blink")
    page.locator("#maps.second").wait_for()
    page.locator("#maps:not(.second)").wait_for()
    page.locator("#blink").click()
    still = page.locator("#maps").get_attribute("class")
    page.wait_for_timeout(1200)
    assert page.locator("#maps").get_attribute("class") == still


def test_nothing_blinks_by_itself_where_motion_is_not_wanted(visit):
    page = visit(link(level=90, mode="blink", **{"b-level": 30}), reduced_motion="reduce")
    drawn(page, mode="blink")
    assert page.locator("#blink").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_what_is_shown_is_saved_with_its_caption(show, kind, tmp_path):
    page = show(image=HOSTILE, level=90, seed=1, **ONE)
    with page.expect_download() as download:
        page.locator(f"#save-{kind}").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert re.fullmatch(rf"atlas-[A-Za-z0-9-]+\.{kind}", path.name)
    box = page.locator("#maps").bounding_box()
    if kind == "png":
        saved = Image.open(path)
        assert saved.width > 2 * box["width"]
        assert np.asarray(saved.convert("L")).std() > 20
        return
    root = ElementTree.parse(path).getroot()
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("image") == 7, "six maps and the photograph"
    words = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    for part in ("Encoder 1_1", HOSTILE, "percentile", "columns: layers of U-Net by block", "drawn by segcam"):
        assert part in words


@pytest.mark.parametrize("window", [(1024, 700), (640, 450), (400, 800)])
def test_a_map_is_on_the_first_screen(visit, window):
    page = visit("#gallery", viewport={"width": window[0], "height": window[1]})
    drawn(page, level=90)
    box = page.locator(MAPS).first.bounding_box()
    assert box["y"] + box["height"] <= window[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= window[0]


def test_links_are_restored_and_history_goes_back(visit):
    sought = {"image": CLOSING, "model": HOSTILE, "seed": "1", "level": "50", "target": "predicted:logit"}
    sought |= {"method": HOSTILE, "metric": "spread", "opacity": "35", "rows": "seed", "b-level": "30"}
    page = visit(link(**sought))
    found = drawn(page, level=50)
    assert {name: found[name] for name in sought} == sought
    assert CLOSING in page.locator("#checkpoint").inner_text()
    page.locator("#method").select_option("grad_cam")
    drawn(page, method="grad_cam")
    page.go_back()
    drawn(page, method=HOSTILE)
    assert page.locator("#method").input_value() == HOSTILE
    page.go_forward()
    drawn(page, method="grad_cam")
    page.evaluate(
        "address => { location.hash = address; }", link(level=77, method="nothing", image=HOSTILE, **{"b-level": 3})
    )
    page.locator("#gallery-note", has_text="there is no level").wait_for()
    assert page.locator("#gallery-note").inner_text().count("there is no level") == 2
    assert drawn(page, image=HOSTILE)["method"] == "grad_cam"
    page.locator("#copy").click()  # the link is to what is shown, not to what was asked for
    page.wait_for_function("() => location.hash === document.getElementById('maps').dataset.drawn")


def test_a_sliding_opacity_does_not_call_back_from_another_part(visit):
    page = visit("#gallery")
    drawn(page, level=90)
    slide = "() => { const o = document.getElementById('opacity'); o.value = 5; o.dispatchEvent(new Event('input')); }"
    page.evaluate(f"({slide})(); location.hash = '#overview';")
    page.wait_for_timeout(500)  # longer than the address waits for a slider
    assert page.url.endswith("#overview")
    assert page.locator("#view-overview.current").count() == 1


def test_what_was_asked_for_last_is_shown_even_where_an_earlier_file_is_missing(show):
    page = show(seed=1, level=90, **ONE)
    page.evaluate("""() => {
      const { maps } = segcam, open = maps.open;
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
    assert page.locator(MAPS).count() == 6


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
    assert page.evaluate(f"segcam.state.picturedSeeds({index}, 'two')") == [1]


def test_an_unreached_level_says_so(show):
    page = show(seed=0, level=50, **ONE)
    page.locator("#gallery-problem", has_text="Level 50 % was not reached").wait_for()
    assert page.locator(MAPS).count() == 0
    page.keyboard.press("ArrowUp")
    drawn(page, level=90)
    assert page.locator("#gallery-problem").is_hidden()
    assert page.locator(MAPS).count() == 6
    page.locator("#rows").select_option("level")
    drawn(page, rows="level")
    assert "was not reached" in page.locator("#maps .row").nth(1).locator(".row-why").inner_text()


def test_an_image_with_small_maps_alone_is_shown_with_those_and_their_scores(visit, pictured):
    page = visit(link(image=FAR[0], seed=0, level=90, method="random", **ONE))
    drawn(page, image=FAR[0], method="grad_cam")
    assert page.locator(MAPS).count() == 6
    assert page.locator("#maps .plain img").evaluate("i => i.decode().then(() => i.naturalWidth)") > 0
    where = {"level": [90], "seed": [0], "model": ["unet"], "method": ["grad_cam"], "image": [FAR[0]]}
    frame = pictured.scores(where).set_index(["target", "layer"])["energy_gain"]
    for tile in page.locator(TILES).all():
        value = frame["best_pixel:logit", tile.get_attribute("data-layer")]
        text = tile.locator(".score").inner_text()
        assert text == "\N{EN DASH}" if np.isnan(value) else number(text) == pytest.approx(value, abs=0.0051)
    page.keyboard.press("ArrowRight")
    drawn(page, image=FAR[1])


def test_keys_step_and_leave_controls_alone(show):
    page = show(image="cat_1", level=90, seed=1, **ONE)
    for keys, state in (
        (("ArrowRight",), {"image": HOSTILE}),
        (("ArrowLeft", "ArrowLeft"), {"image": CLOSING}),
        (("ArrowDown",), {"level": 50}),
        (("m",), {"method": "random"}),
        (("Shift+M",), {"method": "grad_cam"}),
        (("t",), {"target": "predicted:logit"}),
        (("v",), {"rows": "level"}),
        (("r",), {"scale": "own"}),
        (("p",), {"b-image": CLOSING}),
        (("d",), {"mode": "difference"}),
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
    assert drawn(page)["target"] == "predicted:logit"


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


@pytest.mark.parametrize("width", [1024, 400])
def test_a_row_that_is_moved_sideways_still_says_what_it_is_of(visit, width):
    """A name in sight, and no map beside it that runs under the head."""
    page = visit(link(rows="level", point="all"), viewport={"width": width, "height": 700})
    drawn(page, rows="level")
    page.evaluate("document.getElementById('maps').style.setProperty('--tile', '30rem')")
    scroll = page.locator(".stage .scroll")
    scroll.evaluate("e => { e.scrollLeft = 200; }")
    assert scroll.evaluate("e => e.scrollLeft") > 100
    left = scroll.bounding_box()["x"]
    for row in page.locator("#maps .row").all():
        assert row.locator(".row-name").bounding_box()["x"] == pytest.approx(left, abs=1)
        row.scroll_into_view_if_needed()
        covered = row.evaluate(
            """row => [...row.querySelectorAll('.stack')].filter(one => {
              const box = one.getBoundingClientRect();
              const over = document.elementFromPoint(row.parentElement.parentElement.getBoundingClientRect().left + 4,
                                                     box.top + box.height / 2);
              return !one.closest('.row-head') && over?.closest('.column');
            }).length"""
        )
        assert covered == 0 or width == 400
