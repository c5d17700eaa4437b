"""The report page's files: complete, safe, small, the same for the same run."""

from __future__ import annotations

import base64
import codecs
import html
import io
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analyses import ResultsError, report, run, verdicts
from analyses.artifacts import Caption, Drawn, Figure, Section, Table
from analyses.reading.small_maps import STEPS
from analyses.reading.states import STATES
from analyses.report import contents, figures, gallery, sheets, tables
from analyses.report import data as scripts
from analyses.report.words import Words
from segcam.draw.display import Display

HOSTILE = "<img src=x onerror=alert(1)>"
CLOSING = "</script><script>alert(2)</script>"
SMALL = {"stages": 2, "levels": (30, 90), "seeds": (0,), "size": 24}


def sections(results, names=("levels",)):
    made = []
    for name in names:
        items = [item.drawn(["png"], 50) if isinstance(item, Figure) else item for item in run(results, [name])]
        made.append(Section(name, f"What {name} say", items))
    return made


def contrast(**values):
    """A row of the table of contrasts."""
    row = {"claim": "C1", "sentence": "A claim.", "part": "it rises", "counts": True, "metric": "energy_gain"}
    row |= {"estimate": 0.2, "low": 0.1, "high": 0.3, "null": 0.0, "side": "above", "smallest": 0.05}
    row |= {"standardised": 4.0, "standardised_low": 2.0, "standardised_high": 6.0, "region": "supported", "caveat": ""}
    row |= {"statistic": 3.0, "statistic_low": 1.5, "statistic_high": 4.5}
    row |= {"n_images": 90, "n_seeds": 3, "n_left_out": 0, "verdict": "supported", "reason": "by rule"}
    return row | {"overall": "supported", "overall_reason": "by rule"} | values


def claims(sentence="A claim.", overall="supported"):
    rows = [contrast(sentence=sentence, overall=overall, n_images=n) for n in (90, 100)]
    return Table("claims", pd.DataFrame([*rows, contrast(counts=False, n_images=1, n_seeds=1)]), "Claims. All.")


def unmeasured(**values):
    nothing = dict.fromkeys(
        ("estimate", "low", "high", "standardised", "standardised_low", "standardised_high"), np.nan
    )
    reason = "not measured (no vit in the run)"
    nothing |= {"n_images": 0, "n_seeds": 0, **dict.fromkeys(("verdict", "overall", "region"), "not measured")}
    return contrast(**nothing, reason=reason, overall_reason=reason, **values)


def data(files, name):
    """Return what the script of this name hands over."""
    text = decoded(files[f"data/{name}.js"])
    found = re.fullmatch(r"segcam\.receive\((\".*?\"), (.*?)(?:, true)?\);\n", text)
    assert json.loads(found[1]) == name
    return json.loads(re.sub("\ue000([\u5000-\ucfff]+)", base_64, found[2]))


def decoded(content):
    """A file of the page as a browser reads it."""
    return content.decode("utf-16" if content.startswith(codecs.BOM_UTF16_LE) else "utf-8")


def base_64(found):
    """Bytes as characters of 15 bits, bit by bit."""
    extra, *units = [ord(sign) - 0x5000 for sign in found[1]]
    bits = "".join(f"{unit:015b}" for unit in units)
    content = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    return base64.b64encode(content[: len(content) - extra]).decode()


def unpacked(text):
    return json.loads(zlib.decompress(base64.b64decode(text)))


def sheet(url):
    kind, _, content = url.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def pages_text(files):
    return "".join(decoded(content) for name, content in files.items() if name.startswith(("data/", "index")))


@pytest.fixture(scope="module")
def results(make_in, tmp_path_factory):
    return make_in(tmp_path_factory.mktemp("page") / "run", **SMALL)


@pytest.fixture(scope="module")
def listed(results):
    return list(report.build(results, [*sections(results), Section("claims", "Claims", [claims()])]))


