"""The site has the paths of the repository, so that a link means the same on both: pages lie where their files lie.

mkdocs takes the files of one folder. Here come those of `docs/` under that name, and every file of the repository that
the navigation names or a page links to, as a page where it is Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@event_priority(100)
def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Put the files of `docs/` where the repository has them, and add what pages link to."""
    own = [file for file in files if file.src_dir == config.docs_dir and file.inclusion.is_included()]
    rest = [file for file in files if file.src_dir != config.docs_dir]
    paths = [f"{Path(config.docs_dir).name}/{file.src_uri}" for file in own]
    paths += [path for path in named(config.nav) if path not in paths and (ROOT / path).is_file()]
    for path in paths:  # grows while pages are read
        paths += [target for target in linked(path) if target not in paths]
    return Files([*rest, *(File(path, str(ROOT), config.site_dir, config.use_directory_urls) for path in paths)])


def on_page_content(html: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead the links of a notebook to the pages of the site, as mkdocs does for Markdown alone."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def rewritten(found: re.Match[str]) -> str:
        path = normpath(str(PurePosixPath(page.file.src_uri).parent / found[1]))
        if file := files.get_file_from_path(path):
            return f'href="{file.url_relative_to(page.file)}'
        raise PluginError(f"{page.file.src_uri} links to {path}, which is no file of the site")

    return re.sub(r'href="([^":#]+\.(?:md|ipynb))', rewritten, html)


def named(nav: Any) -> Iterator[str]:
    """Yield the files that a navigation names: a list of them, of titles with one, or with a list."""
    for entry in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        if isinstance(entry, str):
            yield entry
        else:
            yield from named(entry)


def linked(path: str) -> list[str]:
    """Name the files of the repository outside `docs/` that a page links to, each once."""
    if not path.endswith(".md"):
        return []
    targets = LINK.findall((ROOT / path).read_text(encoding="utf-8"))
    inside = [normpath(str(PurePosixPath(path).parent / target)) for target in targets if ":" not in target]
    return list(dict.fromkeys(target for target in inside if (ROOT / target).is_file()))
