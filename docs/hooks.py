"""The site has the paths of the repository, so that a link means the same on both: pages lie where their files lie.

mkdocs takes the files of one folder. Here come those of `docs/` under that name, README.md as the front page, and
every file of the repository that a page links to, as a page where it is Markdown.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FIRST = "README.md"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@event_priority(100)
def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Put the files of `docs/` where the repository has them, and add what pages link to."""
    own = [file for file in files if file.src_dir == config.docs_dir and file.inclusion.is_included()]
    rest = [file for file in files if file.src_dir != config.docs_dir]
    paths = [f"{Path(config.docs_dir).name}/{file.src_uri}" for file in own] + [FIRST]
    for path in paths:  # grows while pages are read
        paths += [target for target in linked(path) if target not in paths]
    return Files([*rest, *(File(path, str(ROOT), config.site_dir, config.use_directory_urls) for path in paths)])


def linked(path: str) -> list[str]:
    """Name the files of the repository outside `docs/` that a page links to, each once."""
    if not path.endswith(".md"):
        return []
    targets = LINK.findall((ROOT / path).read_text(encoding="utf-8"))
    inside = [normpath(str(PurePosixPath(path).parent / target)) for target in targets if ":" not in target]
    return list(dict.fromkeys(target for target in inside if (ROOT / target).is_file()))