def test_the_page_holds_all_that_it_names(listed):
    files = dict(listed)
    assert listed[0][0] == "index.html"
    assert len(files) == len(listed)
    page = files["index.html"].decode()
    outside = [f'href="{report.PAPER}" rel="noopener"']  # all that leads elsewhere, and only if asked
    assert re.findall(r'[a-z]+="https?:[^>]*', page) == [html.escape(link, quote=False) for link in outside]
    for name in re.findall(r'(?:src|href)="((?!#|data:|https:)[^"]+)"', page):
        assert name in files
    for name in re.findall(r'data-table="([^"]+)"', page):
        assert f"data/{name}.js" in files
    assert "export" in unpacked(data(files, "datatables"))
    index = data(files, "gallery")
    for point in index["checkpoints"]:
        assert all(f"data/{name}.js" in files for name in point["files"].values())
        assert len(point["files"]) == 1
    assert page.index("Claims") < page.index("What levels say")


def test_the_same_run_gives_the_same_bytes(results, listed):
    again = type(results)(results.folder)
    assert list(report.build(again, [*sections(again), Section("claims", "Claims", [claims()])])) == listed


def test_hostile_names_are_text(make):
    results = make(
        images=(HOSTILE, CLOSING, "a&b '\"\u2028"),
        gallery=3,
        classes=("back", CLOSING),
        models=(HOSTILE,),
        methods=("grad_cam", HOSTILE),
        targets=(HOSTILE,),
        **SMALL,
    )
    made = [*sections(results), Section(HOSTILE, HOSTILE, [claims(CLOSING, HOSTILE)])]
    files = dict(report.build(results, made))
    text = pages_text(files)
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert "\u2028" not in files["data/gallery.js"].decode()
    assert all(re.fullmatch(r"[A-Za-z0-9_./-]+", name) and ".." not in name for name in files)
    index = data(files, "gallery")
    assert [image["name"] for image in index["images"]] == [HOSTILE, CLOSING, "a&b '\"\u2028"]
    assert index["targets"][0]["class"] == CLOSING


def test_maps_are_those_of_the_gallery_with_their_scores(make):
    results = make(stages=5, levels=(50,), seeds=(0,), size=48, targets=("all:logit",), points=("conv", "head"))
    files = dict(report.build(results, []))
    index = data(files, "gallery")
    (point,) = index["checkpoints"]
    kept = data(files, point["files"]["cat_1"])
    maps, picture = unpacked(kept["packed"]), sheet(kept["sheet"])
    gallery = results.gallery("unet", 0, 50)
    frame = results.scores().set_index(["image", "target", "layer", "method"])
    assert len(maps["maps"]) == sum("|" in name for name in gallery.arrays)
    blank = set()
    for target, method, layer, tile, upper, peak, scores, places, counts in maps["maps"]:
        names = [index["targets"][target]["name"], maps["layers"][layer], index["methods"][method]["name"]]
        values = gallery.arrays[f"{names[0]}|{names[2]}|{names[1]}"][0]
        row = frame.loc[("cat_1", *names)]
        wanted = [row[name] for name in maps["metrics"]]
        np.testing.assert_allclose([np.nan if s is None else s for s in scores], wanted, rtol=6e-4)
        for name, place, count in zip(maps["metrics"], places, counts, strict=True):
            among = frame.xs(tuple(names), level=("target", "layer", "method"))[name].dropna()
            assert count == len(among)
            if place is not None:
                below = (among < row[name]).sum() + (among == row[name]).sum() / 2
                assert place == round(100 * below / count)
        if tile < 0:
            blank.add(maps["reasons"][-1 - tile])
            continue
        left, top, width, height = maps["tiles"][tile]
        assert (upper, peak) == pytest.approx((Display.of(values).upper, values.max()), rel=1e-3)
        assert (height, width) == values.shape
        root = picture[top : top + height, left : left + width, 1] / 255
        assert np.sqrt(np.mean((root - np.sqrt(values / values.max())) ** 2)) < 2 / STEPS
    assert blank == {"blank: negative everywhere", "blank: zero everywhere"}
    assert point["pairs"] == [[0, number] for number in range(5)]
    assert maps["areas"] == {"all:logit": 0.25}
    assert maps["pixels"]["all:logit"] == pytest.approx([16.5 / 48] * 2, rel=1e-3)


