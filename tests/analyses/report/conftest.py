"""The page of one made-up run, and a browser that opens it."""

from __future__ import annotations

import pytest

from analyses import report, run
from analyses.artifacts import Figure, Section
from tests.analyses.report import browsing


@pytest.fixture(scope="session")
def pictured(make_in, tmp_path_factory):
    """The run: all maps of three images, and small ones of three more."""
    return make_in(
        tmp_path_factory.mktemp("report") / "run",
        images=(*browsing.IMAGES, *browsing.FAR),
        gallery=3,
        small=6,
        models=browsing.MODELS,
        classes=("back", f"{browsing.HOSTILE} & {browsing.CLOSING}"),
        methods=("grad_cam", "random", browsing.HOSTILE),
        targets=("best_pixel:logit", "predicted:logit"),
        points=("conv", "head"),
        levels=(30, 50, 90),
        seeds=(0, 1),
        unreached=frozenset({(0, 50)}),
        stages=2,
        size=24,
    )


@pytest.fixture(scope="session")
def page_file(pictured, tmp_path_factory):
    results, folder = pictured, tmp_path_factory.mktemp("page")
    levels = [item.drawn(["png"], 60) if isinstance(item, Figure) else item for item in run(results, ["levels"])]
    sections = [
        Section("levels", f"Levels {browsing.HOSTILE}", levels),
        Section(browsing.CLOSING, browsing.CLOSING, [browsing.hostile_table(), browsing.score_table()]),
        Section("claims", "Claims", [browsing.claims(), browsing.wide_figure()]),
    ]
    for name, content in report.build(results, sections):
        path = folder / "page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return (folder / "page" / "index.html").as_uri()


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


@pytest.fixture
def show(visit):
    """Return a function that opens the gallery at a state, and waits until it is drawn."""

    def go(**state):
        page = visit(browsing.link(**state))
        browsing.drawn(page, **state)
        return page

    return go
