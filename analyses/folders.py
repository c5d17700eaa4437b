"""Where a run's tables, kept maps and training log lie: all that it measures is below `scores/`."""

from __future__ import annotations

from pathlib import Path

SCORES = "scores"
"""Folder of the scores, a row a map; every other table has a folder in it."""
OLDER = (
    *("predictions", "attention", "agreement", "gallery", "resolution", "evidence", "answers", "training.parquet"),
    *("faithfulness", "faithfulness_curves", "sanity", "sanity_training"),
)
"""What older versions wrote beside `scores/`."""


def folder(name: str) -> str:
    """Return the folder of a table or of the kept maps, relative to the run's.

    >>> folder("scores"), folder("predictions")
    ('scores', 'scores/predictions')
    """
    return SCORES if name == SCORES else f"{SCORES}/{name}"


GALLERY = folder("gallery")
"""Folder of the kept maps, a file a checkpoint."""
LOG = f"{folder('training')}/training.parquet"
"""The training log."""


STRAY = f"{SCORES}/{Path(LOG).name}"
"""The training log where it would be taken for scores."""


def older(run: Path) -> str:
    """Return what is wrong with a run that has the layout of an older version, and the cure; '' for any other."""
    if (run / STRAY).is_file():
        return f"{run / STRAY} lies among the scores: move it to {run / LOG}, a new folder, and try again"
    names = [name for name in OLDER if _written(run / name)]
    if not names:
        return ""
    log = f" ({Path(LOG).name} to {run / LOG}, a new folder)" if Path(LOG).name in names else ""
    return (
        f"{run} has the layout of an older version, with {', '.join(names)} beside {SCORES}/ and not in it: move them "
        f"into {run / SCORES}{log} and give the same command again"
    )


def _written(path: Path) -> bool:
    return path.is_file() or any(path.glob("*.parquet")) or any(path.glob("*.npz"))