def test_equal_maps_share_a_tile():
    made = sheets.TileSheet()
    assert made.picture() == (b"", [])
    one, two = np.full((3, 3), 200, np.uint8), np.ones((2, 7), np.uint8)
    assert (made.add(one), made.add(two), made.add(one.copy())) == (0, 1, 0)
    picture, places = made.picture()
    pixels = np.asarray(Image.open(io.BytesIO(picture)))[..., 1]
    for (left, top, width, height), wanted in zip(places, (one, two), strict=True):
        assert (left % sheets.ALIGNED, top % sheets.ALIGNED, height, width) == (0, 0, *wanted.shape)
        np.testing.assert_allclose(pixels[top : top + height, left : left + width], wanted, atol=3)


def test_outlines_are_short_and_lie_within_half_a_pixel():
    y, x = np.mgrid[:96, :128]
    disc = (x - 60) ** 2 + (y - 40) ** 2 < 30**2
    path = gallery._path(disc)
    start, steps = re.fullmatch(r"M(\d+ \d+)l([-\d ]+)z", path).groups()
    points = np.cumsum([[*map(int, start.split())], *np.array(steps.split(), int).reshape(-1, 2).tolist()], axis=0)
    assert len(points) < 60
    far = np.hypot(points[:, 0] * 0.128 - 60.5, points[:, 1] * 0.096 - 40.5)
    assert np.abs(far - 30).max() < 1.2
    assert gallery._path(np.zeros((4, 4), bool)) == ""


def test_images_with_small_maps_alone_are_files_of_their_own(make):
    results = make(small=3, methods=("grad_cam", "random"), **SMALL)
    files = dict(report.build(results, []))
    index = data(files, "gallery")
    assert [("file" in image, image["name"]) for image in index["images"]] == [
        *[(False, "cat_1"), (True, "cat_3"), (True, "dog_2")]
    ]
    for image in index["images"][1:]:
        kept = data(files, image["file"])
        assert kept["picture"].startswith("data:image/webp")
        assert unpacked(kept["packed"])["outlines"]["1"].startswith("M")
    for point in index["checkpoints"]:
        assert point["small"] == [[0, 0]]
        maps = unpacked(data(files, point["files"]["dog_2"])["packed"])
        assert maps["scores"] == point["scatter"]
        assert {len(row) for row in maps["maps"]} == {6}
        assert unpacked(data(files, point["scatter"]))["images"] == ["cat_1", "cat_3", "dog_2"]
    hidden = dict(report.build(make(small=3, photographs=False, **SMALL), []))
    assert data(hidden, data(hidden, "gallery")["images"][1]["file"])["picture"] is None


def test_photographs_are_left_out_where_the_profile_says_so(make, listed):
    shown = data(dict(listed), "gallery")
    hidden = data(dict(report.build(make(photographs=False, **SMALL), [])), "gallery")
    assert shown["images"][0]["picture"].startswith("data:image/webp")
    assert hidden["images"][0]["picture"] is None
    assert hidden["images"][0]["outlines"] == shown["images"][0]["outlines"]
    assert hidden["images"][0]["outlines"]["1"].startswith("M")


def test_methods_of_which_no_maps_are_kept_are_named(make):
    results = make(methods=("grad_cam", "random"), **SMALL)
    label = results.label("methods", "random")
    said = f"No maps are kept of {label}: what they score"
    assert said not in dict(report.build(results, []))["index.html"].decode()
    for path in (results.folder / "scores" / "gallery").glob("*.npz"):
        with np.load(path) as kept:
            arrays = {name: kept[name] for name in kept.files if "|random|" not in name}
        np.savez(path, **arrays)
    assert said in dict(report.build(type(results)(results.folder), []))["index.html"].decode()


@pytest.mark.parametrize(("gallery", "maps"), [(0, True), (1, False)])
def test_a_page_without_maps_sections_or_verdicts_says_so(make, gallery, maps):
    files = dict(report.build(make(gallery=gallery, **SMALL), [], maps=maps))
    page = files["index.html"].decode()
    assert "The maps of this run are not with this page" in page
    assert "This run has no verdicts" in page
    assert not any(name.startswith("data/maps") for name in files)


