"""Writes one site over studies: whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analyses import site
from bench.output.drafts import sweep_beside, temporary_of
from bench.output.store import StoreError
from bench.progress import say, working
from segcam.errors import InputError


def write(folders: Sequence[Path], to: Path, docs: str, console: Console) -> list[Path]:
    """Write the site over the studies in `folders`; one that was there before is replaced.

    Args:
        folders: runs, or folders that hold several.
        to: the site's folder: empty, or with an earlier site.
        docs: the address of the documentation; '' for none.
        console: where progress is shown.

    Returns:
        The files written, the index last.

    Raises:
        InputError: `to` holds other files, or lies in a study or around one.
        ResultsError: a folder holds no study, or one that is damaged.
    """
    studies, left_out = site.find(folders)
    for line in left_out:
        say(console, line)
    _free(to, studies)
    sweep_beside(to)
    draft, old = temporary_of(to), temporary_of(to)
    names: list[str] = []
    try:
        with working(console, "site", len(studies) + 1) as task:
            for name, content in site.build(studies, docs):
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                task.advance(int(name.endswith(site.INDEX) and name.count("/") != 1), name.partition("/")[0])
                names.append(name)
        if to.exists():
            to.rename(old)
        draft.rename(to)
    except OSError as error:
        if old.exists() and not to.exists():
            old.rename(to)
        raise StoreError(f"cannot write {to}: {error.strerror or error}; choose another folder with --out") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return [to / name for name in names]


def _free(to: Path, studies: Sequence[site.Study]) -> None:
    """See that a site may be written to a folder."""
    place = to.absolute().resolve()
    for study in studies:
        if place == study.folder or study.folder in place.parents or place in study.folder.parents:
            raise InputError(f"{to} lies in {study.folder}, or around it: choose another folder with --out")
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise InputError(f"{to} is no folder: choose another one with --out")
    names = sorted(path.name for path in to.iterdir()) if to.is_dir() else []
    if names and site.LIST not in names:
        shown = ", ".join(names[:3])
        raise InputError(f"{to} holds files that no site is made of ({shown}): choose another folder with --out")
