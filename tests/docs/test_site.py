"""The site is built in strict mode, each of its links leads somewhere, and it opens from disk with nothing fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import segcam

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
ROOT = Path(__file__).parents[2]
OUTSIDE = {"github.com", "squidfunk.github.io"}
"""Hosts that pages may name; the theme names the last, and nobody fetches from them."""


class Page(HTMLParser):
    """What a page has for others to link to, and what it links to; `loaded` is fetched with the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon") and "href" in values:
            self.loaded.append(values["href"])
        elif tag in ("img", "script", "iframe") and "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html") if file.name != "404.html"}


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    for file, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme in ("data", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                if link in page.loaded or parts.netloc not in OUTSIDE:
                    yield f"{file.name}: {link} is outside"
                continue
            to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not to.is_file():
                yield f"{file.name}: {link} leads nowhere"
            elif to in pages and parts.fragment and unquote(parts.fragment) not in pages[to].ids:
                yield f"{file.name}: {link} names no place of the page"


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    assert len(pages) > 25
    assert list(broken(pages)) == []


def test_search_opens_from_disk(site: Path, pages: dict[Path, Page]) -> None:
    assert "blank map" in (site / "search" / "search_index.js").read_text(encoding="utf-8")
    worker = site / "docs" / "iframe-worker.js"
    for file, page in pages.items():
        assert worker.resolve() in {(file.parent / link).resolve() for link in page.loaded}, file


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    texts = {"a.html": '<a href="b.html#x">', "b.html": '<h1 id="y"><a href="c.html"><img src="https://x.org/i.png">'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = list(broken({tmp_path / name: Page(text) for name, text in texts.items()}))
    assert found == [
        "a.html: b.html#x names no place of the page",
        "b.html: c.html leads nowhere",
        "b.html: https://x.org/i.png is outside",
    ]


def test_the_reference_has_every_public_name(pages: dict[Path, Page]) -> None:
    known = set().union(*(page.ids for file, page in pages.items() if file.parent.name == "api"))
    for name in segcam.__all__:
        assert {f"segcam.{name}", f"segcam.explaining.{name}.{name}", f"segcam.methods.{name}.{name}"} & known or (
            f"segcam.errors.{name}" in known
        ), name


def test_all_pages_of_docs_are_in_the_navigation(site: Path) -> None:
    sources = [path for kind in ("md", "ipynb") for path in (ROOT / "docs").rglob(f"*.{kind}")]
    start = Page((site / "index.html").read_text(encoding="utf-8"))
    for path in sources:
        assert path.relative_to(ROOT).with_suffix(".html").as_posix() in start.links, path