def test_levels_that_were_not_reached_have_no_maps(make):
    results = make(unreached=frozenset({(0, 30)}), **SMALL)
    files = dict(report.build(results, []))
    points = data(files, "gallery")["checkpoints"]
    assert [(point["reached"], len(point["files"])) for point in points] == [(False, 0), (True, 1)]
    assert "nearest 84.0 %" in files["index.html"].decode()


def test_a_damaged_gallery_is_named(make):
    results = make(**SMALL)
    (results.folder / "scores" / "gallery" / "unet-s0-l90.npz").write_bytes(b"no archive")
    with pytest.raises(ResultsError, match=r"unet-s0-l90\.npz: cannot be read"):
        dict(report.build(results, []))


def test_the_order_reads_well_and_unknown_sections_come_last():
    table = claims()
    names = ["zebra", "skipped", "methods", "curves", "figure2", "levels", "claims", "antelope"]
    found = contents.ordered([*(Section(name, name, [table]) for name in names), Section("empty", "", [])])
    assert [part.name for part in found] == [
        *("claims", "levels", "figure2", "curves", "methods", "skipped", "zebra", "antelope")
    ]


def test_verdicts_count_what_counts():
    (verdict,) = verdicts.of_frame(claims().frame, {})
    assert (verdict.claim, verdict.state, verdict.size) == ("C1", "supported", "90 to 100 images, 3 seeds")
    assert verdict.caveats == ["Beside it, it rises: supported, 0.20 [0.10, 0.30]."]


def judged(*rows, units=None):
    (verdict,) = verdicts.of_frame(pd.DataFrame(rows), units or {})
    return verdict


def test_a_verdict_says_the_number_that_decides_and_what_limits_it():
    beside = contrast(part="beside it: thinner", counts=False, verdict="opposite", estimate=-1.3, low=-1.5, high=-1.1)
    said = "Exploratory: no registration. 60 % of 5 other choices agree."
    verdict = judged(
        contrast(caveat=said), contrast(part="it falls", verdict="undecided"), beside, units={"energy_gain": "px"}
    )
    assert verdict.found == (
        "3.0 [1.5, 4.5] smallest effects towards the claim, over 2 parts, alone 1 supported, 1 undecided."
    )
    assert verdict.caveats == [
        "Beside it, thinner: opposite, \N{MINUS SIGN}1.30 [\N{MINUS SIGN}1.50, \N{MINUS SIGN}1.10] px.",
        "Exploratory: no registration.",
        "60 % of 5 other choices agree.",
    ]
    assert len(verdict.marks) == 2
    alone = judged(contrast(), units={"energy_gain": "px"})
    assert alone.found == "It rises: 0.20 [0.10, 0.30] px; smallest effect of interest: 0.05."


def test_the_states_tell_what_is_not_replicated_not_discriminating_and_not_measured():
    for state in ("opposite", "negligible"):
        verdict = judged(contrast(verdict=state, overall=state, region=state))
        assert verdict.state == state
        assert verdict.found.endswith(" Not replicated.")
        assert verdict.why == ""
    passed = judged(contrast(overall="not discriminating", overall_reason="random passes it, too"))
    assert (passed.state, passed.why) == ("not discriminating", "Random passes it, too.")
    few = judged(contrast(overall="undecided", overall_reason="one training"))
    assert (few.state, few.why) == ("undecided", "One training.")
    nothing = judged(unmeasured(), unmeasured())
    assert (nothing.state, nothing.found, nothing.marks, nothing.caveats) == ("not measured", "", [], [])
    assert nothing.why == "Not measured: no vit in the run."


def test_the_dots_of_a_card_lie_inside_it_however_large_the_effect(results):
    far = [contrast(standardised=way * 90, standardised_low=way * 90, standardised_high=way * 95) for way in (1, -1)]
    far = [row | {"part": f"part {n}"} for n, row in enumerate(far)]
    judged_far = Section("claims", "Claims", [Table("claims", pd.DataFrame(far), "Claims.")])
    page = dict(report.build(results, [judged_far], maps=False))["index.html"].decode()
    (width,) = {int(text) for text in re.findall(r'<svg class="marks" viewBox="0 0 (\d+) ', page)}
    dots = re.findall(r'<circle cx="([\d.]+)" cy="[\d.]+" r="(\d+)"', page)
    assert len(dots) == 2
    assert all(float(r) < float(x) < width - float(r) for x, r in dots)


def test_parts_of_one_claim_stand_apart_with_their_intervals_however_large(results):
    """And the band of what is less than the smallest effect says how large they are."""
    ends = [(-5.4, -4.0), (-7.5, -6.4), (-9.0, -7.8)]
    rows = [contrast(standardised=(a + b) / 2, standardised_low=a, standardised_high=b) for a, b in ends]
    marks = judged(*rows).marks
    widths = [(mark.high - mark.low) / (b - a) for mark, (a, b) in zip(marks, ends, strict=True)]
    assert widths == pytest.approx([0.5 / 9] * 3, rel=0.01)
    assert [mark.at for mark in marks] == sorted((mark.at for mark in marks), reverse=True)
    assert judged(*rows).smallest == pytest.approx(0.5 / 9, rel=0.01)
    assert marks[0].found == "\N{MINUS SIGN}4.70 [\N{MINUS SIGN}5.40, \N{MINUS SIGN}4.00]"


def test_what_was_not_measured_stands_apart_from_the_verdicts(results):
    frame = pd.DataFrame([contrast(), unmeasured(claim="C2")])
    page = dict(report.build(results, [Section("claims", "Claims", [Table("claims", frame, "Claims.")])]))
    text = page["index.html"].decode()
    assert text.count('<li class="claim">') == 1
    assert "Not measured in this run: C2" in text
    tally = {word: number for number, word in re.findall(r"(\d+) ([a-z ]+)</li>", text)}
    assert tally == dict.fromkeys(STATES, "0") | {"supported": "1", "not measured": "1"}


def test_a_table_has_its_values_its_printed_cells_and_its_best_ones():
    frame = pd.DataFrame({"method": ["a,b", 'say "x"', "c"], "gain": [0.1, 0.7, np.nan], "gain_low": [0, 0.6, np.nan]})
    frame = frame.assign(gain_high=[0.2, 0.8, np.nan], seed=[1, 1, 2], same="unet", none=np.nan)
    name, content = tables.script(Table("my table", frame, "T.", best={"gain": "higher"}, shown=["method", "gain"]))
    table = unpacked(data({name: content}, name.removeprefix("data/").removesuffix(".js")))
    columns = {column["name"]: column for column in table["columns"]}
    assert table["alike"] == "In all rows: same unet. Empty in all rows: none."
    assert columns["method"]["values"] == list(frame["method"])
    assert columns["gain"]["values"] == [0.1, 0.7, None]
    assert columns["gain"]["cells"] == ["0.10 [0.00, 0.20]", "0.70 [0.60, 0.80]", ""]
    assert columns["gain"]["best"] == [1]
    assert [name for name, column in columns.items() if column["printed"]] == ["method", "gain", "seed"]
    assert [name for name, column in columns.items() if column["visible"]] == ["method", "gain"]


def test_what_rows_are_called_is_not_said_twice():
    frame = pd.DataFrame({"method": ["a_b", "c"], "method_label": ["A", "C"], "model": ["u", "v"]})
    frame = frame.assign(model_label=["U-Net", "else"])
    words = Words({"methods": {"a_b": "A", "c": "C"}, "models": {"u": "U-Net"}})
    name, content = tables.script(Table("skipped", frame, "T."), words)
    table = unpacked(data({name: content}, name.removeprefix("data/").removesuffix(".js")))
    assert [one["name"] for one in table["columns"] if one["visible"]] == ["method", "model", "model_label"]
    assert [one["name"] for one in table["columns"]] == list(frame)


def test_figures_are_made_small_and_never_larger(make):
    drawn = []
    for name, size in (("wide", (3000, 1000)), ("narrow", (300, 100))):
        Image.new("RGB", size, "white").save(buffer := io.BytesIO(), "png")
        drawn.append(Drawn(name, Caption("A figure.", "Of nothing."), {"png": buffer.getvalue()}))
    files = dict(report.build(make(gallery=0, **SMALL), [Section("curves", "Curves", drawn)]))
    sizes = {name: Image.open(io.BytesIO(files[f"figures/{name}.webp"])).size for name in ("wide", "narrow")}
    assert sizes == {"wide": (1440, 480), "narrow": (300, 100)}
    assert 'alt="A figure."' in files["index.html"].decode()


def test_charts_are_kept_in_few_colours_without_loss_and_pictures_are_not():
    rng = np.random.default_rng(0)
    chart = np.full((300, 300, 3), 255, np.uint8)
    chart[::7, :, 0] = np.arange(300) // 10
    noise = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for pixels, exact in ((chart, True), (noise, False)):
        Image.fromarray(pixels).save(buffer := io.BytesIO(), "png")
        small = figures.small(Drawn("x", Caption("", ""), {"png": buffer.getvalue()})).content
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(small)).convert("RGB")), pixels) is exact


def test_no_plain_area_of_a_chart_is_seen_in_another_colour():
    """Of a heat map with a few red cells among many blue ones, and of one with more colours than are kept."""
    blues = np.linspace((20, 60, 150), (240, 245, 255), 600)
    reds = np.linspace((150, 20, 20), (255, 200, 190), 8)
    many = np.random.default_rng(0).integers(0, 256, (608, 3))
    for colours in (np.concatenate([blues, reds]), many):
        cells = colours.astype(np.uint8).reshape(32, 19, 3).repeat(12, 0).repeat(24, 1)
        Image.fromarray(cells).save(buffer := io.BytesIO(), "png")
        content = figures.small(Drawn("x", Caption("", ""), {"png": buffer.getvalue()})).content
        shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        middles = (slice(6, None, 12), slice(12, None, 24))
        assert np.abs(shown[middles] - cells[middles]).max() <= 2 * figures.MOST_OFF


@pytest.mark.parametrize("gallery", [0, 1])
def test_figures_of_single_images_are_left_to_the_atlas_where_it_has_the_maps(make, gallery):
    Image.new("RGB", (30, 10), "white").save(buffer := io.BytesIO(), "png")
    names = ("figure1-unet", "figure1_layers-unet-01-cat_1")
    drawn = [Drawn(name, Caption("A figure.", ""), {"png": buffer.getvalue()}) for name in names]
    files = dict(report.build(make(gallery=gallery, **SMALL), [Section("figure1", "Maps", drawn)]))
    assert "figures/figure1-unet.webp" in files
    assert (f"figures/{names[1]}.webp" in files) is not bool(gallery)
    assert (f"figures/{names[1]}.png" in files["index.html"].decode()) is bool(gallery)


def test_data_in_scripts_cannot_end_them():
    name, content = scripts.script("x", {"a": CLOSING, "b": [float("inf"), 1.5, None], "c": "&\u2029"})
    assert name == "data/x.js"
    assert not set(content.decode("ascii")) & set("<>&")
    assert data({name: content}, "x") == {"a": CLOSING, "b": [None, 1.5, None], "c": "&\u2029"}


@pytest.mark.parametrize("size", [300, 301, 302, 303, 314, 315, 4096])
def test_bytes_take_a_fifth_less_room_than_in_base_64_and_come_back(size):
    content = np.random.default_rng(size).bytes(size)
    picture, long = scripts.url(content, "image/webp"), "a" * 1001
    told = {"pictures": [picture, picture[:-8]], "word": long, "\N{CJK UNIFIED IDEOGRAPH-72AC}": None}
    name, file = scripts.script("x", told)
    assert data({name: file}, "x") == told
    many = [scripts.url(content * 99, "image/webp")]
    assert len(scripts.script("x", many)[1]) < 0.81 * len(scripts.literal(many))


def test_maps_are_shown_without_their_scores_where_these_are_not_there(make):
    results = make(**SMALL)
    for path in (results.folder / "scores").glob("*.parquet"):
        path.unlink()
    files = dict(report.build(results, []))
    (name,) = data(files, "gallery")["checkpoints"][1]["files"].values()
    kept = unpacked(data(files, name)["packed"])
    assert kept["metrics"] == []
    assert kept["maps"]
